package graph

import (
	"os"
	"slices"
	"strings"
	"testing"

	"dynamod/desktop-tests/debtree"
	"dynamod/internal/load"
	"dynamod/internal/unit"
)

// TestGNOMETransactions plans, from GNOME's own unit files, the five requests
// that were recorded from the real user manager: login, Xwayland start and
// stop, logout, login again. The job sets must be the same.
func TestGNOMETransactions(t *testing.T) {
	root, ok := debtree.Cached(debtree.GNOMEUnits)
	if !ok {
		t.Skip("SKIPPED: no GNOME unit files in the cache; build them with desktop-tests/cmd/debtree gnome-units")
	}
	loader := load.New(load.Config{FS: os.DirFS(root), Mode: load.User,
		XDG: load.XDG{Home: "/home/u1", RuntimeDir: "/run/user/1000"}, Specifiers: specifiers})
	set, _ := loader.All()
	g, _ := Build(set, Config{Mode: User})
	demand(g, loader, "gnome-session-wayland@gnome.target")
	boot := bootedUser(t, g)

	text, err := os.ReadFile("testdata/gnome.tsv")
	if err != nil {
		t.Fatal(err)
	}
	phases := 0
	for block := range strings.SplitSeq(string(text), "phase\t") {
		if strings.HasPrefix(block, "#") {
			continue
		}
		lines := strings.Split(strings.TrimSpace(block), "\n")
		head := strings.Split(lines[0], "\t")
		p := g.up(boot...)
		var want []string
		for _, l := range lines[1:] {
			f := strings.Split(l, "\t")
			switch f[0] {
			case "state":
				for s := range activeStates {
					if s.String() == f[2] {
						p.active[f[1]] = s
					}
				}
			case "job":
				want = append(want, f[1]+"/"+f[2])
			}
		}
		t.Run(head[0], func(t *testing.T) { planGNOME(t, g, p, head, want) })
		phases++
	}
	if phases != 5 {
		t.Errorf("%d phases; want 5", phases)
	}
}

func planGNOME(t *testing.T, g *Graph, p at, head, want []string) {
	typ, ok1 := ParseJobType(head[1])
	mode, ok2 := ParseMode(head[3])
	u, ok3 := g.Lookup(head[2])
	if !ok1 || !ok2 || !ok3 {
		t.Fatalf("bad request %q (unit known: %v)", head, ok3)
	}
	plan, err := g.Plan(Request{Unit: u, Type: typ, Mode: mode, Manual: true}, p)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(g.text(plan))
	for _, j := range got {
		if !slices.Contains(want, j) {
			t.Errorf("too much: %s", j)
		}
	}
	for _, j := range want {
		if !slices.Contains(got, j) {
			t.Errorf("missing: %s", j)
		}
	}
	for _, d := range plan.Dropped {
		t.Logf("dropped: %s", d.Message)
	}
	t.Logf("%d jobs", len(got))
}

// bootedUser is what default.target of the user manager has started before
// anybody logs in graphically.
func bootedUser(t *testing.T, g *Graph) []string {
	u, ok := g.Lookup("default.target")
	if !ok {
		t.Fatal("no default.target")
	}
	plan, err := g.Plan(Request{Unit: u}, g.up())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, j := range plan.Jobs {
		names = append(names, g.Name(j.Unit))
	}
	return append(names, "-.mount", "-.slice")
}

// demand loads an instance that nothing refers to, as the manager does when it
// is asked for it, and what it refers to in turn.
func demand(g *Graph, loader *load.Loader, name string) {
	tried := map[string]bool{name: true}
	for queue := []string{name}; len(queue) > 0; queue = queue[1:] {
		u, _ := loader.One(queue[0])
		if u.Load == unit.NotFound {
			continue
		}
		i, _ := g.Add(u)
		for _, e := range g.Edges(i) {
			if n := g.Name(e.To); g.Unit(e.To) == nil && !tried[n] {
				tried[n] = true
				queue = append(queue, n)
			}
		}
	}
}
