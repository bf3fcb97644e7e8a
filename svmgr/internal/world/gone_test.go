package world

import (
	"log/slog"
	"os/exec"
	"testing"

	"dynamod/internal/sys/pidfd"
	"dynamod/internal/testkit"
)

// The end of a process is told once it has come; one that is not there is an error.
func TestWhenGone(t *testing.T) {
	w := &World{log: slog.New(slog.DiscardHandler)}
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := int32(cmd.Process.Pid)
	fd, err := pidfd.Open(int(pid))
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan bool, 1)
	if err := w.WhenGone(pid, fd, func() { gone <- true }); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
		t.Fatal("it is told to be gone and lives")
	default:
	}
	cmd.Process.Kill()
	testkit.Receive(t, gone, "the end is told")
	cmd.Wait()
	if err := w.WhenGone(pid, fd, func() {}); err == nil {
		t.Error("a process that has ended is watched")
	}
}
