package check

import (
	"fmt"
	"slices"
	"strings"

	"dynamod/internal/diag"
	"dynamod/internal/graph"
	"dynamod/internal/tree"
)

// maxCycles bounds the report of a tree that is nothing but cycles.
const maxCycles = 100

// cyclesOf finds the ordering cycles among all units of the tree and where
// each of their edges comes from; the graph reports the same ones without
// steps. Most are warnings: units that are never started together do no harm,
// and when they are, the manager leaves one out that nothing requires.
func cyclesOf(t *tree.Tree) []Finding {
	var out []Finding
	for n, c := range t.Graph.Cycles() {
		if n == maxCycles {
			break
		}
		var f Finding
		names := make([]string, 0, len(c.Units)+1)
		for k, u := range c.Units {
			next := c.Units[(k+1)%len(c.Units)]
			f.Cycle = append(f.Cycle, step(t.Graph, u, next))
			names = append(names, t.Graph.Name(u))
		}
		names = append(names, names[0])
		f.Diag = diag.Diag{Severity: diag.Warning, Code: "cycle", Unit: names[0], Key: "After",
			Message: "ordering cycle: " + pathLine(names),
			Hint:    "if they are started together, one that nothing requires is left out; remove one of the orderings"}
		if c.Hard {
			f.Severity = diag.Error
			f.Hint = "they require each other, so none of them can start; remove one of the requirements or orderings"
		}
		for _, s := range f.Cycle { // the place to mend is a file, if there is one
			if s.Pos.File != "" {
				f.Pos = s.Pos
				break
			}
		}
		out = append(out, f)
	}
	return out
}

// pathLine writes a cycle on one line, without the middle of a long one.
func pathLine(names []string) string {
	const most, ends = 10, 4
	if n := len(names) - 1; n > most { // the first name comes last again
		names = slices.Concat(names[:ends], []string{fmt.Sprintf("%d more", n-2*ends+1)}, names[n-ends+1:])
	}
	return strings.Join(names, " → ")
}

// step explains why unit a starts after unit b; a file's word counts more than
// a default.
func step(g *graph.Graph, a, b graph.Index) Step {
	s := Step{Unit: g.Name(a), After: g.Name(b), Origin: "unknown"}
	for _, d := range g.Origins(a) {
		if d.Target != b || !d.Rel.Has(graph.After) {
			continue
		}
		s.Pos, s.Origin = d.Pos, d.Origin
		if d.Origin == "" && d.Pos.File != "" {
			return s
		}
	}
	return s
}

// text is the step on one line.
func (s Step) text() string {
	why := s.Origin
	if p := s.Pos.String(); p != "" {
		if why != "" {
			why = " (" + why + ")"
		}
		why = p + why
	}
	return fmt.Sprintf("%s starts after %s: %s", s.Unit, s.After, why)
}
