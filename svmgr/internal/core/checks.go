package core

import (
	"fmt"
	"slices"
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

// Finding is the answer to one named check: before a start ([probe]), or before a
// restart.
type Finding struct {
	Name string
	OK   bool
	// Text says what was found, for people.
	Text string `json:",omitempty"`
}

// The checks of [probe] in the order in which they are made and shown. The core
// answers dependencies itself; it alone knows their state.
const (
	CheckBinary       = "binary"
	CheckExecutable   = "executable"
	CheckDependencies = "dependencies"
	CheckMemory       = "memory"
	CheckIdentity     = "identity"
	CheckMounts       = "mounts"
	CheckLimits       = "limits"
	// CheckRestartMemory is restart.min-available-memory.
	CheckRestartMemory = "restart-memory"
)

var allChecks = []string{CheckBinary, CheckExecutable, CheckDependencies, CheckMemory, CheckIdentity, CheckMounts, CheckLimits}

// checksOf are the checks that a unit asks for. Naming a threshold or a user ID
// asks for its check.
func checksOf(u *unit.Unit) []string {
	words := unit.ProbeChecks.Of(u)
	memory, uid := unit.ProbeMinMemory.IsSet(u), unit.ProbeAssertUID.Of(u) >= 0
	if len(words) == 0 && !memory && !uid || slices.Contains(words, "none") {
		return nil
	}
	all := slices.Contains(words, "all")
	var out []string
	for _, name := range allChecks {
		if all || slices.Contains(words, name) || name == CheckMemory && memory || name == CheckIdentity && uid {
			out = append(out, name)
		}
	}
	return out
}

// spareMemory says that a restart waits until the machine has memory to spare. What
// a person or a dependency starts, or a group restart, does not wait.
func (c *Core) spareMemory(i graph.Index, j *job) bool {
	r := c.rec(i)
	u := c.g.Unit(i)
	return u != nil && j.Source == SourceRestartPolicy && (r.state == RestartPending || r.state == Dormant) && unit.RestartMinMemory.Of(u) != (unit.Quantity{})
}

func (c *Core) conditionsOf(i graph.Index, u *unit.Unit) (conds, asserts []unit.Condition) {
	if !c.machineOf(i).conditional {
		return nil, nil
	}
	return unit.Conditions.Of(u), unit.Asserts.Of(u)
}

// asksFirst says whether the world must be asked before the start.
func (c *Core) asksFirst(j *job) bool {
	u := c.g.Unit(j.Unit)
	conds, asserts := c.conditionsOf(j.Unit, u)
	return len(conds)+len(asserts) > 0 || len(checksOf(u)) > 0 || c.spareMemory(j.Unit, j)
}

// question is what preflight asks: the conditions, the asserts and the checks.
func (c *Core) question(i graph.Index, j *job) Probe {
	r, u := c.rec(i), c.g.Unit(i)
	conds, asserts := c.conditionsOf(i, u)
	p := Probe{Run: r.probe, Unit: u, What: ProbeConditions}
	if len(conds)+len(asserts) > 0 {
		p.Conditions = append(append(make([]unit.Condition, 0, len(conds)+len(asserts)), conds...), asserts...)
	}
	for _, name := range checksOf(u) {
		if name != CheckDependencies {
			p.Checks = append(p.Checks, name)
		}
	}
	if c.spareMemory(i, j) {
		p.Checks = append(p.Checks, CheckRestartMemory)
	}
	return p
}

// memoryPause is how long a restart is put off for lack of memory before it is
// looked at again.
const memoryPause = 10 * time.Second

// checksHold judges the findings. False means that the job has been ended: a check
// that failed blocks the start, and lack of memory puts a restart off.
func (c *Core) checksHold(i graph.Index, j *job, found []Finding) bool {
	r, u := c.rec(i), c.g.Unit(i)
	get := func(name string) Finding {
		for _, f := range found {
			if f.Name == name {
				return f
			}
		}
		return Finding{Name: name, Text: "it was not answered"}
	}
	bad := Cause{}
	if names := checksOf(u); len(names) > 0 {
		h := r.history()
		h.Findings, h.Checked = nil, c.now
		for _, name := range names {
			f, other := Finding{}, ""
			if name == CheckDependencies {
				f, other = c.dependenciesUp(i)
			} else {
				f = get(name)
			}
			h.Findings = append(h.Findings, f)
			if !f.OK && bad.Kind == NoCause {
				bad = Cause{Kind: ProbeFailed, Unit: other, Detail: f.Name + ": " + f.Text}
			}
		}
	} else if r.hist != nil {
		r.hist.Findings, r.hist.Checked = nil, Time{}
	}
	if bad.Kind != NoCause {
		c.refuse(i, JobFailed, Blocked, bad)
		return false
	}
	if !c.spareMemory(i, j) {
		return true
	}
	f := get(CheckRestartMemory)
	f.Name = CheckMemory
	if !f.OK {
		f.Text += fmt.Sprintf("; looked at again in %v", memoryPause)
	}
	c.amendDecision(i, f)
	if f.OK {
		return true
	}
	c.emit(Log{Level: LevelWarning, Unit: c.g.Name(i), Note: "its restart is put off: " + f.Text})
	c.arm(i, dlRestart, c.now.Mono+memoryPause)
	c.finish(j, JobCanceled, r.cause)
	return false
}

// dependenciesUp is the check that all that the unit requires is up at this moment,
// ordered before it or not. It names the first that is not.
func (c *Core) dependenciesUp(i graph.Index) (Finding, string) {
	n := 0
	for _, e := range c.g.Edges(i) {
		if !e.Rel.Has(graph.Requires | graph.BindsTo | graph.Requisite) {
			continue
		}
		n++
		if !c.satisfied(e.To) {
			name := c.g.Name(e.To)
			return Finding{Name: CheckDependencies, Text: fmt.Sprintf("%s is %v", name, c.rec(e.To).state)}, name
		}
	}
	return Finding{Name: CheckDependencies, OK: true, Text: fmt.Sprintf("all %d are up", n)}, ""
}
