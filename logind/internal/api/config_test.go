package api

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/testkit"
	"dynamod/logind/internal/session"
)

// Settings come from logind.conf and its drop-ins, are shown, and are read again.
func TestConfig(t *testing.T) {
	r := begin(t)
	show := func(p string) any {
		v, err := r.manager().GetProperty(managerIface + "." + p)
		if err != nil {
			t.Fatal(err)
		}
		return v.Value()
	}
	if show("SessionsMax") != uint64(5) || show("InhibitorsMax") != uint64(8) || show("UserStopDelayUSec") != uint64(1) || show("KillUserProcesses") != false {
		t.Errorf("SessionsMax %v, InhibitorsMax %v, UserStopDelayUSec %v", show("SessionsMax"), show("InhibitorsMax"), show("UserStopDelayUSec"))
	}
	// Not set, as systemd 257 shows them.
	if got, ok := show("KillExcludeUsers").([]string); !ok || len(got) != 0 || show("HandleLidSwitchExternalPower") != "" {
		t.Errorf("KillExcludeUsers %v, HandleLidSwitchExternalPower %v", got, show("HandleLidSwitchExternalPower"))
	}
	file := filepath.Join(r.root, "etc/systemd/logind.conf")
	if err := os.WriteFile(file, []byte("[Login]\nKillUserProcesses=yes\nRuntimeDirectorySize=1M\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.server.Reload()
	if show("SessionsMax") != uint64(8192) || show("KillUserProcesses") != true || show("RuntimeDirectorySize") != uint64(1<<20) {
		t.Errorf("after a reload: SessionsMax %v, RuntimeDirectorySize %v", show("SessionsMax"), show("RuntimeDirectorySize"))
	}
	// A session's rest is killed now, not abandoned.
	l := r.leader()
	c, err := r.create(l.Process.Pid, 1000, "user", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.manager().Call(managerIface+".ReleaseSession", 0, c.ID).Err; err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the scope is stopped", func() bool { return r.units.did("stop session-" + c.ID + ".scope") })
	if r.units.did("abandon session-" + c.ID + ".scope") {
		t.Error("the scope was abandoned")
	}
}

// sleep.conf says what is allowed, from the next question on. Answers and errors are those
// of systemd-logind 257.13 with the same files.
func TestSleepConfig(t *testing.T) {
	r := begin(t)
	r.hw.mu.Lock()
	r.hw.sleeps = []string{"suspend", "hibernate", "hybrid-sleep", "suspend-then-hibernate"}
	r.hw.mu.Unlock()
	can := func(verb string) string {
		var answer string
		if err := r.manager().Call(managerIface+".Can"+verb, 0).Store(&answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Join(r.root, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(r.root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string, want ...string) {
		t.Helper()
		for k, verb := range []string{"Suspend", "Hibernate", "HybridSleep", "SuspendThenHibernate"} {
			if got := can(verb); got != want[k] {
				t.Errorf("%s: Can%s is %s, want %s", when, verb, got, want[k])
			}
		}
	}
	check("without a file", "yes", "yes", "yes", "yes")
	write("usr/lib/systemd/sleep.conf", "[Sleep]\nAllowSuspend=no\n")
	check("AllowSuspend=no", "no", "yes", "no", "no")
	err := r.manager().Call(managerIface+".Suspend", 0, false).Err
	if errorName(err) != "org.freedesktop.login1.SleepVerbNotSupported" || err.Error() != "Sleep verb 'suspend' is disabled by config" {
		t.Errorf("Suspend: %v", err)
	}
	write("etc/systemd/sleep.conf.d/a.conf", "[Sleep]\nAllowHybridSleep=yes\n")
	check("a drop-in", "no", "yes", "yes", "no")
	write("etc/systemd/sleep.conf", "[Sleep]\nAllowHibernation=no\n")
	r.server.Reload()
	check("the first file hides the last", "yes", "no", "yes", "no")
}

// Ctrl+Alt+Shift+Esc is told to all, with its seat.
func TestAttentionSignal(t *testing.T) {
	r := begin(t)
	c := r.bus.Client()
	if err := c.AddMatchSignal(dbus.WithMatchInterface(managerIface), dbus.WithMatchMember("SecureAttentionKey")); err != nil {
		t.Fatal(err)
	}
	signals := make(chan *dbus.Signal, 4)
	c.Signal(signals)
	r.hw.tell(session.Attention{Seat: "seat0"})
	got := testkit.Receive(t, signals, "the signal")
	if got.Path != managerPath || len(got.Body) != 2 || got.Body[0] != "seat0" || got.Body[1] != seatPath("seat0") {
		t.Errorf("the signal is %+v", got)
	}
	v, err := r.manager().GetProperty(managerIface + ".HandleSecureAttentionKey")
	if err != nil || v.Value() != "secure-attention-key" {
		t.Errorf("HandleSecureAttentionKey is %v, %v", v, err)
	}
}
