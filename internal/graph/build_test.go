package graph

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"dynamod/internal/diag"
	"dynamod/internal/load"
	"dynamod/internal/unit"
)

// files loads unit files ("name\ntext" each) for the system manager.
func files(t testing.TB, texts ...string) *unit.Set {
	t.Helper()
	m := fstest.MapFS{}
	for _, x := range texts {
		name, text, _ := strings.Cut(x, "\n")
		dir := "u/"
		if strings.HasSuffix(name, ".toml") {
			dir = "n/services/"
		}
		m[dir+name] = &fstest.MapFile{Data: []byte(text)}
	}
	set, _ := load.Load(load.Config{FS: m, UnitDirs: []string{"/u"}, NativeDirs: []string{"/n"}})
	return set
}

// edgesText lists all edges by name, so that graphs with other indices compare.
func (g *Graph) edgesText() []string {
	var out []string
	for i := range g.Len() {
		for _, e := range g.Edges(Index(i)) {
			out = append(out, fmt.Sprintf("%s %s %s", g.Name(Index(i)), e.Rel, g.Name(e.To)))
		}
	}
	slices.Sort(out)
	return out
}

func differences(a, b []string) []string {
	var out []string
	for _, x := range a {
		if _, ok := slices.BinarySearch(b, x); !ok {
			out = append(out, "- "+x)
		}
	}
	for _, x := range b {
		if _, ok := slices.BinarySearch(a, x); !ok {
			out = append(out, "+ "+x)
		}
	}
	return out
}

// TestAddAndRemoveMakeTheSameGraph takes each of the synthetic units out and
// puts it in again, in both ways in which that can be done.
func TestAddAndRemoveMakeTheSameGraph(t *testing.T) {
	base := files(t, "sysinit.target\n[Unit]\n", "basic.target\n[Unit]\nRequires=sysinit.target\n",
		"shutdown.target\n[Unit]\nDefaultDependencies=no\n", "umount.target\n[Unit]\nDefaultDependencies=no\n",
		"local-fs.target\n[Unit]\n", "sockets.target\n[Unit]\n", "dbus.socket\n[Socket]\nListenStream=/run/bus\n",
		"systemd-journald.socket\n[Socket]\nListenStream=/run/j\n", "real.service\n[Unit]\nAfter=other-name.service\n[Service]\nExecStart=/bin/x\n")
	more, _ := load.Load(load.Config{FS: synthetic(t), UnitDirs: []string{"/u"}, NativeDirs: []string{"/n"}})
	full, _ := unit.NewSet(append(slices.Clone(base.Units), more.Units...), nil)
	want, _ := Build(full, Config{})
	for _, u := range full.Units {
		rest, _ := unit.NewSet(slices.DeleteFunc(slices.Clone(full.Units), func(v *unit.Unit) bool { return v == u }), nil)
		without, _ := Build(rest, Config{})
		g, _ := Build(rest, Config{})
		i, _ := g.Add(u)
		if g.Name(i) != u.Name || g.Unit(i) != u {
			t.Fatalf("Add(%s) gave %s", u.Name, g.Name(i))
		}
		if d := differences(want.edgesText(), g.edgesText()); d != nil {
			t.Errorf("after Add(%s):\n%s", u.Name, strings.Join(d, "\n"))
		}
		g.Add(u) // replaces it by itself
		if d := differences(want.edgesText(), g.edgesText()); d != nil {
			t.Errorf("after a second Add(%s):\n%s", u.Name, strings.Join(d, "\n"))
		}
		g.Remove(i)
		if d := differences(without.edgesText(), g.edgesText()); d != nil && !madeUp(d) {
			t.Errorf("after Remove(%s):\n%s", u.Name, strings.Join(d, "\n"))
		}
		checkSymmetry(t, g)
	}
}

// madeUp says whether all differences are about slices, devices and
// placeholders that came into being with a unit and stay when it goes.
func madeUp(ds []string) bool {
	for _, d := range ds {
		f := strings.Fields(d)
		if f[0] != "+" || !strings.Contains(d, ".slice") && !strings.Contains(d, ".device") {
			return false
		}
	}
	return true
}

func checkSymmetry(t *testing.T, g *Graph) {
	t.Helper()
	for i := range g.Len() {
		es := g.Edges(Index(i))
		for k, e := range es {
			if k > 0 && es[k-1].To >= e.To {
				t.Fatalf("edges of %s are not sorted", g.Name(Index(i)))
			}
			if e.Rel&Dependencies == 0 || !e.Rel.Has(Names|NamedBy) || e.To == Index(i) {
				t.Fatalf("bad edge %s %v %s", g.Name(Index(i)), e.Rel, g.Name(e.To))
			}
			if back := g.edge(e.To, Index(i)); back != e.Rel.Inverse() {
				t.Fatalf("%s %s %s, but back %s", g.Name(Index(i)), e.Rel, g.Name(e.To), back)
			}
		}
	}
}

// TestOriginsExplainEveryEdge: nothing is in an edge without an origin, and
// nothing has an origin that is in no edge.
func TestOriginsExplainEveryEdge(t *testing.T) {
	more, _ := load.Load(load.Config{FS: synthetic(t), UnitDirs: []string{"/u"}, NativeDirs: []string{"/n"}})
	g, _ := Build(more, Config{})
	for i := range g.Len() {
		got := map[Index]Rel{}
		for _, o := range g.Origins(Index(i)) {
			got[o.Target] |= o.Rel
			if o.Rel&(o.Rel-1) != 0 {
				t.Errorf("%s: an origin for more than one relation: %s", g.Name(Index(i)), o.Rel)
			}
			if o.Origin == "" && o.Pos.File == "" && o.Rel != JoinsNamespaceOf && o.Rel != NamespaceJoinedBy {
				t.Errorf("%s %s %s: neither position nor rule", g.Name(Index(i)), o.Rel, g.Name(o.Target))
			}
		}
		for _, e := range g.Edges(Index(i)) {
			if got[e.To] != e.Rel&Dependencies {
				t.Errorf("%s → %s: edge %s, origins %s", g.Name(Index(i)), g.Name(e.To), e.Rel, got[e.To])
			}
			delete(got, e.To)
		}
		for to, rel := range got {
			t.Errorf("%s → %s: origins %s without an edge", g.Name(Index(i)), g.Name(to), rel)
		}
	}
}

func TestOriginText(t *testing.T) {
	g, _ := Build(files(t, "basic.target\n", "sysinit.target\n", "a.service\n[Unit]\nAfter=b.service\n[Service]\nExecStart=/x\n",
		"b.service\n[Service]\nExecStart=/x\n"), Config{})
	a, _ := g.Lookup("a.service")
	var lines []string
	for _, o := range g.Origins(a) {
		lines = append(lines, fmt.Sprintf("%s=%s %s%s", o.Rel, g.Name(o.Target), o.Pos, o.Origin))
	}
	slices.Sort(lines)
	want := []string{
		"After=b.service /u/a.service:2:7",
		"After=basic.target default: DefaultDependencies=, systemd.service(5)",
		"After=sysinit.target default: DefaultDependencies=, systemd.service(5)",
		"After=system.slice implicit: Slice=, systemd.resource-control(5)",
		"Requires=sysinit.target default: DefaultDependencies=, systemd.service(5)",
		"Requires=system.slice implicit: Slice=, systemd.resource-control(5)",
		"Slice=system.slice implicit: Slice=, systemd.resource-control(5)",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

func TestIndicesOfRemovedUnitsAreUsedAgain(t *testing.T) {
	g, _ := Build(files(t, "basic.target\n"), Config{})
	n := -1
	for k := range 100 {
		u, _ := unit.Build(unit.Source{Name: fmt.Sprintf("session-%d.scope", k), Files: []unit.File{{
			Fragments: []unit.Fragment{{Section: "Unit", Key: "After", Text: fmt.Sprintf("gone-%d.service", k)}}}}})
		i, _ := g.Add(u)
		if n < 0 {
			n = g.Len()
		}
		g.Remove(i)
	}
	if g.Len() > n {
		t.Errorf("100 scopes one after the other took %d indices; want %d", g.Len(), n)
	}
}

func TestDiagnostics(t *testing.T) {
	const svc = "\n[Service]\nExecStart=/x\n"
	for _, c := range []struct {
		name  string
		files []string
		want  []string
	}{
		{"nothing", []string{"a.service\n[Unit]\nWants=x.service" + svc}, nil},
		{"missing", []string{"a.service\n[Unit]\nRequires=x.service" + svc},
			[]string{"/u/a.service:2:10 warning missing-requirement"}},
		{"bound and missing", []string{"a.service\n[Unit]\nBindsTo=x.service" + svc},
			[]string{"/u/a.service:2:9 warning missing-requirement"}},
		{"native and missing", []string{"a.toml\n[service]\nname = \"a\"\nexec = \"/x\"\n[dependencies]\nrequires = [\"x\"]\n"},
			[]string{"/n/services/a.toml:5:13 error missing-requirement"}},
		{"masked", []string{"a.service\n[Unit]\nRequires=x.service" + svc, "x.service\n"},
			[]string{"/u/a.service:2:10 warning missing-requirement"}},
		{"itself", []string{"a.service\n[Unit]\nAfter=b.service a.service" + svc},
			[]string{"/u/a.service:2:17 warning self-dependency"}},
		{"device", []string{"a.service\n[Unit]\nBefore=dev-x.device" + svc},
			[]string{"/u/a.service:2:8 note moot-order"}},
		{"contradiction", []string{"a.service\n[Unit]\nRequires=b.service\nConflicts=b.service" + svc, "b.service" + svc},
			[]string{"/u/a.service:2:10 warning contradiction"}},
		{"never", []string{"a.service\n[Unit]\nRequires=b.service" + svc, "b.service\n[Unit]\nRequires=x.service" + svc},
			[]string{"/u/a.service note never-starts", "/u/b.service:2:10 warning missing-requirement"}},
		{"soft cycle", []string{"a.service\n[Unit]\nAfter=b.service" + svc, "b.service\n[Unit]\nAfter=a.service" + svc},
			[]string{"/u/a.service:2:7 warning cycle"}},
		{"hard cycle", []string{"a.service\n[Unit]\nAfter=b.service\nRequires=b.service" + svc,
			"b.service\n[Unit]\nAfter=a.service\nBindsTo=a.service" + svc},
			[]string{"/u/a.service:2:7 error cycle"}},
	} {
		_, ds := Build(files(t, c.files...), Config{})
		var got []string
		for _, d := range ds {
			got = append(got, fmt.Sprintf("%s %s %s", d.Pos, d.Severity, d.Code))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q; want %q", c.name, got, c.want)
		}
	}
}

func TestCycleText(t *testing.T) {
	_, ds := Build(files(t, "a.service\n[Unit]\nAfter=b.service\n[Service]\nExecStart=/x\n",
		"b.service\n[Unit]\nBefore=c.service\n[Service]\nExecStart=/x\n", "c.service\n[Unit]\nBefore=b.service\n[Service]\nExecStart=/x\n"), Config{})
	want := "/u/c.service:2:8: warning: ordering cycle: b.service starts after c.service (/u/c.service:2:8), " +
		"c.service starts after b.service (/u/b.service:2:8); if all are started together, one that nothing " +
		"requires is left out; for example, order b.service otherwise [cycle]"
	if len(ds) != 1 || ds[0].String() != want {
		t.Errorf("got  %v\nwant %s", ds, want)
	}
}

func TestBuildIsDeterministic(t *testing.T) {
	more, _ := load.Load(load.Config{FS: synthetic(t), UnitDirs: []string{"/u"}, NativeDirs: []string{"/n"}})
	g, ds := Build(more, Config{})
	for range 5 {
		h, es := Build(more, Config{})
		if !slices.Equal(g.names, h.names) || fmt.Sprint(g.edges) != fmt.Sprint(h.edges) ||
			!slices.EqualFunc(ds, es, func(a, b diag.Diag) bool { return a == b }) {
			t.Fatal("two graphs of one set differ")
		}
	}
	checkSymmetry(t, g)
}
