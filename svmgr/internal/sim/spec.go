package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dynamod/internal/diag"
	"dynamod/internal/graph"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// Line is one assignment of a generated unit: a directive of a unit file, or a
// key of a native file with its value in TOML syntax.
type Line struct{ Section, Key, Value string }

// Spec is the text of one unit. It never changes once a Scenario holds it.
type Spec struct {
	Name   string
	Native bool
	Lines  []Line
}

// Get is the last value of a key, "" if there is none. TOML strings come
// without their quotes.
func (s *Spec) Get(key string) string {
	for i := len(s.Lines) - 1; i >= 0; i-- {
		if s.Lines[i].Key == key {
			return strings.Trim(s.Lines[i].Value, `"`)
		}
	}
	return ""
}

// Has says whether the key is assigned.
func (s *Spec) Has(key string) bool {
	return slices.ContainsFunc(s.Lines, func(l Line) bool { return l.Key == key })
}

func (s *Spec) add(section, key, value string) { s.Lines = append(s.Lines, Line{section, key, value}) }

// suffix is the type word: "service", "mount".
func (s *Spec) suffix() string { return suffixOf(s.Name) }

func suffixOf(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// SupSpec is one supervisor of a scenario.
type SupSpec struct {
	Name, Parent string
	Strategy     unit.Strategy
	MaxRestarts  uint32
	Window       time.Duration
}

// Generation is one complete load: the first at boot, the others by reload.
type Generation struct {
	Units []*Spec
	Sups  []SupSpec
	// Rejected makes the reload invalid.
	Rejected bool
	// Evict stops what is missing in this generation.
	Evict bool
}

// Scenario is everything about a history that is not an event.
type Scenario struct {
	User bool
	// Late is how much after its deadline each Tick comes.
	Late            time.Duration
	ShutdownTimeout time.Duration
	Gens            []Generation
	// Extra are units that are loaded later: transient ones, instances.
	Extra []*Spec
}

// extra finds a unit that is loaded on demand.
func (sc *Scenario) extra(name string) *Spec {
	for _, s := range sc.Extra {
		if s.Name == name {
			return s
		}
	}
	return nil
}

func (sc *Scenario) graphMode() graph.ManagerMode {
	if sc.User {
		return graph.User
	}
	return graph.System
}

// source turns the text into what a loader would have made of it.
func (s *Spec) source() unit.Source {
	src := unit.Source{Name: s.Name, HasMain: true}
	path := "/sim/" + s.Name
	if s.Native {
		src.Format = unit.Native
		path = "/sim/" + strings.TrimSuffix(s.Name, ".service") + ".toml"
	}
	f := unit.File{Path: path}
	for i, l := range s.Lines {
		fr := unit.Fragment{Section: l.Section, Key: l.Key, Text: l.Value,
			Pos: diag.Pos{File: path, Line: int32(i + 1), Col: 1}}
		switch {
		case s.Native:
			fr.Kind, fr.Text, fr.Items = tomlValue(l.Value)
		case l.Value == "":
			fr.Op = unit.Reset
		}
		f.Fragments = append(f.Fragments, fr)
	}
	src.Files = []unit.File{f}
	return src
}

// tomlValue reads the few TOML forms that the generator writes.
func tomlValue(v string) (unit.ValueKind, string, []string) {
	switch {
	case strings.HasPrefix(v, "["):
		var items []string
		for _, p := range strings.Split(strings.Trim(v, "[]"), ",") {
			if p = strings.Trim(strings.TrimSpace(p), `"`); p != "" {
				items = append(items, p)
			}
		}
		return unit.ArrayValue, "", items
	case strings.HasPrefix(v, `"`):
		return unit.StringValue, strings.Trim(v, `"`), nil
	case v == "true" || v == "false":
		return unit.BoolValue, v, nil
	default:
		return unit.IntValue, v, nil
	}
}

// buildUnit makes one unit. Errors in generated text are mistakes of the
// generator, so they are returned and never ignored.
func buildUnit(s *Spec) (*unit.Unit, error) {
	u, ds := unit.Build(s.source())
	for _, d := range ds {
		if d.Severity == diag.Error && !strings.HasPrefix(s.Name, "broken") {
			return u, fmt.Errorf("build %s: %v", s.Name, d)
		}
	}
	return u, nil
}

// buildCache keeps units that did not change between generations identical, as
// a loader with a cache would, and saves time.
type buildCache map[*Spec]*unit.Unit

func (b buildCache) unit(s *Spec) (*unit.Unit, error) {
	if u, ok := b[s]; ok {
		return u, nil
	}
	u, err := buildUnit(s)
	if err != nil {
		return nil, err
	}
	b[s] = u
	return u, nil
}

// set builds one generation and the units loaded later that are in it.
func (b buildCache) set(g *Generation, loaded []*Spec) (*unit.Set, error) {
	units := make([]*unit.Unit, 0, len(g.Units)+len(loaded))
	have := make(map[string]bool, len(g.Units))
	for _, s := range g.Units {
		u, err := b.unit(s)
		if err != nil {
			return nil, err
		}
		have[s.Name] = true
		units = append(units, u)
	}
	for _, s := range loaded {
		if have[s.Name] {
			continue
		}
		have[s.Name] = true
		u, err := b.unit(s)
		if err != nil {
			return nil, err
		}
		units = append(units, u)
	}
	sups := make([]*unit.Supervisor, 0, len(g.Sups))
	for _, v := range g.Sups {
		sups = append(sups, &unit.Supervisor{Name: v.Name, Parent: v.Parent, Strategy: v.Strategy,
			MaxRestarts: v.MaxRestarts, Window: v.Window, Path: "/sim/" + v.Name + ".toml"})
	}
	set, _ := unit.NewSet(units, sups)
	return set, nil
}

// validName guards the text format against names that the generator never makes.
func validName(name string) bool {
	_, err := unitname.Parse(name)
	return err == nil
}
