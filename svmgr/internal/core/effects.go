package core

import (
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

// stateChanged propagates one transition: to the unit's job, to those whose
// decisions look at it, and to the units named in its On…= settings. It only
// installs jobs and queues checks, so it never nests.
func (c *Core) stateChanged(i graph.Index, from State, wasUp, wasDown bool) {
	r := c.rec(i)
	expected := c.jobSees(i, from)
	if r.up() != wasUp || r.down() != wasDown {
		c.queueNeighbours(i)
		c.queueCheck(i)
	}
	if !expected && c.shutdown == nil {
		if r.up() && wasDown {
			c.retroStart(i)
		}
	}
	if r.down() && !wasDown {
		c.restEffects(i, from)
		c.dropFDs(i)
	}
	c.queueSupOf(i)
}

// queueCheck asks checkUnit to look at i once the present work is done.
func (c *Core) queueCheck(i graph.Index) {
	r := c.rec(i)
	if !r.queuedCheck {
		r.queuedCheck = true
		c.checks = append(c.checks, i)
	}
}

// queueNeighbours queues those neighbours whose rules may now fire; a change
// costs O(own edges), whatever the size of the neighbours.
func (c *Core) queueNeighbours(i graph.Index) {
	r := c.rec(i)
	up := r.up()
	for _, e := range c.g.Edges(i) {
		o := c.rec(e.To)
		switch {
		case e.Rel.Has(graph.TriggeredBy):
			c.queueCheck(e.To)
		case !up && e.Rel.Has(graph.BoundBy) && (o.up() || o.state == Starting):
			c.queueCheck(e.To)
		case up && e.Rel.Has(graph.RequiredBy|graph.BoundBy) && (o.state == Blocked || o.boundTo == i):
			c.queueCheck(e.To)
		case up && e.Rel.Has(graph.Upholds) && o.down():
			c.queueCheck(e.To)
		case !up && e.Rel.Has(needs) && o.up() && c.unneededStop(e.To):
			c.queueCheck(e.To)
		case !up && o.mayGo() && o.down():
			c.queueCheck(e.To) // this one may have been what kept it
		}
	}
}

const needs = graph.Requires | graph.Requisite | graph.Wants | graph.BindsTo | graph.Upholds

func (c *Core) unneededStop(i graph.Index) bool {
	u := c.g.Unit(i)
	return u != nil && unit.StopWhenUnneeded.Of(u)
}

// checkUnit applies the standing rules to one unit; they look at the present
// only, so it does no harm to ask twice.
func (c *Core) checkUnit(i graph.Index) {
	if c.shutdown != nil {
		return
	}
	r := c.rec(i)
	if (r.mayGo() || c.implied(i)) && c.collect(i) {
		return
	}
	if (r.state == RestartPending || r.state == Dormant) && !r.wanted() && !c.armed(i, dlRestart) && !r.waiting {
		// Its start job was cancelled or refused: nothing will come, and a
		// verify-active job would wait for it.
		c.enter(i, Failed, SubFailed, r.cause)
		return
	}
	u := c.g.Unit(i)
	if u == nil {
		return
	}
	c.input(i, InTarget, msg{})
	if r.job != nil {
		return
	}
	switch {
	case r.up() || r.state == Starting:
		for _, e := range c.g.Edges(i) {
			if e.Rel.Has(graph.BindsTo) && c.rec(e.To).down() && c.rec(e.To).job == nil {
				if c.auto(i, graph.Stop, SourceBindsTo, Cause{Kind: ByBindsTo, Unit: c.g.Name(e.To)}) && u.Format == unit.Native {
					r.boundTo = e.To
				}
				return
			}
		}
		if r.up() && c.unneededStop(i) && c.unneeded(i) {
			c.auto(i, graph.Stop, SourceUnneeded, Cause{Kind: ByUnneeded})
		}
	case r.down():
		if r.state == Blocked {
			if r.cause.Kind == ProbeFailed && r.cause.Unit == "" {
				return // no change of another unit mends that
			}
			for _, e := range c.g.Edges(i) {
				if !e.Rel.Has(graph.Requires | graph.BindsTo | graph.Requisite) {
					continue
				}
				if r.cause.Kind == DependencyMissing {
					if c.g.Load(e.To) == unit.NotFound {
						return // still missing
					}
				} else if !c.satisfied(e.To) {
					return
				}
			}
			c.auto(i, graph.Start, SourceDependency, Cause{Kind: ByDependency, Unit: r.cause.Unit})
			return
		}
		if r.boundTo != graph.None && c.rec(r.boundTo).up() {
			to := r.boundTo
			r.boundTo = graph.None
			c.auto(i, graph.Start, SourceBindsTo, Cause{Kind: ByRecovery, Unit: c.g.Name(to)})
			return
		}
		for _, e := range c.g.Edges(i) {
			if e.Rel.Has(graph.UpheldBy) && c.rec(e.To).up() && c.upholdable(r) {
				c.auto(i, graph.Start, SourceUpholds, Cause{Kind: ByUpholds, Unit: c.g.Name(e.To)})
				return
			}
		}
	}
}

// satisfied says that a unit's dependents may go on: up, done, or skipped.
func (c *Core) satisfied(i graph.Index) bool {
	switch c.rec(i).state {
	case Active, Reloading, Completed, Skipped:
		return true
	}
	return false
}

// upholdable: a refusal would come again at once; wait for a change instead.
func (c *Core) upholdable(r *record) bool {
	switch r.cause.Kind {
	case StartLimitHit, DependencyFailed, DependencyMissing, NotLoadable, ProbeFailed:
		return r.state != Failed && r.state != Blocked
	}
	return true
}

func (c *Core) unneeded(i graph.Index) bool {
	for _, e := range c.g.Edges(i) {
		if !e.Rel.Has(graph.RequiredBy | graph.RequisiteOf | graph.WantedBy | graph.BoundBy | graph.UpheldBy) {
			continue
		}
		if o := c.rec(e.To); !o.down() || o.job != nil {
			return false
		}
	}
	return true
}

// autoBurst automatic requests per autoInterval and unit: a fuse against rules
// that feed each other (OnFailure= of oneself, mutual Upholds= and Conflicts=).
const (
	autoBurst    = 16
	autoInterval = 10 * time.Second
)

// auto makes a request on behalf of a rule; it returns whether a job came of it.
func (c *Core) auto(i graph.Index, t graph.JobType, src Source, cause Cause) bool {
	if c.shutdown != nil {
		return false
	}
	r := c.rec(i)
	if !r.auto.allow(c.now.Mono, autoInterval, autoBurst) {
		if r.auto.Count == autoBurst {
			r.auto.Count++
			c.emit(Log{Level: LevelWarning, Unit: c.g.Name(i),
				Note: "automatic " + t.String() + " requests come too fast; further ones are ignored for a while"})
		}
		return false
	}
	mode := graph.Replace
	if src == SourceOnFailure {
		if u := c.g.Unit(i); u != nil {
			mode = c.failureMode(cause.Unit)
		}
	}
	_, err := c.ask(wish{unit: i, typ: t, mode: mode, source: src, cause: cause, trigger: cause.Unit})
	if err != nil {
		c.emit(Log{Level: LevelWarning, Unit: c.g.Name(i), Cause: cause,
			Note: "automatic " + t.String() + " refused: " + err.Text})
		return false
	}
	return true
}

func (c *Core) failureMode(of string) graph.Mode {
	if i, ok := c.g.Lookup(of); ok {
		if u := c.def(i); u != nil {
			s := unit.OnFailureJobMode
			if c.rec(i).state != Failed {
				s = unit.OnSuccessJobMode
			}
			if m, ok := graph.ParseMode(s.Of(u)); ok {
				return m
			}
		}
	}
	return graph.Replace
}

// retroStart: a unit that came up without a job (a device, a mount made by
// somebody else) still gets what it requires, and what conflicts goes.
func (c *Core) retroStart(i graph.Index) {
	for _, e := range c.g.Edges(i) {
		o := c.rec(e.To)
		switch {
		case e.Rel.Has(graph.Requires|graph.BindsTo) && !e.Rel.Has(graph.After) && o.down():
			c.auto(e.To, graph.Start, SourceDependency, Cause{Kind: ByDependency, Unit: c.g.Name(i)})
		case e.Rel.Has(graph.Wants) && !e.Rel.Has(graph.After) && o.down() && c.typeOf(i) != c.typeOf(e.To):
			c.auto(e.To, graph.Start, SourceDependency, Cause{Kind: ByDependency, Unit: c.g.Name(i)})
		case e.Rel.Has(graph.Conflicts|graph.ConflictedBy) && o.up():
			c.auto(e.To, graph.Stop, SourceDependency, Cause{Kind: ByConflict, Unit: c.g.Name(i)})
		}
	}
}

// restEffects is what follows when a unit has come to rest.
func (c *Core) restEffects(i graph.Index, from State) {
	r := c.rec(i)
	u := c.g.Unit(i)
	c.leaveSocket(r)
	if u == nil || c.shutdown != nil {
		return
	}
	if r.state == Failed {
		c.startFailureActions(i, r.cause)
		return
	}
	// systemd.unit(5), OnSuccess=: whoever stopped it, if it has been up.
	if r.state != Completed && (r.state != Inactive || r.activeEnter.Mono < r.inactiveExit.Mono || r.activeEnter == (Time{})) {
		return
	}
	for _, e := range c.g.Edges(i) {
		if e.Rel.Has(graph.OnSuccess) {
			c.auto(e.To, graph.Start, SourceOnFailure, Cause{Kind: ByOnFailure, Unit: c.g.Name(i)})
		}
	}
	if a := unit.SuccessAction.Of(u); a != "" && a != "none" {
		c.emit(Emergency{Unit: c.g.Name(i), Action: a, Wanted: true, Cause: r.cause, Argument: unit.RebootArgument.Of(u),
			Status: exitStatus(u, unit.SuccessActionExitStatus, r.cause)})
	}
}

// startFailureActions runs OnFailure= and FailureAction= of a failed unit.
func (c *Core) startFailureActions(i graph.Index, cause Cause) {
	u := c.g.Unit(i)
	if u == nil || c.shutdown != nil {
		return
	}
	for _, e := range c.g.Edges(i) {
		if e.Rel.Has(graph.OnFailure) {
			c.auto(e.To, graph.Start, SourceOnFailure, Cause{Kind: ByOnFailure, Unit: c.g.Name(i)})
		}
	}
	if a := unit.FailureAction.Of(u); a != "" && a != "none" {
		c.emergency(Emergency{Unit: c.g.Name(i), Action: a, Cause: cause, Argument: unit.RebootArgument.Of(u),
			Status: exitStatus(u, unit.FailureActionExitStatus, cause)})
	}
}

// emergency asks for what a unit wants done when it fails, unless that is switched off
// (systemctl(1), service-watchdogs).
func (c *Core) emergency(e Emergency) {
	if c.watchdogsOff {
		c.emit(Log{Level: LevelWarning, Unit: e.Unit, Cause: e.Cause, Note: "watchdogs are switched off: the action " + e.Action + " is not taken"})
		return
	}
	c.emit(e)
}

// exitStatus is what the manager exits with when a unit makes it (systemd.unit(5),
// FailureActionExitStatus=): what the unit says, or the exit status of its main process; -1
// for a unit that runs no program, which leaves the manager its own exit code.
func exitStatus(u *unit.Unit, key unit.Key[int64], cause Cause) int32 {
	if key.IsSet(u) {
		return int32(key.Of(u))
	}
	if len(unit.ExecStart.Of(u)) == 0 {
		return -1
	}
	return cause.Code & 255
}
