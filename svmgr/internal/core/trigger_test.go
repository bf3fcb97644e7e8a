package core

import (
	"fmt"
	"testing"
	"time"
)

func TestTimerMonotonic(t *testing.T) {
	h := loadWith(t, Config{Boot: 90 * time.Second, Startup: 95 * time.Second},
		"t.timer || OnActiveSec=10; OnBootSec=30; OnStartupSec=50; AccuracySec=1us", "t.service || Type=oneshot")
	h.start("t.timer") // at 100 s; due at 110, 120 and 145
	for n, step := range []time.Duration{10, 10, 25} {
		h.advance(step*time.Second - 1)
		want(h, "too early", h.spawns("t.service"), n)
		h.advance(1)
		want(h, "in time", h.spawns("t.service"), n+1)
		h.is("t.timer", "active/running")
		h.exit("t.service", 0)
	}
	h.is("t.timer", "active/elapsed")
	h.advance(time.Hour)
	want(h, "each once", h.spawns("t.service"), 3)
}

func TestTimerRepeats(t *testing.T) {
	h := load(t, "t.timer || OnActiveSec=1; OnUnitInactiveSec=20; AccuracySec=1us", "t.service || Type=oneshot",
		"u.timer || OnActiveSec=1; OnUnitActiveSec=20; AccuracySec=1us", "u.service || Type=oneshot")
	h.start("t.timer")
	h.start("u.timer")
	h.advance(time.Second)
	for range 5 {
		h.advance(7 * time.Second)
		h.exit("t.service", 1) // a failure is no reason to stop
		h.exit("u.service", 0)
		h.advance(13 * time.Second)
		want(h, "u counts from its start", h.state("u.service"), "starting")
		h.is("t.service", "failed")
		h.advance(7 * time.Second)
		h.is("t.service", "starting")
		h.advance(6 * time.Second)
		h.exit("t.service", 0)
		h.exit("u.service", 0)
		// Bring both to the same beat again.
		h.stop("t.timer")
		h.stop("u.timer")
		h.start("t.timer")
		h.start("u.timer")
		h.advance(time.Second)
	}
}

// OnUnitActiveSec= goes on and on, counted from each start of the unit.
func TestTimerOnUnitActiveGoesOn(t *testing.T) {
	h := load(t, "t.timer || OnActiveSec=5; OnUnitActiveSec=20; AccuracySec=1us", "t.service || Type=oneshot")
	h.start("t.timer")
	h.advance(5 * time.Second)
	for n := 1; n < 8; n++ {
		want(h, "spawns", h.spawns("t.service"), n)
		h.advance(2 * time.Second)
		h.exit("t.service", 0)
		h.advance(18*time.Second - 1)
		want(h, "too early", h.spawns("t.service"), n)
		h.advance(1)
	}
}

// RemainAfterElapse=no lets a timer go that will not elapse again.
func TestTimerRemainAfterElapse(t *testing.T) {
	h := load(t, "t.timer || OnActiveSec=10; RemainAfterElapse=no; AccuracySec=1us", "t.service || Type=oneshot")
	h.start("t.timer")
	h.advance(10 * time.Second)
	h.is("t.timer", "active/running")
	h.exit("t.service", 0)
	h.is("t.timer", "inactive")
}

func TestTimerCalendarFollowsTheClock(t *testing.T) {
	h := load(t, "t.timer || OnCalendar=*-*-* 06:00:00; AccuracySec=1us", "t.service || Type=oneshot")
	h.start("t.timer")
	want(h, "due", h.view("t.timer").NextElapse.Mono-h.now.Mono, 6*time.Hour)
	h.now.Wall += int64(5 * time.Hour) // the clock is set forward to 05:00
	h.tell(ClockJump{})
	want(h, "due", h.view("t.timer").NextElapse.Mono-h.now.Mono, time.Hour)
	h.now.Wall -= int64(4 * time.Hour) // and back to 01:00
	h.tell(ClockJump{})
	h.advance(5*time.Hour - 1)
	want(h, "spawns", h.spawns("t.service"), 0)
	h.advance(1)
	want(h, "spawns", h.spawns("t.service"), 1)
	h.exit("t.service", 0)
	want(h, "next day", h.view("t.timer").NextElapse.Mono-h.now.Mono, 24*time.Hour)
}

// A jump over the moment fires the timer once.
func TestTimerJumpOverTheMoment(t *testing.T) {
	h := load(t, "t.timer || OnCalendar=*-*-* 06:00:00; AccuracySec=1us", "t.service || Type=oneshot")
	h.start("t.timer")
	h.now.Wall += int64(7 * time.Hour)
	h.tell(ClockJump{})
	h.advance(time.Second)
	want(h, "spawns", h.spawns("t.service"), 1)
	h.exit("t.service", 0)
	h.advance(20 * time.Hour)
	want(h, "spawns", h.spawns("t.service"), 1)
}

func TestTimerOnClockChange(t *testing.T) {
	h := load(t, "t.timer || OnClockChange=yes", "t.service || Type=oneshot")
	h.start("t.timer")
	h.is("t.timer", "active")
	h.advance(time.Hour)
	want(h, "spawns", h.spawns("t.service"), 0)
	h.tell(ClockJump{})
	want(h, "spawns", h.spawns("t.service"), 1)
	h.exit("t.service", 0)
	h.tell(ClockJump{})
	want(h, "spawns", h.spawns("t.service"), 2)
}

// RandomizedDelaySec= only ever delays, FixedRandomDelay= by the same amount.
func TestTimerRandomizedDelay(t *testing.T) {
	seen := map[time.Duration]bool{}
	for seed := range uint64(20) {
		h := loadWith(t, Config{Seed: seed}, "t.timer || OnActiveSec=10; RandomizedDelaySec=60; FixedRandomDelay=yes; AccuracySec=1us", "t.service || Type=oneshot")
		h.start("t.timer")
		d := h.view("t.timer").NextElapse.Mono - h.now.Mono
		if d < 10*time.Second || d >= 70*time.Second {
			t.Errorf("seed %d: due in %v", seed, d)
		}
		seen[d] = true
		h.restart("t.timer")
		want(h, "fixed", h.view("t.timer").NextElapse.Mono-h.now.Mono, d)
	}
	if len(seen) < 10 {
		t.Errorf("only %d different delays on 20 machines", len(seen))
	}
}

// The stamp of a persistent timer is written when it elapses.
func TestTimerPersistentStamps(t *testing.T) {
	h := load(t, "t.timer || OnCalendar=hourly; Persistent=yes; AccuracySec=1us", "t.service || Type=oneshot")
	h.now.Wall += int64(30 * time.Minute)
	h.start("t.timer")
	m := h.mark()
	h.advance(30 * time.Minute)
	want(h, "stamps", fmt.Sprint(find[Stamp](h, m)), fmt.Sprint([]Stamp{{Unit: "t.timer", Wall: h.now.Wall}}))
}

// systemd.timer(5): a unit that is still active when the timer elapses "is not
// restarted, but simply left running"; when it ends, what elapsed meanwhile makes
// the timer "immediately trigger again", once.
func TestTimerWhileItsUnitRuns(t *testing.T) {
	h := load(t, "t.timer || OnCalendar=*:0/10; AccuracySec=1us", "t.service || Type=simple")
	h.start("t.timer")
	h.advance(35 * time.Minute)
	want(h, "spawns", h.spawns("t.service"), 1)
	h.exit("t.service", 0)
	h.advance(time.Second)
	want(h, "at once", h.spawns("t.service"), 2)
	h.exit("t.service", 0)
	h.advance(time.Minute)
	want(h, "once", h.spawns("t.service"), 2)
	h.advance(5 * time.Minute)
	want(h, "as usual", h.spawns("t.service"), 3)
}

// DeferReactivation=yes waits for the next regular elapse instead.
func TestTimerDeferReactivation(t *testing.T) {
	h := load(t, "t.timer || OnCalendar=*:0/10; AccuracySec=1us; DeferReactivation=yes", "t.service || Type=simple")
	h.start("t.timer")
	h.advance(35 * time.Minute)
	h.exit("t.service", 0)
	h.advance(4 * time.Minute)
	want(h, "spawns", h.spawns("t.service"), 1)
	h.advance(time.Minute)
	want(h, "spawns", h.spawns("t.service"), 2)
}

func TestTimerWithoutUnit(t *testing.T) {
	h := load(t, "t.timer || OnActiveSec=10; Unit=gone.service")
	j := h.start("t.timer")
	h.advance(time.Minute)
	if h.result(j) == "done" && h.state("t.timer") == "active" && h.c.rec(0) != nil && len(find[Spawn](h, 0)) > 0 {
		t.Error("a unit that does not exist was started")
	}
}

func TestSocketTriggers(t *testing.T) {
	h := load(t, "s.socket || ListenStream=/run/s", "s.service ||")
	h.start("s.socket")
	h.is("s.socket", "active/listening", "s.service", "inactive")
	h.tell(Readable{Unit: "s.socket"})
	h.is("s.socket", "active/running", "s.service", "active")
	sp := find[Spawn](h, 0)
	want(h, "trigger", sp[0].Trigger, "s.socket")
	want(h, "fds", sp[0].PassFDs, true)
	want(h, "source", h.jobs[JobID(len(h.jobs))].source, SourceSocket)
	h.tell(Readable{Unit: "s.socket"}) // not watched now: nothing happens
	m := h.mark()
	h.exit("s.service", 0)
	h.is("s.socket", "active/listening")
	want(h, "watched again", len(find[Watch](h, m)), 1)
	h.stop("s.socket")
	want(h, "closed", len(find[Unlisten](h, m)), 1)
	h.tell(Readable{Unit: "s.socket"})
	h.is("s.service", "inactive")
}

// A socket that wakes its service again and again fails, and says why.
func TestSocketTriggerLimit(t *testing.T) {
	h := load(t, "s.socket || ListenStream=/run/s; TriggerLimitIntervalSec=10; TriggerLimitBurst=3", "s.service | StartLimitIntervalSec=0 |")
	h.start("s.socket")
	for range 3 {
		h.tell(Readable{Unit: "s.socket"})
		h.exit("s.service", 0)
	}
	h.is("s.socket", "active/listening")
	h.tell(Readable{Unit: "s.socket"})
	h.is("s.socket", "failed", "s.service", "inactive")
	h.because("s.socket", TriggerLimitHit)
	want(h, "spawns", h.spawns("s.service"), 3)
}

// A service that hits its start limit takes its socket along instead of being
// woken for ever.
func TestSocketFailsWithItsService(t *testing.T) {
	h := load(t, "s.socket || ListenStream=/run/s", "s.service | StartLimitBurst=2 |")
	h.start("s.socket")
	for range 3 {
		h.tell(Readable{Unit: "s.socket"})
		if h.view("s.service").Main != 0 {
			h.exit("s.service", 1)
		}
	}
	h.is("s.socket", "failed", "s.service", "failed")
	want(h, "spawns", h.spawns("s.service"), 2)
}

func TestSocketAcceptAndMaxConnections(t *testing.T) {
	h := load(t, "s.socket || ListenStream=/run/s; Accept=yes; MaxConnections=2; MaxConnectionsPerSource=1", "s@.service ||")
	h.start("s.socket")
	conn := func(n, from string) {
		h.tell(Accepted{Socket: "s.socket", Instance: buildUnit(t, "s@"+n+".service || ExecStart=/bin/s"), Source: from})
	}
	conn("1", "10.0.0.1")
	conn("2", "10.0.0.1") // the same peer once more
	h.is("s@1.service", "active")
	if _, ok := h.c.View().Unit("s@2.service"); ok {
		h.is("s@2.service", "inactive")
	}
	conn("3", "10.0.0.2")
	h.is("s@3.service", "active")
	m := h.mark()
	conn("4", "10.0.0.3") // one too many
	want(h, "refused", fmt.Sprint(find[Withdraw](h, m)), "[{s@4.service }]")
	h.exit("s@1.service", 0)
	conn("5", "10.0.0.1")
	h.is("s@5.service", "active", "s.socket", "active/listening")
	want(h, "trigger", find[Spawn](h, m)[0].Trigger, "s.socket")
}

func TestSocketCommandsAndFailure(t *testing.T) {
	h := load(t, "s.socket || ListenStream=/run/s; ExecStartPre=/bin/a; ExecStartPost=/bin/b; ExecStopPre=/bin/c; ExecStopPost=/bin/d; RemoveOnStop=yes", "s.service ||")
	j := h.start("s.socket")
	h.is("s.socket", "starting/start-pre")
	h.command("s.socket", 0)
	h.is("s.socket", "starting/start-post")
	h.command("s.socket", 0)
	h.is("s.socket", "active/listening")
	h.wantResult(j, "done")
	m := h.mark()
	h.stop("s.socket")
	want(h, "still open", len(find[Unlisten](h, m)), 0)
	h.command("s.socket", 0)
	want(h, "closed", fmt.Sprint(find[Unlisten](h, m)), "[{s.socket true}]")
	h.command("s.socket", 0)
	h.is("s.socket", "inactive")
	h.ran(0, "s.socket", "start-pre start-post stop-pre stop-post")

	h.start("s.socket")
	h.command("s.socket", 1)
	h.is("s.socket", "stopping/stop-post")
	h.command("s.socket", 0)
	h.is("s.socket", "failed")
}

func TestSocketRefusesWhileItsServiceRuns(t *testing.T) {
	h := load(t, "s.socket || ListenStream=/run/s", "s.service | DefaultDependencies=no |")
	h.do(Request{Verb: VerbStart, Unit: "s.service", Mode: 5}) // ignore-dependencies: without its socket
	h.is("s.service", "active", "s.socket", "inactive")
	j := h.start("s.socket")
	h.wantResult(j, "failed")
}

func TestPathTriggersAndLimit(t *testing.T) {
	h := load(t, "p.path || PathExists=/x; TriggerLimitIntervalSec=10; TriggerLimitBurst=3", "p.service | StartLimitIntervalSec=0 | Type=oneshot")
	h.start("p.path")
	h.is("p.path", "active/waiting")
	for range 3 {
		h.tell(PathChanged{Unit: "p.path"})
		h.is("p.path", "active/running", "p.service", "starting")
		want(h, "watches", len(find[Unwatch](h, 0)), 0) // it fired, and is told once
		h.exit("p.service", 0)
		h.is("p.path", "active/waiting")
	}
	h.tell(PathChanged{Unit: "p.path"})
	h.is("p.path", "failed")
	h.because("p.path", TriggerLimitHit)
	h.advance(time.Minute)
	want(h, "spawns", h.spawns("p.service"), 3)
}

func TestAutomount(t *testing.T) {
	h := load(t, "data.automount ||", "data.mount ||")
	h.start("data.automount")
	h.is("data.automount", "active/waiting", "data.mount", "inactive")
	h.tell(AutomountRequested{Unit: "data.automount"})
	h.is("data.automount", "active/running", "data.mount", "starting/mounting")
	h.tell(MountChanged{Unit: "data.mount", Mounted: true})
	h.command("data.mount", 0)
	h.is("data.mount", "active/mounted")
	h.tell(MountChanged{Unit: "data.mount"})
	h.is("data.mount", "inactive", "data.automount", "active/waiting")
	h.tell(AutomountRequested{Unit: "data.automount"}) // and a failing mount
	h.command("data.mount", 32)
	h.is("data.mount", "failed", "data.automount", "active/waiting")
	h.listenErrno = 19
	h.restart("data.automount")
	h.is("data.automount", "failed")
	h.listenErrno = Unsupported // the kernel has no autofs: nobody's failure
	h.restart("data.automount")
	h.is("data.automount", "skipped")
	h.because("data.automount", ConditionUnmet)
}
