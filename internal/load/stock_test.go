package load

import (
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"

	"dynamod/internal/unit"
)

const (
	stock  = "usr/lib/dynamod/stock/services/"
	stsup  = "usr/lib/dynamod/stock/supervisors/"
	active = "sys/class/tty/console/active"
)

func nativeUnit(name, typ, more string) string {
	s := "[service]\nname = \"" + name + "\"\ntype = \"" + typ + "\"\n"
	if typ != "target" {
		s += "exec = [\"/bin/true\"]\n"
	}
	return s + more
}

// The stock services are for machines without unit files, and only for those.
func TestStockIsForMachinesWithoutUnitFiles(t *testing.T) {
	files := []string{stock + "a.toml", nativeUnit("a", "oneshot", ""), stsup + "early.toml", "[supervisor]\nname = \"early\"\n"}
	for _, c := range []struct {
		name string
		more []string
		want bool
	}{
		{"nothing else", nil, true},
		{"a package's stray unit file", []string{usr + "foo.service", say("x")}, true},
		{"systemd's units", []string{usr + "sysinit.target", "[Unit]\n"}, false},
		{"masked sysinit.target", []string{etc + "sysinit.target", "-> /dev/null", "dev/null", ""}, false},
	} {
		set, ds := Load(Config{FS: mapFS(append(slices.Clone(files), c.more...)...)})
		_, got := set.Find("a.service")
		sup := slices.ContainsFunc(set.Supervisors, func(s *unit.Supervisor) bool { return s.Name == "early" })
		if got != c.want || sup != c.want {
			t.Errorf("%s: service %v, supervisor %v; want %v (%v)", c.name, got, sup, c.want, ds)
		}
	}
}

func TestStockCountsBelowEverythingElse(t *testing.T) {
	set, _ := Load(Config{FS: mapFS(stock+"a.toml", nativeUnit("a", "oneshot", ""), stock+"b.toml", nativeUnit("b", "oneshot", ""),
		stock+"c.toml", nativeUnit("c", "oneshot", ""), svcs+"a.toml", service("a", "description = \"mine\"\n"),
		usvcs+"b.toml", service("b", "description = \"the package's\"\n"), svcs+"c.toml", "-> /dev/null", "dev/null", "")})
	for name, want := range map[string]string{"a.service": "mine", "b.service": "the package's"} {
		if got := unit.Description.Of(must(t, set, name)); got != want {
			t.Errorf("%s is %q; want %q", name, got, want)
		}
	}
	if _, ok := set.Find("c.service"); ok {
		t.Error("c was masked in /etc and is there")
	}
}

// What takes the place of systemd's daemons is for machines that have them, with the
// names of the unit file; the administrator's word is above it, as for the stock.
func TestShadowIsForMachinesWithUnitFiles(t *testing.T) {
	const shadow = "usr/lib/dynamod/shadow/services/"
	files := []string{shadow + "logind.toml", nativeUnit("systemd-logind", "simple", "[install]\nalias = [\"also.service\"]\n"),
		usr + "systemd-logind.service", say("theirs"), usr + "dbus-org.freedesktop.login1.service", "-> systemd-logind.service",
		usr + "theirs.service", say("theirs"), usr + "also.service", "-> theirs.service"}
	load := func(more ...string) *unit.Set {
		set, _ := Load(Config{FS: mapFS(append(slices.Clone(files), more...)...)})
		return set
	}
	set := load(usr+"sysinit.target", "[Unit]\n")
	for _, name := range []string{"systemd-logind.service", "dbus-org.freedesktop.login1.service", "also.service"} {
		if u := must(t, set, name); u.Format != unit.Native || u.Name != "systemd-logind.service" {
			t.Errorf("%s is %s of %s", name, u.Name, u.Path)
		}
	}
	if u := must(t, set, "theirs.service"); slices.Contains(u.Aliases, "also.service") {
		t.Errorf("an alias that a native unit has is still one of the unit file: %v", u.Aliases)
	}
	for what, set := range map[string]*unit.Set{"no sysinit.target": load(), "masked": load(usr+"sysinit.target", "[Unit]\n", etc+"systemd-logind.service", "-> /dev/null", "dev/null", ""), "turned off": load(usr+"sysinit.target", "[Unit]\n", svcs+"logind.toml", "-> /dev/null", "dev/null", "")} {
		if u := must(t, set, "dbus-org.freedesktop.login1.service"); u.Format == unit.Native {
			t.Errorf("%s: %s counts", what, u.Path)
		}
	}
}

// Who names the directories gets these and no others: a container's or a
// standalone manager's services must not come with a machine's boot.
func TestStockNeedsTheUsualDirectories(t *testing.T) {
	set, _ := Load(Config{FS: mapFS(stock+"a.toml", nativeUnit("a", "oneshot", ""), "x/services/b.toml", nativeUnit("b", "oneshot", "")),
		NativeDirs: []string{"/x"}})
	if _, ok := set.Find("a.service"); ok {
		t.Error("the stock services count beside a directory that was asked for")
	}
	must(t, set, "b.service")
}

func gettyTree(pairs ...string) fstest.MapFS {
	return mapFS(append([]string{stock + "getty.target.toml", nativeUnit("getty.target", "target", ""),
		stock + "getty@.toml", nativeUnit("getty@", "simple", "[install]\nalias = [\"serial-getty@.service\"]\n")}, pairs...)...)
}

func TestConsolesGetPrompts(t *testing.T) {
	for _, c := range []struct {
		name string
		fs   fs.FS
		how  Consoles
		want []string
	}{
		{"a PC", gettyTree(active, "tty0 ttyS0\n", "sys/class/tty/tty0/dev", "4:0\n"), KernelConsoles, []string{"getty@tty1.service", "getty@ttyS0.service"}},
		{"nobody asked", gettyTree(active, "ttyS0\n"), NoConsoles, nil},
		{"a tree that is not this machine", gettyTree(), KernelConsoles, nil},
		{"the operator's own", gettyTree(active, "tty0 ttyS0\n", svcs+"agetty-tty1.toml", service("agetty-tty1", "")), KernelConsoles, []string{"getty@ttyS0.service"}},
		{"systemd's templates", mapFS(active, "tty0 hvc0\n", usr+"getty.target", "[Unit]\n", usr+"getty@.service", say("v"), usr+"serial-getty@.service", say("s")),
			KernelConsoles, []string{"getty@tty1.service", "serial-getty@hvc0.service"}},
		{"a generator does it", mapFS(active, "ttyS0\n", usr+"getty.target", "[Unit]\n", usr+"serial-getty@.service", say("s"),
			"usr/lib/systemd/system-generators/systemd-getty-generator", "x"), KernelConsoles, nil},
		{"a container without a console", gettyTree(active, "ttyS0\n"), ContainerConsole, nil},
		{"a slash in the name", gettyTree(active, "usb/tts-0\n"), KernelConsoles, []string{`getty@usb-tts\x2d0.service`}},
	} {
		set, _ := Load(Config{FS: c.fs, Consoles: c.how})
		target := must(t, set, "getty.target")
		got := slices.Clone(unit.Wants.Of(target))
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: getty.target wants %v; want %v", c.name, got, c.want)
		}
		for _, n := range c.want {
			must(t, set, n)
		}
	}
	withConsole := gettyTree()
	withConsole["dev/console"] = &fstest.MapFile{Mode: fs.ModeDevice | fs.ModeCharDevice | 0o600}
	set, _ := Load(Config{FS: withConsole, Consoles: ContainerConsole})
	if got := unit.Wants.Of(must(t, set, "getty.target")); !slices.Equal(got, []string{"getty@console.service"}) {
		t.Errorf("a container's getty.target wants %v; want getty@console.service", got)
	}
}
