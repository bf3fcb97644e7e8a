package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"dynamod/internal/bus"
	"dynamod/internal/testkit"
	"dynamod/internal/testkit/testbus"
	"dynamod/logind/internal/device"
	"dynamod/logind/internal/session"
)

// fakeUnits is a manager that starts and stops everything at once.
type fakeUnits struct {
	mu    sync.Mutex
	calls []string
	gone  func(string)
	// hold, if not nil, delays every start of a user's manager.
	hold chan struct{}
}

func (f *fakeUnits) note(words ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, strings.Join(words, " "))
}

func (f *fakeUnits) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func (f *fakeUnits) did(call string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		if c == call {
			return true
		}
	}
	return false
}

func (f *fakeUnits) Start(ctx context.Context, unit string) error {
	f.note("start", unit)
	if f.hold != nil && strings.HasPrefix(unit, "user@") {
		select {
		case <-f.hold:
		case <-ctx.Done():
		}
	}
	return nil
}
func (f *fakeUnits) Stop(_ context.Context, unit string) error {
	f.note("stop", unit)
	f.gone(unit)
	return nil
}
func (f *fakeUnits) Scope(_ context.Context, s Scope) error {
	f.note("scope", s.Name, s.Slice)
	return nil
}
func (f *fakeUnits) Abandon(_ context.Context, unit string) error {
	f.note("abandon", unit)
	f.gone(unit) // nothing was left in it
	return nil
}
func (f *fakeUnits) Kill(_ context.Context, unit string, _ int32) error {
	f.note("kill", unit)
	return nil
}
func (f *fakeUnits) Shutdown(_ context.Context, kind string) error {
	f.note("shutdown", kind)
	return nil
}
func (f *fakeUnits) Watch(ctx context.Context, _ func() []string, gone func(string)) {
	<-ctx.Done()
}

type rig struct {
	t      *testing.T
	root   string
	bus    *testbus.Daemon
	units  *fakeUnits
	server *Server
	conn   *dbus.Conn
	hw     *fakeHardware
	vts    *fakeTerminals
	store  *fakeStore
	// environ is what logind finds in its environment.
	environ map[string]string
	// cgroups are the groups of processes (int32, string); those of others are none.
	cgroups sync.Map
}

// fakeStore keeps descriptors as the manager does.
type fakeStore struct {
	mu   sync.Mutex
	kept map[string]*os.File
}

func (k *fakeStore) Keep(name string, f *os.File) error {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept[name] = os.NewFile(uintptr(fd), name)
	return err
}

func (k *fakeStore) Forget(name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.kept, name)
	return nil
}

// take is what a service is started with.
func (k *fakeStore) take() map[string]*os.File {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.kept)
}

// fakeNode is a device that can be seen to be muted: its file is a pipe, and a mark
// says whether it works.
type fakeNode struct {
	hw   *fakeHardware
	name string
	kind session.DeviceKind
	seat string
}

func (n fakeNode) Open() (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	w.Close()
	n.hw.note("open " + n.name)
	return r, nil
}

func (n fakeNode) Screen() bool { return n.kind == session.DRM }

func (n fakeNode) Mute(*os.File) error { n.hw.note("mute " + n.name); return nil }
func (n fakeNode) Wake(f *os.File) (*os.File, error) {
	n.hw.note("wake " + n.name)
	if n.hw.asleep.Load() {
		return nil, errors.New("it does not wake")
	}
	if n.kind == session.DRM {
		return f, nil
	}
	return n.Open()
}

// fakeHardware has a screen and a keyboard on seat0, and a keyboard on seat1.
type fakeHardware struct {
	mu     sync.Mutex
	calls  []string
	sleeps []string
	tell   func(session.Event)
	// follow, if not nil, is called by Follow.
	follow func()
	asleep atomic.Bool // nothing wakes
}

func (h *fakeHardware) note(call string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, call)
}

// since are the calls after the first n.
func (h *fakeHardware) since(n int) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls[n:])
}

func (h *fakeHardware) Find(id session.DeviceID) (Node, session.DeviceKind, string, error) {
	nodes := map[session.DeviceID]fakeNode{
		{Major: 226, Minor: 0}: {h, "card0", session.DRM, "seat0"},
		{Major: 13, Minor: 64}: {h, "event0", session.Input, "seat0"},
		{Major: 13, Minor: 65}: {h, "event1", session.Input, "seat1"},
	}
	n, ok := nodes[id]
	if !ok {
		return nil, 0, "", device.ErrNoDevice
	}
	return n, n.kind, n.seat, nil
}
func (h *fakeHardware) Access(seat string, from, to int64) error {
	h.note(fmt.Sprint("access ", seat, " ", from, " ", to))
	return nil
}
func (h *fakeHardware) Correct(node string, from []int64, to int64) error {
	h.note(fmt.Sprint("correct ", node, " ", from, " ", to))
	return nil
}
func (h *fakeHardware) Assign(path, seat string) error {
	h.note("assign " + path + " " + seat)
	return nil
}
func (h *fakeHardware) Flush() error { h.note("flush"); return nil }
func (h *fakeHardware) Sleeps() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.sleeps)
}
func (h *fakeHardware) Sleep(verb string) error { h.note("sleep " + verb); return nil }
func (h *fakeHardware) RemoveIPC(uid uint32) error {
	h.note(fmt.Sprint("ipc ", uid))
	return nil
}
func (h *fakeHardware) External() bool { return true }
func (h *fakeHardware) Follow(tell func(session.Event)) (func(), error) {
	h.tell = tell
	if h.follow != nil {
		h.follow()
	}
	return func() {}, nil
}

// fakeTerminals switch at once, after asking as the kernel does.
type fakeTerminals struct {
	hw    *fakeHardware
	mu    sync.Mutex
	front uint32
	busy  map[uint32]bool
	fail  error
}

func (v *fakeTerminals) Take(vt, uid uint32) error {
	v.hw.note(fmt.Sprint("take tty", vt, " ", uid))
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.fail
}

func (v *fakeTerminals) failWith(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fail = err
}
func (v *fakeTerminals) Give(vt uint32) error  { v.hw.note(fmt.Sprint("give tty", vt)); return nil }
func (v *fakeTerminals) Leave(vt uint32) error { v.hw.note(fmt.Sprint("leave tty", vt)); return nil }
func (v *fakeTerminals) Show(vt uint32) error {
	v.hw.note(fmt.Sprint("show tty", vt))
	v.mu.Lock()
	defer v.mu.Unlock()
	v.front = vt
	return nil
}
func (v *fakeTerminals) Shown() (uint32, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.front, nil
}
func (v *fakeTerminals) Busy(vt uint32) (bool, error) { return v.busy[vt], nil }
func (v *fakeTerminals) Reserve(vt uint32) error {
	v.hw.note(fmt.Sprint("reserve tty", vt))
	return nil
}
func (v *fakeTerminals) Close() {}

// begin starts a message bus and login1 on it, with files of the test's own.
func begin(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, root: t.TempDir(), store: &fakeStore{kept: map[string]*os.File{}}}
	for path, text := range map[string]string{
		filepath.Join(r.root, "etc/passwd"):                           "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\nbob:x:1001:1001::/home/bob:/bin/sh\n",
		filepath.Join(r.root, "dev/tty0"):                             "",
		filepath.Join(r.root, "etc/systemd/logind.conf"):              "[Login]\nSessionsMax=5\nUserStopDelaySec=2\n",
		filepath.Join(r.root, "usr/lib/systemd/logind.conf.d/a.conf"): "[Login]\nInhibitorsMax=8\nUserStopDelaySec=1us\n"} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r.bus = testbus.NewDaemon(t, testbus.Open).Start()
	r.start()
	r.conn = r.bus.Client()
	return r
}

// start begins a logind; the one before was stopped.
func (r *rig) start() {
	r.t.Helper()
	r.units = &fakeUnits{}
	r.hw = &fakeHardware{}
	r.vts = &fakeTerminals{hw: r.hw, front: 7, busy: map[uint32]bool{}}
	r.server = New(r.units, Options{Root: r.root, Cgroup: r.cgroup, Environ: func(name string) string { return r.environ[name] }, PerUser: 3, Hardware: r.hw, Terminals: r.vts, Store: r.store, Kept: r.store.take()}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	r.units.gone = r.server.unitGone
	if err := r.server.Prepare(); err != nil {
		r.t.Fatal(err)
	}
	joined := make(chan bool, 1)
	ended := make(chan struct{})
	s := r.server
	go func() {
		s.Service().Join(bus.Bus{Address: r.bus.Socket, Names: []string{Name}, Heard: s.Heard, Met: s.Met, Joined: func(*bus.Client) { joined <- true }})
		close(ended)
	}()
	r.t.Cleanup(func() { s.Close(); <-ended })
	testkit.Receive(r.t, joined, "login1 joins the bus")
}

func (r *rig) cgroup(pid int32) string {
	g, _ := r.cgroups.Load(pid)
	name, _ := g.(string)
	return name
}

func (r *rig) manager() dbus.BusObject { return r.conn.Object(Name, managerPath) }

// leader is a process that a session may be about.
func (r *rig) leader() *exec.Cmd {
	r.t.Helper()
	c := exec.Command("sleep", "1000")
	if err := c.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return c
}

type created struct {
	ID, Runtime, Seat string
	Path              dbus.ObjectPath
	FIFO              dbus.UnixFD
	UID, VT           uint32
	Existing          bool
}

type property struct {
	Name  string
	Value dbus.Variant
}

// create makes a session as pam_systemd does: at a terminal, or without one over the net.
func (r *rig) create(pid int, uid uint32, class, seat string, vt uint32) (created, error) {
	var c created
	tty := "pts/0"
	if vt > 0 {
		tty = fmt.Sprint("tty", vt)
	}
	err := r.manager().Call(managerIface+".CreateSession", 0, uid, uint32(pid), "login", "tty", class, "", seat, vt, tty, "", false, "", "", []property{}).
		Store(&c.ID, &c.Path, &c.Runtime, &c.FIFO, &c.UID, &c.Seat, &c.VT, &c.Existing)
	return c, err
}

func (r *rig) read(parts ...string) string {
	data, err := os.ReadFile(filepath.Join(append([]string{r.root, "run/systemd"}, parts...)...))
	if err != nil {
		return ""
	}
	return string(data)
}
