package unit

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dynamod/internal/diag"
)

// unitFile makes fragments of "[Section]" and "Key=value" lines, as the loader
// of unit files would.
func unitFile(path, text string) File {
	f := File{Path: path}
	section := ""
	for i, l := range strings.Split(text, "\n") {
		l = strings.TrimSpace(l)
		switch {
		case l == "" || l[0] == '#':
		case l[0] == '[':
			section = strings.Trim(l, "[]")
		default:
			k, v, _ := strings.Cut(l, "=")
			f.Fragments = append(f.Fragments, Fragment{Section: section, Key: k, Text: v,
				Pos: diag.Pos{File: path, Line: int32(i + 1), Col: 1}, ValueCol: int32(len(k) + 2)})
		}
	}
	return f
}

func buildUnit(name string, texts ...string) (*Unit, []diag.Diag) {
	src := Source{Name: name, HasMain: true}
	for i, t := range texts {
		src.Files = append(src.Files, unitFile(fmt.Sprintf("f%d", i), t))
	}
	return Build(src)
}

func messages(ds []diag.Diag) string {
	var b strings.Builder
	for _, d := range ds {
		b.WriteString(d.String())
		b.WriteByte('\n')
	}
	return b.String()
}

func TestListsAddUpAndEmptyClears(t *testing.T) {
	u, ds := buildUnit("a.service",
		"[Unit]\nAfter=b.service c.service\nAfter=b.service d.target\n[Service]\nExecStart=/bin/a\nEnvironment=X=1 \"Y=a b\"\nRestartSec=5",
		"[Unit]\nConditionPathExists=/x\nConditionHost=h\n[Service]\nExecStart=\nExecStart=/bin/b -x\nEnvironment=X=2 Z=3\nRestartSec=\n[Unit]\nConditionUser=\nConditionACPower=|!yes")
	if len(ds) != 0 {
		t.Fatal(messages(ds))
	}
	if got := After.Of(u); !slices.Equal(got, []string{"b.service", "c.service", "d.target"}) {
		t.Errorf("After = %q", got)
	}
	if got := u.Origin(After.Setting()); len(got) != 3 || got[0].String() != "f0:2:7" || got[1].String() != "f0:2:17" || got[2].String() != "f0:3:17" {
		t.Errorf("origin of After = %v", got)
	}
	if got := ExecStart.Of(u); len(got) != 1 || got[0].Path != "/bin/b" || !slices.Equal(got[0].Argv, []string{"/bin/b", "-x"}) {
		t.Errorf("ExecStart = %v", got)
	}
	if got := Environment.Of(u); !slices.Equal(got, []string{"X=2", "Y=a b", "Z=3"}) {
		t.Errorf("Environment = %q", got)
	}
	if RestartSec.IsSet(u) || RestartSec.Of(u) != 100*time.Millisecond {
		t.Errorf("RestartSec = %v, set %v", RestartSec.Of(u), RestartSec.IsSet(u))
	}
	if got := Conditions.Of(u); len(got) != 1 || got[0] != (Condition{Check: "ACPower", Arg: "yes", Trigger: true, Negate: true}) {
		t.Errorf("Conditions = %v", got)
	}
}

func TestBadValueLeavesTheFormerOne(t *testing.T) {
	u, ds := buildUnit("a.service", "[Service]\nExecStart=/bin/a\nTimeoutStartSec=20\nTimeoutStartSec=soon\nRestart=alwys\nUMask=0077\nUMask=999\nNice=99")
	if TimeoutStartSec.Of(u) != 20*time.Second || UMask.Of(u) != 0o077 || Restart.Of(u) != "no" {
		t.Errorf("values: %v %o %s", TimeoutStartSec.Of(u), UMask.Of(u), Restart.Of(u))
	}
	want := `f0:4:17: error: TimeoutStartSec=soon: not a time span: expected a number; write it like "500ms", "1min 30s" or "infinity"; a bare number is seconds [bad-value]
f0:5:9: error: Restart=alwys: not one of the known words; did you mean "always"? It takes: no, on-success, on-failure, on-abnormal, on-watchdog, on-abort, always [bad-value]
f0:7:7: error: UMask=999: not a file mode; write it in octal, like "0755" [bad-value]
f0:8:6: error: Nice=99: out of range; take a number from -20 to 19 [bad-value]
`
	if got := messages(ds); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if u.Load != Loaded {
		t.Errorf("Load = %v", u.Load)
	}
}

func TestUnknownKeysAndSections(t *testing.T) {
	_, ds := buildUnit("a.service", `[Unit]
Descripton=x
ExecStart=/bin/a
X-Foo=1
[Service]
ExecStart=/bin/a
Wants=b.service
execstart=/bin/b
Frobnicate=1
start-timeout=3
PermissionsStartOnly=yes
[X-Mine]
A=b
[Sevrice]
A=b
B=c
[Timer]
OnCalendar=daily`)
	want := `f0:2:1: warning: unknown key Descripton in [Unit]; did you mean Description=? [unknown-key]
f0:3:1: warning: ExecStart= does not belong in [Unit]; it belongs in [Service] [wrong-section]
f0:7:1: warning: Wants= does not belong in [Service]; it belongs in [Unit] [wrong-section]
f0:8:1: warning: unknown key execstart in [Service]; did you mean ExecStart=? [unknown-key]
f0:9:1: warning: unknown key Frobnicate in [Service] [unknown-key]
f0:10:1: warning: unknown key start-timeout in [Service]; unit files spell it TimeoutStartSec= [unknown-key]
f0:11:1: note: PermissionsStartOnly= is obsolete and has no effect; Obsolete: use the prefix + or ! on the commands that need privileges. [obsolete]
f0:15:1: warning: there is no section [Sevrice]; what it holds is ignored; did you mean [Service]? [unknown-section]
f0:18:1: warning: [Timer] has no meaning in a .service unit; what it holds is ignored; put it into a .timer unit [wrong-section]
`
	if got := messages(ds); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestSpecifiers(t *testing.T) {
	src := Source{Name: "getty@tty-1.service", HasMain: true, Files: []File{unitFile("/etc/systemd/system/getty@.service",
		"[Unit]\nDescription=%p on %I of %H at 100%% %t\nAfter=dev-%i.device x@.service\n[Service]\nExecStart=/bin/agetty %I %%z ${T} %K\nExecStart=-/bin/b %y")}}
	src.Specifiers = func(c byte) (string, bool) {
		if c == 't' {
			return "/run", true
		}
		return "", false
	}
	u, ds := Build(src)
	if got := Description.Of(u); got != "getty on tty/1 of %H at 100% /run" {
		t.Errorf("Description = %q", got)
	}
	if got := After.Of(u); !slices.Equal(got, []string{"dev-tty-1.device", "x@tty-1.service"}) {
		t.Errorf("After = %q", got)
	}
	if len(ds) != 1 || !strings.Contains(ds[0].Message, `there is no specifier "%K"`) || ds[0].Pos.Col != 35 {
		t.Errorf("diagnostics: %s", messages(ds))
	}
	if u.Load != BadSetting {
		t.Errorf("a command that cannot be read must not be run in part: %v", u.Load)
	}
	if got := ExecStart.Of(u); len(got) != 1 || got[0].Argv[1] != "/etc/systemd/system/getty@.service" {
		t.Errorf("ExecStart = %v", got)
	}
}

// What systemd-analyze verify 252 says about the same files.
func TestRefusals(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a.service", "[Service]", "no ExecStart=, ExecStop= or SuccessAction="},
		{"a.service", "[Service]\nExecStop=/bin/true", "would end at once"},
		{"a.service", "[Service]\nType=simple\nExecStop=/bin/true\nRemainAfterExit=yes", "needs ExecStart="},
		{"a.service", "[Service]\nType=oneshot\nExecStop=/bin/true\nRemainAfterExit=yes", ""},
		{"a.service", "[Service]\nExecStop=/bin/true\nRemainAfterExit=yes", ""},
		{"a.service", "[Unit]\nSuccessAction=reboot\n[Service]\nType=oneshot", ""},
		{"a.service", "[Service]\nExecStart=/bin/true\nExecStart=/bin/true", "exactly one ExecStart="},
		{"a.service", "[Service]\nExecStart=/bin/true ; /bin/true", "exactly one ExecStart="},
		{"a.service", "[Service]\nType=oneshot\nExecStart=/bin/true\nExecStart=/bin/true", ""},
		{"a.service", "[Service]\nExecStart=/bin/true \";\" x", ""},
		{"a.service", "[Service]\nType=oneshot\nExecStart=/bin/true\nRestart=always", "not allowed"},
		{"a.service", "[Service]\nType=oneshot\nExecStart=/bin/true\nRestart=on-failure", ""},
		{"a.service", "[Service]\nType=oneshot\nExecStart=/bin/true\nExitType=cgroup", "not allowed"},
		{"a.service", "[Service]\nType=forking\nExecStart=/bin/true\nExitType=cgroup", ""},
		{"a.service", "[Service]\nType=dbus\nExecStart=/bin/true", "bus name"},
		{"a.service", "[Service]\nType=target\nExecStart=/bin/true", "no services of type target"},
		{"a.service", "[Service]\nExecStart=/bin/true 'open", "never closed"},
		{"a.service", "[Service]\nExecStart=bin/true", "relative path"},
		{"a.service", "[Service]\nExecStart=/bin/true\nExecStop=+!/x", "relative path"},
		{"a.socket", "[Socket]", "listens on nothing"},
		{"a.socket", "[Socket]\nListenFIFO=/run/x\nAccept=yes", "no connections to accept"},
		{"a.socket", "[Socket]\nListenStream=/run/x\nAccept=yes\nService=x.service", "cannot be set together"},
		{"a.socket", "[Socket]\nListenStream=/run/x\nAccept=yes\nMaxConnections=0", "lets no connection in"},
		{"a.socket", "[Socket]\nListenStream=22", ""},
		{"a.timer", "[Timer]", "never elapses"},
		{"a.timer", "[Timer]\nOnClockChange=yes", ""},
		{"a.timer", "[Timer]\nOnCalendar=daily\nOnBootSec=", "never elapses"},
		{"a.path", "[Path]", "watches nothing"},
		{"a.mount", "[Mount]\nWhat=/dev/x\nWhere=/b", "does not match"},
		{"a.mount", "[Mount]\nWhat=/dev/x", ""},
		{"a.mount", "[Mount]\nWhere=/a", "nothing to mount"},
		{"a.automount", "[Automount]", ""},
		{"-.automount", "[Automount]", "cannot be an automount point"},
		{"a.swap", "[Swap]\nWhat=/dev/x", "does not match"},
		{"dev-x.swap", "[Swap]", ""},
		{"a--b.slice", "[Slice]", "no place in the tree"},
		{"a.target", "[Unit]", ""},
	} {
		u, ds := buildUnit(c.name, c.text)
		got := messages(ds)
		if bad := u.Load == BadSetting; bad != (c.want != "") || !strings.Contains(got, c.want) {
			t.Errorf("%s %q: %v, want %q in\n%s", c.name, c.text, u.Load, c.want, got)
		}
	}
}

func TestDerived(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a.service", "[Service]\nBusName=org.x\nExecStart=/bin/x", "service.type = dbus # implied"},
		{"a.service", "[Service]\nExecStop=/bin/x\nRemainAfterExit=yes", "service.type = oneshot # implied"},
		{"a.service", "[Service]\nType=oneshot\nExecStart=/bin/x", "service.timeout-start = infinity # implied"},
		{"a.service", "[Service]\nType=oneshot\nExecStart=/bin/x\nTimeoutStartSec=0", "service.timeout-start = infinity\n"},
		{"a.service", "[Service]\nType=oneshot\nExecStart=/bin/x\nTimeoutSec=7", "service.timeout-start = 7s\nshutdown.stop-timeout = 7s\n"},
		{"a.service", "[Service]\nType=notify\nExecStart=/bin/x", "service.notify-access = main # implied"},
		{"a.service", "[Service]\nWatchdogSec=3\nExecStart=/bin/x", "service.notify-access = main # implied"},
		{"a.service", "[Service]\nDelegate=pids\nExecStart=/bin/x", "service.oom-policy = continue # implied"},
		{"a.service", "[Service]\nDelegate=yes\nOOMPolicy=stop\nExecStart=/bin/x", "service.oom-policy = stop\n"},
		{"a.scope", "[Scope]\nDelegate=yes", "service.oom-policy = continue # implied"},
		{"a.socket", "[Socket]\nListenStream=/x\nAccept=yes", "socket.trigger-limit-burst = 200 # implied"},
		{"home-x.mount", "[Mount]\nWhat=/dev/x", "mount.where = /home/x # implied"},
		{"dev-x.swap", "[Swap]", "mount.what = /dev/x # implied"},
		{"a.service", "[Service]\nExecStart=/bin/x\nStartLimitBurst=9\nOOMPolicy=kill\n[Unit]\nOnFailureIsolate=yes", "dependencies.on-failure-job-mode = isolate\nunit.start-limit-burst = 9\n"},
		{"a.service", "[Service]\nExecStart=/bin/x\nCapabilityBoundingSet=", "sandbox.capability-bounding-set = \n"},
		{"a.service", "[Service]\nExecStart=/bin/x\nBindPaths=/a /b:/c:norbind\nBindReadOnlyPaths=-/d", "sandbox.bind-paths = /a:/a\nsandbox.bind-paths = /b:/c:norbind\nsandbox.bind-read-only-paths = -/d:/d\n"},
		{"a.timer", "[Timer]\nOnCalendar=hourly\nOnBootSec=15min\nOnUnitActiveSec=1d", "timer.on-boot = 15min\ntimer.on-unit-active = 1d\n"},
	} {
		u, ds := buildUnit(c.name, c.text)
		if got := Canonical(u); !strings.Contains(got, c.want) || len(ds) > 0 {
			t.Errorf("%q gives\n%s%swant %q", c.text, got, messages(ds), c.want)
		}
	}
}

func TestLinksAndLoadState(t *testing.T) {
	u, ds := Build(Source{Name: "multi-user.target", HasMain: true, Files: []File{unitFile("m", "[Unit]\nWants=a.service")},
		Links: []Link{{"wants", "b.service", diag.Pos{File: "/etc/m.wants/b.service"}}, {"wants", "a.service", diag.Pos{File: "l"}},
			{"requires", "c.service", diag.Pos{File: "/etc/m.requires/c.service"}}, {"upholds", "no name", diag.Pos{File: "x"}}}})
	if got := Wants.Of(u); !slices.Equal(got, []string{"a.service", "b.service"}) {
		t.Errorf("Wants = %q", got)
	}
	if got := u.Origin(Wants.Setting())[1].String(); got != "/etc/m.wants/b.service" {
		t.Errorf("origin = %s", got)
	}
	if got := Requires.Of(u); !slices.Equal(got, []string{"c.service"}) {
		t.Errorf("Requires = %q", got)
	}
	if len(ds) != 1 || ds[0].Code != "bad-link" {
		t.Errorf("diagnostics: %s", messages(ds))
	}
	for name, want := range map[string]LoadState{"a.service": NotFound, "a.slice": Loaded, "no name": LoadError, "x.scope": NotFound, "init.scope": Loaded} {
		if u, _ := Build(Source{Name: name}); u.Load != want {
			t.Errorf("Build(%q).Load = %v; want %v", name, u.Load, want)
		}
	}
	if u, _ := Build(Source{Name: "-.slice"}); !u.Perpetual {
		t.Error("-.slice is not perpetual")
	}
}

func TestHostileSizes(t *testing.T) {
	long := strings.Repeat("x", maxValue+1)
	u, ds := buildUnit("a.service", "[Service]\nExecStart=/bin/a\n[Unit]\nDescription="+long)
	if len(ds) != 1 || ds[0].Code != "too-long" || Description.IsSet(u) {
		t.Errorf("a long value: %.300s", messages(ds))
	}
	many := strings.Repeat("a.service ", maxValue/10)
	start := time.Now()
	text := "[Service]\nExecStart=/bin/a\n[Unit]"
	for range 30 {
		text += "\nAfter=" + many
	}
	u, ds = buildUnit("a.service", text)
	if len(ds) == 0 || len(After.Of(u)) > maxItems {
		t.Errorf("%d items, %d diagnostics", len(After.Of(u)), len(ds))
	}
	var b strings.Builder
	b.WriteString("[Service]\nExecStart=/bin/a")
	for i := range 200_000 {
		fmt.Fprintf(&b, "\nExecStrat%d=x", i)
	}
	_, ds = buildUnit("a.service", b.String())
	if len(ds) != maxDiags+1 {
		t.Errorf("%d diagnostics", len(ds))
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestManyLinks(t *testing.T) {
	src := Source{Name: "a.target", HasMain: true, Files: []File{unitFile("a", "[Unit]\nWants=z.service")}}
	for i := range 80_000 {
		n := fmt.Sprintf("u%d.service", i)
		src.Links = append(src.Links, Link{"wants", n, diag.Pos{File: "/etc/a.target.wants/" + n}})
	}
	start := time.Now()
	u, ds := Build(src)
	if len(ds) > 0 || len(Wants.Of(u)) != 80_001 {
		t.Fatalf("%d wants, %d diagnostics", len(Wants.Of(u)), len(ds))
	}
	if o := u.Origin(Wants.Setting()); o[0].File != "a" || o[80_000].File != "/etc/a.target.wants/u79999.service" {
		t.Errorf("origins %v … %v", o[0], o[80_000])
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

const smallService = `[Unit]
Description=A small service
After=network.target basic.target
Requires=a.service
[Service]
ExecStart=/usr/bin/thing --flag value
Restart=on-failure
[Install]
WantedBy=multi-user.target`

func TestBuildAllocatesLittle(t *testing.T) {
	f := unitFile("/usr/lib/systemd/system/a.service", smallService)
	src := Source{Name: "a.service", HasMain: true, Files: []File{f}}
	if got := testing.AllocsPerRun(100, func() { Build(src) }); got > 60 {
		t.Errorf("a small unit takes %.0f allocations; want at most 60", got)
	}
}

func BenchmarkBuildSmall(b *testing.B) {
	f := unitFile("/usr/lib/systemd/system/a.service", smallService)
	src := Source{Name: "a.service", HasMain: true, Files: []File{f}}
	b.ReportAllocs()
	for b.Loop() {
		Build(src)
	}
}

// A device has the name of its path, which may have a colon or a sign of equality in it.
func TestDevicesAreKeptApart(t *testing.T) {
	u, ds := buildUnit("a.service", "[Service]\nExecStart=/bin/true\nDeviceAllow=/dev/char/1:3 rwm\nDeviceAllow=/dev/char/1:5 rwm\nDeviceAllow=/dev/char/1:3 r\n"+
		"LoadCredential=a:/x\nLoadCredential=a:/y\n")
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	if got := DeviceAllow.Of(u); !slices.Equal(got, []string{"/dev/char/1:3 r", "/dev/char/1:5 rwm"}) {
		t.Errorf("DeviceAllow is %q", got)
	}
}
