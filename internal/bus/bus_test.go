package bus

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/godbus/dbus/v5"
	godbusintrospect "github.com/godbus/dbus/v5/introspect"
	"golang.org/x/sys/unix"

	"dynamod/internal/testkit/testbus"
)

// The service of the tests: a counter, and things that are found by name.
const (
	thingIface = "org.example.Thing"
	mainIface  = "org.example.Main"
	mainPath   = "/org/example"
)

type thing struct {
	name  string
	count atomic.Uint32
}

var thingInterface = &Interface{Name: thingIface,
	Methods: []Method{
		{Name: "Add", In: []Arg{{"by", "u"}}, Out: []Arg{{"sum", "u"}}, Do: func(c *Call) error {
			t := c.Object.(*thing)
			return c.Reply(t.count.Add(c.Args[0].(uint32)))
		}},
	},
	Properties: []Property{
		{Name: "Name", Type: "s", Emits: EmitsConst, Get: func(o any) (any, error) { return o.(*thing).name, nil }},
		{Name: "Count", Type: "u", Get: func(o any) (any, error) { return o.(*thing).count.Load(), nil },
			Set: func(c *Call, v dbus.Variant) error { c.Object.(*thing).count.Store(v.Value().(uint32)); return nil }},
		{Name: "Lazy", Type: "as", Emits: EmitsInvalidates, Get: func(any) (any, error) { return []string{"a"}, nil }},
	},
	Signals: []Signal{{Name: "Happened", Args: []Arg{{"what", "s"}}}},
}

var moreInterface = &Interface{Name: "org.example.More", Properties: []Property{
	{Name: "Extra", Type: "b", Emits: EmitsFalse, Get: func(any) (any, error) { return true, nil }}}}

func newService(t *testing.T) (*Service, map[string]*thing) {
	t.Helper()
	things := map[string]*thing{"one": {name: "one"}}
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	main := &Interface{Name: mainIface, Methods: []Method{
		{Name: "Who", Out: []Arg{{"uid", "u"}, {"pid", "u"}, {"alive", "b"}}, Do: func(c *Call) error {
			who, err := c.Caller()
			if err != nil {
				return err
			}
			return c.Reply(who.UID, uint32(who.PID), who.Alive())
		}},
		{Name: "Fail", Do: func(*Call) error { return Errorf("org.example.Sorry", "sorry for %d", 7) }},
		{Name: "Slow", Out: []Arg{{"answer", "s"}}, Do: func(c *Call) error {
			return Later(func() error {
				select {
				case <-release:
					return c.Reply("late")
				case <-c.Context().Done():
					return c.Context().Err()
				}
			})
		}},
		// As systemd1's scopes are made: descriptors in an array in a variant in a structure.
		{Name: "ReadAll", In: []Arg{{"properties", "a(sv)"}}, Out: []Arg{{"text", "s"}}, Do: func(c *Call) error {
			text := ""
			for _, p := range c.Args[0].([][]any) {
				for _, fd := range p[1].(dbus.Variant).Value().([]dbus.UnixFD) {
					b := make([]byte, 100)
					n, err := unix.Read(int(fd), b)
					if err != nil {
						return err
					}
					text += p[0].(string) + string(b[:n])
				}
			}
			return c.Reply(text)
		}},
		{Name: "Read", In: []Arg{{"fd", "h"}}, Out: []Arg{{"text", "s"}, {"back", "h"}}, Do: func(c *Call) error {
			fd := c.TakeFD(c.Args[0].(dbus.UnixFD))
			f := os.NewFile(uintptr(fd), "passed")
			defer f.Close()
			b := make([]byte, 100)
			n, err := f.Read(b)
			if err != nil {
				return err
			}
			return c.Reply(string(b[:n]), dbus.UnixFD(f.Fd()))
		}},
	}}
	tree := NewTree(
		&Node{Path: mainPath, Find: One(nil, main)},
		&Node{Path: mainPath + "/thing/*", Names: func() []string { return []string{"one"} }, Find: func(_ *Call, name string) (any, []*Interface, error) {
			if th := things[name]; th != nil {
				return th, []*Interface{thingInterface, moreInterface}, nil
			}
			return nil, nil, Errorf("org.example.NoSuchThing", "no %s", name)
		}},
	)
	s := NewService(tree, slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(s.Close)
	return s, things
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) { w.t.Logf("%s", p); return len(p), nil }

// private serves on a socket and returns its path.
func private(t *testing.T, s *Service, allowed func(uint32) bool) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "private")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.ServePrivate(l, allowed) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Errorf("ServePrivate: %v", err)
		}
	})
	return path
}

func everybody(uint32) bool { return true }

// peer connects godbus' client to a private socket.
func peer(t *testing.T, path string) *dbus.Conn {
	t.Helper()
	c, err := dbus.Dial("unix:path=" + path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Auth(nil); err != nil {
		t.Fatal(err)
	}
	return c
}

// errorName is the name that a call failed with.
func errorName(err error) string {
	var e dbus.Error
	if errors.As(err, &e) {
		return e.Name
	}
	if err != nil {
		return "not a bus error: " + err.Error()
	}
	return ""
}

// conversation is what holds on a private socket and on a bus alike.
func conversation(t *testing.T, c *dbus.Conn, dest string, things map[string]*thing) {
	t.Helper()
	main, one := c.Object(dest, mainPath), c.Object(dest, mainPath+"/thing/one")
	var uid, pid uint32
	var alive bool
	if err := main.Call(mainIface+".Who", 0).Store(&uid, &pid, &alive); err != nil || int(uid) != os.Getuid() || int(pid) != os.Getpid() || !alive {
		t.Errorf("Who = %d, %d, %v, %v; want us, alive", uid, pid, alive, err)
	}
	var sum uint32
	for _, want := range []uint32{5, 10} {
		if err := one.Call(thingIface+".Add", 0, uint32(5)).Store(&sum); err != nil || sum != want {
			t.Errorf("Add = %d, %v; want %d", sum, err, want)
		}
	}
	// Without an interface the method is found as well.
	if m := c.Object(dest, mainPath+"/thing/one").Call("Add", 0, uint32(0)); m.Err != nil {
		t.Errorf("Add without interface: %v", m.Err)
	}
	all := map[string]dbus.Variant{}
	if err := one.Call(ifaceProperties+".GetAll", 0, "").Store(&all); err != nil || len(all) != 4 {
		t.Errorf("GetAll(\"\") = %v, %v; want the union of both interfaces", all, err)
	}
	clear(all)
	if err := one.Call(ifaceProperties+".GetAll", 0, thingIface).Store(&all); err != nil || len(all) != 3 || all["Count"].Value() != uint32(10) {
		t.Errorf("GetAll(%s) = %v, %v", thingIface, all, err)
	}
	if err := one.SetProperty(thingIface+".Count", dbus.MakeVariant(uint32(3))); err != nil || things["one"].count.Load() != 3 {
		t.Errorf("Set: %v, count %d; want 3", err, things["one"].count.Load())
	}
	for _, bad := range []struct {
		path, method string
		args         []any
		want         string
	}{
		{mainPath, mainIface + ".Fail", nil, "org.example.Sorry"},
		{mainPath, mainIface + ".Nothing", nil, ErrUnknownMethod},
		{mainPath, "org.example.Nothing.Who", nil, ErrUnknownMethod},
		{mainPath, mainIface + ".Who", []any{"too much"}, ErrInvalidArgs},
		{mainPath + "/thing/one", thingIface + ".Add", nil, ErrInvalidArgs},
		{mainPath + "/thing/one", thingIface + ".Add", []any{"text"}, ErrInvalidArgs},
		{mainPath + "/thing/two", thingIface + ".Add", []any{uint32(1)}, "org.example.NoSuchThing"},
		{"/nowhere", mainIface + ".Who", nil, ErrUnknownObject},
		{mainPath + "/thing/one", ifaceProperties + ".Get", []any{"", "Count"}, ErrUnknownProperty},
		{mainPath + "/thing/one", ifaceProperties + ".Get", []any{thingIface, "Nothing"}, ErrUnknownProperty},
		{mainPath + "/thing/one", ifaceProperties + ".Get", []any{"org.example.Nothing", "Count"}, ErrUnknownInterface},
		{mainPath + "/thing/one", ifaceProperties + ".GetAll", []any{"org.example.Nothing"}, ErrUnknownInterface},
		{mainPath + "/thing/one", ifaceProperties + ".Set", []any{thingIface, "Name", dbus.MakeVariant("x")}, ErrPropertyReadOnly},
		{mainPath + "/thing/one", ifaceProperties + ".Set", []any{thingIface, "Count", dbus.MakeVariant("x")}, ErrInvalidArgs},
	} {
		if got := errorName(c.Object(dest, dbus.ObjectPath(bad.path)).Call(bad.method, 0, bad.args...).Err); got != bad.want {
			t.Errorf("%s %s%v: %s; want %s", bad.path, bad.method, bad.args, got, bad.want)
		}
	}
	// The words are those of systemd's daemons, which tests of others compare.
	for _, bad := range []struct {
		object dbus.BusObject
		method string
		args   []any
		want   string
	}{
		{main, mainIface + ".Who", []any{"x"}, "Invalid arguments 's' to call org.example.Main.Who(), expecting ''."},
		{one, thingIface + ".Add", []any{"x", true}, "Invalid arguments 'sb' to call org.example.Thing.Add(), expecting 'u'."},
		{one, thingIface + ".Add", nil, "Invalid arguments '' to call org.example.Thing.Add(), expecting 'u'."},
		{one, ifaceProperties + ".Get", []any{"x"}, "Invalid arguments 's' to call org.freedesktop.DBus.Properties.Get(), expecting 'ss'."},
		{one, ifaceProperties + ".Set", []any{thingIface, "Name", dbus.MakeVariant(uint32(1))}, "Property 'Name' is not writable."},
		{one, ifaceProperties + ".Set", []any{thingIface, "Lazy", dbus.MakeVariant([]string{})}, "Property 'Lazy' is not writable."},
		{one, thingIface + ".Nothing", nil, "Unknown method Nothing or interface org.example.Thing."},
	} {
		if err := bad.object.Call(bad.method, 0, bad.args...).Err; err == nil || err.Error() != bad.want {
			t.Errorf("%s%v: %v; want %q", bad.method, bad.args, err, bad.want)
		}
	}
	node, err := godbusintrospect.Call(one)
	if err != nil || len(node.Interfaces) != 5 {
		t.Errorf("introspection = %+v, %v; want three standard interfaces and two", node, err)
	}
	if node, err := godbusintrospect.Call(c.Object(dest, mainPath+"/thing")); err != nil || len(node.Children) != 1 || node.Children[0].Name != "one" {
		t.Errorf("introspection above the things = %+v, %v; want one child", node, err)
	}
	if node, err := godbusintrospect.Call(c.Object(dest, "/")); err != nil || len(node.Children) != 1 || node.Children[0].Name != "org" {
		t.Errorf("introspection of the root = %+v, %v; want the child org", node, err)
	}
	// A descriptor comes and another one goes back.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w.WriteString("hello")
	w.Close()
	var text string
	var back dbus.UnixFD
	if err := main.Call(mainIface+".Read", 0, dbus.UnixFD(r.Fd())).Store(&text, &back); err != nil || text != "hello" {
		t.Errorf("Read = %q, %v; want what was in the pipe", text, err)
	} else {
		unix.Close(int(back))
	}
	var pipes [2]*os.File
	for k, line := range []string{"one", "two"} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		w.WriteString(line)
		w.Close()
		pipes[k] = r
	}
	type property struct {
		Name  string
		Value dbus.Variant
	}
	both := []property{{"fds:", dbus.MakeVariant([]dbus.UnixFD{dbus.UnixFD(pipes[0].Fd()), dbus.UnixFD(pipes[1].Fd())})}}
	if err := main.Call(mainIface+".ReadAll", 0, both).Store(&text); err != nil || text != "fds:onefds:two" {
		t.Errorf("ReadAll = %q, %v; want what was in both pipes", text, err)
	}
	// One that takes its time holds up nobody.
	slow := main.Go(mainIface+".Slow", 0, nil)
	if err := main.Call(ifacePeer+".Ping", 0).Err; err != nil {
		t.Errorf("Ping behind a slow call: %v", err)
	}
	select {
	case <-slow.Done:
		t.Errorf("the slow call was answered at once: %v", slow.Err)
	default:
	}
}

func TestPrivateSocket(t *testing.T) {
	s, things := newService(t)
	c := peer(t, private(t, s, everybody))
	conversation(t, c, "", things)
}

// Signals reach every peer without asking for them; changes in between are one.
func TestSignalsToPeers(t *testing.T) {
	s, things := newService(t)
	path := private(t, s, everybody)
	var heard []chan *dbus.Signal
	for range 3 {
		c := peer(t, path)
		ch := make(chan *dbus.Signal, 10)
		c.Signal(ch)
		heard = append(heard, ch)
		if err := c.Object("", mainPath).Call(ifacePeer+".Ping", 0).Err; err != nil { // it is there now
			t.Fatal(err)
		}
	}
	obj := mainPath + "/thing/one"
	things["one"].count.Store(1)
	s.Changed(obj, thingIface, "Count")
	s.Changed(obj, thingIface, "Lazy", "Count")
	things["one"].count.Store(2)
	s.Flush()
	s.Flush()
	s.Emit(obj, thingIface, "Happened", "it")
	for k, ch := range heard {
		a, b := <-ch, <-ch
		if a.Name != ifaceProperties+".PropertiesChanged" || a.Body[0] != thingIface ||
			a.Body[1].(map[string]dbus.Variant)["Count"].Value() != uint32(2) || a.Body[2].([]string)[0] != "Lazy" {
			t.Errorf("peer %d heard %+v; want the last value once", k, a)
		}
		if b.Name != thingIface+".Happened" || b.Body[0] != "it" {
			t.Errorf("peer %d heard %+v second; want Happened", k, b)
		}
	}
}

// TestChangesInOrder: whoever flushes beside others, an older value is never told after a
// newer one, and when a Flush has returned, what was changed before it has been told.
func TestChangesInOrder(t *testing.T) {
	s, things := newService(t)
	c := peer(t, private(t, s, everybody))
	const writers, times = 4, 200
	ch := make(chan *dbus.Signal, writers*times+1)
	c.Signal(ch)
	if err := c.Object("", mainPath).Call(ifacePeer+".Ping", 0).Err; err != nil {
		t.Fatal(err)
	}
	obj := mainPath + "/thing/one"
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range times {
				things["one"].count.Add(1)
				s.Changed(obj, thingIface, "Count")
				s.Flush()
			}
		})
	}
	all.Wait()
	s.Emit(obj, thingIface, "Happened", "it")
	last := uint32(0)
	for a := range ch {
		if a.Name == thingIface+".Happened" {
			break
		}
		v := a.Body[1].(map[string]dbus.Variant)["Count"].Value().(uint32)
		if v < last {
			t.Errorf("%d is told after %d", v, last)
		}
		last = v
	}
	if last != writers*times {
		t.Errorf("the last value told is %d; want %d", last, writers*times)
	}
}

// TestOnTheBus runs the same conversation over a real bus daemon, which is then
// killed and started anew.
func TestOnTheBus(t *testing.T) {
	d := testbus.NewDaemon(t, testbus.Open).Start()
	s, things := newService(t)
	joined, left := make(chan *Client, 4), make(chan error, 4)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Join(Bus{Address: d.Socket, Names: []string{"org.example.Main"}, Joined: func(k *Client) { joined <- k }, Left: func(err error) { left <- err }})
	}()
	t.Cleanup(func() { s.Close(); <-done })
	k := <-joined
	var names []string
	if err := k.Call(t.Context(), busName, busPath, busName, "ListNames", nil, &names); err != nil || !strings.Contains(strings.Join(names, " "), "org.example.Main") {
		t.Errorf("ListNames = %v, %v; want ours among them", names, err)
	}
	if err := k.Call(t.Context(), "org.example.Nobody", "/", "org.example.X", "Y", nil); NameOf(err) != ErrServiceUnknown {
		t.Errorf("a call to nobody = %v; want ServiceUnknown", err)
	}
	conversation(t, d.Client(), "org.example.Main", things)

	c := d.Client()
	heard := make(chan *dbus.Signal, 10)
	c.Signal(heard)
	if err := c.AddMatchSignal(dbus.WithMatchInterface(thingIface)); err != nil {
		t.Fatal(err)
	}
	s.Emit(mainPath+"/thing/one", thingIface, "Happened", "all")
	s.EmitTo(c.Names()[0], mainPath+"/thing/one", thingIface, "Happened", "you")
	for _, want := range []string{"all", "you"} {
		got := <-heard
		for got.Sender == busName { // NameAcquired comes unasked
			got = <-heard
		}
		if got.Body[0] != want {
			t.Errorf("heard %+v; want %s", got, want)
		}
	}

	d.Stop()
	if err := <-left; err == nil {
		t.Error("the bus was left without a reason")
	}
	if err := k.Call(context.Background(), busName, busPath, busName, "ListNames", nil, &names); err == nil {
		t.Error("a call on the lost bus works")
	}
	d.Start()
	<-joined
	things["one"].count.Store(0)
	conversation(t, d.Client(), "org.example.Main", things)
}

// A name that another service has is not shared.
func TestNameTaken(t *testing.T) {
	d := testbus.NewDaemon(t, testbus.Open).Start()
	other := d.Client()
	if _, err := other.RequestName("org.example.Main", 0); err != nil {
		t.Fatal(err)
	}
	s, _ := newService(t)
	err := s.joinOnce(Bus{Address: d.Socket, Names: []string{"org.example.Main"}})
	if err == nil || !strings.Contains(err.Error(), "belongs to somebody else") {
		t.Errorf("joinOnce = %v; want the name to be taken", err)
	}
}

// An unmodified sd-bus client on a bus.
func TestBusctl(t *testing.T) {
	s, things := newService(t)
	d := testbus.NewDaemon(t, testbus.Open).Start()
	joined, done := make(chan *Client, 1), make(chan struct{})
	go func() {
		defer close(done)
		s.Join(Bus{Address: d.Socket, Names: []string{mainIface}, Joined: func(k *Client) { joined <- k }})
	}()
	t.Cleanup(func() { s.Close(); <-done })
	<-joined
	things["one"].count.Store(41)
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("busctl", append([]string{"--address=unix:path=" + d.Socket}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("busctl %q (Debian package systemd): %v\n%s", args, err, out)
		}
		return string(out)
	}
	if got := run("call", mainIface, mainPath+"/thing/one", thingIface, "Add", "u", "1"); got != "u 42\n" {
		t.Errorf("call Add = %q; want u 42", got)
	}
	if got := run("get-property", mainIface, mainPath+"/thing/one", thingIface, "Count"); got != "u 42\n" {
		t.Errorf("get-property = %q; want u 42", got)
	}
	got := run("introspect", mainIface, mainPath+"/thing/one")
	for _, want := range []string{".Add", ".Count", "emits-change writable", ".Lazy", "emits-invalidation", ".Name", "const", ".Happened"} {
		if !strings.Contains(got, want) {
			t.Errorf("introspect does not show %q:\n%s", want, got)
		}
	}
}
