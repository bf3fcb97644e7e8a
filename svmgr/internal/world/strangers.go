package world

import (
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/epoll"
	"dynamod/internal/sys/pidfd"
	"dynamod/internal/sys/proc"
)

// Processes that a former manager started are children of another process by now:
// init, or whoever is the next subreaper. There are three ways to learn how such a
// one ended: from the kernel once it is reaped (pidfd.Info, Linux 6.15), from /proc
// while it is a zombie, and from an init that tells. Where none works it has ended
// unseen.

// lingering is how long the status of a dead process is waited for.
const lingering = 2 * time.Second

// strangerEnded is called by the watcher when a process has ended that is not our
// child.
func (w *World) strangerEnded(p *process) {
	if w.strangerSettled(p) || p.lingers {
		return
	}
	p.lingers = true
	w.unwatchFD(p.pidfd, p.pidTag)
	// Only the hang-up, which is told when it was reaped: that it is dead is so
	// all the time.
	if err := w.watchFD(p.pidfd, epoll.Closed, &p.pidTag, func(uint32) {
		if !w.strangerSettled(p) {
			w.unwatchFD(p.pidfd, p.pidTag) // it stays hung up
			if !w.cfg.EndsTold {
				w.unseen(p)
			}
		}
	}); err != nil && !w.cfg.EndsTold {
		w.unseen(p)
		return
	}
	done := w.senses.ctx.Done()
	w.start(func() { // ends after lingering or with Close
		t := time.NewTimer(lingering)
		defer t.Stop()
		select {
		case <-t.C:
			w.inWatcher(func() { w.unseen(p) })
		case <-done:
		}
	})
}

// unseen gives up.
func (w *World) unseen(p *process) {
	if p.pidfd >= 0 && !w.strangerSettled(p) {
		w.over(p, pidfd.Status{PID: p.pid}, true)
	}
}

// strangerSettled reports the end of a stranger if it can be learned now, or was.
func (w *World) strangerSettled(p *process) bool {
	if p.pidfd < 0 {
		return true
	}
	st, ok := statusOf(p.pidfd, p.pid, p.start)
	if ok {
		w.reported(p)
		w.ledger.ended(w, p, st)
		w.over(p, st, false)
	}
	return ok
}

// statusOf asks kernel and /proc how a process ended that is not our child.
func statusOf(fd, pid int, start uint64) (pidfd.Status, bool) {
	if st, ok, err := pidfd.Info(fd); err == nil && ok {
		return st, true
	}
	if st, ok := zombie(pid, start); ok {
		return st, true
	}
	// It may have been reaped between the two questions.
	st, ok, err := pidfd.Info(fd)
	return st, ok && err == nil
}

// zombie reads how a process ended that waits to be reaped: field 52 of
// /proc/PID/stat.
func zombie(pid int, start uint64) (pidfd.Status, bool) {
	st, err := proc.StatOf(pid)
	if err != nil || st.State != 'Z' || st.Start != start {
		return pidfd.Status{}, false
	}
	if st.Exit == 0 {
		// It is 0 as well for whoever may not look (PTRACE_MODE_READ); the link
		// is guarded by the same.
		if _, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/user"); os.IsPermission(err) {
			return pidfd.Status{}, false
		}
	}
	return pidfd.StatusOf(pid, st.Exit), true
}

// EndedElsewhere takes the end of a process that an init above has reaped.
func (w *World) EndedElsewhere(e Ended) {
	w.inWatcher(func() {
		w.reg.mu.Lock()
		p := w.reg.byPID[e.PID]
		w.reg.mu.Unlock()
		if p == nil || p.pidfd < 0 || e.Start != 0 && e.Start != p.start {
			return
		}
		if e.Start == 0 && unix.PidfdSendSignal(p.pidfd, 0, nil, 0) != unix.ESRCH {
			return // ours lives: it was another one of that number
		}
		w.reported(p)
		w.ledger.ended(w, p, e.status())
		w.over(p, e.status(), false)
	})
}

// endOf is what an init above has told of a process that is gone.
func (w *World) endOf(pid int, start uint64) (pidfd.Status, bool) {
	for _, e := range w.cfg.Ends {
		if e.PID == pid && (e.Start == start || e.Start == 0) {
			return e.status(), true
		}
	}
	return pidfd.Status{}, false
}
