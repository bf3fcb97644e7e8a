package load

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"dynamod/internal/unit"
)

const (
	svcs  = "etc/dynamod/services/"
	sups  = "etc/dynamod/supervisors/"
	usvcs = "usr/lib/dynamod/services/"
)

func service(name, more string) string {
	return "[service]\nname = \"" + name + "\"\nexec = [\"/bin/true\"]\n" + more
}

func TestNativeShadowsUnitFile(t *testing.T) {
	set, _ := Load(Config{FS: mapFS(
		usr+"multi-user.target", "[Unit]\n", etc+"default.target", "-> multi-user.target",
		usr+"ssh.service", say("unit file"), etc+"sshd.service", "-> ssh.service",
		svcs+"sshd.toml", service("sshd", ""), usvcs+"sshd.toml", service("other", ""), usvcs+"x.toml", service("x", "start = \"manual\"\n"),
		etc+"sshd.service.d/a.conf", say("drop-in"), usr+"u.service", "[Unit]\nAfter=ssh.service\n[Service]\nExecStart=/bin/true\n",
		etc+"sshd.service.wants/u.service", "-> ../u.service",
	)})
	u := must(t, set, "ssh.service")
	if u.Name != "sshd.service" || u.Format != unit.Native || u.Shadows != "/usr/lib/systemd/system/ssh.service" || !slices.Equal(u.Aliases, []string{"ssh.service"}) {
		t.Errorf("ssh.service = %s, format %v, shadows %q, aliases %v", u.Name, u.Format, u.Shadows, u.Aliases)
	}
	if w := unit.Wants.Of(u); !slices.Equal(w, []string{"u.service"}) {
		t.Errorf("Wants = %v; want u.service", w)
	}
	if _, ok := set.Find("other.service"); ok {
		t.Error("the packaged file of the same file name is used too")
	}
	boot := must(t, set, "default.target")
	if w := unit.Wants.Of(boot); boot.Name != "multi-user.target" || !slices.Equal(w, []string{"sshd.service"}) {
		t.Errorf("%s wants %v; want sshd.service", boot.Name, w)
	}
}

func TestBootTargets(t *testing.T) {
	one := svcs + "a.toml"
	for _, c := range []struct {
		name   string
		pairs  []string
		target string
		want   []string
	}{
		{"no unit files at all", []string{one, service("a", "")}, "multi-user.target", []string{"a.service"}},
		{"only default.target", []string{one, service("a", ""), usr + "default.target", "[Unit]\n"}, "default.target", []string{"a.service"}},
		{"an alias", []string{one, service("a", ""), usr + "x.target", "[Unit]\n", usr + "multi-user.target", "-> x.target"}, "x.target", []string{"a.service"}},
		{"ignore", []string{one, service("a", "start = \"ignore\"\n"), usr + "multi-user.target", "[Unit]\n"}, "multi-user.target", nil},
		{"wanted-by", []string{one, service("a", "[install]\nwanted-by = [\"b\"]\n"), svcs + "b.toml", service("b", "")}, "multi-user.target", []string{"b.service"}},
		{"ignore, by disabled", []string{one, service("a", "disabled = true\n[timer]\non-calendar = \"daily\"\n"), usr + "multi-user.target", "[Unit]\n"}, "multi-user.target", nil},
		{"timer", []string{one, service("a", "[timer]\non-calendar = \"daily\"\n")}, "multi-user.target", []string{"a.timer"}},
		{"timer and boot", []string{one, service("a", "start = \"boot\"\n[timer]\non-calendar = \"daily\"\n")}, "multi-user.target", []string{"a.service", "a.timer"}},
		{"target", []string{svcs + "t.toml", "[service]\nname = \"t\"\ntype = \"target\"\n", one, service("a", "")}, "multi-user.target", []string{"a.service"}},
		{"template", []string{svcs + "t@.toml", service("t@", ""), one, service("a", "")}, "multi-user.target", []string{"a.service"}},
	} {
		set, ds := Load(Config{FS: mapFS(c.pairs...)})
		if got := lines(ds); got != "" {
			t.Errorf("%s: diagnostics\n%s%v", c.name, got, ds)
		}
		if got := unit.Wants.Of(must(t, set, c.target)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %s wants %v; want %v", c.name, c.target, got, c.want)
		}
		if _, ok := set.Find("default.target"); !ok && c.target == "multi-user.target" && !strings.Contains(c.name, "ignore") {
			t.Errorf("%s: there is no default.target", c.name)
		}
	}
}

func TestNativeNames(t *testing.T) {
	l := New(Config{FS: mapFS(
		svcs+"a.toml", "[service]\nexec = [\"/bin/true\"]\n",
		svcs+"b.toml", service("has blank", ""),
		svcs+"c.toml", service("x.y", ""),
		svcs+"d.toml", service("x.y.service", ""),
		svcs+"e.toml", "[service]\nname = \"w.timer\"\n[timer]\non-calendar = \"daily\"\n",
		svcs+"f.toml", service("t@", "[install]\nalias = [\"s@\"]\n"),
		svcs+"g.toml", "-> /dev/null", usvcs+"g.toml", service("g", ""),
		svcs+"not-toml.conf", "x", svcs+"h.toml", "[service]\nname = \"h\"\nexec = [\n", svcs+"i.toml", "|", svcs+"j.toml", "-> j.toml",
	)})
	for name, want := range map[string]unit.LoadState{"a.service": unit.Loaded, `has\x20blank.service`: unit.Loaded, "x.y.service": unit.Loaded,
		"w.timer": unit.Loaded, "t@1.service": unit.Loaded, "s@1.service": unit.Loaded, "g.service": unit.NotFound, "h.service": unit.BadSetting} {
		if u, _ := l.One(name); u.Load != want {
			t.Errorf("%s is %v; want %v", name, u.Load, want)
		}
	}
	const want = `/etc/dynamod/services/a.toml warning missing-name
/etc/dynamod/services/b.toml:2:1 warning bad-name
/etc/dynamod/services/d.toml:2:1 error duplicate-unit
/etc/dynamod/services/h.toml:3:9 error bad-toml
/etc/dynamod/services/i.toml warning not-a-file
/etc/dynamod/services/j.toml error symlink-loop
`
	if got := lines(l.Diags()); got != want {
		t.Errorf("diagnostics:\n%s\nwant\n%s", got, want)
	}
}

func TestSupervisors(t *testing.T) {
	set, ds := Load(Config{FS: mapFS(
		sups+"a.toml", "[supervisor]\nname = \"a\"\nstrategy = \"one-for-all\"\n[restart]\nmax-restarts = 3\nmax-restart-window = \"30s\"\n",
		sups+"b.toml", "[supervisor]\nname = \"b\"\nparent = \"a\"\n",
		sups+"c.toml", "[supervisor]\nname = \"c\"\nparent = \"nobody\"\n",
		sups+"d.toml", "[supervisor]\nname = \"d\"\nparent = \"e\"\n", sups+"e.toml", "[supervisor]\nname = \"e\"\nparent = \"d\"\n",
		sups+"f.toml", "[supervisor]\nname = \"f\"\nparent = \"e\"\n", sups+"g.toml", "[supervisor]\nname = \"a\"\n",
		svcs+"a.toml", service("a", ""), svcs+"s.toml", service("s", "supervisor = \"bb\"\n"), svcs+"u.toml", service("u", "supervisor = \"b\"\n"),
	)})
	var got []string
	for _, s := range set.Supervisors {
		got = append(got, s.Name+"<"+s.Parent)
	}
	if want := []string{"a<root", "b<a", "c<root", "d<root", "e<d", "f<e", "root<"}; !slices.Equal(got, want) {
		t.Errorf("supervisors %v; want %v", got, want)
	}
	if a := set.Supervisors[0]; a.Strategy != unit.OneForAll || a.MaxRestarts != 3 {
		t.Errorf("supervisor a = %+v", a)
	}
	const want = `/etc/dynamod/services/a.toml:2:1 error duplicate-name
/etc/dynamod/services/s.toml:4:15 warning unknown-supervisor
/etc/dynamod/supervisors/c.toml:2:9 warning unknown-supervisor
/etc/dynamod/supervisors/d.toml:2:9 error supervisor-cycle
/etc/dynamod/supervisors/g.toml:2:9 error duplicate-name
`
	if got := lines(ds); got != want {
		t.Errorf("diagnostics:\n%s\nwant\n%s", got, want)
	}
}

// TestSameUnitInBothFormats: what can be said in both comes out the same.
func TestSameUnitInBothFormats(t *testing.T) {
	unitFile := `[Unit]
Description=Both ways
Requires=b.service
After=b.service c.service
[Service]
Type=exec
ExecStart=:/bin/x --flag "two words"
ExecStartPre=:/bin/pre
User=u
Group=g
WorkingDirectory=/srv
Environment=A=1 "B=two words"
Restart=on-failure
RestartSec=500ms
MemoryMax=512M
TimeoutStopSec=5s
KillSignal=SIGINT
`
	toml := `[unit]
description = "Both ways"
[service]
name = "a"
type = "exec"
exec = ["/bin/x", "--flag", "two words"]
exec-start-pre = ["/bin/pre"]
workdir = "/srv"
environment = { A = "1", B = "two words" }
[service.user]
user = "u"
group = "g"
[restart]
policy = "on-failure"
delay = "500ms"
[dependencies]
requires = ["b"]
after = ["c"]
[cgroup]
memory-max = "512M"
[shutdown]
stop-timeout = "5s"
stop-signal = "SIGINT"
`
	a, ds1 := New(Config{FS: mapFS(usr+"a.service", unitFile)}).One("a.service")
	b, ds2 := New(Config{FS: mapFS(svcs+"a.toml", toml)}).One("a.service")
	if len(ds1)+len(ds2) > 0 {
		t.Errorf("diagnostics: %v %v", ds1, ds2)
	}
	drop := func(s string) []string {
		var out []string
		for l := range strings.Lines(s) {
			l = strings.TrimSpace(l)
			// What only one of the formats can say.
			if !strings.HasPrefix(l, "service.name") {
				if strings.HasPrefix(l, "dependencies.after") {
					l = "after " + strings.Join(sorted(unitNames(l)), " ")
				}
				out = append(out, l)
			}
		}
		return out
	}
	x, y := drop(dump(a)), drop(dump(b))
	if !slices.Equal(x, y) {
		t.Errorf("unit file:\n%s\nTOML:\n%s", strings.Join(x, "\n"), strings.Join(y, "\n"))
	}
}

func unitNames(l string) []string {
	return strings.FieldsFunc(l[strings.IndexByte(l, '['):], func(r rune) bool { return r == '[' || r == ']' || r == ' ' })
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}

func TestFstab(t *testing.T) {
	table := "/dev/a / ext4 defaults 0 1\n/dev/b /home ext4 nofail,x-systemd.device-timeout=3s 0 2\n/dev/c /data ext4 noauto\n/dev/d /vendor ext4\n/dev/e /lnk/x ext4\n"
	fsys := mapFS("etc/fstab", table, usr+"local-fs.target", "[Unit]\n", etc+"data.mount", "[Mount]\nWhat=/dev/z\nWhere=/data\n",
		usr+"vendor.mount", "[Mount]\nWhat=/dev/z\nWhere=/vendor\n", "lnk", "-> /mnt/real", "mnt/real/y", "x",
		usr+"systemd-fsck@.service", "svc", etc+"home.mount.d/x.conf", "[Mount]\nDirectoryMode=0700\n")
	set, ds := Load(Config{FS: fsys, Fstab: "/etc/fstab"})
	what := func(n string) string { return unit.What.Of(must(t, set, n)) }
	for n, want := range map[string]string{"-.mount": "/dev/a", "home.mount": "/dev/b", "data.mount": "/dev/z", "vendor.mount": "/dev/d", "mnt-real-x.mount": "/dev/e"} {
		if got := what(n); got != want {
			t.Errorf("What of %s = %q; want %q", n, got, want)
		}
	}
	fs := must(t, set, "local-fs.target")
	if got, want := sorted(slices.Clone(unit.Requires.Of(fs))), []string{"-.mount", "mnt-real-x.mount", "vendor.mount"}; !slices.Equal(got, want) {
		t.Errorf("local-fs.target requires %v; want %v", got, want)
	}
	if got := unit.Wants.Of(fs); !slices.Contains(got, "home.mount") {
		t.Errorf("local-fs.target wants %v; want home.mount", got)
	}
	must(t, set, "systemd-fsck@dev-b.service")
	if u := must(t, set, "dev-b.device"); u.Load != unit.Loaded || !unit.JobRunningTimeoutSec.IsSet(u) {
		t.Errorf("dev-b.device = %v, without the timeout of fstab", u.Load)
	}
	if got := lines(ds); got != "" {
		t.Errorf("diagnostics:\n%s", got)
	}
	{
		set, _ := Load(Config{FS: fsys})
		if _, ok := set.Find("home.mount"); ok {
			t.Error("fstab is read without being asked for")
		}
	}
}

// A oneshot with a [timer] must be triggered again and again: it comes to rest after
// its work, unless the file says otherwise.
func TestTriggeredOneshotComesToRest(t *testing.T) {
	for _, c := range []struct {
		name, more string
		want       bool
	}{
		{"alone", "", true},
		{"timed", "[timer]\non-calendar = \"daily\"\n", false},
		{"watching", "[path]\nexists = \"/x\"\n", false},
		{"stubborn", "remain-after-exit = true\n[timer]\non-calendar = \"daily\"\n", true},
	} {
		fsys := fstest.MapFS{"etc/dynamod/services/" + c.name + ".toml": {Data: []byte("[service]\nname = \"" + c.name +
			"\"\nexec = [\"/bin/true\"]\ntype = \"oneshot\"\n" + c.more)}}
		set, ds := Load(Config{FS: fsys})
		for _, d := range ds {
			t.Errorf("%s: %v", c.name, d)
		}
		u, ok := set.Find(c.name + ".service")
		if !ok {
			t.Fatalf("%s is not loaded", c.name)
		}
		if got := unit.RemainAfterExit.Of(u); got != c.want {
			t.Errorf("%s: remain-after-exit = %v; want %v", c.name, got, c.want)
		}
	}
}
