package api

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"dynamod/internal/testkit"
	"dynamod/logind/internal/session"
)

// A shutdown that is scheduled is told to those on terminals, survives logind, and can be
// taken back.
func TestScheduledShutdown(t *testing.T) {
	r := begin(t)
	// The terminal of a session is a pseudo terminal of the test.
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(int(master.Fd()), true); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/pts", filepath.Join(r.root, "dev/pts")); err != nil {
		t.Fatal(err)
	}
	err = r.manager().Call(managerIface+".CreateSession", 0, uint32(1000), uint32(r.leader().Process.Pid), "sshd", "tty", "user", "", "", uint32(0),
		"pts/"+strconv.Itoa(n), "", true, "", "", []property{}).Err
	if err != nil {
		t.Fatal(err)
	}
	call := func(member string, args ...any) *dbus.Call {
		return r.manager().Call(managerIface+"."+member, 0, args...)
	}
	at := uint64(time.Now().Add(3 * time.Minute).UnixMicro())
	for kind, want := range map[string]string{"suspend": "org.freedesktop.DBus.Error.InvalidArgs", "": "org.freedesktop.DBus.Error.InvalidArgs"} {
		if err := call("ScheduleShutdown", kind, at).Err; errorName(err) != want {
			t.Errorf("%q: %v", kind, err)
		}
	}
	if err := call("ScheduleShutdown", "reboot", ^uint64(0)).Err; errorName(err) != "org.freedesktop.DBus.Error.InvalidArgs" {
		t.Errorf("a maintenance window that is not configured: %v", err)
	}
	if err := call("SetWallMessage", "new kernel\x1b[2J", true).Err; err != nil {
		t.Fatal(err)
	}
	if err := call("ScheduleShutdown", "reboot", at).Err; err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	buf := make([]byte, 4096)
	testkit.Eventually(t, "the terminal shows what is to come", func() bool {
		if k, err := unix.Read(int(master.Fd()), buf); err == nil {
			seen.Write(buf[:k])
		} else if err != unix.EAGAIN {
			t.Fatal(err)
		}
		return strings.Contains(seen.String(), "The system will restart at") && strings.Contains(seen.String(), "new kernel")
	})
	if strings.Contains(seen.String(), "\x1b") {
		t.Errorf("a message gives the terminal orders: %q", seen.String())
	}
	scheduled := func() (v schedule) {
		p, err := r.manager().GetProperty(managerIface + ".ScheduledShutdown")
		if err == nil {
			err = dbus.Store([]any{p.Value()}, &v)
		}
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if got := scheduled(); got.Kind != "reboot" || got.At != at {
		t.Errorf("scheduled is %v", got)
	}
	if text := r.read("shutdown/scheduled"); !strings.Contains(text, "MODE=reboot\n") {
		t.Errorf("the file says:\n%s", text)
	}
	nologin := filepath.Join(r.root, "run/nologin")
	if _, err := os.Stat(nologin); err != nil {
		t.Errorf("three minutes before, logins are let in: %v", err)
	}
	r.server.Close()
	r.start()
	if got := scheduled(); got.Kind != "reboot" || got.At != at {
		t.Errorf("after a restart, scheduled is %v", got)
	}
	var was bool
	if err := call("CancelScheduledShutdown").Store(&was); err != nil || !was {
		t.Errorf("cancelled %v, %v", was, err)
	}
	if err := call("CancelScheduledShutdown").Store(&was); err != nil || was {
		t.Errorf("cancelled twice: %v, %v", was, err)
	}
	if got := scheduled(); got.Kind != "" || got.At != math.MaxUint64 { // as systemd-logind 257.13 shows none
		t.Errorf("afterwards, scheduled is %v", got)
	}
	if _, err := os.Stat(nologin); err == nil || r.read("shutdown/scheduled") != "" {
		t.Error("something is left of the shutdown")
	}
	if err := call("ScheduleShutdown", "poweroff", uint64(time.Now().Add(-time.Second).UnixMicro())).Err; err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "a shutdown in the past is one now", func() bool { return r.units.did("shutdown poweroff") })
}

// What a machine cannot do is not offered, and "sleep" is what it can.
func TestSleep(t *testing.T) {
	r := begin(t)
	can := func(what string) (answer string) {
		if err := r.manager().Call(managerIface+".Can"+what, 0).Store(&answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	for _, what := range []string{"Suspend", "Hibernate", "HybridSleep", "SuspendThenHibernate", "Sleep"} {
		if got := can(what); got != "na" {
			t.Errorf("Can%s is %s", what, got)
		}
	}
	if err := r.manager().Call(managerIface+".Sleep", 0, uint64(0)).Err; errorName(err) != "org.freedesktop.login1.SleepVerbNotSupported" {
		t.Errorf("Sleep: %v", err)
	}
	r.hw.mu.Lock()
	r.hw.sleeps = []string{"suspend"}
	r.hw.mu.Unlock()
	if can("Suspend") != "yes" || can("Sleep") != "yes" || can("Hibernate") != "na" {
		t.Error("suspend is not what is offered")
	}
	if err := r.manager().Call(managerIface+".Sleep", 0, uint64(0)).Err; err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the machine sleeps, and is awake again", func() bool {
		v, err := r.manager().GetProperty(managerIface + ".PreparingForSleep")
		return err == nil && v.Value() == false && strings.Contains(strings.Join(r.hw.since(0), " "), "sleep suspend")
	})
	// The power key is an order like any other, and inhibited like any other.
	if err := r.manager().Call(managerIface+".Inhibit", 0, "handle-power-key", "test", "why", "block").Err; err != nil {
		t.Fatal(err)
	}
	r.hw.tell(session.Key{Name: "power", Down: true})
	if r.units.did("shutdown poweroff") {
		t.Error("the power key is not inhibited (W72 of the original)")
	}
	v, err := r.manager().GetProperty(managerIface + ".HandlePowerKey")
	if err != nil || v.Value() != "poweroff" {
		t.Errorf("HandlePowerKey is %v, %v", v, err)
	}
}
