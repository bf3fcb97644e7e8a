package api

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/ipc"
	"dynamod/internal/testkit"
)

// What is told without asking the manager is never older than what others were told: who
// has the answer to a request reads what came of it, though a moment ago it was otherwise.
func TestFresh(t *testing.T) {
	h := start(t, map[string]string{"default.target": "[Unit]\nDescription=All\n", "web.service": "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/sleep 1000\n"})
	c, err := h.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	other, err := ipc.Dial(ctx, h.control)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	o := c.Object("", "/org/freedesktop/systemd1/unit/web_2eservice")
	read := func(name, want string) {
		t.Helper()
		for range 3 { // the later ones need not be asked for
			if v, err := o.GetProperty(prefix + name); err != nil || !strings.Contains(v.String(), want) {
				t.Fatalf("%s is %v (%v), want %s", name, v, err, want)
			}
		}
	}
	listed := func(want string) {
		t.Helper()
		var rows []unitRow
		if err := c.Object("", "/org/freedesktop/systemd1").Call(prefix+"Manager.ListUnits", 0).Store(&rows); err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if r.Name == "web.service" && r.Active == want {
				return
			}
		}
		if want != "inactive" { // one at rest that nothing needs is not there
			t.Fatalf("web.service is not listed as %s", want)
		}
	}
	read("Unit.ActiveState", "inactive")
	for range 20 {
		for _, x := range []struct {
			verb ipc.Verb
			want string
		}{{ipc.VerbStart, `"active"`}, {ipc.VerbStop, "inactive"}} {
			if err := other.Call(ctx, x.verb, &ipc.JobArgs{Unit: "web.service", Wait: true, Force: true}, nil); err != nil {
				t.Fatal(err)
			}
			read("Unit.ActiveState", x.want)
			listed(strings.Trim(x.want, `"`))
		}
	}
	if err := other.Call(ctx, ipc.VerbMark, &ipc.MarkArgs{Unit: "web.service", Add: []string{"needs-restart"}}, nil); err != nil {
		t.Fatal(err)
	}
	read("Unit.Markers", "needs-restart")
}

// As long as nothing happens, a manager that does not answer need not: what it told holds.
// When it is gone, nothing holds any more.
func TestHoldsWithoutTheManager(t *testing.T) {
	h := start(t, someUnits)
	c, err := h.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	o := c.Object("", "/org/freedesktop/systemd1/unit/web_2eservice")
	get := func() (dbus.Variant, error) { return o.GetProperty(prefix + "Unit.ActiveState") }
	pid := int(h.server.ping().PID)
	signal := func(sig syscall.Signal) {
		t.Helper()
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Eventually(t, "nothing happens between an answer and the moment at which the manager stands still", func() bool {
		if v, err := get(); err != nil || v.Value() != "inactive" {
			t.Fatalf("%v, %v", v, err)
		}
		signal(syscall.SIGSTOP)
		testkit.Eventually(t, "it stands still", func() bool {
			stat, _ := os.ReadFile("/proc/" + itoa(pid) + "/stat")
			return strings.Contains(string(stat), ") T ")
		})
		if h.server.up.Remembers("web.service") != nil {
			return true
		}
		signal(syscall.SIGCONT)
		return false
	})
	v, err := get()
	signal(syscall.SIGCONT)
	if err != nil || v.Value() != "inactive" {
		t.Errorf("while the manager stands still: %v, %v", v, err)
	}
	signal(syscall.SIGKILL)
	testkit.Eventually(t, "a manager that is gone tells nothing", func() bool {
		_, err := get()
		return err != nil
	})
}

// What is on the disk is never older than the question, also when all else is known to be
// the same, and whether or not the manager is asked again.
func TestFreshOnDisk(t *testing.T) {
	h := start(t, map[string]string{"default.target": "[Unit]\nWants=web.service\n", "web.service": "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=other.target\n"})
	c, err := h.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	o := c.Object("", "/org/freedesktop/systemd1/unit/web_2eservice")
	read := func(state string, reload bool) {
		t.Helper()
		for range 3 { // the later ones need not be asked for
			for _, x := range []struct {
				name string
				want any
			}{{"Id", "web.service"}, {"UnitFileState", state}, {"NeedDaemonReload", reload}} {
				if v, err := o.GetProperty(prefix + "Unit." + x.name); err != nil || v.Value() != x.want {
					t.Errorf("%s is %v (%v), want %v", x.name, v, err, x.want)
				}
			}
		}
	}
	read("disabled", false)
	wants := filepath.Join(h.units, "other.target.wants")
	if err := os.Mkdir(wants, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../web.service", filepath.Join(wants, "web.service")); err != nil {
		t.Fatal(err)
	}
	read("enabled", false)
	if err := os.WriteFile(filepath.Join(h.units, "web.service"), []byte("[Service]\nExecStart=/bin/sleep 2000\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if v, err := o.GetProperty(prefix + "Unit.NeedDaemonReload"); err != nil || v.Value() != true {
		t.Errorf("a file that has changed: NeedDaemonReload is %v (%v)", v, err)
	}
	var all map[string]dbus.Variant
	if err := o.Call("org.freedesktop.DBus.Properties.GetAll", 0, prefix+"Unit").Store(&all); err != nil || all["NeedDaemonReload"].Value() != true {
		t.Errorf("a file that has changed, among all properties: %v (%v)", all["NeedDaemonReload"], err)
	}
}

// Who asks for the state of files again and again is answered without the manager, as long as
// nothing there changes. A change is seen at once; until the manager tells, nobody does.
func TestFilesWithoutTheManager(t *testing.T) {
	h := start(t, map[string]string{"default.target": "[Unit]\nWants=web.service\n", "web.service": "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=other.target\n"})
	pid := int(h.server.ping().PID)
	still := func(sig syscall.Signal, mark string) {
		t.Helper()
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, "it stands still, or does not", func() bool {
			stat, _ := os.ReadFile("/proc/" + itoa(pid) + "/stat")
			return strings.Contains(string(stat), ") T ") == (mark == "T")
		})
	}
	defer syscall.Kill(pid, syscall.SIGCONT)
	ask := func(patience time.Duration) (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		u, err := h.server.up.OnDisk(ctx, "web.service")
		if err != nil {
			return "", err
		}
		return u.Enabled, nil
	}
	const long, short = time.Minute, 50 * time.Millisecond
	wants := filepath.Join(h.units, "other.target.wants")
	for _, x := range []struct {
		is     string
		change func() error
	}{
		{"disabled", func() error { return os.Mkdir(wants, 0o755) }},
		{"disabled", func() error { return os.Symlink("../web.service", filepath.Join(wants, "web.service")) }},
		{"enabled", func() error { return os.Remove(filepath.Join(wants, "web.service")) }},
		{"disabled", func() error { return os.Remove(filepath.Join(h.units, "web.service")) }},
	} {
		testkit.Eventually(t, "an answer without the manager", func() bool {
			for range 4 {
				if got, err := ask(long); err != nil || got != x.is {
					t.Fatalf("%q (%v), want %s", got, err, x.is)
				}
			}
			still(syscall.SIGSTOP, "T")
			if got, err := ask(short); err == nil {
				if got != x.is {
					t.Fatalf("without the manager: %q, want %s", got, x.is)
				}
				return true
			}
			still(syscall.SIGCONT, "")
			return false
		})
		if err := x.change(); err != nil {
			t.Fatal(err)
		}
		if got, err := ask(short); err == nil {
			t.Errorf("after a change that nobody was asked about: %q", got)
		}
		still(syscall.SIGCONT, "")
	}
	if got, err := ask(long); err != nil || got != "not-found" {
		t.Errorf("the file is gone: %q (%v)", got, err)
	}
}
