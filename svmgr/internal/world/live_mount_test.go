package world

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/svmgr/internal/core"
)

// A mount that failed is told of the run that it failed for, not of the next one, and no
// unit is untold because many have been.
func TestLiveMountFailedForOneRun(t *testing.T) {
	needRoot(t)
	_, where := own(t)
	r := newRig(t, where)
	u := service(t, "a.service", "PrivateTmp=yes", "ExecStart=/bin/sleep 1000")
	up := func() core.RunID {
		run := r.spawn(u)
		until[core.SpawnDone](r)
		return run
	}
	end := func(run core.RunID) {
		r.Perform(core.Signal{Unit: u.Name, Incarnation: run, Run: run, Signal: int32(unix.SIGKILL)})
		r.lifeOf(run)
	}
	run := up()
	for n := range maxEnds + 1 {
		r.liveMounts.note(fmt.Sprintf("u%d.service", n), unix.EIO)
	}
	if err := r.LiveMount(u.Name, run, "/usr", "/tmp/missing", false, false); err == nil || !r.MountFailed(u.Name) {
		t.Fatalf("a mount at what is not there: %v, told as failed: %v", err, r.MountFailed(u.Name))
	}
	end(run)
	run = up()
	if r.MountFailed(u.Name) {
		t.Error("it has failed for a run that began after it")
	}
	end(run)
}
