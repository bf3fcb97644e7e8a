package api

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dynamod/internal/graph"
	"dynamod/internal/ipc"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// coreVerbs are the verbs that become a core.Request.
var coreVerbs = map[ipc.Verb]core.Verb{
	ipc.VerbStart: core.VerbStart, ipc.VerbStop: core.VerbStop, ipc.VerbRestart: core.VerbRestart,
	ipc.VerbTryRestart: core.VerbTryRestart, ipc.VerbReload: core.VerbReload, ipc.VerbReloadOrStart: core.VerbReloadOrStart,
	ipc.VerbReset: core.VerbReset, ipc.VerbIsolate: core.VerbStart, ipc.VerbRemove: core.VerbStop,
	ipc.VerbAdd: core.VerbStart, ipc.VerbStartAll: core.VerbStart, ipc.VerbStopAll: core.VerbStop, ipc.VerbDeleteAll: core.VerbStop,
	ipc.VerbKill: core.VerbKill, ipc.VerbFreeze: core.VerbFreeze, ipc.VerbThaw: core.VerbThaw,
	ipc.VerbVerifyActive: core.VerbVerifyActive,
	ipc.VerbRef:          core.VerbRef, ipc.VerbUnref: core.VerbUnref,
}

// jobTypes are what they become in a plan.
var jobTypes = map[core.Verb]graph.JobType{
	core.VerbStart: graph.Start, core.VerbStop: graph.Stop, core.VerbRestart: graph.Restart, core.VerbTryRestart: graph.TryRestart,
	core.VerbReload: graph.Reload, core.VerbReloadOrStart: graph.ReloadOrStart, core.VerbReset: graph.Reset, core.VerbVerifyActive: graph.VerifyActive,
}

// modeOf reads the mode of a request and checks that the caller may use it: modes
// that touch what the request does not name need the right to rule the system.
func (c *call) modeOf(word string, noCascade bool) (graph.Mode, error) {
	if word == "" {
		word = "replace"
	}
	mode, ok := graph.ParseMode(word)
	switch {
	case !ok:
		return 0, ipc.Errorf("InvalidArgs", "there is no mode %q", clip(word)).WithHint("see docs/ipc.md")
	case noCascade && mode != graph.Replace:
		return 0, ipc.Errorf("InvalidArgs", "no_cascade and mode %s exclude each other", mode)
	case noCascade:
		return graph.IgnoreRequirements, nil // pulls in nothing, keeps the order
	case mode == graph.Isolate || mode == graph.Flush || mode == graph.ReplaceIrreversibly:
		return mode, c.need(c.unit, ipc.RightSystem)
	}
	return mode, nil
}

// brings says whether the verb may have to load the unit first.
func (c *call) brings() bool {
	switch c.verb {
	case ipc.VerbStart, ipc.VerbRestart, ipc.VerbReloadOrStart, ipc.VerbIsolate:
		return true
	}
	return false
}

// job begins a job, or says what it would be.
func (c *call) job(a *ipc.JobArgs) (any, error) {
	mode, err := c.modeOf(a.Mode, a.NoCascade)
	if err != nil {
		return nil, err
	}
	if c.brings() && !a.DryRun {
		if err := c.ensure(); err != nil {
			return nil, err
		}
	}
	if a.DryRun {
		return c.dryRun(mode, a.Force)
	}
	return c.begin(mode, a.Wait, a.Force, a.Jobs)
}

// begin puts the request to the core.
func (c *call) begin(mode graph.Mode, wait, force, jobs bool) (any, error) {
	verb := coreVerbs[c.verb]
	await := c.ask(func(id core.RequestID) core.Event {
		return core.Request{ID: id, Verb: verb, Unit: c.unit, Mode: mode, Source: core.SourceOperator, Wait: wait, Force: force}
	})
	name := c.unit
	finish := func(ctx context.Context) (any, error) {
		reply, err := await(ctx)
		if err != nil {
			return nil, c.improve(err)
		}
		res := &ipc.JobResult{Job: uint32(reply.Job)}
		if jobs && reply.Job != 0 {
			if res.Jobs, res.Omitted, err = c.madeFor(reply); err != nil {
				return nil, err
			}
		}
		if wait {
			res.Result = reply.Result.String()
			res.Unit = c.after(name)
		}
		res.Warnings = c.m.Warnings(name)
		return res, nil
	}
	if wait {
		return later(finish), nil
	}
	return finish(c.ctx)
}

// maxShort bounds a list that has no pages.
const maxShort = 200

// madeFor are the jobs that were made for a request, and that of the unit if it was there
// already, with the types that they were made with: a restart whose stop is over is a start
// by now.
func (c *call) madeFor(r core.Reply) (list []ipc.Job, omitted int, err error) {
	err = c.query(func(v core.View) {
		add := func(id core.JobID) {
			j, ok := v.Job(id)
			switch {
			case !ok || !c.sees(j.Unit):
			case len(list) == maxShort:
				omitted++
			default:
				w := c.wireJob(&j)
				w.WaitsFor = nil // who asks for one job asks for that
				w.Type = j.Planned.String()
				list = append(list, w)
			}
		}
		if r.Job < r.First || r.Job > r.Last {
			add(r.Job)
		}
		for id := r.First; id <= r.Last; id++ {
			add(id)
		}
	})
	return list, omitted, err
}

// after is the state of a unit when its job has ended, nil if it is forgotten.
func (c *call) after(name string) *ipc.Unit {
	var r *ipc.Unit
	var main core.RunID
	if c.query(func(v core.View) {
		if u, ok := v.Unit(name); ok {
			w := row(v, &u)
			r, main = &w, u.Main
		}
	}) != nil || r == nil {
		return nil
	}
	r.PID = c.pid(main)
	return r
}

// improve adds to a refusal what the core cannot know: similar names.
func (c *call) improve(err error) error {
	if ipc.KindOf(err) == "NoSuchUnit" {
		if e, ok := err.(*ipc.Error); ok && (e.Unit == c.unit || e.Unit == "") {
			return c.unknown(c.unit)
		}
	}
	return err
}

// dryRun lists the jobs that the request would make, in the order in which they
// would begin, and why.
func (c *call) dryRun(mode graph.Mode, force bool) (any, error) {
	verb := coreVerbs[c.verb]
	res := &ipc.JobResult{Plan: []ipc.Planned{}}
	var refused error
	err := c.look(func(v core.View, u core.UnitView) {
		g := v.Graph()
		i, _ := g.Lookup(u.Name)
		if stops(verb) && !force && isProtected(&u) && u.State.Up() {
			refused = ipc.Errorf("Protected", "%s is protected", u.Name).WithUnit(u.Name)
			return
		}
		plan, err := v.Plan(graph.Request{Unit: i, Type: jobTypes[verb], Mode: mode, Manual: true})
		if err != nil {
			refused = planRefusal(g, err)
			return
		}
		res.Plan = c.planned(g, plan, i)
		for _, d := range plan.Dropped {
			if d.Cause != graph.Unneeded {
				res.Warnings = append(res.Warnings, d.Message)
			}
		}
		for _, f := range plan.Flushed {
			res.Warnings = append(res.Warnings, fmt.Sprintf("the job of %s would be cancelled", g.Name(f)))
		}
	})
	if err = firstError(err, refused); err != nil {
		return nil, c.improve(err)
	}
	return res, nil
}

func stops(v core.Verb) bool {
	return v == core.VerbStop || v == core.VerbRestart || v == core.VerbTryRestart
}

func isProtected(u *core.UnitView) bool {
	return u.Defined != nil && unit.Protected.Of(u.Defined)
}

func planRefusal(g *graph.Graph, err error) error {
	e, ok := err.(*graph.PlanError)
	if !ok {
		return err
	}
	out := ipc.Errorf(e.Kind.String(), "%s", e.Message)
	if e.Unit != graph.None {
		out = out.WithUnit(g.Name(e.Unit))
	}
	return out
}

// planned renders a plan. A job that comes to nothing is left out.
func (c *call) planned(g *graph.Graph, p *graph.Plan, anchor graph.Index) []ipc.Planned {
	out := []ipc.Planned{}
	for _, k := range runOrder(g, p) {
		j := &p.Jobs[k]
		if j.Type == graph.Nop || !c.sees(g.Name(j.Unit)) {
			continue
		}
		w := ipc.Planned{Unit: g.Name(j.Unit), Type: j.Type.String()}
		switch {
		case j.Unit == anchor:
			w.Because = "it was asked for"
		case j.By == graph.None:
			w.Because = "nothing that was asked for needs it"
		default:
			w.Because, w.Relation = g.Name(j.By), pulledBy(g, j)
		}
		if j.Replaces {
			w.Because += "; it replaces the unit's present job"
		}
		out = append(out, w)
	}
	return out
}

// pulledBy is the relation by which the job of By pulled this one in.
func pulledBy(g *graph.Graph, j *graph.Planned) string {
	order := []graph.Rel{graph.Requires, graph.BindsTo, graph.Requisite, graph.Upholds, graph.Wants}
	if j.Type == graph.Stop || j.Type == graph.Restart || j.Type == graph.TryRestart {
		order = []graph.Rel{graph.RequiredBy, graph.BoundBy, graph.ConsistsOf, graph.PropagatesStopTo, graph.Conflicts, graph.ConflictedBy, graph.TriggeredBy}
	} else if j.Type == graph.Reload || j.Type == graph.TryReload {
		order = []graph.Rel{graph.PropagatesReloadTo}
	}
	for _, e := range g.Edges(j.By) {
		if e.To != j.Unit {
			continue
		}
		for _, r := range order {
			if e.Rel.Has(r) {
				return kebab(r.String())
			}
		}
		return strings.Join(relWords(e.Rel), "+")
	}
	return ""
}

// runOrder sorts the jobs of a plan as they would begin: what another one waits
// for comes first, and where nothing decides, the unit's place in the graph.
func runOrder(g *graph.Graph, p *graph.Plan) []int {
	at := make(map[graph.Index]int, len(p.Jobs))
	for k := range p.Jobs {
		at[p.Jobs[k].Unit] = k
	}
	unmet := make([]int, len(p.Jobs))
	next := make([][]int, len(p.Jobs))
	for k := range p.Jobs {
		j := &p.Jobs[k]
		if j.NoOrder {
			continue
		}
		for _, e := range g.Edges(j.Unit) {
			if o, ok := at[e.To]; ok && o != k && graph.Waits(j.Type, e.Rel, p.Jobs[o].Type) {
				unmet[k]++
				next[o] = append(next[o], k)
			}
		}
	}
	var out, ready []int
	done := make([]bool, len(p.Jobs))
	for k := range p.Jobs {
		if unmet[k] == 0 {
			ready = append(ready, k)
		}
	}
	for first := 0; len(out) < len(p.Jobs); {
		if len(ready) == 0 { // two that wait for each other: the core breaks that when it comes to it
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
		out = append(out, k)
		for _, n := range next[k] {
			if unmet[n]--; unmet[n] == 0 {
				ready = append(ready, n)
			}
		}
	}
	return out
}

// isolate starts a unit and stops everything that it does not need. It is a bulk
// command: what is protected is spared by a refusal.
func (c *call) isolate(a *ipc.JobArgs) (any, error) {
	if a.Mode != "" && a.Mode != "isolate" || a.NoCascade {
		return nil, ipc.Errorf("InvalidArgs", "isolate has no other mode")
	}
	if err := c.ensure(); err != nil {
		return nil, err
	}
	if !a.Force || a.DryRun {
		r, err := c.dryRun(graph.Isolate, a.Force)
		if err != nil || a.DryRun {
			return r, err
		}
		if name, err := c.protectedStop(graph.Isolate); err != nil || name != "" {
			return nil, firstError(err, ipc.Errorf("Protected", "%s is protected and would be stopped", name).WithUnit(name).
				WithHint("--force stops it nevertheless; --dry-run shows everything that would be stopped"))
		}
	}
	return c.begin(graph.Isolate, a.Wait, a.Force, false)
}

// protectedStop is a protected unit that a start in this mode would stop.
func (c *call) protectedStop(mode graph.Mode) (name string, err error) {
	lookErr := c.look(func(v core.View, u core.UnitView) {
		i, _ := v.Graph().Lookup(u.Name)
		plan, planErr := v.Plan(graph.Request{Unit: i, Type: graph.Start, Mode: mode, Manual: true})
		if planErr != nil {
			err = planRefusal(v.Graph(), planErr)
			return
		}
		for _, j := range plan.Jobs {
			w := v.At(j.Unit)
			if j.Type == graph.Stop && w.State.Up() && isProtected(&w) && name == "" {
				name = w.Name
			}
		}
	})
	return name, firstError(lookErr, err)
}

// cancel takes back a job, or the job of a unit.
func (c *call) cancel(a *ipc.CancelArgs) (any, error) {
	id := core.JobID(a.Job)
	if id == 0 {
		if err := c.look(func(_ core.View, u core.UnitView) { id = u.Job }); err != nil {
			return nil, err
		}
		if id == 0 {
			return nil, ipc.Errorf("NoSuchJob", "%s has no job", c.unit).WithUnit(c.unit)
		}
	}
	_, err := c.ask(func(r core.RequestID) core.Event {
		return core.Request{ID: r, Verb: core.VerbCancel, Job: id, Source: core.SourceOperator}
	})(c.ctx)
	return nil, err
}

// jobs lists what waits and runs, or the jobs of some ids.
func (c *call) jobs(a *ipc.JobsArgs) (any, error) {
	after := uint64(0)
	if a.After != "" {
		var err error
		if after, err = strconv.ParseUint(a.After, 10, 32); err != nil {
			return nil, ipc.Errorf("InvalidArgs", "after must be the number of a job")
		}
	}
	var list []core.JobView
	err := c.query(func(v core.View) {
		if len(a.IDs) == 0 {
			list = v.Jobs()
		}
		for _, id := range a.IDs {
			if j, ok := v.Job(core.JobID(id)); ok {
				list = append(list, j)
			}
		}
	})
	slices.SortFunc(list, func(x, y core.JobView) int { return int(x.ID) - int(y.ID) })
	list = slices.CompactFunc(list, func(x, y core.JobView) bool { return x.ID == y.ID })
	res := &ipc.JobsResult{Jobs: []ipc.Job{}}
	for k := range list {
		j := &list[k]
		if uint64(j.ID) <= after || !c.sees(j.Unit) {
			continue
		}
		if n := len(res.Jobs); n == ipc.MaxRows {
			res.Next = strconv.FormatUint(uint64(res.Jobs[n-1].ID), 10)
			break
		}
		res.Jobs = append(res.Jobs, c.wireJob(j))
	}
	return res, err
}
