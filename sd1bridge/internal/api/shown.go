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
	// mu is held from the question to the signal, so that a unit which starts again
	// meanwhile is told last.
	mu sync.Mutex
	// rested are units that came to rest since it was last asked which are in use, gone
	// those that were told to be removed. Both are at most as many as the manager has.
	rested, gone map[string]bool
}

func (h *shown) init() {
	if h.gone == nil {
		h.rested, h.gone = map[string]bool{}, map[string]bool{}
	}
}

// moved takes note of a unit's new state.
func (h *shown) moved(s *Server, unit, active string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.init()
	if active == "inactive" || active == "failed" {
		h.rested[unit] = true
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

// atRest tells of units that have come to rest and that nothing needs.
func (s *Server) atRest() {
	h := &s.shown
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.rested) == 0 {
		return
	}
	ctx, cancel := s.ctx(nil)
	defer cancel()
	args := ipc.ListArgs{All: true, InUse: true, Units: slices.Collect(maps.Keys(h.rested))}
	if len(args.Units) > maxAsked {
		args.Units = nil
	}
	list, err := s.up.List(ctx, args)
	if ipc.KindOf(err) == "NoSuchUnit" { // one of them is gone from the manager as well
		args.Units = nil
		list, err = s.up.List(ctx, args)
	}
	if err != nil {
		s.log.Warn("units could not be listed: that some are gone is not told", "err", err)
		h.rested = map[string]bool{}
		return
	}
	for _, u := range list {
		delete(h.rested, u.Name)
	}
	for unit := range h.rested {
		h.gone[unit] = true
		s.bus.Emit(translate.ManagerPath, prefix+"Manager", "UnitRemoved", unit, path(translate.UnitPath(unit)))
	}
	h.rested = map[string]bool{}
}
