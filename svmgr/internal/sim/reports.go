package sim

import (
	"slices"
	"time"

	"dynamod/svmgr/internal/core"
)

// notify sends a datagram as the process itself.
func (w *world) notify(p *proc, n core.Notification) {
	w.report(core.Notified{Unit: p.unit, Incarnation: p.group.inc, Run: p.id, Notification: n}, nil)
}

// becomeReady is READY=1, sometimes from a child, or with a new MAINPID=.
func (w *world) becomeReady(p *proc) {
	p.ready = true
	n := core.Notification{Ready: true}
	if w.mood == wild {
		if w.dice.in(30) {
			n.Status = "up and running"
		}
		if w.dice.in(10) {
			n.MainPID = 4000 + int32(w.dice.IntN(100))
			if !p.group.dead {
				p.group.kids++
			}
		}
		if w.dice.in(12) {
			w.report(core.Notified{Unit: p.unit, Incarnation: p.group.inc, Notification: n}, nil)
			return
		}
	}
	w.notify(p, n)
}

// chatter is what a daemon tells of itself while it runs, and what others forge.
func (w *world) chatter(p *proc, c *character) {
	spec := w.spec(p.unit)
	if spec.Has("WatchdogSec") {
		period, _ := time.ParseDuration(spec.Get("WatchdogSec"))
		for i := range c.pings {
			w.after(p, time.Duration(i+1)*period*2/3, func() {
				if w.mood == wild && !w.frozen[p.unit] {
					w.notify(p, core.Notification{Watchdog: true})
				}
			})
		}
		if w.dice.in(10) {
			w.after(p, w.dice.span(20*time.Second), func() { w.notify(p, core.Notification{WatchdogTrigger: true}) })
		}
		if w.dice.in(10) {
			longer := 2 * period
			w.notify(p, core.Notification{WatchdogPeriod: &longer})
		}
	}
	if w.dice.in(12) {
		w.after(p, w.dice.span(10*time.Second), func() { w.gossip(p) })
	}
	if spec.Has("FileDescriptorStoreMax") && w.dice.in(60) {
		for range 1 + w.dice.IntN(4) {
			n := core.Notification{FDStore: 1 + w.dice.IntN(3), FDName: pick(w.dice, "a", "b", "")}
			if w.dice.in(20) {
				n = core.Notification{FDRemove: true, FDName: "a"}
			}
			w.after(p, w.dice.span(5*time.Second), func() { w.notify(p, n) })
		}
	}
}

// gossip is one notification of any kind, from anybody.
func (w *world) gossip(p *proc) {
	n := pick(w.dice, core.Notification{Ready: true}, core.Notification{Reloading: true},
		core.Notification{Reloading: true, ReloadStamp: w.now}, core.Notification{Stopping: true},
		core.Notification{Status: "busy"}, core.Notification{ExtendTimeout: 5 * time.Second},
		core.Notification{MainPID: 77}, core.Notification{Errno: 5, ExitStatus: "3"},
		core.Notification{FDStore: 1, FDName: "x"}, core.Notification{Watchdog: true})
	ev := core.Notified{Unit: p.unit, Incarnation: p.group.inc, Run: p.id, Notification: n}
	switch w.dice.IntN(5) {
	case 0: // another process of the same cgroup
		ev.Run = 0
	case 1: // one of an older incarnation
		if old := w.glist[w.dice.IntN(len(w.glist))]; old.unit == p.unit {
			ev.Incarnation, ev.Run = old.inc, 0
		}
	case 2: // one that claims to be another unit
		ev.Unit = w.glist[w.dice.IntN(len(w.glist))].unit
	}
	w.report(ev, nil)
	if n.Reloading && w.dice.in(70) {
		w.after(p, w.dice.span(3*time.Second), func() { w.notify(p, core.Notification{Ready: true}) })
	}
}

// reloads answers a reload signal if the unit speaks the handshake; it says
// whether SIGHUP was that.
func (w *world) reloads(p *proc) bool {
	spec := w.spec(p.unit)
	if spec.Get("Type") != "notify-reload" || p.role != core.RoleMain {
		return false
	}
	if w.mood == wild && w.dice.in(15) {
		return true // does not answer
	}
	stamp := w.now
	w.after(p, w.delay(), func() {
		w.notify(p, core.Notification{Reloading: true, ReloadStamp: stamp + 1})
		w.after(p, w.patience(), func() { w.notify(p, core.Notification{Ready: true}) })
	})
	return true
}

// adopt looks for the process that a unit named, or guesses.
func (w *world) adopt(a core.Adopt) {
	if _, open := w.adopts[a.Run]; !open {
		return
	}
	delete(w.adopts, a.Run)
	ev := core.MainPID{Unit: a.Unit, Incarnation: a.Incarnation, Run: a.Run}
	g := w.groupOf(a.Unit, a.Incarnation)
	if suffixOf(a.Unit) == "scope" {
		if ev.Found = !g.signalled && (w.mood != wild || w.dice.in(90)); ev.Found {
			w.populateScope(g)
		}
		w.report(ev, nil)
		return
	}
	if g.kids > 0 && (w.mood != wild || w.dice.in(92)) {
		g.kids--
		ev.Found = true
		p := &proc{id: a.Run, group: g, unit: a.Unit, stage: core.StageStart, alive: true, execed: true}
		w.procs[a.Run] = p
		w.order = append(w.order, p)
		g.procs = append(g.procs, p)
		// The process is watched from here on, so that its end cannot be
		// told before this.
		w.todo.put(item{at: w.now, ev: ev})
		w.live(p, w.character(a.Unit))
		return
	}
	w.report(ev, nil)
}

func (w *world) answerListen(a core.Listen) {
	if _, open := w.listens[a.Run]; !open {
		return
	}
	delete(w.listens, a.Run)
	var errno int32
	if w.mood == wild && w.dice.in(5) {
		errno = pick[int32](w.dice, 98, 13)
	} else {
		w.listening[a.Unit.Name] = true
	}
	w.report(core.Listening{Run: a.Run, Errno: errno}, nil)
}

func (w *world) answerProbe(a core.Probe) {
	if w.mood == wild && w.dice.in(3) {
		return // the answer is lost
	}
	res := core.ProbeResult{Run: a.Run, OK: true}
	for _, c := range a.Conditions {
		holds := w.mood != wild || w.dice.in(85)
		res.Held = append(res.Held, holds != c.Negate) // the fact, before '!'
	}
	for _, name := range a.Checks {
		res.Findings = append(res.Findings, core.Finding{Name: name, OK: w.mood != wild || w.dice.in(85)})
	}
	open := func() bool { _, ok := w.probes[a.Run]; return ok }
	d := w.delay()
	switch a.What {
	case core.ProbeReady, core.ProbeReadyFD:
		if w.mood == wild && w.dice.in(10) {
			return // never ready
		}
		if w.mood == wild {
			d = w.patience()
		}
	case core.ProbeHealth:
		res.OK = w.mood != wild || w.dice.in(75)
		if !res.OK {
			res.Detail = "connection refused"
		}
	}
	w.later(d, func() {
		if open() {
			delete(w.probes, a.Run)
			w.report(res, nil)
		}
	})
}

func (w *world) watch(a core.Watch) {
	k := watchKey{a.Unit.Name, a.What}
	w.watchSeq++
	mine := w.watchSeq
	w.watching[k] = mine
	if w.mood == passive {
		return
	}
	armed := func() bool { return w.watching[k] == mine }
	if a.What == core.WatchBusName {
		for _, p := range w.order {
			if p.alive && p.unit == k.unit && p.owns != "" {
				w.report(core.BusNameAcquired{Name: p.owns, Unit: k.unit}, nil)
			}
		}
		return
	}
	c := w.character(k.unit)
	if w.mood != wild || c.triggers == 0 || !w.dice.in(80) {
		return
	}
	c.triggers--
	w.later(w.dice.span(20*time.Second), func() {
		if !armed() || w.mood != wild {
			return
		}
		delete(w.watching, k)
		switch a.What {
		case core.WatchSocket:
			w.report(core.Readable{Unit: k.unit}, nil)
		case core.WatchPaths:
			w.report(core.PathChanged{Unit: k.unit, Watch: w.dice.IntN(2)}, nil)
		case core.WatchAutomount:
			w.report(core.AutomountRequested{Unit: k.unit}, nil)
		}
	})
}

// populateScope puts processes that others started into the cgroup of a scope.
func (w *world) populateScope(g *group) {
	g.kids = 2
	if w.mood == wild {
		g.kidsDeaf = w.dice.in(20)
		if w.dice.in(50) {
			w.later(w.dice.span(30*time.Second), func() { w.endKids(g) })
		}
	}
}

// heard keeps the truth in step with the events of a replayed trace.
func (w *world) heard(ev core.Event) {
	switch ev := ev.(type) {
	case core.SpawnDone:
		if p := w.procs[ev.Run]; p != nil {
			p.execed = true
		}
	case core.SpawnFailed:
		if p := w.procs[ev.Run]; p != nil {
			p.alive, p.told = false, true
		}
	case core.Exited:
		if p := w.procs[ev.Run]; p != nil {
			p.alive, p.told = false, true
		}
	case core.CgroupEmpty:
		// It is true whenever it is told, so all that were there have
		// ended; the reports of that may still come.
		if g := w.groups[groupKey{ev.Unit, ev.Incarnation}]; g != nil {
			for _, p := range g.procs {
				p.alive = false
			}
		}
	case core.MainPID:
		a, ok := w.adopts[ev.Run]
		delete(w.adopts, ev.Run)
		if ok && ev.Found && suffixOf(a.Unit) != "scope" {
			p := &proc{id: a.Run, group: w.groupOf(a.Unit, a.Incarnation), unit: a.Unit,
				stage: core.StageStart, alive: true, execed: true}
			w.procs[a.Run] = p
			w.order = append(w.order, p)
			p.group.procs = append(p.group.procs, p)
		}
	case core.ProbeResult:
		delete(w.probes, ev.Run)
	case core.Ready:
		delete(w.probes, ev.Run)
	case core.Listening:
		if a, ok := w.listens[ev.Run]; ok && ev.Errno == 0 {
			w.listening[a.Unit.Name] = true
		}
		delete(w.listens, ev.Run)
	case core.Readable:
		delete(w.watching, watchKey{ev.Unit, core.WatchSocket})
	case core.PathChanged:
		delete(w.watching, watchKey{ev.Unit, core.WatchPaths})
	case core.AutomountRequested:
		delete(w.watching, watchKey{ev.Unit, core.WatchAutomount})
	case core.MountChanged:
		w.mounted[ev.Unit] = ev.Mounted
	case core.DeviceAppeared:
		w.plugged[ev.Unit] = !ev.Gone
	}
}

// restart is the death of the manager and the coming of a new one: reports on
// their way are lost, and so are the answers to open questions and all watches.
// The new manager is told what PID 1 and the cgroup tree know.
func (w *world) restart() core.ManagerRestored {
	var ev core.ManagerRestored
	told := map[core.RunID]bool{}
	for _, lost := range w.todo.forgetReports() {
		if ex, ok := lost.(core.Exited); ok && !told[ex.Run] && w.dice.in(70) {
			told[ex.Run] = true
			ev.Exits = append(ev.Exits, ex)
		}
	}
	for _, p := range w.order {
		switch {
		case !p.alive:
		case w.dice.in(15): // dies unseen
			p.alive = false
			if w.dice.in(60) {
				ev.Exits = append(ev.Exits, core.Exited{Run: p.id, Code: int32(w.dice.IntN(2))})
			}
		default:
			p.execed = true
			ev.Alive = append(ev.Alive, p.id)
		}
	}
	for _, g := range w.glist {
		if !g.removed && !g.empty() && !slices.Contains(ev.Populated, g.unit) {
			ev.Populated = append(ev.Populated, g.unit)
		}
	}
	slices.Sort(ev.Populated)
	clear(w.watching)
	clear(w.probes)
	clear(w.listens)
	clear(w.adopts)
	return ev
}

// rescan is what the world finds when it looks again after a restart.
func (w *world) rescan() {
	for _, n := range sortedKeys(w.mounted) {
		w.report(core.MountChanged{Unit: n, Mounted: w.mounted[n]}, nil)
	}
	for _, n := range sortedKeys(w.plugged) {
		w.report(core.DeviceAppeared{Unit: n, Gone: !w.plugged[n]}, nil)
	}
	for _, p := range w.order {
		if p.alive && p.owns != "" {
			w.report(core.BusNameAcquired{Name: p.owns, Unit: p.unit}, nil)
		}
	}
	for _, g := range w.glist {
		w.tellEmpty(g)
	}
}
