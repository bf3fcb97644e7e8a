package graph

import (
	"cmp"
	"slices"
)

// dep is one relation with the rule that made it.
type dep struct {
	from, to Index
	rel      Rel
	rule     rule
	// item is the position in the list of the setting, for ruleFile and the
	// rules that follow from one item of a setting.
	item int32
	key  keyRef
}

// connect stores deps, both directions, in one arena: one sorted list per unit
// in which every other unit comes once. Lists that exist are kept.
func (g *Graph) connect(deps []dep) {
	n := len(g.names)
	start := make([]int32, n+1)
	count := func(i Index) { start[i+1]++ }
	for i := range n {
		start[i+1] += int32(len(g.edgesOf(Index(i))))
	}
	for k := range deps {
		count(deps[k].from)
		count(deps[k].to)
	}
	for i := range n {
		start[i+1] += start[i]
	}
	arena := make([]Edge, start[n])
	at := slices.Clone(start[:n])
	put := func(from, to Index, r Rel) {
		arena[at[from]] = Edge{to, r}
		at[from]++
	}
	for i := range n {
		for _, e := range g.edgesOf(Index(i)) {
			put(Index(i), e.To, e.Rel)
		}
	}
	for k := range deps {
		d := &deps[k]
		put(d.from, d.to, d.rel|Names)
		put(d.to, d.from, (d.rel | Names).Inverse())
	}
	for len(g.edges) < n {
		g.edges = append(g.edges, nil)
	}
	for i := range n {
		g.edges[i] = fold(arena[start[i]:start[i+1]])
	}
}

func (g *Graph) edgesOf(i Index) []Edge {
	if int(i) < len(g.edges) {
		return g.edges[i]
	}
	return nil
}

// fold sorts a list and makes one edge of those to the same unit.
func fold(es []Edge) []Edge {
	slices.SortFunc(es, func(a, b Edge) int { return cmp.Compare(a.To, b.To) })
	k := 0
	for i := range es {
		if k > 0 && es[k-1].To == es[i].To {
			es[k-1].Rel |= es[i].Rel
			continue
		}
		es[k] = es[i]
		k++
	}
	return es[:k:k]
}

// edge is what unit a has to do with unit b.
func (g *Graph) edge(a, b Index) Rel {
	es := g.edgesOf(a)
	k, ok := slices.BinarySearchFunc(es, b, func(e Edge, to Index) int { return cmp.Compare(e.To, to) })
	if !ok {
		return 0
	}
	return es[k].Rel
}

// attach adds one relation between two units, both directions, in place.
func (g *Graph) attach(a, b Index, r Rel) {
	g.attachOne(a, b, r)
	g.attachOne(b, a, r.Inverse())
}

func (g *Graph) attachOne(a, b Index, r Rel) {
	es := g.edges[a]
	k, ok := slices.BinarySearchFunc(es, b, func(e Edge, to Index) int { return cmp.Compare(e.To, to) })
	if ok {
		es[k].Rel |= r
		return
	}
	g.edges[a] = slices.Insert(es, k, Edge{b, r})
}

// detach takes relations away; an edge without any is removed.
func (g *Graph) detach(a, b Index, r Rel) {
	g.detachOne(a, b, r)
	g.detachOne(b, a, r.Inverse())
}

func (g *Graph) detachOne(a, b Index, r Rel) {
	es := g.edges[a]
	k, ok := slices.BinarySearchFunc(es, b, func(e Edge, to Index) int { return cmp.Compare(e.To, to) })
	if !ok {
		return
	}
	if es[k].Rel &^= r; es[k].Rel == 0 {
		g.edges[a] = slices.Delete(es, k, k+1)
	}
}
