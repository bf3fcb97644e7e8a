package world

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/cgroup"
	"dynamod/internal/sys/pidfd"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

func (w *World) groupOf(name string, inc core.RunID) *group {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	return w.reg.groups[groupKey{name, inc}]
}

// What is sent goes through the unit's strand, behind the spawns that the core
// asked for before: a signal cannot overtake its process.

// sent is a signal on its way, perhaps with a value (sigqueue(3)).
type sent struct {
	number int32
	queue  bool
	value  int32
}

// to sends it to the process of a pidfd.
func (s sent) to(fd int) error {
	if s.queue {
		return pidfd.Queue(fd, s.number, s.value)
	}
	return pidfd.Signal(fd, s.number)
}

func (w *World) performSignal(a core.Signal) {
	w.pool.do(a.Unit, func() {
		if a.Run == 0 {
			if g := w.groupOf(a.Unit, a.Incarnation); g != nil {
				w.signalAll(g, sent{a.Signal, a.Queue, a.Value})
			}
			return
		}
		if err := w.signalRun(a.Run, sent{a.Signal, a.Queue, a.Value}); err != nil {
			w.log.Warn("cannot signal", "unit", a.Unit, "run", a.Run, "signal", a.Signal, "err", err)
		}
	})
}

// signalRun signals the process of a run. One that is gone already is no error.
func (w *World) signalRun(run core.RunID, sig sent) error {
	// The descriptor must not be closed, and its number reused, meanwhile.
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	p := w.reg.byRun[run]
	if p == nil || p.pidfd < 0 {
		return nil
	}
	err := sig.to(p.pidfd)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// signalRounds bounds the chase after processes that fork while they are being
// signalled. cgroup.kill needs none.
const signalRounds = 10

// signalAll signals every process of the incarnation, once each.
func (w *World) signalAll(g *group, sig sent) {
	if sig.number == int32(unix.SIGKILL) && w.killGroup(g) {
		return
	}
	seen := map[int]bool{}
	for range signalRounds {
		fresh := false
		for _, pid := range w.members(g) {
			if seen[pid] {
				continue
			}
			seen[pid], fresh = true, true
			w.signalMember(g, pid, sig)
		}
		if !fresh {
			return
		}
	}
}

// signalMember signals a process by handle, after making sure that the number
// still means a member: it may have been reused since the list was read.
func (w *World) signalMember(g *group, pid int, sig sent) {
	fd, err := pidfd.Open(pid)
	if err != nil {
		return // gone
	}
	defer unix.Close(fd)
	if !w.isMember(g, pid) {
		return
	}
	if err := sig.to(fd); err != nil && !errors.Is(err, unix.ESRCH) {
		w.log.Warn("cannot signal", "unit", g.unit, "pid", pid, "signal", sig.number, "err", err)
	}
}

// killGroup kills by cgroup.kill. It returns false when there is none.
func (w *World) killGroup(g *group) bool {
	w.reg.mu.Lock()
	dir := g.dir
	w.reg.mu.Unlock()
	if dir == "" {
		return false
	}
	err := w.spare.do(func() error { return cgroup.Kill(dir) })
	switch {
	case err == nil:
		return true
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV):
		// The group is gone, or the kernel is older than 5.14.
		_, stat := os.Stat(dir)
		return stat != nil
	}
	w.log.Error("cannot kill a cgroup", "dir", dir, "err", err)
	return false
}

func (w *World) performKill(a core.KillCgroup) {
	w.pool.do(a.Unit, func() {
		g := w.groupOf(a.Unit, a.Incarnation)
		if g == nil {
			return
		}
		w.reg.mu.Lock()
		g.killed = true
		w.reg.mu.Unlock()
		w.signalAll(g, sent{number: int32(unix.SIGKILL)})
		w.checkEmpty(g)
	})
}

func (w *World) performFreeze(name string, on bool) {
	w.pool.do(name, func() {
		w.reg.mu.Lock()
		g := w.reg.current[name]
		w.reg.mu.Unlock()
		if g == nil {
			return
		}
		if g.dir != "" {
			if err := cgroup.Freeze(g.dir, on); err != nil {
				w.log.Error("cannot freeze or thaw", "unit", name, "on", on, "err", err)
			}
			return
		}
		sig := unix.SIGCONT
		if on {
			sig = unix.SIGSTOP
		}
		w.signalAll(g, sent{number: int32(sig)})
	})
}

// performRemove forgets an incarnation: its group, and what was made for it.
func (w *World) performRemove(a core.RemoveCgroup) {
	if g := w.groupOf(a.Unit, a.Incarnation); g != nil && unit.RuntimeDirectoryPreserve.Of(g.u) == "restart" {
		w.reg.mu.Lock()
		w.preserve[a.Unit] = g.u
		w.reg.mu.Unlock()
	}
	w.pool.do(a.Unit, func() {
		if g := w.groupOf(a.Unit, a.Incarnation); g != nil && g.dir != "" && w.cfg.Leaves != nil {
			w.cfg.Leaves(a.Unit, g.dir) // before anybody can see that it is gone
		}
		w.reg.mu.Lock()
		g := w.reg.groups[groupKey{a.Unit, a.Incarnation}]
		if g == nil {
			w.reg.mu.Unlock()
			return
		}
		g.removed = true
		delete(w.reg.groups, g.groupKey)
		if w.reg.current[a.Unit] == g {
			delete(w.reg.current, a.Unit)
		}
		w.reg.mu.Unlock()
		w.removeDirectories(g)
		if g.dir != "" && !w.dropGroup(g) {
			w.reg.mu.Lock()
			g.leaked = true
			w.reg.mu.Unlock()
			w.warn(g.unit, "the cgroup "+g.dir+" still holds processes and was left behind")
			w.checkEmpty(g) // its last process may have ended just now
		}
	})
}

// dropGroup removes the group's directory, and the slices above it that have
// become empty.
func (w *World) dropGroup(g *group) bool {
	w.cg.mu.Lock()
	defer w.cg.mu.Unlock()
	if err := w.spare.do(func() error { return cgroup.Remove(g.dir) }); err != nil {
		if !errors.Is(err, unix.EBUSY) {
			w.log.Error("cannot remove a cgroup", "dir", g.dir, "err", err)
		}
		return false
	}
	w.unwatchGroup(g)
	w.reg.mu.Lock()
	if w.reg.byPath[g.rel] == g {
		delete(w.reg.byPath, g.rel)
	}
	w.reg.mu.Unlock()
	for up := filepath.Dir(g.dir); len(up) > len(w.cg.root); up = filepath.Dir(up) {
		if unix.Rmdir(up) != nil {
			break
		}
		w.forgetDir(up)
	}
	return true
}

// Sweep removes the groups that hold nothing any more, at the end of a manager: the
// removals that were asked for last may not have had their turn.
func (w *World) Sweep() {
	w.reg.mu.Lock()
	var all []*group
	for _, g := range w.reg.groups {
		if g.dir != "" {
			all = append(all, g)
		}
	}
	w.reg.mu.Unlock()
	for _, g := range all {
		if pop, err := w.populatedDir(g.dir); err == nil && !pop {
			w.dropGroup(g)
		}
	}
}

// removeLeaked removes a group that was left behind, when its last process ended.
func (w *World) removeLeaked(g *group) {
	if !g.leaked || !w.dropGroup(g) {
		return
	}
	w.reg.mu.Lock()
	g.leaked = false
	w.reg.mu.Unlock()
	w.log.Info("a cgroup that was left behind is gone", "unit", g.unit, "dir", g.dir)
}
