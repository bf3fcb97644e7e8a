package sim

import (
	"fmt"
	"strings"
	"time"

	"dynamod/internal/graph"
	"dynamod/svmgr/internal/core"
)

// Violation is one broken invariant. Rule begins with the letter of the
// design's list (a–i), or is "panic", "check" (the core's own complaint) or
// "w" (a trigger that says it waits but is not watched).
type Violation struct {
	Rule, Unit, Text string
	At               time.Duration
	Step             int
}

func (v *Violation) Error() string {
	return fmt.Sprintf("%s: %s: %s (at %v, step %d)", v.Rule, v.Unit, v.Text, v.At, v.Step)
}

// observer sees what goes into the core and what comes out, and believes
// nothing else.
type observer struct {
	led   *ledger
	world *world
	late  time.Duration
	core  *core.Core
	graph *graph.Graph

	now   time.Duration
	step  int
	units map[string]*seen
	names []string
	jobs  map[core.JobID]*seenJob
	reqs  map[core.RequestID]*seenRequest
	open  int // requests without a reply

	shutdownAt time.Duration
	down       bool // a shutdown was asked for
	shutLimit  time.Duration
	handedOver bool
	blurred    bool // units ran without files when the shutdown began
	restoring  bool // this Step tells a new manager what it missed
	marking    bool // this Step brings a verdict on the boot from outside
	judged     core.BootState

	reload *reloadCheck
	fails  *Violation
}

// seen is what the observer knows of one unit.
type seen struct {
	name      string
	state     core.State
	sub       core.Sub
	active    time.Duration // last sign of activity
	upAt      time.Duration // when it came up
	job       *seenJob
	inc       core.RunID
	removed   map[core.RunID]bool
	leaves    bool // may leave processes behind by its settings
	abandoned map[core.RunID]bool
	killed    map[core.RunID]time.Duration // when its cgroup was killed first

	// halted is set by a stop and cleared by a start that somebody or
	// something other than a restart policy asked for.
	halted    bool
	haltedBy  core.Source
	pendingAt time.Duration // when RestartPending began
	putOff    time.Duration // when the restart was put off for lack of memory
	letGo     core.JobID    // the job that was said to go ahead because jobs waited for each other
	restarts  []time.Duration
}

type seenJob struct {
	id      core.JobID
	unit    string
	typ     string
	source  core.Source
	began   bool
	removed bool
	result  core.JobResult
	at      time.Duration
}

type seenRequest struct {
	req     core.Request
	void    bool // its client was lost with the manager
	replied bool
}

func newObserver(led *ledger, w *world) *observer {
	return &observer{led: led, world: w, units: map[string]*seen{}, jobs: map[core.JobID]*seenJob{},
		reqs: map[core.RequestID]*seenRequest{}}
}

func (o *observer) unit(name string) *seen {
	s := o.units[name]
	if s == nil {
		s = &seen{name: name, removed: map[core.RunID]bool{}, abandoned: map[core.RunID]bool{},
			killed: map[core.RunID]time.Duration{}}
		o.units[name] = s
		o.names = append(o.names, name)
	}
	return s
}

func (o *observer) violated(rule, unit, format string, args ...any) {
	if o.fails == nil {
		o.fails = &Violation{Rule: rule, Unit: unit, Text: fmt.Sprintf(format, args...), At: o.now, Step: o.step}
	}
}

// adopt takes over the core's own word for all states: at the beginning and
// after a restart of the manager.
func (o *observer) adopt(c *core.Core, g *graph.Graph) {
	o.core, o.graph = c, g
	c.View().Units(func(v core.UnitView) bool {
		s := o.unit(v.Name)
		if counts(v.State) && !counts(s.state) {
			s.upAt = v.ActiveEnter.Mono
		}
		s.state, s.sub, s.active = v.State, v.Sub, o.now
		return true
	})
}

// before looks at an event on its way in.
func (o *observer) before(now time.Duration, ev core.Event) {
	o.now = now
	o.step++
	o.restoring, o.marking = false, false
	switch ev := ev.(type) {
	case core.Request:
		if o.reqs[ev.ID] == nil {
			o.reqs[ev.ID] = &seenRequest{req: ev}
			o.open++
		}
		if ev.Verb != core.VerbStop {
			o.forgiven(ev.Unit)
		}
	case core.Reloaded:
		if ev.Request != 0 {
			o.reqs[ev.Request] = &seenRequest{req: core.Request{ID: ev.Request}}
			o.open++
		}
		o.reload = o.beginReload(ev)
	case core.ManagerRestored:
		o.restoring = true
	case core.BootMarked:
		o.bootMarked(ev)
	case core.ShutdownRequested:
		if ev.Request != 0 {
			o.reqs[ev.Request] = &seenRequest{req: core.Request{ID: ev.Request}}
			o.open++
		}
		if !o.down {
			o.down, o.shutdownAt, o.blurred = true, now, o.leftovers()
		}
	case core.Exited:
		o.ended(ev.Run)
	case core.SpawnFailed:
		o.ended(ev.Run)
	case core.MainPID:
		if r := o.led.runs[ev.Run]; r != nil && r.kind == adoptRun {
			if ev.Found && !r.ended && suffixOf(r.unit) != "scope" {
				for _, old := range o.led.of[r.unit] {
					old.displaced = old.displaced || old.inc == r.inc && old.role == core.RoleMain
				}
				r.kind = processRun
			} else {
				r.ended = true
			}
		}
	case core.ProbeResult:
		o.looked(ev)
	case core.CgroupEmpty:
		for _, r := range o.led.of[ev.Unit] {
			if r.kind == processRun && r.inc == ev.Incarnation {
				r.emptied = true
			}
		}
	}
}

// looked takes note of a restart that has to wait for memory.
func (o *observer) looked(ev core.ProbeResult) {
	r := o.led.runs[ev.Run]
	if r == nil || r.ended {
		return
	}
	s := o.unit(r.unit)
	if s.state != core.RestartPending || s.job == nil { // nobody asked, or this is a second copy
		return
	}
	for _, f := range ev.Findings {
		if f.Name == core.CheckRestartMemory && !f.OK {
			s.putOff = o.now
		}
	}
}

func (o *observer) ended(id core.RunID) {
	if r := o.led.runs[id]; r != nil {
		r.ended = true
		o.unit(r.unit).active = o.now
	}
}

// after looks at all actions of one Step, in order.
func (o *observer) after(ev core.Event, out []core.Action) {
	if o.reload != nil {
		o.endReload(out)
		o.reload = nil
	}
	for _, a := range out {
		o.letsGo(a)
		if name := withoutUnit(a); name != "" {
			o.violated("b-nil", "-", "%s without a Unit", name)
			return
		}
		again := false
		if s, ok := a.(core.Spawn); ok {
			r := o.led.runs[s.Run]
			again = r != nil && r.unborn
		}
		if err := o.led.note(a); err != nil {
			o.violated("b-run", "-", "%v", err)
		}
		switch a := a.(type) {
		case core.Spawn:
			if !again { // what it checks was so when it was first asked for
				o.spawned(a)
			}
		case core.Signal:
			o.afterHandOver("Signal", a.Unit)
			if r := o.led.runs[a.Run]; r != nil && a.Signal == sigKILL {
				r.sigkilled = true
			}
		case core.KillCgroup:
			s := o.unit(a.Unit)
			if _, again := s.killed[a.Incarnation]; !again {
				s.killed[a.Incarnation] = o.now
			}
		case core.CancelProbe:
			if r := o.led.runs[a.Run]; r != nil && r.kind != processRun {
				r.ended = true
			}
		case core.RemoveCgroup:
			o.unit(a.Unit).removed[a.Incarnation] = true
		case core.Listen:
			if !o.restoring { // else it may be an old question again
				o.starting("Listen", a.Unit.Name)
			}
		case core.Probe:
			if a.What == core.ProbeConditions {
				if !o.restoring {
					o.starting("Probe", a.Unit.Name)
				}
				o.begins(o.unit(a.Unit.Name), graph.Start)
			}
		case core.Publish:
			o.published(a)
		case core.Reply:
			o.replied(a)
		case core.HandOver:
			o.handOver()
		}
	}
	if _, ok := ev.(core.Request); ok {
		o.promptReply(ev.(core.Request))
	}
	o.bootOverdue()
	if d, ok := o.core.Deadline(); ok && d < o.now {
		if o.late == 0 {
			o.violated("a-deadline", "-", "Deadline %v is in the past after a Step at %v", d, o.now)
		}
	}
}

// letsGo takes note of a stop that may overtake another, because the core says that
// it ends a deadlock so.
func (o *observer) letsGo(a core.Action) {
	if l, ok := a.(core.Log); ok && l.Cause.Kind == core.OrderingCycle {
		if s := o.unit(l.Unit); s.job != nil {
			s.letGo = s.job.id
		}
	}
}

// withoutUnit names an action that lacks the unit it is about.
func withoutUnit(a core.Action) string {
	switch a := a.(type) {
	case core.Spawn:
		if a.Unit == nil {
			return "Spawn " + a.Stage.String()
		}
	case core.Listen:
		if a.Unit == nil {
			return "Listen"
		}
	case core.Watch:
		if a.Unit == nil {
			return "Watch"
		}
	case core.Probe:
		if a.Unit == nil {
			return "Probe"
		}
	}
	return ""
}

func (o *observer) published(p core.Publish) {
	switch p.What {
	case core.UnitChanged:
		o.changed(p)
	case core.UnitRemoved:
		s := o.unit(p.Unit)
		s.state, s.sub, s.halted = core.Inactive, core.SubDead, false
		for _, r := range o.led.of[p.Unit] {
			if r.holds() && !o.unit(p.Unit).leaves {
				o.violated("b-outlives", p.Unit, "the unit was removed while %s lives", r.name)
			}
		}
	case core.JobNew:
		o.jobNew(p)
	case core.JobRemoved:
		o.jobRemoved(p)
	case core.BootJudged:
		o.bootJudged()
	}
}

func (o *observer) changed(p core.Publish) {
	s := o.unit(p.Unit)
	if s.state != p.From {
		o.violated("publish", p.Unit, "went from %v to %v, but was %v", p.From, p.To, s.state)
	}
	from := s.state
	s.state, s.sub, s.active = p.To, p.Sub, o.now
	o.rises(s, from, p.To)
	if p.To == from {
		return
	}
	wasDown := isDown(from)
	switch p.To {
	case core.Starting:
		if wasDown || from == core.RestartPending || from == core.Dormant {
			o.begins(s, graph.Start)
			o.starting("state", p.Unit)
		}
	case core.Active:
		if wasDown {
			o.begins(s, graph.Start)
			if !kernelMade(p.Unit) {
				o.starting("state", p.Unit)
			}
		}
	case core.Stopping:
		o.begins(s, graph.Stop)
	case core.RestartPending:
		s.pendingAt, s.putOff = o.now, 0
	case core.Abandoned:
		s.abandoned[s.inc] = true
	}
	if isDown(p.To) && !wasDown {
		if (from == core.Active || from == core.Reloading) && p.To == core.Inactive {
			o.begins(s, graph.Stop)
		}
		o.noProcessLeft(s)
	}
	o.haltRules(s, from, p)
}

func isDown(s core.State) bool {
	switch s {
	case core.Inactive, core.Failed, core.Blocked, core.Skipped, core.Completed:
		return true
	}
	return false
}

// kernelMade are the types that come and go without the manager.
func kernelMade(name string) bool {
	switch suffixOf(name) {
	case "device", "mount", "swap":
		return true
	}
	return false
}

// noProcessLeft: a unit at rest has no process that the core started for it,
// unless its settings or the kernel keep it from being ended.
func (o *observer) noProcessLeft(s *seen) {
	if s.leaves {
		return
	}
	for _, r := range o.led.of[s.name] {
		if (r.displaced || r.sigkilled) && s.state == core.Completed {
			continue // what RemainAfterExit= leaves behind; a killed ExecReload=
		}
		if r.holds() && !s.abandoned[r.inc] && r.role != core.RoleHealth {
			o.violated("b-outlives", s.name, "it is %v, but its %s was never told to have ended", s.state, r.name)
		}
	}
}

// spawned checks rule b and the incarnations.
func (o *observer) spawned(a core.Spawn) {
	s := o.unit(a.Unit.Name)
	s.active = o.now
	spec := o.world.spec(a.Unit.Name)
	s.leaves = spec.Get("KillMode") == "none" || spec.Get("KillMode") == "process" || spec.Get("SendSIGKILL") == "no" ||
		spec.Get("SurviveFinalKillSignal") == "yes"
	if a.Fresh {
		if a.Incarnation == 0 || a.Incarnation == s.inc || s.removed[a.Incarnation] {
			o.violated("b-incarnation", s.name, "a fresh spawn has the old incarnation %d", a.Incarnation)
		}
		s.inc = a.Incarnation
	} else if a.Incarnation != s.inc || s.removed[a.Incarnation] {
		o.violated("b-incarnation", s.name, "spawned into incarnation %d; the present one is %d (removed: %v)",
			a.Incarnation, s.inc, s.removed[a.Incarnation])
	}
	if a.Role == core.RoleMain {
		for _, r := range o.led.of[s.name] {
			if r.id != a.Run && r.holds() && r.role == core.RoleMain && !r.displaced && !s.leaves && !s.abandoned[r.inc] {
				o.violated("b-two-mains", s.name, "a main run is spawned while %s lives", r.name)
			}
		}
	}
	switch a.Stage {
	case core.StageStop, core.StageStopPost, core.StageStopPre, core.StageUnmount, core.StageSwapOff:
		o.afterHandOver("Spawn", s.name)
	default:
		o.starting("Spawn "+a.Stage.String(), s.name)
		if s.halted && a.Fresh && s.job == nil {
			o.violated("h-restart", s.name, "%s is spawned after a stop, and nothing asked for a start", a.Stage)
		}
	}
}

// starting notes that something begins: never after the shutdown began.
func (o *observer) starting(what, unit string) {
	if o.down {
		o.violated("e-started", unit, "%s after the shutdown began", what)
	}
}

func (o *observer) afterHandOver(what, unit string) {
	if o.handedOver {
		o.violated("e-after", unit, "%s after HandOver", what)
	}
}

// postKill is Config.PostKill: what is left so long after the kill of its
// cgroup cannot be killed.
const postKill = 5 * time.Second

func (o *observer) handOver() {
	if o.handedOver {
		o.violated("e-twice", "-", "HandOver came twice")
	}
	if !o.down {
		o.violated("e-unasked", "-", "HandOver without a shutdown")
	}
	o.handedOver = true
	for _, r := range o.led.order {
		s := o.unit(r.unit)
		killed, ok := s.killed[r.inc]
		unkillable := ok && o.now-killed >= postKill
		if r.holds() && !s.leaves && !s.abandoned[r.inc] && !unkillable && r.role != core.RoleHealth {
			o.violated("e-left", r.unit, "%s still runs at HandOver", r.name)
		}
	}
}

// overdue checks that the shutdown ends in time.
func (o *observer) overdue() {
	if o.down && !o.handedOver && o.now > o.shutdownAt+o.shutLimit {
		var busy []string
		o.core.View().Units(func(v core.UnitView) bool {
			if !isDown(v.State) && len(busy) < 8 {
				busy = append(busy, fmt.Sprintf("%s %v/%v", v.Name, v.State, v.Sub))
			}
			return true
		})
		o.violated("e-overdue", "-", "no HandOver %v after the shutdown began; not down: %s",
			o.now-o.shutdownAt, strings.Join(busy, ", "))
	}
}
