package core

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// The table "Exit causes and the effect of the Restart= settings" of
// systemd.service(5).
func TestRestartPolicyTable(t *testing.T) {
	causes := []struct {
		name string
		tell func(h *harness)
		yes  string
	}{
		{"clean exit code", func(h *harness) { h.exit("a.service", 0) }, "always on-success"},
		{"clean signal", func(h *harness) { h.killed("a.service", sigTERM) }, "always on-success"},
		{"unclean exit code", func(h *harness) { h.exit("a.service", 1) }, "always on-failure"},
		{"unclean signal", func(h *harness) { h.killed("a.service", 11) }, "always on-failure on-abnormal on-abort"},
		{"timeout", func(h *harness) { h.advance(30 * time.Second); h.killed("a.service", sigTERM) }, "always on-failure on-abnormal"},
		{"watchdog", func(h *harness) { h.advance(20 * time.Second); h.killed("a.service", sigABRT) }, "always on-failure on-abnormal on-watchdog"},
	}
	for _, policy := range []string{"no", "always", "on-success", "on-failure", "on-abnormal", "on-abort", "on-watchdog"} {
		for _, c := range causes {
			extra := ""
			switch c.name {
			case "timeout":
				extra = "; RuntimeMaxSec=30"
			case "watchdog":
				extra = "; WatchdogSec=20"
			}
			h := load(t, "a.service || RestartSec=5; Restart="+policy+extra)
			h.start("a.service")
			c.tell(h)
			got := h.view("a.service").State == RestartPending
			if exp := strings.Contains(" "+c.yes+" ", " "+policy+" "); got != exp {
				t.Errorf("Restart=%s after %s: restarted %v, want %v (%s)", policy, c.name, got, exp, h.view("a.service").Cause.Kind)
			}
		}
	}
}

func TestRestartExitStatusLists(t *testing.T) {
	for _, row := range []struct {
		extra     string
		code, sig int32
		restart   bool
		state     string
	}{
		{"Restart=always; RestartPreventExitStatus=3 SIGUSR1", 3, 0, false, "failed"},
		{"Restart=always; RestartPreventExitStatus=3 SIGUSR1", 0, 10, false, "failed"},
		{"Restart=always; RestartPreventExitStatus=3 SIGUSR1", 4, 0, true, ""},
		{"Restart=no; RestartForceExitStatus=0 7", 7, 0, true, ""},
		{"Restart=no; RestartForceExitStatus=0 7", 0, 0, true, ""},
		{"Restart=on-failure; SuccessExitStatus=7 SIGUSR1", 7, 0, false, "inactive"},
		{"Restart=on-failure; SuccessExitStatus=7 SIGUSR1", 0, 10, false, "inactive"},
		{"Restart=on-success; SuccessExitStatus=7", 7, 0, true, ""},
		{"Restart=always; RestartPreventExitStatus=0", 0, 0, false, "inactive"},
	} {
		h := load(t, "a.service || RestartSec=5; "+row.extra)
		h.start("a.service")
		id := h.main("a.service")
		h.end(id, Exited{Run: id, Code: row.code, Signal: row.sig})
		h.settle()
		if row.restart {
			row.state = "restart-pending"
		}
		if got := h.state("a.service"); got != row.state {
			t.Errorf("%s, code %d signal %d: %s, want %s", row.extra, row.code, row.sig, got, row.state)
		}
	}
}

// The example of systemd.service(5), RestartSteps=.
func TestRestartSteps(t *testing.T) {
	h := load(t, "a.service | StartLimitIntervalSec=0 | Restart=always; RestartSec=10; RestartSteps=4; RestartMaxDelaySec=160")
	h.start("a.service")
	for n, delay := range []time.Duration{10, 20, 40, 80, 160, 160, 160} {
		h.exit("a.service", 1)
		h.advance(delay*time.Second - time.Millisecond)
		want(h, fmt.Sprint("before ", delay), h.spawns("a.service"), n+1)
		h.advance(2 * time.Millisecond)
		want(h, fmt.Sprint("after ", delay), h.spawns("a.service"), n+2)
	}
}

// Dinit 0.17.1: the limit cannot be gone around by way of a dependent.
func TestRestartLimitHoldsForDependents(t *testing.T) {
	h := load(t, `a.toml | restart.max-restarts=2; restart.delay="1s"`,
		`b.toml | dependencies.requires=["a.service"]; dependencies.after=["a.service"]; restart.delay="1s"; restart.max-restarts=0`)
	h.start("b.service")
	for range 10 {
		if h.view("a.service").Main != 0 {
			h.exit("a.service", 1)
		}
		if h.view("b.service").Main != 0 {
			h.exit("b.service", 1)
		}
		h.advance(time.Second)
	}
	if n := h.spawns("a.service"); n > 3 {
		h.Errorf("a.service was spawned %d times: its budget is 2 restarts", n)
	}
}

// Dinit 0.15: the start timeout holds for automatic restarts as well.
func TestStartTimeoutHoldsForRestarts(t *testing.T) {
	h := load(t, "a.service || Type=notify; TimeoutStartSec=10; Restart=always; RestartSec=1")
	h.start("a.service")
	h.ready("a.service")
	h.exit("a.service", 1)
	h.advance(time.Second)
	h.is("a.service", "starting")
	h.advance(10 * time.Second)
	h.is("a.service", "stopping")
	h.because("a.service", ReadinessTimeout)
}

func TestNativeDormantCycle(t *testing.T) {
	h := load(t, `a.toml | restart.max-restarts=1; restart.delay="1s"; restart.on-exhausted="dormant"`)
	h.start("a.service")
	for _, sleep := range []time.Duration{5, 10, 20, 40, 60} {
		h.crash("a.service", 1, time.Second)
		h.exit("a.service", 1)
		h.is("a.service", "dormant")
		n := h.spawns("a.service")
		h.advance(sleep*time.Minute - 1)
		want(h, "too early", h.spawns("a.service"), n)
		h.advance(1)
		h.is("a.service", "active")
	}
	h.crash("a.service", 1, time.Second)
	h.exit("a.service", 1) // the sixth time: it gives up
	h.is("a.service", "failed")
	h.because("a.service", BudgetExhausted)
	h.advance(24 * time.Hour)
	h.is("a.service", "failed")
}

// restart.dormant-delay is the first sleep of a dormant unit.
func TestNativeDormantDelay(t *testing.T) {
	h := load(t, `a.toml | restart.max-restarts=1; restart.max-restart-window="10s"; restart.delay="1s"; restart.on-exhausted="dormant"; restart.dormant-delay="20s"`)
	h.start("a.service")
	for _, sleep := range []time.Duration{20, 40} {
		h.crash("a.service", 1, time.Second)
		h.exit("a.service", 1)
		h.is("a.service", "dormant")
		h.advance(sleep * time.Second)
		h.is("a.service", "active")
	}
}

// Sleeping does not refill the budget: a crash inside the window of the restarts
// before the sleep is the next sleep, and not another round of restarts.
func TestNativeDormantKeepsTheBudget(t *testing.T) {
	h := load(t, `a.toml | restart.max-restarts=1; restart.max-restart-window="60s"; restart.delay="1s"; restart.on-exhausted="dormant"; restart.dormant-delay="20s"`)
	h.start("a.service")
	h.crash("a.service", 1, time.Second)
	h.exit("a.service", 1)
	h.is("a.service", "dormant")
	h.advance(20 * time.Second)
	h.exit("a.service", 1)
	h.is("a.service", "dormant")
}

// give-up=false: dormant for ever, at most one hour at a time.
func TestNativeNeverGivesUp(t *testing.T) {
	h := load(t, `a.toml | restart.max-restarts=1; restart.delay="1s"; restart.give-up=false`)
	h.start("a.service")
	for range 12 {
		h.crash("a.service", 1, time.Second)
		h.exit("a.service", 1)
		h.is("a.service", "dormant")
		h.advance(time.Hour)
		h.is("a.service", "active")
	}
}

func TestNativeExhaustedReboots(t *testing.T) {
	h := load(t, `a.toml | restart.max-restarts=1; restart.delay="1s"; restart.on-exhausted="reboot"`)
	h.start("a.service")
	h.crash("a.service", 1, time.Second)
	m := h.mark()
	h.exit("a.service", 1)
	want(h, "action", h.emergencies(m), "a.service:reboot")
}

// A reset, like an explicit start, gives a clean slate.
func TestNativeResetGivesBudgetBack(t *testing.T) {
	h := load(t, `a.toml | restart.max-restarts=1; restart.delay="1s"`)
	h.start("a.service")
	for range 3 {
		h.crash("a.service", 1, time.Second)
		h.exit("a.service", 1)
		h.is("a.service", "failed")
		h.reset("a.service")
		h.is("a.service", "inactive")
		h.start("a.service")
	}
	h.crash("a.service", 1, time.Second)
	h.is("a.service", "active")
}

func TestWatchdog(t *testing.T) {
	h := load(t, "a.service || Type=notify; WatchdogSec=10; WatchdogSignal=SIGQUIT; TimeoutAbortSec=3; Restart=no")
	h.start("a.service")
	h.ready("a.service")
	for range 5 {
		h.advance(9 * time.Second)
		h.notify("a.service", Notification{Watchdog: true})
	}
	m := h.mark()
	h.advance(10 * time.Second)
	h.did(m, "a.service", "QUIT CONT")
	h.is("a.service", "stopping/stop-watchdog")
	h.advance(3 * time.Second)
	h.did(m, "a.service", "QUIT CONT kill-cgroup")
	h.killed("a.service", sigKILL)
	h.because("a.service", WatchdogTimeout)
	want(h, "result", h.view("a.service").Result, "watchdog")
}

// systemd.service(5), WatchdogSec=: "activated when the start-up is completed".
func TestWatchdogBeginsWhenUp(t *testing.T) {
	h := load(t, "a.service || Type=notify; WatchdogSec=10; TimeoutStartSec=90")
	h.start("a.service")
	h.advance(60 * time.Second)
	h.is("a.service", "starting")
	h.ready("a.service")
	h.advance(10*time.Second - 1)
	h.is("a.service", "active")
	h.advance(1)
	h.is("a.service", "stopping/stop-watchdog")
}

// WATCHDOG=trigger fails at once; WATCHDOG_USEC= changes the period until the
// next start.
func TestWatchdogNotifications(t *testing.T) {
	h := load(t, "a.service || Type=notify; WatchdogSec=10; Restart=always; RestartSec=1")
	h.start("a.service")
	h.ready("a.service")
	period := 30 * time.Second
	h.notify("a.service", Notification{WatchdogPeriod: &period})
	h.advance(29 * time.Second)
	h.is("a.service", "active")
	h.notify("a.service", Notification{WatchdogTrigger: true})
	h.is("a.service", "stopping/stop-watchdog")
	h.killed("a.service", sigABRT)
	h.advance(time.Second)
	h.ready("a.service")
	h.advance(10 * time.Second)
	h.is("a.service", "stopping/stop-watchdog")
}

func TestRuntimeMaxSec(t *testing.T) {
	h := load(t, "a.service || RuntimeMaxSec=60; Type=notify")
	h.start("a.service")
	h.ready("a.service")
	h.advance(50 * time.Second)
	h.notify("a.service", Notification{ExtendTimeout: 30 * time.Second})
	h.advance(30*time.Second - 1)
	h.is("a.service", "active")
	h.advance(1)
	h.is("a.service", "stopping")
	h.exit("a.service", 0)
	h.is("a.service", "failed")
	h.because("a.service", RuntimeMax)
}

func TestOOMPolicy(t *testing.T) {
	for _, row := range []struct{ policy, did, state string }{
		{"continue", "", "active"}, {"stop", "TERM CONT", "stopping/stop-sigterm"}, {"kill", "kill-cgroup", "stopping/stop-sigkill"}} {
		h := load(t, "a.service || OOMPolicy="+row.policy)
		h.start("a.service")
		m := h.mark()
		h.tell(OOMKilled{Unit: "a.service", Incarnation: h.view("a.service").Incarnation})
		h.did(m, "a.service", row.did)
		h.is("a.service", row.state)
		if row.policy != "continue" {
			h.killed("a.service", sigKILL)
			h.is("a.service", "failed")
			h.because("a.service", OutOfMemory)
		}
	}
}

func TestHealthChecks(t *testing.T) {
	const check = `health.type="tcp"; health.endpoint="localhost:80"; health.interval="10s"; health.timeout="2s"; health.retries=3; restart.delay="1s"; `
	answer := func(h *harness, ok bool) {
		h.advance(10 * time.Second)
		h.tell(ProbeResult{Run: h.probe("a.service", ProbeHealth), OK: ok})
	}
	h := load(t, "a.toml | "+check+`health.on-unhealthy="restart"; restart.policy="no"`)
	h.start("a.service")
	for range 3 { // two bad ones and a good one do not count
		answer(h, false)
		answer(h, false)
		answer(h, true)
	}
	h.is("a.service", "active")
	answer(h, false)
	answer(h, false)
	h.advance(10 * time.Second)
	h.advance(2 * time.Second) // no answer is a bad one
	h.is("a.service", "stopping")
	h.because("a.service", HealthFailed)
	h.exit("a.service", 0)
	h.advance(time.Second)
	h.is("a.service", "active")
	want(h, "spawns", h.spawns("a.service"), 2)

	h = load(t, "a.toml | "+check+`health.on-unhealthy="fail"`)
	h.start("a.service")
	for range 3 {
		answer(h, false)
	}
	h.exit("a.service", 0)
	h.is("a.service", "failed")
	h.because("a.service", HealthFailed)

	h = load(t, "a.toml | "+check+`health.on-unhealthy="log"`)
	h.start("a.service")
	m := h.mark()
	for range 7 {
		answer(h, false)
	}
	h.is("a.service", "active")
	h.logged(m, "unhealthy")
}

// A health command never overlaps with the next one, and its processes count
// as health, not as the service.
func TestHealthCommand(t *testing.T) {
	h := load(t, `a.toml | health.type="exec"; health.exec=["/bin/check"]; health.interval="10s"; health.timeout="4s"; health.retries=2; restart.delay="1s"`)
	h.start("a.service")
	h.advance(10 * time.Second)
	h.did(0, "a.service", "start health")
	m := h.mark()
	h.advance(4 * time.Second)
	h.did(m, "a.service", "KILL:health")
	ids := h.runsOf("a.service", 0)
	h.end(ids[1], Exited{Run: ids[1], Signal: sigKILL})
	h.settle()
	h.is("a.service", "active")
	h.advance(10 * time.Second)
	h.did(m, "a.service", "KILL:health health")
	ids = h.runsOf("a.service", 0)
	h.end(ids[1], Exited{Run: ids[1], Code: 1})
	h.settle()
	h.is("a.service", "stopping")
}

// An unhealthy service uses up its restart budget like any other death.
func TestHealthRestartsCountInBudget(t *testing.T) {
	h := load(t, `a.toml | health.type="tcp"; health.endpoint="localhost:80"; health.interval="5s"; health.timeout="1s"; health.retries=1; restart.max-restarts=2; restart.max-restart-window="600s"; restart.delay="1s"`)
	h.start("a.service")
	for range 3 {
		h.advance(5 * time.Second)
		h.tell(ProbeResult{Run: h.probe("a.service", ProbeHealth)})
		h.exit("a.service", 0)
		h.advance(4 * time.Second)
	}
	h.is("a.service", "failed")
	h.because("a.service", BudgetExhausted)
	want(h, "spawns", h.spawns("a.service"), 3)
}

// FileDescriptorStorePreserve=yes keeps descriptors over a stop, no over nothing.
func TestDescriptorStorePreserve(t *testing.T) {
	for _, row := range []struct {
		preserve           string
		crash, again, stop int
	}{{"no", 0, 0, 0}, {"restart", 2, 2, 0}, {"yes", 2, 2, 2}} {
		h := load(t, "a.service || FileDescriptorStoreMax=5; Restart=always; RestartSec=1; FileDescriptorStorePreserve="+row.preserve)
		up := func() { h.notify("a.service", Notification{FDStore: 2 - h.view("a.service").Stored, FDName: "x"}) }
		h.start("a.service")
		up()
		h.exit("a.service", 1)
		h.advance(time.Second)
		want(h, row.preserve+" after a crash", h.view("a.service").Stored, row.crash)
		up()
		h.restart("a.service")
		h.exit("a.service", 0)
		want(h, row.preserve+" after a restart", h.view("a.service").Stored, row.again)
		up()
		h.stop("a.service")
		h.exit("a.service", 0)
		h.start("a.service")
		want(h, row.preserve+" after a stop", h.view("a.service").Stored, row.stop)
	}
}

// systemctl(1), service-watchdogs: a missed watchdog and an action for an emergency are
// said and nothing else while they are switched off, also by the next manager.
func TestWatchdogsSwitchedOff(t *testing.T) {
	h := load(t, "a.service || Type=notify; WatchdogSec=10", "b.service | FailureAction=reboot |")
	h.start("a.service")
	h.ready("a.service")
	h.tell(WatchdogsSet{Off: true})
	var im struct{ WatchdogsOff bool }
	if err := json.Unmarshal(h.c.Snapshot(), &im); err != nil || !im.WatchdogsOff {
		t.Errorf("the snapshot does not say so (%v)", err)
	}
	h.advance(30 * time.Second)
	h.is("a.service", "active")
	h.start("b.service")
	h.crash("b.service", 1, time.Second)
	if len(find[Emergency](h, 0)) != 0 {
		t.Error("the action is taken")
	}
	h.tell(WatchdogsSet{})
	h.notify("a.service", Notification{Watchdog: true})
	h.advance(10 * time.Second)
	h.is("a.service", "stopping/stop-watchdog")
	h.start("b.service")
	h.crash("b.service", 1, time.Second)
	if len(find[Emergency](h, 0)) != 1 {
		t.Error("the action is not taken")
	}
}
