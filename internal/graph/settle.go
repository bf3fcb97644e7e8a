package graph

import (
	"fmt"
	"strings"
)

// merge says what two jobs on one unit come to; false when they contradict
// each other, which only a stop and a start do. What is only worth doing for a
// unit that runs gives way to a stop.
func merge(a, b JobType) (JobType, bool) {
	if a > b {
		a, b = b, a
	}
	switch {
	case a == b || b == Reset:
		return a, true
	case a == Nop:
		return b, true
	case b == Nop:
		return a, true
	case b == yieldingStop:
		if a == Stop {
			return Stop, true
		}
		return Restart, true
	case a == Stop || b == Stop:
		if other := a ^ b ^ Stop; other == TryRestart || other == TryReload {
			return Stop, true
		}
		return 0, false
	case b == Restart || a == Restart:
		return Restart, true
	case b == TryRestart:
		if a == Start || a == ReloadOrStart {
			return Restart, true
		}
		return TryRestart, true
	case a == TryRestart: // with TryReload
		return TryRestart, true
	case a == Start && b == VerifyActive:
		return Start, true
	case a == Start, b == ReloadOrStart, a == ReloadOrStart:
		return ReloadOrStart, true
	case a == VerifyActive:
		return b, true
	}
	return Reload, true // Reload with TryReload
}

// failUnaddable takes out the jobs that cannot be had, and what requires them;
// when that is the anchor, the request fails with the reason of the first.
func (pl *planner) failUnaddable() error {
	for n := range pl.nodes {
		if pl.nodes[n].state&(nodeFails|nodeDead) != nodeFails {
			continue
		}
		pl.kill(int32(n), Unstartable)
		if !pl.live(0) {
			return pl.blame(int32(n))
		}
	}
	return nil
}

// blame makes the error for an anchor that failed because of a leaf.
func (pl *planner) blame(leaf int32) error {
	kind, msg, _ := pl.g.unaddable(pl.nodes[leaf].unit, pl.nodes[leaf].typ)
	via := map[int32]int32{leaf: -1}
	queue := []int32{leaf}
	for len(queue) > 0 && queue[0] != 0 {
		n := queue[0]
		queue = queue[1:]
		for l := pl.nodes[n].in; l >= 0; l = pl.links[l].nextIn {
			from := pl.links[l].from
			if _, seen := via[from]; !seen && pl.links[l].matters {
				via[from] = n
				queue = append(queue, from)
			}
		}
	}
	e := &PlanError{Kind: kind, Unit: pl.nodes[leaf].unit, Message: msg}
	for n := int32(0); n != leaf && n >= 0; {
		e.Path = append(e.Path, pl.nodes[n].unit)
		n = via[n]
	}
	if len(e.Path) > 0 {
		names := make([]string, len(e.Path))
		for i, u := range e.Path {
			names[len(names)-1-i] = pl.g.names[u]
		}
		e.Message += "; required by " + strings.Join(names, ", required by ")
		e.Path = append(e.Path, e.Unit)
	}
	return e
}

// kill takes a node out, and with it the nodes to whom it mattered, and the
// nodes that only dead nodes had pulled in.
func (pl *planner) kill(n int32, cause DropCause) {
	if !pl.live(n) {
		return
	}
	pl.nodes[n].state |= nodeDead
	pl.note(n, cause)
	pl.stack = append(pl.stack[:0], n)
	pl.release(cause, cause != HardCycle)
}

// release works off the stack of dead nodes: up to those to whom they matter,
// if harm is set, and down to those that nothing else holds.
func (pl *planner) release(cause DropCause, harm bool) {
	for len(pl.stack) > 0 {
		n := pl.stack[len(pl.stack)-1]
		pl.stack = pl.stack[:len(pl.stack)-1]
		for l := pl.nodes[n].in; harm && l >= 0; l = pl.links[l].nextIn {
			if from := pl.links[l].from; pl.links[l].matters && pl.live(from) {
				pl.nodes[from].state |= nodeDead
				pl.note(from, cause)
				pl.stack = append(pl.stack, from)
			}
		}
		for l := pl.nodes[n].out; l >= 0; l = pl.links[l].nextOut {
			to := pl.links[l].to
			pl.nodes[to].held--
			if pl.nodes[to].held == 0 && !pl.keepsAll() && pl.live(to) {
				pl.nodes[to].state |= nodeDead
				pl.note(to, Unneeded)
				pl.stack = append(pl.stack, to)
			}
		}
	}
}

// note records a dropped job for the log. What would have changed nothing is
// not worth a line.
func (pl *planner) note(n int32, cause DropCause) {
	nd := &pl.nodes[n]
	if pl.redundant(nd.unit, nd.typ) {
		return
	}
	pl.drops = append(pl.drops, Dropped{Unit: nd.unit, Type: nd.typ, Cause: cause, By: nd.by})
}

// markRequired finds what the anchor cannot do without.
func (pl *planner) markRequired() {
	pl.nodes[0].state |= nodeRequired
	pl.stack = append(pl.stack[:0], 0)
	for len(pl.stack) > 0 {
		n := pl.stack[len(pl.stack)-1]
		pl.stack = pl.stack[:len(pl.stack)-1]
		for l := pl.nodes[n].out; l >= 0; l = pl.links[l].nextOut {
			to := pl.links[l].to
			if pl.links[l].matters && pl.nodes[to].state&(nodeRequired|nodeDead) == 0 {
				pl.nodes[to].state |= nodeRequired
				pl.stack = append(pl.stack, to)
			}
		}
	}
}

// resolveConflicts leaves each unit either stopped or started. systemd.unit(5),
// "Conflicts=": the job that is not required goes; "in case both are not
// required, the unit that conflicts will be started and the unit that is
// conflicted is stopped"; if both are required, there is no plan.
//
// Recorded: pairs of which neither is required come first. So a unit that is
// wanted by the unit it conflicts with is left as it is, and not stopped.
func (pl *planner) resolveConflicts() error {
	for _, free := range [...]bool{true, false} {
		for n := range pl.nodes {
			if err := pl.resolveConflict(pl.nodes[n].unit, free); err != nil {
				return err
			}
		}
	}
	return nil
}

// resolveConflict decides between the stop and the start of a unit, with free
// only if neither is required.
func (pl *planner) resolveConflict(u Index, free bool) error {
	stop := pl.find(u, Stop)
	if stop < 0 || !pl.live(stop) {
		return nil
	}
	starts, startRequired := false, false
	for m := pl.first(u); m >= 0; m = pl.nodes[m].next {
		if _, fits := merge(Stop, pl.nodes[m].typ); !fits && pl.live(m) {
			starts = true
			startRequired = startRequired || pl.nodes[m].state&nodeRequired != 0
		}
	}
	stopRequired := pl.nodes[stop].state&nodeRequired != 0
	switch {
	case !starts, free && (startRequired || stopRequired):
	case startRequired && stopRequired:
		return pl.contradiction(u)
	case startRequired, !stopRequired && !pl.evicted(stop):
		pl.kill(stop, Conflicting)
	default:
		for m := pl.first(u); m >= 0; m = pl.nodes[m].next {
			if _, fits := merge(Stop, pl.nodes[m].typ); !fits {
				pl.kill(m, Conflicting)
			}
		}
	}
	return nil
}

// evicted says whether a unit that is to be started names the unit of this
// stop job in Conflicts=.
func (pl *planner) evicted(stop int32) bool {
	for l := pl.nodes[stop].in; l >= 0; l = pl.links[l].nextIn {
		if pl.links[l].conflicts && pl.live(pl.links[l].from) {
			return true
		}
	}
	return false
}

// contradiction makes the error for unit u, or rather for the unit that another
// conflicts with, if there is one: u may only hang on it.
func (pl *planner) contradiction(u Index) error {
	g := pl.g
	stop := pl.find(u, Stop)
	for n := range pl.nodes {
		v := pl.nodes[n].unit
		if s := pl.find(v, Stop); s >= 0 && pl.live(s) && pl.evicted(s) && pl.bothRequired(v) {
			u, stop = v, s
			break
		}
	}
	e := &PlanError{Kind: TransactionJobsConflicting, Unit: u, Path: []Index{u}}
	e.Message = fmt.Sprintf("%s would have to be started and stopped at once", g.names[u])
	for l := pl.nodes[stop].in; l >= 0; l = pl.links[l].nextIn {
		from := pl.links[l].from
		if pl.live(from) && pl.nodes[from].state&nodeRequired != 0 && (pl.links[l].conflicts || !pl.evicted(stop)) {
			v := pl.nodes[from].unit
			e.Path = append(e.Path, v)
			e.Message += fmt.Sprintf("; the %s of %s stops it", pl.nodes[from].typ, g.names[v])
			break
		}
	}
	return e
}

// bothRequired says whether a start and a stop of the unit are required.
func (pl *planner) bothRequired(u Index) bool {
	starts, stops := false, false
	for m := pl.first(u); m >= 0; m = pl.nodes[m].next {
		if pl.live(m) && pl.nodes[m].state&nodeRequired != 0 {
			_, fits := merge(Stop, pl.nodes[m].typ)
			starts = starts || !fits
			stops = stops || pl.nodes[m].typ == Stop
		}
	}
	return starts && stops
}

// redundant says whether the unit is already in the state that the job wants,
// with no installed job that would take it out of it.
func (pl *planner) redundant(u Index, t JobType) bool {
	s := pl.p.Active(u)
	switch t {
	case Start, VerifyActive:
		if !s.Up() {
			return false
		}
	case Stop, yieldingStop:
		if !s.Down() {
			return false
		}
	case Nop:
	default:
		return false
	}
	if in, ok := pl.p.Job(u); ok {
		if t == yieldingStop {
			t = Stop
		}
		if _, fits := merge(in.Type, t); !fits {
			return false
		}
	}
	return true
}

// dropRedundant takes out the jobs that would change nothing, and what only
// they had pulled in: starting a unit does not mend what an active unit below
// it has lost. The anchor stays, because its caller waits for it.
func (pl *planner) dropRedundant() {
	queue := make([]Index, 0, len(pl.nodes))
	for n := range pl.nodes {
		if u := pl.nodes[n].unit; pl.first(u) == int32(n) {
			queue = append(queue, u)
		}
	}
	anchor := pl.nodes[0].unit
	for len(queue) > 0 {
		u := queue[0]
		queue = queue[1:]
		all := u != anchor
		for m := pl.first(u); m >= 0; m = pl.nodes[m].next {
			all = all && (!pl.live(m) || pl.redundant(u, pl.nodes[m].typ))
		}
		for m := pl.first(u); all && m >= 0; m = pl.nodes[m].next {
			queue = pl.forget(m, queue)
		}
	}
}

// forget takes a node out without harm to those to whom it mattered, and
// without a note: neither it nor what only it pulled in was ever needed. It
// appends the units that have lost a wish.
func (pl *planner) forget(n int32, lost []Index) []Index {
	if !pl.live(n) {
		return lost
	}
	pl.nodes[n].state |= nodeDead
	pl.stack = append(pl.stack[:0], n)
	drops := len(pl.drops)
	pl.release(Unneeded, false)
	for _, d := range pl.drops[drops:] {
		lost = append(lost, d.Unit)
	}
	pl.drops = pl.drops[:drops]
	return lost
}

// spare drops what the anchor does not require when it would stop a unit that
// runs or turn an installed job around: mode fail disturbs no more than it
// must.
func (pl *planner) spare() {
	for n := range pl.nodes {
		nd := &pl.nodes[n]
		if nd.state&(nodeDead|nodeRequired) != 0 {
			continue
		}
		stops := nd.typ == Stop && !pl.p.Active(nd.unit).DownOrGoing()
		turns := false
		if in, queued := pl.p.Job(nd.unit); queued {
			_, fits := merge(in.Type, nd.typ)
			turns = !fits
		}
		if stops || turns {
			pl.kill(int32(n), Conflicting)
		}
	}
}

// keepsAll: isolating keeps what a dropped job pulled in (recorded). What it
// stops would be stopped anyway.
func (pl *planner) keepsAll() bool { return pl.req.Mode == Isolate }

// sweep kills what can no longer be reached from the anchor and the other
// roots: rings of jobs that hold only each other.
func (pl *planner) sweep() {
	const reached nodeState = 1 << 7
	if pl.keepsAll() {
		return
	}
	pl.stack = pl.stack[:0]
	for n := range pl.nodes {
		if pl.nodes[n].state&(nodeRoot|nodeDead) == nodeRoot {
			pl.nodes[n].state |= reached
			pl.stack = append(pl.stack, int32(n))
		}
	}
	for len(pl.stack) > 0 {
		n := pl.stack[len(pl.stack)-1]
		pl.stack = pl.stack[:len(pl.stack)-1]
		for l := pl.nodes[n].out; l >= 0; l = pl.links[l].nextOut {
			if to := pl.links[l].to; pl.nodes[to].state&(reached|nodeDead) == 0 {
				pl.nodes[to].state |= reached
				pl.stack = append(pl.stack, to)
			}
		}
	}
	for n := range pl.nodes {
		nd := &pl.nodes[n]
		if nd.state&(reached|nodeDead) == 0 {
			nd.state |= nodeDead
			pl.note(int32(n), Unneeded)
		}
		nd.state &^= reached
	}
}
