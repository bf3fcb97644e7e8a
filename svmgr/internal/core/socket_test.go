package core

import (
	"testing"
	"time"
)

// Every command of a socket is bounded by its TimeoutSec=: TERM, then KILL, and
// the sockets are closed all the same.
func TestSocketCommandsTimeOut(t *testing.T) {
	h := load(t, "s.socket || ListenStream=/run/s; TimeoutSec=5; ExecStopPre=/bin/c; ExecStopPost=/bin/d", "s.service ||")
	h.start("s.socket")
	m := h.mark()
	j := h.stop("s.socket")
	h.advance(5*time.Second - 1)
	h.did(m, "s.socket", "stop-pre")
	h.advance(1)
	h.did(m, "s.socket", "stop-pre TERM CONT")
	h.advance(5 * time.Second)
	h.did(m, "s.socket", "stop-pre TERM CONT kill-cgroup")
	h.command("s.socket", 0)
	h.is("s.socket", "stopping/stop-post")
	want(h, "closed", len(find[Unlisten](h, m)), 1)
	h.advance(5 * time.Second)
	h.is("s.socket", "stopping/final-sigterm")
	h.advance(5 * time.Second)
	h.is("s.socket", "stopping/final-sigkill")
	h.command("s.socket", 0)
	h.is("s.socket", "failed")
	h.because("s.socket", StopTimeout)
	h.wantResult(j, "done")
}

func TestSocketStartTimesOut(t *testing.T) {
	h := load(t, "s.socket || ListenStream=/run/s; TimeoutSec=5; ExecStartPre=/bin/a", "s.service ||")
	j := h.start("s.socket")
	m := h.mark()
	h.advance(5 * time.Second)
	h.did(m, "s.socket", "TERM CONT")
	h.command("s.socket", 0)
	h.is("s.socket", "failed")
	h.because("s.socket", StartTimeout)
	if r := h.result(j); r != "timeout" {
		t.Errorf("the start ended %q", r)
	}
}

// A process that survives the kill does not hold a job for ever.
func TestSocketUnkillableCommand(t *testing.T) {
	h := load(t, "s.socket || ListenStream=/run/s; TimeoutSec=5; ExecStopPre=/bin/c", "s.service ||")
	h.start("s.socket")
	j := h.stop("s.socket")
	h.advance(5 * time.Second)
	h.advance(5 * time.Second)
	h.is("s.socket", "stopping/stop-pre-sigkill")
	h.advance(5 * time.Second)
	h.is("s.socket", "abandoned")
	h.wantResult(j, "failed")
	h.command("s.socket", 0)
	h.is("s.socket", "failed")
}

// A stop while its sockets are being opened, and a failing second socket.
func TestSocketStopDuringStart(t *testing.T) {
	h := load(t, "s.socket || ListenStream=/run/s; ExecStartPre=/bin/a; ExecStartPost=/bin/b", "s.service ||")
	j := h.start("s.socket")
	s := h.stop("s.socket")
	h.wantResult(j, "canceled")
	h.command("s.socket", 1)
	h.is("s.socket", "inactive")
	h.wantResult(s, "done")

	h.start("s.socket")
	h.command("s.socket", 0)
	h.is("s.socket", "starting/start-post")
	m := h.mark()
	h.stop("s.socket")
	h.command("s.socket", 0)
	h.is("s.socket", "inactive")
	want(h, "closed", len(find[Unlisten](h, m)), 1)
}

// What is watched is unwatched, what is asked is cancelled, and no deadline is
// left over, when a unit stops.
func TestStopLeavesNothingBehind(t *testing.T) {
	h := load(t, "s.socket || ListenStream=/run/s", "s.service ||", "p.path || PathExists=/x", "p.service ||",
		"t.timer || OnActiveSec=1h", "t.service ||", "data.automount ||", "data.mount ||",
		`a.toml | health.type="tcp"; health.endpoint="localhost:1"; health.interval="10s"; health.timeout="9s"; watchdog.interval="30s"`,
		"dbus.service ||", "dbus.socket || ListenStream=/run/dbus", "d.service || Type=dbus; BusName=org.d; RuntimeMaxSec=1h")
	units := []string{"s.socket", "p.path", "t.timer", "data.automount", "a.service", "d.service"}
	for _, u := range units {
		h.start(u)
	}
	h.tell(BusNameAcquired{Name: "org.d", Unit: "d.service"})
	h.advance(10 * time.Second) // the health check is out
	m := h.mark()
	for _, u := range append(units, "dbus.socket") {
		h.stop(u)
	}
	h.exit("a.service", 0)
	h.exit("d.service", 0)
	watched := map[string]int{}
	for _, a := range h.acts {
		switch a := a.(type) {
		case Watch:
			watched[a.Unit.Name]++
		case Unwatch:
			watched[a.Unit]--
		}
	}
	for u, n := range watched {
		want(h, u+" is watched", n, 0)
	}
	want(h, "cancelled probes", len(find[CancelProbe](h, m)), 1)
	want(h, "closed", len(find[Unlisten](h, m)), 3)
	h.advance(2 * time.Minute) // ended jobs retire
	if at, ok := h.c.Deadline(); ok {
		t.Errorf("something is due in %v", at-h.now.Mono)
	}
	h.c.View().Runs(func(id RunID, u string, _ Role, st Stage, _ bool) bool {
		t.Errorf("run %d of %s (%s) is left", id, u, st)
		return true
	})
}

// A timer that has elapsed for good leaves no deadline.
func TestElapsedTimerIsQuiet(t *testing.T) {
	h := load(t, "t.timer || OnActiveSec=1; AccuracySec=1us", "t.service || Type=oneshot")
	h.start("t.timer")
	h.advance(time.Second)
	h.exit("t.service", 0)
	h.advance(2 * time.Minute)
	if at, ok := h.c.Deadline(); ok {
		t.Errorf("something is due in %v", at-h.now.Mono)
	}
}

// PassFileDescriptorsToExec= gives the sockets to the commands that run while they are
// open, and to no others.
func TestSocketFDsToCommands(t *testing.T) {
	for _, pass := range []string{"no", "yes"} {
		h := load(t, "a.socket || ListenStream=/run/a; PassFileDescriptorsToExec="+pass+"; ExecStartPre=/bin/pre; ExecStartPost=/bin/post; ExecStopPre=/bin/stop", "a.service ||")
		h.start("a.socket")
		got := map[Stage]bool{}
		for range 2 {
			h.command("a.socket", 0)
		}
		h.is("a.socket", "active/listening")
		h.stop("a.socket")
		for _, a := range h.acts {
			if s, ok := a.(Spawn); ok && s.Unit.Name == "a.socket" {
				got[s.Stage] = s.PassFDs
			}
		}
		want(h, "start-pre", got[StageStartPre], false)
		want(h, "start-post", got[StageStartPost], pass == "yes")
		want(h, "stop-pre", got[StageStopPre], pass == "yes")
	}
}
