package load

import (
	"slices"
	"testing"

	"dynamod/internal/unit"
)

// TestLinksInTheSearchPath is the recording of systemd-analyze verify 257 on
// the same tree.
func TestLinksInTheSearchPath(t *testing.T) {
	fsys := mapFS(
		usr+"real.service", "svc", usr+"al1.service", "-> real.service", etc+"al2.service", "-> /usr/lib/systemd/system/al1.service",
		etc+"badtype.socket", "-> real.service", etc+"plain.service", "-> t@.service", usr+"t@.service", "svc",
		etc+"inst@a.service", "-> real.service", etc+"tpl@.service", "-> real.service",
		etc+"ta@.service", "-> t@.service", etc+"tb@one.service", "-> t@.service", etc+"td@one.service", "-> t@two.service",
		etc+"dang.service", "-> nowhere.service", etc+"loopa.service", "-> loopb.service", etc+"loopb.service", "-> loopa.service",
		etc+"self.service", "-> self.service", "etc/systemd/linked", "[Unit]\nDescription=linked\n[Service]\nExecStart=/bin/true\n", etc+"lnk.service", "-> ../linked",
		etc+"masked.service", "-> /dev/null", etc+"empty.service", "", usr+"empty.service", "svc",
		etc+"dir.service", "/", usr+"dir.service", "svc", etc+"fifo.service", "|", usr+"fifo.service", "svc",
		etc+"dl.service", "-> /usr/share/nothing.service", usr+"dl.service", "svc",
		etc+"same.service", "-> /usr/lib/systemd/system/same.service", usr+"same.service", "svc",
		etc+"rejected.service", "-> t@.service", usr+"rejected.service", "svc",
		etc+"deep.service", "-> /usr/lib/systemd/system/sub/deep.service", usr+"sub/deep.service", "svc",
		etc+"tomask.service", "-> masked.service", etc+"bindir.service", "-> /usr/bin", "usr/bin/true", "x",
		etc+"m.mount", "-> n.mount", etc+"null.service", "-> ../../../dev/null", etc+"far.service", "-> /opt/far", "opt/far", "-> far2", "opt/far2", "-> /dev/null",
		"lib", "-> usr/lib", etc+"vialib.service", "-> /lib/systemd/system/real.service",
		etc+"outside.service", "-> ../../../../../../opt/out.service", "opt/out.service", "svc",
		etc+"lup.service", "-> /opt/lup", "opt/lup", "-> /opt/lup2", "opt/lup2", "-> lup",
	)
	l := New(Config{FS: fsys})
	for _, c := range []struct {
		name, want string
		load       unit.LoadState
	}{
		{"real.service", "real.service", unit.Loaded},
		{"al1.service", "real.service", unit.Loaded},
		{"al2.service", "real.service", unit.Loaded},
		{"vialib.service", "real.service", unit.Loaded},
		{"plain.service", "plain.service", unit.NotFound},
		{"inst@a.service", "inst@a.service", unit.NotFound},
		{"tpl@x.service", "tpl@x.service", unit.NotFound},
		{"t@q.service", "t@q.service", unit.Loaded},
		{"ta@q.service", "t@q.service", unit.Loaded},
		{"tb@one.service", "t@one.service", unit.Loaded},
		{"tb@two.service", "tb@two.service", unit.NotFound},
		{"td@one.service", "td@one.service", unit.NotFound},
		{"dang.service", "nowhere.service", unit.NotFound},
		{"loopa.service", "loopa.service", unit.LoadError},
		{"self.service", "self.service", unit.NotFound},
		{"lnk.service", "lnk.service", unit.Loaded},
		{"masked.service", "masked.service", unit.Masked},
		{"tomask.service", "masked.service", unit.Masked},
		{"null.service", "null.service", unit.Masked},
		{"far.service", "far.service", unit.Masked},
		{"empty.service", "empty.service", unit.Masked},
		{"dir.service", "dir.service", unit.Loaded},
		{"fifo.service", "fifo.service", unit.Loaded},
		{"dl.service", "dl.service", unit.LoadError},
		{"same.service", "same.service", unit.Loaded},
		{"rejected.service", "rejected.service", unit.Loaded},
		{"deep.service", "deep.service", unit.NotFound},
		{"bindir.service", "bindir.service", unit.LoadError},
		{"outside.service", "outside.service", unit.Loaded},
		{"lup.service", "lup.service", unit.LoadError},
		{"m.mount", "m.mount", unit.NotFound},
	} {
		u, _ := l.One(c.name)
		if u.Name != c.want || u.Load != c.load {
			t.Errorf("One(%q) = %s, %v; want %s, %v", c.name, u.Name, u.Load, c.want, c.load)
		}
	}
	u, _ := l.One("real.service")
	if want := []string{"al1.service", "al2.service", "vialib.service"}; !slices.Equal(u.Aliases, want) {
		t.Errorf("aliases of real.service = %v; want %v", u.Aliases, want)
	}
	u, _ = l.One("t@one.service")
	if want := []string{"ta@one.service", "tb@one.service"}; !slices.Equal(u.Aliases, want) {
		t.Errorf("aliases of t@one.service = %v; want %v", u.Aliases, want)
	}
	set, ds := l.All()
	for _, a := range []string{"al2.service", "tb@one.service", "tomask.service"} {
		must(t, set, a)
	}
	const want = `/etc/systemd/system/badtype.socket warning bad-alias
/etc/systemd/system/bindir.service error not-a-file
/etc/systemd/system/dang.service warning dangling-alias
/etc/systemd/system/dir.service warning not-a-file
/etc/systemd/system/dl.service error dangling-link
/etc/systemd/system/fifo.service warning not-a-file
/etc/systemd/system/inst@a.service warning bad-alias
/etc/systemd/system/loopa.service error symlink-loop
/etc/systemd/system/loopb.service error symlink-loop
/etc/systemd/system/lup.service error symlink-loop
/etc/systemd/system/m.mount warning bad-alias
/etc/systemd/system/plain.service warning bad-alias
/etc/systemd/system/rejected.service warning bad-alias
/etc/systemd/system/self.service warning symlink-loop
/etc/systemd/system/td@one.service warning bad-alias
/etc/systemd/system/tpl@.service warning bad-alias
`
	if got := lines(ds); got != want {
		t.Errorf("diagnostics:\n%s\nwant\n%s", got, want)
	}
}

func TestHigherDirectoryWins(t *testing.T) {
	l := New(Config{FS: mapFS(
		usr+"a.service", say("usr"), run+"a.service", say("run"), etc+"a.service", say("etc"),
		"etc/systemd/system.control/b.service", say("control"), etc+"b.service", say("etc"),
		"run/systemd/generator.early/c.service", say("early"), etc+"c.service", say("etc"),
		"run/systemd/generator/d.service", say("generator"), usr+"d.service", say("usr"), run+"e.service", say("run"), "run/systemd/generator/e.service", say("generator"),
		"run/systemd/generator.late/f.service", say("late"), usr+"f.service", say("usr"),
		"usr/local/lib/systemd/system/g.service", say("local"), usr+"g.service", say("usr"),
		"lib/systemd/system/h.service", say("lib"),
	)})
	for name, want := range map[string]string{"a": "etc", "b": "control", "c": "early", "d": "generator", "e": "run", "f": "usr", "g": "local", "h": "lib"} {
		u, _ := l.One(name + ".service")
		if got := unit.Description.Of(u); got != want {
			t.Errorf("%s.service comes from %q; want %q", name, got, want)
		}
	}
}

func TestUserSearchPath(t *testing.T) {
	got := UnitDirs(User, XDG{Home: "/home/u", RuntimeDir: "/run/user/1000"})
	want := []string{"/home/u/.config/systemd/user.control", "/run/user/1000/systemd/user.control", "/run/user/1000/systemd/transient",
		"/run/user/1000/systemd/generator.early", "/home/u/.config/systemd/user", "/etc/xdg/systemd/user", "/etc/systemd/user",
		"/run/user/1000/systemd/user", "/run/systemd/user", "/run/user/1000/systemd/generator", "/home/u/.local/share/systemd/user",
		"/usr/local/share/systemd/user", "/usr/share/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user",
		"/run/user/1000/systemd/generator.late"}
	if !slices.Equal(got, want) {
		t.Errorf("UnitDirs(User) = %q; want %q", got, want)
	}
}
