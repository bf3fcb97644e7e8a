package graph

import (
	"slices"

	"dynamod/internal/diag"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// SafeTarget is what a boot in safe mode starts. It is made up: no file defines it.
const SafeTarget = "safe-mode.target"

// safeRoots are those of systemd's unit files that make a machine usable by who sits in
// front of it: file systems, devices, the journal, a login. Until systemd-user-sessions has
// run (systemd-user-sessions.service(8)) only root may log in, who often has no password.
var safeRoots = []string{"sysinit.target", "getty.target", "systemd-user-sessions.service"}

// WithSafeTarget is the set with the target of safe mode, which wants the units that are
// marked for it (boot.safe-mode, and the list of boot.toml).
func WithSafeTarget(set *unit.Set) *unit.Set {
	var names []string
	add := func(name string) {
		if u, ok := set.Find(name); ok && u.Load == unit.Loaded && u.Name != SafeTarget && !slices.Contains(names, u.Name) {
			names = append(names, u.Name)
		}
	}
	for _, name := range safeRoots {
		if u, ok := set.Find(name); ok && u.Format == unit.UnitFile {
			add(name)
		}
	}
	for _, name := range set.Boot.SafeMode() {
		add(name)
	}
	for _, u := range set.Units {
		if unit.SafeMode.Of(u) {
			add(u.Name)
		}
	}
	f := unit.File{Fragments: []unit.Fragment{{Section: "Unit", Key: "Description", Text: "Safe Mode"}}}
	for _, name := range names {
		f.Fragments = append(f.Fragments, unit.Fragment{Section: "Unit", Key: "Wants", Text: name})
	}
	u, _ := unit.Build(unit.Source{Name: SafeTarget, HasMain: true, Files: []unit.File{f}})
	units := []*unit.Unit{u}
	for _, v := range set.Units {
		if v.Name != SafeTarget {
			units = append(units, v)
		}
	}
	out, _ := unit.NewSet(units, set.Supervisors)
	out.Boot = set.Boot
	return out
}

// pulling are the relations by which a start brings other units along.
const pulling = Requires | Requisite | BindsTo | Wants | Upholds

// keepSafe works out what belongs to safe mode: the target of it, what its units require,
// and what the targets of unit files among them want. A native unit must be marked to
// come along because somebody only wants it.
func (g *Graph) keepSafe() map[string]bool {
	kept := map[string]bool{}
	var todo []Index
	take := func(i Index) {
		if name := g.names[i]; !kept[name] {
			kept[name] = true
			todo = append(todo, i)
		}
	}
	if i, ok := g.byName[SafeTarget]; ok {
		take(i)
	}
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		u := g.units[i]
		members := u != nil && u.Type == unitname.Target && u.Format == unit.UnitFile
		for _, e := range g.edgesOf(i) {
			to := g.units[e.To]
			switch {
			case e.Rel.Has(Requires | Requisite | BindsTo):
				take(e.To)
			case g.names[i] == SafeTarget && e.Rel.Has(Wants):
				take(e.To)
			case members && e.Rel.Has(Wants|Upholds) && (to == nil || to.Format == unit.UnitFile || unit.SafeMode.Of(to)):
				take(e.To)
			}
		}
	}
	return kept
}

// LeftOut says that safe mode does without the unit.
func (g *Graph) LeftOut(i Index) bool { return g.kept != nil && !g.kept[g.names[i]] }

// safely takes from a relation of unit i what would bring a unit along that safe mode does
// without. Who starts such a unit by hand gets all that it needs.
func (g *Graph) safely(i, to Index, rel Rel) Rel {
	if g.kept != nil && !g.LeftOut(i) && g.LeftOut(to) {
		rel &^= pulling
	}
	return rel
}

// checkBoot looks for units that boot.toml names and that are not there.
func checkBoot(set *unit.Set) (ds []diag.Diag) {
	for _, m := range set.Boot.Named() {
		if u, ok := set.Find(m.Unit); ok && u.Load != unit.NotFound {
			continue
		}
		var names []string
		for _, u := range set.Units {
			names = append(names, u.Name)
		}
		d := diag.Diag{Pos: m.Pos, Severity: diag.Warning, Code: "missing-unit", Key: m.Key, Value: diag.Clip(m.Unit),
			Message: m.Key + ": there is no unit " + diag.Clip(m.Unit)}
		if m.Success {
			d.Message += ", so that no boot will be good"
		}
		if s := diag.Suggest(m.Unit, names); s != "" {
			d.Hint = "did you mean " + s + "?"
		}
		ds = append(ds, d)
	}
	return ds
}
