package api

import (
	"context"
	"sync"

	"dynamod/internal/ipc"
	"dynamod/svmgr/internal/core"
)

// maxHolders bounds processes that hold on to units; it is one bridge as a rule.
const maxHolders = 16

// holders are the processes that hold on to units for their clients, by pid, and the
// units of each. A process that is gone cannot let go any more.
type holders struct {
	mu sync.Mutex
	by map[int32]map[string]bool
}

// hold notes that a process holds on to a unit, and watches it from the first one on.
func (h *holders) hold(a *API, who ipc.Peer, unit string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.by == nil {
		h.by = map[int32]map[string]bool{}
	}
	units := h.by[who.PID]
	if units == nil {
		if len(h.by) >= maxHolders {
			return ipc.Errorf("Busy", "%d processes hold on to units already", len(h.by))
		}
		if err := a.m.WhenGone(who.PID, who.PIDFD, func() { h.gone(a, who.PID) }); err != nil {
			return ipc.Errorf("NoSuchProcess", "the process that would hold on to %s is not there: %v", unit, err)
		}
		units = map[string]bool{}
		h.by[who.PID] = units
	}
	units[unit] = true
	return nil
}

// release forgets whoever holds on to a unit.
func (h *holders) release(unit string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, units := range h.by {
		delete(units, unit)
	}
}

// gone lets go of what a process held on to and nobody else does.
func (h *holders) gone(a *API, pid int32) {
	h.mu.Lock()
	units := h.by[pid]
	delete(h.by, pid)
	for _, others := range h.by {
		for unit := range others {
			delete(units, unit)
		}
	}
	h.mu.Unlock()
	for unit := range units {
		_, err := a.ask(func(id core.RequestID) core.Event {
			return core.Request{ID: id, Verb: core.VerbUnref, Unit: unit, Source: core.SourceOperator}
		})(context.Background())
		if err != nil && ipc.KindOf(err) != "NoSuchUnit" {
			a.log.Warn("a unit is held on to by nobody", "unit", unit, "pid", pid, "err", err)
		}
	}
}
