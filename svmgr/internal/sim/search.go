package sim

import (
	"fmt"
)

// shrinkBudget is how many steps of the core a shrink may cost: half a minute.
const shrinkBudget = 1_500_000

// Failure is a failing seed with its shrunk trace.
type Failure struct {
	Seed   uint64
	Shrunk *Trace
	Result *Result
	// Flaky says that the recorded trace did not fail when it was replayed;
	// then it is given as recorded.
	Flaky bool
}

// Examine runs a seed and, if it fails, records and shrinks it.
func Examine(seed uint64, o Options) (*Result, *Failure, error) {
	r, err := Run(seed, o)
	if err != nil || r.Violation == nil {
		return r, nil, err
	}
	again := o
	again.Record, again.Coverage = true, nil
	rec, err := Run(seed, again)
	if err != nil {
		return r, nil, err
	}
	if rec.Violation == nil || rec.Violation.Rule != r.Violation.Rule {
		return r, nil, fmt.Errorf("seed %d is not deterministic: %v, then %v", seed, r.Violation, rec.Violation)
	}
	t := &Trace{Rule: rec.Violation.Rule, Scenario: rec.Scenario, Entries: rec.Entries}
	f := &Failure{Seed: seed, Result: rec, Shrunk: t}
	rep, err := Replay(t, Options{})
	if err != nil {
		return r, nil, fmt.Errorf("seed %d: replay: %w", seed, err)
	}
	if rep.Violation == nil || rep.Violation.Rule != t.Rule {
		f.Flaky = true
		t.Notes = []string{fmt.Sprintf("seed %d, units %d-%d: %v", seed, o.Least, o.Most, rec.Violation),
			fmt.Sprintf("does not fail in the same way when replayed: %v", rep.Violation)}
		return r, f, nil
	}
	f.Shrunk = Shrink(t, shrinkBudget)
	last, err := Replay(f.Shrunk, Options{})
	if err != nil {
		return r, nil, err
	}
	f.Shrunk.Notes = []string{fmt.Sprintf("seed %d, units %d-%d: %v", seed, o.Least, o.Most, last.Violation)}
	return r, f, nil
}
