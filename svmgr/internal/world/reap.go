package world

import (
	"errors"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/epoll"
	"dynamod/internal/sys/pidfd"
	"dynamod/svmgr/internal/child"
	"dynamod/svmgr/internal/core"
)

// watchLoop is the watcher: it waits for everything but output and ends when
// Close closes the set. Nobody else reaps.
func (w *World) watchLoop() {
	err := w.watch.Wait(func(e epoll.Event) {
		w.reg.mu.Lock()
		f := w.reg.tags[e.Tag]
		w.reg.mu.Unlock()
		if f != nil {
			f(e.Events)
		}
	})
	_ = err // closed: the only end there is
}

// readReport takes what the helper wrote. The stream ends at the exec, or with
// the helper.
func (w *World) readReport(p *process) {
	p.armed()
	if p.status < 0 {
		return
	}
	var buf [child.MaxReport]byte
	for {
		n, err := unix.Read(p.status, buf[:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return
		case err == nil && n > 0:
			if len(p.report) < 2*child.MaxReport {
				p.report = append(p.report, buf[:n]...)
			}
			continue
		}
		break
	}
	w.settle(p)
}

// settle reports how the set-up went.
func (w *World) settle(p *process) {
	w.closeStatus(p)
	executed, failure := child.ParseReport(p.report)
	p.report = nil
	switch {
	case failure != nil:
		p.told, p.failed, p.failure = true, true, failure
		w.log.Info("set-up failed", "unit", p.group.unit, "run", p.run, "stage", failure.Stage,
			"about", failure.Path, "err", unix.Errno(failure.Errno))
		w.commandFailed(p, failure.Stage)
		w.post(core.SpawnFailed{Run: p.run, Stage: failure.Stage, Errno: failure.Errno})
	case executed:
		p.told = true
		w.commandExecuted(p)
		w.post(core.SpawnDone{Run: p.run})
	}
	// Neither: it was killed in between, which its exit status tells.
}

func (w *World) closeStatus(p *process) {
	fd := p.status
	p.status = -1
	w.unwatchFD(fd, p.statusTag)
	unix.Close(fd)
}

// reap takes the exit status of a process whose descriptor became readable.
func (w *World) reap(p *process) {
	if w.hook.beforeReap != nil {
		w.hook.beforeReap()
	}
	p.armed()
	if p.pidfd < 0 {
		return
	}
	if w.ledger != nil {
		if st, ok, err := pidfd.Look(p.pidfd); err == nil && ok {
			w.reported(p)
			w.ledger.ended(w, p, st)
		}
	}
	st, ok, err := pidfd.Reap(p.pidfd)
	if err != nil {
		if !errors.Is(err, unix.ECHILD) {
			w.log.Error("cannot reap", "unit", p.group.unit, "pid", p.pid, "err", err)
		}
		// It is the child of somebody else since a former manager died.
		w.strangerEnded(p)
		return
	}
	if ok {
		w.over(p, st, false)
	}
}

// over forgets a process that was reaped and reports its end. The report of its
// set-up comes first.
func (w *World) over(p *process, st pidfd.Status, unseen bool) {
	w.reported(p)
	g := p.group
	// The cause comes before the effect: of a kill the kernel tells up to 10 ms late,
	// and whoever waited for the killed process may have ended since.
	w.checkOOM(g)
	w.reg.mu.Lock()
	if w.reg.byRun[p.run] == p {
		delete(w.reg.byRun, p.run)
	}
	if w.reg.byPID[p.pid] == p {
		delete(w.reg.byPID, p.pid)
	}
	delete(g.live, p.run)
	g.pending++ // until its end is told
	if !unseen && !p.failed {
		w.commands.ends(p, st, time.Now())
	}
	if p.role == core.RoleMain && !unseen && !p.failed && !g.removed { // left behind: the unit may be gone
		w.ends.note(g.unit, LastEnd{Status: st, At: time.Now()})
	}
	w.reg.mu.Unlock()
	w.unwatchFD(p.pidfd, p.pidTag)
	unix.Close(p.pidfd)
	p.pidfd = -1
	if !p.failed {
		w.post(core.Exited{Run: p.run, Code: st.Code, Signal: st.Signal, Core: st.Core, Unseen: unseen})
	}
	w.toldOne(g)
	w.ended(p.run)
	if isTableStage(p.stage) {
		w.tableRunEnded(g.unit, p.stage, st.Code != 0 || st.Signal != 0)
	}
	w.checkEmpty(g)
}

// reported takes the report of the set-up of a process that is dead.
func (w *World) reported(p *process) {
	w.readReport(p)
	if p.status >= 0 {
		// The writer is dead, but a process that is being forked for another
		// run may hold the other end until its own exec: what was read is
		// all there is, though the end of the stream has not come.
		w.settle(p)
	}
}

// startOrphans reaps what nobody else waits for: processes of services whose
// parents died become children of a subreaper (prctl(2)). SIGCHLD only wakes the
// watcher, which looks for itself.
func (w *World) startOrphans() {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		w.log.Error("orphans will not be reaped", "err", err)
		return
	}
	var tag uint64
	if err := w.watchFD(fd, epoll.In, &tag, func(uint32) {
		var b [8]byte
		_, _ = unix.Read(fd, b[:])
		w.reapAll()
	}); err != nil {
		w.log.Error("orphans will not be reaped", "err", err)
		unix.Close(fd)
		return
	}
	ch := make(chan os.Signal, 1) // a second SIGCHLD says nothing new: dropped
	signal.Notify(ch, unix.SIGCHLD)
	ch <- unix.SIGCHLD // what ended before us
	stop := make(chan struct{})
	w.start(func() { // ends at Close
		one := [8]byte{1}
		for {
			select {
			case <-ch:
				_, _ = unix.Write(fd, one[:])
			case <-stop:
				signal.Stop(ch)
				unix.Close(fd)
				return
			}
		}
	})
	w.hook.closed = append(w.hook.closed, func() { close(stop) })
}

// reapAll reaps every child that has ended, known or not.
func (w *World) reapAll() {
	for {
		// After the barrier, a child that is not registered is an orphan.
		w.reg.forking.Lock()
		pid, err := pidfd.Peek()
		if pid == 0 || err != nil {
			w.reg.forking.Unlock()
			return
		}
		w.reg.mu.Lock()
		p := w.reg.byPID[pid]
		w.reg.mu.Unlock()
		if p == nil {
			_, _ = pidfd.ReapPID(pid)
		}
		w.reg.forking.Unlock()
		if p != nil {
			w.reap(p)
		}
	}
}

// closeAll closes what is left when all goroutines have ended.
func (w *World) closeAll() {
	w.reg.mu.Lock()
	for _, p := range w.reg.byRun {
		unix.Close(p.pidfd)
		if p.status >= 0 {
			unix.Close(p.status)
		}
	}
	w.reg.mu.Unlock()
	w.out.closeAll()
	unix.Close(w.ev.fd)
	unix.Close(w.errands.fd)
	unix.Close(w.null)
	w.spare.close()
}
