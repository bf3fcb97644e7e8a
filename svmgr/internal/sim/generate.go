package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"dynamod/internal/unit"
)

// dice is the seeded source of all decisions.
type dice struct{ *rand.Rand }

func newDice(seed uint64, stream uint64) dice {
	return dice{rand.New(rand.NewPCG(seed, stream))}
}

// in is true p times out of a hundred.
func (d dice) in(p int) bool { return d.IntN(100) < p }

// span is a duration of at most max, short ones more often than long ones.
func (d dice) span(maximum time.Duration) time.Duration {
	f := d.Float64()
	return time.Duration(f * f * f * float64(maximum)).Truncate(time.Millisecond)
}

func pick[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }

// The two streams of a seed: the scenario and the history.
const (
	scenarioStream = 1
	historyStream  = 2
)

// infrastructure are the targets that default dependencies name.
var infrastructure = []string{"default.target", "basic.target", "sysinit.target", "shutdown.target",
	"umount.target", "local-fs.target", "local-fs-pre.target", "sockets.target", "timers.target",
	"paths.target", "slices.target", "swap.target", "rescue.target", "multi-user.target"}

type generator struct {
	dice
	units []*Spec
	extra []*Spec
	sups  []SupSpec
	// tame turns the rare and hostile settings off.
	tame bool
}

// Generate makes the scenario of a seed, with a number of units between least
// and most (the infrastructure targets come on top).
func Generate(seed uint64, least, most int) *Scenario {
	g := &generator{dice: newDice(seed, scenarioStream)}
	g.tame = g.in(25)
	sc := &Scenario{User: g.in(20), ShutdownTimeout: pick(g.dice, 0, 5*time.Second, 30*time.Second)}
	if g.in(40) {
		sc.Late = g.span(200 * time.Millisecond)
	}
	n := least
	if most > least {
		n = int(math.Exp(math.Log(float64(least)) + g.Float64()*math.Log(float64(most+1)/float64(least))))
	}
	g.supervisors(n)
	for i := range n {
		g.unit(i)
	}
	g.targets()
	g.relations()
	sc.Gens = append(sc.Gens, Generation{Units: g.units, Sups: g.sups})
	for range pick(g.dice, 0, 0, 1, 1, 2, 3) {
		sc.Gens = append(sc.Gens, g.nextGeneration(&sc.Gens[len(sc.Gens)-1]))
	}
	g.transients()
	sc.Extra = g.extra
	return sc
}

func (g *generator) supervisors(n int) {
	if !g.in(60) {
		return
	}
	for i := range 1 + g.IntN(1+min(n/4, 5)) {
		parent := unit.RootSupervisor
		if i > 0 && g.in(60) {
			parent = g.sups[g.IntN(i)].Name
		}
		g.sups = append(g.sups, SupSpec{Name: "sup" + strconv.Itoa(i), Parent: parent,
			Strategy:    unit.Strategy(g.IntN(3)),
			MaxRestarts: pick[uint32](g.dice, 1, 2, 3, 10),
			Window:      pick(g.dice, 10*time.Second, 60*time.Second, 300*time.Second)})
	}
}

func (g *generator) put(s *Spec) { g.units = append(g.units, s) }

func (g *generator) unit(i int) {
	switch r := g.IntN(100); {
	case r < 1:
		g.put(g.broken(fmt.Sprintf("broken%d.service", i)))
	case r < 34:
		g.put(g.service(fmt.Sprintf("s%d.service", i)))
	case r < 52:
		g.put(g.nativeService(fmt.Sprintf("n%d.service", i)))
	case r < 60:
		g.put(g.target(fmt.Sprintf("t%d.target", i)))
	case r < 67:
		g.socket(i)
	case r < 72:
		g.timer(i)
	case r < 77:
		g.path(i)
	case r < 83:
		g.mount(i)
	case r < 86:
		g.automount(i)
	case r < 89:
		g.swap(i)
	case r < 93:
		g.put(&Spec{Name: fmt.Sprintf("x%d.slice", i), Lines: []Line{{"Unit", "Description", "slice"}}})
	default:
		d := &Spec{Name: fmt.Sprintf("dev-d%d.device", i), Lines: []Line{{"Unit", "Description", "device"}}}
		if g.in(50) {
			d.add("Unit", "JobTimeoutSec", pick(g.dice, "5s", "20s"))
		}
		g.put(d)
	}
}

// targets adds the well-known ones; default.target wants much of the rest.
func (g *generator) targets() {
	all := len(g.units)
	for _, name := range infrastructure {
		if name != "default.target" && g.in(15) {
			continue
		}
		t := &Spec{Name: name, Lines: []Line{{"Unit", "DefaultDependencies", "no"}}}
		if name == "default.target" || name == "rescue.target" || name == "multi-user.target" {
			t.add("Unit", "AllowIsolate", "yes")
			for _, u := range g.units[:all] {
				if name == "default.target" && g.in(70) || name == "rescue.target" && g.in(10) {
					t.add("Unit", pick(g.dice, "Wants", "Wants", "Wants", "Requires", "Upholds"), u.Name)
				}
			}
		}
		if g.in(70) {
			switch name {
			case "default.target":
				t.add("Unit", "Requires", "basic.target")
				t.add("Unit", "After", "basic.target")
			case "basic.target":
				t.add("Unit", "Requires", "sysinit.target")
				t.add("Unit", "After", "sysinit.target sockets.target paths.target slices.target")
			case "sysinit.target":
				t.add("Unit", "Wants", "local-fs.target swap.target")
				t.add("Unit", "After", "local-fs.target swap.target")
			case "shutdown.target", "umount.target":
				t.add("Unit", "RefuseManualStart", "yes")
			}
		}
		g.put(t)
	}
}

var relationKeys = []string{"Wants", "Wants", "Wants", "Requires", "Requires", "Requires", "Requisite",
	"BindsTo", "BindsTo", "PartOf", "PartOf", "Upholds", "Conflicts", "OnFailure", "OnSuccess",
	"PropagatesReloadTo", "PropagatesStopTo", "ReloadPropagatedFrom", "StopPropagatedFrom",
	"JoinsNamespaceOf"}

// relations draws dependencies among units, mostly without cycles: to units
// with a smaller number.
func (g *generator) relations() {
	n := len(g.units)
	density := pick(g.dice, 0, 1, 2, 2, 3, 5)
	for i, u := range g.units {
		if density == 0 || slices.Contains(infrastructure, u.Name) {
			continue
		}
		for range g.IntN(density + 1) {
			j := g.IntN(n)
			if i > 0 && g.in(92) {
				j = g.IntN(i)
			}
			other := g.units[j].Name
			if other == u.Name {
				continue
			}
			if g.in(3) {
				other = "missing.service"
			}
			g.relate(u, other, j < i)
		}
	}
}

func (g *generator) relate(u *Spec, other string, down bool) {
	if u.Native {
		key := pick(g.dice, "requires", "requires", "wants", "wants", "wants", "after", "binds-to", "binds-to",
			"part-of", "upholds", "conflicts", "on-failure")
		u.add("dependencies", key, `["`+other+`"]`)
		if g.in(60) && down && key != "after" && key != "on-failure" && key != "conflicts" {
			u.add("dependencies", "after", `["`+other+`"]`)
		}
		return
	}
	key := pick(g.dice, relationKeys...)
	if (key == "Upholds" || key == "OnFailure" || key == "OnSuccess" || key == "Conflicts") && g.in(60) {
		key = "After"
	}
	if (key == "PropagatesReloadTo" || key == "ReloadPropagatedFrom" || key == "PropagatesStopTo" ||
		key == "StopPropagatedFrom" || key == "JoinsNamespaceOf") && g.in(50) {
		key = "Requires"
	}
	u.add("Unit", key, other)
	order := key != "After" && key != "OnFailure" && key != "OnSuccess" && g.in(65)
	if order && (down || g.in(30)) {
		u.add("Unit", "After", other)
	} else if order && g.in(15) {
		u.add("Unit", "Before", other)
	}
}

// nextGeneration edits the generation before: changed, removed and added
// units, or nothing but a rejection.
func (g *generator) nextGeneration(old *Generation) Generation {
	next := Generation{Sups: old.Sups, Rejected: g.in(25), Evict: g.in(50)}
	for _, u := range old.Units {
		switch {
		case g.in(6) && u.Name != "default.target":
			continue
		case g.in(10) && !u.Native:
			c := &Spec{Name: u.Name, Lines: slices.Clone(u.Lines)}
			c.add("Unit", "Description", "changed "+strconv.Itoa(g.IntN(1000)))
			if g.in(40) {
				g.relate(c, pick(g.dice, old.Units...).Name, true)
			}
			if g.in(30) && len(c.Lines) > 3 {
				c.Lines = dropLine(c.Lines, g.IntN(len(c.Lines)))
			}
			u = c
		}
		next.Units = append(next.Units, u)
	}
	for i := range g.IntN(3) {
		next.Units = append(next.Units, g.service(fmt.Sprintf("new%d-%d.service", g.IntN(1000), i)))
	}
	return next
}

// dropLine leaves out one dependency; other lines may be needed by the type.
func dropLine(lines []Line, at int) []Line {
	if lines[at].Section != "Unit" {
		return lines
	}
	return slices.Delete(lines, at, at+1)
}

// transients are units that clients make while the machine runs.
func (g *generator) transients() {
	for i := range g.IntN(4) {
		if g.in(50) {
			s := &Spec{Name: fmt.Sprintf("session-%d.scope", i)}
			s.add("Unit", "Description", "a session")
			if g.in(40) {
				s.add("Scope", "TimeoutStopSec", "3s")
			}
			if g.in(30) {
				s.add("Scope", "RuntimeMaxSec", "20s")
			}
			g.extra = append(g.extra, s)
		} else {
			g.extra = append(g.extra, g.service(fmt.Sprintf("run-%d.service", i)))
		}
	}
}
