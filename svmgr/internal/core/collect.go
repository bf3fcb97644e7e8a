package core

import (
	"slices"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// mayGo says that the unit came for somebody who asked for it, and not with the files
// of the generation.
func (r *record) mayGo() bool { return r.demand || r.ephemeral }

// implied says that there is a unit only because others ask for it: a slice or device
// without files.
func (c *Core) implied(i graph.Index) bool {
	u := c.g.Unit(i)
	return u != nil && u.Path == "" && len(u.DropIns) == 0 && !u.Perpetual && !c.rec(i).ephemeral &&
		(u.Type == unitname.Slice || u.Type == unitname.Device)
}

// loadedOnDemand takes units that somebody asked for. Devices may be waited for again.
func (c *Core) loadedOnDemand(e *Loaded) {
	for _, u := range e.Units {
		old, ok := c.g.Lookup(u.Name)
		known := ok && c.g.Unit(old) != nil
		var near []graph.Edge
		if known {
			near = slices.Clone(c.g.Edges(old))
		}
		i := c.addUnit(u)
		c.recheck(near)
		r := c.rec(i)
		r.ephemeral = u.Path == ""
		r.demand = r.demand && known || !known && !r.ephemeral && u.Type != unitname.Device
		switch {
		case e.Hold:
			r.holds++
		case r.demand:
			c.queueCheck(i)
		}
	}
}

// released lets go of units that Loaded.Hold held.
func (c *Core) released(names []string) {
	for _, n := range names {
		if i, ok := c.g.Lookup(n); ok && c.rec(i).holds > 0 {
			c.rec(i).holds--
			c.queueCheck(i)
		}
	}
}

// stays says that a unit is in memory by itself, whatever others need: it does something
// or has something to do, has failed and waits to be reset (systemd.unit(5),
// CollectMode=), or somebody holds on to it.
func (c *Core) stays(i graph.Index) bool {
	if c.keptByState(i) {
		return true
	}
	for _, x := range c.runs {
		if x.Unit == i {
			return c.g.Unit(i) != nil
		}
	}
	return false
}

// keptByState is stays but for the unit's processes.
func (c *Core) keptByState(i graph.Index) bool {
	r := c.rec(i)
	if !r.down() || r.state == Blocked || r.refd || r.holds > 0 || r.job != nil || r.waiting || r.passing || r.conns > 0 ||
		r.socket != graph.None || r.boundTo != graph.None || len(r.storedFDs()) > 0 {
		return true
	}
	u := c.g.Unit(i)
	if u == nil {
		return false
	}
	return u.Perpetual || r.state == Failed && unit.CollectMode.Of(u) != "inactive-or-failed"
}

// asksFor is how units ask for others so that those cannot go while the first is up.
const asksFor = graph.RequiredBy | graph.WantedBy | graph.BoundBy | graph.UpheldBy | graph.TriggeredBy

// needed says that somebody who stays asks for the unit. One with a file is also kept by
// what the generation has of files and by what clients made, at rest or not: those could
// not be started without it.
func (c *Core) needed(i graph.Index) bool {
	if c.rec(i).ephemeral {
		for _, e := range c.g.Edges(i) {
			if e.Rel.Has(asksFor) && !c.rec(e.To).down() {
				return true
			}
		}
		return false
	}
	return c.namedBy(i, func(k graph.Index) bool { return !c.rec(k).demand || c.stays(k) })
}

// namedBy says that keeps holds for one of the units that ask for i, or for one that asks
// for those, and so on.
func (c *Core) namedBy(i graph.Index, keeps func(graph.Index) bool) bool {
	todo, seen := []graph.Index{i}, map[graph.Index]bool{i: true}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, e := range c.g.Edges(at) {
			if !e.Rel.Has(graph.NamedBy) || seen[e.To] {
				continue
			}
			if keeps(e.To) {
				return true
			}
			seen[e.To] = true
			todo = append(todo, e.To)
		}
	}
	return false
}

// forgetStarts is for a unit at rest that is about to be started. systemd forgets one that
// nobody needs (systemd.unit(5), CollectMode=), and with it how often it was started:
// `systemctl start` and `stop` of such a unit may follow each other for ever there. The
// generation keeps its files here, but the count must go alike.
func (c *Core) forgetStarts(i graph.Index) {
	r, u := c.rec(i), c.g.Unit(i)
	if u == nil || r.hist == nil || r.hist.Starts.Count == 0 || c.stays(i) || c.namedBy(i, c.stays) {
		return
	}
	r.hist.Starts = rateLimiter{}
}

// collect forgets a unit that came on demand, or with another, and that nobody needs, as systemd does
// (systemd.unit(5), CollectMode=): connections, scopes and every name that somebody
// thought of must not stay for ever. It returns whether the unit is gone.
func (c *Core) collect(i graph.Index) bool {
	if c.g.Unit(i) == nil || c.stays(i) || c.needed(i) {
		return false
	}
	r := c.rec(i)
	if r.sup >= 0 {
		s := &c.sups[r.sup]
		s.Order = slices.DeleteFunc(s.Order, func(n int32) bool { return n == int32(i) })
	}
	c.emit(Publish{What: UnitRemoved, Unit: c.g.Name(i)})
	near := slices.Clone(c.g.Edges(i))
	c.g.Remove(i)
	c.recs[i] = record{sup: -1, boundTo: graph.None, socket: graph.None}
	c.grow()
	for _, e := range near {
		c.recount(e.To)
	}
	c.recheck(near)
	return true
}

// recheck looks again at units that a former neighbour may have been all that kept.
func (c *Core) recheck(near []graph.Edge) {
	for _, e := range near {
		if n := c.rec(e.To); n.down() && (n.demand || c.implied(e.To)) {
			c.queueCheck(e.To)
		}
	}
}

// InUse says of every index whether a manager that loads units only when it needs them
// would have it in memory: units that stay by themselves, and what these ask for. Such a
// one is systemd, whose clients take a unit that is listed for one that is needed. also
// are units that it would have to load for somebody who looks at them.
func (v View) InUse(also ...graph.Index) []bool {
	in := make([]bool, len(v.c.recs))
	todo := slices.Clone(also)
	for _, i := range also {
		in[i] = true
	}
	ran := make([]bool, len(in))
	for _, x := range v.c.runs {
		ran[x.Unit] = v.c.g.Unit(x.Unit) != nil
	}
	for k := range in {
		if i := graph.Index(k); !in[k] && v.Known(i) && (ran[k] || v.c.keptByState(i)) {
			in[k], todo = true, append(todo, i)
		}
	}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, e := range v.c.g.Edges(at) {
			if e.Rel.Has(graph.Names) && !in[e.To] {
				in[e.To], todo = true, append(todo, e.To)
			}
		}
	}
	return in
}
