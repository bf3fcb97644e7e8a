package core

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// 17. `reload` of a service always resolves: ≤2 s without RELOADING=1
// (advisory), ≤start-timeout with it; crash inside is a crash.
func TestStatement17ReloadAlwaysResolves(t *testing.T) {
	const a = "a.service || Type=notify-reload; TimeoutStartSec=20; Restart=no"
	up := func() *harness {
		h := load(t, a)
		h.start("a.service")
		h.ready("a.service")
		return h
	}
	h := up()
	m := h.mark()
	j := h.reload("a.service")
	h.did(m, "a.service", "HUP:main")
	h.is("a.service", "reloading/reload-signal")
	h.advance(2 * time.Second)
	h.wantResult(j, "done")
	h.is("a.service", "active/running")
	h.logged(m, "unconfirmed")

	h = up()
	j = h.reload("a.service")
	h.notify("a.service", Notification{Reloading: true, ReloadStamp: h.now.Mono})
	h.advance(20*time.Second - 1)
	h.is("a.service", "reloading/reload-notify")
	h.advance(1)
	h.wantResult(j, "failed")
	h.is("a.service", "active/running")

	h = up()
	j = h.reload("a.service")
	h.notify("a.service", Notification{Reloading: true, ReloadStamp: h.now.Mono})
	h.ready("a.service")
	h.wantResult(j, "done")

	h = up()
	j = h.reload("a.service")
	h.killed("a.service", 11)
	h.wantResult(j, "failed")
	h.is("a.service", "failed")
	h.because("a.service", MainKilled)

	h = load(t, "a.service || ExecReload=/bin/reload; TimeoutStartSec=20")
	h.start("a.service")
	j = h.reload("a.service")
	m = h.mark()
	h.advance(20 * time.Second)
	h.wantResult(j, "failed")
	h.is("a.service", "active/running")
	h.did(m, "a.service", "KILL:control")
}

// 18. EXTEND_TIMEOUT_USEC replaces the deadline, is clamped to 4× and, in
// shutdown, to the remaining global time; a service spamming it cannot delay
// poweroff past 90 s.
func TestStatement18ExtendTimeoutIsClamped(t *testing.T) {
	h := load(t, "a.service || Type=notify; TimeoutStartSec=10; TimeoutStopSec=5")
	j := h.start("a.service")
	h.advance(9 * time.Second)
	h.notify("a.service", Notification{ExtendTimeout: 3 * time.Second})
	h.advance(3*time.Second - 1)
	h.is("a.service", "starting")
	for h.state("a.service") == "starting" && h.now.Mono < 500*time.Second {
		h.notify("a.service", Notification{ExtendTimeout: 100 * time.Second})
		h.advance(time.Second)
	}
	if at := h.now.Mono - 100*time.Second; at < 40*time.Second-1 || at > 41*time.Second {
		t.Errorf("the start was given up after %v, want 4 × 10 s", at)
	}
	h.killed("a.service", sigTERM)
	h.wantResult(j, "timeout")
}

func TestStatement18CannotDelayPoweroff(t *testing.T) {
	h := load(t, "a.service || Type=notify; TimeoutStopSec=600")
	h.start("a.service")
	h.ready("a.service")
	h.shutdown(Poweroff)
	begin := h.now.Mono
	for len(find[HandOver](h, 0)) == 0 && h.now.Mono < begin+time.Hour {
		if h.view("a.service").Main != 0 {
			h.notify("a.service", Notification{ExtendTimeout: time.Hour})
		}
		h.advance(time.Second)
	}
	want(h, "hand-overs", len(find[HandOver](h, 0)), 1)
	if d := h.now.Mono - begin; d > 95*time.Second {
		t.Errorf("the shutdown took %v, want 90 s and 5 s after the kill", d)
	}
}

// 19. During shutdown nothing starts, timers are off, critical failures do not
// reboot, starting services are killed, and no service is stopped before all
// its dependents have stopped.
func TestStatement19Shutdown(t *testing.T) {
	h := load(t,
		"db.service || Restart=always", "app.service | Requires=db.service; After=db.service; FailureAction=reboot |",
		"web.service | Wants=app.service; After=app.service |", "slow.service || Type=notify",
		"t.timer || OnActiveSec=10; OnUnitActiveSec=10", "t.service || Type=oneshot",
		"s.socket || ListenStream=/run/s", "s.service ||", "later.service | After=slow.service |")
	for _, u := range []string{"web.service", "slow.service", "t.timer", "s.socket"} {
		h.start(u)
	}
	h.start("db.service")
	waiting := h.start("later.service")
	m := h.mark()
	h.shutdown(Reboot)
	h.wantResult(waiting, "canceled")
	h.did(m, "slow.service", "TERM CONT")
	h.is("web.service", "stopping", "app.service", "active", "db.service", "active", "t.timer", "inactive")
	h.refused("ShuttingDown", Request{Verb: VerbStart, Unit: "t.service"})
	h.tell(Readable{Unit: "s.socket"})
	h.advance(15 * time.Second)
	h.exit("web.service", 0)
	h.is("app.service", "stopping", "db.service", "active")
	h.exit("app.service", 1) // a failure that would reboot
	want(h, "emergencies", h.emergencies(m), "")
	h.exit("db.service", 1)
	want(h, "hand-overs", len(find[HandOver](h, m)), 0)
	h.exit("slow.service", 0)
	want(h, "hand-overs", len(find[HandOver](h, m)), 1)
	want(h, "spawned", h.order(m, StageStart), "")
	h.advance(time.Hour)
	want(h, "hand-overs", len(find[HandOver](h, m)), 1)
}

// 20. After STOPPING=1 no second SIGTERM is sent, and SIGKILL still comes at
// stop-timeout.
func TestStatement20StoppingMeansNoSecondSignal(t *testing.T) {
	h := load(t, "a.service || Type=notify; TimeoutStopSec=7; ExecStop=/bin/stop")
	h.start("a.service")
	h.ready("a.service")
	h.notify("a.service", Notification{Stopping: true})
	m := h.mark()
	h.stop("a.service")
	h.command("a.service", 0)
	h.did(m, "a.service", "stop")
	h.advance(7*time.Second - 1)
	h.did(m, "a.service", "stop")
	h.advance(1)
	h.did(m, "a.service", "stop kill-cgroup")

	h = load(t, "a.service || Type=notify; TimeoutStopSec=7")
	h.start("a.service")
	h.ready("a.service")
	m = h.mark()
	h.stop("a.service")
	h.notify("a.service", Notification{Stopping: true})
	h.advance(6 * time.Second)
	h.did(m, "a.service", "TERM CONT")
	h.advance(time.Second)
	h.did(m, "a.service", "TERM CONT kill-cgroup")
}

// 21. Timer table test: gap time does not fire, overlap fires once, 5 missed
// days = 1 catch-up, crash mid-run is not a missed run, future stamp at boot =
// one catch-up, never fires early.
func TestStatement21TimerTable(t *testing.T) {
	const day = 24 * time.Hour
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		name  string
		stamp time.Duration // relative to the start; 0 for none
		run   time.Duration
		code  int32 // how each run ends
		fires int
	}{
		{"first day", 0, day, 0, 1}, // daily fires at 00:00; it starts exactly then
		{"almost a day", 0, day - time.Second, 0, 0},
		{"three days", 0, 3 * day, 0, 3},
		{"five missed days are one catch-up", -5*day - time.Hour, time.Hour, 0, 1},
		{"then it goes on as usual", -5*day - time.Hour, 2 * day, 0, 3},
		{"a future stamp is one catch-up", 400 * day, time.Hour, 0, 1},
		{"a crash is not a missed run", 0, day + 12*time.Hour, 1, 1},
	} {
		cfg := Config{}
		if row.stamp != 0 {
			cfg.Stamps = map[string]int64{"d.timer": start.Add(row.stamp).UnixNano()}
		}
		h := loadWith(t, cfg, "d.timer || OnCalendar=daily; Persistent=yes; AccuracySec=1us", "d.service || Type=oneshot")
		h.start("d.timer")
		for end := h.now.Mono + row.run; h.now.Mono < end; h.advance(min(time.Minute, end-h.now.Mono)) {
			if h.view("d.service").Main != 0 {
				h.exit("d.service", row.code)
			}
		}
		if got := h.spawns("d.service"); got != row.fires {
			t.Errorf("%s: fired %d times, want %d", row.name, got, row.fires)
		}
	}
}

func TestStatement21DaylightSavingTime(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("no time zone data")
	}
	for _, row := range []struct {
		name  string
		from  time.Time
		hours int
		fires int
	}{
		// On 29 March 2026, 02:30 does not exist; on 25 October it comes twice.
		{"gap", time.Date(2026, 3, 29, 0, 0, 0, 0, berlin), 20, 0},
		{"overlap", time.Date(2026, 10, 25, 0, 0, 0, 0, berlin), 20, 1},
	} {
		h := loadWith(t, Config{Location: berlin}, "d.timer || OnCalendar=*-*-* 02:30:00; AccuracySec=1us", "d.service || Type=oneshot")
		h.now.Wall = row.from.UnixNano()
		h.start("d.timer")
		for range row.hours * 4 {
			h.advance(15 * time.Minute)
			if h.view("d.service").Main != 0 {
				h.exit("d.service", 0)
			}
		}
		want(h, row.name, h.spawns("d.service"), row.fires)
	}
}

func TestStatement21NeverEarly(t *testing.T) {
	h := load(t, "d.timer || OnCalendar=*:0/10; AccuracySec=1us; RandomizedDelaySec=3min", "d.service || Type=oneshot")
	h.start("d.timer")
	for n := range 50 {
		due := h.view("d.timer").NextElapse
		if due.Wall%(10*60e9) >= 3*60e9 {
			t.Errorf("elapse %d at %v is not within 3 min after a 10th minute", n, time.Unix(0, due.Wall).UTC())
		}
		h.advance(due.Mono - h.now.Mono - 1)
		want(h, "early", h.spawns("d.service"), n)
		// The wall clock is set back behind the deadline: still not early.
		h.now.Wall -= int64(time.Minute)
		h.tell(ClockJump{})
		due = h.view("d.timer").NextElapse
		h.advance(due.Mono - h.now.Mono)
		want(h, "on time", h.spawns("d.service"), n+1)
		h.exit("d.service", 0)
	}
}

// 22. Stored fds survive SIGKILL+auto-restart in order with names, and are
// closed on admin stop or removal; the (max+1)th is refused and closed.
func TestStatement22StoredDescriptors(t *testing.T) {
	h := load(t, "a.service || Type=notify; FileDescriptorStoreMax=3; Restart=always; RestartSec=1")
	h.start("a.service")
	h.notify("a.service", Notification{FDStore: 2, FDName: "log"})
	h.notify("a.service", Notification{FDStore: 1})
	m := h.mark()
	h.notify("a.service", Notification{FDStore: 1, FDName: "more"})
	want(h, "deposits of the fourth", len(find[Deposit](h, m)), 0)
	h.logged(m, "1 of 1 descriptors refused")
	want(h, "deposits", fmt.Sprint(find[Deposit](h, 0)), "[{a.service log 2} {a.service stored 1}]")
	h.ready("a.service")
	h.killed("a.service", sigKILL)
	h.advance(time.Second)
	want(h, "stored after the restart", h.view("a.service").Stored, 3)
	sp := find[Spawn](h, m)
	want(h, "passed on", sp[len(sp)-1].PassFDs, true)
	h.notify("a.service", Notification{FDRemove: true, FDName: "log"})
	want(h, "after FDSTOREREMOVE=1", h.view("a.service").Stored, 1)
	h.stop("a.service")
	m = h.mark()
	h.exit("a.service", 0)
	want(h, "closed by a stop", fmt.Sprint(find[Withdraw](h, m)), "[{a.service }]")
}

// 26. Transitions are two-phase: stopping the last explicit dependent stops
// unneeded dependencies, and no service restarts because of a stale refcount;
// graph depth 32+ is diagnosed, never recursion.
func TestStatement26UnneededDependenciesStop(t *testing.T) {
	h := load(t, "lib.service | StopWhenUnneeded=yes | Restart=always",
		"a.service | Requires=lib.service; After=lib.service |", "b.service | Requires=lib.service; After=lib.service |")
	h.start("a.service")
	h.start("b.service")
	h.stop("a.service")
	h.exit("a.service", 0)
	h.is("lib.service", "active")
	h.stop("b.service")
	h.is("lib.service", "active") // not before b is down
	h.exit("b.service", 0)
	h.is("lib.service", "stopping")
	h.exit("lib.service", 0)
	h.advance(time.Hour)
	h.is("lib.service", "inactive")
	want(h, "spawns", h.spawns("lib.service"), 1)

	// A stop and a start at once: lib is needed again when it is asked.
	h.start("a.service")
	h.stop("a.service")
	h.start("a.service")
	h.exit("a.service", 0)
	h.is("a.service", "active", "lib.service", "active")
	want(h, "spawns", h.spawns("lib.service"), 2)
}

func TestStatement26DeepGraphs(t *testing.T) {
	const depth = 1000
	var units []string
	for k := range depth {
		dep := ""
		if k > 0 {
			dep = fmt.Sprintf("Requires=u%d.target; After=u%d.target; ", k-1, k-1)
		}
		if k < depth-1 {
			dep += "StopWhenUnneeded=yes"
		}
		units = append(units, fmt.Sprintf("u%d.target | %s |", k, dep))
	}
	top := fmt.Sprintf("u%d.target", depth-1)
	h := load(t, units...)
	h.unchecked = true
	j := h.start(top)
	h.wantResult(j, "done")
	h.is("u0.target", "active")
	m := h.mark()
	h.stop(top)
	h.is("u0.target", "inactive")
	want(h, "stopped", len(strings.Fields(h.entered(m, Inactive))), depth)
}

// 27. With EAGAIN/ENOMEM/EMFILE injected on every fork/open, the manager never
// exits, the operation fails with errno, and every process it did start is
// monitored.
func TestStatement27FailingForks(t *testing.T) {
	for _, errno := range []int32{11, 12, 24} {
		h := load(t, "a.service || ExecStartPre=/bin/pre; ExecStart=/bin/a; ExecStartPost=/bin/post; ExecStop=/bin/stop; ExecStopPost=/bin/stop-post; ExecReload=/bin/reload")
		h.noExec["a.service"] = true
		j := h.start("a.service")
		h.spawnFailed("a.service", "fork", errno)
		h.spawnFailed("a.service", "fork", errno) // stop-post
		h.wantResult(j, "failed")
		want(h, "errno", h.view("a.service").Cause.Errno, errno)

		j = h.start("a.service")
		h.command("a.service", 0)
		h.spawnFailed("a.service", "fork", errno)
		h.spawnFailed("a.service", "fork", errno)
		h.wantResult(j, "failed")

		h.start("a.service") // now the start-post command cannot be run
		h.command("a.service", 0)
		h.exec("a.service")
		main := h.main("a.service")
		h.spawnFailed("a.service", "fork", errno)
		h.is("a.service", "stopping/stop-sigterm")
		want(h, "main is still watched", h.main("a.service"), main)
		h.exit("a.service", 0)
		h.command("a.service", 0)
		h.is("a.service", "failed")

		h.start("a.service") // a reload and a stop that cannot be run
		h.command("a.service", 0)
		h.exec("a.service")
		h.command("a.service", 0)
		h.is("a.service", "active")
		j = h.reload("a.service")
		h.spawnFailed("a.service", "fork", errno)
		h.wantResult(j, "failed")
		h.is("a.service", "active")
		m := h.mark()
		h.stop("a.service")
		h.spawnFailed("a.service", "fork", errno)
		h.did(m, "a.service", "stop TERM CONT")
	}
	h := load(t, "s.socket || ListenStream=/run/s", "s.service ||")
	h.listenErrno = 24
	j := h.start("s.socket")
	h.wantResult(j, "failed")
	want(h, "errno", h.view("s.socket").Cause.Errno, int32(24))
}

// 29. An idle system causes 0 wakeups of svmgr in 60 s; with default config a
// crash-looping service never spawns more than once per second.
func TestStatement29IdleHasNoDeadline(t *testing.T) {
	h := load(t, "a.service || Restart=always", "n.toml |", "o.toml | service.type=\"oneshot\"", "s.socket || ListenStream=/run/s", "s.service ||",
		"p.path || PathExists=/x", "p.service ||", "f.service ||", "x.target | Wants=a.service n.service |", "m.mount ||")
	for _, u := range []string{"x.target", "o.service", "s.socket", "p.path", "f.service"} {
		h.start(u)
	}
	h.exit("o.service", 0)
	h.exit("f.service", 1)
	h.exit("a.service", 1)
	h.advance(5 * time.Minute) // jobs retire, services become stable, windows pass
	if at, ok := h.c.Deadline(); ok {
		t.Errorf("something is due at %v, now is %v", at, h.now.Mono)
	}
}

func TestStatement29CrashLoopOncePerSecond(t *testing.T) {
	for _, extra := range []string{"", "; restart.max-restarts=0", `; restart.on-exhausted="dormant"`} {
		h := load(t, "a.toml | unit.description=\"x\""+extra)
		h.start("a.service")
		last, spawned := h.now.Mono, 1
		for range 3000 {
			if h.view("a.service").Main != 0 {
				h.exit("a.service", 1)
			}
			h.advance(100 * time.Millisecond)
			if n := h.spawns("a.service"); n != spawned {
				if n-spawned > 1 || h.now.Mono-last < time.Second {
					t.Fatalf("%q: %d spawns within %v", extra, n-spawned+1, h.now.Mono-last)
				}
				last, spawned = h.now.Mono, n
			}
		}
	}
}

// 30. A failed transition does not stop independent ones; the failed longrun
// is forced down to a known state.
func TestStatement30FailureSparesTheOthers(t *testing.T) {
	h := load(t, "all.target | Wants=a.service b.service c.service d.service |",
		"a.service || Type=notify; TimeoutStartSec=5; TimeoutStopSec=5", "b.service | Requires=a.service; After=a.service |",
		"c.service | After=a.service |", "d.service ||")
	h.start("all.target")
	h.is("d.service", "active")
	h.advance(5 * time.Second)
	h.is("a.service", "stopping", "c.service", "inactive")
	h.advance(5 * time.Second)
	h.killed("a.service", sigKILL)
	h.is("a.service", "failed", "b.service", "inactive", "c.service", "active", "d.service", "active")
	want(h, "b", h.spawns("b.service"), 0)
}
