package world

import (
	"fmt"
	"sync"

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
	w.liveMounts.note(unitName, err)
	if err != nil {
		w.log.Error("mount into a unit that runs", "unit", unitName, "source", source, "target", target, "err", err)
	}
	return err
}

// liveMounts are the units into which the last mount failed, as long as that lasts.
type liveMounts struct {
	mu     sync.Mutex
	failed map[string]bool
}

func (l *liveMounts) note(unitName string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		delete(l.failed, unitName)
		return
	}
	if l.failed == nil {
		l.failed = map[string]bool{}
	}
	if len(l.failed) < maxEnds {
		l.failed[unitName] = true
	}
}

// MountFailed says that the last mount into the unit failed.
func (w *World) MountFailed(unitName string) bool {
	w.liveMounts.mu.Lock()
	defer w.liveMounts.mu.Unlock()
	return w.liveMounts.failed[unitName]
}
