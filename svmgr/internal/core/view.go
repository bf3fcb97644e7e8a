package core

import (
	"slices"
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// View answers questions about the present without copying it.
func (c *Core) View() View { return View{c} }

// View is a read-only look at a Core between two Steps.
type View struct{ c *Core }

// UnitView is what one unit is right now.
type UnitView struct {
	Name  string
	Unit  *unit.Unit // nil for a name that has no file
	State State
	Sub   Sub
	Cause Cause
	// Stable is true once an active unit has stayed so for stable-after.
	Stable bool
	// Main and Control are live runs, 0 for none; Incarnation their cgroup.
	Main, Control, Incarnation RunID
	Job                        JobID
	Restarts                   uint32
	Status                     string
	Since                      Time
	ActiveEnter, ActiveExit    Time
	InactiveEnter              Time
	InactiveExit               Time
	// Active is systemd's ActiveState word, Result its Result word.
	Active graph.ActiveState
	Result string
	// NextElapse is a timer's next moment; zero Mono and Wall for none.
	NextElapse Time
	// LastElapse is when a timer last elapsed; only Wall is known of one that did so
	// under a former manager.
	LastElapse Time
	Stored     int
	Frozen     bool
	// Defined is the unit as the present generation has it; Unit differs from
	// it while an activation of a former generation runs.
	Defined *unit.Unit
	// Gone says that the file of a running unit vanished; Ephemeral that it
	// has none and is forgotten at rest.
	Gone, Ephemeral bool
	// OnDemand says that it is of no generation and is forgotten once nothing needs it.
	OnDemand bool
	// Supervisor is "" for what no supervisor restarts.
	Supervisor string
	// Trigger is the unit that caused the present activation, "" for none.
	Trigger string
	// Marks are what clients want to be done with it later.
	Marks Mark
	// NextDelay is what an automatic restart would wait for now.
	NextDelay time.Duration
	// Connections are those that instances of a socket with Accept=yes serve,
	// Accepted all that there were, Refused those beyond MaxConnections=.
	Connections       uint32
	Accepted, Refused uint64
	// Errno, BusError and VarlinkError are what the service said in ERRNO=, BUSERROR=
	// and VARLINKERROR=.
	Errno                  int32
	BusError, VarlinkError string
	// ReloadFailed says that the last reload of this activation failed.
	ReloadFailed bool
	// Watchdog is the period in force, 0 for that of the settings; Pinged is when it
	// last began anew.
	Watchdog time.Duration
	Pinged   Time
}

// SupervisorView is one node of the supervision tree.
type SupervisorView struct {
	Name, Parent string
	Strategy     unit.Strategy
	// Restarts of Max were used in the present window.
	Restarts, Max uint32
	// Members are units and supervisors in start order.
	Members []Member
}

// Member is a unit or, if Supervisor is set, a supervisor below another one.
type Member struct {
	Name       string
	Supervisor bool
}

// JobView is one job, waiting, running, or ended less than JobRetention ago.
type JobView struct {
	ID   JobID
	Unit string
	Type graph.JobType
	// Planned is the type that the last transaction gave it.
	Planned graph.JobType
	Mode    graph.Mode
	Source  Source
	Running bool
	Ended   bool
	Result  JobResult
	// Begin is Time.Mono of its creation; Cause is what pulled it in.
	Begin time.Duration
	Cause Cause
	// WaitsFor are the units whose jobs it must wait for.
	WaitsFor []string
}

// Unit looks a unit up by name or alias.
func (v View) Unit(name string) (UnitView, bool) {
	i, ok := v.c.g.Lookup(name)
	if !ok {
		return UnitView{}, false
	}
	return v.unit(i), true
}

func (v View) unit(i graph.Index) UnitView {
	r := v.c.rec(i)
	u := UnitView{Name: v.c.g.Name(i), Unit: v.c.def(i), State: r.state, Sub: r.sub, Cause: r.cause,
		Stable: r.stable, Since: r.since, Active: r.activeState(), Result: resultWord(r.cause), Frozen: r.frozen,
		Defined: v.c.g.Unit(i), Gone: r.gone, Ephemeral: r.ephemeral, OnDemand: r.demand,
		ActiveEnter: r.activeEnter, ActiveExit: r.activeExit, InactiveEnter: r.inactiveEnter, InactiveExit: r.inactiveExit}
	if r.job != nil {
		u.Job = r.job.ID
	}
	if r.needsReload {
		u.Marks |= NeedsReload
	}
	if r.needsRestart {
		u.Marks |= NeedsRestart
	}
	if r.proc != nil {
		u.Main, u.Control, u.Incarnation = r.proc.Main, r.proc.Control, r.proc.Inc
		u.Status, u.Stored = r.proc.Status, len(r.proc.FDs)
		u.Trigger, u.Errno, u.BusError, u.VarlinkError = r.proc.Trigger, r.proc.Errno, r.proc.BusError, r.proc.VarlinkError
		u.ReloadFailed, u.Watchdog = r.proc.ReloadFail, r.proc.Watchdog
		if r.dl[dlWatchdog] != 0 {
			u.Pinged = r.proc.Pinged
		}
	}
	if u.Unit != nil && u.Unit.Type == unitname.Service {
		streak := uint32(0)
		if r.hist != nil {
			streak = r.hist.Streak
		}
		u.NextDelay = restartDelay(u.Unit, streak)
	}
	u.Connections = uint32(max(r.conns, 0))
	if r.hist != nil {
		u.Restarts = r.hist.Restarts
	}
	if r.trig != nil {
		u.NextElapse, u.LastElapse = r.trig.Next, r.trig.Last
		u.Accepted, u.Refused = r.trig.Accepted, r.trig.Refused
		if r.trig.Last == (Time{}) && r.trig.Stamped > 1 {
			u.LastElapse.Wall = r.trig.Stamped
		}
	}
	if r.sup >= 0 && int(r.sup) < len(v.c.sups) {
		u.Supervisor = v.c.sups[r.sup].Name
	}
	return u
}

// Verdicts are the newest decisions about a unit's restarts, oldest first, and the
// findings of the checks before its last start, made at the time given. Callers
// must not write to them.
func (v View) Verdicts(name string) (ds []Decision, fs []Finding, checked Time) {
	i, ok := v.c.g.Lookup(name)
	if !ok || v.c.rec(i).hist == nil {
		return nil, nil, Time{}
	}
	h := v.c.rec(i).hist
	return h.Decisions, h.Findings, h.Checked
}

// Graph is what units have to do with each other. It must not be changed, nor
// kept beyond the next Step.
func (v View) Graph() *graph.Graph { return v.c.g }

// HeldAt says whether a client holds on to a unit that View knows (VerbRef).
func (v View) HeldAt(i graph.Index) bool { return v.c.rec(i).refd }

// Known says whether an index of the graph is in use.
func (v View) Known(i graph.Index) bool {
	if i < 0 || int(i) >= len(v.c.recs) {
		return false
	}
	if v.c.g.Unit(i) != nil {
		return true
	}
	j, ok := v.c.g.Lookup(v.c.g.Name(i))
	return ok && i == j
}

// OnDemand counts the units that are of no generation.
func (v View) OnDemand() int {
	n := 0
	for k := range v.c.recs {
		if v.c.recs[k].demand {
			n++
		}
	}
	return n
}

// At is Unit by index, and StateAt only its state.
func (v View) At(i graph.Index) UnitView   { return v.unit(i) }
func (v View) StateAt(i graph.Index) State { return v.c.rec(i).state }

// Plan works out what a request would come to now, and changes nothing.
func (v View) Plan(req graph.Request) (*graph.Plan, error) { return v.c.g.Plan(req, present(v)) }

// Supervisors lists the supervision tree, parents before their children, children
// in start order. now ends the window in which restarts count.
func (v View) Supervisors(now Time) []SupervisorView {
	var out []SupervisorView
	var stack []int32
	for k := len(v.c.sups) - 1; k >= 0; k-- {
		if v.c.sups[k].Parent < 0 {
			stack = append(stack, int32(k))
		}
	}
	for len(stack) > 0 {
		s := &v.c.sups[stack[len(stack)-1]]
		stack = stack[:len(stack)-1]
		w := SupervisorView{Name: s.Name, Strategy: s.Strategy, Max: s.Max}
		if s.Parent >= 0 {
			w.Parent = v.c.sups[s.Parent].Name
		}
		for _, t := range s.Times {
			if now.Mono-t < s.Window {
				w.Restarts++
			}
		}
		for _, m := range s.Order {
			if m >= 0 {
				w.Members = append(w.Members, Member{Name: v.c.g.Name(graph.Index(m))})
			} else {
				w.Members = append(w.Members, Member{Name: v.c.sups[-1-m].Name, Supervisor: true})
			}
		}
		for k := len(s.Order) - 1; k >= 0; k-- {
			if s.Order[k] < 0 {
				stack = append(stack, -1-s.Order[k])
			}
		}
		out = append(out, w)
	}
	return out
}

// Units calls f for every unit in the graph's order (by name, then as added)
// until it returns false.
func (v View) Units(f func(UnitView) bool) {
	for k := range v.c.recs {
		if !v.Known(graph.Index(k)) {
			continue
		}
		if !f(v.unit(graph.Index(k))) {
			return
		}
	}
}

// Job looks up a job that exists or ended less than JobRetention ago.
func (v View) Job(id JobID) (JobView, bool) {
	j := v.c.jobs[id]
	if j == nil {
		j = v.c.endedBy[id]
	}
	if j == nil {
		return JobView{}, false
	}
	return v.job(j), true
}

func (v View) job(j *job) JobView {
	w := JobView{ID: j.ID, Unit: j.Name, Type: j.Type, Planned: j.Planned, Mode: j.Mode, Source: j.Source,
		Running: j.Running, Ended: j.Ended, Result: j.Result, Begin: j.Begin, Cause: j.Cause}
	if j.Ended || j.Running {
		return w
	}
	for _, e := range v.c.g.Edges(j.Unit) {
		if o := v.c.rec(e.To).job; o != nil && e.To != j.Unit && waits(j, e.Rel, o) {
			w.WaitsFor = append(w.WaitsFor, o.Name)
		}
	}
	return w
}

// Jobs lists waiting and running jobs by id.
func (v View) Jobs() []JobView {
	ids := make([]JobID, 0, len(v.c.jobs))
	for id := range v.c.jobs {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	out := make([]JobView, len(ids))
	for k, id := range ids {
		out[k] = v.job(v.c.jobs[id])
	}
	return out
}

// Runs calls f for every live run (process, probe or listen) in RunID order.
func (v View) Runs(f func(id RunID, unit string, role Role, stage Stage, process bool) bool) {
	ids := make([]RunID, 0, len(v.c.runs))
	for id := range v.c.runs {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		r := v.c.runs[id]
		if !f(id, v.c.g.Name(r.Unit), r.Role, r.Stage, r.What == runProcess) {
			return
		}
	}
}

// BootAsked says that the start of the boot target was requested, perhaps of a former
// manager.
func (v View) BootAsked() bool { return v.c.bootAsked }

// Booted says whether the boot transaction has ended.
func (v View) Booted() bool { return v.c.booted }

// LeftOut says that safe mode does without the unit; Safe that it is safe mode.
func (v View) LeftOut(name string) bool {
	i, ok := v.c.g.Lookup(name)
	return ok && v.c.g.LeftOut(i)
}

// Safe says whether this is safe mode.
func (v View) Safe() bool { return v.c.cfg.Safe }

// ServiceWatchdogs says whether WatchdogsSet has not switched them off.
func (v View) ServiceWatchdogs() bool { return !v.c.watchdogsOff }

// ShuttingDown says whether a shutdown is under way.
func (v View) ShuttingDown() bool { return v.c.shutdown != nil }

// ShutdownSince is when it began, zero before.
func (v View) ShutdownSince() Time {
	if v.c.shutdown == nil {
		return Time{}
	}
	return v.c.shutdown.Since
}

// JobsEver counts the jobs that there were, and those of them that failed, took too long
// or were given up because others did.
func (v View) JobsEver() (all, failed uint64) { return uint64(v.c.nextJob), v.c.failures }

// Degraded says whether the root supervisor has given up on something.
func (v View) Degraded() bool { return v.c.degraded }

// ActiveWord is systemd's ActiveState for a state and its sub-state.
func ActiveWord(s State, sub Sub) graph.ActiveState {
	r := record{state: s, sub: sub}
	return r.activeState()
}
