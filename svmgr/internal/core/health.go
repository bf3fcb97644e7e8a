package core

import (
	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

// armHealth sets the next health check of a running service.
func (c *Core) armHealth(i graph.Index, first bool) {
	r := c.rec(i)
	if unit.HealthType.Of(r.act) == "" || unit.HealthType.Of(r.act) == "none" {
		return
	}
	if first {
		r.proc.HealthFails = 0
	}
	c.armIn(i, dlHealth, unit.HealthInterval.Of(r.act))
}

// healthDue: it is time to check, or the check under way has timed out. Checks
// never overlap.
func (c *Core) healthDue(i graph.Index) {
	r := c.rec(i)
	p := r.proc
	if c.shutdown != nil {
		return
	}
	if p.Health != 0 {
		c.dropHealth(i, p)
		c.healthVerdict(i, false, "timed out")
		return
	}
	if unit.HealthType.Of(r.act) == "exec" {
		cmds := unit.HealthExec.Of(r.act)
		if len(cmds) == 0 {
			return
		}
		p.Health = c.spawn(i, RoleHealth, StageHealth, cmds[0])
	} else {
		p.Health = c.newRun(i, runProbe, RoleHealth, StageHealth)
		c.emit(Probe{Run: p.Health, Unit: r.act, What: ProbeHealth})
	}
	c.armIn(i, dlHealth, unit.HealthTimeout.Of(r.act))
}

// dropHealth gives up a check whose answer is no longer wanted.
func (c *Core) dropHealth(i graph.Index, p *proc) {
	if p.Health == 0 {
		return
	}
	if c.runs[p.Health].What == runProcess {
		c.emit(Signal{Unit: c.g.Name(i), Incarnation: p.Inc, Run: p.Health, Signal: sigKILL})
	} else {
		c.emit(CancelProbe{Run: p.Health})
		delete(c.runs, p.Health)
	}
	p.Health = 0
}

// healthEnded: a check command ended, for readiness or for health.
func (c *Core) healthEnded(i graph.Index, m msg) {
	r := c.rec(i)
	ok := m.cause.Kind == MainExited && m.cause.Code == 0
	switch {
	case r.sub == SubStart && unit.ReadinessType.Of(r.act) == "exec":
		if ok {
			c.svcReady(i)
			return
		}
		c.armIn(i, dlReady, checkAgain)
	case r.state == Active || r.state == Reloading:
		c.healthVerdict(i, ok, m.cause.Kind.String())
	default:
		c.svcSomethingEnded(i)
	}
}

// checkAgain is the pause between two tries of readiness.check-exec.
const checkAgain = 1e9

func (c *Core) healthKnown(i graph.Index, m msg) {
	p := c.rec(i).proc
	if m.run != p.Health {
		return
	}
	p.Health = 0
	c.healthVerdict(i, m.ok, m.cause.Detail)
}

func (c *Core) healthVerdict(i graph.Index, ok bool, detail string) {
	r := c.rec(i)
	p := r.proc
	if ok {
		p.HealthFails = 0
		c.armHealth(i, false)
		return
	}
	p.HealthFails++
	if int64(p.HealthFails) < int64(unit.HealthRetries.Of(r.act)) {
		c.armHealth(i, false)
		return
	}
	cause := Cause{Kind: HealthFailed, Detail: detail}
	switch act := unit.OnUnhealthy.Of(r.act); act {
	case "log":
		c.emit(Log{Level: LevelWarning, Unit: c.g.Name(i), Cause: cause, Note: "it is unhealthy"})
		p.HealthFails = 0
		c.armHealth(i, false)
	default:
		p.Unhealthy = act
		c.note(i, cause)
		c.svcStop(i, cause)
	}
}
