package core

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dynamod/internal/graph"
)

// verdict is the newest decision about a unit in short words: the verdict, then each
// check, with "!" before those that failed.
func (h *harness) verdict(name string) string {
	ds, _, _ := h.c.View().Verdicts(name)
	if len(ds) == 0 {
		return "none"
	}
	d := ds[len(ds)-1]
	return d.Verdict.String() + " " + marks(d.Findings)
}

func marks(fs []Finding) string {
	var out []string
	for _, f := range fs {
		if f.Text == "" {
			f.Name += "(no text)"
		}
		if !f.OK {
			f.Name = "!" + f.Name
		}
		out = append(out, f.Name)
	}
	return strings.Join(out, " ")
}

// checked answers the pending checks of a unit: those named failed.
func (h *harness) checked(name string, failed ...string) {
	h.Helper()
	run := h.probe(name, ProbeConditions)
	var p Probe
	for _, a := range h.acts {
		if q, ok := a.(Probe); ok && q.Run == run {
			p = q
		}
	}
	r := ProbeResult{Run: run, Held: make([]bool, len(p.Conditions))}
	for _, c := range p.Checks {
		r.Findings = append(r.Findings, Finding{Name: c, OK: !slices.Contains(failed, c), Text: "seen"})
	}
	h.tell(r)
}

func TestDecisionsAreRecorded(t *testing.T) {
	h := load(t, `a.toml | restart.delay="1s"; restart.max-restarts=2; restart.policy="transient"`)
	h.start("a.service")
	want(h, "before any end", h.verdict("a.service"), "none")
	h.crash("a.service", 1, 2*time.Second)
	want(h, "first death", h.verdict("a.service"), "restart policy budget cooldown escalation")
	ds, _, _ := h.c.View().Verdicts("a.service")
	want(h, "number", fmt.Sprint(ds[0].Number, ds[0].Delay, ds[0].Cause.Kind, ds[0].Cause.Decision == ""), "1 1s exit-code true")
	want(h, "texts", ds[0].Findings[1].Text+"; "+ds[0].Findings[2].Text+"; "+ds[0].Findings[3].Text,
		"0 of 2 restarts in 1m0s used; 1s, after 0 restarts in a row; supervisor root: 0 of 20 restarts in 10m0s used")
	h.crash("a.service", 2, 5*time.Second)
	want(h, "last death", h.verdict("a.service"), "give-up policy !budget")
	h.is("a.service", "failed")
	h.because("a.service", BudgetExhausted)
	h.reset("a.service")
	want(h, "after the reset", h.verdict("a.service"), "give-up policy !budget")

	h.start("a.service")
	h.exit("a.service", 0)
	want(h, "a clean end is no decision", h.verdict("a.service"), "give-up policy !budget")

	h = load(t, `a.toml | restart.policy="temporary"`)
	h.start("a.service")
	h.exit("a.service", 1)
	want(h, "temporary", h.verdict("a.service"), "stay !policy")
	h.start("a.service")
	h.stop("a.service")
	ds, _, _ = h.c.View().Verdicts("a.service")
	want(h, "a stop on purpose is no decision", len(ds), 1)
}

// Only the newest decisions are kept, and a View does not change under its reader.
func TestDecisionsAreBounded(t *testing.T) {
	h := load(t, `a.toml | restart.delay="1s"; restart.delay-max="1s"; restart.max-restarts=0`, `root.sup | supervisor.max-restarts=1000`)
	h.start("a.service")
	h.crash("a.service", 3, 2*time.Second)
	before, _, _ := h.c.View().Verdicts("a.service")
	h.crash("a.service", 30, 2*time.Second)
	after, _, _ := h.c.View().Verdicts("a.service")
	if len(after) != maxDecisions || after[len(after)-1].Number != 33 || before[0].Number != 1 || len(before) != 3 {
		h.Errorf("%d kept, the newest is %d; before: %d, %d", len(after), after[len(after)-1].Number, len(before), before[0].Number)
	}
	h.rebirth()
	again, _, _ := h.c.View().Verdicts("a.service")
	if fmt.Sprint(again) != fmt.Sprint(after) {
		h.Errorf("after a restart of the manager: %v", again)
	}
}

func TestDecisionsDormantEscalateGroup(t *testing.T) {
	h := load(t, `a.toml | restart.delay="1s"; restart.max-restarts=1; restart.on-exhausted="dormant"`)
	h.start("a.service")
	h.crash("a.service", 1, time.Second)
	h.exit("a.service", 1)
	want(h, "dormant", h.verdict("a.service"), "sleep policy !budget")
	ds, _, _ := h.c.View().Verdicts("a.service")
	want(h, "sleep", ds[1].Delay, 5*time.Minute)

	h = load(t, `a.toml | restart.delay="1s"; service.supervisor="s"`, `b.toml | service.supervisor="s"`, `s.sup | supervisor.strategy="one-for-all"; supervisor.max-restarts=1`)
	h.start("a.service")
	h.start("b.service")
	h.obedient = true
	h.exit("a.service", 1)
	want(h, "group", h.verdict("a.service"), "group-restart policy budget cooldown escalation")
	h.advance(2 * time.Second)
	h.exit("a.service", 1)
	want(h, "escalation", h.verdict("a.service"), "escalate policy budget cooldown !escalation")
}

func TestLastChance(t *testing.T) {
	unit := `a.toml | restart.delay="1s"; restart.max-restarts=1; restart.last-chance.exec=["/bin/mend"]`
	h := load(t, unit)
	h.start("a.service")
	h.crash("a.service", 1, time.Second)
	m := h.mark()
	h.exit("a.service", 1) // the budget is used up
	h.ran(m, "a.service", "last-chance")
	h.is("a.service", "stopping")
	h.command("a.service", 0)
	h.is("a.service", "restart-pending")
	want(h, "granted", h.verdict("a.service"), "restart policy !budget last-chance cooldown escalation")
	h.advance(3 * time.Second)
	h.is("a.service", "active")
	m = h.mark()
	h.exit("a.service", 1)
	h.ran(m, "a.service", "")
	h.is("a.service", "failed")
	want(h, "it is the last", h.verdict("a.service"), "give-up policy !budget !last-chance")

	// A start by request gives everything back; a failing command grants nothing.
	h.start("a.service")
	h.crash("a.service", 1, time.Second)
	h.exit("a.service", 1)
	h.command("a.service", 3)
	h.is("a.service", "failed")
	want(h, "refused", h.verdict("a.service"), "give-up policy !budget !last-chance")
	h.because("a.service", BudgetExhausted)

	// A command that hangs is ended, and a stop meanwhile is obeyed.
	h = load(t, unit+`; shutdown.stop-timeout="5s"`)
	h.start("a.service")
	h.crash("a.service", 1, time.Second)
	h.exit("a.service", 1)
	m = h.mark()
	h.advance(6 * time.Second)
	if got := strings.Join(h.since(m, "a.service"), " "); !strings.Contains(got, "TERM") {
		h.Errorf("after its timeout: %s", got)
	}
	h.command("a.service", 0)
	h.is("a.service", "failed")
	want(h, "too late", h.verdict("a.service"), "give-up policy !budget !last-chance")

	h = load(t, unit)
	h.start("a.service")
	h.crash("a.service", 1, time.Second)
	h.exit("a.service", 1)
	stop := h.stop("a.service")
	h.command("a.service", 0)
	h.wantResult(stop, "done")
	if s := h.state("a.service"); s != "failed" && s != "inactive" {
		h.Errorf("after a stop it is %s", s)
	}
	h.advance(time.Minute)
	want(h, "starts", h.spawns("a.service"), 2)
}

// The manager dies while the command of the last chance runs.
func TestLastChanceSurvives(t *testing.T) {
	h := load(t, `a.toml | restart.delay="1s"; restart.max-restarts=1; restart.last-chance.exec=["/bin/mend"]`)
	h.start("a.service")
	h.crash("a.service", 1, time.Second)
	h.exit("a.service", 1)
	h.rebirth()
	h.command("a.service", 0)
	h.is("a.service", "restart-pending")
}

func TestChecksBlockTheStart(t *testing.T) {
	h := load(t, `a.toml | probe.checks=["all"]`, `b.toml | dependencies.requires=["a.service"]; dependencies.after=["a.service"]`)
	j := h.start("b.service")
	want(h, "not before the answer", h.spawns("a.service"), 0)
	h.checked("a.service", CheckMemory)
	h.is("a.service", "blocked", "b.service", "blocked")
	h.because("a.service", ProbeFailed)
	h.wantResult(j, "dependency")
	_, fs, at := h.c.View().Verdicts("a.service")
	want(h, "findings", marks(fs), "binary executable dependencies !memory identity mounts limits")
	want(h, "at", at, h.now)
	if s := h.view("a.service").Cause.Sentence("a.service"); !strings.Contains(s, "memory: seen") {
		h.Errorf("%q does not name the check", s)
	}
	h.advance(time.Hour)
	want(h, "nothing mends that by itself", h.spawns("a.service"), 0)
	h.start("a.service")
	h.checked("a.service")
	h.is("a.service", "active", "b.service", "active")
	_, fs, _ = h.c.View().Verdicts("a.service")
	want(h, "findings", marks(fs), "binary executable dependencies memory identity mounts limits")
}

func TestCheckWords(t *testing.T) {
	for _, row := range [][2]string{
		{`probe.checks=["limits", "binary"]`, "binary limits"},
		{`probe.min-available-memory="1G"`, "memory"},
		{`probe.assert-uid=0; probe.checks=["mounts"]`, "identity mounts"},
		{`probe.checks=["all", "none"]`, ""},
		{`restart.delay="1s"`, ""},
	} {
		h := load(t, "a.toml | "+row[0])
		h.start("a.service")
		var got []string
		for _, p := range find[Probe](h, 0) {
			got = append(got, p.Checks...)
		}
		want(h, row[0], strings.Join(got, " "), row[1])
	}
}

// A check that gets no answer fails: nothing is started by ignorance. A check of
// dependencies is mended by the dependency.
func TestChecksWithoutAnswerAndDependencies(t *testing.T) {
	h := load(t, `a.toml | probe.checks=["binary"]`)
	h.start("a.service")
	h.tell(ProbeResult{Run: h.probe("a.service", ProbeConditions), OK: true})
	h.because("a.service", ProbeFailed)

	h = load(t, `a.toml | probe.checks=["dependencies"]; dependencies.requires=["db.service"]`, `db.toml | service.type="notify"`)
	h.do(Request{Verb: VerbStart, Unit: "a.service", Mode: graph.IgnoreDependencies})
	h.checked("a.service")
	h.is("a.service", "blocked", "db.service", "inactive")
	want(h, "names it", h.view("a.service").Cause.Unit, "db.service")
	h.start("db.service")
	h.ready("db.service")
	h.checked("a.service")
	h.is("a.service", "active")
}

func TestRestartWaitsForMemory(t *testing.T) {
	h := load(t, `a.toml | restart.delay="1s"; restart.max-restarts=1; restart.min-available-memory="64M"`)
	j := h.start("a.service")
	h.wantResult(j, "done") // a person does not wait
	h.exit("a.service", 1)
	h.advance(time.Second)
	h.is("a.service", "restart-pending")
	for range 5 {
		h.checked("a.service", CheckRestartMemory)
		h.is("a.service", "restart-pending")
		want(h, "put off", h.verdict("a.service"), "restart policy budget cooldown escalation !memory")
		h.advance(memoryPause)
	}
	want(h, "meanwhile", h.spawns("a.service"), 1)
	h.checked("a.service")
	h.is("a.service", "active")
	want(h, "enough", h.verdict("a.service"), "restart policy budget cooldown escalation memory")

	// While it is put off, a start by request goes ahead and a stop ends it.
	h = load(t, `a.toml | restart.delay="1s"; restart.min-available-memory="64M"`)
	h.start("a.service")
	h.exit("a.service", 1)
	h.advance(time.Second)
	h.start("a.service") // merges with the restart that is being looked at
	h.checked("a.service", CheckRestartMemory)
	h.is("a.service", "active")
	h.exit("a.service", 1)
	h.advance(time.Second)
	h.checked("a.service", CheckRestartMemory)
	h.stop("a.service")
	h.advance(time.Minute)
	h.is("a.service", "inactive")
}
