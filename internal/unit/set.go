package unit

import (
	"slices"
	"strings"
	"time"

	"dynamod/internal/diag"
)

// Strategy is what a supervisor does when one of its members dies.
type Strategy uint8

const (
	// OneForOne restarts the member alone.
	OneForOne Strategy = iota
	// OneForAll stops all members in reverse order and starts all in order.
	OneForAll
	// RestForOne does the same with the member and those started after it.
	RestForOne
)

func (s Strategy) String() string {
	return [...]string{"one-for-one", "one-for-all", "rest-for-one"}[s]
}

// Supervisor is one node of the OTP tree. Members are services and child
// supervisors in their declared start order (by file name, then by After=).
type Supervisor struct {
	Name, Parent string
	Strategy     Strategy
	MaxRestarts  uint32
	Window       time.Duration
	Path         string
	Pos          diag.Pos
}

// RootSupervisor is the implicit root of the tree.
const RootSupervisor = "root"

// Set is everything that one load produced. It is immutable.
type Set struct {
	// Units are sorted by name; placeholders for missing units are not here.
	Units []*Unit
	// Supervisors are sorted by name and always hold the root.
	Supervisors []*Supervisor
	// Boot is what boot.toml says, nil without one.
	Boot   *Boot
	byName map[string]int32
}

// NewSet sorts units, indexes names and aliases, and reports duplicates: the
// first unit to claim a name keeps it. It adds the root supervisor if absent.
func NewSet(units []*Unit, sups []*Supervisor) (*Set, []diag.Diag) {
	s := &Set{Units: slices.Clone(units), Supervisors: slices.Clone(sups)}
	slices.SortStableFunc(s.Units, func(a, b *Unit) int { return strings.Compare(a.Name, b.Name) })
	var ds []diag.Diag
	s.byName = make(map[string]int32, len(units))
	kept := s.Units[:0]
	for _, u := range s.Units {
		if _, dup := s.byName[u.Name]; dup {
			ds = append(ds, diag.Diag{Severity: diag.Error, Code: "duplicate-unit", Unit: u.Name,
				Pos:     diag.Pos{File: u.Path},
				Message: "unit " + u.Name + " is defined twice; this definition is not used"})
			continue
		}
		s.byName[u.Name] = int32(len(kept))
		kept = append(kept, u)
	}
	s.Units = kept
	for i, u := range s.Units {
		for _, a := range u.Aliases {
			if j, dup := s.byName[a]; dup {
				if s.Units[j] != u {
					ds = append(ds, diag.Diag{Severity: diag.Warning, Code: "alias-taken", Unit: u.Name,
						Pos:     diag.Pos{File: u.Path},
						Message: "alias " + a + " already belongs to " + s.Units[j].Name})
				}
				continue
			}
			s.byName[a] = int32(i)
		}
	}
	if !slices.ContainsFunc(s.Supervisors, func(v *Supervisor) bool { return v.Name == RootSupervisor }) {
		s.Supervisors = append(s.Supervisors, &Supervisor{Name: RootSupervisor,
			MaxRestarts: 20, Window: 600 * time.Second})
	}
	slices.SortStableFunc(s.Supervisors, func(a, b *Supervisor) int { return strings.Compare(a.Name, b.Name) })
	return s, ds
}

// Find returns the unit that has name as its name or alias.
func (s *Set) Find(name string) (*Unit, bool) {
	i, ok := s.byName[name]
	if !ok {
		return nil, false
	}
	return s.Units[i], true
}
