package sim

import (
	"slices"
	"time"

	"dynamod/internal/graph"
	"dynamod/svmgr/internal/core"
)

func (o *observer) jobNew(p core.Publish) {
	if o.jobs[p.Job] != nil {
		o.violated("d-job", p.Unit, "job id %d is given out twice", p.Job)
		return
	}
	s := o.unit(p.Unit)
	s.active = o.now
	if s.job != nil {
		o.violated("d-job", p.Unit, "job %d begins while job %d exists", p.Job, s.job.id)
	}
	j := &seenJob{id: p.Job, unit: p.Unit, typ: p.JobType, source: p.Source, at: o.now}
	o.jobs[p.Job], s.job = j, j
	if p.JobType == "start" || p.JobType == "restart" {
		o.startWanted(s, j)
	}
}

// forgiven forgets the counted restarts of a unit that somebody asked to start,
// and of what it pulls in: their jobs may merge into a restart under way, which
// nothing publishes, and an explicit start begins a new count.
func (o *observer) forgiven(name string) {
	o.unit(name).restarts = nil
	i, ok := o.graph.Lookup(name)
	if !ok {
		return
	}
	for _, e := range o.graph.Edges(i) {
		if e.Rel.Has(graph.Requires | graph.Wants | graph.BindsTo | graph.Upholds | graph.Triggers | graph.ConsistsOf |
			graph.RequiredBy | graph.BoundBy | graph.PropagatesStopTo) {
			o.unit(o.graph.Name(e.To)).restarts = nil
		}
	}
}

// startWanted applies rules e, g and h to a new start job.
func (o *observer) startWanted(s *seen, j *seenJob) {
	if o.down {
		o.violated("e-started", s.name, "a %s job by %v after the shutdown began", j.typ, j.source)
	}
	if j.source != core.SourceRestartPolicy && j.source != core.SourceSupervisor {
		s.halted = false
		o.forgiven(s.name)
		return
	}
	if s.halted {
		o.violated("h-restart", s.name, "a %s job by %v although a %v stop ended it", j.typ, j.source, s.haltedBy)
	}
	if j.source == core.SourceRestartPolicy {
		o.restartRules(s)
	}
}

func (o *observer) jobRemoved(p core.Publish) {
	j := o.jobs[p.Job]
	if j == nil {
		o.violated("d-job", p.Unit, "job %d is removed but was never new", p.Job)
		return
	}
	if j.removed {
		o.violated("d-job", p.Unit, "job %d ends twice", p.Job)
		return
	}
	j.removed, j.result = true, p.JobResult
	s := o.unit(j.unit)
	s.active = o.now
	if s.job == j {
		s.job = nil
	}
	if p.JobType == "stop" && p.JobResult == core.JobDone && j.source != core.SourceSupervisor {
		s.halted, s.haltedBy = true, j.source
	}
}

// haltRules keeps rule h over state changes.
func (o *observer) haltRules(s *seen, from core.State, p core.Publish) {
	if j := s.job; j != nil && s.halted && (p.To == core.Starting || p.To == core.Active) && isDown(from) &&
		j.source != core.SourceRestartPolicy && j.source != core.SourceSupervisor {
		s.halted = false // a job that became a start by merging
	}
	if p.To == core.Starting && from == core.RestartPending && p.Cause.Kind != core.ByRestartPolicy {
		s.restarts = nil // somebody else's request took the restart over
	}
	switch {
	case p.To == core.RestartPending && s.halted:
		o.violated("h-restart", s.name, "it waits for an automatic restart although a %v stop ended it", s.haltedBy)
	case p.To == core.Starting && from == core.RestartPending && s.job == nil && s.halted:
		o.violated("h-restart", s.name, "it is restarted although a %v stop ended it", s.haltedBy)
	case (p.To == core.Active || p.To == core.Starting) && s.halted && kernelMade(s.name):
		s.halted = false
	}
	if p.To == core.Starting && from == core.RestartPending && s.job == nil {
		o.restartRules(s)
	}
}

// restartRules is invariant g for one automatic restart that begins now.
func (o *observer) restartRules(s *seen) {
	spec := o.world.spec(s.name)
	if s.state != core.RestartPending && s.state != core.Starting || s.pendingAt == 0 {
		return
	}
	slack := o.late + time.Millisecond
	if s.putOff > 0 { // by lack of memory: it costs no budget
		if pause := o.now - s.putOff; pause < memoryPause || pause > memoryPause+slack {
			o.violated("g-delay", s.name, "looked at again %v after it was put off, not %v", pause, memoryPause)
		}
		s.putOff = 0
		return
	}
	waited := o.now - s.pendingAt
	base, most, steps := spec.restartDelays()
	if waited < min(base, most) {
		o.violated("g-delay", s.name, "restarted after %v; its delay is %v", waited, base)
	}
	if steps {
		if waited > max(base, most)+slack {
			o.violated("g-delay", s.name, "restarted after %v; its longest delay is %v", waited, max(base, most))
		}
	} else if !isDoubled(waited, base, most, slack) {
		o.violated("g-delay", s.name, "restarted after %v, which is no min(%v·2^n, %v)", waited, base, most)
	}
	if n, window := spec.restartBudget(); n > 0 {
		s.restarts = append(s.restarts, o.now)
		first := len(s.restarts)
		for first > 0 && s.restarts[first-1] > o.now-window {
			first--
		}
		if got := len(s.restarts) - first; got > n {
			o.violated("g-budget", s.name, "%d automatic restarts within %v; allowed are %d", got, window, n)
		}
	}
}

// memoryPause is what docs/states.md says of a restart that is put off.
const memoryPause = 10 * time.Second

// isDoubled says whether d is min(base·2^n, most) for some n, up to slack late.
func isDoubled(d, base, most, slack time.Duration) bool {
	for range 40 {
		want := min(base, most)
		if d >= want && d <= want+slack {
			return true
		}
		if base == 0 || base >= most {
			return false
		}
		base *= 2
	}
	return false
}

const never = time.Duration(1<<63 - 1)

// restartDelays is the delay that the text asks for: the first, the longest,
// and whether it grows by RestartSteps= instead of doubling.
func (s *Spec) restartDelays() (base, most time.Duration, steps bool) {
	parse := func(v string, def time.Duration) time.Duration {
		if v == "" {
			return def
		}
		if v == "0" {
			return 0
		}
		d, err := time.ParseDuration(v)
		if err != nil {
			return def
		}
		return d
	}
	if s.Native {
		base = parse(s.Get("delay"), time.Second)
		most = parse(s.Get("delay-max"), time.Minute)
		if most == 0 {
			most = base
		}
		return base, max(most, base), false
	}
	base = parse(s.Get("RestartSec"), 100*time.Millisecond)
	if s.Has("RestartSteps") && s.Has("RestartMaxDelaySec") {
		return base, parse(s.Get("RestartMaxDelaySec"), never), true
	}
	return base, base, false
}

// restartBudget is max-restarts in max-restart-window; 0 for no limit.
func (s *Spec) restartBudget() (limit int, in time.Duration) {
	if !s.Native || s.Get("give-up") == "false" || s.Get("on-exhausted") != "" && s.Get("on-exhausted") != "fail" {
		return 0, 0
	}
	n, window := 5, time.Minute
	defer func() {
		if limit > 0 && s.Has("last-chance") {
			limit++ // its command may grant one more
		}
	}()
	switch v := s.Get("max-restarts"); v {
	case "":
	case "0":
		return 0, 0
	default:
		n = int(v[0] - '0')
	}
	if s.Get("max-restart-window") == "10s" {
		window = 10 * time.Second
	}
	return n, window
}

// begins is invariant c: when a unit begins to start or stop because of its
// job, no job that it must wait for may still exist.
func (o *observer) begins(s *seen, dir graph.JobType) {
	j := s.job
	if j == nil || j.began || o.graph == nil || suffixOf(s.name) == "device" {
		return
	}
	jv, ok := o.core.View().Job(j.id)
	if !ok || !jv.Running && !(jv.Ended && jv.Result == core.JobDone) {
		return
	}
	if stopping := jv.Type == graph.Stop || jv.Type == graph.Restart; stopping != (dir == graph.Stop) && jv.Type != graph.Restart {
		return
	}
	j.began = true
	if jv.Type == graph.Stop && j.source != core.SourceSupervisor {
		s.halted, s.haltedBy = true, j.source
	}
	if jv.Mode == graph.IgnoreDependencies || o.restoring && dir == graph.Stop {
		return // units that died meanwhile stop in no order
	}
	if dir == graph.Stop && s.letGo == j.id {
		return
	}
	i, ok := o.graph.Lookup(s.name)
	if !ok {
		return
	}
	for _, e := range o.graph.Edges(i) {
		if !e.Rel.Has(graph.After | graph.Before) {
			continue
		}
		other := o.units[o.graph.Name(e.To)]
		if other == nil || other == s || other.job == nil {
			continue
		}
		k := other.job
		kv, ok := o.core.View().Job(k.id)
		if !ok || kv.Mode == graph.IgnoreDependencies {
			continue
		}
		if graph.Waits(dir, e.Rel, kv.Type) && !(o.down && (o.inCycle(i, e.To) || o.blurred)) {
			o.violated("c-order", s.name, "its %v begins (job %d, %v) while %s, which it is ordered %v, has job %d (%v)",
				dir, j.id, jv.Type, other.name, e.Rel&(graph.After|graph.Before), k.id, kv.Type)
		}
	}
}

// inCycle says that two units which are ordered are so both ways round by some
// detour; a shutdown, which never refuses, must then let one of them go first.
func (o *observer) inCycle(a, b graph.Index) bool {
	return o.startsAfter(a, b) && o.startsAfter(b, a)
}

// leftovers says that units run whose files a reload took away: the core knows
// their order still, this observer does not, and cannot tell a cycle.
func (o *observer) leftovers() bool {
	for _, n := range o.names {
		if s := o.units[n]; !isDown(s.state) {
			if i, ok := o.graph.Lookup(n); !ok || o.graph.Unit(i) == nil {
				return true
			}
		}
	}
	return false
}

// startsAfter follows After= from a to b.
func (o *observer) startsAfter(a, b graph.Index) bool {
	done := make([]bool, o.graph.Len())
	todo := []graph.Index{a}
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, e := range o.graph.Edges(i) {
			if e.Rel.Has(graph.After) && !done[e.To] {
				if e.To == b {
					return true
				}
				done[e.To] = true
				todo = append(todo, e.To)
			}
		}
	}
	return false
}

func (o *observer) replied(r core.Reply) {
	q := o.reqs[r.ID]
	switch {
	case q == nil:
		o.violated("d-reply", "-", "reply to request %d, which nobody made", r.ID)
		return
	case q.replied:
		o.violated("d-reply", q.req.Unit, "request %d (%v) got a second reply", r.ID, q.req.Verb)
		return
	}
	q.replied = true
	o.open--
	if r.Job == 0 || r.Err != nil {
		return
	}
	j := o.jobs[r.Job]
	if j == nil {
		o.violated("d-reply", q.req.Unit, "the reply to request %d names job %d, which was never new", r.ID, r.Job)
		return
	}
	if q.req.Wait && j.removed && j.result != r.Result {
		o.violated("d-reply", q.req.Unit, "request %d is told %v, its job ended %v", r.ID, r.Result, j.result)
	}
	if q.req.Wait && !j.removed {
		o.violated("d-reply", q.req.Unit, "request %d waits, but is answered before its job %d ends", r.ID, r.Job)
	}
}

// promptReply: a request that does not wait is answered in its own Step.
func (o *observer) promptReply(r core.Request) {
	if q := o.reqs[r.ID]; q != nil && !q.replied && !r.Wait {
		o.violated("d-reply", r.Unit, "request %d (%v) does not wait, but got no reply in its Step", r.ID, r.Verb)
	}
}

// clientsLost forgets requests whose clients went with the manager.
func (o *observer) clientsLost() {
	for _, s := range o.units {
		s.pendingAt = 0 // its delay may have passed meanwhile
	}
	for _, q := range o.reqs {
		q.void = true
	}
}

// settled checks at the end of a history that nothing is owed.
func (o *observer) settled() {
	ids := make([]core.RequestID, 0, len(o.reqs))
	for id := range o.reqs {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		if q := o.reqs[id]; !q.replied && !q.void {
			o.violated("d-reply", q.req.Unit, "request %d (%v) never got a reply", id, q.req.Verb)
		}
	}
	jobs := make([]core.JobID, 0, len(o.jobs))
	for id := range o.jobs {
		jobs = append(jobs, id)
	}
	slices.Sort(jobs)
	for _, id := range jobs {
		if j := o.jobs[id]; !j.removed {
			o.violated("d-job", j.unit, "job %d (%s) never ended", id, j.typ)
		}
	}
}
