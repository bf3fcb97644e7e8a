package core

import (
	"fmt"
	"slices"
	"time"

	"dynamod/internal/diag"
	"dynamod/internal/graph"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// addUnit brings in one unit that was loaded later or made by a client. A name
// that is already a real unit keeps what it has while it is not at rest, but for
// settings that may change meanwhile: its limits.
func (c *Core) addUnit(u *unit.Unit) graph.Index {
	if i, ok := c.g.Lookup(u.Name); ok && c.g.Unit(i) != nil && !c.rec(i).down() {
		c.changeLive(i, u)
		return i
	}
	i, _ := c.g.Add(u)
	c.grow()
	c.recountAround(i)
	r := c.rec(i)
	r.gone = false
	c.emit(Publish{What: UnitNew, Unit: u.Name})
	if u.Format == unit.Native && c.machineOf(i) == &serviceMachine && r.sup < 0 {
		want := unit.SupervisedBy.Of(u)
		for s := range c.sups {
			if c.sups[s].Name == want || c.sups[s].Name == unit.RootSupervisor && r.sup < 0 {
				r.sup = int32(s)
			}
		}
		if r.sup >= 0 {
			c.sups[r.sup].Order = append(c.sups[r.sup].Order, int32(i))
		}
	}
	return i
}

// changeLive gives a unit that is not at rest its new settings, if they are nothing
// but such as may change while it runs.
func (c *Core) changeLive(i graph.Index, u *unit.Unit) {
	r := c.rec(i)
	changed := unit.Changed(c.g.Unit(i), u)
	// After a reload the definition is new already, and what runs is not.
	stale := r.act != nil && len(unit.Changed(r.act, u)) > 0
	if len(changed) == 0 && !stale || !unit.OnlyLive(changed) {
		return
	}
	if stale && unit.OnlyLive(unit.Changed(r.act, u)) {
		r.act = u
	}
	if len(changed) > 0 {
		c.g.Redefine(i, u)
	}
	c.emit(Publish{What: StatusChanged, Unit: u.Name})
}

// grow makes records for indices that the graph has added.
func (c *Core) grow() {
	for len(c.recs) < c.g.Len() {
		c.recs = append(c.recs, record{sup: -1, boundTo: graph.None, socket: graph.None})
	}
}

// reloaded swaps generations: whole or not at all. Nothing that runs is touched;
// a running unit keeps its activation's settings until its next start.
func (c *Core) reloaded(e *Reloaded) {
	answer := func(err *RequestError) {
		if e.Request != 0 {
			c.emit(Reply{ID: e.Request, Err: err})
		}
	}
	if len(e.Rejected) > 0 || e.Set == nil {
		text := "the new configuration was not taken"
		if len(e.Rejected) > 0 {
			text += ": " + e.Rejected[0].String()
			if n := len(e.Rejected) - 1; n > 0 {
				text += fmt.Sprintf(" (and %d more)", n)
			}
		}
		c.emit(Log{Level: LevelErr, Note: text})
		answer(&RequestError{Kind: "ReloadRejected", Text: text})
		return
	}
	mode := graph.System
	if c.cfg.User {
		mode = graph.User
	}
	before := c.limited()
	set, vanished := c.keepRunning(e.Set)
	if c.cfg.Safe {
		set = graph.WithSafeTarget(set)
	}
	g, ds := graph.Build(set, graph.Config{Mode: mode, Safe: c.cfg.Safe})
	for _, d := range ds {
		if d.Severity == diag.Error {
			c.emit(Log{Level: LevelWarning, Unit: d.Unit, Note: d.Message})
		}
	}
	c.adopt(g, set)
	c.learnBoot(set)
	c.lookAtBoot()
	for k := range c.recs {
		name := g.Name(graph.Index(k))
		if _, ok := e.Set.Find(name); ok && !slices.Contains(e.OnDemand, name) {
			c.recs[k].demand = false
		}
	}
	c.relimit(before)
	for _, name := range vanished {
		if i, ok := c.g.Lookup(name); ok {
			c.rec(i).gone = true
			if e.Evict {
				c.auto(i, graph.Stop, SourceReload, Cause{Kind: ByReload})
			}
		}
	}
	answer(nil)
}

// limited are the units that have groups, as their files are in force now. Slices have
// theirs with what is below them, so that they all count.
func (c *Core) limited() []*unit.Unit {
	var out []*unit.Unit
	for k := range c.recs {
		i := graph.Index(k)
		if u := c.g.Unit(i); u != nil && (!c.rec(i).down() || u.Type == unitname.Slice) {
			out = append(out, u)
		}
	}
	return out
}

// relimit has the limits of a new generation put into force on what runs, as systemd
// does after a reload: they are files of the unit's group.
func (c *Core) relimit(before []*unit.Unit) {
	for _, from := range before {
		i, ok := c.g.Lookup(from.Name)
		if !ok || c.g.Name(i) != from.Name {
			continue
		}
		to := c.g.Unit(i)
		// A unit that is masked now, or cannot be read, says nothing about limits.
		if to == nil || to == from || to.Load != unit.Loaded || !unit.LimitsDiffer(from, to) {
			continue
		}
		if r := c.rec(i); r.act != nil && unit.OnlyLive(unit.Changed(r.act, to)) {
			r.act = to
		}
		c.emit(Reconfigure{From: from, To: to})
	}
}

// keepRunning adds to the new set those units that are not at rest and have no
// file any more: they must not be lost while they run.
func (c *Core) keepRunning(set *unit.Set) (*unit.Set, []string) {
	var extra []*unit.Unit
	var names []string
	for k := range c.recs {
		i := graph.Index(k)
		u := c.def(i)
		r := c.rec(i)
		if u == nil || r.down() && r.job == nil && !r.refd && r.holds == 0 {
			continue
		}
		if _, ok := set.Find(u.Name); ok {
			continue
		}
		extra = append(extra, u)
		if u.Path != "" && !r.down() {
			names = append(names, u.Name)
		}
	}
	if len(extra) == 0 {
		return set, nil
	}
	merged, _ := unit.NewSet(append(extra, set.Units...), set.Supervisors)
	merged.Boot = set.Boot
	return merged, names
}

// adopt moves all records to a new graph by name and works out again what waits
// for what.
func (c *Core) adopt(g *graph.Graph, set *unit.Set) {
	old, oldG := c.recs, c.g
	to := make([]graph.Index, len(old))
	recs := make([]record, g.Len())
	for k := range recs {
		recs[k] = record{sup: -1, boundTo: graph.None, socket: graph.None}
	}
	c.g, c.recs = g, recs
	for k := range old {
		to[k] = graph.None
		n, ok := g.Lookup(oldG.Name(graph.Index(k)))
		if !ok || g.Name(n) != oldG.Name(graph.Index(k)) && !old[k].down() {
			if !ok {
				c.forget(&old[k], oldG.Name(graph.Index(k)))
				continue
			}
		}
		if g.Name(n) != oldG.Name(graph.Index(k)) {
			continue // it became an alias of another unit and was at rest
		}
		to[k] = n
		recs[n] = old[k]
		recs[n].queued = [numDeadlines]time.Duration{}
		recs[n].gone = false
	}
	move := func(i graph.Index) graph.Index {
		if i < 0 || int(i) >= len(to) {
			return graph.None
		}
		return to[i]
	}
	for k := range recs {
		r := &recs[k]
		r.boundTo, r.socket = move(r.boundTo), move(r.socket)
		if r.trig != nil {
			r.trig.Target = c.targetOf(graph.Index(k))
		}
		if r.job != nil {
			r.job.Unit = graph.Index(k)
		}
	}
	for id, r := range c.runs {
		if r.Unit = move(r.Unit); r.Unit == graph.None {
			delete(c.runs, id)
			continue
		}
		c.runs[id] = r
	}
	for name, i := range c.busNames {
		if i = move(i); i == graph.None {
			delete(c.busNames, name)
			continue
		}
		c.busNames[name] = i
	}
	c.timers = moveAll(c.timers, move)
	c.idle = moveAll(c.idle, move)
	c.buildSupervisorsFrom(set, move)
	c.rebuildHeap()
	c.relink()
	if len(c.jobs) > 0 { // the new order may close a cycle of what is installed
		c.suspectDeadlock()
	}
	c.checkAll()
}

// checkAll applies the standing rules to every unit that may be concerned; a unit
// that waited for a group restart which is no more is on its own again.
func (c *Core) checkAll() {
	for k := range c.recs {
		r := &c.recs[k]
		if r.waiting && !c.inGroup(graph.Index(k)) {
			r.waiting = false
		}
		if r.mayGo() || r.up() || r.state == Blocked || r.boundTo != graph.None || r.state == RestartPending || r.state == Dormant {
			c.queueCheck(graph.Index(k))
		}
	}
}

func moveAll(is []graph.Index, move func(graph.Index) graph.Index) []graph.Index {
	keep := is[:0]
	for _, i := range is {
		if n := move(i); n != graph.None {
			keep = append(keep, n)
		}
	}
	return keep
}

// forget ends what a record without a unit still had: only placeholders and units
// at rest get here.
func (c *Core) forget(r *record, name string) {
	if j := r.job; j != nil {
		r.job = nil
		if j.Running {
			c.running--
		}
		delete(c.jobs, j.ID)
		j.Ended, j.Result, j.EndedAt, j.Running = true, JobCollected, c.now.Mono, false
		c.emit(Publish{What: JobRemoved, Unit: name, Job: j.ID, JobType: j.Type.String(), JobResult: JobCollected, Source: j.Source})
		for _, id := range j.Requests {
			c.emit(Reply{ID: id, Job: j.ID, Result: JobCollected})
		}
		j.Unit = graph.None
		c.remember(j)
	}
	if len(r.storedFDs()) > 0 {
		c.emit(Withdraw{Unit: name})
	}
	c.emit(Publish{What: UnitRemoved, Unit: name})
}

// relink counts every job's unmet dependencies in the new graph.
func (c *Core) relink() {
	c.ready = c.ready[:0]
	for k := range c.recs {
		j := c.recs[k].job
		if j == nil {
			continue
		}
		j.Unmet = -1 // so that recount sees a change
		c.recount(graph.Index(k))
	}
}

// recountAround counts again what the jobs of a unit with new edges, and of its
// neighbours, wait for.
func (c *Core) recountAround(i graph.Index) {
	c.recount(i)
	for _, e := range c.g.Edges(i) {
		if e.To != i {
			c.recount(e.To)
		}
	}
}

func (c *Core) recount(i graph.Index) {
	j := c.rec(i).job
	if j == nil {
		return
	}
	before := j.Unmet
	j.Unmet = 0
	if j.Running { // it waits for nothing any more
		return
	}
	for _, e := range c.g.Edges(i) {
		if o := c.rec(e.To).job; o != nil && e.To != i && waits(j, e.Rel, o) {
			j.Unmet++
		}
	}
	if j.Unmet == 0 && before != 0 && !j.Parked {
		c.ready = append(c.ready, j.ID)
	}
}

// rebuildHeap puts every armed deadline into a fresh heap.
func (c *Core) rebuildHeap() {
	c.heap = c.heap[:0]
	for k := range c.recs {
		r := &c.recs[k]
		for d := range numDeadlines {
			r.queued[d] = 0
			if at := r.dl[d]; at != 0 {
				c.arm(graph.Index(k), d, at)
			}
		}
	}
	c.shutdownQ, c.retireQ, c.deadlockQ, c.bootQ = 0, 0, 0, 0
	if c.bootDL != 0 {
		c.arm(globalBoot, 0, c.bootDL)
	}
	if c.deadlockDL != 0 {
		c.arm(globalDeadlock, 0, c.deadlockDL)
	}
	if c.shutdownDL != 0 {
		c.arm(globalShutdown, 0, c.shutdownDL)
	}
	if c.retireDL != 0 {
		c.arm(globalJobs, 0, c.retireDL)
	}
	for s := range c.sups {
		c.sups[s].queued = 0
		if at := c.sups[s].dl; at != 0 {
			c.arm(firstSup-graph.Index(s), 0, at)
		}
	}
}
