package core

import (
	"fmt"
	"math"
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

// verdict decides what an activation that is over comes to: inactive, completed,
// skipped, failed, or another try. It is the only place that restarts.
func (c *Core) verdict(i graph.Index) {
	r := c.rec(i)
	p, u := r.proc, r.act
	result := p.Result
	restart, why := c.restartWanted(i)
	c.keepFDs(i)
	stoppedBy := r.cause
	r.proc = nil
	c.cancelBudgetReset(i)
	switch {
	case restart:
		if result.Kind == NoCause {
			result = Cause{Kind: CleanExit}
		}
		c.again(i, u, p, result)
	case p.Skip:
		c.enter(i, Skipped, SubDead, Cause{Kind: ConditionUnmet, Detail: byExecCondition})
	case result.Kind != NoCause:
		if !r.stopped && c.shutdown == nil {
			d := Decision{At: c.now, Cause: result}
			d.found(CheckPolicy, false, "%s", why)
			c.decided(i, d)
		}
		result.Decision = why
		c.enter(i, Failed, SubFailed, result)
	case r.stopped || c.shutdown != nil:
		if stoppedBy.Kind == NoCause {
			stoppedBy = Cause{Kind: ByRequest}
		}
		c.enter(i, Inactive, SubDead, stoppedBy)
	case unit.ServiceType.Of(u) == "oneshot":
		c.enter(i, Completed, SubDead, Cause{Kind: CleanExit, Decision: why})
	default:
		if stoppedBy.Kind == NoCause || p.MainEnded && stoppedBy.Kind != ByBindsTo && stoppedBy.Kind != ByUnneeded {
			stoppedBy = Cause{Kind: CleanExit, Decision: why}
		}
		c.enter(i, Inactive, SubDead, stoppedBy)
	}
}

// keepFDs takes the descriptor store out of an activation; dropFDs decides what
// becomes of it once the unit is at rest (FileDescriptorStorePreserve=).
func (c *Core) keepFDs(i graph.Index) {
	r := c.rec(i)
	fds := r.proc.FDs
	if len(fds) == 0 && (r.hist == nil || len(r.hist.FDs) == 0) {
		return
	}
	if unit.FileDescriptorStorePreserve.Of(r.act) == "no" {
		c.emit(Withdraw{Unit: c.g.Name(i)})
		fds = nil
	}
	r.history().FDs = fds
}

// dropFDs closes the store of a unit that is at rest with no job to start it again,
// unless FileDescriptorStorePreserve=yes keeps it.
func (c *Core) dropFDs(i graph.Index) {
	r := c.rec(i)
	if r.hist == nil || len(r.hist.FDs) == 0 || !r.down() || r.passing {
		return
	}
	if j := r.job; j != nil && (j.Type == graph.Start || j.Type == graph.Restart) {
		return
	}
	if u := c.g.Unit(i); u != nil && !r.gone && unit.FileDescriptorStorePreserve.Of(u) == "yes" {
		return
	}
	r.hist.FDs = nil
	c.emit(Withdraw{Unit: c.g.Name(i)})
}

// restartWanted applies the policy; the second result says why not (or why).
func (c *Core) restartWanted(i graph.Index) (bool, string) {
	r := c.rec(i)
	p, u := r.proc, r.act
	switch {
	case r.stopped && !plantedBug:
		return false, "it was stopped on purpose"
	case c.shutdown != nil:
		return false, "the system is going down"
	case r.gone:
		return false, "its file is gone"
	case p.Skip:
		return false, "its condition does not hold"
	case p.Unhealthy == "fail":
		return false, "on-unhealthy is fail"
	case p.Unkillable:
		return false, "processes of it are still there"
	}
	if j := r.job; j != nil && (j.Type == graph.Stop || j.Type == graph.Restart) {
		return false, "a " + j.Type.String() + " was asked for"
	}
	if p.Unhealthy == "restart" {
		return true, ""
	}
	if p.MainEnded {
		prevent, force := unit.RestartPreventExitStatus.Of(u), unit.RestartForceExitStatus.Of(u)
		if inSet(prevent, p.MainCause) {
			return false, "its exit status prevents a restart"
		}
		if inSet(force, p.MainCause) {
			return true, ""
		}
	}
	policy := unit.Restart.Of(u)
	k := p.Result.Kind
	want := false
	switch policy {
	case "always":
		want = k != NoCause || unit.ServiceType.Of(u) != "oneshot"
	case "on-success":
		want = k == NoCause
	case "on-failure":
		want = k != NoCause
	case "on-abnormal":
		want = k != NoCause && !exitCodeKind(k)
	case "on-abort":
		want = k == MainKilled || k == MainDumped
	case "on-watchdog":
		want = k == WatchdogTimeout
	}
	if !want {
		return false, "its restart policy is " + policy
	}
	return true, ""
}

// exitCodeKind: an unclean exit code as against a signal, time-out or watchdog.
func exitCodeKind(k CauseKind) bool {
	switch k {
	case MainExited, CommandFailed, SpawnFailure, ProtocolError:
		return true
	}
	return false
}

func inSet(s unit.ExitSet, x Cause) bool {
	if x.Kind == MainExited {
		return s.HasCode(int(x.Code))
	}
	return x.Signal != 0 && s.HasSignal(int(x.Signal))
}

// again schedules another try: the service's own budget first, then its
// supervisor's intensity.
func (c *Core) again(i graph.Index, u *unit.Unit, p *proc, cause Cause) {
	r := c.rec(i)
	h := r.history()
	d := Decision{At: c.now, Cause: cause, Verdict: VerdictRestart}
	d.found(CheckPolicy, true, "%s", wantedBecause(p, u))
	if u.Format == unit.Native {
		within := c.withinBudget(h, u)
		d.found(CheckBudget, within, "%s", budgetFinding(h, u))
		switch {
		case within:
			h.Budget = append(h.Budget, c.now.Mono)
		case !chanceFinding(&d, h, p, u):
			c.exhausted(i, u, cause, d)
			return
		}
	}
	delay := restartDelay(u, h.Streak)
	d.found(CheckCooldown, true, "%v, after %d restarts in a row", delay, h.Streak)
	h.Streak++
	h.Restarts++
	d.Delay, d.Number = delay, h.Restarts
	cause.Decision = fmt.Sprintf("it is restarted in %v (restart %d)", delay, h.Restarts)
	if r.sup >= 0 {
		c.intensityFinding(&d, &c.sups[r.sup])
		bySupervisor := c.superviseDeath(i, cause, delay)
		holds := d.Findings[len(d.Findings)-1].OK
		switch {
		case bySupervisor && holds:
			d.Verdict = VerdictGroup
		case bySupervisor:
			d.Verdict = VerdictEscalate
		case r.state == Failed: // the supervisor gave up on it
			d.Verdict, d.Delay = VerdictGiveUp, 0
		}
		if d.Verdict != VerdictRestart {
			c.decided(i, d)
			return
		}
	}
	c.decided(i, d)
	if u.Format == unit.UnitFile && unit.RestartMode.Of(u) == "normal" {
		c.throughRest(i, cause)
	}
	c.enter(i, RestartPending, SubAutoRestart, cause)
	if r.state == RestartPending && !r.wanted() {
		c.armIn(i, dlRestart, delay)
	}
}

// wantedBecause is why the policy wants a restart.
func wantedBecause(p *proc, u *unit.Unit) string {
	switch {
	case p.Unhealthy == "restart":
		return "on-unhealthy is restart"
	case p.MainEnded && inSet(unit.RestartForceExitStatus.Of(u), p.MainCause):
		return "its exit status forces a restart"
	}
	return "its restart policy is " + unit.Restart.Of(u)
}

// throughRest shows an automatic restart to others as the failure or end that it is
// (systemd.service(5), RestartMode=normal): OnFailure= and OnSuccess= act, and what
// is bound to the unit is stopped. Native units restart without that.
func (c *Core) throughRest(i graph.Index, cause Cause) {
	r := c.rec(i)
	r.passing = true
	defer func() { r.passing = false }()
	if cause.Kind == CleanExit {
		c.enter(i, Inactive, SubDead, cause)
	} else {
		c.enter(i, Failed, SubFailed, cause)
	}
	for _, e := range c.g.Edges(i) {
		if o := c.rec(e.To); e.Rel.Has(graph.BoundBy) && (o.up() || o.state == Starting) && o.job == nil {
			c.auto(e.To, graph.Stop, SourceBindsTo, Cause{Kind: ByBindsTo, Unit: c.g.Name(i)})
		}
	}
}

// withinBudget says whether one more restart is allowed: at most max-restarts in
// any max-restart-window; 0 means no limit.
func (c *Core) withinBudget(h *history, u *unit.Unit) bool {
	limit := unit.MaxRestarts.Of(u)
	if limit == 0 {
		return true
	}
	window := unit.MaxRestartWindow.Of(u)
	keep := h.Budget[:0]
	for _, t := range h.Budget {
		if c.now.Mono-t < window {
			keep = append(keep, t)
		}
	}
	h.Budget = keep
	return int64(len(keep)) < int64(limit)
}

// restartDelay is min(delay·2^n, max) for native units, and systemd's geometric
// steps from RestartSec= to RestartMaxDelaySec= for unit files.
func restartDelay(u *unit.Unit, n uint32) time.Duration {
	d := unit.RestartSec.Of(u)
	if u.Format == unit.Native {
		top := unit.RestartDelayMax.Of(u)
		for ; n > 0 && d < top; n-- {
			d *= 2
		}
		if top > 0 && d > top {
			d = top
		}
		return d
	}
	steps, top := unit.RestartSteps.Of(u), unit.RestartMaxDelaySec.Of(u)
	if steps <= 0 || top == unit.Forever || top <= d || d <= 0 {
		return d
	}
	if int64(n) >= int64(steps) {
		return top
	}
	return time.Duration(float64(d) * math.Pow(float64(top)/float64(d), float64(n)/float64(steps)))
}

// Sleeps double up to maxDormancy; after dormantCycles of them it is over, unless
// give-up is off (features.md SI-10).
const (
	maxDormancy   = time.Hour
	dormantCycles = 5
)

// exhausted applies restart.on-exhausted.
func (c *Core) exhausted(i graph.Index, u *unit.Unit, cause Cause, dec Decision) {
	r := c.rec(i)
	h := r.hist
	out := Cause{Kind: BudgetExhausted, Code: cause.Code, Signal: cause.Signal, Detail: cause.Kind.String()}
	name := c.g.Name(i)
	policy := unit.OnExhausted.Of(u)
	if !unit.GiveUp.Of(u) {
		policy = "dormant"
	}
	switch policy {
	case "dormant":
		if h.Dormancies < dormantCycles || !unit.GiveUp.Of(u) {
			d := min(unit.DormantDelay.Of(u)<<min(h.Dormancies, 8), maxDormancy)
			h.Dormancies++
			h.Streak = 0
			dec.Verdict, dec.Delay = VerdictSleep, d
			c.decided(i, dec)
			out.Decision = fmt.Sprintf("it sleeps for %v, then it is tried again", d)
			c.enter(i, Dormant, SubAutoRestart, out)
			if r.state == Dormant && !r.wanted() {
				c.armIn(i, dlRestart, d)
			}
			return
		}
	case "escalate":
		if r.sup >= 0 {
			dec.Verdict = VerdictEscalate
			dec.found(CheckEscalation, true, "the failure goes to supervisor %s", c.sups[r.sup].Name)
			if !c.escalate(r.sup, i, out, unit.RestartSec.Of(u)) {
				dec.Verdict = VerdictGiveUp
			}
			c.decided(i, dec)
			return
		}
	case "reboot":
		dec.Verdict = VerdictReboot
		c.decided(i, dec)
		c.emergency(Emergency{Unit: name, Action: "reboot", Cause: out})
	}
	if policy != "reboot" {
		dec.Verdict = VerdictGiveUp
		c.decided(i, dec)
	}
	c.enter(i, Failed, SubFailed, out)
}

// wanted says that somebody has a job for the unit that decides what becomes of it;
// a verify-active job only waits and sees.
func (r *record) wanted() bool { return r.job != nil && r.job.Type != graph.VerifyActive }

// restartDue: the delay of a RestartPending or Dormant unit is over.
func (c *Core) restartDue(i graph.Index) {
	r := c.rec(i)
	if c.shutdown != nil || r.state != RestartPending && r.state != Dormant {
		return
	}
	if r.wanted() {
		return // what it wants comes first; its end looks at the unit again
	}
	_, err := c.ask(wish{unit: i, typ: graph.Start, mode: graph.Replace, source: SourceRestartPolicy})
	if err != nil {
		cause := r.cause
		cause.Decision = "its restart was refused: " + err.Text
		c.enter(i, Failed, SubFailed, cause)
	}
}

// armBudgetReset: a unit that stays up for a full window has earned a clean slate.
func (c *Core) armBudgetReset(i graph.Index) {
	r := c.rec(i)
	if r.hist == nil || r.act == nil {
		return
	}
	w := unit.MaxRestartWindow.Of(r.act)
	if r.act.Format != unit.Native {
		w = unit.StartLimitIntervalSec.Of(r.act)
	}
	if w > 0 {
		c.armIn(i, dlBudget, w)
	}
}

func (c *Core) cancelBudgetReset(i graph.Index) { c.disarm(i, dlBudget) }

// byExecCondition is the detail of a start that ExecCondition= asked to skip.
const byExecCondition = "ExecCondition="

// resultWord is systemd's Result property.
func resultWord(x Cause) string {
	switch x.Kind {
	case NoCause, CleanExit:
		return "success"
	case MainExited, CommandFailed:
		if x.Signal != 0 {
			return "signal"
		}
		return "exit-code"
	case MainKilled:
		return "signal"
	case MainDumped:
		return "core-dump"
	case StartTimeout, StopTimeout, ReadinessTimeout, RuntimeMax, ProbeLost:
		return "timeout"
	case SpawnFailure:
		return "exit-code"
	case ListenFailed, NotLoadable, Unkillable, ProbeFailed:
		return "resources"
	case WatchdogTimeout, OutOfMemory, StartLimitHit, ProtocolError, TriggerLimitHit:
		return x.Kind.String()
	case ConditionUnmet:
		if x.Detail == byExecCondition {
			return "exec-condition"
		}
		return "success" // a Condition…= that does not hold is no failure (systemd.unit(5))
	case HealthFailed, BudgetExhausted, SupervisorGaveUp, ManagerLostTrack, OrderingCycle:
		return x.Kind.String() // systemd has no word for them
	}
	return "success" // the reason of a start or a stop is no failure
}
