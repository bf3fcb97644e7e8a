package core

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"dynamod/internal/diag"
)

// The thirty statements are in docs/statements.md, with all their tests. Each test
// below repeats the text of its statement as far as the core decides it.

// 2. main/ still populated 5 s after cgroup kill → abandoned.
func TestStatement02UnkillableIsAbandoned(t *testing.T) {
	h := load(t, "a.service || TimeoutStopSec=10; Restart=always")
	h.start("a.service")
	h.holds["a.service"] = true
	j := h.stop("a.service")
	m := h.mark()
	h.advance(10 * time.Second)
	h.did(m, "a.service", "kill-cgroup")
	h.exit("a.service", 0)
	h.advance(4999 * time.Millisecond)
	h.is("a.service", "stopping/stop-sigkill")
	h.advance(time.Millisecond)
	h.is("a.service", "abandoned")
	h.because("a.service", Unkillable)
	h.wantResult(j, "failed")
	h.empties("a.service")
	h.is("a.service", "failed")
	want(h, "spawns", h.spawns("a.service"), 1)
}

// 4. A READY=1 from another pid, another service's cgroup, or a previous
// incarnation is dropped and logged, never changes state.
func TestStatement04ForeignReadyIsDropped(t *testing.T) {
	h := load(t, "a.service || Type=notify; Restart=always; RestartSec=1", "b.service || Type=notify")
	h.start("a.service")
	h.start("b.service")
	old := h.view("a.service")
	stranger := Notified{Unit: "a.service", Incarnation: old.Incarnation, Notification: Notification{Ready: true}}
	other := stranger
	other.Incarnation, other.Run = h.view("b.service").Incarnation, h.main("b.service")
	for _, ev := range []Notified{stranger, other} {
		m := h.mark()
		h.tell(ev)
		h.is("a.service", "starting/start")
		h.logged(m, "dropped")
	}
	h.exit("a.service", 1)
	h.advance(time.Second)
	m := h.mark()
	h.tell(Notified{Unit: "a.service", Incarnation: old.Incarnation, Run: old.Main, Notification: Notification{Ready: true}})
	h.is("a.service", "starting/start")
	h.logged(m, "former incarnation dropped")
	h.ready("a.service")
	h.is("a.service", "active/running")
}

// 5. A failing setup step is reported as step+errno before the start call
// returns; a missing binary never shows as "started".
func TestStatement05MissingBinaryNeverStarted(t *testing.T) {
	for _, typ := range []string{"simple", "exec", "oneshot", "notify", "idle", "forking"} {
		h := load(t, "a.service || Type="+typ)
		h.noExec["a.service"] = true
		_, answered := h.ask(Request{Verb: VerbStart, Unit: "a.service", Wait: true})
		want(h, typ+" answered before exec", answered, false)
		h.is("a.service", "starting/start")
		m := h.mark()
		h.spawnFailed("a.service", "exec", 2)
		h.is("a.service", "failed/failed")
		c := h.view("a.service").Cause
		if c.Kind != SpawnFailure || c.Detail != "exec" || c.Errno != 2 {
			t.Errorf("%s: cause %+v, want step exec, errno 2", typ, c)
		}
		if rs := find[Reply](h, m); len(rs) != 1 || rs[0].Result != JobFailed {
			t.Errorf("%s: replies %+v, want one failed", typ, rs)
		}
		for _, p := range find[Publish](h, 0) {
			if p.Unit == "a.service" && p.To == Active {
				t.Errorf("%s: it was shown as started", typ)
			}
		}
	}
}

// 6. Conditions and asserts run while inactive, before any cgroup, hook or
// fork; condition false → skipped and dependents start; assert false → failed.
func TestStatement06ConditionsComeFirst(t *testing.T) {
	units := []string{
		"a.service | ConditionPathExists=/x; AssertPathExists=/y | ExecStartPre=/bin/pre",
		"b.service | Requires=a.service; After=a.service |",
	}
	h := load(t, units...)
	j := h.start("b.service")
	h.is("a.service", "inactive", "b.service", "inactive")
	want(h, "spawns", len(find[Spawn](h, 0)), 0)
	h.conditions("a.service", false, true)
	h.is("a.service", "skipped", "b.service", "active")
	h.wantResult(j, "done")
	want(h, "spawns of a", h.spawns("a.service"), 0)

	h = load(t, units...)
	j = h.start("b.service")
	h.conditions("a.service", true, false)
	h.is("a.service", "failed", "b.service", "inactive")
	h.because("a.service", AssertFailed)
	h.wantResult(j, "dependency")
	want(h, "spawns", len(find[Spawn](h, 0)), 0)
}

// 8. One start timeout covers pre-hooks + exec + readiness; expiry kills the
// entire tree including hooks.
func TestStatement08OneStartTimeout(t *testing.T) {
	h := load(t, "a.service || Type=notify; ExecStartPre=/bin/pre; TimeoutStartSec=10; TimeoutStopSec=5")
	j := h.start("a.service")
	h.advance(9 * time.Second)
	h.command("a.service", 0)
	h.is("a.service", "starting/start")
	h.advance(999 * time.Millisecond)
	h.is("a.service", "starting/start")
	m := h.mark()
	h.advance(time.Millisecond)
	h.did(m, "a.service", "TERM CONT")
	h.wantResult(j, "")
	h.advance(5 * time.Second)
	h.did(m, "a.service", "TERM CONT kill-cgroup")
	h.killed("a.service", sigKILL)
	h.is("a.service", "failed")
	h.because("a.service", ReadinessTimeout)
	h.wantResult(j, "timeout")

	h = load(t, "a.service || ExecStartPre=/bin/pre; TimeoutStartSec=10")
	h.start("a.service")
	m = h.mark()
	h.advance(10 * time.Second)
	h.did(m, "a.service", "TERM CONT")
	want(h, "main processes", h.spawns("a.service"), 0)
}

// 9. With max-restarts=N, exactly N automatic restarts happen in the window;
// the next death yields restart-budget-exhausted; active for a full window
// resets to 0; delays are d·2^k ≤ cap.
func TestStatement09RestartBudgetExact(t *testing.T) {
	h := load(t, `a.toml | restart.max-restarts=4; restart.max-restart-window="60s"; restart.delay="1s"; restart.delay-max="3s"`)
	h.start("a.service")
	for k, delay := range []time.Duration{1, 2, 3, 3} {
		h.exit("a.service", 1)
		h.advance(delay*time.Second - 1)
		want(h, fmt.Sprint("too early ", k), h.spawns("a.service"), 1+k)
		h.advance(1)
		want(h, fmt.Sprint("restart ", k), h.spawns("a.service"), 2+k)
	}
	h.exit("a.service", 1)
	h.is("a.service", "failed")
	h.because("a.service", BudgetExhausted)
	h.advance(time.Hour)
	want(h, "spawns", h.spawns("a.service"), 5)
}

func TestStatement09FullWindowResetsTheBudget(t *testing.T) {
	h := load(t, `a.toml | restart.max-restarts=2; restart.max-restart-window="60s"; restart.delay="1s"`)
	h.start("a.service")
	for range 5 {
		h.exit("a.service", 1)
		h.advance(time.Second)
		h.exit("a.service", 1)
		h.advance(2 * time.Second)
		h.is("a.service", "active")
		h.advance(60 * time.Second)
	}
	want(h, "spawns", h.spawns("a.service"), 11)
	// One nanosecond less than a window does not reset, but the sliding
	// window itself has let the old restarts go: the delay tells.
	h.exit("a.service", 1)
	h.advance(time.Second)
	h.advance(60*time.Second - 1)
	h.exit("a.service", 1)
	h.advance(time.Second)
	h.is("a.service", "restart-pending")
	h.advance(time.Second)
	h.is("a.service", "active")
}

// 10. No restart is ever attempted for explicit stop, shutdown, conflict, bind
// propagation, unkillable, validation, cycle, dependency, assertion.
func TestStatement10NeverRestarted(t *testing.T) {
	const a = `a.toml | restart.policy="always"; restart.delay="1s"; restart.max-restarts=0; service.stop-timeout="5s"`
	stories := map[string]func(h *harness){
		"explicit stop": func(h *harness) { h.stop("a.service"); h.exit("a.service", 1) },
		"stop of a pending restart": func(h *harness) {
			h.exit("a.service", 1)
			h.stop("a.service")
		},
		"stop, killed by its timeout": func(h *harness) {
			h.stop("a.service")
			h.advance(5 * time.Second)
			h.killed("a.service", sigKILL)
		},
		"exit report overtaken by stop": func(h *harness) {
			id := h.main("a.service")
			h.stop("a.service")
			h.end(id, Exited{Run: id, Signal: 11})
			h.settle()
		},
		"shutdown":  func(h *harness) { h.shutdown(Poweroff); h.exit("a.service", 1) },
		"conflict":  func(h *harness) { h.start("enemy.service"); h.exit("a.service", 1) },
		"bind":      func(h *harness) { h.stop("target.service"); h.exit("a.service", 1); h.exit("target.service", 0) },
		"bind lost": func(h *harness) { h.exit("target.service", 0); h.exit("a.service", 1) },
	}
	for name, story := range stories {
		h := load(t, strings.Replace(a, "|", `| dependencies.binds-to=["target.service"]; dependencies.after=["target.service"]; `, 1),
			"target.service ||", "enemy.service | Conflicts=a.service |")
		h.start("a.service")
		h.is("a.service", "active")
		story(h)
		h.advance(time.Hour)
		if got := h.spawns("a.service"); got != 1 {
			t.Errorf("%s: %d main processes, want 1 (%s)", name, got, h.state("a.service"))
		}
	}
}

func TestStatement10UnkillableAfterCrash(t *testing.T) {
	h := load(t, `a.toml | restart.delay="1s"; service.stop-timeout="5s"`)
	h.start("a.service")
	h.holds["a.service"] = true
	h.exit("a.service", 1) // its children survive everything
	h.advance(10 * time.Second)
	h.is("a.service", "abandoned")
	h.empties("a.service")
	h.advance(time.Hour)
	want(h, "spawns", h.spawns("a.service"), 1)
}

func TestStatement10NeverRestartedBeforeItRan(t *testing.T) {
	h := load(t, "a.service | AssertPathExists=/x | Restart=always; RestartSec=1",
		"dep.service || ExecStart=/bin/dep", "d.service | Requires=dep.service; After=dep.service | Restart=always; RestartSec=1",
		"c.service | Requires=e.service; After=e.service | Restart=always", "e.service | After=c.service |")
	h.start("a.service")
	h.conditions("a.service", false)
	h.noExec["dep.service"] = true
	h.start("d.service")
	h.spawnFailed("dep.service", "exec", 2)
	h.refused("TransactionOrderIsCyclic", Request{Verb: VerbStart, Unit: "c.service"})
	h.advance(time.Hour)
	for _, u := range []string{"a.service", "d.service", "c.service", "e.service"} {
		want(h, u, h.spawns(u), 0)
	}
}

// 11. BindsTo recovery restarts when the target becomes active again, exactly
// once, without consuming budget.
func TestStatement11BindsToRecovery(t *testing.T) {
	h := load(t, `a.toml | dependencies.binds-to=["t.service"]; dependencies.after=["t.service"]; restart.max-restarts=1; restart.delay="1s"`,
		"t.service | StartLimitIntervalSec=0 |")
	h.start("a.service")
	for n := 1; n <= 4; n++ {
		h.exit("t.service", 0)
		h.is("a.service", "stopping")
		h.exit("a.service", 0)
		h.is("a.service", "inactive")
		h.because("a.service", ByBindsTo)
		h.start("t.service")
		h.is("a.service", "active")
		want(h, "spawns", h.spawns("a.service"), 1+n)
	}
	h.exit("a.service", 1) // the budget of one is still there
	h.advance(time.Second)
	h.is("a.service", "active")
	h.stop("a.service")
	h.exit("a.service", 0)
	h.restart("t.service")
	h.exit("t.service", 0)
	h.is("t.service", "active", "a.service", "inactive")
}

// 13. Two concurrent starts return the same operation id and spawn one
// process; same for stop/stop, reload/reload; restart never merges.
func TestStatement13ConcurrentRequestsShareAJob(t *testing.T) {
	h := load(t, "a.service || Type=notify; ExecReload=/bin/reload")
	j := h.start("a.service")
	want(h, "second start", h.start("a.service"), j)
	want(h, "spawns", h.spawns("a.service"), 1)
	h.ready("a.service")
	h.wantResult(j, "done")

	j = h.reload("a.service")
	want(h, "second reload", h.reload("a.service"), j)
	want(h, "reload commands", strings.Count(strings.Join(h.since(0, "a.service"), " "), "reload"), 1)
	h.command("a.service", 0)
	h.wantResult(j, "done")

	j = h.stop("a.service")
	want(h, "second stop", h.stop("a.service"), j)
	h.did(0, "a.service", "start reload TERM CONT")
	h.exit("a.service", 0)
	h.wantResult(j, "done")
}

// 14. Stop during starting aborts the start and ends inactive; start during
// stopping runs exactly once after (the whole table: commands_test.go).
func TestStatement14StopDuringStartAndBack(t *testing.T) {
	h := load(t, "a.service || Type=notify; ExecStop=/bin/stop; Restart=always")
	j := h.start("a.service")
	m := h.mark()
	s := h.stop("a.service")
	h.wantResult(j, "canceled")
	h.did(m, "a.service", "TERM CONT")
	h.exit("a.service", 1)
	h.wantResult(s, "done")
	h.is("a.service", "inactive/dead")

	h = load(t, "a.service ||")
	h.start("a.service")
	s = h.stop("a.service")
	j = h.start("a.service")
	want(h, "the second start joins", h.start("a.service"), j)
	h.is("a.service", "stopping")
	h.wantResult(s, "canceled")
	h.exit("a.service", 0)
	h.is("a.service", "active")
	h.wantResult(j, "done")
	h.advance(time.Hour)
	want(h, "spawns", h.spawns("a.service"), 2)
}

// 15. Operation timeout counts from creation including queue time; a terminal
// operation is queryable for ≥60 s, then gone.
func TestStatement15JobTimeoutAndRetention(t *testing.T) {
	h := load(t, "a.service | After=b.service; JobTimeoutSec=30; JobTimeoutAction=reboot | Type=notify", "b.service || Type=notify")
	h.start("b.service")
	j := h.start("a.service")
	h.advance(20 * time.Second)
	h.ready("b.service") // a leaves the queue after 20 of its 30 s
	h.is("a.service", "starting")
	h.advance(10*time.Second - 1)
	h.wantResult(j, "")
	m := h.mark()
	h.advance(1)
	h.wantResult(j, "timeout")
	want(h, "action", h.emergencies(m), "a.service:reboot")
	h.advance(60*time.Second - 1)
	v, ok := h.c.View().Job(j)
	if !ok || !v.Ended || v.Result != JobTimeout {
		t.Errorf("after almost 60 s: %+v %v", v, ok)
	}
	h.advance(1)
	if _, ok := h.c.View().Job(j); ok {
		t.Error("the job is still there after 60 s")
	}
}

// 16. reload with one broken file leaves the running generation
// byte-identical, returns all errors with file:line, and running services keep
// their activation snapshot.
func TestStatement16RejectedReloadChangesNothing(t *testing.T) {
	h := load(t, "a.service || ExecStart=/bin/old; ExecReload=/bin/old-reload")
	h.start("a.service")
	before := h.c.Snapshot()
	bad := []diag.Diag{{Pos: diag.Pos{File: "/t/x.service", Line: 7, Col: 1}, Severity: diag.Error, Message: "no such thing"},
		{Pos: diag.Pos{File: "/t/y.service", Line: 3, Col: 1}, Severity: diag.Error, Message: "nor this"}}
	h.asked[77] = 0
	m := h.mark()
	h.tell(Reloaded{Set: buildSet(t, "a.service || ExecStart=/bin/new"), Rejected: bad, Request: 77})
	if !bytes.Equal(before, h.c.Snapshot()) {
		t.Error("a rejected reload changed the state")
	}
	r, _ := h.replyTo(77, m)
	if r.Err == nil {
		t.Fatal("a rejected reload was answered with success")
	}
	want(h, "kind", r.Err.Kind, "ReloadRejected")
	if !strings.Contains(r.Err.Text, "/t/x.service:7") {
		t.Errorf("the reply does not name file and line: %s", r.Err.Text)
	}
	m = h.mark()
	h.reload("a.service")
	want(h, "reload command", find[Spawn](h, m)[0].Exec.Path, "/bin/old-reload")
}

func TestStatement16ActivationKeepsItsSettings(t *testing.T) {
	h := load(t, "a.service || ExecStart=/bin/old; ExecStop=/bin/old-stop; TimeoutStopSec=5")
	h.start("a.service")
	h.reloadUnits(false, "a.service || ExecStart=/bin/new; ExecStop=/bin/new-stop; TimeoutStopSec=500")
	h.is("a.service", "active")
	m := h.mark()
	h.restart("a.service")
	want(h, "stop command", find[Spawn](h, m)[0].Exec.Path, "/bin/old-stop")
	h.command("a.service", 0)
	h.did(m, "a.service", "stop TERM CONT")
	h.advance(5 * time.Second)
	h.did(m, "a.service", "stop TERM CONT kill-cgroup")
	h.killed("a.service", sigKILL)
	want(h, "new command", find[Spawn](h, m)[1].Exec.Path, "/bin/new")
}
