package api

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/testkit"
	"dynamod/internal/testkit/conform"
	"dynamod/logind/internal/session"
)

func errorName(err error) string {
	var e dbus.Error
	if errors.As(err, &e) {
		return e.Name
	}
	return ""
}

// A login has its files before it is answered, is seen on the bus, and leaves nothing.
func TestLogin(t *testing.T) {
	r := begin(t)
	l := r.leader()
	c, err := r.create(l.Process.Pid, 1000, "user", "seat0", 1)
	if err != nil {
		t.Fatal(err)
	}
	if c.Existing || c.UID != 1000 || c.Seat != "seat0" || c.VT != 1 || c.Path != sessionPath(c.ID) || c.Runtime != filepath.Join(r.root, "run/user/1000") {
		t.Errorf("the reply is %+v", c)
	}
	for _, call := range []string{"start user-runtime-dir@1000.service", "start user@1000.service", "scope session-" + c.ID + ".scope user-1000.slice"} {
		if !r.units.did(call) {
			t.Errorf("%s was not done before the reply", call)
		}
	}
	for _, line := range []string{"UID=1000\n", "USER=ada\n", "STATE=online\n", "SEAT=seat0\n", "VTNR=1\n", "SCOPE=session-" + c.ID + ".scope\n", "CLASS=user\n"} {
		if text := r.read("sessions", c.ID); !strings.Contains(text, line) {
			t.Errorf("%q is not in the session's file:\n%s", line, text)
		}
	}
	if text := r.read("users/1000"); !strings.Contains(text, "ONLINE_SESSIONS="+c.ID+"\n") || !strings.Contains(text, "DISPLAY="+c.ID+"\n") {
		t.Errorf("the user's file:\n%s", text)
	}
	r.server.handle(session.VTShown{VT: 1})
	if text := r.read("seats/seat0"); !strings.Contains(text, "ACTIVE="+c.ID+"\n") || !strings.Contains(text, "ACTIVE_UID=1000\n") {
		t.Errorf("the seat's file:\n%s", text)
	}
	var all map[string]dbus.Variant
	if err := r.conn.Object(Name, c.Path).Call("org.freedesktop.DBus.Properties.GetAll", 0, "").Store(&all); err != nil {
		t.Fatal(err)
	}
	if all["Active"].Value() != true || all["State"].Value() != "active" || all["Leader"].Value() != uint32(l.Process.Pid) {
		t.Errorf("properties are %v", all)
	}
	// Logout: the holder of the FIFO goes.
	syscall.Close(int(c.FIFO))
	testkit.Eventually(t, "nothing is left", func() bool {
		return r.read("sessions", c.ID) == "" && r.read("users/1000") == "" && !strings.Contains(r.read("seats/seat0"), "ACTIVE=")
	})
	if _, err := os.Stat(r.server.fifoPath(c.ID)); err == nil {
		t.Error("the FIFO is left")
	}
	testkit.Eventually(t, "nothing is left in the kernel", func() bool { return slices.Contains(r.hw.since(0), "ipc 1000") })
	if !r.units.did("stop user@1000.service") || !r.units.did("stop user-runtime-dir@1000.service") {
		t.Error("the user's units were not stopped")
	}
}

// What a login brings with it depends on its class (as systemd 257 does).
func TestClasses(t *testing.T) {
	if _, err := begin(t).create(1, 1000, "user-light", "", 0); errorName(err) != "org.freedesktop.DBus.Error.InvalidArgs" {
		t.Errorf("a class that 257 does not have: %v", err)
	}
	for class, want := range map[string]struct{ scope, manager bool }{"user": {true, true}, "background": {true, true}, "background-light": {true, false}, "user-early": {true, true}, "greeter": {true, true},
		"lock-screen": {true, true}, "user-incomplete": {true, false}, "manager-early": {false, false}, "manager": {false, false}} {
		r := begin(t)
		c, err := r.create(r.leader().Process.Pid, 1000, class, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.units.did("scope session-" + c.ID + ".scope user-1000.slice"); got != want.scope {
			t.Errorf("%s: a scope %v", class, got)
		}
		if got := r.units.did("start user@1000.service"); got != want.manager {
			t.Errorf("%s: a manager %v", class, got)
		}
		mode, state := "pin", "active"
		if strings.HasPrefix(class, "manager") {
			mode, state = "any", "online"
		}
		if text := r.read("users/1000"); !strings.Contains(text, "GC_MODE="+mode+"\n") || !strings.Contains(text, "\nSTATE="+state+"\n") {
			t.Errorf("%s: the user's file says\n%s", class, text)
		}
		path := r.conn.Object(Name, sessionPath(c.ID))
		for property, of := range map[string][]string{"CanIdle": {"user", "user-early", "greeter"}, "CanLock": {"user", "user-early"}} {
			if v, err := path.GetProperty(ifacePrefix + "Session." + property); err != nil || v.Value() != slices.Contains(of, class) {
				t.Errorf("%s: %s is %v, %v", class, property, v, err)
			}
		}
		if display := strings.Contains(r.read("sessions", c.ID), "IS_DISPLAY=1\n"); display != slices.Contains([]string{"user", "user-early", "greeter"}, class) {
			t.Errorf("%s: it stands for its user: %v", class, display)
		}
		// One that wants the manager finds it started before its answer.
		if _, err := r.create(r.leader().Process.Pid, 1000, "user", "", 0); err != nil || !r.units.did("start user@1000.service") {
			t.Errorf("after %s: %v, %q", class, err, r.units.all())
		}
	}
}

// The session of the user's manager is answered while the first one waits for it.
func TestNestedManagerSession(t *testing.T) {
	r := begin(t)
	r.units.hold = make(chan struct{})
	first := make(chan error, 1)
	go func() {
		_, err := r.create(r.leader().Process.Pid, 1000, "user", "", 0)
		first <- err
	}()
	testkit.Eventually(t, "user@1000 starts", func() bool { return r.units.did("start user@1000.service") })
	m, err := r.create(r.leader().Process.Pid, 1000, "manager", "", 0)
	if err != nil || m.Existing {
		t.Fatalf("%+v, %v", m, err)
	}
	select {
	case err := <-first:
		t.Fatalf("the login was answered before user@: %v", err)
	default:
	}
	close(r.units.hold)
	if err := testkit.Receive(t, first, "the login is answered"); err != nil {
		t.Fatal(err)
	}
}

// The death of a leader ends its session, also when somebody holds the FIFO.
func TestLeaderDies(t *testing.T) {
	r := begin(t)
	l := r.leader()
	c, err := r.create(l.Process.Pid, 1001, "user", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := r.create(l.Process.Pid, 1001, "user", "", 0); errorName(err) != "org.freedesktop.login1.SessionBusy" {
		t.Errorf("a second session of the same process: %+v, %v", again, err)
	}
	for cgroup, want := range map[string]string{"/user.slice/user-1001.slice/session-" + c.ID + ".scope": "SessionBusy", "/user.slice/user-1000.slice/user@1000.service/app.slice/x.service": "SessionBusy",
		"/system.slice/ssh.service": "", "/user.slice/user-x.slice": ""} {
		other := r.leader()
		r.cgroups.Store(int32(other.Process.Pid), cgroup)
		if _, err := r.create(other.Process.Pid, 1001, "user", "", 0); strings.TrimPrefix(errorName(err), "org.freedesktop.login1.") != want {
			t.Errorf("a session for a process in %s: %v; want %q", cgroup, err, want)
		}
	}
	if err := l.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	l.Wait()
	testkit.Eventually(t, "the session ends", func() bool { return r.read("sessions", c.ID) == "" })
}

// Sessions survive logind, as long as their leaders are where they belong; others are
// forgotten.
func TestRestartForgetsStrangers(t *testing.T) {
	r := begin(t)
	c, err := r.create(r.leader().Process.Pid, 1000, "user", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	r.server.Close()
	if r.read("sessions", c.ID) == "" {
		t.Error("the end of logind removes sessions")
	}
	r.start() // the leader of the test is in no scope of the session
	if r.read("sessions", c.ID) != "" || r.read("users/1000") != "" {
		t.Error("a process that is not in the session's scope passes as its leader")
	}
}

// Inhibitors hold power transitions off, last as long as their descriptor, and are
// bounded.
func TestInhibitors(t *testing.T) {
	r := begin(t)
	lock := func(mode string) (release func(), err error) {
		c := r.bus.Client()
		var fd dbus.UnixFD
		err = c.Object(Name, managerPath).Call(managerIface+".Inhibit", 0, "shutdown:sleep", "test", "because", mode).Store(&fd)
		return func() { syscall.Close(int(fd)); c.Close() }, err
	}
	block, err := lock("block")
	if err != nil {
		t.Fatal(err)
	}
	off := func() error { return r.manager().Call(managerIface+".PowerOff", 0, false).Err }
	if name := errorName(off()); name != "org.freedesktop.DBus.Error.AccessDenied" {
		t.Errorf("PowerOff although it is blocked: %s", name)
	}
	inhibited := func(p string) any {
		v, err := r.manager().GetProperty(managerIface + "." + p)
		if err != nil {
			t.Fatal(err)
		}
		return v.Value()
	}
	if got := inhibited("BlockInhibited"); got != "shutdown:sleep" {
		t.Errorf("BlockInhibited is %v", got)
	}
	block()
	testkit.Eventually(t, "the lock ends with its descriptor", func() bool { return inhibited("BlockInhibited") == "" })
	delay, err := lock("delay")
	if err != nil {
		t.Fatal(err)
	}
	if err := off(); err != nil {
		t.Fatal(err)
	}
	if r.units.did("shutdown poweroff") {
		t.Error("the delay was not waited for")
	}
	if got := inhibited("PreparingForShutdown"); got != true {
		t.Errorf("PreparingForShutdown is %v", got)
	}
	delay()
	testkit.Eventually(t, "the machine goes down", func() bool { return r.units.did("shutdown poweroff") })
	if name := errorName(off()); name != session.ErrProgress {
		t.Errorf("a second PowerOff: %s", name)
	}
}

// Floods meet limits, and wrong requests meet the errors that clients know (W67, W68,
// W93 of the original).
func TestHostileRequests(t *testing.T) {
	r := begin(t)
	for _, c := range []struct {
		what string
		call *dbus.Call
		name string
	}{
		{"pid -1", r.manager().Call(managerIface+".CreateSession", 0, uint32(1000), uint32(1<<32-1), "x", "tty", "user", "", "", uint32(0), "", "", false, "", "", []property{}), "org.freedesktop.DBus.Error.InvalidArgs"},
		{"a newline", r.manager().Call(managerIface+".CreateSession", 0, uint32(1000), uint32(os.Getpid()), "x\nSEAT=seat0", "tty", "user", "", "", uint32(0), "", "", false, "", "", []property{}), "org.freedesktop.DBus.Error.InvalidArgs"},
		{"no session", r.manager().Call(managerIface+".GetSession", 0, "77"), session.ErrNoSession},
		{"no user", r.manager().Call(managerIface+".GetUser", 0, uint32(77)), "org.freedesktop.login1.NoSuchUser"},
		{"no seat", r.manager().Call(managerIface+".GetSeat", 0, "../x"), session.ErrNoSeat},
		{"signal", r.manager().Call(managerIface+".GetSessionByPID", 0, uint32(1)), "org.freedesktop.login1.NoSessionForPID"},
		{"what", r.manager().Call(managerIface+".Inhibit", 0, "everything", "a", "b", "block"), "org.freedesktop.DBus.Error.InvalidArgs"},
		{"delay idle", r.manager().Call(managerIface+".Inhibit", 0, "idle", "a", "b", "delay"), "org.freedesktop.DBus.Error.InvalidArgs"},
		{"no arguments", r.manager().Call(managerIface+".GetSession", 0), "org.freedesktop.DBus.Error.InvalidArgs"},
		{"flags", r.manager().Call(managerIface+".PowerOffWithFlags", 0, uint64(1<<40)), "org.freedesktop.DBus.Error.InvalidArgs"},
	} {
		if name := errorName(c.call.Err); name != c.name {
			t.Errorf("%s: %q (%v); want %s", c.what, name, c.call.Err, c.name)
		}
	}
	// An ssh login has no seat, and does not get one.
	c, err := r.create(r.leader().Process.Pid, 1000, "user", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	r.server.handle(session.VTShown{VT: 1})
	// What clients go by was measured with systemd: systemctl starts poweroff.target by
	// itself after any other refusal than AccessDenied.
	var fd dbus.UnixFD
	if err := r.manager().Call(managerIface+".Inhibit", 0, "shutdown:sleep", "a", "b", "block").Store(&fd); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		call *dbus.Call
		want string
	}{
		"blocked":          {r.manager().Call(managerIface+".PowerOffWithFlags", 0, uint64(0)), "org.freedesktop.DBus.Error.AccessDenied: Access denied due to active block inhibitor"},
		"no seat":          {r.manager().Call(managerIface+".ActivateSession", 0, c.ID), "org.freedesktop.DBus.Error.NotSupported: Operation not supported"},
		"kill whom":        {r.manager().Call(managerIface+".KillSession", 0, c.ID, "nonsense", int32(15)), "org.freedesktop.DBus.Error.InvalidArgs: Invalid kill parameter 'nonsense'"},
		"no such terminal": {r.conn.Object(Name, seatPath("seat0")).Call(ifacePrefix+"Seat.SwitchTo", 0, uint32(99)), "org.freedesktop.DBus.Error.InvalidArgs: Invalid argument"},
		"no control":       {r.conn.Object(Name, c.Path).Call(ifacePrefix+"Session.SetType", 0, "wayland"), "org.freedesktop.login1.NotInControl: You must be in control of this session to set type"},
	} {
		if got := errorName(c.call.Err) + ": " + fmt.Sprint(c.call.Err); got != c.want {
			t.Errorf("%s: %s; want %s", what, got, c.want)
		}
	}
	syscall.Close(int(fd))
	if text := r.read("seats/seat0"); strings.Contains(text, "ACTIVE=") || strings.Contains(text, c.ID) {
		t.Errorf("a session without a seat is on seat0:\n%s", text)
	}
	var last error
	for range 10 {
		if _, last = r.create(r.leader().Process.Pid, 1000, "user", "", 0); last != nil {
			break
		}
	}
	if name := errorName(last); name != "org.freedesktop.DBus.Error.LimitsExceeded" {
		t.Errorf("a flood of sessions: %v", last)
	}
	last = nil
	for range 20 {
		if last = r.manager().Call(managerIface+".Inhibit", 0, "sleep", "a", "b", "block").Err; last != nil {
			break
		}
	}
	if name := errorName(last); name != "org.freedesktop.DBus.Error.LimitsExceeded" {
		t.Errorf("a flood of inhibitors: %v", last)
	}
}

// Every member of systemd 257 is shown as it was recorded, or docs/login1.md says why not.
func TestIntrospectionIsAsRecorded(t *testing.T) {
	r := begin(t)
	c, err := r.create(r.leader().Process.Pid, 1000, "user", "seat0", 1)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../../docs/login1.md")
	if err != nil {
		t.Fatal(err)
	}
	var shown []conform.Member
	for _, o := range []dbus.ObjectPath{managerPath, c.Path, seatPath("seat0"), userPath(1000)} {
		var text string
		if err := r.conn.Object(Name, o).Call("org.freedesktop.DBus.Introspectable.Introspect", 0).Store(&text); err != nil {
			t.Fatalf("%s: %v", o, err)
		}
		list, err := conform.ShownOf("login1", text)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, list...)
	}
	excused := conform.Excused(string(page))
	var used []string
	for _, d := range conform.CompareOf("login1", shown) {
		name := strings.TrimSuffix(strings.Fields(d)[1], ":")
		used = append(used, name)
		if !excused[name] {
			t.Error(d)
		}
	}
	for name := range excused {
		if !slices.Contains(used, name) {
			t.Errorf("docs/login1.md excuses %s, which is there", name)
		}
	}
	if len(shown) < 120 {
		t.Errorf("only %d members are shown", len(shown))
	}
}
