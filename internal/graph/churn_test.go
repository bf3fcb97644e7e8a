package graph

import (
	"testing"

	"dynamod/internal/unit"
)

func buildService(t *testing.T, name string) *unit.Unit {
	t.Helper()
	u, ds := unit.Build(unit.Source{Name: name, HasMain: true, Files: []unit.File{{Path: name, Fragments: []unit.Fragment{{Section: "Service", Key: "ExecStart", Text: "/bin/true"}}}}})
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	return u
}

func checkBothEnds(t *testing.T, g *Graph, when string) {
	t.Helper()
	for i := range Index(g.Len()) {
		for _, e := range g.Edges(i) {
			if back := g.edge(e.To, i); back != e.Rel.Inverse() {
				t.Errorf("%s: %s has %v to %s, which has %v back", when, g.Name(i), e.Rel, g.Name(e.To), back)
			}
		}
	}
}

// TestEdgesHaveBothEndsAfterChurn: instances that come and go must leave every edge
// known at both ends.
func TestEdgesHaveBothEndsAfterChurn(t *testing.T) {
	set, _ := unit.NewSet([]*unit.Unit{buildService(t, "a.service")}, nil)
	g, _ := Build(set, Config{Mode: User})
	checkBothEnds(t, g, "built")
	for round := range 3 {
		for _, n := range []string{"k29@0.service", "k29@1.service", "k56@1.service"} {
			i, _ := g.Add(buildService(t, n))
			checkBothEnds(t, g, "after adding "+n)
			if round < 2 {
				g.Remove(i)
				checkBothEnds(t, g, "after removing "+n)
			}
		}
	}
}

// TestAddedInstanceBringsItsSlices: an instance that comes later names a slice that
// did not exist; it and its parents must be ordered like any other slice.
func TestAddedInstanceBringsItsSlices(t *testing.T) {
	set, _ := unit.NewSet([]*unit.Unit{buildService(t, "a.service")}, nil)
	g, _ := Build(set, Config{Mode: User})
	free := []string{"x@0.service", "x@1.service", "x@2.service"}
	for _, n := range free {
		g.Add(buildService(t, n))
	}
	for _, n := range free { // their indices are used again, in another order
		i, _ := g.Lookup(n)
		g.Remove(i)
	}
	for _, n := range []string{"k29@0.service", "k29@1.service", "k56@1.service"} {
		i, _ := g.Add(buildService(t, n))
		prefix := n[:3]
		slice, ok := g.Lookup("app-" + prefix + ".slice")
		if !ok || !g.edge(i, slice).Has(After) {
			t.Fatalf("%s is not ordered after its slice", n)
		}
		app, ok := g.Lookup("app.slice")
		if !ok || !g.edge(slice, app).Has(After) || !g.edge(slice, app).Has(InSlice) {
			t.Fatalf("%s is not ordered after app.slice: %v", g.Name(slice), g.edge(slice, app))
		}
		if n == "k29@0.service" {
			g.Remove(i)
		}
	}
}
