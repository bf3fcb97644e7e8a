package graph

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// decode makes a small graph, a present state and a request of any bytes.
func decode(data []byte) (*Graph, Request, at) {
	next := func() int {
		if len(data) == 0 {
			return 0
		}
		b := data[0]
		data = data[1:]
		return int(b)
	}
	n := 2 + next()%7
	g := &Graph{byName: map[string]Index{}}
	p := at{g, map[string]ActiveState{}, map[string]JobInfo{}}
	req := Request{Unit: Index(next() % n), Type: JobType(next() % int(jobTypes)), Mode: Mode(next() % int(modes))}
	flags := next()
	req.Manual, req.NeverRefuse, req.NoCascade = flags&1 != 0, flags&2 != 0, flags&12 == 12
	for i := range n {
		name := fmt.Sprintf("%c.service", 'a'+i)
		g.byName[name] = Index(i)
		g.names = append(g.names, name)
		g.kinds = append(g.kinds, unitname.Service)
		b := next()
		u := &unit.Unit{Name: name}
		tr := reloads | allowsIsolate
		switch b & 31 {
		case 1:
			u = nil
		case 2:
			u.Load = unit.Masked
		case 3:
			tr |= refusesStart | refusesStop
		case 4:
			tr |= noStop
		case 5:
			tr |= ignoresIsolate
		case 6:
			tr = 0
		}
		g.units, g.traits = append(g.units, u), append(g.traits, tr)
		if b&32 != 0 {
			p.active[name] = Active
		}
		if b&0xc0 == 0x80 {
			p.active[name] = ActiveState(next() % int(activeStates))
		}
		if b&0xc0 == 0xc0 {
			j := next()
			p.jobs[name] = JobInfo{Type: JobType(j % int(Nop)), Running: j&64 != 0, Irreversible: j&128 != 0}
		}
	}
	var deps []dep
	for len(data) >= 2 {
		a, b := next(), next()
		d := dep{from: Index(a % n), to: Index(b % n), rel: common[(a/n+b)%len(common)]}
		if d.from != d.to {
			deps = append(deps, d)
		}
	}
	g.connect(deps)
	return g, req, p
}

// common are the relations that planning is about, the usual ones oftener.
var common = []Rel{Requires, After, Wants, After, Conflicts, After, Requires, PartOf, Wants, Before,
	BindsTo, Requisite, PropagatesStopTo, PropagatesReloadTo, Upholds, Triggers, After}

// TestPlanAgreesWithTheOracle plans small random graphs twice: with Plan, and
// with rules that are written down without regard to cost.
func TestPlanAgreesWithTheOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 20, 120).Draw(t, "bytes")
		if msg := checkPlan(data); msg != "" {
			t.Fatal(msg)
		}
	})
}

// TestPlanOnManyGraphs is the same with evenly spread bytes: rapid prefers
// small numbers, and so graphs in which little happens.
func TestPlanOnManyGraphs(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	n := 20_000
	if testing.Short() {
		n = 2_000
	}
	for k := range n {
		data := make([]byte, 12+r.IntN(80))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		// Mostly loaded units, and requests that do something.
		data[2], data[3] = byte([]JobType{Start, Start, Stop, Restart, Reload, VerifyActive, TryRestart, ReloadOrStart}[k%8]), data[3]%12
		if data[3] >= byte(modes) {
			data[3] = byte(Replace)
		}
		if msg := checkPlan(data); msg != "" {
			t.Fatalf("%q: %s", data, msg)
		}
	}
}

// FuzzPlan checks what must hold for any graph and request.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 0})
	f.Add([]byte{5, 1, 2, 0, 1, 32, 32, 32, 32, 32, 32, 32, 1, 7, 2, 9, 3, 40, 4, 12})
	f.Add([]byte("an ordering cycle of three, and one that nobody needs"))
	f.Add([]byte{6, 0, 0, 3, 2, 0xe0, 1, 0xc0, 2, 0xc0, 200, 32, 32, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 200 {
			return
		}
		if msg := checkPlan(data); msg != "" {
			t.Fatal(msg)
		}
	})
}

func checkPlan(data []byte) string {
	g, req, p := decode(data)
	plan, err := g.Plan(req, p)
	again, err2 := g.Plan(req, p)
	if fmt.Sprint(plan, err) != fmt.Sprint(again, err2) {
		return fmt.Sprintf("two plans differ:\n%v %v\n%v %v", plan, err, again, err2)
	}
	o := newOracle(g, req, p)
	wantErr := o.run()
	if err != nil {
		var pe *PlanError
		if !errors.As(err, &pe) || pe.Message == "" {
			return fmt.Sprintf("untyped or empty error %v", err)
		}
		switch pe.Kind {
		case TransactionOrderIsCyclic:
			if len(pe.Path) < 2 {
				return "a cycle without a path"
			}
			if wantErr == "" && !o.requiredCycle() {
				return "refused as cyclic, but no cycle of required jobs"
			}
			return ""
		case TransactionIsDestructive:
			// What a broken ring took along may have been what made a restart of a
			// stop; the oracle breaks none.
			if in, queued := p.Job(pe.Unit); wantErr == "" && brokeCycle(g.planner.drops) && queued && (req.Mode == Fail || in.Irreversible) {
				return ""
			}
		}
		if wantErr != pe.Kind.String() {
			return fmt.Sprintf("error %v (%s); the oracle says %q", err, pe.Kind, wantErr)
		}
		return ""
	}
	if msg := checkJobs(g, req, p, plan); msg != "" {
		return msg
	}
	if brokeCycle(plan.Dropped) {
		return "" // which job goes is a matter of taste
	}
	if wantErr != "" {
		return fmt.Sprintf("planned %s; the oracle says %s", g.text(plan), wantErr)
	}
	if got, want := g.text(plan), o.text(); got != want {
		return fmt.Sprintf("planned %s\n the oracle %s", got, want)
	}
	return ""
}

func brokeCycle(drops []Dropped) bool {
	return slices.ContainsFunc(drops, func(d Dropped) bool { return d.Cause == SoftCycle || d.Cause == HardCycle })
}

// checkJobs: at most one job per unit, sorted, the anchor among them, nothing
// that contradicts what stays installed without saying so, and an order.
func checkJobs(g *Graph, req Request, p at, plan *Plan) string {
	if plan.Anchor < 0 || plan.Jobs[plan.Anchor].Unit != req.Unit {
		return "the anchor is not planned"
	}
	jobs := map[Index]JobType{}
	for k, j := range plan.Jobs {
		if k > 0 && plan.Jobs[k-1].Unit >= j.Unit {
			return "jobs are not sorted by unit"
		}
		if j.Type == TryRestart || j.Type == TryReload || j.Type == ReloadOrStart || j.Type >= jobTypes {
			return fmt.Sprintf("a plan with a %s", j.Type)
		}
		if in, ok := p.Job(j.Unit); ok && j.Replaces && in.Irreversible {
			return "replaces an irreversible job"
		} else if ok && j.Type != Nop && j.Type != Reset && j.Replaces == j.Merges {
			return "neither or both of merges and replaces"
		}
		jobs[j.Unit] = j.Type
	}
	if req.Mode == IgnoreDependencies || req.Mode == Flush || req.Mode == Isolate {
		return ""
	}
	for i := range g.names {
		if in, ok := p.Job(Index(i)); ok {
			if _, planned := jobs[Index(i)]; !planned {
				jobs[Index(i)] = in.Type
			}
		}
	}
	// Take away whoever waits for nobody until none is left; what then
	// remains must be a deadlock among installed jobs alone.
	for removed := true; removed; {
		removed = false
		for i := range g.names {
			u := Index(i)
			t, ok := jobs[u]
			if !ok {
				continue
			}
			free := true
			for _, e := range g.Edges(u) {
				if other, has := jobs[e.To]; has && Waits(t, e.Rel, other) {
					free = false
				}
			}
			if free {
				delete(jobs, u)
				removed = true
			}
		}
	}
	for _, j := range plan.Jobs {
		if _, stuck := jobs[j.Unit]; stuck && !waitsForInstalledCycle(g, plan, jobs, j.Unit) {
			return fmt.Sprintf("%s can never run", g.Name(j.Unit))
		}
	}
	return ""
}

// waitsForInstalledCycle says whether a stuck planned job is stuck because of
// a deadlock in which no planned job takes part.
func waitsForInstalledCycle(g *Graph, plan *Plan, stuck map[Index]JobType, u Index) bool {
	planned := func(x Index) bool {
		return slices.ContainsFunc(plan.Jobs, func(j Planned) bool { return j.Unit == x })
	}
	// Reachability by waiting, the slow way.
	reach := map[[2]Index]bool{}
	for a, t := range stuck {
		for _, e := range g.Edges(a) {
			if o, ok := stuck[e.To]; ok && Waits(t, e.Rel, o) {
				reach[[2]Index{a, e.To}] = true
			}
		}
	}
	for k := range stuck {
		for a := range stuck {
			for b := range stuck {
				if reach[[2]Index{a, k}] && reach[[2]Index{k, b}] {
					reach[[2]Index{a, b}] = true
				}
			}
		}
	}
	if reach[[2]Index{u, u}] {
		return false
	}
	for v := range stuck {
		if reach[[2]Index{u, v}] && reach[[2]Index{v, v}] && !planned(v) {
			return true
		}
	}
	return false
}
