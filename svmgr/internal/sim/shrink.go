package sim

import (
	"slices"
	"strings"
	"time"
)

// Shrink makes a failing trace as small as it can while it still violates the
// same rule: it takes out events, units and settings, and shortens times. It
// gives up after about budget steps of the core.
func Shrink(t *Trace, budget int) *Trace {
	s := &shrinker{best: t, rule: t.Rule, left: budget}
	for s.left > 0 {
		before := s.size()
		s.events()
		s.units()
		s.settings()
		s.times()
		s.generations()
		if s.size() >= before {
			break
		}
	}
	return s.best
}

type shrinker struct {
	best *Trace
	rule string
	left int
}

func (s *shrinker) size() int {
	n := len(s.best.Entries)
	for _, g := range s.best.Scenario.Gens {
		for _, u := range g.Units {
			n += 1 + len(u.Lines)
		}
	}
	return n + len(s.best.Scenario.Extra)
}

// try keeps the candidate if it fails in the same way.
func (s *shrinker) try(t *Trace) bool {
	if s.left <= 0 {
		return false
	}
	r, err := Replay(t, Options{})
	s.left -= 20
	if r != nil {
		s.left -= r.Steps
	}
	if err != nil || r.Violation == nil || r.Violation.Rule != s.rule {
		return false
	}
	s.best = t
	return true
}

func (s *shrinker) with(entries []Entry) *Trace {
	return &Trace{Rule: s.rule, Notes: s.best.Notes, Scenario: s.best.Scenario, Entries: entries}
}

// events is delta debugging: halves, quarters, … and at last single events.
func (s *shrinker) events() {
	for chunk := max(len(s.best.Entries)/2, 1); ; chunk /= 2 {
		for at := len(s.best.Entries); at > 0; at -= chunk {
			from := max(at-chunk, 0)
			if to := min(at, len(s.best.Entries)); from < to {
				s.try(s.with(slices.Delete(slices.Clone(s.best.Entries), from, to)))
			}
		}
		if chunk <= 1 {
			return
		}
	}
}

// mentions says whether an entry is about the unit.
func mentions(e Entry, unit string) bool { return strings.Contains(e.Text, unit) }

// units takes out units in chunks, with their events and the lines that name
// them, in all generations.
func (s *shrinker) units() {
	names := func() []string {
		var out []string
		for _, g := range s.best.Scenario.Gens {
			for _, u := range g.Units {
				if !slices.Contains(out, u.Name) {
					out = append(out, u.Name)
				}
			}
		}
		for _, u := range s.best.Scenario.Extra {
			out = append(out, u.Name)
		}
		return out
	}
	all := names()
	for chunk := max(len(all)/2, 1); ; chunk /= 2 {
		for from := 0; from < len(all); from += chunk {
			if s.left <= 0 {
				return
			}
			gone := all[from:min(from+chunk, len(all))]
			s.try(s.without(gone))
		}
		all = names()
		if chunk <= 1 {
			return
		}
	}
}

func (s *shrinker) without(gone []string) *Trace {
	drop := func(u *Spec) bool { return slices.Contains(gone, u.Name) }
	sc := *s.best.Scenario
	sc.Gens = slices.Clone(sc.Gens)
	for i := range sc.Gens {
		sc.Gens[i].Units = slices.DeleteFunc(slices.Clone(sc.Gens[i].Units), drop)
	}
	sc.Extra = slices.DeleteFunc(slices.Clone(sc.Extra), drop)
	entries := slices.DeleteFunc(slices.Clone(s.best.Entries), func(e Entry) bool {
		return !strings.HasPrefix(e.Text, "ManagerRestored") &&
			slices.ContainsFunc(gone, func(n string) bool { return mentions(e, n) })
	})
	t := s.with(entries)
	t.Scenario = &sc
	return t
}

// settings takes out single lines of units; all generations that share the
// unit change with it.
func (s *shrinker) settings() {
	var specs []*Spec
	collect := func() {
		specs = specs[:0]
		for _, g := range s.best.Scenario.Gens {
			for _, u := range g.Units {
				if !slices.Contains(specs, u) {
					specs = append(specs, u)
				}
			}
		}
		specs = append(specs, s.best.Scenario.Extra...)
	}
	collect()
	for i := 0; i < len(specs); i++ {
		for l := len(specs[i].Lines) - 1; l >= 0 && s.left > 0; l-- {
			old := specs[i]
			if l >= len(old.Lines) {
				continue
			}
			changed := &Spec{Name: old.Name, Native: old.Native, Lines: slices.Delete(slices.Clone(old.Lines), l, l+1)}
			if s.try(s.replacing(old, changed)) {
				specs[i] = changed
			}
		}
	}
}

func (s *shrinker) replacing(old, changed *Spec) *Trace {
	swap := func(us []*Spec) []*Spec {
		us = slices.Clone(us)
		for i := range us {
			if us[i] == old {
				us[i] = changed
			}
		}
		return us
	}
	sc := *s.best.Scenario
	sc.Gens = slices.Clone(sc.Gens)
	for i := range sc.Gens {
		sc.Gens[i].Units = swap(sc.Gens[i].Units)
	}
	sc.Extra = swap(sc.Extra)
	t := s.with(s.best.Entries)
	t.Scenario = &sc
	return t
}

// times closes the gaps between events: all at once, then one by one.
func (s *shrinker) times() {
	for _, unit := range []time.Duration{0, time.Millisecond, time.Second} {
		moved := slices.Clone(s.best.Entries)
		for i := range moved {
			moved[i].At = bootedAt + time.Duration(i+1)*unit
		}
		if s.left > 0 && s.try(s.with(moved)) {
			return
		}
	}
	for i := range s.best.Entries {
		prev := bootedAt
		if i > 0 {
			prev = s.best.Entries[i-1].At
		}
		gap := s.best.Entries[i].At - prev
		for _, want := range []time.Duration{0, time.Millisecond, gap.Truncate(time.Second), gap.Truncate(time.Millisecond)} {
			if want >= gap || s.left <= 0 {
				continue
			}
			moved := slices.Clone(s.best.Entries)
			for k := i; k < len(moved); k++ {
				moved[k].At -= gap - want
			}
			if s.try(s.with(moved)) {
				break
			}
		}
	}
	for _, simpler := range []func(*Scenario){func(c *Scenario) { c.Late = 0 }, func(c *Scenario) { c.User = false },
		func(c *Scenario) { c.ShutdownTimeout = 0 }} {
		sc := *s.best.Scenario
		simpler(&sc)
		if sc.Late != s.best.Scenario.Late || sc.User != s.best.Scenario.User || sc.ShutdownTimeout != s.best.Scenario.ShutdownTimeout {
			t := s.with(s.best.Entries)
			t.Scenario = &sc
			s.try(t)
		}
	}
}

// generations drops the later loads that no event asks for, and supervisors.
func (s *shrinker) generations() {
	for len(s.best.Scenario.Gens) > 1 && s.left > 0 {
		sc := *s.best.Scenario
		sc.Gens = sc.Gens[:len(sc.Gens)-1]
		t := s.with(s.best.Entries)
		t.Scenario = &sc
		if !s.try(t) {
			break
		}
	}
	for i := len(s.best.Scenario.Gens[0].Sups) - 1; i >= 0; i-- {
		sc := *s.best.Scenario
		sc.Gens = slices.Clone(sc.Gens)
		for g := range sc.Gens {
			if i < len(sc.Gens[g].Sups) {
				sc.Gens[g].Sups = slices.Delete(slices.Clone(sc.Gens[g].Sups), i, i+1)
			}
		}
		t := s.with(s.best.Entries)
		t.Scenario = &sc
		s.try(t)
	}
}
