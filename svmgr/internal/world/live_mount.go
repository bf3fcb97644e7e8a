package world

import (
	"fmt"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/mount"
	"dynamod/internal/sys/pidfd"
	"dynamod/svmgr/internal/core"
)

// LiveMount mounts a file or directory into the mount namespace of a run. It must have one
// of its own (EXDEV).
func (w *World) LiveMount(unitName string, run core.RunID, source, target string, readOnly, makes bool) error {
	pid, ok := w.PID(run)
	if !ok {
		return unix.ESRCH
	}
	fd, err := pidfd.Open(pid)
	if err != nil {
		return unix.ESRCH
	}
	defer unix.Close(fd)
	if again, ok := w.PID(run); !ok || again != pid {
		return unix.ESRCH
	}
	var its, ours unix.Stat_t
	if unix.Stat(fmt.Sprintf("/proc/%d/ns/mnt", pid), &its) != nil || unix.Stat("/proc/self/ns/mnt", &ours) != nil {
		return unix.ESRCH
	}
	if its.Dev == ours.Dev && its.Ino == ours.Ino {
		return unix.EXDEV
	}
	err = w.spare.do(func() error {
		return mount.Into{PIDFD: fd, PID: pid, Source: source, Target: target, ReadOnly: readOnly, Make: makes}.Bind()
	})
	w.noteMount(unitName, run, err)
	if err != nil {
		w.log.Error("mount into a unit that runs", "unit", unitName, "source", source, "target", target, "err", err)
	}
	return err
}

// liveMounts are the units into which the last mount failed, until one succeeds or they
// start anew; reg.mu is held. How many there are is bounded by maxEnds.
type liveMounts map[string]bool

func (l liveMounts) note(unitName string, err error) {
	if err == nil {
		delete(l, unitName)
		return
	}
	for other := range l {
		if len(l) < maxEnds {
			break
		}
		delete(l, other)
	}
	l[unitName] = true
}

// noteMount does not count what became of a mount into a run that has ended meanwhile.
func (w *World) noteMount(unitName string, run core.RunID, err error) {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	if w.reg.byRun[run] != nil {
		w.liveMounts.note(unitName, err)
	}
}

// MountFailed says that the last mount into the unit's newest run failed.
func (w *World) MountFailed(unitName string) bool {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	return w.liveMounts[unitName]
}
