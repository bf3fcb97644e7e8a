package unit

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dynamod/internal/diag"
)

// tomlFile makes fragments of simple TOML lines, as the native loader would:
// [table], key = "s" | 1 | 1.5 | true | ["a", "b"] | {a = "x", b = "y"}.
func tomlFile(path, text string) File {
	f := File{Path: path}
	table := ""
	for i, l := range strings.Split(text, "\n") {
		l = strings.TrimSpace(l)
		if l == "" {
			continue
		}
		if l[0] == '[' {
			table = strings.Trim(l, "[]")
			continue
		}
		k, v, _ := strings.Cut(l, " = ")
		fr := Fragment{Section: table, Key: k, Pos: diag.Pos{File: path, Line: int32(i + 1), Col: 1}, ValueCol: int32(len(k) + 4)}
		unquote := func(s string) string { return strings.Trim(strings.TrimSpace(s), `"`) }
		switch v[0] {
		case '"':
			fr.Kind, fr.Text = StringValue, unquote(v)
		case '[', '{':
			fr.Kind, fr.Items = ArrayValue, []string{}
			if v[0] == '{' {
				fr.Kind = TableValue
			}
			for it := range strings.SplitSeq(v[1:len(v)-1], ", ") {
				if it == "" {
					continue
				}
				if a, b, ok := strings.Cut(it, " = "); ok && fr.Kind == TableValue {
					it = a + "=" + unquote(b)
				}
				fr.Items = append(fr.Items, unquote(it))
			}
		case 't', 'f':
			fr.Kind, fr.Text = BoolValue, v
		default:
			fr.Kind, fr.Text = IntValue, v
			if strings.Contains(v, ".") {
				fr.Kind = FloatValue
			}
		}
		f.Fragments = append(f.Fragments, fr)
	}
	return f
}

func buildNative(name, text string) (*Unit, []diag.Diag) {
	return Build(Source{Name: name, Format: Native, HasMain: true, Files: []File{tomlFile("/etc/dynamod/services/a.toml", text)}})
}

// Every key of the original's service files (dynamod contract 1.6), and what
// it means here.
func TestOriginalKeys(t *testing.T) {
	const base = "[service]\nname = \"a\"\nexec = [\"/bin/a\", \"%F $X\", \"-n\"]\n"
	for _, c := range []struct{ key, text, want string }{
		{"service.name", "", "service.name = a\n"},
		{"service.exec", "", "service.exec = :/bin/a \"%%F $X\" -n\n"},
		{"service.supervisor", "[service]\nsupervisor = \"desktop\"", "service.supervisor = desktop\n"},
		{"service.type", "[service]\ntype = \"simple\"", "service.type = simple\n"},
		{"service.type", "[service]\ntype = \"oneshot\"", "service.type = oneshot\n"},
		{"service.type", "[service]\ntype = \"forking\"", "service.type = forking\n"},
		{"service.type", "[service]\ntype = \"notify\"", "readiness.type = notify # implied\n"},
		{"service.workdir", "[service]\nworkdir = \"/srv/\"", "service.workdir = /srv\n"},
		{"service.environment", "[service]\nenvironment = {A = \"1 2\", B = \"$x\"}", "service.environment = \"A=1 2\" B=$x\n"},
		{"service.environment", "[service.environment]\nA = \"1\"", "service.environment = A=1\n"},
		{"service.environment-file", "[service]\nenvironment-file = \"/etc/default/a\"", "service.environment-file = /etc/default/a\n"},
		{"service.user.user", "[service.user]\nuser = \"www\"", "service.user.user = www\n"},
		{"service.user.user", "[service.user]\nuser = 33", "service.user.user = 33\n"},
		{"service.user.group", "[service.user]\ngroup = \"www\"", "service.user.group = www\n"},
		{"service.user.supplementary-groups", "[service.user]\nsupplementary-groups = [\"a\", \"b\"]", "service.user.supplementary-groups = a b\n"},
		{"restart.policy", "[restart]\npolicy = \"permanent\"", "restart.policy = always\n"},
		{"restart.policy", "[restart]\npolicy = \"transient\"", "restart.policy = on-failure\n"},
		{"restart.policy", "[restart]\npolicy = \"temporary\"", "restart.policy = no\n"},
		{"restart.delay", "[restart]\ndelay = \"5m\"", "restart.delay = 5min\n"},
		{"restart.delay", "[restart]\ndelay = 7", "restart.delay = 7s\n"},
		{"restart.max-restarts", "[restart]\nmax-restarts = 3", "restart.max-restarts = 3\n"},
		{"restart.max-restart-window", "[restart]\nmax-restart-window = \"1h\"", "restart.max-restart-window = 1h\n"},
		{"readiness.type", "[readiness]\ntype = \"none\"", "readiness.type = none\n"},
		{"readiness.type", "[readiness]\ntype = \"notify\"", "readiness.type = notify\n"},
		{"readiness.type", "[readiness]\ntype = \"fd\"", "readiness.type = fd\n"},
		{"readiness.port", "[readiness]\ntype = \"tcp-port\"\nport = 80", "readiness.port = 80\n"},
		{"readiness.check-exec", "[readiness]\ntype = \"exec\"\ncheck-exec = [\"/bin/c\", \"a b\"]", "readiness.check-exec = :/bin/c \"a b\"\n"},
		{"readiness.timeout", "[readiness]\ntimeout = \"45s\"", "service.timeout-start = 45s\n"},
		{"dependencies.requires", "[dependencies]\nrequires = [\"b\", \"c.target\"]", "dependencies.requires = b.service c.target\n"},
		{"dependencies.requires", "[dependencies]\nrequires = [\"b\"]\nwants = [\"c\"]\nafter = [\"d\"]", "dependencies.after = d.service b.service c.service\n"},
		{"dependencies.wants", "[dependencies]\nwants = [\"b\"]", "dependencies.wants = b.service\n"},
		{"dependencies.after", "[dependencies]\nafter = [\"b\"]", "dependencies.after = b.service\n"},
		{"dependencies.before", "[dependencies]\nbefore = [\"b\"]\nwants = [\"b\"]", "dependencies.before = b.service\n"},
		{"cgroup.memory-max", "[cgroup]\nmemory-max = \"512M\"", "cgroup.memory-max = 512M\n"},
		{"cgroup.memory-max", "[cgroup]\nmemory-max = \"max\"", "cgroup.memory-max = infinity\n"},
		{"cgroup.memory-high", "[cgroup]\nmemory-high = \"1024k\"", "cgroup.memory-high = 1M\n"},
		{"cgroup.cpu-weight", "[cgroup]\ncpu-weight = 200", "cgroup.cpu-weight = 200\n"},
		{"cgroup.cpu-max", "[cgroup]\ncpu-max = \"50000 100000\"", "cgroup.cpu-max = 50000 100000\n"},
		{"cgroup.pids-max", "[cgroup]\npids-max = 64", "cgroup.pids-max = 64\n"},
		{"cgroup.io-weight", "[cgroup]\nio-weight = 50", "cgroup.io-weight = 50\n"},
		{"namespace.enable", "[namespace]\nenable = [\"pid\", \"mount\", \"network\", \"uts\", \"ipc\", \"user\", \"cgroup\", \"mnt\"]",
			"namespace.enable = pid mnt net uts ipc user cgroup mnt\n"},
		{"namespace.private-tmp", "[namespace]\nprivate-tmp = true", "sandbox.private-tmp = yes\n"},
		{"namespace.protect-system", "[namespace]\nprotect-system = \"strict\"", "sandbox.protect-system = strict\n"},
		{"namespace.bind-mounts", "[namespace]\nbind-mounts = [\"source=/a;target=/b\", \"source=/c;target=/d;writable=true\"]",
			"sandbox.bind-read-only-paths = /a:/b\nsandbox.bind-paths = /c:/d\n"},
		{"shutdown.stop-signal", "[shutdown]\nstop-signal = \"SIGUSR1\"", "shutdown.stop-signal = SIGUSR1\n"},
		{"shutdown.stop-signal", "[shutdown]\nstop-signal = \"sigint\"", "shutdown.stop-signal = SIGINT\n"},
		{"shutdown.stop-timeout", "[shutdown]\nstop-timeout = \"3s\"", "shutdown.stop-timeout = 3s\n"},
		{"shutdown.stop-exec", "[shutdown]\nstop-exec = [\"/bin/stop\"]", "shutdown.stop-exec = :/bin/stop\n"},
	} {
		if _, ok := LookupNative(c.key); !ok {
			t.Errorf("%s is not in the table", c.key)
		}
		u, ds := buildNative("a.service", base+c.text)
		if got := Canonical(u); !strings.Contains(got, c.want) || len(ds) > 0 {
			t.Errorf("%s: %q gives\n%s%swant %q", c.key, c.text, got, messages(ds), c.want)
		}
	}
}

// The defaults of the original (dynamod contract 1.6), and ours where it had
// none.
func TestNativeDefaults(t *testing.T) {
	u, ds := buildNative("a.service", "[service]\nname = \"a\"\nexec = [\"/bin/a\"]")
	if len(ds) > 0 {
		t.Fatal(messages(ds))
	}
	for _, c := range []struct {
		key  string
		got  any
		want any
	}{
		{"service.supervisor", SupervisedBy.Of(u), "root"},
		{"service.type", ServiceType.Of(u), "simple"},
		{"restart.policy", Restart.Of(u), "always"},
		{"restart.delay", RestartSec.Of(u), time.Second},
		{"restart.max-restarts", MaxRestarts.Of(u), int64(5)},
		{"restart.max-restart-window", MaxRestartWindow.Of(u), time.Minute},
		{"restart.delay-max", RestartDelayMax.Of(u), time.Minute},
		{"readiness.type", ReadinessType.Of(u), "none"},
		{"readiness.timeout", TimeoutStartSec.Of(u), 30 * time.Second},
		{"shutdown.stop-signal", KillSignal.Of(u), int32(15)},
		{"shutdown.stop-timeout", TimeoutStopSec.Of(u), 10 * time.Second},
		{"service.start", StartMode.Of(u), "boot"},
		{"unit.start-limit-interval", StartLimitIntervalSec.Of(u), time.Duration(0)},
		{"remain-after-exit", RemainAfterExit.Of(u), false},
	} {
		if c.got != c.want {
			t.Errorf("%s = %v; want %v", c.key, c.got, c.want)
		}
	}
	u, _ = buildNative("a.service", "[service]\nname = \"a\"\nexec = [\"/bin/a\"]\ntype = \"oneshot\"")
	if !RemainAfterExit.Of(u) || Restart.Of(u) != "no" || TimeoutStartSec.Of(u) != Forever {
		t.Errorf("native oneshot: %s", Canonical(u))
	}
	v, _ := buildUnit("b.service", "[Service]\nExecStart=/bin/a")
	if Restart.Of(v) != "no" || MaxRestarts.Of(v) != 0 || TimeoutStopSec.Of(v) != 90*time.Second ||
		RestartSec.Of(v) != 100*time.Millisecond || StartMode.Of(v) != "manual" || RestartDelayMax.Of(v) != 0 {
		t.Error("unit files have systemd's defaults")
	}
}

func TestNativeOrdering(t *testing.T) {
	u, _ := buildNative("a.service", "[service]\nexec = [\"/bin/a\"]\n[dependencies]\nrequires = [\"b\", \"z\"]\nbefore = [\"z\"]\nbinds-to = [\"c\"]")
	if got := After.Of(u); !slices.Equal(got, []string{"b.service", "c.service"}) {
		t.Errorf("After = %q", got)
	}
	if o := u.Origin(After.Setting()); len(o) != 2 || o[0].Line != 4 || o[1].Line != 6 {
		t.Errorf("origin of the implied order: %v", o)
	}
}

// TestNearestKey: a typo of a key that stands in another table is that key's, and not
// something further away in the same one.
func TestNearestKey(t *testing.T) {
	for in, want := range map[string]string{
		"service.memory-mx":   "did you mean cgroup.memory-max?",
		"service.memory_max":  "did you mean cgroup.memory-max?",
		"service.exc":         "did you mean service.exec?",
		"service.ater":        "did you mean dependencies.after?",
		"cgroup.memory-hihg":  "did you mean cgroup.memory-high?",
		"service.RestartSec":  "the native format spells it restart.delay",
		"servce.exec":         "did you mean service.exec?",
		"service.zzzzzzzzzzz": "",
	} {
		k := splitNative(in)
		if got := suggestNative(k.table, k.key); got != want {
			t.Errorf("%s: %q; want %q", in, got, want)
		}
	}
	for in, want := range map[directive]string{
		{InService, "Afterr"}:    "did you mean After= in [Unit]?",
		{InService, "ExecSart"}:  "did you mean ExecStart=?",
		{InUnit, "Descripton"}:   "did you mean Description=?",
		{InUnit, "MemoryMx"}:     "did you mean MemoryMax= in [Service]?",
		{InService, "Frobnicat"}: "",
	} {
		b := &builder{types: InUnit | InService | InInstall}
		if got := b.suggestDirective(in.in.Names()[0], in.name); got != want {
			t.Errorf("%s: %q; want %q", in.name, got, want)
		}
	}
}

func TestNativeErrors(t *testing.T) {
	u, ds := buildNative("a.service", `[service]
exec = ["/bin/a"]
memory-max = "1G"
workdir = 7
Restart = "no"
[cgroup]
memory-max = true
memory_high = "1G"
cpu-weight = 70000
[restart]
max-restart = 3
delay = "soon"
policy = "allways"
max-restarts = "three"
max-restart-window = ["1m"]
[namespace]
enable = ["mnt", "nett"]
[timer]
on-boot = "5m"
[dependencies]
requires = ["b/c"]
RequiresMountsFor = ["/x"]
[readiness]
type = "tcp-port"`)
	const f = "/etc/dynamod/services/a.toml"
	want := f + `:3:1: warning: unknown key service.memory-max; did you mean cgroup.memory-max? [unknown-key]
` + f + `:4:11: error: service.workdir is a whole number, which this key does not take; write a string with a path [wrong-type]
` + f + `:5:1: warning: unknown key service.Restart; the native format spells it restart.policy [unknown-key]
` + f + `:7:14: error: cgroup.memory-max is a boolean, which this key does not take; write a size such as "512M" [wrong-type]
` + f + `:8:1: warning: unknown key cgroup.memory_high; did you mean cgroup.memory-high? [unknown-key]
` + f + `:9:14: error: cgroup.cpu-weight=70000: not a weight; take a number from 1 to 10000 [bad-value]
` + f + `:11:1: warning: unknown key restart.max-restart; did you mean restart.max-restarts? [unknown-key]
` + f + `:12:9: error: restart.delay=soon: not a time span: expected a number; write it like "500ms", "1min 30s" or "infinity"; a bare number is seconds [bad-value]
` + f + `:13:10: error: restart.policy=allways: not one of the known words; did you mean "always"? It takes: no, on-success, on-failure, on-abnormal, on-watchdog, on-abort, always [bad-value]
` + f + `:14:16: error: restart.max-restarts=three: not a whole number [bad-value]
` + f + `:15:22: error: restart.max-restart-window is an array, which this key does not take; write a duration such as "30s" [wrong-type]
` + f + `:17:1: warning: namespace.enable=mnt nett: "nett" is not one of the known words and is left out; did you mean "net"? It takes: pid, mnt, net, uts, ipc, user, cgroup, time [odd-value]
` + f + `:19:1: warning: timer.on-boot has no meaning in a .service unit and is ignored; it applies to .timer units [wrong-section]
` + f + `:21:1: error: dependencies.requires=b/c: unit name "b/c": byte 3: no type suffix such as .service; write the whole name with its suffix, such as foo.service [bad-value]
` + f + `:22:1: warning: unknown key dependencies.RequiresMountsFor; the native format spells it dependencies.requires-mounts-for [unknown-key]
` + f + `:24:8: error: readiness.type = "tcp-port" needs readiness.port; set readiness.port [bad-setting]
`
	if got := messages(ds); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if u.Load != BadSetting {
		t.Errorf("Load = %v", u.Load)
	}
	if MaxRestarts.Of(u) != 5 {
		t.Errorf("MaxRestarts = %d", MaxRestarts.Of(u))
	}
}

func TestNativeChecks(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"[service]\nname = \"a\"", "has no command"},
		{"[service]\nexec = [\"a/b\"]", "relative path"},
		{"[service]\nexec = [\"/a\"]\n[readiness]\ntype = \"exec\"", "needs readiness.check-exec"},
		{"[service]\nexec = [\"/a\"]\n[readiness]\ntype = \"http\"", "needs readiness.url"},
		{"[service]\nexec = [\"/a\"]\n[readiness]\ntype = \"s6\"\nfd = 4", ""},
		{"[service]\nexec = [\"/a\"]\n[health]\ntype = \"tcp\"", "needs health.endpoint"},
		{"[service]\nexec = [\"/a\"]\n[health]\ntype = \"tcp\"\nendpoint = \"127.0.0.1:1\"\ninterval = \"20s\"", "not less than the restart window"},
		{"[service]\nexec = [\"/a\"]\n[health]\ntype = \"tcp\"\nendpoint = \"127.0.0.1:1\"", ""},
	} {
		u, ds := buildNative("a.service", c.text)
		if got := messages(ds); (u.Load == BadSetting) != (c.want != "") || !strings.Contains(got, c.want) {
			t.Errorf("%q: %v, want %q in %s", c.text, u.Load, c.want, got)
		}
	}
	u, ds := buildNative("g.target", "[service]\nname = \"g\"\ntype = \"target\"\nstart = \"manual\"\n[dependencies]\nrequires = [\"a\"]")
	if u.Load != Loaded || len(ds) > 0 || StartMode.Of(u) != "manual" {
		t.Errorf("a target: %v %s", u.Load, messages(ds))
	}
}

func TestSupervisorFile(t *testing.T) {
	build := func(text string) (*Supervisor, []diag.Diag) {
		return BuildSupervisor(Source{Name: "x", Format: Native, HasMain: true, Files: []File{tomlFile("/etc/dynamod/supervisors/x.toml", text)}})
	}
	s, ds := build("[supervisor]\nname = \"early-boot\"\nparent = \"sys\"\nstrategy = \"one-for-all\"\n[restart]\nmax-restarts = 3\nmax-restart-window = \"1m\"")
	if len(ds) > 0 || s.Name != "early-boot" || s.Parent != "sys" || s.Strategy != OneForAll || s.MaxRestarts != 3 || s.Window != time.Minute {
		t.Errorf("%+v %s", s, messages(ds))
	}
	s, ds = build("[supervisor]\nname = \"d\"")
	if len(ds) > 0 || s.Parent != "root" || s.Strategy != OneForOne || s.MaxRestarts != 10 || s.Window != 300*time.Second {
		t.Errorf("defaults: %+v %s", s, messages(ds))
	}
	s, ds = build("[supervisor]\nname = \"root\"\nstrategy = \"rest-for-one\"")
	if len(ds) > 0 || s.Parent != "" || s.Strategy != RestForOne || s.MaxRestarts != 20 || s.Window != 600*time.Second {
		t.Errorf("root: %+v %s", s, messages(ds))
	}
	s, ds = build("[supervisor]\nstrategy = \"one-for-none\"\n[restart]\npolicy = \"permanent\"")
	if s != nil || len(ds) != 3 {
		t.Errorf("%+v %s", s, messages(ds))
	}
	s, ds = build("[supervisor]\nname = \"a\"\nparent = \"a\"")
	if s == nil || s.Parent != "root" || len(ds) != 1 {
		t.Errorf("own parent: %+v %s", s, fmt.Sprint(ds))
	}
}

// The tables that the original did not have, in the forms a person would try.
func TestNativeTables(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a.timer", "[timer]\non-calendar = [\"daily\", \"Mon 09:00\"]\non-boot = \"5m\"\npersistent = true", "timer.on-calendar = daily\ntimer.on-calendar = Mon 09:00\n"},
		{"a.timer", "[timer]\non-boot = 90\non-unit-active = [\"1h\"]", "timer.on-boot = 1min 30s\ntimer.on-unit-active = 1h\n"},
		{"a.socket", "[socket]\nlisten-stream = 80\nlisten-datagram = [\"/run/x\"]\naccept = false", "socket.listen-stream = 80\nsocket.listen-datagram = /run/x\n"},
		{"a.path", "[path]\nexists = \"/x y\"", "path.exists = /x y\n"},
		{"srv-x.mount", "[mount]\nwhat = \"/dev/x\"\ntype = \"ext4\"", "mount.type = ext4\n"},
		{"a.service", "[service]\nexec = [\"/a\"]\n[conditions]\npath-exists = [\"/a\", \"!/b\"]\nfirst-boot = true", "conditions.path-exists = /a\nconditions.path-exists = !/b\nconditions.first-boot = yes\n"},
		{"a.service", "[service]\nexec = [\"/a\"]\n[install]\nwanted-by = [\"multi-user.target\"]", "install.wanted-by = multi-user.target\n"},
		{"a.service", "[service]\nexec = \"-/bin/a 'b c'\"", "service.exec = -/bin/a \"b c\"\n"},
		{"a.service", "[service]\nexec = [\"/a\"]\n[restart]\nsuccess-exit = [3, \"SIGUSR1\"]\nforce-exit = 7\non-exhausted = \"dormant\"\ngive-up = false", "restart.success-exit = 3 SIGUSR1\n"},
		{"a.service", "[service]\nexec = [\"/a\"]\n[sandbox]\nno-new-privileges = true\nprotect-system = \"full\"\nprivate-tmp = \"disconnected\"", "sandbox.private-tmp = disconnected\n"},
		{"a.service", "[service]\nexec = [\"/a\"]\n[limits]\nnofile = 1024\ncore = \"0:infinity\"", "limits.core = 0:infinity\n"},
		{"a.service", "[service]\nexec = [\"/a\"]\n[watchdog]\ninterval = 2.5", "watchdog.interval = 2.500000s\n"},
		{"x@i.service", "[service]\nexec = [\"/a\", \"%i\"]", "service.exec = :/a i\n"},
	} {
		u, ds := buildNative(c.name, c.text)
		if got := Canonical(u); !strings.Contains(got, c.want) || len(ds) > 0 {
			t.Errorf("%s %q gives\n%s%swant %q", c.name, c.text, got, messages(ds), c.want)
		}
	}
}
