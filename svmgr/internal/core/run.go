package core

import (
	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

// runJob dispatches a job whose turn has come.
func (c *Core) runJob(j *job) {
	i := j.Unit
	r := c.rec(i)
	switch j.Type {
	case graph.Start:
		c.runStart(j, r)
	case graph.VerifyActive:
		switch {
		case r.up():
			c.finish(j, JobDone, Cause{})
		case r.state == Starting || r.state == RestartPending && !r.waiting:
			c.begin(j)
		default:
			c.finish(j, JobSkipped, Cause{Kind: DependencyFailed, Unit: j.Name})
		}
	case graph.Stop:
		r.stopped = true
		if j.Source != SourceSupervisor {
			r.held, r.waiting = true, false
		}
		c.runStop(j, r)
	case graph.Restart:
		if r.down() || r.state == RestartPending || r.state == Dormant {
			c.becomeStart(j)
			return
		}
		c.runStop(j, r)
	case graph.Reload:
		c.runReload(j, r)
	default:
		c.finish(j, JobDone, Cause{})
	}
}

func (c *Core) runStart(j *job, r *record) {
	switch {
	case r.up():
		c.finish(j, JobDone, Cause{})
	case r.state == Starting:
		c.begin(j)
	case r.state == Stopping:
		c.park(j)
	case r.state == Abandoned:
		c.finish(j, JobFailed, Cause{Kind: Unkillable})
	default:
		c.preflight(j, r)
	}
}

// preflight is everything between "decide" and the unit's own machine: load
// state, bindings, start limit, then conditions and asserts, while inactive.
func (c *Core) preflight(j *job, r *record) {
	i := j.Unit
	u := c.g.Unit(i)
	if u == nil || u.Load != unit.Loaded || r.gone {
		cause := Cause{Kind: NotLoadable, Detail: c.g.Load(i).String()}
		c.finish(j, JobInvalid, cause)
		return
	}
	for _, e := range c.g.Edges(i) {
		if !e.Rel.Has(graph.BindsTo) || !e.Rel.Has(graph.After) || c.rec(e.To).up() {
			continue
		}
		cause := Cause{Kind: DependencyFailed, Unit: c.g.Name(e.To)}
		c.finish(j, JobDependency, cause)
		c.blockOn(i, cause)
		return
	}
	if j.Source != SourceRestartPolicy && r.state == RestartPending {
		c.disarm(i, dlRestart)
	}
	if j.Auto && j.Source == SourceDependency && r.state == Failed && r.cause.Kind == BudgetExhausted {
		// Its dependent is restarted by a policy: that is no way around its own
		// budget.
		c.finish(j, JobFailed, r.cause)
		return
	}
	if !j.Auto {
		if r.hist != nil {
			r.hist.Restarts, r.hist.Streak = 0, 0
			r.hist.fresh()
		}
	}
	r.stopped, r.held, r.waiting, r.boundTo = false, false, false, graph.None
	if c.asksFirst(j) {
		c.begin(j)
		c.disarm(i, dlRestart)
		r.probe = c.newRun(i, runProbe, RoleControl, StageCondition)
		c.emit(c.question(i, j))
		c.arm(i, dlProbe, c.now.Mono+probeLimit)
		return
	}
	c.launch(j)
}

// probeLimit bounds the evaluation of conditions and checks, which only stat and read.
const probeLimit = 10e9

// automatic says that no person asked: restart counters go on counting.
func automatic(s Source) bool {
	switch s {
	case SourceRestartPolicy, SourceSupervisor, SourceUpholds, SourceBindsTo:
		return true
	}
	return false
}

// launch hands the unit to its machine, if its start limit allows it: starts whose
// conditions fail do not count (systemd.unit(5), StartLimitIntervalSec=).
func (c *Core) launch(j *job) {
	if !j.Running {
		c.begin(j)
	}
	i := j.Unit
	if u := c.g.Unit(i); c.machineOf(i).limited && u.Format == unit.UnitFile &&
		!c.rec(i).history().Starts.allow(c.now.Mono, unit.StartLimitIntervalSec.Of(u), uint64(unit.StartLimitBurst.Of(u))) {
		cause := Cause{Kind: StartLimitHit}
		c.refuse(i, JobFailed, Failed, cause)
		if a := unit.StartLimitAction.Of(u); a != "" && a != "none" {
			c.emergency(Emergency{Unit: j.Name, Action: a, Cause: cause, Argument: unit.RebootArgument.Of(u), Status: -1})
		}
		return
	}
	c.disarm(i, dlRestart)
	c.cancelStable(i)
	c.input(i, InStart, msg{cause: c.startCause(j), trigger: j.Trigger})
}

func (c *Core) startCause(j *job) Cause {
	if j.Cause.Kind != NoCause {
		return j.Cause
	}
	switch j.Source {
	case SourceBoot:
		return Cause{Kind: ByBoot}
	case SourceRestartPolicy:
		return Cause{Kind: ByRestartPolicy}
	case SourceShutdown:
		return Cause{Kind: ByShutdown}
	case SourceReload:
		return Cause{Kind: ByReload}
	}
	return Cause{Kind: ByRequest}
}

func (c *Core) cancelStable(i graph.Index) {
	c.disarm(i, dlStable)
	c.rec(i).stable = false
}

// cancelProbe forgets a pending evaluation of conditions.
func (c *Core) cancelProbe(i graph.Index) {
	r := c.rec(i)
	if r.probe == 0 {
		return
	}
	c.emit(CancelProbe{Run: r.probe})
	delete(c.runs, r.probe)
	r.probe = 0
	c.disarm(i, dlProbe)
}

func (c *Core) probeExpired(i graph.Index) {
	r := c.rec(i)
	if r.probe == 0 || r.job == nil {
		return
	}
	c.cancelProbe(i)
	c.refuse(i, JobFailed, Failed, Cause{Kind: ProbeLost})
}

// conditionsKnown goes on with a start job when its conditions were evaluated and
// its checks made.
func (c *Core) conditionsKnown(i graph.Index, held []bool, found []Finding) {
	r := c.rec(i)
	u := c.g.Unit(i)
	delete(c.runs, r.probe)
	r.probe = 0
	c.disarm(i, dlProbe)
	j := r.job
	if j == nil || u == nil {
		return
	}
	conds, asserts := c.conditionsOf(i, u)
	if len(held) != len(conds)+len(asserts) {
		c.refuse(i, JobFailed, Failed, Cause{Kind: ProbeLost})
		return
	}
	if bad := unmet(conds, held[:len(conds)]); bad != "" {
		r.condOK = false
		c.refuse(i, JobDone, Skipped, Cause{Kind: ConditionUnmet, Detail: bad})
		return
	}
	r.condOK = true
	if bad := unmet(asserts, held[len(conds):]); bad != "" {
		c.refuse(i, JobAssert, Failed, Cause{Kind: AssertFailed, Detail: bad})
		return
	}
	if c.checksHold(i, j, found) {
		c.launch(j)
	}
}

// unmet applies systemd.unit(5): all plain conditions must hold, and one of the
// triggering ones ('|'), if there are any. It names what failed, "" if nothing.
func unmet(cs []unit.Condition, held []bool) string {
	anyTrigger, triggered, first := false, false, ""
	for k, cond := range cs {
		ok := held[k] != cond.Negate
		if cond.Trigger {
			anyTrigger = true
			triggered = triggered || ok
			if !ok && first == "" {
				first = conditionText(cond)
			}
			continue
		}
		if !ok {
			return conditionText(cond)
		}
	}
	if anyTrigger && !triggered {
		return first
	}
	return ""
}

func conditionText(c unit.Condition) string {
	not := ""
	if c.Negate {
		not = "!"
	}
	return c.Check + "=" + not + c.Arg
}

// refuse ends a start job of a unit that never left rest.
func (c *Core) refuse(i graph.Index, res JobResult, to State, cause Cause) {
	r := c.rec(i)
	sub := SubDead
	if to == Failed {
		sub = SubFailed
	}
	if r.state == RestartPending {
		c.disarm(i, dlRestart)
	}
	j := r.job
	if j != nil {
		j.Decided, j.Result = true, res
	}
	c.enter(i, to, sub, cause)
	if j != nil && r.job == j {
		c.finish(j, res, cause)
	}
}

func (c *Core) runStop(j *job, r *record) {
	switch {
	case r.down() && r.state != Blocked:
		c.finish(j, JobDone, Cause{})
	case r.state == Blocked, r.state == RestartPending, r.state == Dormant:
		c.disarm(j.Unit, dlRestart)
		c.begin(j)
		c.enter(j.Unit, Inactive, SubDead, c.stopCause(j))
	case r.state == Stopping:
		c.begin(j)
		// A stop under way keeps its cause but loses its restart.
	case r.state == Abandoned:
		c.finish(j, JobFailed, Cause{Kind: Unkillable})
	case r.state == Reloading && c.machineOf(j.Unit).family == familyMount:
		// The remount helper must be gone before the unmount begins.
		c.park(j)
		c.input(j.Unit, InStop, msg{})
	case c.tooLate() && c.machineOf(j.Unit).family == familyMount:
		c.finish(j, JobTimeout, Cause{Kind: StopTimeout}) // PID 1 unmounts the rest
	default:
		u := c.g.Unit(j.Unit)
		if u != nil && u.Perpetual && c.shutdown == nil {
			c.finish(j, JobFailed, Cause{Kind: ByRequest})
			return
		}
		c.begin(j)
		c.input(j.Unit, InStop, msg{cause: c.stopCause(j)})
	}
}

func (c *Core) stopCause(j *job) Cause {
	switch {
	case j.Cause.Kind != NoCause:
		return j.Cause
	case j.Source == SourceShutdown:
		return Cause{Kind: ByShutdown}
	case j.Source == SourceUnneeded:
		return Cause{Kind: ByUnneeded}
	case j.Source == SourceReload:
		return Cause{Kind: ByReload}
	}
	return Cause{Kind: ByRequest}
}

func (c *Core) runReload(j *job, r *record) {
	switch {
	case r.state == Active || r.state == Completed && r.sub == SubExited:
		c.begin(j)
		c.input(j.Unit, InReload, msg{cause: Cause{Kind: ByRequest}})
	case r.state == Reloading || r.state == Starting || r.state == Stopping:
		c.park(j)
	default:
		c.finish(j, JobSkipped, Cause{})
	}
}

// jobSees ends the unit's job when the new state decides it, or gives a parked
// one another try. It returns whether a job was behind the change.
func (c *Core) jobSees(i graph.Index, from State) (expected bool) {
	r := c.rec(i)
	j := r.job
	if j == nil {
		return false
	}
	if !j.Running {
		if j.Parked && r.state != from {
			c.requeue(j)
		}
		return false
	}
	if j.Decided {
		c.finish(j, j.Result, r.cause)
		return true
	}
	switch j.Type {
	case graph.Start, graph.VerifyActive:
		switch {
		case r.up():
			c.finish(j, JobDone, r.cause)
		case r.state == Completed || r.state == Skipped:
			c.finish(j, JobDone, r.cause)
		case r.state == Inactive:
			// The start came to nothing: it was stopped, or its own end
			// was clean before it was up.
			c.finish(j, JobDone, r.cause)
		case r.state == Failed || r.state == Abandoned || r.state == Blocked:
			c.finish(j, startResult(r.cause), r.cause)
		case r.state == RestartPending || r.state == Dormant:
			c.finish(j, startResult(r.cause), r.cause)
		}
		return true
	case graph.Stop:
		switch {
		case r.down():
			c.finish(j, JobDone, r.cause)
		case r.state == Abandoned || r.up() && from == Stopping:
			c.finish(j, JobFailed, r.cause)
		}
		return true
	case graph.Restart:
		switch {
		case r.down():
			c.becomeStart(j)
		case r.state == Abandoned, r.up() && from == Stopping:
			c.finish(j, JobFailed, r.cause)
		}
		return true
	case graph.Reload:
		if r.state != Reloading {
			res := JobDone
			if r.state != Active && r.state != Completed || r.proc != nil && r.proc.ReloadFail {
				res = JobFailed
			}
			c.finish(j, res, r.cause)
		}
		return true
	}
	return false
}

func startResult(cause Cause) JobResult {
	switch cause.Kind {
	case StartTimeout, ReadinessTimeout:
		return JobTimeout
	case DependencyFailed, DependencyMissing:
		return JobDependency
	case AssertFailed:
		return JobAssert
	}
	return JobFailed
}
