package core

import (
	"slices"
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

// job is a queued intention on one unit; a unit has at most one.
type job struct {
	ID   JobID
	Unit graph.Index `json:"-"`
	Name string      // the unit's name, for ended jobs of units that are gone
	Type graph.JobType
	// Planned is the type that the last transaction gave it: a restart goes on as a start.
	Planned graph.JobType
	Mode    graph.Mode
	Source  Source
	// Running: the job acts or waits for its unit; else it waits for others.
	Running bool
	// Parked: the unit is in a state that must pass first.
	Parked bool
	// Unmet counts the jobs that this one must wait for.
	Unmet        int32
	Irreversible bool
	NoOrder      bool
	// Auto: nobody asked for it, so restart counters go on counting.
	Auto bool
	// Trigger is the unit that caused it, for the activation.
	Trigger string
	Begin   time.Duration
	// Requests wait for the result.
	Requests []RequestID
	Ended    bool
	// Decided: the next state change ends the job with Result.
	Decided bool
	Result  JobResult
	EndedAt time.Duration
	// Cause is what a failed job leaves to its unit when it never ran.
	Cause Cause
}

// wish is a request from inside or outside, before it is planned.
type wish struct {
	unit    graph.Index
	typ     graph.JobType
	mode    graph.Mode
	source  Source
	manual  bool
	trigger string
	cause   Cause
	// cascade false spares the dependents of a stopped unit.
	alone bool
}

// Active implements graph.Present.
func (p present) Active(i graph.Index) graph.ActiveState { return p.c.rec(i).activeState() }

// Job implements graph.Present.
func (p present) Job(i graph.Index) (graph.JobInfo, bool) {
	j := p.c.rec(i).job
	if j == nil || j.Type == graph.Nop || j.Type == graph.Reset {
		return graph.JobInfo{}, false
	}
	return graph.JobInfo{Type: j.Type, Running: j.Running, Irreversible: j.Irreversible}, true
}

type present struct{ c *Core }

// ask plans a wish and installs the plan, whole or not at all. It returns the
// anchor's job, nil with a nil error when nothing had to be done.
func (c *Core) ask(w wish) (*job, *RequestError) {
	name := c.g.Name(w.unit)
	if c.shutdown != nil && w.source != SourceShutdown {
		if w.typ == graph.Stop && (c.rec(w.unit).job != nil || c.rec(w.unit).down()) {
			return c.rec(w.unit).job, nil // it is being stopped already
		}
		return nil, &RequestError{Kind: "ShuttingDown", Unit: name,
			Text: "the system is going down (" + c.shutdown.Kind.String() + "): nothing is started any more"}
	}
	plan, err := c.g.Plan(graph.Request{Unit: w.unit, Type: w.typ, Mode: w.mode, Manual: w.manual,
		NeverRefuse: w.source == SourceBoot || w.source == SourceShutdown, NoCascade: w.alone}, present{c})
	if err != nil {
		pe, ok := err.(*graph.PlanError)
		if !ok {
			return nil, &RequestError{Kind: "Failed", Unit: name, Text: err.Error()}
		}
		if w.typ == graph.Start && pe.Kind == graph.NoSuchUnit && pe.Unit != w.unit {
			c.blockOnMissing(w.unit)
		}
		return nil, &RequestError{Kind: pe.Kind.String(), Unit: c.g.Name(pe.Unit), Text: pe.Message}
	}
	for _, d := range plan.Dropped {
		if d.Cause != graph.Unneeded {
			c.emit(Log{Level: LevelWarning, Unit: c.g.Name(d.Unit), Note: d.Message})
		}
		if d.Type == graph.Start {
			c.blockOnMissing(d.Unit)
		}
	}
	for _, i := range plan.Flushed {
		if j := c.rec(i).job; j != nil {
			c.finish(j, JobCanceled, Cause{Kind: ByRequest})
		}
	}
	for _, p := range plan.Jobs { // before the first of them has a job, which keeps it in memory
		if p.Type == graph.Start {
			c.forgetStarts(p.Unit)
		}
	}
	var anchor *job
	for k := range plan.Jobs {
		p := &plan.Jobs[k]
		src := w.source
		if p.Unit != w.unit && src != SourceShutdown && src != SourceBoot {
			src = SourceDependency
		}
		j := c.install(p, src, w.mode)
		j.Auto = automatic(w.source) && (j.Auto || !p.Merges)
		if p.Unit == w.unit {
			anchor = j
			if w.trigger != "" {
				j.Trigger = w.trigger
			}
			if w.cause.Kind != NoCause {
				j.Cause = w.cause
			}
		} else if p.By != graph.None {
			j.Cause = Cause{Kind: ByDependency, Unit: c.g.Name(p.By)}
			if p.Type == graph.Stop {
				j.Cause.Kind = ByStopOfDependency
				if c.conflicts(p.Unit, p.By) {
					j.Cause.Kind = ByConflict
				}
			}
		}
	}
	return anchor, nil
}

// blockOnMissing marks a native unit at rest that requires something which does not
// exist: it starts by itself once a reload brings that (features.md C-12).
func (c *Core) blockOnMissing(i graph.Index) {
	u := c.g.Unit(i)
	if u == nil || u.Format != unit.Native || !c.rec(i).down() {
		return
	}
	for _, e := range c.g.Edges(i) {
		if e.Rel.Has(graph.Requires|graph.BindsTo) && c.g.Load(e.To) == unit.NotFound {
			c.enter(i, Blocked, SubDead, Cause{Kind: DependencyMissing, Unit: c.g.Name(e.To)})
			return
		}
	}
}

func (c *Core) conflicts(a, b graph.Index) bool {
	return c.rel(a, b).Has(graph.Conflicts | graph.ConflictedBy)
}

// rel is everything that a has to do with b.
func (c *Core) rel(a, b graph.Index) graph.Rel {
	es := c.g.Edges(a)
	lo, hi := 0, len(es)
	for lo < hi {
		m := (lo + hi) / 2
		if es[m].To < b {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo < len(es) && es[lo].To == b {
		return es[lo].Rel
	}
	return 0
}

// install makes one planned job real: new, merged into, or instead of the one
// that the unit has.
func (c *Core) install(p *graph.Planned, src Source, mode graph.Mode) *job {
	r := c.rec(p.Unit)
	if old := r.job; old != nil {
		if p.Merges {
			c.retype(old, p.Type)
			old.Planned = p.Type
			old.Irreversible = old.Irreversible || p.Irreversible
			// A group restart takes nothing over that others stop or want: it would
			// start again what they stopped on purpose.
			others := old.Type == graph.Stop || old.Source == SourceDependency
			if (automatic(old.Source) || old.Source == SourceDependency) && !(src == SourceSupervisor && others) {
				old.Source = src
			}
			if old.Type == graph.Stop && old.Running && src != SourceSupervisor {
				r.held = true // a stop on purpose, even if a group restart began it
			}
			return old
		}
		c.finish(old, JobCanceled, Cause{Kind: ByRequest})
	}
	c.nextJob++
	j := &job{ID: c.nextJob, Unit: p.Unit, Name: c.g.Name(p.Unit), Type: p.Type, Planned: p.Type, Mode: mode, Source: src,
		Irreversible: p.Irreversible, NoOrder: p.NoOrder, Begin: c.now.Mono}
	c.jobs[j.ID] = j
	r.job = j
	c.emit(Publish{What: JobNew, Unit: j.Name, Job: j.ID, JobType: j.Type.String(), Source: src})
	if u := c.g.Unit(p.Unit); u != nil {
		if unit.JobTimeoutSec.IsSet(u) {
			c.armIn(p.Unit, dlJob, timeoutOf(unit.JobTimeoutSec.Of(u)))
		}
	}
	c.link(j)
	return j
}

// timeoutOf reads systemd's "0 means no timeout".
func timeoutOf(d time.Duration) time.Duration {
	if d == 0 {
		return unit.Forever
	}
	return d
}

// link counts what j waits for and makes its neighbours wait for it.
func (c *Core) link(j *job) {
	j.Unmet = 0
	for _, e := range c.g.Edges(j.Unit) {
		k := c.rec(e.To).job
		if k == nil || e.To == j.Unit {
			continue
		}
		if waits(j, e.Rel, k) {
			j.Unmet++
		}
		if !k.Running && waits(k, e.Rel.Inverse(), j) {
			k.Unmet++
		}
	}
	if j.Unmet == 0 {
		c.ready = append(c.ready, j.ID)
	}
}

// unlink releases those that waited for j.
func (c *Core) unlink(j *job) {
	for _, e := range c.g.Edges(j.Unit) {
		k := c.rec(e.To).job
		if k == nil || e.To == j.Unit || k.Running || !waits(k, e.Rel.Inverse(), j) {
			continue
		}
		k.Unmet--
		if k.Unmet == 0 {
			c.ready = append(c.ready, k.ID)
		}
	}
}

func waits(a *job, rel graph.Rel, b *job) bool {
	return !a.NoOrder && graph.Waits(a.Type, rel, b.Type)
}

// retype changes the type of an installed job and its place in the order. A job
// whose type changes begins again.
func (c *Core) retype(j *job, t graph.JobType) {
	if j.Type == t {
		return
	}
	c.unlink(j)
	if j.Running {
		j.Running = false
		c.running--
		c.disarm(j.Unit, dlJobRunning)
		c.cancelProbe(j.Unit) // its conditions were asked for the former intention
	}
	j.Type, j.Parked = t, false
	c.link(j)
	c.suspectDeadlock()
}

// becomeStart turns a restart whose unit is down into a start. Its place in the
// order changes with that: units that are ordered both ways would now wait for
// each other, which no plan could foresee.
func (c *Core) becomeStart(j *job) {
	// Whose stop went ahead of its turn to end a deadlock starts in its turn.
	j.NoOrder = j.Mode == graph.IgnoreDependencies
	c.retype(j, graph.Start)
	if j.Unmet == 0 {
		return
	}
	for _, e := range c.g.Edges(j.Unit) {
		o := c.rec(e.To).job
		if o == nil || e.To == j.Unit || o.Running || !waits(j, e.Rel, o) || !waits(o, e.Rel.Inverse(), j) {
			continue
		}
		c.breakWaits([]*job{j, o})
		return
	}
}

// park makes j wait until its unit has left its present state.
func (c *Core) park(j *job) { j.Parked = true }

// requeue gives a parked job another try.
func (c *Core) requeue(j *job) {
	if j.Parked && !j.Running {
		j.Parked = false
		if j.Unmet == 0 {
			c.ready = append(c.ready, j.ID)
		}
	}
}

// begin marks j as running: from now on its unit's state decides its result.
func (c *Core) begin(j *job) {
	j.Running, j.Parked = true, false
	c.running++
	u := c.g.Unit(j.Unit)
	if u == nil {
		return
	}
	limit := timeoutOf(unit.JobRunningTimeoutSec.Of(u))
	if !unit.JobRunningTimeoutSec.IsSet(u) {
		limit = unit.Forever
		if c.machineOf(j.Unit) == &deviceMachine {
			limit = 90 * time.Second // DefaultDeviceTimeoutSec=, systemd-system.conf(5)
		}
	}
	c.armIn(j.Unit, dlJobRunning, limit)
}

// finish ends j: exactly once, and everything that waited hears of it.
func (c *Core) finish(j *job, res JobResult, cause Cause) {
	r := c.rec(j.Unit)
	if j.Running {
		c.running--
	}
	r.job = nil
	delete(c.jobs, j.ID)
	if c.knotted {
		c.knotted = false
		c.suspectDeadlock()
	}
	c.disarm(j.Unit, dlJob)
	c.disarm(j.Unit, dlJobRunning)
	j.Ended, j.Result, j.EndedAt, j.Running = true, res, c.now.Mono, false
	if res == JobFailed || res == JobTimeout || res == JobDependency {
		c.failures++
	}
	c.emit(Publish{What: JobRemoved, Unit: j.Name, Job: j.ID, JobType: j.Type.String(), JobResult: res, Source: j.Source, Cause: cause})
	for _, id := range j.Requests {
		c.emit(Reply{ID: id, Job: j.ID, Result: res})
	}
	j.Requests = nil
	c.remember(j)
	if c.retireDL == 0 {
		c.arm(globalJobs, 0, c.now.Mono+c.cfg.JobRetention)
	}
	c.unlink(j)
	if r.down() {
		c.tellTriggers(j.Unit)
		c.leaveSocket(r) // an instance that never came to run
		c.dropFDs(j.Unit)
	}
	if res != JobDone && (j.Type == graph.Start || j.Type == graph.VerifyActive || j.Type == graph.Restart) {
		if res != JobCanceled || r.down() {
			c.failed = append(c.failed, j.Unit)
		}
	}
	c.cancelProbe(j.Unit)
	c.queueCheck(j.Unit)
	c.queueSupOf(j.Unit)
	if !c.booted && c.bootAsked && len(c.jobs) == 0 {
		c.booted = true
		c.emit(Publish{What: StartupFinished})
		c.lookAtBoot()
	}
}

// tellTriggers: what waits for i to come to rest must hear that its start came to
// nothing, too.
func (c *Core) tellTriggers(i graph.Index) {
	for _, e := range c.g.Edges(i) {
		if e.Rel.Has(graph.TriggeredBy) {
			c.queueCheck(e.To)
		}
	}
}

// failDependents ends the start jobs of the units that require unit i, whose
// own start failed. What does not require it goes on.
func (c *Core) failDependents(i graph.Index) {
	if r := c.rec(i); r.up() || r.state == Starting && r.job != nil {
		return
	}
	cause := Cause{Kind: DependencyFailed, Unit: c.g.Name(i)}
	if c.g.Load(i) == unit.NotFound {
		cause.Kind = DependencyMissing
	}
	for _, e := range c.g.Edges(i) {
		if !e.Rel.Has(graph.RequiredBy | graph.RequisiteOf | graph.BoundBy) {
			continue
		}
		r := c.rec(e.To)
		j := r.job
		if j == nil || j.Type != graph.Start && j.Type != graph.VerifyActive {
			continue
		}
		wasDown := r.down()
		c.finish(j, JobDependency, cause)
		if wasDown {
			c.blockOn(e.To, cause)
		}
	}
}

// blockOn leaves a unit whose start failed for a dependency: native units stay
// blocked and start by themselves when the dependency comes up. For OnFailure= and
// FailureAction= that is a failure all the same, or a machine without one of its
// file systems would wait for ever in silence.
func (c *Core) blockOn(i graph.Index, cause Cause) {
	u := c.g.Unit(i)
	if u == nil {
		return
	}
	if u.Format == unit.Native {
		c.enter(i, Blocked, SubDead, cause)
	} else {
		c.rec(i).cause = cause
	}
	c.startFailureActions(i, cause)
}

// retireJobs forgets jobs that ended long enough ago.
func (c *Core) retireJobs() {
	n := 0
	for n < len(c.ended) && c.now.Mono-c.ended[n].EndedAt >= c.cfg.JobRetention {
		delete(c.endedBy, c.ended[n].ID)
		n++
	}
	c.ended = slices.Delete(c.ended, 0, n)
	if len(c.ended) > 0 {
		c.arm(globalJobs, 0, c.ended[0].EndedAt+c.cfg.JobRetention)
	}
}

// remember keeps a job that has ended.
func (c *Core) remember(j *job) {
	c.ended = append(c.ended, j)
	c.endedBy[j.ID] = j
}

func (c *Core) jobExpired(i graph.Index) {
	j := c.rec(i).job
	if j == nil || c.shutdown != nil { // the shutdown has its own time-out
		return
	}
	u := c.g.Unit(i)
	c.emit(Log{Level: LevelErr, Unit: j.Name, Note: "its " + j.Type.String() + " job timed out"})
	c.finish(j, JobTimeout, Cause{Kind: StartTimeout})
	if u != nil {
		if a := unit.JobTimeoutAction.Of(u); a != "" && a != "none" && c.shutdown == nil {
			c.emergency(Emergency{Unit: j.Name, Action: a, Cause: Cause{Kind: StartTimeout}, Argument: unit.JobTimeoutRebootArgument.Of(u), Status: -1})
		}
	}
}
