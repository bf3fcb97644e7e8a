package graph

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// sketch makes a graph from a line per unit: "name: Requires=b, After=c, …".
// A unit that is only mentioned is a placeholder. Flags: RefuseManualStart,
// RefuseManualStop, AllowIsolate, IgnoreOnIsolate, CanReload, NoStop, Masked.
func sketch(t testing.TB, lines ...string) *Graph {
	t.Helper()
	g := &Graph{byName: map[string]Index{}}
	add := func(name string) Index {
		if i, ok := g.byName[name]; ok {
			return i
		}
		i := Index(len(g.names))
		g.byName[name] = i
		g.names = append(g.names, name)
		g.units = append(g.units, nil)
		k := unitname.Service
		if n, err := unitname.Parse(name); err == nil {
			k = n.Type
		}
		g.kinds = append(g.kinds, k)
		g.traits = append(g.traits, 0)
		return i
	}
	type pending struct {
		from     Index
		rel      Rel
		mentions string
	}
	var later []pending
	for _, line := range lines {
		name, rest, _ := strings.Cut(line, ":")
		i := add(strings.TrimSpace(name))
		g.units[i] = &unit.Unit{Name: g.names[i], Type: g.kinds[i]}
		for word := range strings.FieldsFuncSeq(rest, func(r rune) bool { return r == ',' || r == ' ' }) {
			key, val, hasVal := strings.Cut(word, "=")
			if !hasVal {
				switch key {
				case "RefuseManualStart":
					g.traits[i] |= refusesStart
				case "RefuseManualStop":
					g.traits[i] |= refusesStop
				case "AllowIsolate":
					g.traits[i] |= allowsIsolate
				case "IgnoreOnIsolate":
					g.traits[i] |= ignoresIsolate
				case "CanReload":
					g.traits[i] |= reloads
				case "NoStop":
					g.traits[i] |= noStop
				case "Masked":
					g.units[i].Load = unit.Masked
				default:
					t.Fatalf("sketch: unknown flag %q", key)
				}
				continue
			}
			k := slices.Index(relNames[:], key)
			if k < 0 {
				t.Fatalf("sketch: unknown relation %q", key)
			}
			later = append(later, pending{i, Rel(1) << k, val})
		}
	}
	var deps []dep
	for _, p := range later {
		to := add(p.mentions)
		if to != p.from {
			deps = append(deps, dep{from: p.from, to: to, rel: p.rel})
		}
	}
	g.connect(deps)
	return g
}

// at is a Present made of tables; what is not listed is inactive.
type at struct {
	g      *Graph
	active map[string]ActiveState
	jobs   map[string]JobInfo
}

func (p at) Active(i Index) ActiveState { return p.active[p.g.Name(i)] }

func (p at) Job(i Index) (JobInfo, bool) {
	j, ok := p.jobs[p.g.Name(i)]
	return j, ok
}

// up makes the named units active.
func (g *Graph) up(names ...string) at {
	p := at{g, map[string]ActiveState{}, map[string]JobInfo{}}
	for _, n := range names {
		p.active[n] = Active
	}
	return p
}

// text writes a plan as "a/start b/stop", sorted by name.
func (g *Graph) text(p *Plan) string {
	var out []string
	for _, j := range p.Jobs {
		out = append(out, fmt.Sprintf("%s/%s", g.Name(j.Unit), j.Type))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}
