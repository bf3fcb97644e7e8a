package core

import (
	"fmt"
	"testing"
	"time"
)

// A stop that comes while a crashed service cleans up wins over Restart=
// (invariant h), as does one that comes while its restart waits in the queue.
func TestStopWhileCrashedServiceCleansUp(t *testing.T) {
	h := load(t, "a.service || Restart=always; RestartSec=1; ExecStopPost=/bin/post")
	h.start("a.service")
	h.exit("a.service", 1)
	h.is("a.service", "stopping/stop-post")
	j := h.stop("a.service")
	h.command("a.service", 0)
	h.wantResult(j, "done")
	h.advance(time.Hour)
	want(h, "spawns", h.spawns("a.service"), 1)

	h = load(t, "a.service | After=b.service | Restart=always; RestartSec=1", "b.service || Type=notify")
	h.start("a.service")
	h.start("b.service")
	h.exit("a.service", 1)
	h.advance(time.Second) // its restart waits for b now
	h.is("a.service", "restart-pending")
	h.stop("a.service")
	h.ready("b.service")
	h.advance(time.Hour)
	h.is("a.service", "inactive")
	want(h, "spawns", h.spawns("a.service"), 1)
}

// A start while a crashed service cleans up happens once, right after.
func TestStartWhileCrashedServiceCleansUp(t *testing.T) {
	h := load(t, "a.service || Restart=always; RestartSec=30; ExecStopPost=/bin/post")
	h.start("a.service")
	h.exit("a.service", 1)
	j := h.start("a.service")
	h.wantResult(j, "")
	h.command("a.service", 0)
	h.is("a.service", "active")
	h.wantResult(j, "done")
	h.advance(time.Hour)
	want(h, "spawns", h.spawns("a.service"), 2)
}

// Conditions are asked again at every automatic restart.
func TestConditionsHoldForRestarts(t *testing.T) {
	h := load(t, "a.service | ConditionPathExists=/x | Restart=always; RestartSec=1")
	h.start("a.service")
	h.conditions("a.service", true)
	h.exit("a.service", 1)
	h.advance(time.Second)
	want(h, "spawns", h.spawns("a.service"), 1)
	h.conditions("a.service", false)
	h.is("a.service", "skipped")
	h.advance(time.Hour)
	want(h, "spawns", h.spawns("a.service"), 1)
}

// A member that can never be started does not keep a group restart going for
// ever: the intensity ends it, and the siblings are not left half way.
func TestGroupWithAMemberThatCannotStart(t *testing.T) {
	h := load(t, `root.sup | supervisor.max-restarts=2; supervisor.max-restart-window="600s"`, `s.sup | supervisor.strategy="one-for-all"; supervisor.max-restarts=3; supervisor.max-restart-window="600s"`,
		`a.toml | service.supervisor="s"; restart.delay="1s"`, `b.toml | service.supervisor="s"; restart.delay="1s"; restart.max-restarts=0; dependencies.after=["a.service"]`,
		`c.toml | service.supervisor="s"; restart.delay="1s"; dependencies.after=["b.service"]`)
	h.obedient = true
	for _, u := range []string{"a.service", "b.service", "c.service"} {
		h.start(u)
	}
	h.noExec["b.service"] = true
	h.exit("b.service", 1)
	for range 400 {
		h.advance(time.Second)
		if h.view("b.service").Main != 0 {
			h.spawnFailed("b.service", "exec", 2)
		}
	}
	h.is("b.service", "failed", "a.service", "inactive", "c.service", "inactive")
	want(h, "degraded", h.c.View().Degraded(), true)
	if n := h.spawns("b.service"); n > 15 {
		h.Errorf("b was tried %d times", n)
	}
}

// 29 again: neither a socket nor a dependent makes a crash loop faster than once
// a second with the default configuration.
func TestStatement29SocketsDoNotSpeedUpCrashLoops(t *testing.T) {
	h := load(t, "a.toml |", "a.socket || ListenStream=/run/a")
	h.start("a.socket")
	last, n := -time.Hour, 0
	for range 600 {
		h.tell(Readable{Unit: "a.socket"}) // clients never give up
		if m := h.spawns("a.service"); m != n {
			if h.now.Mono-last < time.Second {
				h.Fatalf("spawn %d came %v after the one before", m, h.now.Mono-last)
			}
			last, n = h.now.Mono, m
			h.exit("a.service", 1)
		}
		h.advance(100 * time.Millisecond)
	}
	if n < 5 {
		h.Errorf("only %d spawns in a minute: the story does not tell anything", n)
	}
}

// Instances and transient units that have ended are forgotten, or a server with
// Accept=yes fills the manager's memory (features.md 5.2: memory growth).
func TestEndedInstancesAreForgotten(t *testing.T) {
	h := load(t, "s.socket || ListenStream=/run/s; Accept=yes; TriggerLimitIntervalSec=0")
	h.start("s.socket")
	for n := range 300 {
		name := fmt.Sprintf("s@%d.service", n)
		h.tell(Accepted{Socket: "s.socket", Instance: buildUnit(h.tb, name+" || ExecStart=/bin/s")})
		h.exit(name, 0)
		h.advance(time.Second)
	}
	h.advance(5 * time.Minute)
	units := 0
	h.c.View().Units(func(UnitView) bool { units++; return true })
	if units > 50 {
		h.Errorf("%d units are known after 300 connections have come and gone", units)
	}
}

func TestSuccessAndFailureActions(t *testing.T) {
	h := load(t, "a.service | SuccessAction=poweroff; FailureAction=reboot-immediate | Type=oneshot")
	h.start("a.service")
	m := h.mark()
	h.exit("a.service", 0)
	want(h, "action", h.emergencies(m), "a.service:poweroff")
	h.start("a.service")
	m = h.mark()
	h.exit("a.service", 1)
	want(h, "action", h.emergencies(m), "a.service:reboot-immediate")
}

// An unused automount lets its file system go after TimeoutIdleSec=; the world
// tells how long it was idle, so the core at least must not forget the mount.
func TestAutomountIsStoppedWithItsMount(t *testing.T) {
	h := load(t, "data.automount ||", "data.mount ||")
	h.start("data.automount")
	h.tell(AutomountRequested{Unit: "data.automount"})
	h.tell(MountChanged{Unit: "data.mount", Mounted: true})
	h.command("data.mount", 0)
	h.stop("data.mount")
	h.command("data.mount", 0)
	h.tell(MountChanged{Unit: "data.mount"})
	h.is("data.mount", "inactive", "data.automount", "active/waiting")
	m := h.mark()
	h.stop("data.automount")
	h.is("data.automount", "inactive")
	want(h, "closed", len(find[Unlisten](h, m)), 1)
}

// A crash while the service reloads is a crash; its restart is a normal one.
func TestCrashDuringReloadRestarts(t *testing.T) {
	h := load(t, "a.service || ExecReload=/bin/r; Restart=on-failure; RestartSec=1")
	h.start("a.service")
	j := h.reload("a.service")
	h.killed("a.service", 11)
	for _, id := range h.runsOf("a.service", 0) {
		h.end(id, Exited{Run: id, Signal: sigKILL})
	}
	h.settle()
	h.wantResult(j, "failed")
	h.advance(time.Second)
	h.is("a.service", "active")
}

// Two restarts never merge into one that is under way (statement 13).
func TestRestartDuringRestart(t *testing.T) {
	h := load(t, "a.service || Type=notify")
	h.start("a.service")
	h.ready("a.service")
	j1 := h.restart("a.service")
	h.exit("a.service", 0)
	h.is("a.service", "starting")
	j2 := h.restart("a.service") // it is being started: a full restart follows
	h.is("a.service", "stopping")
	h.exit("a.service", 0)
	h.ready("a.service")
	h.is("a.service", "active")
	h.wantResult(j2, "done")
	if h.result(j1) == "" {
		t.Error("the first restart has no end")
	}
	want(h, "spawns", h.spawns("a.service"), 3)
}

// Every failure carries a sentence: what happened, what was done, what mends it.
func TestCausesSpeak(t *testing.T) {
	for k := ByRequest; k < numCauses; k++ {
		for _, c := range []Cause{{Kind: k}, {Kind: k, Unit: "b.service", Code: 3, Signal: 11, Errno: 2, Detail: "exec", Decision: "it is restarted in 1s"}} {
			s := c.Sentence("a.service")
			if s == "" || len(s) > 300 {
				t.Errorf("%s: %q", k, s)
			}
			for _, mark := range []string{"%u", "%n", "%c", "%s", "%e", "%d", "%r", "%!"} {
				if contains(s, mark) {
					t.Errorf("%s: %q still has %s", k, s, mark)
				}
			}
		}
	}
}

func contains(s, sub string) bool {
	for k := 0; k+len(sub) <= len(s); k++ {
		if s[k:k+len(sub)] == sub {
			return true
		}
	}
	return false
}
