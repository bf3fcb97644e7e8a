package api

import (
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"dynamod/internal/bus"
	"dynamod/logind/internal/boot"
	"dynamod/logind/internal/session"
)

// stranger is a client of the bus that runs as a user who has no session.
func (r *rig) stranger(uid int) *dbus.Conn {
	r.t.Helper()
	for d := r.root; d != "/"; d = filepath.Dir(d) {
		if fi, err := os.Stat(d); err == nil && fi.Mode().Perm()&0o711 != 0o711 {
			if err := os.Chmod(d, fi.Mode().Perm()|0o711); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	type made struct {
		conn *dbus.Conn
		err  error
	}
	ch := make(chan made, 1)
	go func() {
		// Who connects is a matter of the thread; this one ends with the goroutine.
		runtime.LockOSThread()
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); e != 0 {
			ch <- made{nil, e}
			return
		}
		c, err := dbus.Dial("unix:path=" + r.bus.Socket)
		if err == nil {
			if err = c.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(uid))}); err == nil {
				err = c.Hello()
			}
		}
		ch <- made{c, err}
	}()
	m := <-ch
	if m.err != nil {
		r.t.Fatalf("connect as user %d: %v", uid, m.err)
	}
	r.t.Cleanup(func() { m.conn.Close() })
	return m.conn
}

// argument makes a value for an argument that would do something, if it were allowed.
func argument(t *testing.T, name, kind, id string) any {
	switch name {
	case "session_id":
		return id
	case "seat_id":
		return "seat0"
	case "uid":
		return uint32(1000)
	case "what":
		return "shutdown"
	case "mode":
		return "block"
	case "whom":
		return "all"
	case "signal_number":
		return int32(9)
	case "subsystem":
		return "backlight"
	case "sysfs_path":
		return "/sys/devices/x"
	}
	switch kind {
	case "s":
		return "reboot"
	case "u":
		return uint32(1)
	case "i":
		return int32(1)
	case "t":
		return uint64(1 << 50)
	case "b":
		return true
	case "h":
		return dbus.UnixFD(0)
	case "a(sv)":
		return []property{}
	}
	t.Fatalf("no value for %s of type %s", name, kind)
	return nil
}

// A user of no session, or of another one, asks for everything there is: he is told what
// everybody may know, and nothing happens (W66, W67, W69 and W93 of the original).
func TestStrangerMayNothing(t *testing.T) {
	t.Run("no session", func(t *testing.T) { strangerMayNothing(t, false) })
	t.Run("another session", func(t *testing.T) { strangerMayNothing(t, true) })
}

func strangerMayNothing(t *testing.T, loggedIn bool) {
	const nobody = 65534 // the bus wants users who are listed
	r := begin(t)
	r.bootsWith(everyWish, "reboot") // it is the right that is missing, and nothing else
	c, err := r.create(r.leader().Process.Pid, 1000, "user", "seat0", 1)
	if err != nil {
		t.Fatal(err)
	}
	sessions := uint64(1)
	if loggedIn {
		if _, err := r.create(r.leader().Process.Pid, nobody, "user", "seat0", 2); err != nil {
			t.Fatal(err)
		}
		sessions++
	}
	r.server.handle(session.VTShown{VT: 1})
	r.hw.mu.Lock()
	r.hw.sleeps = []string{"suspend", "hibernate", "hybrid-sleep", "suspend-then-hibernate"}
	r.hw.mu.Unlock()
	them := r.stranger(nobody)
	marks, calls := len(r.hw.since(0)), r.units.all()
	paths := map[string]dbus.ObjectPath{"Manager": managerPath, "Session": c.Path, "Seat": seatPath("seat0"), "User": userPath(1000)}
	asked := 0
	for name, iface := range bus.FromList(memberList, r.server.parts()) {
		for _, m := range iface.Methods {
			var args []any
			for _, a := range m.In {
				args = append(args, argument(t, a.Name, a.Type, c.ID))
			}
			err := them.Object(Name, paths[name]).Call(iface.Name+"."+m.Name, 0, args...).Err
			asked++
			open := slices.ContainsFunc([]string{"Get", "List", "Can"}, func(p string) bool { return strings.HasPrefix(m.Name, p) })
			// CancelScheduledShutdown is among them: with nothing to cancel, nothing is refused.
			if err == nil && !open {
				t.Errorf("%s.%s is done for a stranger", name, m.Name)
			}
			if n := errorName(err); err != nil && (n == "org.freedesktop.DBus.Error.NoReply" || n == "org.freedesktop.DBus.Error.UnknownMethod") {
				t.Errorf("%s.%s: %v", name, m.Name, err)
			}
		}
	}
	if asked < 70 {
		t.Errorf("only %d methods were asked for", asked)
	}
	if got := r.hw.since(marks); len(got) > 0 {
		t.Errorf("the machine was told %q", got)
	}
	if got := r.units.all(); !reflect.DeepEqual(got, calls) {
		t.Errorf("units were told %q", got)
	}
	if v, ok := r.server.viewSession(c.ID); !ok || v.state != "active" || v.Controller != "" || v.Locked {
		t.Errorf("the session has changed: %+v", v)
	}
	if l := r.server.boot; l.Parameter() != "" || l.Firmware() || l.Menu() != boot.NoMenu || l.Entry() != "" {
		t.Error("the next start has been told something")
	}
	if v := r.server.viewManager(); v.inhibitors != 0 || uint64(v.sessions) != sessions || v.pending != nil || v.scheduled.Kind != "" {
		t.Errorf("the manager has changed: %+v", v)
	}
}
