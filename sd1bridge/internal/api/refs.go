package api

import (
	"maps"
	"slices"
	"sync"

	"dynamod/internal/bus"
	"dynamod/internal/ipc"
)

// Bounds of references: how many clients hold on to units, and to how many each.
const (
	maxHolders = 4096
	maxHeld    = 4096
)

// refs are the clients of the bus that hold on to units, by their unique names: a unit
// that was made for one is not forgotten before it has looked.
type refs struct {
	// asking is held from a change to the manager's answer about it, so that the
	// last to let go and the first to hold on cannot overtake each other.
	asking sync.Mutex

	mu sync.Mutex
	// held counts, by unit and client.
	held map[string]map[string]int
}

// of are the clients that hold on to a unit, sorted.
func (r *refs) of(unit string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []string{}
	for who := range r.held[unit] {
		out = append(out, who)
	}
	slices.Sort(out)
	return out
}

// ref makes the caller hold on to a unit. On a private socket nobody could tell when
// the caller lets go: there it is an error to ask.
func (s *Server) ref(c *bus.Call, unit string) error {
	who := c.Sender()
	if who == "" {
		return bus.Errorf(bus.ErrNotSupported, "References are held by clients of a bus.")
	}
	s.refs.asking.Lock()
	defer s.refs.asking.Unlock()
	s.refs.mu.Lock()
	first := len(s.refs.held[unit]) == 0
	full := len(s.refs.held) >= maxHeld && first || len(s.refs.held[unit]) >= maxHolders
	s.refs.mu.Unlock()
	if full {
		return bus.Errorf(bus.ErrLimitsExceeded, "Too many references.")
	}
	if first {
		if err := s.ask(c, ipc.VerbRef, &ipc.UnitArgs{Unit: unit}, nil); err != nil {
			return s.asSystemd(err, ipc.VerbStart, unit)
		}
	}
	s.refs.mu.Lock()
	if s.refs.held[unit] == nil {
		s.refs.held[unit] = map[string]int{}
	}
	s.refs.held[unit][who]++
	s.refs.mu.Unlock()
	c.Follow()
	s.refsChanged()
	return nil
}

// unref lets go of one hold.
func (s *Server) unref(c *bus.Call, unit string) error {
	who := c.Sender()
	s.refs.asking.Lock()
	defer s.refs.asking.Unlock()
	s.refs.mu.Lock()
	n := s.refs.held[unit][who]
	s.refs.mu.Unlock()
	if n == 0 {
		return bus.Errorf(prefix+"NotReferenced", "Unit has not been referenced yet.")
	}
	return s.letGo(unit, who, n == 1)
}

// letGo takes one hold, or all of a client, from a unit. asking is held.
func (s *Server) letGo(unit, who string, all bool) error {
	s.refs.mu.Lock()
	by := s.refs.held[unit]
	if by[who]--; all || by[who] <= 0 {
		delete(by, who)
	}
	last := len(by) == 0
	if last {
		delete(s.refs.held, unit)
	}
	s.refs.mu.Unlock()
	s.refsChanged()
	if !last {
		return nil
	}
	if err := s.ask(nil, ipc.VerbUnref, &ipc.UnitArgs{Unit: unit}, nil); err != nil && bus.NameOf(err) != prefix+"NoSuchUnit" {
		return err
	}
	return nil
}

// forget lets go of all that a client held; "" are all clients.
func (s *Server) forget(who string) {
	s.refs.asking.Lock()
	defer s.refs.asking.Unlock()
	s.refs.mu.Lock()
	type hold struct{ unit, who string }
	var todo []hold
	for unit, by := range s.refs.held {
		for w := range by {
			if who == "" || w == who {
				todo = append(todo, hold{unit, w})
			}
		}
	}
	s.refs.mu.Unlock()
	for _, h := range todo {
		if err := s.letGo(h.unit, h.who, true); err != nil {
			s.log.Warn("the manager was not told that nobody holds on to a unit any more", "unit", h.unit, "err", err)
		}
	}
}

func (s *Server) refsChanged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heardBy()
}

// none says that nobody holds on to anything.
func (r *refs) none() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.held) == 0
}

// holds says whether a client holds on to anything.
func (r *refs) holds(who string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, by := range r.held {
		if by[who] > 0 {
			return true
		}
	}
	return false
}

// holdAgain tells a manager that may be a new one what clients hold on to: it lets go of
// that when this process dies, and must know of it.
func (s *Server) holdAgain() {
	s.refs.asking.Lock()
	defer s.refs.asking.Unlock()
	s.refs.mu.Lock()
	units := slices.Sorted(maps.Keys(s.refs.held))
	s.refs.mu.Unlock()
	for _, unit := range units {
		if err := s.ask(nil, ipc.VerbRef, &ipc.UnitArgs{Unit: unit}, nil); err != nil {
			s.log.Warn("a unit that clients hold on to may be forgotten", "unit", unit, "err", err)
		}
	}
}

// forgetFormer lets go of what a bridge before this one held: its clients' names
// mean nothing any more.
func (s *Server) forgetFormer() {
	s.refs.asking.Lock()
	defer s.refs.asking.Unlock()
	ctx, cancel := s.ctx(nil)
	defer cancel()
	list, err := s.up.List(ctx, ipc.ListArgs{All: true, Held: true})
	if err != nil {
		s.log.Warn("units could not be listed", "err", err)
	}
	for _, u := range list {
		s.refs.mu.Lock()
		held := len(s.refs.held[u.Name]) > 0
		s.refs.mu.Unlock()
		if held || u.Load != "loaded" {
			continue
		}
		if err := s.up.Call(ctx, ipc.VerbUnref, &ipc.UnitArgs{Unit: u.Name}, nil); err != nil && ipc.KindOf(err) != "NoSuchUnit" {
			s.log.Warn("a unit is held on to by nobody", "unit", u.Name, "err", err)
		}
	}
}
