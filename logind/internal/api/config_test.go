package api

import (
	"os"
	"path/filepath"
	"testing"

	"dynamod/internal/testkit"
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
