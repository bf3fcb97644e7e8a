package bus

import (
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// The number of a process that has ended may be another's.
func TestProcess(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := &Caller{PID: int32(cmd.Process.Pid), PIDFD: fd}
	defer c.close()
	unheld := &Caller{PID: c.PID, PIDFD: -1}
	for _, who := range []*Caller{c, unheld} {
		if pid, err := who.Process(); err != nil || pid != c.PID {
			t.Errorf("while it runs: %d, %v", pid, err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	if pid, err := c.Process(); NameOf(err) != ErrFailed {
		t.Errorf("after its end: %d, %v", pid, err)
	}
	if pid, err := unheld.Process(); err != nil || pid != c.PID {
		t.Errorf("where nobody can tell: %d, %v", pid, err)
	}
}
