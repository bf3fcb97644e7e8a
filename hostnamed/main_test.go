package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/testkit"
	"dynamod/internal/testkit/testbus"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// The program itself, with files of the test's own. Nothing here calls what would change
// the machine: name and clock are real ones.
var _ = testkit.Register("hostnamed", func(args []string) {
	if err := run(args, slog.New(slog.NewTextHandler(os.Stderr, nil))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
})

// activated is a bus that starts the program for its names, to end after idle.
func activated(t *testing.T, idle string) *testbus.Bus {
	t.Helper()
	services, root := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/hostname"), []byte("vm\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	b := testbus.Start(t, "<servicedir>"+services+"</servicedir>")
	for _, name := range []string{"hostname1", "timedate1", "locale1"} {
		argv := testkit.Command(t, "hostnamed", "-bus", b.Socket, "-root", root, "-idle", idle, "-control", filepath.Join(root, "nobody"))
		text := "[D-BUS Service]\nName=org.freedesktop." + name + "\nExec=" + strings.Join(argv, " ") + "\n"
		if err := os.WriteFile(filepath.Join(services, "org.freedesktop."+name+".service"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Client().BusObject().Call("org.freedesktop.DBus.ReloadConfig", 0).Err; err != nil {
		t.Fatal(err)
	}
	return b
}

var properties = []struct {
	name, property string
	value          any
}{{"hostname1", "StaticHostname", "vm"}, {"timedate1", "Timezone", "UTC"}, {"locale1", "VConsoleKeymap", ""}}

func ask(c *dbus.Conn, i int) error {
	p := properties[i%len(properties)]
	v, err := c.Object("org.freedesktop."+p.name, dbus.ObjectPath("/org/freedesktop/"+p.name)).GetProperty("org.freedesktop." + p.name + "." + p.property)
	if err != nil {
		return fmt.Errorf("%s: %w", p.property, err)
	}
	if v.Value() != p.value {
		return fmt.Errorf("%s is %v; want %v", p.property, v, p.value)
	}
	return nil
}

func TestEndsWhenIdle(t *testing.T) {
	b := activated(t, "300ms")
	c := b.Client()
	owned := func() bool {
		var has bool
		if err := c.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, "org.freedesktop.hostname1").Store(&has); err != nil {
			t.Fatal(err)
		}
		return has
	}
	if owned() {
		t.Error("it runs before somebody asks")
	}
	for range 3 {
		if err := ask(c, 0); err != nil {
			t.Fatal(err)
		}
		var pid uint32
		if err := c.BusObject().Call("org.freedesktop.DBus.GetConnectionUnixProcessID", 0, "org.freedesktop.hostname1").Store(&pid); err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, "nobody has the name", func() bool { return !owned() })
		testkit.Eventually(t, "the process ends", func() bool {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			return err != nil || len(text) == 0
		})
	}
}

// Started and ended all the time, it still answers every call.
func TestNoCallIsLost(t *testing.T) {
	b := activated(t, "1ms")
	var all sync.WaitGroup
	for i := range 3 {
		c := b.Client()
		all.Go(func() {
			for n := range 40 {
				if err := ask(c, i+n); err != nil {
					t.Errorf("call %d of client %d: %v", n, i, err)
				}
			}
		})
	}
	all.Wait()
}

// What the manager is told, in this order: ready, and before the names are given up, that
// it ends.
func TestNotifies(t *testing.T) {
	b := testbus.Start(t, "")
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	done := make(chan error, 1)
	go func() {
		done <- run([]string{"-bus", b.Socket, "-root", t.TempDir(), "-idle", "50ms", "-control", socket + ".none"}, slog.New(slog.DiscardHandler))
	}()
	buf := make([]byte, 4096)
	for _, want := range []string{"READY=1", "STOPPING=1"} {
		if err := l.SetReadDeadline(time.Now().Add(testkit.Patience)); err != nil {
			t.Fatal(err)
		}
		n, err := l.Read(buf)
		if err != nil || !strings.Contains(string(buf[:n]), want) {
			t.Errorf("%q, %v; want %s", buf[:n], err, want)
		}
	}
	if err := testkit.Receive(t, done, "it ends"); err != nil {
		t.Error(err)
	}
}

func TestRefusesArguments(t *testing.T) {
	for _, args := range [][]string{{"x"}, {"-nonsense"}, {"-idle", "soon"}} {
		if err := run(args, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}
