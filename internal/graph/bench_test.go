package graph

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// shape writes the dependencies of unit i of n.
type shape struct {
	name string
	deps func(r *rand.Rand, i, n int) (requires, wants, after []int)
}

var shapes = []shape{
	{"chain", func(_ *rand.Rand, i, n int) (requires, wants, after []int) {
		if i+1 < n {
			requires, after = []int{i + 1}, []int{i + 1}
		}
		return
	}},
	{"layers", func(r *rand.Rand, i, n int) (requires, wants, after []int) {
		// Layers of 100; each unit needs two of the next layer.
		if low := (i/100 + 1) * 100; low < n {
			for range 2 {
				to := low + r.IntN(min(100, n-low))
				wants, after = append(wants, to), append(after, to)
			}
			if i%100 == 0 {
				requires = append(requires, low)
			}
		}
		if i < 100 && i > 0 {
			return
		}
		if i == 0 { // the anchor wants its own layer
			for k := 1; k < min(100, n); k++ {
				wants = append(wants, k)
			}
		}
		return
	}},
	{"dag", func(r *rand.Rand, i, n int) (requires, wants, after []int) {
		for range 3 {
			if i+1 < n {
				to := i + 1 + r.IntN(n-i-1)
				wants, after = append(wants, to), append(after, to)
			}
		}
		if i+1 < n {
			wants = append(wants, i+1)
		}
		return
	}},
}

func unitName(i int) string { return fmt.Sprintf("u%06d.service", i) }

func (s shape) set(tb testing.TB, n int) *unit.Set {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	units := make([]*unit.Unit, 0, n+3)
	for i := range n {
		requires, wants, after := s.deps(r, i, n)
		src := unit.Source{Name: unitName(i), HasMain: true, Files: []unit.File{{Path: "/u"}}}
		add := func(key string, to []int) {
			text := ""
			for _, j := range to {
				text += unitName(j) + " "
			}
			if text != "" {
				src.Files[0].Fragments = append(src.Files[0].Fragments,
					unit.Fragment{Section: "Unit", Key: key, Text: text})
			}
		}
		add("Requires", requires)
		add("Wants", wants)
		add("After", after)
		src.Files[0].Fragments = append(src.Files[0].Fragments,
			unit.Fragment{Section: "Service", Key: "ExecStart", Text: "/bin/true"})
		u, ds := unit.Build(src)
		if u.Load != unit.Loaded {
			tb.Fatal(u.Load, ds)
		}
		units = append(units, u)
	}
	for _, name := range []string{"sysinit.target", "basic.target", "shutdown.target"} {
		u, _ := unit.Build(unit.Source{Name: name, HasMain: true, Files: []unit.File{{Path: "/" + name}}})
		units = append(units, u)
	}
	set, _ := unit.NewSet(units, nil)
	return set
}

var sizes = []int{1_000, 10_000, 100_000}

func perUnit(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/unit")
}

func eachShape(b *testing.B, run func(b *testing.B, set *unit.Set, n int)) {
	for _, s := range shapes {
		for _, n := range sizes {
			b.Run(fmt.Sprintf("%s/%d", s.name, n), func(b *testing.B) {
				set := s.set(b, n)
				b.ResetTimer()
				b.ReportAllocs()
				run(b, set, n)
				perUnit(b, n)
			})
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	eachShape(b, func(b *testing.B, set *unit.Set, _ int) {
		for b.Loop() {
			Build(set, Config{})
		}
	})
}

func BenchmarkCycles(b *testing.B) {
	eachShape(b, func(b *testing.B, set *unit.Set, _ int) {
		g, _ := Build(set, Config{})
		for b.Loop() {
			if c := g.Cycles(); c != nil {
				b.Fatal(c)
			}
		}
	})
}

// idle is a Present in which nothing runs.
type idle struct{}

func (idle) Active(Index) ActiveState  { return Inactive }
func (idle) Job(Index) (JobInfo, bool) { return JobInfo{}, false }

// busy is a Present in which everything runs.
type busy struct{}

func (busy) Active(Index) ActiveState  { return Active }
func (busy) Job(Index) (JobInfo, bool) { return JobInfo{}, false }

func benchPlan(b *testing.B, req func(g *Graph) Request, p Present, jobs func(n int) int) {
	eachShape(b, func(b *testing.B, set *unit.Set, n int) {
		g, _ := Build(set, Config{})
		r := req(g)
		for b.Loop() {
			plan, err := g.Plan(r, p)
			if err != nil {
				b.Fatal(err)
			}
			if len(plan.Jobs) < jobs(n) {
				b.Fatalf("%d jobs", len(plan.Jobs))
			}
		}
	})
}

// booted is a Present in which the targets are up, but shutdown.target.
type booted struct{ g *Graph }

func (p booted) Active(i Index) ActiveState {
	if p.g.kinds[i] == unitname.Target && p.g.names[i] != "shutdown.target" {
		return Active
	}
	return Inactive
}
func (booted) Job(Index) (JobInfo, bool) { return JobInfo{}, false }

func lookup(g *Graph, name string) Index {
	i, ok := g.Lookup(name)
	if !ok {
		panic(name)
	}
	return i
}

// BenchmarkPlanBoot starts the first unit, which pulls in nearly all others.
func BenchmarkPlanBoot(b *testing.B) {
	benchPlan(b, func(g *Graph) Request { return Request{Unit: lookup(g, unitName(0))} }, idle{},
		func(n int) int { return n / 2 })
}

// BenchmarkPlanShutdown stops them all by way of Conflicts=.
func BenchmarkPlanShutdown(b *testing.B) {
	benchPlan(b, func(g *Graph) Request {
		return Request{Unit: lookup(g, "shutdown.target"), Mode: ReplaceIrreversibly}
	}, busy{}, func(n int) int { return n })
}

// BenchmarkPlanOne starts a unit that needs no other in a large set. The only
// cost that grows with the set is to see that nobody goes along with the stop
// of shutdown.target, in its list of edges.
func BenchmarkPlanOne(b *testing.B) {
	eachShape(b, func(b *testing.B, set *unit.Set, n int) {
		g, _ := Build(set, Config{})
		r := Request{Unit: lookup(g, unitName(n-1))}
		for b.Loop() {
			if _, err := g.Plan(r, booted{g}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkPlanCycles starts a unit that wants all others, each of which is
// ordered in a ring of two with each neighbour: half of them must go.
func BenchmarkPlanCycles(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 50_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ring := shape{"rings", func(_ *rand.Rand, i, n int) (requires, wants, after []int) {
				if i == 0 {
					for k := 1; k < n; k++ {
						wants = append(wants, k)
					}
					return
				}
				if i > 1 {
					after = append(after, i-1)
				}
				if i+1 < n {
					after = append(after, i+1)
				}
				return
			}}
			set := ring.set(b, n)
			g, _ := Build(set, Config{})
			b.ResetTimer()
			for b.Loop() {
				plan, err := g.Plan(Request{Unit: lookup(g, unitName(0))}, idle{})
				if err != nil || len(plan.Dropped) < n/4 {
					b.Fatal(err)
				}
			}
			perUnit(b, n)
		})
	}
}
