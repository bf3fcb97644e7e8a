package core

import (
	"testing"
	"time"
)

// into brings a.service into each canonical state.
var into = map[State]func(t tb) *harness{
	Inactive: func(t tb) *harness { return load(t, `a.toml | service.exec-reload=["/bin/reload"]`) },
	Blocked: func(t tb) *harness {
		h := load(t, `a.toml | service.exec-reload=["/bin/reload"]; dependencies.requires=["dep.service"]; dependencies.after=["dep.service"]`, "dep.service ||")
		h.noExec["dep.service"] = true
		h.start("a.service")
		h.spawnFailed("dep.service", "exec", 2)
		return h
	},
	Starting: func(t tb) *harness {
		h := load(t, `a.toml | service.exec-reload=["/bin/reload"]; readiness.type="notify"`)
		h.start("a.service")
		return h
	},
	Active: func(t tb) *harness {
		h := load(t, `a.toml | service.exec-reload=["/bin/reload"]; `)
		h.start("a.service")
		return h
	},
	Reloading: func(t tb) *harness {
		h := load(t, `a.toml | service.exec-reload=["/bin/reload"]; `)
		h.start("a.service")
		h.reload("a.service")
		return h
	},
	Stopping: func(t tb) *harness {
		h := load(t, `a.toml | service.exec-reload=["/bin/reload"]; `)
		h.start("a.service")
		h.stop("a.service")
		return h
	},
	Completed: func(t tb) *harness {
		h := load(t, `a.toml | service.exec-reload=["/bin/reload"]; service.type="oneshot"`)
		h.start("a.service")
		h.exit("a.service", 0)
		return h
	},
	RestartPending: func(t tb) *harness {
		h := load(t, `a.toml | service.exec-reload=["/bin/reload"]; restart.delay="5s"`)
		h.start("a.service")
		h.exit("a.service", 1)
		return h
	},
	Failed: func(t tb) *harness {
		h := load(t, `a.toml | service.exec-reload=["/bin/reload"]; restart.policy="no"`)
		h.start("a.service")
		h.exit("a.service", 1)
		return h
	},
	Dormant: func(t tb) *harness {
		h := load(t, `a.toml | service.exec-reload=["/bin/reload"]; restart.max-restarts=1; restart.on-exhausted="dormant"; restart.delay="1s"`)
		h.start("a.service")
		h.crash("a.service", 1, time.Second)
		h.exit("a.service", 1)
		return h
	},
	Abandoned: func(t tb) *harness {
		h := load(t, `a.toml | service.exec-reload=["/bin/reload"]; service.stop-timeout="1s"`)
		h.start("a.service")
		h.holds["a.service"] = true
		h.stop("a.service")
		h.exit("a.service", 0)
		h.advance(6 * time.Second)
		return h
	},
	Skipped: func(t tb) *harness {
		h := load(t, `a.toml | service.exec-reload=["/bin/reload"]; conditions.path-exists="/x"`)
		h.start("a.service")
		h.conditions("a.service", false)
		return h
	},
}

// commandTable is what each command does to a unit in each state. A cell says
// how the request or its job ends ("no X" is a refusal with error X, "…" a job
// that goes on), the state right after it, and the state when everything else
// goes well (processes obey, hooks succeed, conditions hold, dependencies still
// fail).
var commandTable = map[State][6]string{
	// start, stop, restart, reload, reset, kill
	Inactive:       {"done, active, active", "done, inactive, inactive", "done, active, active", "skipped, inactive, inactive", "ok, inactive, inactive", "no NoSuchProcess, inactive, inactive"},
	Blocked:        {"…, blocked, blocked", "done, inactive, inactive", "…, blocked, blocked", "skipped, blocked, blocked", "ok, inactive, inactive", "no NoSuchProcess, blocked, blocked"},
	Starting:       {"…, starting, active", "…, stopping, inactive", "…, stopping, active", "…, starting, active", "no Busy, starting, active", "ok, starting, active"},
	Active:         {"done, active, active", "…, stopping, inactive", "…, stopping, active", "…, reloading, active", "ok, active, active", "ok, active, active"},
	Reloading:      {"…, reloading, active", "…, stopping, inactive", "…, stopping, active", "…, reloading, active", "no Busy, reloading, active", "ok, reloading, active"},
	Stopping:       {"…, stopping, active", "…, stopping, inactive", "…, stopping, active", "…, stopping, inactive", "no Busy, stopping, inactive", "ok, stopping, inactive"},
	Completed:      {"done, completed, completed", "done, inactive, inactive", "…, starting, completed", "…, reloading, completed", "ok, completed, completed", "ok, completed, completed"},
	RestartPending: {"done, active, active", "done, inactive, inactive", "done, active, active", "skipped, restart-pending, restart-pending", "ok, inactive, inactive", "no NoSuchProcess, restart-pending, restart-pending"},
	Failed:         {"done, active, active", "done, failed, failed", "done, active, active", "skipped, failed, failed", "ok, inactive, inactive", "no NoSuchProcess, failed, failed"},
	Dormant:        {"done, active, active", "done, inactive, inactive", "done, active, active", "skipped, dormant, dormant", "ok, inactive, inactive", "no NoSuchProcess, dormant, dormant"},
	Abandoned:      {"failed, abandoned, failed", "failed, abandoned, failed", "failed, abandoned, failed", "skipped, abandoned, failed", "ok, abandoned, failed", "ok, abandoned, failed"},
	Skipped:        {"…, skipped, active", "done, skipped, skipped", "…, skipped, active", "skipped, skipped, skipped", "ok, inactive, inactive", "no NoSuchProcess, skipped, skipped"},
}

// 14. All 54 command×state cells are table-tested (here 72: six commands, and
// the twelve states instead of peinit's nine).
func TestStatement14CommandTable(t *testing.T) {
	verbs := [...]Verb{VerbStart, VerbStop, VerbRestart, VerbReload, VerbReset, VerbKill}
	for s := range numStates {
		var got [6]string
		for k, v := range verbs {
			got[k] = commandCell(t, s, v)
			if w := commandTable[s][k]; w != got[k] {
				t.Errorf("%s in state %s: got %q, want %q", v, s, got[k], w)
			}
		}
	}
}

func commandCell(t *testing.T, s State, v Verb) string {
	t.Helper()
	h := into[s](t)
	if got := h.view("a.service").State; got != s {
		t.Fatalf("the story of %s leads to %s", s, got)
	}
	r, _ := h.ask(Request{Verb: v, Unit: "a.service", Signal: 15})
	cell := ""
	switch {
	case r.Err != nil:
		cell = "no " + r.Err.Kind
	case r.Job == 0:
		cell = "ok"
	case h.result(r.Job) == "":
		cell = "…"
	default:
		cell = h.result(r.Job)
	}
	cell += ", " + h.state("a.service")
	// From here on everything goes well.
	h.obedient = true
	for name := range h.noExec {
		if len(h.runsOf(name, 0)) > 0 {
			h.spawnFailed(name, "exec", 2)
		}
	}
	for n := 0; n < 3; n++ {
		u := h.view("a.service")
		if u.Control != 0 {
			h.command("a.service", 0)
		}
		switch {
		case s == Abandoned && u.State == Abandoned && n == 0:
			h.empties("a.service")
		case u.State == Stopping && u.Main != 0:
			h.exit("a.service", 0)
		case u.State == Starting && s == Completed:
			h.exit("a.service", 0)
		case u.State == Starting && s == Starting:
			h.ready("a.service")
		case s == Skipped && u.Job != 0:
			h.conditions("a.service", true)
		}
	}
	return cell + ", " + h.state("a.service")
}
