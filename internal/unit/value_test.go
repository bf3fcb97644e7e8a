package unit

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// parseAs reads text as a unit file's value of the setting and writes it
// again; a refused value gives "!" and the first complaint.
func parseAs(s *Setting, text string) string {
	c := &ctx{s: s, text: text, f: &Fragment{Text: text}}
	v, ok := kinds[s.Kind].parse(c, text)
	if !ok || c.err != "" {
		return "! " + c.err
	}
	return strings.Join(Texts(s, v), " | ")
}

func TestValueGrammar(t *testing.T) {
	for _, c := range []struct {
		s          *Setting
		text, want string
	}{
		{StopWhenUnneeded.s, "yes", "yes"}, {StopWhenUnneeded.s, "TRUE", "yes"}, {StopWhenUnneeded.s, "off", "no"},
		{StopWhenUnneeded.s, "0", "no"}, {StopWhenUnneeded.s, "maybe", "! not a boolean"}, {StopWhenUnneeded.s, "2", "! not a boolean"},

		{RestartSec.s, "5", "5s"}, {RestartSec.s, "1.5", "1.500000s"}, {RestartSec.s, "1min 30s", "1min 30s"}, {RestartSec.s, "500ms", "500ms"},
		{RestartSec.s, "infinity", "infinity"}, {RestartSec.s, "-1", "! not a time span: negative"}, {RestartSec.s, "5 parsecs", `! not a time span: unknown unit "parsecs"`},
		{TimeoutStartSec.s, "0", "infinity"}, {TimerSlackNSec.s, "50", "50"}, {TimerSlackNSec.s, "1us", "1000"},

		{MemoryMax.s, "512M", "512M"}, {MemoryMax.s, "1024", "1K"}, {MemoryMax.s, "1.5G", "1536M"}, {MemoryMax.s, "2g", "2G"}, {MemoryMax.s, "infinity", "infinity"},
		{MemoryMax.s, "50%", "50%"}, {MemoryMax.s, "12.5%", "12.5%"}, {MemoryMax.s, "101%", "! not a percentage"}, {MemoryMax.s, "max", "! not a size"},
		{MemoryMax.s, "16E", "! not a size"}, {MemoryMax.s, "15E", "15E"}, {MemoryMax.s, "-1", "! not a size"}, {MemoryMax.s, "1KB", "! not a size"}, {MemoryMax.s, "", "! not a size"},
		{CPUQuota.s, "20%", "20%"}, {CPUQuota.s, "250.25%", "250.25%"}, {CPUQuota.s, "20", "! not a percentage"},
		{CPUWeight.s, "idle", "idle"}, {CPUWeight.s, "10000", "10000"}, {CPUWeight.s, "0", "! not a weight"}, {IOWeight.s, "idle", "! not a weight"},

		{UMask.s, "022", "0022"}, {UMask.s, "0o27", "0027"}, {UMask.s, "7777", "7777"}, {UMask.s, "10000", "! not a file mode"}, {UMask.s, "8", "! not a file mode"},
		{Nice.s, "-20", "-20"}, {Nice.s, "+5", "5"}, {Nice.s, "0x10", "16"}, {Nice.s, "010", "10"}, {Nice.s, "5x", "! not a whole number"},
		{Nice.s, "99999999999999999999", "! the number is too large"},
		{SyslogLevel.s, "err", "err"}, {SyslogLevel.s, "7", "debug"}, {SyslogFacility.s, "local0", "local0"}, {SyslogLevel.s, "loud", "! not a whole number"},

		{KillSignal.s, "SIGTERM", "SIGTERM"}, {KillSignal.s, "term", "SIGTERM"}, {KillSignal.s, "9", "SIGKILL"}, {KillSignal.s, "RTMIN+3", "SIGRTMIN+3"},
		{KillSignal.s, "SIGRTMAX", "SIGRTMAX"}, {KillSignal.s, "SIGRTMAX-30", "SIGRTMIN"}, {KillSignal.s, "RTMIN+31", "! not a signal"}, {KillSignal.s, "0", "! not a signal"},
		{KillSignal.s, "65", "! not a signal"}, {KillSignal.s, "SigTerm", "! not a signal"}, {KillSignal.s, "SIGFOO", "! not a signal"},

		{SuccessExitStatus.s, "75 TEMPFAIL SIGUSR1 250 USR1", "75 | 250 | SIGUSR1"}, {SuccessExitStatus.s, "256", `! "256" is neither an exit status nor a signal`},
		{SuccessExitStatus.s, "EXIT_FAILURE SUCCESS", "0 | 1"},

		{LimitNOFILE.s, "1024", "1024"}, {LimitNOFILE.s, "1024:infinity", "1024:infinity"}, {LimitNOFILE.s, "9:8", "! the soft limit is above the hard one"},
		{LimitCPU.s, "1min", "60"}, {LimitCPU.s, "100ms", "1"}, {LimitRTTIME.s, "5ms", "5000"}, {LimitNICE.s, "-5", "25"}, {LimitNICE.s, "7", "7"}, {LimitNICE.s, "-21", "! not a resource limit"},
		{LimitAS.s, "64M", "64M"}, {LimitNPROC.s, "64M", "! not a resource limit"},

		{ProtectSystem.s, "full", "full"}, {ProtectSystem.s, "true", "yes"}, {ProtectSystem.s, "0", "no"}, {ProtectSystem.s, "most", "! not one of the known words"},
		{Restart.s, "permanent", "always"}, {Restart.s, "On-Failure", "! not one of the known words"}, {OnFailureJobMode.s, "yes", "isolate"},

		{WorkingDirectory.s, "~", "~"}, {WorkingDirectory.s, "-~", "-~"}, {WorkingDirectory.s, "-/srv//x/./y/", "-/srv/x/y"}, {WorkingDirectory.s, "srv", "! not an absolute path"},
		{WorkingDirectory.s, "/a/../b", `! ".." in a path`}, {WorkingDirectory.s, "-", "! the path is empty"}, {PIDFile.s, "x.pid", "x.pid"},
		{ReadWritePaths.s, `/a -/b -+/c// "/d e"`, `/a | -/b | -+/c | "/d e"`}, {ReadWritePaths.s, "a", `! "a": not an absolute path`},

		{After.s, `a.service dev-disk-by\x2dlabel-x.device`, `a.service | dev-disk-by\x2dlabel-x.device`}, {After.s, "foo", `! unit name "foo": byte 3: no type suffix such as .service`},
		{Environment.s, `A=1 "B=x y" 'C=''' D=`, `A=1 | "B=x y" | C= | D=`}, {Environment.s, "1A=x", `! "1A" is not the name of a variable`}, {Environment.s, "A", `! "A" has no "="`},
		{Environment.s, `"A=\x41\101\u00e9\t"`, `"A=AAé\t"`},
		{Documentation.s, "man:x(1) https://y", "man:x(1) | https://y"},

		{ListenStream.s, "/run//x", "ListenStream=/run/x"}, {ListenStream.s, "@abc", "ListenStream=@abc"}, {ListenStream.s, "80", "ListenStream=80"}, {ListenStream.s, "127.0.0.1:80", "ListenStream=127.0.0.1:80"},
		{ListenStream.s, "[::1]:80", "ListenStream=[::1]:80"}, {ListenStream.s, "vsock:2:80", "ListenStream=vsock:2:80"}, {ListenStream.s, "0", "! the port must be a number from 1 to 65535"},
		{ListenStream.s, "host:80", "! the host must be an IPv4 address, or an IPv6 address in brackets"}, {ListenStream.s, ":80", "! the host part is broken"},
		{ListenNetlink.s, "kobject-uevent 1", "ListenNetlink=kobject-uevent 1"}, {ListenFIFO.s, "x", "! not an absolute path"},

		{OnCalendar.s, "daily", "daily"}, {OnCalendar.s, "every day", "! "}, {OnBootSec.s, "15min", "OnBootSec=15min"},
		{PathExists.s, "/x", "PathExists=/x"}, {PathExists.s, "x", "! not an absolute path"},
		{BindPaths.s, `/a:/b\:c /d:/e:rbind`, `BindPaths="/a:/b\\:c" | BindPaths=/d:/e`}, {BindPaths.s, "/a:/b:x", `! unknown option "x"`}, {BindPaths.s, "a", `! "a": not an absolute path`},

		{byDirective[directive{InUnit, "ConditionPathExists"}], "|!/x//y", "PathExists=|!/x/y"},
		{byDirective[directive{InUnit, "ConditionPathExists"}], "x", "! not an absolute path"},
		{byDirective[directive{InUnit, "ConditionFirstBoot"}], "!true", "FirstBoot=!yes"},
		{byDirective[directive{InUnit, "AssertVirtualization"}], "| !container", "Virtualization=|!container"},
		{byDirective[directive{InUnit, "ConditionKernelCommandLine"}], "a=b c", "KernelCommandLine=a=b c"},
	} {
		if got := parseAs(c.s, c.text); got != c.want && !(c.want == "! " && strings.HasPrefix(got, c.want)) {
			t.Errorf("%s=%s gives %q; want %q", c.s.Name, c.text, got, c.want)
		}
	}
}

func TestGoTypes(t *testing.T) {
	u, _ := buildUnit("a.service", "[Service]\nExecStart=/a\nMemoryMax=10%\nLimitNOFILE=infinity\nRuntimeMaxSec=infinity\nWatchdogSec=3\nSuccessExitStatus=3 SIGHUP\nKillSignal=RTMIN+3")
	if got := MemoryMax.Of(u); got != (Quantity{N: 100, Permille: true}) {
		t.Errorf("MemoryMax = %+v", got)
	}
	if got := LimitNOFILE.Of(u); got.Soft != math.MaxUint64 || got.Hard != math.MaxUint64 {
		t.Errorf("LimitNOFILE = %+v", got)
	}
	if RuntimeMaxSec.Of(u) != Forever || WatchdogSec.Of(u) != 3*time.Second || KillSignal.Of(u) != 37 {
		t.Error("durations and signals")
	}
	if e := SuccessExitStatus.Of(u); !e.HasCode(3) || !e.HasSignal(1) || e.HasCode(1) || e.HasSignal(2) {
		t.Errorf("SuccessExitStatus = %+v", e)
	}
}

func TestCommandLines(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`/bin/echo one "two two"`, `/bin/echo | one | two two`},
		{`/no/x"a b"y`, "/no/xa by"}, // recorded from systemd 252
		{`"/no/x"y z`, "/no/xy | z"},
		{`/no/\x41b`, "/no/Ab"},
		{`echo / >/dev/null & \; ls`, "echo | / | >/dev/null | & | ; | ls"},
		{`/bin/a ";" b`, "/bin/a | ; | b"},
		{`-@/bin/a argv0 b`, "-/bin/a: argv0 | b"},
		{`@-:+/bin/a b`, "+-:/bin/a: b"},
		{`!!/bin/a`, "!!/bin/a"},
		{`|/bin/a`, "|/bin/a"},
		{`-"/no/x y"`, "-/no/x y"},
		{`"-/no/x"`, "-/no/x"},
		{`/bin/sh -c 'echo "$A" ${B}'`, `/bin/sh | -c | echo "$A" ${B}`},
		{`/bin/a ; -/bin/b c`, "/bin/a && -/bin/b | c"},
		{`/bin/a ""`, "/bin/a | "},
		{`/usr//bin/./a`, "/usr/bin/a"},
		{`-@/no/x`, `! the prefix "@" needs a second word`},
		{`- /no/x`, "! the program's name is empty"},
		{`/bin/a 'x`, "! the quote ' is never closed"},
		{`foo/bar`, `! "foo/bar" is a relative path`},
		{`+!/no/z`, `! "!/no/z" is a relative path`},
		{`/no/x\qy`, "! control characters and backslashes cannot be part of a program's name"},
		{`/bin/a \x00`, "! an escaped NUL byte cannot be part of a value"},
		{`/bin/a \`, "! a backslash at the end escapes nothing"},
		{`/bin/`, `! "/bin/" is a directory`},
	} {
		x := &ctx{s: ExecStart.s, text: c.text, f: &Fragment{Text: c.text}}
		v, ok := parseExecs(x, c.text)
		got := "! " + x.err
		if ok {
			var cmds []string
			for _, e := range v.([]Exec) {
				s := strings.TrimPrefix(Exec{Path: "P", Argv: []string{"P"}, IgnoreFailure: e.IgnoreFailure, NoEnvExpand: e.NoEnvExpand,
					Shell: e.Shell, Privileged: e.Privileged, NoSetuid: e.NoSetuid, AmbientOnly: e.AmbientOnly}.String(), "")
				s = strings.TrimSuffix(s, "P")
				if len(e.Argv) > 0 && e.Argv[0] == e.Path {
					s += strings.Join(e.Argv, " | ")
				} else {
					s += e.Path + ": " + strings.Join(e.Argv, " | ")
				}
				cmds = append(cmds, s)
			}
			got = strings.Join(cmds, " && ")
		}
		if got != c.want {
			t.Errorf("%s gives %q; want %q", c.text, got, c.want)
		}
	}
}

func TestSignalNames(t *testing.T) {
	for n := int32(1); n <= rtMax; n++ {
		if n == 32 || n == 33 { // taken by the C library
			continue
		}
		if got, ok := ReadSignal(SignalName(n)); !ok || got != n {
			t.Errorf("ReadSignal(SignalName(%d) = %s) = %d, %v", n, SignalName(n), got, ok)
		}
	}
}

func TestExplain(t *testing.T) {
	got, ok := Explain("TimeoutStartSec=")
	want := `TimeoutStartSec=  in [Service]
service.timeout-start  in the native format
  How long the start may take, from the first command to readiness; infinity for oneshots that do not set it.
  Type:     duration
  Default:  1min 30s (native: 30s)
  Also:     readiness.timeout, service.start-timeout
  D-Bus:    TimeoutStartUSec (t)
  Since:    systemd 188
  Source:   systemd.service(5)
  Effect:   the manager decides with it
`
	if !ok || got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for _, k := range []string{"readiness.timeout", "Service.TimeoutStartSec", "[Service] TimeoutStartSec"} {
		if g, ok := Explain(k); !ok || g != want {
			t.Errorf("Explain(%q) differs", k)
		}
	}
	if g, ok := Explain("Type"); !ok || !strings.Contains(g, "[Mount]") || !strings.Contains(g, "[Service]") {
		t.Errorf("Explain(Type) = %s", g)
	}
	if _, ok := Explain("Frobnicate"); ok {
		t.Error("Explain(Frobnicate) found something")
	}
	if n := DirectiveNames("Path"); !slices.Contains(n, "PathExists") || slices.Contains(n, "Type") {
		t.Errorf("DirectiveNames(Path) = %q", n)
	}
}
