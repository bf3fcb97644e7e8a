package graph

import (
	"fmt"
	"slices"

	"dynamod/internal/unit"
)

// Plan works out what a request comes to; the error is a *PlanError. It never
// recurses, and the same graph, request and present state give the same plan.
//
// The steps, each in its own file: the anchor is checked (here), pulls in the
// jobs of its dependencies (expand.go), what cannot be had or contradicts is
// dropped or refused (settle.go), what is there already is left out
// (settle.go), ordering cycles are broken (order.go), and what remains is
// compared with the installed jobs (install.go).
func (g *Graph) Plan(req Request, p Present) (*Plan, error) {
	if err := g.admit(req, p); err != nil {
		return nil, err
	}
	pl := &g.planner
	pl.begin(g, req, p)
	typ, ok := collapse(req.Type, p.Active(req.Unit))
	if !ok {
		typ = Nop
	}
	if typ == Nop || typ == Reset {
		return &Plan{Jobs: []Planned{{Unit: req.Unit, Type: typ, Required: true, By: None}}}, nil
	}
	pl.addRoot(req.Unit, typ)
	pl.expand()
	if req.Mode == Triggering {
		pl.addTriggering()
	}
	if req.Mode == Isolate {
		pl.addIsolated()
	}
	if err := pl.failUnaddable(); err != nil {
		return nil, err
	}
	pl.markRequired()
	if req.Mode == Fail {
		pl.spare()
	}
	pl.dropRedundant()
	if err := pl.resolveConflicts(); err != nil {
		return nil, err
	}
	pl.dropRedundant()
	if err := pl.breakCycles(); err != nil {
		return nil, err
	}
	pl.sweep()
	return pl.install()
}

// collapse turns the types that depend on the state of the unit into what they
// come to; false means that there is nothing to do.
func collapse(t JobType, s ActiveState) (JobType, bool) {
	switch t {
	case TryRestart:
		return Restart, !s.DownOrGoing()
	case TryReload:
		return Reload, !s.DownOrGoing()
	case yieldingStop:
		return Stop, true
	case ReloadOrStart:
		if s.DownOrGoing() {
			return Start, true
		}
		return Reload, true
	}
	return t, true
}

// admit checks what can be said about a request without looking further than
// its unit.
func (g *Graph) admit(req Request, p Present) error {
	i := req.Unit
	if i < 0 || int(i) >= len(g.names) {
		return &PlanError{Kind: NoSuchUnit, Unit: None, Message: "no such unit"}
	}
	fail := func(k ErrorKind, format string, args ...any) error {
		return &PlanError{Kind: k, Unit: i, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case req.Type >= jobTypes || req.Mode >= modes:
		return fail(InvalidRequest, "invalid job type or mode")
	case req.Mode == Isolate && req.Type != Start:
		return fail(InvalidRequest, "mode isolate is only valid for start")
	case req.Mode == Triggering && req.Type != Stop:
		return fail(InvalidRequest, "mode triggering is only valid for stop")
	case req.Mode == RestartDependencies && req.Type != Start:
		return fail(InvalidRequest, "mode restart-dependencies is only valid for start")
	case req.Type == Nop || req.Type == Reset:
		return nil
	}
	f := g.traits[i]
	if req.Type == Stop && g.Load(i) == unit.NotFound && p.Active(i) == Inactive {
		if _, queued := p.Job(i); !queued {
			return fail(NoSuchUnit, "unit %s is not loaded", g.names[i])
		}
	}
	if kind, msg, bad := g.unaddable(i, req.Type); bad {
		return fail(kind, "%s", msg)
	}
	if req.Manual {
		starts := req.Type == Start || req.Type == Restart || req.Type == TryRestart || req.Type == ReloadOrStart
		stops := req.Type == Stop || req.Type == Restart || req.Type == TryRestart
		if starts && f.has(refusesStart) || stops && f.has(refusesStop) {
			return fail(OnlyByDependency, "%s may be requested by dependency only: %s refuses a manual %s",
				req.Type, g.names[i], req.Type)
		}
	}
	if req.Mode == Isolate && !f.has(allowsIsolate) {
		return fail(NoIsolation, "%s cannot be isolated: AllowIsolate= is off", g.names[i])
	}
	return nil
}

// unaddable says why a job of this type cannot be part of any transaction.
func (g *Graph) unaddable(i Index, t JobType) (ErrorKind, string, bool) {
	name, f := g.names[i], g.traits[i]
	if t != Stop && t != yieldingStop {
		switch g.Load(i) {
		case unit.NotFound:
			return NoSuchUnit, "unit " + name + " not found", true
		case unit.Masked:
			return UnitMasked, "unit " + name + " is masked", true
		case unit.BadSetting:
			return BadUnitSetting, "unit " + name + " has a bad setting", true
		case unit.LoadError:
			return LoadFailed, "unit " + name + " could not be loaded", true
		}
	}
	applies := true
	switch t {
	case Start, VerifyActive:
		applies = !f.has(noStart)
	case Stop, yieldingStop:
		applies = !f.has(noStop)
	case Restart, TryRestart:
		applies = !f.has(noStart) && !f.has(noStop)
	case Reload, TryReload:
		applies = f.has(reloads)
	case ReloadOrStart:
		applies = f.has(reloads) && !f.has(noStart)
	}
	if !applies {
		return JobTypeNotApplicable, name + " " + inapplicable(t), true
	}
	return 0, "", false
}

// inapplicable says what a unit cannot be asked for.
func inapplicable(t JobType) string {
	switch t {
	case Start, VerifyActive, ReloadOrStart:
		return "cannot be started by hand"
	case Stop, yieldingStop:
		return "cannot be stopped: it lasts as long as the system"
	case Reload, TryReload:
		return "cannot reload: it has no command for that (ExecReload=), nor is it of type notify-reload"
	}
	return "cannot be restarted: it lasts as long as the system"
}

// node is a wish for one type of job on one unit; what the wishes on a unit
// merge into is its job.
type node struct {
	unit Index
	by   Index // who wished it first
	next int32 // next node of the same unit, -1 at the end
	in   int32 // first link that ends here
	out  int32 // first link that starts here
	// held counts the live links that end here, and one for a root.
	held  int32
	typ   JobType
	state nodeState
}

type nodeState uint8

const (
	nodeDead nodeState = 1 << iota
	nodeRequired
	nodeRoot
	// nodeFails: the unit has no such job.
	nodeFails
)

// link says that the job of from wished the job of to.
type link struct {
	from, to        int32
	nextIn, nextOut int32
	// matters: without to, from is worth nothing.
	matters bool
	// conflicts: to stops a unit that from's unit lists in Conflicts=.
	conflicts bool
}

// planner is the working state of one Plan call. It lives in the Graph so that
// planning allocates little: slot is valid where mark has the current epoch.
type planner struct {
	g    *Graph
	req  Request
	p    Present
	mark []uint32
	// slot is the first node of a unit.
	slot  []int32
	epoch uint32
	nodes []node
	links []link
	stack []int32
	drops []Dropped
	order orderScratch
}

func (pl *planner) begin(g *Graph, req Request, p Present) {
	pl.g, pl.req, pl.p = g, req, p
	if n := len(g.names); len(pl.mark) < n {
		pl.mark = slices.Grow(pl.mark, n-len(pl.mark))[:n]
		pl.slot = slices.Grow(pl.slot, n-len(pl.slot))[:n]
	}
	pl.epoch++
	if pl.epoch == 0 { // wrapped: old marks could look current
		clear(pl.mark)
		pl.epoch = 1
	}
	pl.nodes, pl.links, pl.stack, pl.drops = pl.nodes[:0], pl.links[:0], pl.stack[:0], nil
}

// first is the first node of a unit, -1 when it has none.
func (pl *planner) first(u Index) int32 {
	if pl.mark[u] != pl.epoch {
		return -1
	}
	return pl.slot[u]
}

// find is the node of that unit and type, -1 when there is none.
func (pl *planner) find(u Index, t JobType) int32 {
	for n := pl.first(u); n >= 0; n = pl.nodes[n].next {
		if pl.nodes[n].typ == t {
			return n
		}
	}
	return -1
}

// live says whether a node takes part in the transaction.
func (pl *planner) live(n int32) bool { return pl.nodes[n].state&nodeDead == 0 }

// job merges the live wishes on a unit; ok is false when there is none.
func (pl *planner) job(u Index) (t JobType, required, ok bool) {
	for n := pl.first(u); n >= 0; n = pl.nodes[n].next {
		if !pl.live(n) {
			continue
		}
		nd := &pl.nodes[n]
		if !ok {
			t, ok = nd.typ, true
		} else if m, fits := merge(t, nd.typ); fits {
			t = m
		}
		required = required || nd.state&nodeRequired != 0
	}
	if ok {
		if c, has := collapse(t, pl.p.Active(u)); has {
			t = c
		}
	}
	return t, required, ok
}
