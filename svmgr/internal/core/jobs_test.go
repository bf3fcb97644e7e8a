package core

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dynamod/internal/graph"
)

// Every job is announced before the request that made it is answered, and its
// end is told once; the harness checks the rest in every story.
func TestJobNewComesBeforeReply(t *testing.T) {
	h := load(t, "a.service | Requires=b.service; After=b.service |", "b.service || Type=notify")
	h.ask(Request{Verb: VerbStart, Unit: "a.service", Wait: true})
	h.ready("b.service")
	told, removed := map[JobID]bool{}, map[JobID]bool{}
	replies := 0
	for _, a := range h.acts {
		switch a := a.(type) {
		case Publish:
			told[a.Job] = told[a.Job] || a.What == JobNew
			removed[a.Job] = removed[a.Job] || a.What == JobRemoved
		case Reply:
			replies++
			if !told[a.Job] || !removed[a.Job] || a.Result != JobDone {
				t.Errorf("reply %+v before the job was announced and ended", a)
			}
		}
	}
	want(h, "replies", replies, 1)
}

func TestJobResults(t *testing.T) {
	h := load(t, "bad.service || Type=notify", "needs.service | Requires=bad.service; After=bad.service |",
		"cond.service | ConditionPathExists=/x |", "assert.service | AssertPathExists=/x |", "slow.service || Type=notify; TimeoutStartSec=5",
		"q.service | Requisite=off.service; After=off.service |", "off.service ||", "r.service || ExecReload=/bin/r")
	dep := h.start("needs.service")
	bad := h.view("bad.service").Job
	h.exit("bad.service", 1)
	h.wantResult(dep, "dependency")
	h.wantResult(bad, "failed")
	cond, as := h.start("cond.service"), h.start("assert.service")
	h.conditions("cond.service", false)
	h.conditions("assert.service", false)
	h.wantResult(cond, "done")
	h.wantResult(as, "assert")
	slow := h.start("slow.service")
	h.advance(5 * time.Second)
	h.exit("slow.service", 0)
	h.wantResult(slow, "timeout")
	slow = h.start("slow.service")
	h.do(Request{Verb: VerbCancel, Job: slow})
	h.wantResult(slow, "canceled")
	h.is("slow.service", "starting") // the unit does not change its state
	h.wantResult(h.start("q.service"), "dependency")
	want(h, "requisite is not started", h.spawns("off.service"), 0)
	h.wantResult(h.reload("r.service"), "skipped")
	h.refused("NoSuchJob", Request{Verb: VerbCancel, Job: 4711})
	h.refused("NoSuchUnit", Request{Verb: VerbStart, Unit: "never.service"})
}

// Mode fail refuses what replace would cancel.
func TestJobModeReplaceAndFail(t *testing.T) {
	h := load(t, "a.service || Type=notify")
	j := h.start("a.service")
	h.refused("TransactionIsDestructive", Request{Verb: VerbStop, Unit: "a.service", Mode: graph.Fail})
	h.wantResult(j, "")
	h.stop("a.service")
	h.wantResult(j, "canceled")
}

// What was queued with replace-irreversibly can be undone by its like only.
func TestJobModeReplaceIrreversibly(t *testing.T) {
	h := load(t, "a.service || Type=notify")
	h.start("a.service")
	h.ready("a.service")
	j := h.do(Request{Verb: VerbStop, Unit: "a.service", Mode: graph.ReplaceIrreversibly})
	h.refused("TransactionIsDestructive", Request{Verb: VerbStart, Unit: "a.service"})
	h.wantResult(j, "")
	h.do(Request{Verb: VerbCancel, Job: j})
	h.wantResult(j, "canceled")
}

func TestJobModeIsolate(t *testing.T) {
	h := load(t, "a.target | Requires=in.service; AllowIsolate=yes |", "in.service ||", "out.service ||",
		"keep.service | IgnoreOnIsolate=yes |", "no.target ||")
	h.start("out.service")
	h.start("keep.service")
	h.refused("NoIsolation", Request{Verb: VerbStart, Unit: "no.target", Mode: graph.Isolate})
	h.do(Request{Verb: VerbStart, Unit: "a.target", Mode: graph.Isolate})
	h.is("in.service", "active", "out.service", "stopping", "keep.service", "active")
	h.exit("out.service", 0)
	h.is("out.service", "inactive", "a.target", "active")
}

func TestJobModeFlush(t *testing.T) {
	h := load(t, "a.service || Type=notify", "b.service | After=a.service |", "c.service ||")
	ja, jb := h.start("a.service"), h.start("b.service")
	h.do(Request{Verb: VerbStart, Unit: "c.service", Mode: graph.Flush})
	h.wantResult(ja, "canceled")
	h.wantResult(jb, "canceled")
	h.is("c.service", "active", "b.service", "inactive")
}

func TestJobModesIgnore(t *testing.T) {
	units := []string{"a.service | Requires=b.service; After=b.service c.service |", "b.service || Type=notify", "c.service || Type=notify"}
	h := load(t, units...)
	h.start("c.service")
	h.do(Request{Verb: VerbStart, Unit: "a.service", Mode: graph.IgnoreDependencies})
	h.is("a.service", "active", "b.service", "inactive", "c.service", "starting")

	h = load(t, units...)
	h.start("c.service")
	h.do(Request{Verb: VerbStart, Unit: "a.service", Mode: graph.IgnoreRequirements})
	h.is("a.service", "inactive", "b.service", "inactive") // the order holds
	h.ready("c.service")
	h.is("a.service", "active", "b.service", "inactive")
}

func TestJobModeTriggering(t *testing.T) {
	h := load(t, "a.service ||", "a.socket || ListenStream=/run/a")
	h.start("a.socket")
	h.start("a.service")
	h.do(Request{Verb: VerbStop, Unit: "a.service", Mode: graph.Triggering})
	h.exit("a.service", 0)
	h.is("a.service", "inactive", "a.socket", "inactive")
}

func TestJobModeRestartDependencies(t *testing.T) {
	h := load(t, "a.service || Type=notify", "b.service | Requires=a.service; After=a.service |")
	h.start("b.service")
	h.ready("a.service")
	h.is("b.service", "active")
	h.stop("a.service")
	h.exit("b.service", 0)
	h.exit("a.service", 0)
	h.do(Request{Verb: VerbStart, Unit: "b.service", Mode: graph.IgnoreDependencies})
	h.do(Request{Verb: VerbStart, Unit: "a.service", Mode: graph.RestartDependencies})
	h.is("b.service", "stopping")
	h.exit("b.service", 0)
	h.ready("a.service")
	h.is("a.service", "active", "b.service", "active")
	want(h, "b", h.spawns("b.service"), 3)
}

// A request of several units orders starts and stops; stops go before starts.
func TestJobOrder(t *testing.T) {
	h := load(t, "a.service | After=b.service |", "b.service || Type=notify", "c.service | Conflicts=d.service; Before=d.service |", "d.service ||")
	h.start("b.service")
	h.start("a.service")
	h.is("a.service", "inactive")
	v, _ := h.c.View().Job(h.view("a.service").Job)
	want(h, "waits for", strings.Join(v.WaitsFor, " "), "b.service")
	h.ready("b.service")
	h.is("a.service", "active")
	m := h.mark()
	h.stop("b.service")
	h.stop("a.service") // b already stops; a does not depend on it
	h.exit("a.service", 0)
	h.exit("b.service", 0)
	want(h, "order of the stops", h.entered(m, Inactive), "a b")

	h.start("d.service")
	h.start("c.service")
	h.is("d.service", "stopping", "c.service", "inactive")
	h.exit("d.service", 0)
	h.is("c.service", "active")
	h.because("d.service", ByConflict)
}

// Dinit 0.16.1: a dependency must not be stopped before its dependent.
func TestDependencyStopsAfterDependent(t *testing.T) {
	h := load(t, "db.service ||", "app.service | Requires=db.service; After=db.service | ExecStop=/bin/stop")
	h.start("app.service")
	h.stop("db.service")
	h.is("db.service", "active", "app.service", "stopping/stop")
	h.command("app.service", 0)
	h.is("db.service", "active")
	h.exit("app.service", 0)
	h.is("db.service", "stopping", "app.service", "inactive")
	h.because("app.service", ByStopOfDependency)
}

func TestJobRunningTimeout(t *testing.T) {
	h := load(t, "a.service | JobRunningTimeoutSec=10; JobTimeoutAction=poweroff-force; After=b.service | Type=notify; TimeoutStartSec=90", "b.service || Type=notify")
	h.start("b.service")
	j := h.start("a.service")
	h.advance(30 * time.Second) // the time in the queue does not count
	h.ready("b.service")
	h.advance(10*time.Second - 1)
	h.wantResult(j, "")
	m := h.mark()
	h.advance(1)
	h.wantResult(j, "timeout")
	want(h, "action", h.emergencies(m), "a.service:poweroff-force")
	h.is("a.service", "starting") // systemd.unit(5): the unit does not change state
	h.ready("a.service")
	h.is("a.service", "active")
}

func TestRefuseManual(t *testing.T) {
	h := load(t, "a.service | RefuseManualStart=yes; RefuseManualStop=yes |", "b.service | Requires=a.service; After=a.service |")
	h.refused("OnlyByDependency", Request{Verb: VerbStart, Unit: "a.service"})
	h.start("b.service")
	h.is("a.service", "active")
	h.refused("OnlyByDependency", Request{Verb: VerbStop, Unit: "a.service"})
	h.do(Request{Verb: VerbStop, Unit: "a.service", Source: SourceTimer})
	h.is("b.service", "stopping")
}

func TestProtectedUnitNeedsForce(t *testing.T) {
	h := load(t, "a.toml | service.protected=true", "b.service | Conflicts=a.service |")
	h.start("a.service")
	for _, v := range []Verb{VerbStop, VerbRestart, VerbTryRestart} {
		h.refused("Protected", Request{Verb: v, Unit: "a.service"})
	}
	h.is("a.service", "active")
	h.do(Request{Verb: VerbStop, Unit: "a.service", Force: true})
	h.is("a.service", "stopping")
}

func TestBindsToFollows(t *testing.T) {
	h := load(t, "a.service | BindsTo=b.service; After=b.service | Restart=always", "b.service ||", "c.service | Requires=b.service; After=b.service |")
	h.start("a.service")
	h.start("c.service")
	h.exit("b.service", 1)
	h.is("a.service", "stopping", "c.service", "active") // requires does not follow a crash
	h.because("a.service", ByBindsTo)
	h.exit("a.service", 0)
	h.is("a.service", "inactive")
}

// With After=, a skipped b.service stops a.service from starting, too.
func TestBindsToSkippedUnit(t *testing.T) {
	h := load(t, "a.service | BindsTo=b.service; After=b.service |", "b.service | ConditionPathExists=/x |")
	j := h.start("a.service")
	h.conditions("b.service", false)
	h.is("b.service", "skipped", "a.service", "inactive")
	h.wantResult(j, "dependency")
}

func TestPartOfAndPropagation(t *testing.T) {
	h := load(t, "a.target ||", "p.service | PartOf=a.target |", "s.service | StopPropagatedFrom=a.target |",
		"m.service | PropagatesReloadTo=n.service | ExecReload=/bin/r", "n.service || ExecReload=/bin/r")
	h.start("a.target")
	h.start("p.service")
	h.start("s.service")
	h.restart("a.target")
	h.is("p.service", "stopping")
	h.obedient = true
	h.exit("p.service", 0)
	h.exit("s.service", 0)
	h.is("p.service", "active", "a.target", "active")
	want(h, "p", h.spawns("p.service"), 2)
	h.stop("a.target")
	h.is("p.service", "inactive", "s.service", "inactive")

	h.obedient = false
	h.start("m.service")
	h.start("n.service")
	h.reload("m.service")
	h.is("m.service", "reloading", "n.service", "reloading")
	h.command("n.service", 1)
	h.command("m.service", 0)
	h.is("m.service", "active", "n.service", "active")
}

func TestUpholds(t *testing.T) {
	h := load(t, "u.target | Upholds=a.service |", "a.service | StartLimitBurst=3; StartLimitIntervalSec=60 |")
	h.start("u.target")
	h.is("a.service", "active")
	h.exit("a.service", 1)
	h.is("a.service", "active")
	h.stop("a.service")
	h.exit("a.service", 0)
	h.is("a.service", "active") // "whenever found to be inactive or failed"
	h.exit("a.service", 1)
	h.advance(10 * time.Second)
	h.is("a.service", "failed") // "usual per-unit rate-limit applies"
	want(h, "spawns", h.spawns("a.service"), 3)
}

func TestOnFailureAndOnSuccess(t *testing.T) {
	h := load(t, "a.service | OnFailure=f.service; OnSuccess=s.service; FailureAction=reboot |", "f.service ||", "s.service ||")
	h.start("a.service")
	m := h.mark()
	h.exit("a.service", 1)
	h.is("f.service", "active", "s.service", "inactive")
	want(h, "action", h.emergencies(m), "a.service:reboot")
	h.stop("f.service")
	h.exit("f.service", 0)
	h.start("a.service")
	h.exit("a.service", 0)
	h.is("s.service", "active", "f.service", "inactive")
}

// systemd.unit(5), OnSuccess=: "activated when this unit enters the inactive
// state", however it got there.
func TestOnSuccessAfterStop(t *testing.T) {
	h := load(t, "a.service | OnSuccess=s.service |", "s.service ||")
	h.start("a.service")
	h.stop("a.service")
	h.exit("a.service", 0)
	h.is("s.service", "active")
}

// A native unit that is blocked by a failed dependency has failed to start: what it
// asked for in that case happens, as it does for one of a unit file.
func TestFailureActionsOfBlockedUnits(t *testing.T) {
	for _, waiting := range []string{
		`w.toml | dependencies.requires=["a"]; dependencies.on-failure=["f.service"]; service.failure-action="emergency"`,
		"w.service | Requires=a.service; After=a.service; OnFailure=f.service; FailureAction=emergency |",
	} {
		h := load(t, "a.service ||", "f.service ||", waiting)
		h.start("w.service")
		h.tell(Exited{Run: h.main("a.service"), Code: 1})
		h.is("f.service", "inactive")
		h = load(t, "a.service || Type=oneshot", "f.service ||", waiting)
		h.start("w.service")
		h.tell(Exited{Run: h.main("a.service"), Code: 1})
		h.tell(CgroupEmpty{Unit: "a.service", Incarnation: h.view("a.service").Incarnation})
		h.is("a.service", "failed", "f.service", "active")
		urgent := ""
		for _, a := range h.acts {
			if e, ok := a.(Emergency); ok {
				urgent += e.Unit + " " + e.Action
			}
		}
		want(h, "emergency", urgent, "w.service emergency")
	}
}

// What goes along with an end that a unit asks for: the argument of reboot(2) and the exit
// status of the manager, by default that of the unit's main process (systemd.unit(5)).
func TestEmergencyArguments(t *testing.T) {
	for _, row := range []struct {
		unit string
		code int32
		want string
	}{
		{"a.service | FailureAction=reboot; RebootArgument=other |", 7, "reboot other 7"},
		{"a.service | FailureAction=exit |", 7, "exit  7"},
		{"a.service | FailureAction=exit; FailureActionExitStatus=3; SuccessActionExitStatus=4 |", 7, "exit  3"},
		{"a.service | SuccessAction=exit; FailureActionExitStatus=3; SuccessActionExitStatus=4 |", 0, "exit  4"},
		{"a.service | SuccessAction=exit |", 0, "exit  0"},
	} {
		h := load(t, row.unit)
		h.start("a.service")
		h.exit("a.service", row.code)
		got := ""
		for _, e := range find[Emergency](h, 0) {
			got += fmt.Sprintf("%s %s %d", e.Action, e.Argument, e.Status)
			if e.Wanted != strings.Contains(row.unit, "| SuccessAction") {
				t.Errorf("%s: wanted is %v", row.unit, e.Wanted)
			}
		}
		want(h, row.unit, got, row.want)
	}
	h := load(t, "a.service | JobTimeoutSec=5; JobTimeoutAction=reboot; JobTimeoutRebootArgument=late | Type=notify; TimeoutStartSec=infinity")
	h.start("a.service")
	h.advance(5 * time.Second)
	want(h, "the job's argument", fmt.Sprint(len(find[Emergency](h, 0)), " ", find[Emergency](h, 0)[0].Argument), "1 late")
}

func TestOnFailureJobMode(t *testing.T) {
	h := load(t, "a.service | OnFailure=rescue.target; OnFailureJobMode=isolate |", "rescue.target | AllowIsolate=yes |", "b.service ||")
	h.start("a.service")
	h.start("b.service")
	h.exit("a.service", 1)
	h.is("rescue.target", "active", "b.service", "stopping")
}

// With RestartMode=direct OnFailure= does not fire while automatic restarts go on,
// only at the end.
func TestOnFailureWaitsForRestarts(t *testing.T) {
	h := load(t, "a.service | OnFailure=f.service; StartLimitBurst=2; StartLimitIntervalSec=60 | Restart=always; RestartSec=1; RestartMode=direct", "f.service ||")
	h.start("a.service")
	h.exit("a.service", 1)
	h.is("f.service", "inactive")
	h.advance(time.Second)
	h.exit("a.service", 1)
	h.advance(time.Second)
	h.is("a.service", "failed", "f.service", "active")
	h.because("a.service", StartLimitHit)
}

func TestStartLimitAndItsAction(t *testing.T) {
	h := load(t, "a.service | StartLimitBurst=2; StartLimitIntervalSec=30; StartLimitAction=reboot-force |", "u.target | After=a.service |")
	h.start("u.target") // which keeps a.service in memory
	for range 2 {
		h.start("a.service")
		h.exit("a.service", 0)
	}
	m := h.mark()
	j := h.start("a.service")
	h.wantResult(j, "failed")
	h.is("a.service", "failed")
	want(h, "action", h.emergencies(m), "a.service:reboot-force")
	h.reset("a.service")
	h.wantResult(h.start("a.service"), "done")
	h.exit("a.service", 0)
	h.start("a.service")
	h.exit("a.service", 0)
	h.advance(30 * time.Second)
	h.wantResult(h.start("a.service"), "done")
}

// systemd forgets a unit that has come to rest and that nobody needs, and its starts with
// it, but none that has failed: seen with systemd 257.
func TestStartLimitOfForgottenUnits(t *testing.T) {
	h := load(t, "a.service | StartLimitBurst=2; StartLimitIntervalSec=30; Wants=b.service |", "b.service | StartLimitBurst=2; StartLimitIntervalSec=30 |",
		"t.timer || OnActiveSec=1h; Unit=c.service", "c.service | StartLimitBurst=2; StartLimitIntervalSec=30 |")
	for range 5 {
		h.wantResult(h.start("a.service"), "done")
		h.is("a.service", "active", "b.service", "active")
		h.exit("b.service", 0)
		h.exit("a.service", 0)
	}
	h.start("a.service")
	h.exit("b.service", 0)
	h.exit("a.service", 1) // it stays now, and so does what it asks for
	for _, want := range []string{"done", "failed"} {
		h.wantResult(h.start("b.service"), want)
		if want == "done" {
			h.exit("b.service", 0)
		}
	}
	h.start("t.timer")
	for _, want := range []string{"done", "done", "failed"} {
		h.wantResult(h.start("c.service"), want)
		if want == "done" {
			h.exit("c.service", 0)
		}
	}
}

// systemd.unit(5): "Rate-limiting is enforced after any unit condition checks
// are executed, and hence … failing conditions do not count".
func TestStartLimitSparesFailedConditions(t *testing.T) {
	h := load(t, "a.service | ConditionPathExists=/x; StartLimitBurst=2; StartLimitIntervalSec=30 |")
	for range 5 {
		h.start("a.service")
		h.conditions("a.service", false)
		h.is("a.service", "skipped")
	}
}

// Dinit 0.22: a restart must not run a finished script twice.
func TestRestartRunsOneshotOnce(t *testing.T) {
	h := load(t, "a.service || Type=oneshot; RemainAfterExit=yes; ExecStop=/bin/undo")
	h.start("a.service")
	h.exit("a.service", 0)
	m := h.mark()
	j := h.restart("a.service")
	h.command("a.service", 0)
	h.exit("a.service", 0)
	h.ran(m, "a.service", "stop start")
	h.wantResult(j, "done")
}

// Jobs are counted, those that came to nothing as well; a new manager goes on counting.
func TestJobsEver(t *testing.T) {
	h := load(t, "good.service ||", "bad.service || Type=oneshot", "needs.service | Requires=bad.service; After=bad.service |", "slow.service || Type=oneshot; TimeoutStartSec=infinity")
	h.start("good.service")
	h.start("needs.service")
	h.exit("bad.service", 1)
	h.start("slow.service")
	h.stop("slow.service") // canceled is not failed
	h.exit("slow.service", 0)
	told := 0
	for _, p := range find[Publish](h, 0) {
		if p.What == JobNew {
			told++
		}
	}
	h.rebirth()
	all, failed := h.c.View().JobsEver()
	want(h, "jobs", fmt.Sprint(all, failed), fmt.Sprint(told, 2))
	want(h, "no shutdown", h.c.View().ShutdownSince(), Time{})
	at := h.now
	h.shutdown(Reboot)
	h.rebirth()
	want(h, "shutdown", h.c.View().ShutdownSince(), at)
}

// However many jobs end, each can be asked for until its time is over (docs/statements.md, 15).
func TestManyEndedJobs(t *testing.T) {
	h := load(t, "a.target")
	var jobs []JobID
	for range 2000 {
		jobs = append(jobs, h.start("a.target"), h.stop("a.target"))
	}
	for _, id := range jobs {
		if _, known := h.c.View().Job(id); !known {
			t.Fatalf("job %d is forgotten, of %d to %d", id, jobs[0], jobs[len(jobs)-1])
		}
	}
	h.advance(2 * time.Minute)
	want(h, "jobs after a while", fmt.Sprint(len(h.c.ended), len(h.c.endedBy)), "0 0")
}
