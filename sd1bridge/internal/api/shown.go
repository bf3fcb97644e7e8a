package api

import (
	"maps"
	"slices"
	"sync"

	"dynamod/internal/ipc"
	"dynamod/sd1bridge/internal/translate"
)

// shown tells clients of units that come into use and go out of it. The manager has all
// units with files in memory; systemd would load and forget them, and says so by UnitNew
// and UnitRemoved.
type shown struct {
	mu sync.Mutex
	// rested are units that came to rest and of which it was not asked since whether they
	// are in use, each with the number of that event; it is negative if nobody was there to
	// be told. gone are those that were told to be removed, or would have been. Both are at
	// most as many as the manager has.
	rested map[string]int64
	gone   map[string]bool
	events int64
}

func (h *shown) init() {
	if h.gone == nil {
		h.rested, h.gone = map[string]int64{}, map[string]bool{}
	}
}

// moved takes note of a unit's new state.
func (h *shown) moved(s *Server, unit, active string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.init()
	if active == "inactive" || active == "failed" {
		h.events++
		h.rested[unit] = h.events
		if !s.bus.Listening() {
			h.rested[unit] = -h.events
		}
		return
	}
	delete(h.rested, unit)
	if h.gone[unit] {
		delete(h.gone, unit)
		s.bus.Emit(translate.ManagerPath, prefix+"Manager", "UnitNew", unit, path(translate.UnitPath(unit)))
	}
}

// forget is for a unit that the manager itself has loaded or forgotten; it returns
// whether it was told to be removed.
func (h *shown) forget(unit string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	told := h.gone[unit]
	delete(h.gone, unit)
	delete(h.rested, unit)
	return told
}

// maxAsked is of how many units it is asked by name whether they are in use.
const maxAsked = 64

// atRest tells of units that have come to rest and that nothing needs. Events are heard
// while the manager is asked: its answer is no word about a unit that has moved since.
func (s *Server) atRest() {
	h := &s.shown
	h.mu.Lock()
	asked := maps.Clone(h.rested)
	h.mu.Unlock()
	if len(asked) == 0 {
		return
	}
	inUse, err := s.inUse(asked)
	h.mu.Lock()
	defer h.mu.Unlock()
	for unit, event := range asked {
		if h.rested[unit] != event {
			continue
		}
		delete(h.rested, unit)
		if err == nil && !inUse[unit] {
			h.gone[unit] = true
			if event < 0 {
				continue
			}
			s.bus.Emit(translate.ManagerPath, prefix+"Manager", "UnitRemoved", unit, path(translate.UnitPath(unit)))
		}
	}
	if err != nil {
		s.log.Warn("units could not be listed: that some are gone is not told", "err", err)
	}
}

// inUse are those of the units that something needs.
func (s *Server) inUse(units map[string]int64) (map[string]bool, error) {
	ctx, cancel := s.ctx(nil)
	defer cancel()
	args := ipc.ListArgs{All: true, InUse: true, Units: slices.Collect(maps.Keys(units))}
	if len(args.Units) > maxAsked {
		args.Units = nil
	}
	list, err := s.up.List(ctx, args)
	if ipc.KindOf(err) == "NoSuchUnit" { // one of them is gone from the manager as well
		args.Units = nil
		list, err = s.up.List(ctx, args)
	}
	out := map[string]bool{}
	for _, u := range list {
		out[u.Name] = true
	}
	return out, err
}
