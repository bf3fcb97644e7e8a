package api

import (
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/testkit/conform"
	"dynamod/sd1bridge/internal/upstream"
)

// serve answers on a private socket in front of a manager at the control socket.
func serve(t *testing.T, control string) *dbus.Conn {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	s := New(upstream.New(control, log), Options{Root: "/", Version: "test"}, log)
	socket := filepath.Join(t.TempDir(), "private")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Service().ServePrivate(l, func(uint32) bool { return true }) }()
	t.Cleanup(func() {
		s.Service().Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	c, err := dbus.Dial("unix:path=" + socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Auth(nil); err != nil {
		t.Fatal(err)
	}
	return c
}

// Every member of systemd 257 is shown as it was recorded, or docs/systemd1.md says why
// not. Introspection needs no manager.
func TestIntrospectionIsAsRecorded(t *testing.T) {
	c := serve(t, filepath.Join(t.TempDir(), "nobody"))
	page, err := os.ReadFile("../../../docs/systemd1.md")
	if err != nil {
		t.Fatal(err)
	}
	var shown []conform.Member
	for _, o := range []string{"", "/unit/a_2eservice", "/unit/a_2esocket", "/unit/a_2etimer", "/unit/a_2epath", "/unit/a_2emount",
		"/unit/a_2eautomount", "/unit/a_2eslice", "/unit/a_2escope", "/unit/a_2edevice", logControlPath} {
		if o != logControlPath {
			o = "/org/freedesktop/systemd1" + o
		}
		var text string
		if err := c.Object("", dbus.ObjectPath(o)).Call("org.freedesktop.DBus.Introspectable.Introspect", 0).Store(&text); err != nil {
			t.Fatalf("%q: %v", o, err)
		}
		list, err := conform.Shown(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			if !slices.Contains(shown, m) {
				shown = append(shown, m)
			}
		}
	}
	excused := conform.Excused(string(page))
	used := map[string]bool{}
	for _, d := range conform.Compare(shown) {
		name := strings.TrimSuffix(strings.Fields(d)[1], ":")
		used[name] = true
		if !excused[name] && !strings.HasPrefix(name, "Job.") {
			t.Error(d)
		}
	}
	for name := range excused {
		if !used[name] {
			t.Errorf("docs/systemd1.md excuses %s, which is there", name)
		}
	}
	if len(shown) < 1300 {
		t.Errorf("only %d members are shown", len(shown))
	}
}
