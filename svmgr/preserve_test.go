package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"dynamod/internal/ipc"
	"dynamod/internal/testkit"
)

// RuntimeDirectoryPreserve=restart (systemd.exec(5)): the directory outlives a restart,
// by people and after a crash, and goes with a stop. Clients hear which job it was.
func TestRuntimeDirectoryPreserve(t *testing.T) {
	r := begin(t, map[string]string{"first.toml": "[service]\nname = \"first\"\nexec = [\"/bin/sleep\", \"1000\"]\n"})
	c := r.client()
	dir := filepath.Join(r.run, "run/kept")
	const common = "ExecStart=/bin/sleep 1000\nRestart=on-failure\nRestartSec=10ms\n"
	r.writeUnit("keeps.service", "[Service]\n"+common+"RuntimeDirectoryPreserve=restart\nRuntimeDirectory=kept\n")
	exists := func() bool { _, err := os.Stat(dir + "/mark"); return err == nil }

	r.job(c, ipc.VerbStart, "keeps.service")
	r.until(c, "keeps.service", "active")
	if err := os.WriteFile(dir+"/mark", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	told := r.client()
	sub, err := told.Subscribe(t.Context(), ipc.SubscribeArgs{Kinds: []string{ipc.EventUnit}, Units: []string{"keeps.service"}})
	if err != nil {
		t.Fatal(err)
	}
	restarted := status(t, c, "keeps.service").PID
	r.job(c, ipc.VerbRestart, "keeps.service")
	now := r.until(c, "keeps.service", "active")
	if now.PID == restarted || !exists() {
		t.Fatalf("after a restart (pid %d, was %d) the directory is there: %v", now.PID, restarted, exists())
	}
	down := false
	for !down {
		e, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		down = e.State == "inactive"
		if down && (e.JobType != "restart" || e.Job == 0) {
			t.Errorf("the end of the former process is told as %+v; want the job, a restart", e)
		}
	}
	if err := syscall.Kill(int(now.PID), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "it comes back", func() bool {
		s := status(t, c, "keeps.service")
		return s.State == "active" && s.PID != now.PID
	})
	if !exists() {
		t.Error("a crash and the restart after it removed the directory")
	}
	r.job(c, ipc.VerbStop, "keeps.service")
	testkit.Eventually(t, "the directory goes with the stop", func() bool { _, err := os.Stat(dir); return os.IsNotExist(err) })
}
