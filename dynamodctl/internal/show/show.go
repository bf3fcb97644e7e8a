// Package show prints one unit as the manager sees it: every value with the
// line that set it, and every dependency with its reason.
package show

import (
	"slices"
	"strings"

	"dynamod/internal/diag"
	"dynamod/internal/graph"
	"dynamod/internal/tree"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// Value is one value of one setting: a scalar, or one item of a list.
type Value struct {
	Section string // "Service", or the native table "restart"
	Key     string
	Text    string
	// Pos is the line that set it; it is zero for what was derived or is the
	// default.
	Pos diag.Pos
	// Why is "derived" or "default" for what no line set.
	Why string
	// Idle says that nothing acts on the setting yet.
	Idle bool
}

// Dependency is one relation to another unit.
type Dependency struct {
	Relation, Unit string
	// Missing says that the other unit does not exist.
	Missing bool
	Pos     diag.Pos
	Why     string // "" when a line asked for it
}

// Document is everything about one unit. Its paths are those in the tree.
type Document struct {
	Name, Description string
	Load, Format      string
	Path              string
	Aliases, DropIns  []string
	Shadows           string
	Values            []Value
	Dependencies      []Dependency

	tree *tree.Tree
	all  bool
}

// Of describes a unit of the tree; all adds the settings that have their
// default, and folds nothing.
func Of(t *tree.Tree, u *unit.Unit, all bool) *Document {
	d := &Document{Name: u.Name, Description: unit.Description.Of(u), Load: u.Load.String(), Format: "unit file",
		Path: u.Path, Aliases: u.Aliases, DropIns: u.DropIns, Shadows: u.Shadows, tree: t, all: all}
	if u.Format == unit.Native {
		d.Format = "native"
	}
	d.values(u, all)
	d.dependencies(t.Graph, u)
	return d
}

func (d *Document) values(u *unit.Unit, all bool) {
	set := map[*unit.Setting]bool{}
	for _, a := range u.Assigned() {
		set[a.Setting] = true
		for i, text := range texts(a.Setting, a.Value) {
			v := value(a.Setting, u, text)
			switch {
			case a.Implied:
				v.Why = "derived"
			case i < len(a.Origin):
				v.Pos = a.Origin[i]
			case len(a.Origin) > 0:
				v.Pos = a.Origin[len(a.Origin)-1]
			}
			d.Values = append(d.Values, v)
		}
	}
	if all {
		for _, s := range unit.Table() {
			if set[s] || s.Into() != nil || s.Effect == unit.Obsolete || !applies(s, u) {
				continue
			}
			def := u.Value(s)
			if def == nil && s.Kind == unit.BoolKind {
				def = false
			}
			for _, text := range texts(s, def) {
				v := value(s, u, text)
				v.Why = "default"
				d.Values = append(d.Values, v)
			}
		}
	}
	order := []string{"Unit", "Service", "Socket", "Timer", "Path", "Mount", "Automount", "Swap", "Slice", "Scope", "Install"}
	if u.Format == unit.Native {
		order = []string{"", "unit", "service", "dependencies", "conditions"}
	}
	rank := func(section string) int {
		if i := slices.Index(order, section); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(d.Values, func(a, b Value) int {
		if r := rank(a.Section) - rank(b.Section); r != 0 {
			return r
		}
		return strings.Compare(a.Section, b.Section)
	})
}

// texts is one string for each item, and one empty string for an empty value.
func texts(s *unit.Setting, v any) []string {
	if out := unit.Texts(s, v); len(out) > 0 {
		return out
	}
	return []string{""}
}

// applies says whether a unit of this type and format can have the setting.
func applies(s *unit.Setting, u *unit.Unit) bool {
	if len(s.Types) > 0 && !slices.Contains(s.Types, u.Type) {
		return false
	}
	if u.Format == unit.UnitFile && s.Name == "" {
		return false
	}
	return s.In&unit.InUnit != 0 || slices.Contains(s.In.Names(), typeSection(u.Type))
}

// typeSection is the section that only this type has; targets and devices
// have none.
func typeSection(t unitname.Type) string {
	name := t.String()
	return strings.ToUpper(name[:1]) + name[1:]
}

// value names the setting as the unit's format does. The items of some lists
// were written under names of their own, which their text begins with:
// "PathExists=/etc/x" of the list of conditions.
func value(s *unit.Setting, u *unit.Unit, text string) Value {
	if name, rest, ok := strings.Cut(text, "="); ok && s.Name == "" {
		switch s {
		case unit.Conditions.Setting():
			name = "Condition" + name
		case unit.Asserts.Setting():
			name = "Assert" + name
		}
		for _, section := range s.In.Names() {
			if own, ok := unit.LookupDirective(section, name); ok {
				s, text = own, rest
				break
			}
		}
	}
	v := Value{Text: text, Idle: s.Effect == unit.NotYet}
	if u.Format == unit.Native || s.Name == "" {
		i := strings.LastIndexByte(s.Native, '.')
		v.Section, v.Key = s.Native[:max(i, 0)], s.Native[i+1:]
		return v
	}
	v.Section, v.Key = typeSection(u.Type), s.Name
	if names := s.In.Names(); !slices.Contains(names, v.Section) && len(names) > 0 {
		v.Section = names[0]
	}
	return v
}

func (d *Document) dependencies(g *graph.Graph, u *unit.Unit) {
	i, ok := g.Lookup(u.Name)
	if !ok {
		return
	}
	for _, o := range g.Origins(i) {
		dep := Dependency{Relation: o.Rel.String(), Unit: g.Name(o.Target), Pos: o.Pos, Why: o.Origin,
			Missing: g.Load(o.Target) == unit.NotFound && o.Rel.Has(forward)}
		d.Dependencies = append(d.Dependencies, dep)
	}
	slices.SortStableFunc(d.Dependencies, func(a, b Dependency) int {
		if r := slices.Index(relations, a.Relation) - slices.Index(relations, b.Relation); r != 0 {
			return r
		}
		// What files ask for comes first: the rest is often long.
		if r := strings.Compare(a.Why, b.Why); r != 0 {
			return r
		}
		return strings.Compare(a.Unit, b.Unit)
	})
}

// forward are the relations that need the other unit to be there.
const forward = graph.Requires | graph.Requisite | graph.Wants | graph.BindsTo | graph.Upholds | graph.PartOf |
	graph.Triggers | graph.OnFailure | graph.OnSuccess

// relations is the order in which people look for them.
var relations = func() []string {
	var out []string
	for _, r := range []graph.Rel{
		graph.Requires, graph.Requisite, graph.BindsTo, graph.Wants, graph.Upholds, graph.PartOf, graph.Conflicts,
		graph.After, graph.Before, graph.OnFailure, graph.OnSuccess, graph.Triggers, graph.PropagatesReloadTo,
		graph.PropagatesStopTo, graph.JoinsNamespaceOf, graph.InSlice,
	} {
		out = append(out, r.String())
	}
	for _, r := range []graph.Rel{
		graph.RequiredBy, graph.RequisiteOf, graph.BoundBy, graph.WantedBy, graph.UpheldBy, graph.ConsistsOf,
		graph.ConflictedBy, graph.OnFailureOf, graph.OnSuccessOf, graph.TriggeredBy, graph.ReloadPropagatedFrom,
		graph.StopPropagatedFrom, graph.NamespaceJoinedBy, graph.SliceOf,
	} {
		out = append(out, r.String())
	}
	return out
}()
