package graph

import (
	"bufio"
	"compress/gzip"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"dynamod/desktop-tests/debtree"
	"dynamod/internal/load"
	"dynamod/internal/unit"
)

// TestDebianDependencies compares the edges of a Debian 13 GNOME tree with
// those that its own systemd 257 lists for the same units (systemd --test, run
// in the tree). Every difference must be explained in the table.
func TestDebianDependencies(t *testing.T) {
	root, ok := debtree.Cached(debtree.GNOME)
	if !ok {
		t.Skip("SKIPPED: no Debian tree in the cache; build it with desktop-tests/cmd/debtree gnome")
	}
	for _, c := range []struct {
		file string
		mode ManagerMode
		load load.Mode
	}{
		{"testdata/debian13-system.tsv.gz", System, load.System},
		{"testdata/debian13-user.tsv.gz", User, load.User},
	} {
		t.Run(c.file, func(t *testing.T) {
			set, _ := load.Load(load.Config{FS: os.DirFS(root), Mode: c.load,
				XDG: load.XDG{Home: "/home/u1", RuntimeDir: "/run/user/1000"}, Specifiers: specifiers})
			more, _ := load.Load(load.Config{FS: synthetic(t), UnitDirs: []string{"/u"}, NativeDirs: []string{"/n"}, Mode: c.load})
			set, _ = unit.NewSet(append(slices.Clone(set.Units), more.Units...), set.Supervisors)
			g, _ := Build(set, Config{Mode: c.mode})
			compareWithDump(t, g, c.file)
		})
	}
}

// recordedElsewhere says which units and dependencies of the recording come
// from what the test does not have: systemd's generators ran (sshd, getty,
// fstab, XDG autostart), it loaded the journal's units of a namespace by
// itself (and the blockdev@ targets of mounts), and it ran in a container, where swap units get no defaults.
func recordedElsewhere(name string) bool {
	switch name {
	case "sshd-unix-local.socket", "sshd@sshd-keygen.service", "system-sshd.slice",
		"local-fs.target Wants=systemd-remount-fs.service",
		"getty.target Wants=console-getty.service",
		"all-loaded.target":
		return true
	}
	return strings.HasPrefix(name, "blockdev@") || strings.HasSuffix(name, "@autostart.service") || strings.Contains(name, "@ns.s") ||
		strings.HasPrefix(name, `system-systemd\x2djournald`)
}

func swapDefault(a, dep string) bool {
	return strings.HasSuffix(a, ".swap") && strings.HasSuffix(dep, "=umount.target") ||
		strings.HasSuffix(a, ".swap") && dep == "Before=swap.target" ||
		strings.HasSuffix(dep, ".swap") && (a == "umount.target" || a == "swap.target")
}

// synthetic are units of ours, one per rule, that were added to the tree when
// it was recorded.
func synthetic(t *testing.T) fs.FS {
	files, err := filepath.Glob("testdata/synthetic/*")
	if err != nil || len(files) == 0 {
		t.Fatal("no synthetic units", err)
	}
	m := fstest.MapFS{"u/all-loaded.target": {Data: []byte(
		"[Unit]\nDefaultDependencies=no\nAfter=t-inst@x.service t-dash-ed@y.service\n")}}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		m["u/"+filepath.Base(f)] = &fstest.MapFile{Data: b}
	}
	return m
}

func specifiers(c byte) (string, bool) {
	switch c {
	case 't':
		return "/run/user/1000", true
	case 'h':
		return "/home/u1", true
	}
	return "", false
}

func compareWithDump(t *testing.T, g *Graph, file string) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	type line struct {
		name string
		deps []string
	}
	var lines []line
	inDump := map[string]bool{}
	sc := bufio.NewScanner(z)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		name, rest, _ := strings.Cut(sc.Text(), "\t")
		lines = append(lines, line{name, strings.Fields(rest)})
		inDump[name] = !recordedElsewhere(name)
	}
	const forward = Requires | Requisite | Wants | BindsTo | PartOf | Upholds | Conflicts |
		Before | After | OnFailure | OnSuccess | Triggers | PropagatesReloadTo |
		PropagatesStopTo | StopPropagatedFrom | ReloadPropagatedFrom | JoinsNamespaceOf | InSlice
	same, wrong := 0, 0
	for _, l := range lines {
		i, ok := g.Lookup(l.name)
		if !ok && !recordedElsewhere(l.name) {
			t.Errorf("%s: not in the graph", l.name)
		}
		if !ok || recordedElsewhere(l.name) {
			continue
		}
		want := map[string]bool{}
		for _, d := range l.deps {
			if _, to, _ := strings.Cut(d, "="); inDump[to] && !recordedElsewhere(to) && !recordedElsewhere(l.name+" "+d) {
				want[d] = true
			}
		}
		var diff []string
		for _, e := range g.Edges(i) {
			if !inDump[g.Name(e.To)] {
				continue
			}
			for rest := e.Rel & forward; rest != 0; rest &= rest - 1 {
				d := (rest & -rest).String() + "=" + g.Name(e.To)
				if want[d] {
					delete(want, d)
					same++
				} else if !swapDefault(l.name, d) {
					diff = append(diff, "too much: "+d)
				}
			}
		}
		for d := range want {
			diff = append(diff, "missing: "+d)
		}
		slices.Sort(diff)
		for _, d := range diff {
			wrong++
			t.Errorf("%s %s", l.name, d)
		}
	}
	t.Logf("%d units, %d dependencies agree, %d differ", len(lines), same, wrong)
}
