package core

import (
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

// supervisor is one node of the OTP tree.
type supervisor struct {
	Name     string
	Parent   int32 // -1 for the root
	Strategy unit.Strategy
	Max      uint32
	Window   time.Duration
	// Order holds units (≥ 0) and child supervisors (-1-index) in start order.
	Order []int32
	// Times are the restarts inside the window.
	Times []time.Duration
	// A group restart under way: the members, how far it has come.
	Phase     groupPhase
	Group     []graph.Index
	Cursor    int
	Asked     bool
	NotBefore time.Duration

	dl, queued time.Duration
	queuedNow  bool
}

// rest ends a group restart.
func (s *supervisor) rest() {
	s.Phase, s.Group, s.Cursor, s.Asked, s.NotBefore, s.dl = groupNone, nil, 0, false, 0, 0
}

type groupPhase uint8

const (
	groupNone groupPhase = iota
	groupStopping
	groupStarting
)

// buildSupervisors makes the tree from a set. Members are ordered by After= among
// themselves, then by name.
func (c *Core) buildSupervisors(set *unit.Set) {
	old := c.sups
	c.sups = nil
	byName := make(map[string]int32)
	for _, s := range set.Supervisors {
		byName[s.Name] = int32(len(c.sups))
		c.sups = append(c.sups, supervisor{Name: s.Name, Parent: -1, Strategy: s.Strategy, Max: s.MaxRestarts, Window: s.Window})
	}
	root := byName[unit.RootSupervisor]
	for k, s := range set.Supervisors {
		if int32(k) == root {
			continue
		}
		parent, ok := byName[s.Parent]
		if !ok || parent == int32(k) {
			parent = root
		}
		c.sups[k].Parent = parent
	}
	c.breakParentLoops(root)
	for k := range c.sups {
		if int32(k) != root {
			par := &c.sups[c.sups[k].Parent]
			par.Order = append(par.Order, -1-int32(k))
		}
	}
	members := make([][]graph.Index, len(c.sups))
	for i := range c.recs {
		r := &c.recs[i]
		r.sup = -1
		u := c.g.Unit(graph.Index(i))
		if u == nil || u.Format != unit.Native || c.machineOf(graph.Index(i)) != &serviceMachine {
			continue
		}
		s, ok := byName[unit.SupervisedBy.Of(u)]
		if !ok {
			s = root
		}
		r.sup = s
		members[s] = append(members[s], graph.Index(i))
	}
	for s, m := range members {
		for _, i := range c.startOrder(m) {
			c.sups[s].Order = append(c.sups[s].Order, int32(i))
		}
	}
	for k := range old {
		if n, ok := byName[old[k].Name]; ok {
			c.sups[n].Times = old[k].Times
		}
	}
}

// buildSupervisorsFrom makes the tree of a new generation; group restarts under
// way go on with their members.
func (c *Core) buildSupervisorsFrom(set *unit.Set, move func(graph.Index) graph.Index) {
	old := c.sups
	c.buildSupervisors(set)
	for k := range old {
		o := &old[k]
		o.Group = moveAll(o.Group, move)
		if o.Phase == groupNone {
			continue
		}
		n := -1
		for s := range c.sups {
			if c.sups[s].Name == o.Name {
				n = s
			}
		}
		if n < 0 { // its supervisor is gone: the members are on their own
			for _, m := range o.Group {
				c.rec(m).waiting = false
				c.queueCheck(m)
			}
			continue
		}
		s := &c.sups[n]
		s.Phase, s.Group, s.NotBefore, s.Asked = o.Phase, o.Group, o.NotBefore, false
		s.Cursor = 0
		if s.Phase == groupStopping {
			s.Cursor = len(s.Group) - 1
		}
		s.dl = o.dl
		c.queueSup(int32(n))
	}
}

// breakParentLoops hangs supervisors that are their own ancestors below the root.
func (c *Core) breakParentLoops(root int32) {
	for k := range c.sups {
		steps := 0
		for p := int32(k); p != root; p = c.sups[p].Parent {
			if steps++; steps > len(c.sups) {
				c.sups[k].Parent = root
				break
			}
		}
	}
}

// startOrder sorts members so that what another one is After comes first; ties
// and cycles keep the name order. Kahn's algorithm over the members only.
func (c *Core) startOrder(m []graph.Index) []graph.Index {
	pos := make(map[graph.Index]int, len(m))
	for k, i := range m {
		pos[i] = k
	}
	wait := make([]int, len(m))
	for k, i := range m {
		for _, e := range c.g.Edges(i) {
			if _, in := pos[e.To]; in && e.Rel.Has(graph.After) {
				wait[k]++
			}
		}
	}
	out := make([]graph.Index, 0, len(m))
	done := make([]bool, len(m))
	var ready []int
	for k := range m {
		if wait[k] == 0 {
			ready = append(ready, k)
		}
	}
	for first := 0; len(out) < len(m); {
		if len(ready) == 0 { // a cycle: take the first of the rest
			for done[first] {
				first++
			}
			ready = append(ready, first)
		}
		k := ready[0]
		ready = ready[1:]
		if done[k] {
			continue
		}
		done[k] = true
		out = append(out, m[k])
		for _, e := range c.g.Edges(m[k]) {
			if q, in := pos[e.To]; in && e.Rel.Has(graph.Before) {
				if wait[q]--; wait[q] == 0 {
					ready = append(ready, q)
				}
			}
		}
	}
	return out
}

func (c *Core) queueSup(s int32) {
	if s >= 0 && int(s) < len(c.sups) && !c.sups[s].queuedNow {
		c.sups[s].queuedNow = true
		c.supQueue = append(c.supQueue, s)
	}
}

// queueSupOf tells the supervisors above a unit that a group restart may go on.
func (c *Core) queueSupOf(i graph.Index) {
	r := c.rec(i)
	if r.sup < 0 {
		return
	}
	for s := r.sup; s >= 0; s = c.sups[s].Parent {
		if c.sups[s].Phase != groupNone {
			c.queueSup(s)
		}
	}
}

// intense counts one restart and says whether it is within the intensity.
func (c *Core) intense(s *supervisor) bool {
	keep := s.Times[:0]
	for _, t := range s.Times {
		if c.now.Mono-t < s.Window {
			keep = append(keep, t)
		}
	}
	s.Times = append(keep, c.now.Mono)
	if uint64(len(s.Times)) > uint64(s.Max) {
		s.Times = nil
		return false
	}
	return true
}

// superviseDeath applies the strategy of the dead member's supervisor. It returns
// true when a group restart brings the member back, so that it must not be
// scheduled by itself.
func (c *Core) superviseDeath(i graph.Index, cause Cause, delay time.Duration) bool {
	r := c.rec(i)
	s := r.sup
	if !c.intense(&c.sups[s]) {
		return c.escalate(s, i, cause, delay)
	}
	sup := &c.sups[s]
	if sup.Strategy == unit.OneForOne {
		return false
	}
	from := 0
	if sup.Strategy == unit.RestForOne {
		for k, n := range sup.Order {
			if n == int32(i) {
				from = k
			}
		}
	}
	c.beginGroup(s, sup.Order[from:], i, cause, delay)
	return true
}

// escalate takes a supervisor's failure to its parent, and so on up; the root's
// failure stops what failed and marks the system degraded.
func (c *Core) escalate(s int32, i graph.Index, cause Cause, delay time.Duration) bool {
	for {
		failed := s
		gaveUp := Cause{Kind: SupervisorGaveUp, Unit: c.sups[failed].Name, Detail: cause.Kind.String()}
		parent := c.sups[failed].Parent
		if parent < 0 {
			c.rootFailed(i, failed, gaveUp)
			return false
		}
		c.emit(Log{Level: LevelErr, Unit: c.g.Name(i), Cause: gaveUp, Note: "escalated to " + c.sups[parent].Name})
		if !c.intense(&c.sups[parent]) {
			s = parent
			continue
		}
		p := &c.sups[parent]
		order := []int32{-1 - failed}
		switch p.Strategy {
		case unit.OneForAll:
			order = p.Order
		case unit.RestForOne:
			for k, n := range p.Order {
				if n == -1-failed {
					order = p.Order[k:]
				}
			}
		}
		c.beginGroup(parent, order, i, cause, delay)
		return true
	}
}

// rootFailed is the end of escalation: the failed member stays down, what hung on
// the failed subtree is stopped, and somebody is told.
func (c *Core) rootFailed(i graph.Index, sup int32, cause Cause) {
	c.enter(i, Failed, SubFailed, cause)
	c.superviseGiveUp(i, cause)
}

func (c *Core) superviseGiveUp(i graph.Index, cause Cause) {
	s := c.rec(i).sup
	if s >= 0 {
		left := map[graph.Index]bool{}
		c.takeOver(s, left)
		for _, m := range c.flatten(c.sups[s].Order) {
			if left[m] {
				c.rec(m).waiting = false
				c.queueCheck(m)
			}
		}
	}
	if s >= 0 && c.sups[s].Strategy != unit.OneForOne {
		for _, m := range c.flatten(c.sups[s].Order) {
			if m != i && !c.rec(m).down() && c.restartable(m) {
				c.auto(m, graph.Stop, SourceSupervisor, cause)
			}
		}
	}
	if !c.degraded {
		c.degraded = true
		c.emit(Publish{What: Degraded, Unit: c.g.Name(i), Cause: cause})
	}
}

// flatten lists the units below a list of nodes in start order.
func (c *Core) flatten(order []int32) []graph.Index {
	var out []graph.Index
	stack := [][]int32{order}
	for len(stack) > 0 {
		top := len(stack) - 1
		if len(stack[top]) == 0 {
			stack = stack[:top]
			continue
		}
		n := stack[top][0]
		stack[top] = stack[top][1:]
		if n >= 0 {
			out = append(out, graph.Index(n))
		} else {
			stack = append(stack, c.sups[-1-n].Order)
		}
	}
	return out
}

// restartable: a group restart never runs a finished oneshot again, or a crash of
// one daemon would check and mount the file systems of a live system.
func (c *Core) restartable(i graph.Index) bool {
	switch c.rec(i).state {
	case Starting, Active, Reloading, Stopping, RestartPending, Dormant:
	default:
		return false
	}
	u := c.def(i)
	return u != nil && (unit.ServiceType.Of(u) != "oneshot" || c.rec(i).state == RestartPending)
}

// beginGroup starts a group restart; the dead member waits in RestartPending. A
// group restart that is already under way here or below is taken over: what it
// has stopped must come back.
func (c *Core) beginGroup(s int32, order []int32, dead graph.Index, cause Cause, delay time.Duration) {
	sup := &c.sups[s]
	in := map[graph.Index]bool{dead: true}
	for _, m := range c.flatten(order) {
		if c.restartable(m) {
			in[m] = true
		}
	}
	c.takeOver(s, in)
	var group []graph.Index
	for _, m := range c.flatten(sup.Order) {
		if in[m] {
			group = append(group, m)
		}
	}
	sup.Phase, sup.Group, sup.Cursor, sup.Asked = groupStopping, group, len(group)-1, false
	sup.NotBefore = c.now.Mono + delay
	c.enter(dead, RestartPending, SubAutoRestart, cause)
	c.awaitGroup(dead)
	c.queueSup(s)
}

// awaitGroup leaves a member in RestartPending until the group restart comes to it.
// A verify-active job must not wait for that: the group may wait for that job.
func (c *Core) awaitGroup(i graph.Index) {
	r := c.rec(i)
	r.waiting = true
	if j := r.job; j != nil && j.Type == graph.VerifyActive {
		c.finish(j, JobSkipped, r.cause)
	}
}

// takeOver ends the group restarts at and below s and adds to in what they had
// not started again yet.
func (c *Core) takeOver(s int32, in map[graph.Index]bool) {
	stack := []int32{s}
	for len(stack) > 0 {
		k := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		sup := &c.sups[k]
		from := 0
		if sup.Phase == groupStarting {
			from = sup.Cursor
		}
		if sup.Phase != groupNone {
			for _, m := range sup.Group[from:] {
				if !c.rec(m).held {
					in[m] = true
				}
			}
		}
		sup.rest()
		for _, n := range sup.Order {
			if n < 0 {
				stack = append(stack, -1-n)
			}
		}
	}
}

// advanceSupervisor takes a group restart as far as it goes now. It only looks at
// the present, so any order of reports will do.
func (c *Core) advanceSupervisor(s int32) {
	sup := &c.sups[s]
	if c.shutdown != nil {
		sup.rest()
		return
	}
	for sup.Phase == groupStopping {
		if sup.Cursor < 0 {
			sup.Phase, sup.Cursor, sup.Asked = groupStarting, 0, false
			break
		}
		m := sup.Group[sup.Cursor]
		r := c.rec(m)
		gone := r.down() || r.state == RestartPending || r.state == Dormant || r.state == Abandoned
		switch {
		case gone:
			if r.state == RestartPending || r.state == Dormant {
				c.disarm(m, dlRestart)
				c.awaitGroup(m)
			}
			sup.Cursor--
			sup.Asked = false
		case sup.Asked:
			if r.job != nil && r.job.Type == graph.Stop {
				return
			}
			sup.Cursor-- // somebody else wanted it otherwise
			sup.Asked = false
		default:
			sup.Asked = true
			if _, err := c.ask(wish{unit: m, typ: graph.Stop, mode: graph.IgnoreRequirements, source: SourceSupervisor,
				cause: Cause{Kind: BySupervisor, Unit: sup.Name}}); err != nil {
				sup.Cursor--
				sup.Asked = false
			}
		}
	}
	for sup.Phase == groupStarting {
		if sup.Cursor >= len(sup.Group) {
			sup.rest()
			return
		}
		if c.now.Mono < sup.NotBefore {
			c.arm(firstSup-graph.Index(s), 0, sup.NotBefore)
			return
		}
		m := sup.Group[sup.Cursor]
		r := c.rec(m)
		switch {
		case sup.Asked && r.job != nil:
			return
		case sup.Asked, r.held, r.up(), r.state == Abandoned:
			r.waiting = false
			c.queueCheck(m)
			sup.Cursor++
			sup.Asked = false
		default:
			sup.Asked = true
			r.waiting = false
			if _, err := c.ask(wish{unit: m, typ: graph.Start, mode: graph.IgnoreRequirements, source: SourceSupervisor,
				cause: Cause{Kind: BySupervisor, Unit: sup.Name}}); err != nil {
				c.queueCheck(m)
			}
		}
	}
}
