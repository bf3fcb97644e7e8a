package load

import (
	"slices"
	"strings"
	"testing"

	"dynamod/internal/unit"
)

// TestDropinOrder is the recording of systemd-analyze verify 257 on the same
// tree.
func TestDropinOrder(t *testing.T) {
	var pairs []string
	add := func(base, dir string, files ...string) {
		for _, f := range files {
			pairs = append(pairs, base+dir+"/"+f, say(base+dir))
		}
	}
	pairs = append(pairs, usr+"foo-bar.service", "svc", usr+"t-x@.service", "svc", etc+"al@.service", "-> t-x@.service",
		etc+"one@i.service", "-> t-x@i.service", etc+"a-foo.service", "-> foo-bar.service")
	add(usr, "foo-bar.service.d", "10.conf", "12.conf")
	add(etc, "service.d", "10.conf", "11.conf", ".h.conf", "13.conf~", "9.conf", "z.conf", "Y.conf")
	add(usr, "foo-.service.d", "11.conf")
	add(etc, "foo-.service.d", "12.conf")
	add(etc, "foo-bar.service.d", "15.conf")
	add(usr, "service.d", "17.conf")
	pairs = append(pairs, etc+"foo-bar.service.d/17.conf", "-> /dev/null", etc+"foo-bar.service.d/18.conf", "", usr+"foo-.service.d/18.conf", say("no"))
	for _, d := range []string{"t-x@i.service.d", "t-x@.service.d", "al@i.service.d", "al@.service.d", "one@i.service.d", "one@.service.d", "t-.service.d", "t-@.service.d"} {
		add(etc, d, "20.conf", d+".conf")
		add(usr, d, "20.conf")
	}
	for _, d := range []string{"a-foo.service.d", "a-.service.d", "foo-bar.service.d", "foo-.service.d", "service.d"} {
		add(etc, d, "30.conf", d+".conf")
	}
	add(etc, "a-foo.service.d", "31.conf", "32.conf")
	add(etc, "a-.service.d", "31.conf")
	add(etc, "foo-.service.d", "32.conf")
	l := New(Config{FS: mapFS(pairs...)})
	plain := `/usr/lib/systemd/system/foo-bar.service.d/10.conf
/usr/lib/systemd/system/foo-.service.d/11.conf
/etc/systemd/system/foo-.service.d/12.conf
/etc/systemd/system/foo-bar.service.d/15.conf
/etc/systemd/system/foo-bar.service.d/30.conf
/etc/systemd/system/a-foo.service.d/31.conf
/etc/systemd/system/foo-.service.d/32.conf
/etc/systemd/system/service.d/9.conf
/etc/systemd/system/service.d/Y.conf
/etc/systemd/system/a-.service.d/a-.service.d.conf
/etc/systemd/system/a-foo.service.d/a-foo.service.d.conf
/etc/systemd/system/foo-.service.d/foo-.service.d.conf
/etc/systemd/system/foo-bar.service.d/foo-bar.service.d.conf
/etc/systemd/system/service.d/service.d.conf
/etc/systemd/system/service.d/z.conf`
	instance := `/etc/systemd/system/service.d/10.conf
/etc/systemd/system/service.d/11.conf
/usr/lib/systemd/system/service.d/17.conf
/etc/systemd/system/t-x@i.service.d/20.conf
/etc/systemd/system/service.d/30.conf
/etc/systemd/system/service.d/9.conf
/etc/systemd/system/service.d/Y.conf
/etc/systemd/system/al@.service.d/al@.service.d.conf
/etc/systemd/system/al@i.service.d/al@i.service.d.conf
/etc/systemd/system/one@.service.d/one@.service.d.conf
/etc/systemd/system/one@i.service.d/one@i.service.d.conf
/etc/systemd/system/service.d/service.d.conf
/etc/systemd/system/t-.service.d/t-.service.d.conf
/etc/systemd/system/t-@.service.d/t-@.service.d.conf
/etc/systemd/system/t-x@.service.d/t-x@.service.d.conf
/etc/systemd/system/t-x@i.service.d/t-x@i.service.d.conf
/etc/systemd/system/service.d/z.conf`
	for name, want := range map[string]string{"foo-bar.service": plain, "a-foo.service": plain, "t-x@i.service": instance, "one@i.service": instance, "al@i.service": instance} {
		u, _ := l.One(name)
		if got := strings.Join(u.DropIns, "\n"); got != want {
			t.Errorf("drop-ins of %s:\n%s\nwant\n%s", name, got, want)
		}
		if got, want := unit.Description.Of(u), etc+"service.d"; got != want {
			t.Errorf("Description of %s = %q; want %q", name, got, want)
		}
	}
}

// TestLinkDirectories is a recording as well.
func TestLinkDirectories(t *testing.T) {
	w := etc + "want.service.wants/"
	l := New(Config{FS: mapFS(
		usr+"want.service", "svc", usr+"real.service", "svc", usr+"al1.service", "-> real.service", usr+"t@.service", "svc", usr+"w5.service", "svc",
		w+"other.service", "-> ../real.service", w+"al1.service", "-> ../al1.service", w+"x9.service", "-> /nowhere/x9.service",
		w+"t@q.service", "-> ../t@.service", w+"t@.service", "-> ../t@.service", w+"bad name.service", "-> ../real.service",
		w+"reg.service", "svc", w+"dirw.service", "/", w+"w.socket", "-> ../real.service", w+"noext", "-> ../real.service",
		usr+"foo-bar.service", "svc", usr+"foo-.service.wants/w1.service", "-> ../w1.service", usr+"foo-bar.service.wants/w2.service", "-> ../w2.service",
		usr+"foo-bar.service.wants/w5.service", "", usr+"service.wants/w5.service", "-> ../w5.service", usr+"foo-.service.wants/w6.service", "-> ../w6.service",
		etc+"foo-bar.service.wants/w6.service", "-> /dev/null", etc+"foo-bar.service.requires/r.service", "-> ../r.service", etc+"foo-bar.service.upholds/u.service", "-> ../u.service",
		usr+"x-y@.service", "svc", usr+"x-y@.service.wants/w4@.service", "-> ../w4@.service", etc+"x-y@a.service.wants/w7.service", "-> ../w7.service",
		etc+"fb.service", "-> foo-bar.service", etc+"fb.service.wants/w8.service", "-> ../w8.service",
	)})
	for name, want := range map[string][]string{
		"want.service":    {"al1.service", "other.service", "t@q.service", "t@want.service", "w.socket", "w5.service", "x9.service"},
		"foo-bar.service": {"w1.service", "w2.service", "w8.service"},
		"x-y@a.service":   {"w4@a.service", "w5.service", "w7.service"},
	} {
		u, _ := l.One(name)
		got := slices.Clone(unit.Wants.Of(u))
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("Wants of %s = %v; want %v", name, got, want)
		}
	}
	u, _ := l.One("foo-bar.service")
	if r, up := unit.Requires.Of(u), unit.Upholds.Of(u); !slices.Equal(r, []string{"r.service"}) || !slices.Equal(up, []string{"u.service"}) {
		t.Errorf("Requires = %v, Upholds = %v; want r.service, u.service", r, up)
	}
	set, ds := l.All()
	if _, ok := set.Find("t@want.service"); !ok {
		t.Error("the instance that a .wants directory names is not loaded")
	}
	const bad = `/etc/systemd/system/want.service.wants/bad name.service warning bad-link
/etc/systemd/system/want.service.wants/dirw.service warning bad-link
/etc/systemd/system/want.service.wants/noext warning bad-link
/etc/systemd/system/want.service.wants/reg.service warning bad-link
`
	if got := lines(ds); got != bad {
		t.Errorf("diagnostics:\n%s\nwant\n%s", got, bad)
	}
}

func TestDropinsReset(t *testing.T) {
	l := New(Config{FS: mapFS(usr+"a.service", "[Service]\nExecStart=/bin/one\nEnvironment=A=1\n",
		etc+"a.service.d/x.conf", "[Service]\nExecStart=\nExecStart=/bin/two\nEnvironment=B=2\n")})
	u, ds := l.One("a.service")
	if e := unit.ExecStart.Of(u); len(e) != 1 || e[0].Path != "/bin/two" || len(ds) > 0 {
		t.Errorf("ExecStart = %v, %v; want /bin/two", e, ds)
	}
	if e := unit.Environment.Of(u); !slices.Equal(e, []string{"A=1", "B=2"}) {
		t.Errorf("Environment = %v; want A=1 B=2", e)
	}
}

func TestUnitsWithoutFile(t *testing.T) {
	l := New(Config{FS: mapFS(usr+"user-.slice.d/10.conf", "[Unit]\nDescription=slice of %j\n", usr+"a.service", "[Service]\nExecStart=/bin/true\nSlice=user-7.slice\n",
		usr+"g@.service", "svc", usr+"u.service", "[Unit]\nAfter=g@x.service h@y.service\n[Service]\nExecStart=/bin/true\n",
		usr+"system-g.slice.d/x.conf", "[Unit]\nDescription=g\n")})
	set, ds := l.All()
	if u := must(t, set, "user-7.slice"); u.Load != unit.Loaded || unit.Description.Of(u) != "slice of 7" {
		t.Errorf("user-7.slice = %v %q", u.Load, unit.Description.Of(u))
	}
	if u := must(t, set, "system-g.slice"); unit.Description.Of(u) != "g" {
		t.Errorf("the slice of an instance has Description %q; want g", unit.Description.Of(u))
	}
	for _, n := range perpetualUnits {
		if u := must(t, set, n); u.Load != unit.Loaded {
			t.Errorf("%s is %v; want loaded", n, u.Load)
		}
	}
	must(t, set, "g@x.service")
	for _, n := range []string{"h@y.service", "g@.service", "g@instance.service"} {
		if _, ok := set.Find(n); ok {
			t.Errorf("%s is there; nothing defines or wants it", n)
		}
	}
	if got := lines(ds); got != "" {
		t.Errorf("diagnostics:\n%s", got)
	}
}
