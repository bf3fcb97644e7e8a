package core

import (
	"fmt"
	"testing"
	"time"
)

// ExecCondition=: 1 to 254 skip, 255 and abnormal ends fail, and ExecStopPost=
// runs in all those cases (systemd.service(5)).
func TestExecCondition(t *testing.T) {
	for _, row := range []struct {
		code, sig int32
		state     string
		result    string
	}{{0, 0, "active", "done"}, {1, 0, "skipped", "done"}, {254, 0, "skipped", "done"}, {255, 0, "failed", "failed"}, {0, 9, "failed", "failed"}} {
		h := load(t, "a.service || ExecCondition=/bin/cond; ExecStopPost=/bin/post; Restart=always")
		j := h.start("a.service")
		h.is("a.service", "starting/condition")
		id := h.control("a.service")
		h.end(id, Exited{Run: id, Code: row.code, Signal: row.sig})
		h.settle()
		if row.state != "active" {
			h.is("a.service", "stopping/stop-post")
			h.command("a.service", 0)
		}
		if row.state == "failed" {
			h.is("a.service", "restart-pending") // Restart= holds for failures
			continue
		}
		h.is("a.service", row.state)
		h.wantResult(j, row.result)
	}
}

// "Exit code of 0 or those matching SuccessExitStatus=" go on.
func TestExecConditionSuccessExitStatus(t *testing.T) {
	h := load(t, "a.service || ExecCondition=/bin/cond; SuccessExitStatus=3")
	h.start("a.service")
	h.command("a.service", 3)
	h.is("a.service", "active")
}

func TestStartPreFails(t *testing.T) {
	h := load(t, "a.service || ExecStartPre=-/bin/may; ExecStartPre=/bin/must; ExecStartPre=/bin/never; ExecStop=/bin/stop; ExecStopPost=/bin/post")
	j := h.start("a.service")
	h.command("a.service", 1) // '-': goes on
	h.is("a.service", "starting/start-pre")
	h.command("a.service", 1)
	h.command("a.service", 0)
	h.ran(0, "a.service", "start-pre start-pre stop-post")
	h.wantResult(j, "failed")
	c := h.view("a.service").Cause
	want(h, "cause", fmt.Sprintf("%s %d %s", c.Kind, c.Code, c.Detail), "command-failed 1 start-pre")
}

func TestStartPostFails(t *testing.T) {
	h := load(t, "a.service || ExecStartPost=/bin/post; ExecStop=/bin/stop; ExecStopPost=/bin/clean")
	j := h.start("a.service")
	m := h.mark()
	h.command("a.service", 1)
	h.exit("a.service", 0)
	h.command("a.service", 0)
	h.ran(m, "a.service", "stop-post") // no ExecStop=
	h.wantResult(j, "failed")
}

// What the stop commands hear of the end ($SERVICE_RESULT and its like).
func TestStopOrderAndEnvironment(t *testing.T) {
	h := load(t, "a.service || ExecStop=/bin/s1; ExecStop=/bin/s2; ExecStopPost=/bin/p1; ExecStopPost=/bin/p2")
	h.start("a.service")
	m := h.mark()
	h.killed("a.service", 11) // ExecStop= runs even if it died by itself
	for range 4 {
		h.command("a.service", 0)
	}
	h.is("a.service", "failed")
	var got []string
	for _, s := range find[Spawn](h, m) {
		got = append(got, s.Exec.Path+":"+s.Result+":"+s.ExitCode+":"+s.ExitStatus)
	}
	want(h, "commands", fmt.Sprint(got), "[/bin/s1:signal:killed:SEGV /bin/s2:signal:killed:SEGV /bin/p1:signal:killed:SEGV /bin/p2:signal:killed:SEGV]")

	h = load(t, "a.service || ExecStop=/bin/s1; ExecStopPost=/bin/p1; SuccessExitStatus=7")
	h.start("a.service")
	m = h.mark()
	h.stop("a.service")
	h.command("a.service", 0)
	h.exit("a.service", 7)
	h.command("a.service", 0)
	h.is("a.service", "inactive")
	got = nil
	for _, s := range find[Spawn](h, m) {
		got = append(got, s.Exec.Path+":"+s.Result+":"+s.ExitCode+":"+s.ExitStatus)
	}
	want(h, "commands", fmt.Sprint(got), "[/bin/s1:success:: /bin/p1:success:exited:7]")
}

// TimeoutStopSec= bounds "each ExecStop= command" (systemd.service(5)).
func TestStopTimeoutIsPerCommand(t *testing.T) {
	h := load(t, "a.service || ExecStop=/bin/s1; ExecStop=/bin/s2; TimeoutStopSec=5")
	h.start("a.service")
	m := h.mark()
	h.stop("a.service")
	h.advance(4 * time.Second)
	h.command("a.service", 0)
	h.advance(4 * time.Second)
	h.did(m, "a.service", "stop stop")
	h.command("a.service", 0)
	h.exit("a.service", 0)
	h.is("a.service", "inactive")
}

func TestStopCommandTimesOut(t *testing.T) {
	h := load(t, "a.service || ExecStop=/bin/s1; ExecStop=/bin/s2; ExecStopPost=/bin/p; TimeoutStopSec=5")
	h.start("a.service")
	m := h.mark()
	j := h.stop("a.service")
	h.advance(5 * time.Second)
	h.did(m, "a.service", "stop TERM CONT")
	h.advance(5 * time.Second)
	h.did(m, "a.service", "stop TERM CONT kill-cgroup")
	for _, id := range h.runsOf("a.service", 0) {
		h.end(id, Exited{Run: id, Signal: sigKILL})
	}
	h.settle()
	h.is("a.service", "stopping/stop-post")
	h.advance(5 * time.Second)
	h.advance(5 * time.Second)
	h.did(m, "a.service", "stop TERM CONT kill-cgroup stop-post TERM CONT kill-cgroup")
	for _, id := range h.runsOf("a.service", 0) {
		h.end(id, Exited{Run: id, Signal: sigKILL})
	}
	h.settle()
	h.is("a.service", "failed")
	h.because("a.service", StopTimeout)
	h.wantResult(j, "done")
}

// How the processes are ended (systemd.kill(5)).
func TestKillModes(t *testing.T) {
	for _, row := range []struct{ mode, stop, kill, extra string }{
		{"control-group", "TERM CONT", "TERM CONT kill-cgroup", ""},
		{"mixed", "TERM:main CONT:main", "TERM:main CONT:main kill-cgroup", ""},
		{"process", "TERM:main CONT:main", "TERM:main CONT:main KILL:main", ""},
		{"control-group", "INT HUP CONT", "INT HUP CONT kill-cgroup", "; KillSignal=SIGINT; SendSIGHUP=yes"},
		{"control-group", "KILL", "KILL kill-cgroup", "; KillSignal=SIGKILL"},
	} {
		h := load(t, "a.service || TimeoutStopSec=5; KillMode="+row.mode+row.extra)
		h.start("a.service")
		m := h.mark()
		h.stop("a.service")
		h.did(m, "a.service", row.stop)
		h.advance(5 * time.Second)
		h.did(m, "a.service", row.kill)
	}
}

// KillMode=process leaves the others alone, KillMode=none everybody.
func TestKillModesThatLeaveProcesses(t *testing.T) {
	h := load(t, "a.service || KillMode=process", "b.service || KillMode=none; ExecStop=/bin/s")
	h.start("a.service")
	h.start("b.service")
	h.holds["a.service"], h.holds["b.service"] = true, true
	h.stop("a.service")
	h.exit("a.service", 0)
	h.is("a.service", "inactive")
	m := h.mark()
	h.stop("b.service")
	h.command("b.service", 0)
	h.is("b.service", "inactive")
	h.did(m, "b.service", "stop remove-cgroup")
}

// KillMode=mixed: when the main process is gone, the rest gets SIGKILL only.
func TestKillModeMixedKillsTheRest(t *testing.T) {
	h := load(t, "a.service || KillMode=mixed; TimeoutStopSec=5")
	h.start("a.service")
	h.holds["a.service"] = true
	m := h.mark()
	h.stop("a.service")
	h.exit("a.service", 0)
	h.did(m, "a.service", "TERM:main CONT:main kill-cgroup")
}

func TestSendSIGKILLNo(t *testing.T) {
	h := load(t, "a.service || SendSIGKILL=no; TimeoutStopSec=5")
	h.start("a.service")
	m := h.mark()
	j := h.stop("a.service")
	h.advance(time.Minute)
	h.did(m, "a.service", "TERM CONT remove-cgroup")
	h.is("a.service", "failed")
	h.because("a.service", StopTimeout)
	h.wantResult(j, "done")
}

// RestartKillSignal= is used when the stop is half of a restart.
func TestRestartKillSignal(t *testing.T) {
	h := load(t, "a.service || RestartKillSignal=SIGUSR2")
	h.start("a.service")
	m := h.mark()
	h.restart("a.service")
	h.did(m, "a.service", "USR2 CONT")
	h.exit("a.service", 0)
	h.is("a.service", "active")
	m = h.mark()
	h.stop("a.service")
	h.did(m, "a.service", "TERM CONT")
}

// TimeoutStartFailureMode= and TimeoutStopFailureMode=.
func TestTimeoutFailureModes(t *testing.T) {
	for _, row := range []struct{ mode, start, stop string }{
		{"terminate", "TERM CONT", "stop TERM CONT"}, {"abort", "ABRT CONT", "stop ABRT CONT"}, {"kill", "kill-cgroup", "stop kill-cgroup"}} {
		h := load(t, "a.service || Type=notify; TimeoutStartSec=5; TimeoutStartFailureMode="+row.mode)
		h.start("a.service")
		m := h.mark()
		h.advance(5 * time.Second)
		h.did(m, "a.service", row.start)

		h = load(t, "a.service || ExecStop=/bin/s; TimeoutStopSec=5; TimeoutStopFailureMode="+row.mode)
		h.start("a.service")
		m = h.mark()
		h.stop("a.service")
		h.advance(5 * time.Second)
		h.did(m, "a.service", row.stop)
	}
}

// Without ExecStop= the timeout of SIGTERM obeys TimeoutStopFailureMode= too:
// abort sends the watchdog signal before the kill.
func TestTimeoutStopFailureModeAfterTerm(t *testing.T) {
	h := load(t, "a.service || TimeoutStopSec=5; TimeoutAbortSec=7; TimeoutStopFailureMode=abort")
	h.start("a.service")
	m := h.mark()
	h.stop("a.service")
	h.advance(5 * time.Second)
	h.did(m, "a.service", "TERM CONT ABRT CONT")
	h.advance(7 * time.Second)
	h.did(m, "a.service", "TERM CONT ABRT CONT kill-cgroup")
}

// A frozen service is thawed before it is stopped.
func TestFrozenServiceIsThawed(t *testing.T) {
	h := load(t, "a.service ||")
	h.start("a.service")
	h.do(Request{Verb: VerbFreeze, Unit: "a.service"})
	m := h.mark()
	h.stop("a.service")
	want(h, "thaws", len(find[Thaw](h, m)), 1)
	h.refused("UnitInactive", Request{Verb: VerbFreeze, Unit: "a.service"})
}

func TestKillCommand(t *testing.T) {
	h := load(t, "a.service || ExecReload=/bin/r")
	h.refused("NoSuchProcess", Request{Verb: VerbKill, Unit: "a.service", Signal: 15})
	h.start("a.service")
	h.refused("NoSuchProcess", Request{Verb: VerbKill, Unit: "a.service", Signal: 15, Whom: WhomControl})
	h.refused("InvalidArgs", Request{Verb: VerbKill, Unit: "a.service", Signal: 65})
	m := h.mark()
	h.do(Request{Verb: VerbKill, Unit: "a.service", Signal: 10, Whom: WhomMain})
	h.do(Request{Verb: VerbKill, Unit: "a.service", Signal: 12})
	h.did(m, "a.service", "USR1:main USR2")
	h.is("a.service", "active")
}

// A hook that ends after the stop began does not go on with the start; a reload
// command that ends after it changes nothing.
func TestHooksThatEndLate(t *testing.T) {
	h := load(t, "a.service || ExecStartPre=/bin/pre; ExecStopPost=/bin/post", "b.service || ExecReload=/bin/r; ExecStop=/bin/stop")
	h.start("a.service")
	h.stop("a.service")
	h.command("a.service", 0)
	h.is("a.service", "stopping/stop-post")
	h.command("a.service", 0)
	h.is("a.service", "inactive")
	h.ran(0, "a.service", "start-pre stop-post")

	h.start("b.service")
	j := h.reload("b.service")
	reload := h.control("b.service")
	s := h.stop("b.service")
	if r := h.result(j); r != "canceled" {
		t.Errorf("the reload ended %q", r)
	}
	h.end(reload, Exited{Run: reload, Signal: sigKILL})
	h.settle()
	h.is("b.service", "stopping/stop")
	h.command("b.service", 0)
	h.exit("b.service", 0)
	h.is("b.service", "inactive")
	h.wantResult(s, "done")
}

// FinalKillSignal= (systemd.kill(5)) comes where SIGKILL would have; who outlives that too
// is killed after another stop timeout, and at the end of a shutdown at once.
func TestFinalKillSignal(t *testing.T) {
	signals := func(h *harness, from int) (out string) {
		for _, a := range h.acts[from:] {
			switch a := a.(type) {
			case Signal:
				out += fmt.Sprint(a.Signal, " ")
			case KillCgroup:
				out += "kill "
			}
		}
		return out
	}
	h := load(t, "a.service || FinalKillSignal=SIGQUIT; TimeoutStopSec=5", "b.service || TimeoutStopSec=5")
	for _, row := range []struct{ name, want string }{{"a.service", "15 18 3 18 kill "}, {"b.service", "15 18 kill "}} {
		h.start(row.name)
		m := h.mark()
		h.stop(row.name)
		h.is(row.name, "stopping/stop-sigterm")
		h.advance(5 * time.Second)
		h.is(row.name, "stopping/stop-sigkill")
		h.advance(5 * time.Second)
		want(h, row.name, signals(h, m), row.want)
	}
	h = load(t, "a.service || FinalKillSignal=SIGQUIT; TimeoutStopSec=5")
	h.start("a.service")
	h.stop("a.service")
	h.advance(5 * time.Second)
	m := h.mark()
	h.exit("a.service", 0)
	want(h, "after its end", signals(h, m), "")
	h.is("a.service", "failed")
}
