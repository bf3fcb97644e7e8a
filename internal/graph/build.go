package graph

import (
	"slices"

	"dynamod/internal/diag"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// Build makes the graph of a loaded set. Diagnostics are about what only shows
// between units: missing requirements, cycles, contradictions.
func Build(set *unit.Set, cfg Config) (*Graph, []diag.Diag) {
	g, ds := build(set, cfg, nil)
	if cfg.Safe {
		g, ds = build(set, cfg, g.keepSafe())
	}
	return g, ds
}

func build(set *unit.Set, cfg Config, kept map[string]bool) (*Graph, []diag.Diag) {
	n := len(set.Units)
	g := &Graph{mode: cfg.Mode, kept: kept,
		names:  make([]string, 0, n+16),
		units:  make([]*unit.Unit, 0, n+16),
		kinds:  make([]unitname.Type, 0, n+16),
		traits: make([]traits, 0, n+16),
		byName: make(map[string]Index, n+n/4+16),
		mounts: map[string]Index{},
		below:  map[Index][]pathNeed{},
	}
	for _, u := range set.Units {
		if u.Load != unit.Merged {
			g.enter(u)
		}
	}
	for _, u := range set.Units { // aliases yield to names
		if i, ok := g.byName[u.Name]; ok && g.units[i] == u {
			g.enterAliases(i)
		}
	}
	g.makePerpetual()
	e := &emitter{g: g, grow: true}
	// The list grows while slices and devices are made up.
	for i := 0; i < len(g.names); i++ {
		e.emit(Index(i))
	}
	g.connect(e.out)
	first := e.out
	e.out = nil
	for i := range g.names {
		e.targetDefaults(Index(i), g.startsBefore)
	}
	if len(e.out) > 0 {
		g.connect(e.out)
	}
	ds := g.checkFiles(first, e.selves)
	ds = append(ds, checkBoot(set)...)
	ds = append(ds, g.checkCycles()...)
	ds = append(ds, g.checkNeverStarts()...)
	return g, diag.Sort(ds)
}

// startsBefore is what the defaults of targets depend on.
func (g *Graph) startsBefore(a, b Index) bool { return g.edge(a, b).Has(Before) }

// enter gives a unit an index, or makes the placeholder of its name real.
func (g *Graph) enter(u *unit.Unit) Index {
	i, ok := g.byName[u.Name]
	if !ok {
		i = g.newIndex(u.Name, u.Type)
	}
	g.units[i] = u
	g.kinds[i] = u.Type
	g.traits[i] = traitsOf(u)
	if g.perpetual(u) {
		g.traits[i] |= noStop
	}
	if u.Type == unitname.Mount && u.Load == unit.Loaded {
		if p := mountPoint(u); p != "" {
			g.mounts[p] = i
		}
	}
	return i
}

func (g *Graph) newIndex(name string, t unitname.Type) Index {
	if n := len(g.free); n > 0 {
		i := g.free[n-1]
		g.free = g.free[:n-1]
		g.names[i], g.kinds[i], g.units[i], g.traits[i] = name, t, nil, 0
		g.byName[name] = i
		return i
	}
	i := Index(len(g.names))
	g.names = append(g.names, name)
	g.units = append(g.units, nil)
	g.kinds = append(g.kinds, t)
	g.traits = append(g.traits, traitsOf(nil))
	g.byName[name] = i
	return i
}

// enterAliases lets the other names of unit i find it, unless they are taken
// by a unit of their own.
func (g *Graph) enterAliases(i Index) {
	for _, a := range g.units[i].Aliases {
		j, ok := g.byName[a]
		switch {
		case !ok:
			g.byName[a] = i
		case g.units[j] == nil && g.names[j] == a:
			g.absorb(j, i)
			g.byName[a] = i
		}
	}
}

// absorb gives the edges of a placeholder to the unit that turns out to have
// its name. The index of the placeholder stays, without a name, forever unused.
func (g *Graph) absorb(from, to Index) {
	for _, e := range slices.Clone(g.edgesOf(from)) {
		g.detach(from, e.To, e.Rel)
		if e.To != to {
			g.attach(to, e.To, e.Rel)
		}
	}
}

// intern finds the unit of a name or makes a placeholder. Slices and devices
// need no file: their placeholders are units.
func (g *Graph) intern(name string) Index {
	if i, ok := g.byName[name]; ok {
		return i
	}
	if u := withoutFile(name); u != nil {
		i := g.enter(u)
		g.born = append(g.born, i)
		return i
	}
	n, err := unitname.Parse(name)
	if err != nil || n.Template {
		return None
	}
	return g.newIndex(name, n.Type)
}

func (g *Graph) internIf(name string, grow bool) Index {
	if grow {
		return g.intern(name)
	}
	if i, ok := g.byName[name]; ok {
		return i
	}
	return None
}

// perpetual says whether the unit exists always and cannot be stopped.
// system.slice is one too (recorded).
func (g *Graph) perpetual(u *unit.Unit) bool {
	return u.Perpetual || u.Name == "system.slice" && g.mode == System
}

// makePerpetual makes the units that exist on every system.
func (g *Graph) makePerpetual() {
	for _, name := range [...]string{"-.mount", unitname.RootSlice} {
		if i, ok := g.byName[name]; !ok || g.Load(i) == unit.NotFound {
			g.enter(withoutFile(name))
		}
	}
}

// Add puts a unit that was loaded later, or made by a client, into the graph: a
// placeholder of that name becomes real, a unit of that name is replaced (placeholders
// that only the former one named go, as with Remove), else
// an index is appended or a removed one used again. It costs as much as the
// unit has neighbours; a mount unit has those that asked for a path below it looked
// at again, and a target that others take for granted all units.
func (g *Graph) Add(u *unit.Unit) (Index, []diag.Diag) {
	var before []Edge // of what it replaces
	if i, ok := g.byName[u.Name]; ok && g.units[i] != nil {
		before = slices.Clone(g.edges[i])
		g.clear(i)
	}
	g.born = g.born[:0]
	i := g.enter(u)
	for len(g.edges) < len(g.names) {
		g.edges = append(g.edges, nil)
	}
	g.enterAliases(i)
	e := &emitter{g: g, grow: true}
	e.emit(i)
	// Slices and devices that came into being with it.
	for k := 0; k < len(g.born); k++ { // emit may add to it
		for len(g.edges) < len(g.names) {
			g.edges = append(g.edges, nil)
		}
		if g.born[k] != i {
			e.emit(g.born[k])
		}
	}
	for len(g.edges) < len(g.names) {
		g.edges = append(g.edges, nil)
	}
	switch {
	case takenForGranted[u.Name]:
		for j := range g.names {
			if Index(j) != i {
				e.emit(Index(j))
			}
		}
	case u.Type == unitname.Mount:
		for _, j := range g.belowMount(mountPoint(u)) {
			if j != i {
				e.emit(j)
			}
		}
	}
	for k := range e.out {
		g.attach(e.out[k].from, e.out[k].to, e.out[k].rel|Names)
	}
	ds := g.checkFiles(slices.DeleteFunc(slices.Clone(e.out), func(d dep) bool { return d.from != i }), e.selves)
	e.out = e.out[:0]
	e.targetDefaults(i, g.startsBefore)
	for _, x := range slices.Clone(g.edges[i]) {
		if g.kinds[x.To] == unitname.Target && x.Rel.Has(WantedBy|RequiredBy|RequisiteOf|BoundBy|UpheldBy) {
			e.targetDefaults(x.To, g.startsBefore)
		}
	}
	for k := range e.out {
		g.attach(e.out[k].from, e.out[k].to, e.out[k].rel|Names)
	}
	g.releaseUnnamed(before)
	return i, diag.Sort(ds)
}

// Redefine replaces a unit by one that has the same dependencies, aliases and
// place: only other settings may differ. Edges stay as they are.
func (g *Graph) Redefine(i Index, u *unit.Unit) { g.units[i] = u }

// Remove turns the unit into a placeholder, or, if it is a slice, device or
// -.mount that others still refer to, into what it is without its file. When
// nobody refers to it any more its index is free for the next Add: the caller
// must forget it. The same goes for placeholders that only this unit named.
func (g *Graph) Remove(i Index) {
	u := g.units[i]
	if u == nil {
		return
	}
	near := slices.Clone(g.edges[i])
	g.clear(i)
	for _, a := range u.Aliases {
		if j, ok := g.byName[a]; ok && j == i {
			delete(g.byName, a)
		}
	}
	g.releaseUnnamed(near)
	switch v := withoutFile(g.names[i]); {
	case v != nil && (v.Perpetual || len(g.edges[i]) > 0):
		g.Add(v)
	case len(g.edges[i]) == 0:
		g.release(i)
	}
}

// releaseUnnamed releases placeholders that only a unit named which had these edges.
func (g *Graph) releaseUnnamed(near []Edge) {
	for _, e := range near {
		if g.units[e.To] == nil && len(g.edges[e.To]) == 0 {
			g.release(e.To)
		}
	}
}

// release lets the next Add use the index of a unit that nobody names.
func (g *Graph) release(i Index) {
	delete(g.byName, g.names[i])
	delete(g.below, i)
	g.free = append(g.free, i)
}

// withoutFile makes the unit of a name that needs no file to exist; nil if
// there is no such unit.
func withoutFile(name string) *unit.Unit {
	n, err := unitname.Parse(name)
	switch {
	case err != nil || n.Template:
	case n.Type == unitname.Device, n.Type == unitname.Slice && unitname.ValidSlice(name):
		return &unit.Unit{Name: name, Type: n.Type, Perpetual: name == unitname.RootSlice}
	case name == "-.mount":
		return &unit.Unit{Name: name, Type: n.Type, Perpetual: true}
	}
	return nil
}

// clear takes out the unit and what follows from it, and keeps what its
// neighbours ask for.
func (g *Graph) clear(i Index) {
	u := g.units[i]
	near := slices.Clone(g.edges[i])
	for _, e := range near {
		g.detach(i, e.To, e.Rel)
	}
	if u.Type == unitname.Mount && g.mounts[mountPoint(u)] == i {
		delete(g.mounts, mountPoint(u))
	}
	g.units[i], g.traits[i] = nil, traitsOf(nil)
	e := &emitter{g: g}
	for _, x := range near {
		e.emit(x.To)
		e.targetDefaults(x.To, g.startsBefore)
	}
	for k := range e.out {
		if d := &e.out[k]; d.to == i {
			g.attach(d.from, d.to, d.rel|Names)
		}
	}
}

// Origins explains every dependency of unit i, in the order of Edges; what two
// rules ask for is there twice.
func (g *Graph) Origins(i Index) []Dependency { return g.origins(i, g.edges[i]) }

// origins explains the dependencies between unit i and some of its neighbours.
func (g *Graph) origins(i Index, near []Edge) []Dependency {
	e := &emitter{g: g}
	e.emit(i)
	e.targetDefaults(i, g.startsBefore)
	for _, x := range near {
		e.emit(x.To)
		e.targetDefaults(x.To, g.startsBefore)
	}
	var out []Dependency
	for k := range e.out {
		d := &e.out[k]
		var to Index
		var rel Rel
		switch i {
		case d.from:
			to, rel = d.to, d.rel
		case d.to:
			to, rel = d.from, d.rel.Inverse()
		default:
			continue
		}
		pos, why := g.explainDep(d)
		for rest := rel; rest != 0; rest &= rest - 1 {
			out = append(out, Dependency{Rel: rest & -rest, Target: to, Pos: pos, Origin: why})
		}
	}
	slices.SortStableFunc(out, func(a, b Dependency) int {
		if a.Target != b.Target {
			return int(a.Target) - int(b.Target)
		}
		if a.Rel < b.Rel {
			return -1
		} else if a.Rel > b.Rel {
			return 1
		}
		return 0
	})
	return slices.Compact(out)
}

// explainDep is where the file says so, and the rule if a file does not say it
// itself.
func (g *Graph) explainDep(d *dep) (diag.Pos, string) {
	u := g.units[d.from]
	var pos diag.Pos
	if d.key != 0 {
		if all := u.Origin(unit.Table()[d.key-1]); int(d.item) < len(all) {
			pos = all[d.item]
		}
	}
	return pos, d.rule.text(u.Type)
}
