package core

import (
	"fmt"
	"slices"
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

// Decision is one decision about a restart, with the reasons for it.
type Decision struct {
	At Time
	// Cause is the end of the activation that it is about.
	Cause   Cause
	Verdict Verdict
	// Delay is how long the unit waits (VerdictRestart, VerdictSleep), and Number
	// counts the automatic restarts since it was last started by request.
	Delay  time.Duration `json:",omitempty"`
	Number uint32        `json:",omitempty"`
	// Findings are the checks in their order: policy, budget, last-chance,
	// cooldown, escalation, memory. What was not asked is not there.
	Findings []Finding
}

// Verdict is what was decided.
type Verdict uint8

const (
	// VerdictStay: no restart was wanted.
	VerdictStay Verdict = iota
	// VerdictRestart: it is started again when the delay is over.
	VerdictRestart
	// VerdictGroup: its supervisor restarts it with its group.
	VerdictGroup
	// VerdictSleep: it is dormant for the delay.
	VerdictSleep
	// VerdictEscalate: the failure went up to a supervisor's parent.
	VerdictEscalate
	// VerdictReboot: the system was asked to reboot.
	VerdictReboot
	// VerdictGiveUp: it is not restarted any more.
	VerdictGiveUp
	numVerdicts
)

var verdictNames = [numVerdicts]string{"stay", "restart", "group-restart", "sleep", "escalate", "reboot", "give-up"}

func (v Verdict) String() string {
	if v < numVerdicts {
		return verdictNames[v]
	}
	return "verdict(?)"
}

// The checks of a decision that are not among those before a start.
const (
	CheckPolicy     = "policy"
	CheckBudget     = "budget"
	CheckLastChance = "last-chance"
	CheckCooldown   = "cooldown"
	CheckEscalation = "escalation"
)

// maxDecisions is how many decisions are kept for each unit.
const maxDecisions = 8

func (d *Decision) found(name string, ok bool, format string, args ...any) {
	d.Findings = append(d.Findings, Finding{Name: name, OK: ok, Text: fmt.Sprintf(format, args...)})
}

// decided keeps a decision. Its findings may be those of a View: they are not
// written to again.
func (c *Core) decided(i graph.Index, d Decision) {
	h := c.rec(i).history()
	keep := h.Decisions
	if n := len(keep) - maxDecisions + 1; n > 0 {
		keep = keep[n:]
	}
	d.Cause.Decision = ""
	h.Decisions = append(slices.Clone(keep), d)
}

// amendDecision puts a finding that came later into the newest decision, in the
// place of an older one of its name.
func (c *Core) amendDecision(i graph.Index, f Finding) {
	h := c.rec(i).history()
	if len(h.Decisions) == 0 {
		return
	}
	h.Decisions = slices.Clone(h.Decisions)
	d := &h.Decisions[len(h.Decisions)-1]
	d.Findings = slices.DeleteFunc(slices.Clone(d.Findings), func(o Finding) bool { return o.Name == f.Name })
	d.Findings = append(d.Findings, f)
}

// fresh gives a unit its whole budget back.
func (h *history) fresh() { h.Budget, h.Dormancies, h.LastChance = nil, 0, false }

// budgetFinding tells how much of the budget is used.
func budgetFinding(h *history, u *unit.Unit) (used string) {
	limit := unit.MaxRestarts.Of(u)
	if limit == 0 {
		return "any number of restarts is allowed"
	}
	return fmt.Sprintf("%d of %d restarts in %v used", len(h.Budget), limit, unit.MaxRestartWindow.Of(u))
}

// intensityFinding tells how much of a supervisor's intensity is used, before the
// restart under decision counts.
func (c *Core) intensityFinding(d *Decision, s *supervisor) {
	used := uint32(0)
	for _, t := range s.Times {
		if c.now.Mono-t < s.Window {
			used++
		}
	}
	text := fmt.Sprintf("supervisor %s: %d of %d restarts in %v used", s.Name, used, s.Max, s.Window)
	if used >= s.Max {
		above := "nothing is above it"
		if s.Parent >= 0 {
			above = "the failure goes up to " + c.sups[s.Parent].Name
		}
		d.found(CheckEscalation, false, "%s; %s", text, above)
		return
	}
	d.found(CheckEscalation, true, "%s", text)
}

// lastChance is how far the command of restart.last-chance has come in one
// activation.
type lastChance uint8

const (
	chanceNone lastChance = iota
	// chanceAsked: the command runs, or never came to an end.
	chanceAsked
	chanceGranted
	chanceRefused
)

// lastChanceDue says that an activation which is over would be given up, and has a
// command that may still grant one more restart.
func (c *Core) lastChanceDue(i graph.Index) bool {
	r := c.rec(i)
	p, u := r.proc, r.act
	if p.LastChance != chanceNone || p.Unkillable || u.Format != unit.Native || len(unit.LastChanceExec.Of(u)) == 0 {
		return false
	}
	h := r.history()
	if h.LastChance {
		return false
	}
	restart, _ := c.restartWanted(i)
	return restart && !c.withinBudget(h, u)
}

// chanceFinding says what became of the last chance; it is used up either way.
func chanceFinding(d *Decision, h *history, p *proc, u *unit.Unit) (granted bool) {
	switch {
	case p.LastChance == chanceGranted:
		d.found(CheckLastChance, true, "its command granted one more restart")
	case p.LastChance == chanceRefused:
		d.found(CheckLastChance, false, "its command failed")
	case p.LastChance == chanceAsked:
		d.found(CheckLastChance, false, "its command did not end by itself")
	case h.LastChance && len(unit.LastChanceExec.Of(u)) > 0:
		d.found(CheckLastChance, false, "it had its last chance")
	}
	h.LastChance = h.LastChance || p.LastChance != chanceNone
	return p.LastChance == chanceGranted
}
