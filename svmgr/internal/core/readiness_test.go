package core

import (
	"testing"
	"time"
)

// The native readiness kinds that the world probes for: dependents wait, and
// the start timeout gives it up with cause readiness-timeout.
func TestReadinessProbed(t *testing.T) {
	for _, kind := range []string{`readiness.type="tcp-port"; readiness.port=80`, `readiness.type="http"; readiness.url="http://localhost/"`,
		`readiness.type="path"; readiness.path="/run/x"`, `readiness.type="pidfile"; service.pid-file="/run/a.pid"`} {
		texts := []string{"a.toml | " + kind + `; readiness.timeout="10s"; restart.policy="no"`, `b.toml | dependencies.requires=["a.service"]; dependencies.after=["a.service"]`}
		h := load(t, texts...)
		h.noExec["a.service"] = true
		j := h.start("b.service")
		want(h, "asked before exec", len(find[Probe](h, 0)), 0)
		h.exec("a.service")
		h.is("a.service", "starting/start", "b.service", "inactive")
		h.tell(ProbeResult{Run: h.probe("a.service", ProbeReady)}) // not yet
		h.is("a.service", "starting/start")
		h.tell(ProbeResult{Run: h.probe("a.service", ProbeReady), OK: true})
		h.is("a.service", "active", "b.service", "active")
		h.wantResult(j, "done")

		h = load(t, texts...)
		j = h.start("b.service")
		m := h.mark()
		h.advance(10 * time.Second)
		h.did(m, "a.service", "TERM CONT")
		want(h, "cancelled", len(find[CancelProbe](h, m)), 1)
		h.exit("a.service", 0)
		h.is("a.service", "failed", "b.service", "blocked")
		h.because("a.service", ReadinessTimeout)
		h.wantResult(j, "dependency")
		h.tell(ProbeResult{Run: h.probe("a.service", ProbeReady), OK: true}) // too late
		h.is("a.service", "failed")

		h = load(t, texts...) // a death before readiness
		h.start("b.service")
		h.exit("a.service", 0)
		h.is("a.service", "failed", "b.service", "blocked")
	}
}

func TestReadinessDescriptor(t *testing.T) {
	for _, kind := range []string{"fd", "s6"} {
		h := load(t, `a.toml | readiness.type="`+kind+`"; restart.delay="1s"`)
		h.start("a.service")
		run := h.probe("a.service", ProbeReadyFD)
		h.tell(Ready{Run: run})
		h.is("a.service", "active")
		h.exit("a.service", 1)
		h.advance(time.Second)
		h.is("a.service", "starting")
		h.tell(Ready{Run: run}) // of the former incarnation
		h.is("a.service", "starting")
		h.tell(Ready{Run: h.probe("a.service", ProbeReadyFD)})
		h.is("a.service", "active")
	}
}

func TestReadinessCommand(t *testing.T) {
	h := load(t, `a.toml | readiness.type="exec"; readiness.check-exec=["/bin/check"]; readiness.timeout="20s"`)
	h.start("a.service")
	check := func(code int32) {
		ids := h.runsOf("a.service", 0)
		id := ids[len(ids)-1]
		h.end(id, Exited{Run: id, Code: code})
		h.settle()
	}
	h.did(0, "a.service", "start ready")
	check(1)
	h.is("a.service", "starting")
	h.advance(time.Second)
	h.did(0, "a.service", "start ready ready")
	check(0)
	h.is("a.service", "active")
	h.advance(time.Minute)
	h.did(0, "a.service", "start ready ready")
}

// A check that hangs does not hold anything up but its own service (W32).
func TestReadinessCommandHangs(t *testing.T) {
	h := load(t, `a.toml | readiness.type="exec"; readiness.check-exec=["/bin/check"]; readiness.timeout="20s"; restart.policy="no"`, "b.service ||")
	h.start("a.service")
	h.start("b.service")
	h.is("b.service", "active")
	m := h.mark()
	h.advance(20 * time.Second)
	h.is("a.service", "stopping")
	h.exit("a.service", 0)
	for _, id := range h.runsOf("a.service", 0) {
		h.end(id, Exited{Run: id, Signal: sigKILL})
	}
	h.settle()
	h.is("a.service", "failed")
	if len(find[Signal](h, m)) == 0 {
		t.Error("nothing was signalled")
	}
}

// readiness.type = "stable": up once it has run for stable-after.
func TestReadinessStable(t *testing.T) {
	h := load(t, `a.toml | readiness.type="stable"; restart.stable-after="10s"; restart.delay="1s"`, "b.service | Requires=a.service; After=a.service |")
	j := h.start("b.service")
	h.advance(9 * time.Second)
	h.is("a.service", "starting", "b.service", "inactive")
	h.exit("a.service", 0)
	h.wantResult(j, "dependency")
	h.advance(time.Second)
	h.advance(10 * time.Second)
	h.is("a.service", "active")
}

// A unit counts as stable after stable-after, and no longer after a restart.
func TestStable(t *testing.T) {
	h := load(t, `a.toml | restart.stable-after="10s"; restart.delay="1s"`)
	h.start("a.service")
	h.advance(10*time.Second - 1)
	want(h, "stable", h.view("a.service").Stable, false)
	h.advance(1)
	want(h, "stable", h.view("a.service").Stable, true)
	h.exit("a.service", 1)
	h.advance(time.Second)
	want(h, "stable", h.view("a.service").Stable, false)
}

// NotifyAccess= (systemd.service(5)).
func TestNotifyAccess(t *testing.T) {
	for _, row := range []struct {
		access               string
		main, control, other bool
	}{{"", true, false, false}, {"main", true, false, false}, {"exec", true, true, false}, {"all", true, true, true}} {
		text := "a.service || Type=notify; ExecReload=/bin/r"
		if row.access != "" {
			text += "; NotifyAccess=" + row.access
		}
		h := load(t, text)
		h.start("a.service")
		h.ready("a.service")
		h.reload("a.service")
		u := h.view("a.service")
		for status, sender := range map[string]RunID{"main": u.Main, "control": u.Control, "else": 0} {
			h.tell(Notified{Unit: "a.service", Incarnation: u.Incarnation, Run: sender, Notification: Notification{Status: status}})
			want(h, row.access+" from "+status, h.view("a.service").Status == status, map[string]bool{"main": row.main, "control": row.control, "else": row.other}[status])
		}
	}
	h := load(t, "a.service || Type=simple")
	h.start("a.service")
	h.notify("a.service", Notification{Status: "hello"})
	want(h, "without NotifyAccess=", h.view("a.service").Status, "")
}

// systemd.unit(5): all plain conditions and one of the triggering ones must hold.
func TestConditionLogic(t *testing.T) {
	for _, row := range []struct {
		conds string
		held  []bool // of the check as written, without its "!"
		runs  bool
	}{
		{"ConditionPathExists=/a; ConditionPathExists=/b", []bool{true, true}, true},
		{"ConditionPathExists=/a; ConditionPathExists=/b", []bool{true, false}, false},
		{"ConditionPathExists=¦/a; ConditionPathExists=¦/b", []bool{false, true}, true},
		{"ConditionPathExists=¦/a; ConditionPathExists=¦/b", []bool{false, false}, false},
		{"ConditionPathExists=¦/a; ConditionPathExists=/b", []bool{true, false}, false},
		{"ConditionPathExists=!/a", []bool{false}, true},
		{"ConditionPathExists=!/a", []bool{true}, false},
		{"ConditionPathExists=¦!/a; ConditionPathExists=¦/b", []bool{true, false}, false},
	} {
		h := load(t, "a.service | "+row.conds+" |")
		h.start("a.service")
		h.conditions("a.service", row.held...)
		if got := h.view("a.service").State == Active; got != row.runs {
			t.Errorf("%s %v: runs %v, want %v", row.conds, row.held, got, row.runs)
		}
	}
}

// A world that never answers, or answers wrongly, fails the start.
func TestConditionsWithoutAnswer(t *testing.T) {
	h := load(t, "a.service | ConditionPathExists=/x |")
	j := h.start("a.service")
	h.advance(10 * time.Second)
	h.wantResult(j, "failed")
	h.because("a.service", ProbeLost)
	h.conditions("a.service", true) // too late
	h.is("a.service", "failed")
	j = h.start("a.service")
	h.conditions("a.service", true, true)
	h.wantResult(j, "failed")
	j = h.start("a.service")
	m := h.mark()
	h.stop("a.service")
	h.wantResult(j, "canceled")
	want(h, "cancelled", len(find[CancelProbe](h, m)), 1)
	h.conditions("a.service", true)
	want(h, "spawns", h.spawns("a.service"), 0)
}

// Reports that come late, twice or for nobody change nothing.
func TestStaleReportsAreIgnored(t *testing.T) {
	h := load(t, "a.service || Type=notify; Restart=always; RestartSec=1; ExecStop=/bin/s")
	h.start("a.service")
	h.ready("a.service")
	old := h.view("a.service")
	h.exit("a.service", 1)
	h.command("a.service", 0)
	h.advance(time.Second)
	h.ready("a.service")
	h.is("a.service", "active")
	m := h.mark()
	for _, ev := range []Event{Exited{Run: old.Main, Code: 1}, SpawnDone{Run: old.Main}, SpawnFailed{Run: old.Main, Stage: "exec", Errno: 2},
		CgroupEmpty{Unit: "a.service", Incarnation: old.Incarnation}, OOMKilled{Unit: "a.service", Incarnation: old.Incarnation},
		MainPID{Unit: "a.service", Incarnation: old.Incarnation, Run: old.Main, Found: true}, Ready{Run: old.Main}, ProbeResult{Run: old.Main, OK: true},
		Listening{Run: old.Main}, Exited{Run: 9999}, CgroupEmpty{Unit: "never.service", Incarnation: 1}, Readable{Unit: "a.service"},
		PathChanged{Unit: "a.service"}, MountChanged{Unit: "a.service", Mounted: true}, DeviceAppeared{Unit: "a.service"}, Accepted{Socket: "a.service"},
		BusNameLost{Name: "org.x", Unit: "a.service"}, AutomountRequested{Unit: "a.service"}, ClockJump{}, Tick{}, Loaded{}} {
		h.tell(ev)
	}
	h.is("a.service", "active/running")
	want(h, "spawns", len(find[Spawn](h, m)), 0)
	want(h, "signals", len(find[Signal](h, m)), 0)
	want(h, "main", h.view("a.service").Main, h.main("a.service"))
}

// Units that feed each other's rules are stopped by a fuse, and it is told.
func TestFuseAgainstFeedback(t *testing.T) {
	h := load(t, "a.service | OnFailure=b.service; StartLimitIntervalSec=0 |", "b.service | OnFailure=a.service; StartLimitIntervalSec=0 |")
	h.start("a.service")
	m := h.mark()
	for range 60 {
		for _, u := range []string{"a.service", "b.service"} {
			if h.view(u).Main != 0 {
				h.exit(u, 1)
			}
		}
	}
	if n := h.spawns("a.service"); n > 20 {
		t.Errorf("%d spawns within no time", n)
	}
	h.logged(m, "too fast")
}

// Jobs that come to wait for each other are found, and it is told: a plan has
// no cycle, but a restart that becomes a start may close one.
func TestDeadlockOfJobs(t *testing.T) {
	h := load(t, "a.target | Wants=b.target; After=b.target |", "b.target | After=a.target |")
	h.start("a.target")
	h.advance(time.Hour)
	h.restart("a.target")
	h.advance(time.Hour)
	h.is("a.target", "active")
	want(h, "jobs left", len(h.c.View().Jobs()), 0)
}

// A second request that would close a cycle with the first is refused.
func TestRequestThatClosesACycle(t *testing.T) {
	h := load(t, "a.service | After=b.service |", "b.service | After=a.service |", "g.service | Before=a.service b.service | Type=notify")
	h.start("g.service")
	h.start("a.service")
	h.refused("TransactionOrderIsCyclic", Request{Verb: VerbStart, Unit: "b.service"})
	h.ready("g.service")
	h.is("a.service", "active")
}
