package config_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dynamod/desktop-tests/debtree"
	"dynamod/internal/graph"
	"dynamod/internal/load"
	"dynamod/internal/unit"
)

func debian(t *testing.T, r debtree.Recipe) string {
	t.Helper()
	tree, cached := debtree.Cached(r)
	if !cached {
		if os.Getenv("DYNAMOD_TREE") == "" {
			t.Skipf("no tree %s in the cache; set DYNAMOD_TREE=1 to build it", r.Name)
		}
		var err error
		if tree, err = debtree.Ensure(t.Context(), r, os.Stderr); err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

// bootPlan is what a boot of the tree would start, one line per job.
func bootPlan(t *testing.T, root string) []string {
	t.Helper()
	set, _ := load.Load(load.Config{FS: os.DirFS(root), Fstab: "/etc/fstab", Consoles: load.KernelConsoles})
	g, _ := graph.Build(set, graph.Config{Mode: graph.System})
	i, ok := g.Lookup("default.target")
	if !ok {
		t.Fatal("the tree has no default.target")
	}
	plan, err := g.Plan(graph.Request{Unit: i, Type: graph.Start, Mode: graph.Replace}, nothingUp{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, j := range plan.Jobs {
		from := ""
		if u := g.Unit(j.Unit); u != nil {
			from = u.Path + " " + fmt.Sprint(u.Format == unit.Native)
		}
		out = append(out, fmt.Sprintf("%s %s %s", g.Name(j.Unit), j.Type, from))
	}
	slices.Sort(out)
	return out
}

// On a Debian system the boot is that of the distribution's unit files, but for the
// daemons that work under systemd only; and check finds what it found before.
func TestDebianKeepsItsBoot(t *testing.T) {
	tree := debian(t, debtree.GNOMEUnits)
	root := t.TempDir()
	for _, dir := range []string{"etc/systemd", "usr/lib/systemd"} {
		copyTree(t, filepath.Join(tree, dir), filepath.Join(root, dir))
	}
	if to, err := os.Readlink(filepath.Join(tree, "lib")); err == nil {
		if err := os.Symlink(to, filepath.Join(root, "lib")); err != nil {
			t.Fatal(err)
		}
	}
	before := bootPlan(t, root)
	if len(before) < 80 {
		t.Fatalf("the boot has only %d jobs: %v", len(before), before)
	}
	foundBefore, _ := check(t, root)
	for _, dir := range []string{"etc/dynamod", "usr/lib/dynamod"} {
		copyTree(t, filepath.Join(installed, dir), filepath.Join(root, dir))
	}
	after := bootPlan(t, root)
	const shadow = "start /usr/lib/dynamod/shadow/services/"
	want := slices.DeleteFunc(slices.Clone(before), func(job string) bool { return strings.HasPrefix(job, "systemd-logind.service ") })
	want = append(want, "systemd-logind.service "+shadow+"systemd-logind.toml true", "dynamod-sd1bridge.service "+shadow+"dynamod-sd1bridge.toml true")
	slices.Sort(want)
	if !slices.Equal(want, after) {
		t.Errorf("the boot is another one with our files:\n%s", diff(strings.Join(want, "\n")+"\n", strings.Join(after, "\n")+"\n"))
	}
	foundAfter, _ := check(t, root)
	// Debian's drop-in for systemd's logind says what our service says itself.
	const unused = "systemd-logind.service.d: note: the drop-ins here do not apply: systemd-logind.service is defined in /usr/lib/dynamod/shadow/services/systemd-logind.toml [dropin-unused]\n    hint: write the settings there\n"
	if !strings.Contains(foundAfter, unused) {
		t.Errorf("check does not say that a drop-in has no effect:\n%s", foundAfter)
	}
	foundAfter = strings.Replace(strings.Replace(foundAfter, filepath.Join(root, "usr/lib/systemd/system")+"/"+unused, "", 1), "2 notes", "1 note", 1)
	if a, b := findings(foundBefore), findings(foundAfter); a != b {
		t.Errorf("check finds something else with our files:\n%s", diff(a, b))
	}
	// Without systemd's own targets the same tree boots with ours.
	if err := os.Remove(filepath.Join(root, "usr/lib/systemd/system/sysinit.target")); err != nil {
		t.Fatal(err)
	}
	if plan := strings.Join(bootPlan(t, root), "\n"); !strings.Contains(plan, "/usr/lib/dynamod/stock/services/fsck.toml") {
		t.Errorf("without sysinit.target the stock services do not count:\n%s", plan)
	}
}

// findings leaves out the line with times and memory.
func findings(report string) string {
	var b strings.Builder
	for l := range strings.Lines(report) {
		if !strings.Contains(l, " of memory") {
			b.WriteString(l)
		}
	}
	return b.String()
}

// copyTree copies with symlinks as they are.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-dR", from, to).CombinedOutput(); err != nil {
		t.Fatalf("copy %s: %v %s", from, err, out)
	}
}

// nothingUp is a machine before its boot.
type nothingUp struct{}

func (nothingUp) Active(graph.Index) graph.ActiveState  { return graph.Inactive }
func (nothingUp) Job(graph.Index) (graph.JobInfo, bool) { return graph.JobInfo{}, false }
