package core

import (
	"testing"
	"time"

	"dynamod/internal/graph"
)

// A restart passes on to what requires it: down in order, up in order.
func TestRestartTakesDependentsAlong(t *testing.T) {
	h := load(t, "db.service ||", "app.service | Requires=db.service; After=db.service |", "soft.service | Wants=db.service; After=db.service |", "off.service | Requires=db.service; After=db.service |")
	h.start("app.service")
	h.start("soft.service")
	m := h.mark()
	j := h.restart("db.service")
	h.is("app.service", "stopping", "db.service", "active", "soft.service", "active", "off.service", "inactive")
	h.exit("app.service", 0)
	h.is("app.service", "inactive", "db.service", "stopping")
	h.exit("db.service", 0)
	h.is("db.service", "active", "app.service", "active", "off.service", "inactive")
	want(h, "order", h.order(m, StageStart), "db app")
	h.wantResult(j, "done")
}

// If the dependency does not come up again, its dependents do not start.
func TestRestartThatFailsKeepsDependentsDown(t *testing.T) {
	h := load(t, "db.service || Type=notify", "app.service | Requires=db.service; After=db.service |")
	h.start("app.service")
	h.ready("db.service")
	h.restart("db.service")
	ja := h.view("app.service").Job
	h.exit("app.service", 0)
	h.exit("db.service", 0)
	h.exit("db.service", 1)
	h.wantResult(ja, "dependency")
	h.is("db.service", "failed", "app.service", "inactive")
	want(h, "app", h.spawns("app.service"), 1)
}

func TestTryRestartAndReloadOrStart(t *testing.T) {
	h := load(t, "a.service || ExecReload=/bin/r", "b.service ||")
	h.do(Request{Verb: VerbTryRestart, Unit: "a.service"})
	h.is("a.service", "inactive")
	h.do(Request{Verb: VerbReloadOrStart, Unit: "a.service"})
	h.is("a.service", "active")
	h.do(Request{Verb: VerbReloadOrStart, Unit: "a.service"})
	h.is("a.service", "reloading")
	h.command("a.service", 0)
	h.do(Request{Verb: VerbTryRestart, Unit: "a.service"})
	h.is("a.service", "stopping")
	h.exit("a.service", 0)
	h.is("a.service", "active")
	h.start("b.service")
	h.refused("JobTypeNotApplicable", Request{Verb: VerbReload, Unit: "b.service"}) // it cannot
}

func TestVerifyActive(t *testing.T) {
	h := load(t, "a.service || Type=notify")
	h.wantResult(h.do(Request{Verb: VerbVerifyActive, Unit: "a.service"}), "skipped")
	h.start("a.service")
	j := h.do(Request{Verb: VerbVerifyActive, Unit: "a.service"})
	h.wantResult(j, "")
	h.ready("a.service")
	h.wantResult(j, "done")
}

// Requisite= and Requires= follow an explicit stop, not a crash.
func TestRequisiteFollowsStops(t *testing.T) {
	h := load(t, "a.service | Requisite=b.service; After=b.service |", "b.service ||")
	h.start("b.service")
	h.start("a.service")
	h.exit("b.service", 1)
	h.is("a.service", "active")
	h.start("b.service")
	h.stop("b.service")
	h.is("a.service", "stopping", "b.service", "active")
}

// A conflict inside one request: what is required wins over what is wanted.
func TestConflictInOneTransaction(t *testing.T) {
	h := load(t, "x.target | Requires=a.service; Wants=b.service |", "a.service ||", "b.service | Conflicts=a.service |",
		"y.target | Requires=a.service b.service |")
	h.start("x.target")
	h.is("a.service", "active", "b.service", "inactive")
	reply, _ := h.ask(Request{Verb: VerbStart, Unit: "y.target"})
	if reply.Err == nil {
		t.Error("a contradiction of required units was granted")
	}
	h.is("a.service", "active", "b.service", "inactive")
}

// A masked, missing or broken unit cannot be started, and it is told how.
func TestUnitsThatCannotStart(t *testing.T) {
	h := load(t, "a.service | Wants=gone.service |", "b.service | Requires=gone.service; After=gone.service |")
	h.wantResult(h.start("a.service"), "done")
	h.refused("NoSuchUnit", Request{Verb: VerbStart, Unit: "gone.service"})
	h.refused("NoSuchUnit", Request{Verb: VerbStart, Unit: "b.service"})
	h.is("b.service", "inactive")
}

// No cascade on a mere crash, with automatic restart: dependents by Requires= do
// not notice (features.md C-10).
func TestCrashDoesNotCascade(t *testing.T) {
	h := load(t, "db.service || Restart=always; RestartSec=1", "app.service | Requires=db.service; After=db.service |")
	h.start("app.service")
	h.exit("db.service", 1)
	h.advance(time.Second)
	h.is("db.service", "active", "app.service", "active")
	want(h, "app", h.spawns("app.service"), 1)
}

// A start during the restart delay takes its place.
func TestStartDuringRestartDelay(t *testing.T) {
	h := load(t, "a.service || Restart=always; RestartSec=60", "b.service | Requires=a.service; After=a.service |")
	h.start("a.service")
	h.exit("a.service", 1)
	j := h.start("b.service")
	h.is("a.service", "active", "b.service", "active")
	h.wantResult(j, "done")
	h.advance(time.Hour)
	want(h, "spawns", h.spawns("a.service"), 2)
}

// A start job whose unit dies before it was up ends as failed, though the unit
// is tried again; those that require it hear of it (W35).
func TestFirstStartFailsThenRestarts(t *testing.T) {
	h := load(t, "a.service || Type=notify; Restart=always; RestartSec=1", "b.service | Requires=a.service; After=a.service |")
	jb := h.start("b.service")
	ja := h.view("a.service").Job
	h.exit("a.service", 1)
	h.wantResult(ja, "failed")
	h.wantResult(jb, "dependency")
	h.advance(time.Second)
	h.ready("a.service")
	h.is("a.service", "active", "b.service", "inactive")
}

// The boot is finished once, when its jobs have ended, and told.
func TestStartupFinished(t *testing.T) {
	h := load(t, "boot.target | Wants=a.service b.service |", "a.service || Type=notify", "b.service || Type=notify")
	h.do(Request{Verb: VerbStart, Unit: "boot.target", Source: SourceBoot})
	count := func() (n int) {
		for _, p := range find[Publish](h, 0) {
			if p.What == StartupFinished {
				n++
			}
		}
		return n
	}
	h.ready("a.service")
	want(h, "finished", count(), 0)
	h.exit("b.service", 1)
	want(h, "finished", count(), 1)
	h.start("b.service")
	h.ready("b.service")
	want(h, "finished", count(), 1)
}

// Cancelling a job of the queue releases what waited for it.
func TestCancelReleasesTheNext(t *testing.T) {
	h := load(t, "a.service || Type=notify", "b.service | After=a.service |", "c.service | Requires=a.service; After=a.service |")
	j := h.start("a.service")
	h.start("b.service")
	jc := h.start("c.service")
	h.do(Request{Verb: VerbCancel, Job: j})
	h.is("b.service", "active")
	if r := h.result(jc); r != "done" && r != "dependency" && r != "" {
		t.Errorf("c ended %q", r)
	}
}

// systemd.service(5), RestartMode=normal (the default): "the service restarts by
// going through a failed/inactive state", so OnFailure= is started each time and
// what is bound to it stops; direct skips that state.
func TestRestartModeNormal(t *testing.T) {
	h := load(t, "a.service | OnFailure=f.service | Restart=always; RestartSec=1", "f.service ||", "b.service | BindsTo=a.service; After=a.service |")
	h.start("b.service")
	h.exit("a.service", 1)
	h.is("f.service", "active", "b.service", "stopping")
}

func TestRestartModeDirect(t *testing.T) {
	h := load(t, "a.service | OnFailure=f.service | Restart=always; RestartSec=1; RestartMode=direct", "f.service ||", "b.service | BindsTo=a.service; After=a.service |")
	h.start("b.service")
	h.exit("a.service", 1)
	h.advance(time.Second)
	h.is("a.service", "active", "f.service", "inactive", "b.service", "active")
}

// A stop with ignore-dependencies spares the dependents.
func TestStopIgnoringDependencies(t *testing.T) {
	h := load(t, "db.service ||", "app.service | Requires=db.service; After=db.service |")
	h.start("app.service")
	h.do(Request{Verb: VerbStop, Unit: "db.service", Mode: graph.IgnoreDependencies})
	h.is("db.service", "stopping", "app.service", "active")
}

// systemd.service(5), Restart=: the process that fails may be one of the hooks.
func TestRestartAfterFailingHook(t *testing.T) {
	h := load(t, "a.service || ExecStartPre=/bin/pre; Restart=on-failure; RestartSec=1", "b.service || ExecStartPre=/bin/pre; Restart=on-abnormal; RestartSec=1")
	h.start("a.service")
	h.start("b.service")
	h.command("a.service", 1)
	h.command("b.service", 1)
	h.is("a.service", "restart-pending", "b.service", "failed")
}
