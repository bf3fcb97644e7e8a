package core

import (
	"fmt"
	"testing"
	"time"
)

// Defects of the original dynamod that are decisions (docs/statements.md; W numbers).
// Each test fails on the original's behaviour.

// W25: a stop by the operator is no crash.
func TestW25StopIsNotACrash(t *testing.T) {
	for _, policy := range []string{"permanent", "transient", "temporary"} {
		h := load(t, `a.toml | restart.delay="1s"; restart.policy="`+policy+`"`)
		h.start("a.service")
		h.stop("a.service")
		h.killed("a.service", sigKILL)
		h.is("a.service", "inactive")
		h.advance(time.Hour)
		want(h, policy, h.spawns("a.service"), 1)
	}
}

// W26: a restart makes one instance, also if the old one takes long to go.
func TestW26RestartMakesOneInstance(t *testing.T) {
	h := load(t, `a.toml | restart.delay="1s"; service.stop-timeout="30s"`)
	h.start("a.service")
	j := h.restart("a.service")
	h.advance(29 * time.Second)
	want(h, "spawns", h.spawns("a.service"), 1)
	h.exit("a.service", 1)
	h.wantResult(j, "done")
	h.advance(time.Hour)
	want(h, "spawns", h.spawns("a.service"), 2)
}

// W27: start of what runs does nothing.
func TestW27StartTwice(t *testing.T) {
	h := load(t, "a.toml |")
	h.start("a.service")
	h.wantResult(h.start("a.service"), "done")
	want(h, "spawns", h.spawns("a.service"), 1)
}

// W28: siblings stopped for a group restart are no crashes: each member starts
// once, and one restart is counted.
func TestW28GroupRestartIsOneRestart(t *testing.T) {
	h := load(t, `s.sup | supervisor.strategy="one-for-all"; supervisor.max-restarts=1; supervisor.max-restart-window="60s"`,
		`a.toml | service.supervisor="s"; restart.delay="1s"`, `b.toml | service.supervisor="s"; restart.delay="1s"`, `c.toml | service.supervisor="s"; restart.delay="1s"`)
	for _, u := range []string{"a", "b", "c"} {
		h.start(u + ".service")
	}
	h.exit("a.service", 1)
	h.advance(10 * time.Second) // slow to stop, and they end with failures
	h.exit("c.service", 1)
	h.advance(10 * time.Second)
	h.exit("b.service", 1)
	h.advance(10 * time.Second)
	for _, u := range []string{"a", "b", "c"} {
		h.is(u+".service", "active")
		want(h, u, h.spawns(u+".service"), 2)
		want(h, "restarts counted", h.view(u+".service").Restarts <= 1, true)
	}
}

// W31: see TestGroupSparesFinishedOneshots. Here: the same through escalation.
func TestW31EscalationSparesFinishedOneshots(t *testing.T) {
	h := load(t, `p.sup | supervisor.strategy="one-for-all"`, `s.sup | supervisor.parent="p"; supervisor.max-restarts=1; supervisor.max-restart-window="60s"`,
		`fsck.toml | service.supervisor="p"; service.type="oneshot"`, `a.toml | service.supervisor="s"; restart.delay="1s"; restart.max-restarts=0`)
	h.start("fsck.service")
	h.exit("fsck.service", 0)
	h.start("a.service")
	h.crash("a.service", 1, 2*time.Second)
	h.crash("a.service", 1, 5*time.Second)
	h.is("a.service", "active", "fsck.service", "completed")
	want(h, "fsck", h.spawns("fsck.service"), 1)
}

// W32: a delay of an hour or a hung check holds up nobody else.
func TestW32NothingBlocks(t *testing.T) {
	h := load(t, `a.toml | restart.delay="1h"; restart.delay-max="1h"`, "b.service ||")
	h.start("a.service")
	h.exit("a.service", 1)
	h.wantResult(h.start("b.service"), "done")
	h.exit("b.service", 0)
	h.is("a.service", "restart-pending", "b.service", "inactive")
}

// W33: a oneshot that never ends does not keep the boot from anything that is
// not ordered after it.
func TestW33HungOneshotDuringBoot(t *testing.T) {
	h := load(t, "boot.target | Wants=mount.service a.service b.service |", `mount.toml | service.type="oneshot"`, "a.service ||", "b.service | After=mount.service |")
	h.do(Request{Verb: VerbStart, Unit: "boot.target", Source: SourceBoot})
	h.advance(time.Hour)
	h.is("a.service", "active", "b.service", "inactive", "mount.service", "starting")
	h.refused("NoSuchUnit", Request{Verb: VerbStart, Unit: "x.service"}) // requests are answered
}

// W34, W35: a spawn or exec that fails is a failure, and dependents hear it.
func TestW34W35FailedExecDoesNotSatisfy(t *testing.T) {
	for _, typ := range []string{"simple", "oneshot"} {
		h := load(t, `a.toml | service.type="`+typ+`"; restart.policy="no"`, `b.toml | dependencies.requires=["a.service"]; dependencies.after=["a.service"]`)
		h.noExec["a.service"] = true
		j := h.start("b.service")
		h.spawnFailed("a.service", "exec", 2)
		h.is("a.service", "failed", "b.service", "blocked")
		h.wantResult(j, "dependency")
		want(h, "b", h.spawns("b.service"), 0)
	}
}

// W36: a readiness timeout ends the processes and marks the service.
func TestW36ReadinessTimeoutKills(t *testing.T) {
	h := load(t, `a.toml | readiness.type="notify"; readiness.timeout="5s"; restart.policy="no"`)
	h.start("a.service")
	m := h.mark()
	h.advance(5 * time.Second)
	h.did(m, "a.service", "TERM CONT")
	h.exit("a.service", 0)
	h.is("a.service", "failed")
	h.because("a.service", ReadinessTimeout)
}

// W37: readiness is asked for at every start, not only at boot.
func TestW37ReadinessAtEveryStart(t *testing.T) {
	h := load(t, `a.toml | readiness.type="fd"; restart.delay="1s"`, `b.toml | dependencies.requires=["a.service"]; dependencies.after=["a.service"]`)
	h.start("a.service")
	h.tell(Ready{Run: h.probe("a.service", ProbeReadyFD)})
	h.exit("a.service", 1)
	h.advance(time.Second)
	j := h.start("b.service")
	h.is("a.service", "starting", "b.service", "inactive")
	h.tell(Ready{Run: h.probe("a.service", ProbeReadyFD)})
	h.wantResult(j, "done")
	want(h, "probes", len(find[Probe](h, 0)), 2)
}

// W39: soft dependents of a blocked unit start.
func TestW39SoftDependentsOfBlocked(t *testing.T) {
	h := load(t, "all.target | Wants=a.service b.service c.service |", `a.toml | dependencies.requires=["bad.service"]; dependencies.after=["bad.service"]`,
		`b.toml | dependencies.wants=["a.service"]; dependencies.after=["a.service"]`, "c.service | After=a.service |", "bad.service | AssertPathExists=/x |")
	h.start("all.target")
	h.conditions("bad.service", false)
	h.is("a.service", "blocked", "b.service", "active", "c.service", "active")
}

// W40: a hard dependency that does not exist blocks, named as such.
func TestW40MissingDependencyBlocks(t *testing.T) {
	h := load(t, "all.target | Wants=a.service |", `a.toml | dependencies.requires=["typo.service"]; dependencies.after=["typo.service"]`)
	h.start("all.target")
	h.advance(time.Minute)
	want(h, "spawns", h.spawns("a.service"), 0)
	h.is("a.service", "blocked")
	h.because("a.service", DependencyMissing)
	want(h, "named", h.view("a.service").Cause.Unit, "typo.service")
	// A reload that brings it starts a.service (features.md C-12).
	h.reloadUnits(false, "all.target | Wants=a.service |", `a.toml | dependencies.requires=["typo.service"]; dependencies.after=["typo.service"]`, "typo.service ||")
	h.start("typo.service")
	h.is("a.service", "active")
}

// W41: a cycle at boot costs its members, never the boot.
func TestW41CycleDoesNotStopTheBoot(t *testing.T) {
	h := load(t, "boot.target | Wants=a.service x.service y.service |", "a.service ||",
		"x.service | Requires=y.service; After=y.service |", "y.service | Requires=x.service; After=x.service |")
	m := h.mark()
	h.do(Request{Verb: VerbStart, Unit: "boot.target", Source: SourceBoot})
	h.is("a.service", "active", "boot.target", "active")
	h.logged(m, "cycle")
	want(h, "x and y", h.spawns("x.service")+h.spawns("y.service") < 2, true)
}

// W42: children may be read before their parents; the order of files is nothing.
func TestW42SupervisorsInAnyOrder(t *testing.T) {
	for _, order := range [][]int{{0, 1}, {1, 0}} {
		sups := []string{`a.sup | supervisor.parent="z"; supervisor.max-restarts=1; supervisor.max-restart-window="60s"`, `z.sup | supervisor.strategy="one-for-all"`}
		h := load(t, sups[order[0]], sups[order[1]], `s.toml | service.supervisor="a"; restart.delay="1s"; restart.max-restarts=0`, `o.toml | service.supervisor="z"`)
		h.obedient = true
		h.start("s.service")
		h.start("o.service")
		h.crash("s.service", 2, 3*time.Second)
		want(h, fmt.Sprint(order), h.spawns("o.service"), 2)
	}
}

// W43: the service's own budget is kept, and a forking daemon is one service.
func TestW43OwnBudgetIsKept(t *testing.T) {
	h := load(t, `a.toml | restart.max-restarts=2; restart.max-restart-window="60s"; restart.delay="1s"; service.type="forking"`)
	h.start("a.service")
	for range 3 {
		h.holds["a.service"] = true
		h.command("a.service", 0)
		a := adopt(h)
		h.tell(MainPID{Unit: "a.service", Incarnation: a.Incarnation, Run: a.Run, Found: true})
		h.is("a.service", "active")
		h.tell(Exited{Run: a.Run, Code: 1})
		h.empties("a.service")
		h.advance(2 * time.Second)
	}
	h.is("a.service", "failed")
	h.because("a.service", BudgetExhausted)
	want(h, "adoptions", len(find[Adopt](h, 0)), 3)
}

// W46, W47: stops go in parallel, each with its own time; a stop command takes
// the place of the signal; the operator's stop uses all of it.
func TestW46W47StopsInParallel(t *testing.T) {
	h := load(t, "a.service || ExecStop=/bin/hangs; TimeoutStopSec=20", "b.service || KillSignal=SIGINT", "c.service ||")
	for _, u := range []string{"a", "b", "c"} {
		h.start(u + ".service")
	}
	m := h.mark()
	h.shutdown(Reboot)
	h.did(m, "a.service", "stop")
	h.did(m, "b.service", "INT CONT")
	h.did(m, "c.service", "TERM CONT")

	h = load(t, "a.service || ExecStop=/bin/stop")
	h.start("a.service")
	m = h.mark()
	h.stop("a.service")
	main := h.main("a.service")
	h.end(main, Exited{Run: main}) // the command makes it go
	h.settle()
	h.command("a.service", 0)
	h.is("a.service", "inactive")
	for _, s := range find[Signal](h, m) {
		if s.Run == main {
			t.Errorf("%v was sent to the main process although the stop command ended it", s)
		}
	}
}
