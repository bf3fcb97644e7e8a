package main

import (
	"slices"
	"sync"

	"dynamod/internal/ipc"
)

// maxSpent bounds the units of which it is remembered what they used; instances may be
// without number.
const maxSpent = 4096

// spent is what units had used when they ended, which their cgroups took with them:
// systemctl status and systemd-run --wait tell it afterwards.
type spent struct {
	mu    sync.Mutex
	by    map[string]ipc.Usage
	order []string // the oldest first
}

// note is called before the group of a unit is removed.
func (s *spent) note(unit string, u ipc.Usage) {
	// Nothing is there to use memory or to be counted any more.
	u.Memory, u.Swap, u.Tasks, u.MemoryMax, u.TasksMax = -1, -1, -1, -1, -1
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = map[string]ipc.Usage{}
	}
	if _, ok := s.by[unit]; !ok {
		if len(s.order) >= maxSpent {
			delete(s.by, s.order[0])
			s.order = s.order[1:]
		}
		s.order = append(s.order, unit)
	}
	s.by[unit] = u
}

// forget is for a unit that is gone, of which nobody can ask any more.
func (s *spent) forget(unit string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.by[unit]; known {
		delete(s.by, unit)
		s.order = slices.DeleteFunc(s.order, func(name string) bool { return name == unit })
	}
}

func (s *spent) of(unit string) (ipc.Usage, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.by[unit]
	return u, ok
}
