package api

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"dynamod/internal/ipc"
	"dynamod/internal/testkit"
	"dynamod/sd1bridge/internal/upstream"
)

var programs struct {
	sync.Once
	dir string
	err error
}

func TestMain(m *testing.M) {
	if name := os.Getenv("OWN_NAME"); name != "" {
		ownName(os.Getenv("OWN_BUS"), name)
	}
	if os.Getenv("STORES") != "" {
		storeMany()
	}
	code := m.Run()
	if programs.dir != "" {
		os.RemoveAll(programs.dir)
	}
	os.Exit(code)
}

// built is a directory with the manager and its helper.
func built(t testing.TB) string {
	t.Helper()
	programs.Do(func() {
		if programs.dir, programs.err = os.MkdirTemp("", "sd1bridge"); programs.err != nil {
			return
		}
		for name, pkg := range map[string]string{"dynamod-svmgr": "dynamod/svmgr", "dynamod-child": "dynamod/svmgr/child"} {
			cmd := exec.Command("go", "build", "-o", filepath.Join(programs.dir, name), pkg)
			if out, err := cmd.CombinedOutput(); err != nil {
				programs.err = err
				os.Stderr.Write(out)
			}
		}
	})
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	return programs.dir
}

// both is a real manager with a bridge before it.
type both struct {
	server *Server
	// control is the manager's own socket.
	control string
	socket  string
	units   string
	// said are the refusals in the bridge's log.
	said *refusals
}

func start(t testing.TB, files map[string]string) *both {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd1") // short: the names of sockets are
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := &both{said: &refusals{}, socket: filepath.Join(dir, "private"), units: filepath.Join(dir, "cfg/units")}
	if err := os.MkdirAll(b.units, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(b.units, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	rt := filepath.Join(dir, "rt")
	cmd := exec.Command(filepath.Join(built(t), "dynamod-svmgr"), "-standalone", "-config-dir", filepath.Join(dir, "cfg"), "-runtime-dir", rt)
	cmd.Stderr = io.Discard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	control := filepath.Join(rt, "control.sock")
	b.control = control
	testkit.Eventually(t, "the manager listens", func() bool {
		c, err := net.Dial("unix", control)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	log := slog.New(slog.NewTextHandler(b.said, nil))
	b.server = New(upstream.New(control, log), Options{Root: "/", Version: "test"}, log)
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { b.server.Run(ctx) })
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: b.socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(b.socket, 0o666); err != nil {
		t.Fatal(err)
	}
	parts.Go(func() { b.server.Service().ServePrivate(l, func(uint32) bool { return true }) })
	t.Cleanup(func() {
		cancel()
		b.server.Service().Close()
		parts.Wait()
		b.server.up.Close()
	})
	return b
}

func (b *both) dial() (*dbus.Conn, error) {
	c, err := dbus.Dial("unix:path=" + b.socket)
	if err != nil {
		return nil, err
	}
	if err := c.Auth(nil); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

var someUnits = map[string]string{
	"web.service":    "[Unit]\nDescription=A web server\n[Service]\nExecStart=/bin/sleep 1000\nExecReload=/bin/true\nEnvironment=A=b\n",
	"bad.service":    "[Service]\nType=oneshot\nExecStart=/bin/false\n",
	"t.timer":        "[Timer]\nOnBootSec=1h\nOnCalendar=daily\nUnit=bad.service\n",
	"s.socket":       "[Socket]\nListenStream=/nowhere/s.sock\nService=web.service\n",
	"never.service":  "[Unit]\nRefuseManualStart=yes\n[Service]\nExecStart=/bin/true\n",
	"default.target": "[Unit]\nDescription=All\n",
}

// An independent client: go-systemd's.
func TestGoSystemd(t *testing.T) {
	b := start(t, someUnits)
	c, err := sd.NewConnection(b.dial)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	done := make(chan string, 1)
	run := func(what string, f func(context.Context, string, string, chan<- string) (int, error), unit, want string) {
		t.Helper()
		if _, err := f(ctx, unit, "replace", done); err != nil {
			t.Fatalf("%s %s: %v", what, unit, err)
		}
		if got := testkit.Receive(t, done, what+" "+unit); got != want {
			t.Errorf("%s %s: %s, want %s", what, unit, got, want)
		}
	}
	run("start", c.StartUnitContext, "web.service", "done")
	run("start again", c.StartUnitContext, "web.service", "done") // nothing to do
	run("start", c.StartUnitContext, "bad.service", "failed")
	run("reload", c.ReloadUnitContext, "web.service", "done")
	p, err := c.GetAllPropertiesContext(ctx, "web.service")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{"ActiveState": "active", "SubState": "running", "LoadState": "loaded", "Description": "A web server", "Result": "success", "Type": "simple"} {
		if p[name] != want {
			t.Errorf("%s is %v, want %v", name, p[name], want)
		}
	}
	pid, _ := p["MainPID"].(uint32)
	run("restart", c.RestartUnitContext, "web.service", "done")
	if v, err := c.GetServicePropertyContext(ctx, "web.service", "MainPID"); err != nil || v.Value.Value() == pid || v.Value.Value() == uint32(0) {
		t.Errorf("after the restart the main process is %v (%v), was %d", v, err, pid)
	}
	run("stop", c.StopUnitContext, "web.service", "done")
	list, err := c.ListUnitsByPatternsContext(ctx, []string{"failed"}, []string{"*.service"})
	if err != nil || len(list) != 1 || list[0].Name != "bad.service" || list[0].SubState != "failed" {
		t.Errorf("failed units: %v, %v", list, err)
	}
	if err := c.ResetFailedUnitContext(ctx, "bad.service"); err != nil {
		t.Error(err)
	}
	for unit, want := range map[string]string{"never.service": "OnlyByDependency", "nowhere.service": "NoSuchUnit"} {
		_, err := c.StartUnitContext(ctx, unit, "replace", nil)
		if e := (dbus.Error{}); err == nil || !asDBus(err, &e) || e.Name != "org.freedesktop.systemd1."+want {
			t.Errorf("start %s: %v, want %s", unit, err, want)
		}
	}
	if _, err := c.StartUnitContext(ctx, "web.service", "nonsense", nil); err == nil || !strings.Contains(err.Error(), "Job mode") {
		t.Errorf("a mode that does not exist: %v", err)
	}
	if names, err := c.ListUnitsByNamesContext(ctx, []string{"nowhere.service"}); err != nil || len(names) != 1 || names[0].LoadState != "not-found" {
		t.Errorf("a unit that does not exist: %v, %v", names, err)
	}
	v, err := c.GetUnitTypePropertiesContext(ctx, "t.timer", "Timer")
	if err != nil || v["Unit"] != "bad.service" {
		t.Errorf("timer: %v, %v", v, err)
	}
}

func asDBus(err error, e *dbus.Error) bool {
	x, ok := err.(dbus.Error)
	*e = x
	return ok
}

// When events were lost, clients are told what units are now.
func TestLostEventsAreMadeGood(t *testing.T) {
	b := start(t, someUnits)
	c, err := b.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// The bridge of this test hears no events but the one that says so.
	deaf := New(upstream.New(b.control, slog.New(slog.DiscardHandler)), Options{Root: "/", Version: "test"}, slog.New(slog.DiscardHandler))
	deaf.first.Do(func() {})
	defer deaf.up.Close()
	socket := filepath.Join(filepath.Dir(b.socket), "deaf")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { deaf.Service().ServePrivate(l, func(uint32) bool { return true }) })
	defer serving.Wait()
	defer deaf.Service().Close()
	c2, err := (&both{socket: socket}).dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c2.Close()
	if err := c2.Object("", "/org/freedesktop/systemd1").Call("org.freedesktop.DBus.Peer.Ping", 0).Err; err != nil {
		t.Fatal(err) // it is a peer now, which signals are sent to
	}
	o := c.Object("", dbus.ObjectPath("/org/freedesktop/systemd1"))
	if err := o.Call(prefix+"Manager.StartUnit", 0, "web.service", "replace").Err; err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the unit is up", func() bool {
		v, err := c.Object("", "/org/freedesktop/systemd1/unit/web_2eservice").GetProperty(prefix + "Unit.SubState")
		return err == nil && v.Value() == "running"
	})
	signals := make(chan *dbus.Signal, 1024)
	c2.Signal(signals)
	deaf.heard(ipc.Event{Kind: ipc.EventDropped, Count: 3})
	deaf.bus.Flush()
	for {
		s := testkit.Receive(t, signals, "PropertiesChanged of web.service")
		if s.Path != "/org/freedesktop/systemd1/unit/web_2eservice" || s.Name != "org.freedesktop.DBus.Properties.PropertiesChanged" {
			continue
		}
		if v := s.Body[1].(map[string]dbus.Variant)["ActiveState"]; v.Value() == "active" {
			return
		}
	}
}
