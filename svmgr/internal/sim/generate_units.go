package sim

import (
	"fmt"
	"strconv"
)

func (g *generator) maybe(s *Spec, percent int, section, key string, values ...string) {
	if g.in(percent) {
		s.add(section, key, pick(g.dice, values...))
	}
}

// common are the [Unit] settings that fit all types.
func (g *generator) common(s *Spec) {
	g.maybe(s, 60, "Unit", "DefaultDependencies", "no")
	if g.tame {
		return
	}
	g.maybe(s, 5, "Unit", "StopWhenUnneeded", "yes")
	g.maybe(s, 3, "Unit", "RefuseManualStart", "yes")
	g.maybe(s, 3, "Unit", "RefuseManualStop", "yes")
	g.maybe(s, 4, "Unit", "IgnoreOnIsolate", "yes")
	g.maybe(s, 6, "Unit", "JobTimeoutSec", "1s", "10s", "40s")
	g.maybe(s, 3, "Unit", "JobRunningTimeoutSec", "2s", "15s")
	g.maybe(s, 2, "Unit", "CollectMode", "inactive-or-failed")
	g.maybe(s, 3, "Unit", "OnFailureJobMode", "replace", "fail", "isolate", "replace-irreversibly")
	g.maybe(s, 8, "Unit", "ConditionPathExists", "/a", "!/b")
	g.maybe(s, 3, "Unit", "ConditionKernelCommandLine", "|x", "|!y")
	g.maybe(s, 3, "Unit", "AssertPathExists", "/c", "!/d")
	g.maybe(s, 2, "Unit", "SurviveFinalKillSignal", "yes")
	if g.in(3) {
		s.add("Unit", pick(g.dice, "FailureAction", "SuccessAction", "StartLimitAction", "JobTimeoutAction"),
			pick(g.dice, "reboot", "poweroff-force", "exit"))
	}
	if g.in(15) {
		s.add("Unit", "StartLimitIntervalSec", pick(g.dice, "0", "10s", "60s"))
		s.add("Unit", "StartLimitBurst", pick(g.dice, "1", "2", "5"))
	}
}

var serviceTypes = []string{"simple", "simple", "exec", "exec", "forking", "oneshot", "oneshot", "notify",
	"notify", "notify-reload", "dbus", "idle"}

func (g *generator) service(name string) *Spec {
	s := &Spec{Name: name}
	g.common(s)
	typ := pick(g.dice, serviceTypes...)
	s.add("Service", "Type", typ)
	s.add("Service", "ExecStart", "/bin/main")
	if typ == "oneshot" {
		for range g.IntN(3) {
			s.add("Service", "ExecStart", pick(g.dice, "/bin/more", "-/bin/more"))
		}
		g.maybe(s, 50, "Service", "RemainAfterExit", "yes")
	} else {
		g.maybe(s, 6, "Service", "RemainAfterExit", "yes")
	}
	if typ == "dbus" {
		s.add("Service", "BusName", "org.sim."+busWord(name))
	}
	if typ == "forking" {
		g.maybe(s, 60, "Service", "PIDFile", "/run/"+name+".pid")
		g.maybe(s, 20, "Service", "GuessMainPID", "no")
	}
	g.maybe(s, 8, "Service", "ExecCondition", "/bin/cond")
	g.maybe(s, 20, "Service", "ExecStartPre", "/bin/pre", "-/bin/pre")
	g.maybe(s, 15, "Service", "ExecStartPost", "/bin/post", "-/bin/post")
	g.maybe(s, 30, "Service", "ExecReload", "/bin/reload")
	g.maybe(s, 20, "Service", "ExecStop", "/bin/stop")
	g.maybe(s, 15, "Service", "ExecStopPost", "/bin/stop-post")
	restarts := []string{"no", "always", "on-failure", "on-abnormal", "on-abort", "on-success", "on-watchdog"}
	if typ == "oneshot" {
		restarts = []string{"no", "on-failure", "on-abnormal", "on-abort", "on-watchdog"}
	}
	g.maybe(s, 60, "Service", "Restart", restarts...)
	g.maybe(s, 50, "Service", "RestartSec", "0", "100ms", "1s", "5s")
	if g.in(10) {
		s.add("Service", "RestartSteps", pick(g.dice, "1", "3"))
		s.add("Service", "RestartMaxDelaySec", pick(g.dice, "2s", "20s"))
	}
	g.maybe(s, 5, "Service", "RestartMode", "direct")
	g.maybe(s, 50, "Service", "TimeoutStartSec", "500ms", "3s", "30s", "infinity")
	g.maybe(s, 50, "Service", "TimeoutStopSec", "500ms", "3s", "20s")
	g.maybe(s, 6, "Service", "TimeoutAbortSec", "1s", "4s")
	g.maybe(s, 5, "Service", "TimeoutStartFailureMode", "abort", "kill")
	g.maybe(s, 5, "Service", "RuntimeMaxSec", "5s", "60s")
	g.maybe(s, 12, "Service", "WatchdogSec", "1s", "5s")
	g.maybe(s, 25, "Service", "NotifyAccess", "all", "main", "exec", "none")
	g.maybe(s, 20, "Service", "KillMode", "mixed", "process", "control-group")
	g.maybe(s, 15, "Service", "KillSignal", "SIGINT", "SIGTERM", "SIGHUP")
	g.maybe(s, 5, "Service", "FinalKillSignal", "SIGKILL")
	g.maybe(s, 10, "Service", "SendSIGHUP", "yes")
	g.maybe(s, 10, "Service", "FileDescriptorStoreMax", "2", "8")
	g.maybe(s, 5, "Service", "FileDescriptorStorePreserve", "yes", "restart")
	g.maybe(s, 10, "Service", "SuccessExitStatus", "1", "SIGKILL", "2 3")
	g.maybe(s, 6, "Service", "RestartPreventExitStatus", "2", "SIGSEGV")
	g.maybe(s, 6, "Service", "RestartForceExitStatus", "1", "SIGABRT")
	g.maybe(s, 8, "Service", "OOMPolicy", "continue", "stop", "kill")
	if typ != "oneshot" {
		g.maybe(s, 5, "Service", "ExitType", "cgroup")
	}
	if !g.tame {
		g.maybe(s, 3, "Service", "SendSIGKILL", "no")
		g.maybe(s, 2, "Service", "KillMode", "none")
	}
	return s
}

func (g *generator) nativeService(name string) *Spec {
	s := &Spec{Name: name, Native: true}
	bare := name[:len(name)-len(".service")]
	s.add("service", "name", `"`+bare+`"`)
	s.add("service", "exec", `["/bin/main"]`)
	g.maybe(s, 40, "service", "type", `"simple"`, `"oneshot"`, `"notify"`, `"forking"`)
	if len(g.sups) > 0 && g.in(75) {
		s.add("service", "supervisor", `"`+pick(g.dice, g.sups...).Name+`"`)
	}
	g.maybe(s, 60, "restart", "policy", `"permanent"`, `"transient"`, `"temporary"`)
	g.maybe(s, 60, "restart", "delay", `"1s"`, `"0"`, `"3s"`)
	if g.in(50) {
		s.add("restart", "max-restarts", pick(g.dice, "0", "1", "2", "5"))
		s.add("restart", "max-restart-window", pick(g.dice, `"10s"`, `"60s"`))
	}
	if g.in(25) {
		s.add("restart", "on-exhausted", pick(g.dice, `"fail"`, `"dormant"`, `"escalate"`, `"reboot"`))
		s.add("restart", "dormant-delay", `"20s"`)
		g.maybe(s, 30, "restart", "give-up", "false")
	}
	g.maybe(s, 15, "restart", "delay-max", `"4s"`, `"0"`)
	g.maybe(s, 15, "restart", "stable-after", `"1s"`, `"30s"`)
	g.maybe(s, 12, "restart", "last-chance", `["/bin/last"]`)
	g.maybe(s, 8, "restart", "min-available-memory", `"8M"`)
	g.maybe(s, 10, "probe", "checks", `["all"]`, `["binary", "memory"]`, `["dependencies"]`)
	g.maybe(s, 5, "service", "protected", "true")
	g.maybe(s, 5, "service", "disabled", "true")
	g.maybe(s, 10, "service", "start", `"manual"`, `"ignore"`)
	if g.in(15) {
		s.add("health", "type", pick(g.dice, `"tcp"`, `"exec"`))
		s.add("health", "endpoint", `"localhost:80"`)
		s.add("health", "exec", `["/bin/health"]`)
		s.add("health", "interval", pick(g.dice, `"1s"`, `"3s"`))
		s.add("health", "timeout", `"500ms"`)
		s.add("health", "retries", pick(g.dice, "1", "3"))
		g.maybe(s, 60, "health", "on-unhealthy", `"restart"`, `"log"`, `"fail"`)
	}
	switch r := g.IntN(10); {
	case r < 2:
		s.add("readiness", "type", `"notify"`)
	case r < 3:
		s.add("readiness", "type", `"tcp-port"`)
		s.add("readiness", "port", "80")
	case r < 4:
		s.add("readiness", "type", `"exec"`)
		s.add("readiness", "check-exec", `["/bin/check"]`)
	case r < 5:
		s.add("readiness", "type", `"fd"`)
	}
	if s.Has("port") || s.Has("check-exec") || g.in(20) {
		s.add("readiness", "timeout", pick(g.dice, `"2s"`, `"10s"`))
	}
	g.maybe(s, 30, "shutdown", "stop-signal", `"SIGTERM"`, `"SIGINT"`)
	g.maybe(s, 30, "shutdown", "stop-timeout", `"1s"`, `"5s"`)
	g.maybe(s, 10, "shutdown", "stop-exec", `["/bin/stop"]`)
	if g.in(15) {
		s.add("boot", "success", "true")
		g.maybe(s, 60, "boot", "grace", `"0"`, `"1s"`, `"5s"`)
	}
	return s
}

// broken is a service that loads with an error and cannot be started.
func (g *generator) broken(name string) *Spec {
	s := &Spec{Name: name}
	s.add("Service", "Type", "simple")
	return s
}

func (g *generator) target(name string) *Spec {
	s := &Spec{Name: name}
	g.common(s)
	g.maybe(s, 30, "Unit", "AllowIsolate", "yes")
	return s
}

// served gives a trigger the service that it starts: a new one, or an old one.
func (g *generator) served(bare string) string {
	for range 3 {
		if len(g.units) > 0 && g.in(50) {
			if u := pick(g.dice, g.units...); u.suffix() == "service" {
				return u.Name
			}
		}
	}
	g.put(g.service(bare + ".service"))
	return bare + ".service"
}

func (g *generator) socket(i int) {
	bare := "k" + strconv.Itoa(i)
	s := &Spec{Name: bare + ".socket"}
	g.common(s)
	s.add("Socket", "ListenStream", "/run/"+bare)
	if g.in(25) {
		s.add("Socket", "Accept", "yes")
		g.maybe(s, 50, "Socket", "MaxConnections", "1", "2")
		g.maybe(s, 20, "Socket", "MaxConnectionsPerSource", "1")
		for n := range 3 {
			g.extra = append(g.extra, g.service(fmt.Sprintf("%s@%d.service", bare, n)))
		}
	} else {
		g.maybe(s, 30, "Socket", "ListenDatagram", "/run/"+bare+".dgram")
		if svc := g.served(bare); svc != bare+".service" {
			s.add("Socket", "Service", svc)
		}
	}
	g.maybe(s, 10, "Socket", "ExecStartPre", "/bin/pre")
	g.maybe(s, 10, "Socket", "ExecStartPost", "/bin/post")
	g.maybe(s, 10, "Socket", "ExecStopPre", "/bin/stop-pre")
	g.maybe(s, 10, "Socket", "ExecStopPost", "/bin/stop-post")
	g.maybe(s, 30, "Socket", "TimeoutSec", "1s", "10s")
	g.maybe(s, 20, "Socket", "RemoveOnStop", "yes")
	g.maybe(s, 10, "Socket", "FlushPending", "yes")
	if g.in(15) {
		s.add("Socket", "TriggerLimitIntervalSec", pick(g.dice, "2s", "20s"))
		s.add("Socket", "TriggerLimitBurst", pick(g.dice, "2", "4"))
	}
	g.put(s)
}

func (g *generator) timer(i int) {
	bare := "c" + strconv.Itoa(i)
	s := &Spec{Name: bare + ".timer"}
	g.common(s)
	switch g.IntN(5) {
	case 0:
		s.add("Timer", "OnActiveSec", pick(g.dice, "1s", "30s"))
	case 1:
		s.add("Timer", "OnBootSec", pick(g.dice, "5s", "60s"))
	case 2:
		s.add("Timer", "OnActiveSec", "2s")
		s.add("Timer", "OnUnitActiveSec", pick(g.dice, "10s", "45s"))
	case 3:
		s.add("Timer", "OnUnitInactiveSec", pick(g.dice, "7s", "20s"))
		s.add("Timer", "OnStartupSec", "3s")
	case 4:
		s.add("Timer", "OnCalendar", pick(g.dice, "*:*:0/20", "*:0/5", "hourly", "2026-01-01 00:01:00"))
		g.maybe(s, 50, "Timer", "Persistent", "yes")
	}
	g.maybe(s, 20, "Timer", "RandomizedDelaySec", "1s", "10s")
	g.maybe(s, 20, "Timer", "AccuracySec", "1s", "1us")
	g.maybe(s, 20, "Timer", "RemainAfterElapse", "no")
	if svc := g.served(bare); svc != bare+".service" {
		s.add("Timer", "Unit", svc)
	}
	g.put(s)
}

func (g *generator) path(i int) {
	bare := "p" + strconv.Itoa(i)
	s := &Spec{Name: bare + ".path"}
	g.common(s)
	s.add("Path", pick(g.dice, "PathExists", "PathChanged", "PathModified", "DirectoryNotEmpty"), "/watch/"+bare)
	g.maybe(s, 30, "Path", "PathChanged", "/watch2/"+bare)
	if g.in(15) {
		s.add("Path", "TriggerLimitIntervalSec", "10s")
		s.add("Path", "TriggerLimitBurst", "3")
	}
	if svc := g.served(bare); svc != bare+".service" {
		s.add("Path", "Unit", svc)
	}
	g.put(s)
}

func (g *generator) mount(i int) {
	bare := "m" + strconv.Itoa(i)
	s := &Spec{Name: bare + ".mount"}
	g.common(s)
	what := "tmpfs"
	if g.in(30) {
		what = "/dev/d" + strconv.Itoa(g.IntN(max(i, 1)))
	}
	s.add("Mount", "What", what)
	s.add("Mount", "Where", "/"+bare)
	g.maybe(s, 40, "Mount", "TimeoutSec", "1s", "10s")
	g.maybe(s, 10, "Mount", "LazyUnmount", "yes")
	g.maybe(s, 10, "Mount", "ForceUnmount", "yes")
	g.put(s)
	if g.in(20) {
		n := &Spec{Name: bare + "-sub.mount"}
		n.add("Mount", "What", "tmpfs")
		n.add("Mount", "Where", "/"+bare+"/sub")
		g.put(n)
	}
}

func (g *generator) automount(i int) {
	bare := "a" + strconv.Itoa(i)
	m := &Spec{Name: bare + ".mount"}
	g.common(m)
	m.add("Mount", "What", "tmpfs")
	m.add("Mount", "Where", "/"+bare)
	g.put(m)
	a := &Spec{Name: bare + ".automount"}
	g.common(a)
	a.add("Automount", "Where", "/"+bare)
	g.maybe(a, 40, "Automount", "TimeoutIdleSec", "5s", "30s")
	g.put(a)
}

func (g *generator) swap(i int) {
	bare := "sw" + strconv.Itoa(i)
	s := &Spec{Name: "dev-" + bare + ".swap"}
	g.common(s)
	s.add("Swap", "What", "/dev/"+bare)
	g.maybe(s, 40, "Swap", "TimeoutSec", "1s", "10s")
	g.put(s)
}

// busWord makes a bus name's last element out of a unit name.
func busWord(name string) string {
	out := []byte("u")
	for i := 0; i < len(name) && name[i] != '.'; i++ {
		if c := name[i]; c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			out = append(out, c)
		}
	}
	return string(out)
}
