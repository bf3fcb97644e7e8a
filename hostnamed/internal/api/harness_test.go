package api

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"

	"dynamod/hostnamed/internal/host"
	"dynamod/internal/bus"
	"dynamod/internal/sys/virt"
	"dynamod/internal/testkit"
	"dynamod/internal/testkit/testbus"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// fakeKernel is a machine whose name and clock only the test sees.
type fakeKernel struct {
	mu   sync.Mutex
	name string
	// refuse is the error of every change.
	refuse error
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
type fakeUnits struct{}

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
	r := &rig{T: t, root: t.TempDir(), bus: testbus.Start(t, ""), kernel: &fakeKernel{name: "rigbox"}, units: &fakeUnits{}}
	for p, text := range files {
		r.write(p, text)
	}
	r.server = New(r.root, r.kernel, r.units, slog.New(slog.NewTextHandler(io.Discard, nil)))
	joined, ended := make(chan bool, 1), make(chan struct{})
	go func() {
		r.server.Service().Join(bus.Bus{Address: r.bus.Socket, Names: Names, Joined: func(*bus.Client) { joined <- true }})
		close(ended)
	}()
	t.Cleanup(func() { r.server.Service().Close(); <-ended })
	testkit.Receive(t, joined, "the services join the bus")
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
	hostName + ".get-hardware-serial", hostName + ".get-description"}

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
