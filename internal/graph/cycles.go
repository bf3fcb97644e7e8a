package graph

import (
	"fmt"
	"strings"

	"dynamod/internal/diag"
)

// Cycle is one ordering cycle: each unit starts after the next, and the last
// one after the first.
type Cycle struct {
	Units []Index
	// Hard says that each unit requires the next, so that no job may be left
	// out to break it.
	Hard bool
}

// Cycles finds the ordering cycles among all units, the shortest through one
// unit of each strongly connected component. A cycle is no harm as long as its
// units are never started together.
func (g *Graph) Cycles() []Cycle {
	var t tarjan
	t.reset(len(g.names))
	all := make([]int32, len(g.names))
	for i := range all {
		all[i] = int32(i)
	}
	var out []Cycle
	cost := 0
	for _, c := range t.components(all, 0, g.startsAfter) {
		cy := Cycle{Hard: true}
		for _, i := range t.shortest(c[0], g.startsAfter, &cost) {
			cy.Units = append(cy.Units, Index(i))
		}
		for k, i := range cy.Units {
			next := cy.Units[(k+1)%len(cy.Units)]
			cy.Hard = cy.Hard && g.edge(i, next).Has(Requires|BindsTo|Requisite)
		}
		out = append(out, cy)
	}
	return out
}

// startsAfter is the follow of After edges.
func (g *Graph) startsAfter(j, pos int32) (k, next int32) {
	edges := g.edges[j]
	for ; int(pos) < len(edges); pos++ {
		if edges[pos].Rel.Has(After) {
			return int32(edges[pos].To), pos + 1
		}
	}
	return -1, pos
}

// maxCycles bounds how many cycles are written out.
const maxCycles = 100

func (g *Graph) checkCycles() []diag.Diag {
	var ds []diag.Diag
	for n, c := range g.Cycles() {
		if n == maxCycles {
			break
		}
		ds = append(ds, g.cycleDiag(c))
	}
	return ds
}

func (g *Graph) cycleDiag(c Cycle) diag.Diag {
	d := diag.Diag{Severity: diag.Warning, Code: "cycle", Unit: g.names[c.Units[0]]}
	var parts []string
	var soft string
	for k, i := range c.Units {
		next := c.Units[(k+1)%len(c.Units)]
		why := ""
		for _, o := range g.origins(i, []Edge{{To: next}}) {
			if o.Target != next || o.Rel != After {
				continue
			}
			why = o.Origin
			if o.Pos.File != "" {
				why = o.Pos.String()
				if d.Pos.File == "" {
					d.Pos = o.Pos
				}
				break
			}
		}
		parts = append(parts, fmt.Sprintf("%s starts after %s (%s)", g.names[i], g.names[next], why))
		if soft == "" && !g.edge(i, next).Has(Requires|BindsTo|Requisite) {
			soft = g.names[i]
		}
	}
	d.Message = "ordering cycle: " + strings.Join(parts, ", ")
	if c.Hard {
		d.Severity = diag.Error
		d.Hint = "none of them can start; remove one of the requirements or orderings"
	} else {
		d.Hint = "if all are started together, one that nothing requires is left out; " +
			"for example, order " + soft + " otherwise"
	}
	return d
}
