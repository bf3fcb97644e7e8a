package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"dynamod/hostnamed/internal/host"
	"dynamod/internal/bus"
	"dynamod/internal/sys/virt"
	"dynamod/internal/testkit"
	"dynamod/internal/testkit/testbus"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var _ = testbus.Callers()

// fakeKernel is a machine whose name and clock only the test sees.
type fakeKernel struct {
	mu   sync.Mutex
	name string
	// refuse is the error of every change.
	refuse error
	now    time.Time
	// rtc is what the hardware clock shows; zero means that there is none.
	rtc      time.Time
	maxError int64
	// did is what was done, in order.
	did []string
}

func (k *fakeKernel) note(format string, args ...any) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refuse == nil {
		k.did = append(k.did, fmt.Sprintf(format, args...))
	}
	return k.refuse
}

// done is what was done since the last time.
func (k *fakeKernel) done() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := strings.Join(k.did, "; ")
	k.did = nil
	return out
}

const stamp = "2006-01-02 15:04:05"

func (k *fakeKernel) Now() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}

func (k *fakeKernel) SetClock(t time.Time) error { return k.note("clock %s", t.UTC().Format(stamp)) }
func (k *fakeKernel) SetZone(west int) error     { return k.note("zone %d", west) }

func (k *fakeKernel) MaxError() (int64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.maxError, nil
}

// set changes the machine behind the service's back.
func (k *fakeKernel) set(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

func (k *fakeKernel) ReadRTC() (time.Time, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.rtc.IsZero() {
		return k.rtc, os.ErrNotExist
	}
	return k.rtc, nil
}

func (k *fakeKernel) WriteRTC(t time.Time) error { return k.note("rtc %s", t.Format(stamp)) }
func (k *fakeKernel) LoadKeys(keymap, toggle string) error {
	return k.note("keys %s %s", keymap, toggle)
}

func (k *fakeKernel) Uname() (Uname, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return Uname{"Linux", k.name, "6.18", "#1 SMP"}, nil
}

func (k *fakeKernel) SetHostname(name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refuse == nil {
		k.name = name
	}
	return k.refuse
}

func (k *fakeKernel) Virt() virt.Found { return virt.Found{} }
func (k *fakeKernel) CID() uint32      { return host.NoCID }

// fakeUnits is a manager of services.
type fakeUnits struct {
	mu sync.Mutex
	// active has those that exist, and says whether they run; broken ones do not start.
	active map[string]bool
	broken map[string]bool
	did    []string
	// hold, if not nil, delays every start.
	hold chan bool
}

func (u *fakeUnits) Look(_ context.Context, unit string) (exists, active bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	active, exists = u.active[unit]
	return exists, active, nil
}

func (u *fakeUnits) do(word, unit string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.did = append(u.did, word+" "+unit)
	if word == "start" && u.broken[unit] {
		return errors.New(unit + " is broken")
	}
	if word == "start" || word == "stop" {
		u.active[unit] = word == "start"
	}
	return nil
}

func (u *fakeUnits) Enable(_ context.Context, unit string) error  { return u.do("enable", unit) }
func (u *fakeUnits) Disable(_ context.Context, unit string) error { return u.do("disable", unit) }
func (u *fakeUnits) Stop(_ context.Context, unit string) error    { return u.do("stop", unit) }
func (u *fakeUnits) Restart(_ context.Context, unit string) error { return u.do("restart", unit) }
func (u *fakeUnits) Start(_ context.Context, unit string) error {
	if u.hold != nil {
		u.hold <- true
		<-u.hold
	}
	return u.do("start", unit)
}

func (u *fakeUnits) SetEnvironment(_ context.Context, set, unset []string) error {
	if len(unset) < 14 {
		return errors.New("not all variables of the locale are forgotten")
	}
	return u.do("environment", strings.Join(set, " "))
}

// exists installs a service; forget takes all away, and says which is broken from now on.
func (u *fakeUnits) exists(unit string, active bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.active[unit] = active
}

func (u *fakeUnits) forget(broken string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.active, u.broken = map[string]bool{}, map[string]bool{broken: true}
}

func (u *fakeUnits) done() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := strings.Join(u.did, "; ")
	u.did = nil
	return out
}

type rig struct {
	*testing.T
	root   string
	bus    *testbus.Bus
	kernel *fakeKernel
	units  *fakeUnits
	server *Server
	conn   *dbus.Conn
}

// begin starts a bus and our services on it, with a tree of files of the test's own.
func begin(t *testing.T, files map[string]string) *rig {
	t.Helper()
	r := &rig{T: t, root: t.TempDir(), bus: testbus.Start(t, ""), kernel: &fakeKernel{name: "rigbox", now: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)},
		units: &fakeUnits{active: map[string]bool{}, broken: map[string]bool{}}}
	for p, text := range files {
		r.write(p, text)
	}
	r.server = New(r.root, r.kernel, r.units, slog.New(slog.NewTextHandler(io.Discard, nil)))
	for _, name := range Names {
		joined, ended := make(chan bool, 1), make(chan struct{})
		s := r.server.Service(name)
		go func() {
			s.Join(bus.Bus{Address: r.bus.Socket, Names: []string{name}, Joined: func(*bus.Client) { joined <- true }})
			close(ended)
		}()
		t.Cleanup(func() { s.Close(); <-ended })
		testkit.Receive(t, joined, "a service joins the bus")
	}
	r.conn = r.bus.Client()
	if os.Getuid() != 0 { // then the test is one of those whom polkit is asked about
		for _, a := range actions {
			r.bus.Polkit.Allow(a)
		}
	}
	return r
}

// actions are all that polkit is asked about.
var actions = []string{hostName + ".set-hostname", hostName + ".set-static-hostname", hostName + ".set-machine-info", hostName + ".get-product-uuid",
	hostName + ".get-hardware-serial", hostName + ".get-description",
	timeName + ".set-time", timeName + ".set-timezone", timeName + ".set-local-rtc", timeName + ".set-ntp", localeName + ".set-locale", localeName + ".set-keyboard"}

func (r *rig) write(p, text string) {
	r.Helper()
	at := filepath.Join(r.root, p)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
		r.Fatal(err)
	}
}

// file is the content of a file, "-" if there is none.
func (r *rig) file(p string) string {
	b, err := os.ReadFile(filepath.Join(r.root, p))
	if err != nil {
		return "-"
	}
	return string(b)
}

func object(iface string) dbus.ObjectPath {
	return map[string]dbus.ObjectPath{hostName: hostPath, timeName: timePath, localeName: localePath}[iface]
}

// call calls a method and returns the error's name and text, "" if there is none.
func (r *rig) call(iface, method string, args ...any) string {
	r.Helper()
	err := r.conn.Object(iface, object(iface)).Call(iface+"."+method, 0, args...).Err
	if err == nil {
		return ""
	}
	return bus.NameOf(err) + ": " + err.Error()
}

// get is the value of a property.
func (r *rig) get(iface, name string) any {
	r.Helper()
	v, err := r.conn.Object(iface, object(iface)).GetProperty(iface + "." + name)
	if err != nil {
		r.Fatalf("%s: %v", name, err)
	}
	return v.Value()
}

// changes are the properties of the next PropertiesChanged of an interface.
func (r *rig) changes(iface string) (next func() map[string]dbus.Variant) {
	r.Helper()
	ch := make(chan *dbus.Signal, 64)
	if err := r.conn.AddMatchSignal(dbus.WithMatchObjectPath(object(iface)), dbus.WithMatchMember("PropertiesChanged")); err != nil {
		r.Fatal(err)
	}
	r.conn.Signal(ch)
	return func() map[string]dbus.Variant {
		r.Helper()
		for {
			s := testkit.Receive(r, ch, "properties of "+iface+" change")
			if s.Path == object(iface) {
				return s.Body[1].(map[string]dbus.Variant)
			}
		}
	}
}
