package graph_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"dynamod/desktop-tests/debtree"
	"dynamod/internal/graph"
	"dynamod/internal/load"
)

func safeGraph(t *testing.T, files map[string]string) *graph.Graph {
	t.Helper()
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	set, ds := load.Load(load.Config{FS: tree})
	if len(ds) > 0 {
		t.Fatalf("%v", ds)
	}
	g, _ := graph.Build(graph.WithSafeTarget(set), graph.Config{Safe: true})
	return g
}

// starts is what the start of safe mode brings along.
func starts(g *graph.Graph) string {
	var out []string
	seen := map[graph.Index]bool{}
	var walk func(graph.Index)
	walk = func(i graph.Index) {
		if seen[i] {
			return
		}
		seen[i] = true
		if u := g.Unit(i); u != nil && !strings.HasSuffix(u.Name, ".slice") {
			out = append(out, g.Name(i))
		}
		for _, e := range g.Edges(i) {
			if e.Rel.Has(graph.Requires | graph.Requisite | graph.Wants | graph.BindsTo | graph.Upholds) {
				walk(e.To)
			}
		}
	}
	i, _ := g.Lookup(graph.SafeTarget)
	walk(i)
	slices.Sort(out)
	return strings.Join(out, " ")
}

const service = "[Service]\nExecStart=/bin/true\n"

func TestSafeMode(t *testing.T) {
	g := safeGraph(t, map[string]string{
		"usr/lib/systemd/system/sysinit.target":    "[Unit]\nWants=udevd.service seed.service\nRequires=local-fs.target\n",
		"usr/lib/systemd/system/local-fs.target":   "[Unit]\n",
		"usr/lib/systemd/system/getty.target":      "[Unit]\nWants=getty@tty1.service\n",
		"usr/lib/systemd/system/multi-user.target": "[Unit]\nWants=getty.target net.service\nRequires=sysinit.target\n",
		"usr/lib/systemd/system/getty@.service":    "[Unit]\nWants=plymouth.service\n" + service,
		"usr/lib/systemd/system/udevd.service":     "[Unit]\nDefaultDependencies=no\nRequires=key.service\nWants=tablet.service\n" + service,
		"usr/lib/systemd/system/seed.service":      "[Unit]\nDefaultDependencies=no\n" + service,
		"usr/lib/systemd/system/key.service":       "[Unit]\nDefaultDependencies=no\n" + service,
		"usr/lib/systemd/system/tablet.service":    "[Unit]\nDefaultDependencies=no\n" + service,
		"usr/lib/systemd/system/plymouth.service":  service,
		"usr/lib/systemd/system/net.service":       "[Unit]\nWants=firewall.service\n" + service,
		"usr/lib/systemd/system/firewall.service":  service,
		"usr/lib/systemd/system/ssh.service":       service,
		"etc/dynamod/boot.toml":                    "[boot]\nsafe-mode = [\"ssh\", \"named\"]\n",
		"etc/dynamod/services/mine.toml":           "[service]\nname = \"mine\"\nexec = [\"/bin/true\"]\n[boot]\nsafe-mode = true\n[dependencies]\nwants = [\"other\"]\nrequires = [\"base\"]\n",
		"etc/dynamod/services/named.toml":          "[service]\nname = \"named\"\nexec = [\"/bin/true\"]\n",
		"etc/dynamod/services/base.toml":           "[service]\nname = \"base\"\nexec = [\"/bin/true\"]\n",
		"etc/dynamod/services/other.toml":          "[service]\nname = \"other\"\nexec = [\"/bin/true\"]\n[install]\nwanted-by = [\"sysinit.target\"]\n",
	})
	if got, want := starts(g), "-.mount base.service getty.target getty@tty1.service key.service local-fs.target mine.service named.service safe-mode.target seed.service ssh.service sysinit.target udevd.service"; strings.ReplaceAll(got, "-.mount ", "") != strings.ReplaceAll(want, "-.mount ", "") {
		t.Errorf("safe mode starts %s\nwant %s", got, want)
	}
	// Who starts by hand what was left out gets what it needs.
	i, _ := g.Lookup("net.service")
	fw, _ := g.Lookup("firewall.service")
	if !g.LeftOut(i) || !slices.ContainsFunc(g.Edges(i), func(e graph.Edge) bool { return e.To == fw && e.Rel.Has(graph.Wants) }) {
		t.Error("a unit that was left out has lost what it wants")
	}
}

// boot.toml names units that are there.
func TestBootNamesUnits(t *testing.T) {
	set, ds := load.Load(load.Config{FS: fstest.MapFS{
		"etc/dynamod/boot.toml":               {Data: []byte("[boot]\nsuccess = [\"here\",\n \"there\"]\n")},
		"usr/lib/systemd/system/here.service": {Data: []byte(service)},
	}})
	if len(ds) > 0 {
		t.Fatalf("%v", ds)
	}
	_, ds = graph.Build(set, graph.Config{})
	if len(ds) != 1 || ds[0].Pos.Line != 3 || !strings.Contains(ds[0].String(), "boot.success: there is no unit there.service, so that no boot will be good") {
		t.Errorf("%v", ds)
	}
}

// On a Debian machine with sway safe mode has devices, logs, file systems and a login, and neither
// network nor desktop.
func TestSafeModeOfDebian(t *testing.T) {
	root, ok := debtree.Cached(debtree.Sway)
	if !ok {
		t.Skip("SKIPPED: no Debian tree in the cache; build it with desktop-tests/cmd/debtree sway")
	}
	set, _ := load.Load(load.Config{FS: os.DirFS(root), Consoles: load.KernelConsoles})
	g, _ := graph.Build(graph.WithSafeTarget(set), graph.Config{Safe: true})
	got := " " + starts(g) + " "
	for _, name := range []string{"sysinit.target", "local-fs.target", "getty.target", "getty@tty1.service", "systemd-user-sessions.service", "systemd-udevd.service", "systemd-udev-trigger.service", "systemd-journald.service",
		"systemd-tmpfiles-setup.service"} {
		if _, ok := set.Find(name); ok && !strings.Contains(got, " "+name+" ") {
			t.Errorf("safe mode lacks %s: %s", name, got)
		}
	}
	for _, name := range []string{"NetworkManager.service", "seatd.service", "cron.service", "ssh.service", "ssh.socket", "dbus.socket", "dbus.service", "systemd-logind.service", "multi-user.target", "graphical.target", "network.target", "networking.service"} {
		if strings.Contains(got, " "+name+" ") {
			t.Errorf("safe mode has %s", name)
		}
	}
}

// On a machine without unit files it is the stock services that are marked.
func TestSafeModeOfStock(t *testing.T) {
	set, ds := load.Load(load.Config{FS: os.DirFS("../../config"), NativeDirs: []string{"/stock"}})
	if len(ds) > 0 {
		t.Fatalf("%v", ds)
	}
	g, _ := graph.Build(graph.WithSafeTarget(set), graph.Config{Safe: true})
	got := " " + starts(g) + " "
	for _, name := range []string{"sysinit.target", "local-fs.target", "fsck.service", "remount-root-rw.service", "fstab-mount.service", "udev.service", "mdev.service", "syslog.service", "getty.target"} {
		if !strings.Contains(got, " "+name+" ") {
			t.Errorf("safe mode lacks %s: %s", name, got)
		}
	}
	for _, name := range []string{"network.service", "sshd.service", "dbus.service", "dynamod-logind.service", "multi-user.target", "sockets.target", "timers.target"} {
		if strings.Contains(got, " "+name+" ") {
			t.Errorf("safe mode has %s: %s", name, got)
		}
	}
}
