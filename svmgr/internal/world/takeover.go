package world

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/cgroup"
	"dynamod/internal/sys/pidfd"
	"dynamod/internal/sys/proc"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/child"
	"dynamod/svmgr/internal/core"
)

// Taking over. A killed manager leaves processes behind, and what it wrote down: the
// core's events before their actions (package loop), and in the ledger each process
// before its helper may go on, and each thing that the kernel tells only once before
// it is taken. docs/survival.md lists every window between these and how it resolves.
//
// A process is recognised by number and start time, and held by pidfd before that
// is compared.

// TakeOver finds what a killed manager left behind and begins to watch it. It is
// called once, before the first action; v is the core as it was, runs are those that
// it knows. Events of what is found may come from then on; told are those that must
// follow ManagerRestored.
func (w *World) TakeOver(v core.View, runs []core.RunID) (restored core.ManagerRestored, told []core.Event, err error) {
	was, err := readLedger(w.cfg.Record)
	if err != nil {
		return restored, nil, err
	}
	w.tookOver = true
	unitOf := func(name string) *unit.Unit { u, _ := v.Unit(name); return u.Unit }
	known := map[core.RunID]bool{}
	for _, id := range runs {
		known[id] = true
	}
	started := map[core.RunID]bool{}
	pipes := map[*group][]processEntry{}
	newest := was.newest()
	for k := range was.groups {
		// An older one is of interest only if something of it lives: it was
		// left behind under a name of its own.
		e := &was.groups[k]
		if pop, err := cgroup.Populated(e.Dir); e.Incarnation == newest[e.Unit] || strings.Contains(e.Dir, ".gen") && err == nil && pop {
			w.groupAgain(e, unitOf)
		}
	}
	for k := range was.processes {
		e := &was.processes[k]
		was.noteLast(e)
		if e.Incarnation != newest[e.Unit] && !alive(e) {
			started[e.Run] = true
			continue
		}
		g := w.groupAgain(&groupEntry{Unit: e.Unit, Incarnation: e.Incarnation, Invocation: e.Invocation}, unitOf)
		if g == nil {
			started[e.Run] = true
			continue
		}
		g.sessions[e.PID] = struct{}{}
		pipes[g] = append(pipes[g], *e)
		_, ended := was.open.ends[e.Run]
		p := w.processAgain(g, e, ended)
		switch {
		case p == nil && !ended:
			st, ok := w.endOf(e.PID, e.Start)
			if ok && st.Code == child.ExitUnheld && st.Signal == 0 {
				continue // it never got its go-ahead: unborn
			}
			if ok && known[e.Run] {
				was.open.read(&entry{End: &endEntry{Run: e.Run, Status: st, At: time.Now()}})
				was.noteLast(e)
				ended = true
			}
		case p != nil && !known[e.Run]:
			w.log.Warn("a process that the core does not know is killed", "unit", e.Unit, "pid", e.PID)
			_ = pidfd.Signal(p.pidfd, int32(unix.SIGKILL))
		}
		started[e.Run] = true
		if !known[e.Run] || p == nil && !ended {
			continue
		}
		restored.Alive = append(restored.Alive, e.Run)
		if end, ok := was.open.ends[e.Run]; !ok || end.Stage == "" {
			told = append(told, core.SpawnDone{Run: e.Run})
		}
	}
	w.reg.mu.Lock()
	for _, e := range was.last {
		if _, known := v.Unit(e.Unit); known { // the ledger has those that are gone, too
			w.ends.note(e.Unit, e.LastEnd)
		}
	}
	w.reg.mu.Unlock()
	have := w.outputsAgain()
	for g, runs := range pipes {
		w.pipesAgain(g, runs, have)
	}
	w.readyAgain(was.open.ready)
	w.storeAgain(unitOf)
	restored.Populated = w.populatedUnits()
	for _, id := range runs {
		if !started[id] {
			restored.Unborn = append(restored.Unborn, id)
		}
	}
	slices.Sort(restored.Alive)
	told = append(told, was.open.again(w, known)...)
	told = append(told, w.socketsAgain(v)...)
	told = append(told, w.connectionsAgain(unitOf, func(name string) bool { u, ok := v.Unit(name); return !ok || !u.State.Up() })...)
	w.dropRest()
	w.goOn(&was.open)
	if w.cfg.Subreaper && w.cfg.Replaces {
		w.startOrphans() // not before: who has died meanwhile is known only now
	}
	return restored, told, nil
}

// noteLast takes note of how a main process ended, whether the core knows it or not.
func (r *written) noteLast(e *processEntry) {
	if end, ok := r.open.ends[e.Run]; ok && e.Role == core.RoleMain && end.Stage == "" {
		r.last = append(r.last, lastEntry{e.Unit, LastEnd{Status: end.Status, At: end.At}})
	}
}

// newest is the incarnation of each unit that was begun last.
func (r *written) newest() map[string]core.RunID {
	newest := map[string]core.RunID{}
	for k := range r.groups {
		newest[r.groups[k].Unit] = max(newest[r.groups[k].Unit], r.groups[k].Incarnation)
	}
	for k := range r.processes {
		newest[r.processes[k].Unit] = max(newest[r.processes[k].Unit], r.processes[k].Incarnation)
	}
	return newest
}

// populatedUnits are those with a process in their present group.
func (w *World) populatedUnits() (out []string) {
	w.reg.mu.Lock()
	all := make([]*group, 0, len(w.reg.groups))
	for _, g := range w.reg.groups {
		all = append(all, g)
	}
	w.reg.mu.Unlock()
	for _, g := range all {
		if len(g.live) > 0 || len(w.members(g)) > 0 {
			out = append(out, g.unit)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// goOn begins a ledger of this manager's own, in which what was not handled comes
// first.
func (w *World) goOn(open *unhandled) {
	n := w.senses.notify
	n.mu.Lock()
	n.told = uint64(len(open.notes))
	n.mu.Unlock()
	for k := range open.notes {
		open.notes[k].Seq = uint64(k + 1)
	}
	w.ledger.mu.Lock()
	w.ledger.open = *open
	err := w.ledger.rewrite(w)
	w.ledger.broken = err != nil
	w.ledger.mu.Unlock()
	if err != nil {
		w.log.Error("processes cannot be written down; if the manager is killed now, services will be lost", "err", err)
	}
}

// Watch begins to look for the ends of what was taken over without a process of its
// own: daemons that left their parents. It posts events and comes after the loop
// has begun.
func (w *World) Watch() { w.checkAllGroups() }

// groupAgain makes the record of a group, nil if its unit is not known any more.
func (w *World) groupAgain(e *groupEntry, unitOf func(string) *unit.Unit) *group {
	key := groupKey{e.Unit, e.Incarnation}
	w.reg.mu.Lock()
	g := w.reg.groups[key]
	w.reg.mu.Unlock()
	if g == nil {
		u := unitOf(e.Unit)
		if u == nil {
			return nil
		}
		g = &group{groupKey: key, u: u, live: map[core.RunID]*process{}, sessions: map[int]struct{}{}}
		w.reg.mu.Lock()
		w.reg.groups[key] = g
		if old := w.reg.current[e.Unit]; old == nil || old.inc < e.Incarnation {
			w.reg.current[e.Unit] = g
		}
		w.reg.mu.Unlock()
	}
	if g.invocation == "" {
		g.invocation = e.Invocation
	}
	if e.Dir == "" || g.dir != "" || w.cg.root == "" || !strings.HasPrefix(e.Dir, w.cg.root+"/") || !cgroup.Valid(e.Dir) {
		return g
	}
	w.slicesAgain(g.u, unitOf)
	w.reg.mu.Lock()
	g.dir, g.rel = e.Dir, w.cg.base+strings.TrimPrefix(e.Dir, w.cg.root)
	w.reg.byPath[g.rel] = g
	w.reg.mu.Unlock()
	if n, err := cgroup.Event(g.dir, "memory.events", "oom_kill"); err == nil {
		g.oomSeen = n // told by the former one, or lost with it
	}
	w.watchGroup(g)
	return g
}

// alive says that the process that was written down is there still.
func alive(e *processEntry) bool {
	st, err := proc.StatOf(e.PID)
	return err == nil && st.Start == e.Start && st.State != 'Z' && st.State != 'X'
}

// processAgain registers a process if it is still the one that was written down. One
// that is dead and not reaped counts, unless its end is known (ended).
func (w *World) processAgain(g *group, e *processEntry, ended bool) *process {
	fd, err := pidfd.Open(e.PID)
	if err != nil {
		return nil
	}
	st, err := proc.StatOf(e.PID)
	if err != nil || st.Start != e.Start || st.State == 'X' || ended && st.State == 'Z' {
		unix.Close(fd)
		return nil
	}
	p := &process{run: e.Run, role: e.Role, stage: e.Stage, group: g, pid: e.PID, pidfd: fd, status: -1, told: true, adopted: true,
		start: e.Start, outPipe: e.Out, errPipe: e.Err}
	w.register(p)
	if err := w.supervise(p); err != nil {
		w.log.Error("a process cannot be watched: it counts as ended", "unit", g.unit, "pid", p.pid, "err", err)
		w.forget(p)
		unix.Close(fd)
		return nil
	}
	return p
}

// pipesAgain finds the pipes of standard output and error again, at whoever of the
// group holds them, and reads on. Those in have are read already.
func (w *World) pipesAgain(g *group, runs []processEntry, have map[uint64]bool) {
	want := map[string]func(fd int){}
	for _, e := range runs {
		for _, x := range []struct {
			inode  uint64
			stderr bool
		}{{e.Out, false}, {e.Err, true}} {
			if x.inode != 0 && !have[x.inode] {
				want["pipe:["+strconv.FormatUint(x.inode, 10)+"]"] = func(fd int) { w.out.add(fd, g.unit, e.Run, x.stderr, g.u) }
			}
		}
	}
	pids := w.members(g)
	for _, p := range g.live {
		if !slices.Contains(pids, p.pid) {
			pids = append(pids, p.pid)
		}
	}
	for _, pid := range pids {
		dir := fmt.Sprintf("/proc/%d/fd/", pid)
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // it has just ended
		}
		for _, e := range entries {
			if len(want) == 0 {
				return
			}
			link, err := os.Readlink(dir + e.Name())
			if err != nil || want[link] == nil {
				continue
			}
			fd, err := unix.Open(dir+e.Name(), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
			if err != nil {
				w.log.Warn("output of a service cannot be read any more", "unit", g.unit, "pid", pid, "err", err)
				continue
			}
			want[link](fd)
			delete(want, link)
		}
	}
}
