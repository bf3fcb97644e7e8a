package sim

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/load/sdunit"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// perfect is a world in which everything succeeds at once: a queue of answers.
type perfect struct {
	c     *core.Core
	now   core.Time
	out   []core.Action
	next  []core.Event
	steps int
}

func (p *perfect) step(ev core.Event) {
	p.steps++
	p.out = p.c.Step(p.now, ev, p.out[:0])
	for _, a := range p.out {
		switch a := a.(type) {
		case core.Spawn:
			p.next = append(p.next, core.SpawnDone{Run: a.Run})
			if a.Role == core.RoleMain && unit.ServiceType.Of(a.Unit) == "oneshot" || a.Role == core.RoleControl {
				p.next = append(p.next, core.Exited{Run: a.Run}, core.CgroupEmpty{Unit: a.Unit.Name, Incarnation: a.Incarnation})
			}
			if a.Role == core.RoleMain && unit.ServiceType.Of(a.Unit) == "notify" {
				p.next = append(p.next, core.Notified{Unit: a.Unit.Name, Incarnation: a.Incarnation, Run: a.Run,
					Notification: core.Notification{Ready: true}})
			}
		case core.Signal:
			p.next = append(p.next, core.Exited{Run: a.Run, Signal: a.Signal},
				core.CgroupEmpty{Unit: a.Unit, Incarnation: a.Incarnation})
		case core.Probe:
			held := make([]bool, len(a.Conditions))
			for i, cond := range a.Conditions {
				held[i] = !cond.Negate // the fact, before '!'
			}
			p.next = append(p.next, core.ProbeResult{Run: a.Run, OK: true, Held: held})
		case core.Listen:
			p.next = append(p.next, core.Listening{Run: a.Run})
		}
	}
}

// drain answers until nothing is asked any more.
func (p *perfect) drain() {
	for k := 0; k < len(p.next); k++ {
		p.step(p.next[k])
	}
	p.next = p.next[:0]
}

// fleet writes n unit files of one shape as text.
func fleet(shape string, n int) []string {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	const width = 100
	texts := make([]string, n)
	for i := range n {
		var deps []int
		switch shape {
		case "chain":
			if i > 0 {
				deps = []int{i - 1}
			}
		case "layers":
			if i >= width {
				base := i/width*width - width
				deps = []int{base + i%width, base + (i+37)%width}
			}
		case "dag":
			for range min(i, 4) {
				deps = append(deps, r.IntN(i))
			}
		}
		var b strings.Builder
		b.WriteString("[Unit]\nDescription=one of many\n")
		for k, d := range deps {
			word := "Wants"
			if k == 0 {
				word = "Requires"
			}
			fmt.Fprintf(&b, "%s=u%d.service\nAfter=u%d.service\n", word, d, d)
		}
		typ := "simple"
		switch i % 4 {
		case 1:
			typ = "oneshot\nRemainAfterExit=yes"
		case 2:
			typ = "notify"
		}
		fmt.Fprintf(&b, "[Service]\nType=%s\nExecStart=/usr/bin/daemon --number %d\nRestart=on-failure\n", typ, i)
		texts[i] = b.String()
	}
	return texts
}

func loadText(b testing.TB, name, text string) *unit.Unit {
	path := "/usr/lib/systemd/system/" + name
	frags, _ := sdunit.Parse(path, []byte(text))
	u, _ := unit.Build(unit.Source{Name: name, HasMain: true, Files: []unit.File{{Path: path, Fragments: frags}}})
	if u.Load != unit.Loaded {
		b.Fatalf("%s is %v", name, u.Load)
	}
	return u
}

func loadFleet(b testing.TB, texts []string) *unit.Set {
	units := make([]*unit.Unit, 0, len(texts)+1)
	add := func(name, text string) { units = append(units, loadText(b, name, text)) }
	var wants strings.Builder
	for i, t := range texts {
		add(fmt.Sprintf("u%d.service", i), t)
		if i%500 == 0 {
			wants.WriteString("\nWants=")
		}
		fmt.Fprintf(&wants, "u%d.service ", i)
	}
	for _, t := range []string{"basic", "sysinit", "shutdown"} {
		add(t+".target", "[Unit]\nDefaultDependencies=no\n")
	}
	add("default.target", "[Unit]\n"+wants.String())
	set, _ := unit.NewSet(units, nil)
	return set
}

// BenchmarkBoot loads, builds, plans and boots fleets of units.
func BenchmarkBoot(b *testing.B) {
	for _, shape := range []string{"chain", "layers", "dag"} {
		for _, n := range []int{1_000, 10_000, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", shape, n), func(b *testing.B) {
				texts := fleet(shape, n)
				var load, build, boot time.Duration
				var peak uint64
				for b.Loop() {
					runtime.GC()
					t0 := time.Now()
					set := loadFleet(b, texts)
					t1 := time.Now()
					g, _ := graph.Build(set, graph.Config{})
					t2 := time.Now()
					p := &perfect{c: core.New(set, g, core.Config{}), now: core.Time{Mono: time.Second, Wall: wallStart}}
					p.step(core.Request{ID: 1, Verb: core.VerbStart, Unit: "default.target", Source: core.SourceBoot})
					p.drain()
					t3 := time.Now()
					load, build, boot = load+t1.Sub(t0), build+t2.Sub(t1), boot+t3.Sub(t2)
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					peak = max(peak, m.Sys-m.HeapReleased)
					if v, _ := p.c.View().Unit("default.target"); v.State != core.Active {
						b.Fatalf("default.target is %v", v.State)
					}
					up := 0
					p.c.View().Units(func(v core.UnitView) bool {
						if v.State == core.Active || v.State == core.Completed {
							up++
						}
						return true
					})
					if up < n {
						b.Fatalf("only %d units of %d are up", up, n)
					}
				}
				per := float64(b.N)
				b.ReportMetric(load.Seconds()/per, "s-load")
				b.ReportMetric(build.Seconds()/per, "s-graph")
				b.ReportMetric(boot.Seconds()/per, "s-boot")
				b.ReportMetric((load+build+boot).Seconds()/per, "s-total")
				b.ReportMetric(float64(peak)/(1<<20), "MiB")
				b.ReportMetric((load+build+boot).Seconds()/per/float64(n)*1e6, "µs/unit")
			})
		}
	}
}

// BenchmarkStatusChange is one crash and restart of a unit that k others are
// bound to by order only, among 10,000 that have nothing to do with it.
func BenchmarkStatusChange(b *testing.B) {
	for _, k := range []int{0, 10, 100, 1_000, 10_000} {
		b.Run(fmt.Sprintf("dependents=%d", k), func(b *testing.B) {
			texts := fleet("layers", 10_000)
			texts[0] = "[Service]\nType=simple\nExecStart=/bin/hub\nRestart=always\nRestartSec=0\n[Unit]\nStartLimitIntervalSec=0\n"
			for i := range k {
				j := len(texts) - 1 - i%len(texts)
				if j > 0 {
					texts[j] = "[Unit]\nWants=u0.service\nAfter=u0.service\n" + texts[j]
				}
			}
			set := loadFleet(b, texts)
			g, _ := graph.Build(set, graph.Config{})
			p := &perfect{c: core.New(set, g, core.Config{}), now: core.Time{Mono: time.Second, Wall: wallStart}}
			p.step(core.Request{ID: 1, Verb: core.VerbStart, Unit: "default.target", Source: core.SourceBoot})
			p.drain()
			for b.Loop() {
				v, _ := p.c.View().Unit("u0.service")
				if v.State != core.Active || v.Main == 0 {
					b.Fatalf("u0.service is %v", v.State)
				}
				p.step(core.Exited{Run: v.Main, Code: 1})
				p.step(core.CgroupEmpty{Unit: "u0.service", Incarnation: v.Incarnation})
				for {
					p.drain()
					if v, _ := p.c.View().Unit("u0.service"); v.State == core.Active {
						break
					}
					d, ok := p.c.Deadline()
					if !ok {
						b.Fatal("it does not come back")
					}
					p.now.Mono = max(p.now.Mono+time.Millisecond, d)
					p.step(core.Tick{})
				}
			}
		})
	}
}

// BenchmarkInUse is the question which of n units systemd would have loaded, when half
// of them run.
func BenchmarkInUse(b *testing.B) {
	for _, n := range []int{400, 2_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := halfUp(b, n)
			for b.Loop() {
				if in := p.c.View().InUse(); len(in) < n {
					b.Fatal(len(in))
				}
			}
		})
	}
}

// BenchmarkForget loads a unit on demand, looks at it and has it forgotten, among n.
func BenchmarkForget(b *testing.B) {
	for _, n := range []int{400, 2_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := halfUp(b, n)
			u := loadText(b, "looked@1.service", "[Unit]\nAfter=u0.service\n[Service]\nExecStart=/bin/true\n")
			for b.Loop() {
				p.step(core.Loaded{Units: []*unit.Unit{u}, Hold: true})
				p.step(core.Released{Names: []string{u.Name}})
				p.drain()
				if _, ok := p.c.View().Unit(u.Name); ok {
					b.Fatal("it stays")
				}
			}
		})
	}
}

// halfUp is a core with n units of which half are up.
func halfUp(b *testing.B, n int) *perfect {
	set := loadFleet(b, fleet("layers", n))
	g, _ := graph.Build(set, graph.Config{})
	p := &perfect{c: core.New(set, g, core.Config{}), now: core.Time{Mono: time.Second, Wall: wallStart}}
	for k := range n / 2 {
		p.step(core.Request{ID: core.RequestID(k + 1), Verb: core.VerbStart, Unit: fmt.Sprintf("u%d.service", k), Source: core.SourceBoot})
		p.drain()
	}
	return p
}
