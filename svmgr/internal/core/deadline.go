package core

import (
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

// deadlineKind tells a unit's deadlines apart; each has its own clock hand, so
// a stale one can never act for another.
type deadlineKind uint8

const (
	// dlState bounds the present sub-state (start, stop, reload).
	dlState deadlineKind = iota
	dlWatchdog
	dlRestart
	dlRuntime
	dlHealth
	dlStable
	dlJob
	dlJobRunning
	dlProbe
	dlTimer
	// dlReady repeats readiness.check-exec and ends type=idle's delay.
	dlReady
	// dlBudget clears the restart counters after a quiet window.
	dlBudget
	numDeadlines
)

// The global deadlines use indices below graph.None.
const (
	globalShutdown graph.Index = -2
	globalJobs     graph.Index = -3
	globalDeadlock graph.Index = -4
	globalBoot     graph.Index = -5
	// supervisors count down from here.
	firstSup graph.Index = -16
)

type heapEntry struct {
	at   time.Duration
	i    graph.Index
	kind deadlineKind
}

// before orders ties by unit and kind, so that a restored core fires them in the
// same order.
func (a heapEntry) before(b heapEntry) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	if a.i != b.i {
		return a.i < b.i
	}
	return a.kind < b.kind
}

// arm sets one deadline of one unit; an earlier one of the kind is replaced.
func (c *Core) arm(i graph.Index, k deadlineKind, at time.Duration) {
	if at <= 0 {
		at = 1
	}
	dl, queued := c.slot(i, k)
	*dl = at
	c.wakeStale = c.wakeStale || k == dlTimer
	if *queued == 0 || at < *queued {
		*queued = at
		c.push(heapEntry{at: at, i: i, kind: k})
	}
}

// armIn arms a deadline after a span; Forever and negative spans disarm.
func (c *Core) armIn(i graph.Index, k deadlineKind, span time.Duration) {
	if span == unit.Forever || span < 0 || c.now.Mono > unit.Forever-span {
		c.disarm(i, k)
		return
	}
	c.arm(i, k, c.now.Mono+span)
}

func (c *Core) disarm(i graph.Index, k deadlineKind) {
	dl, _ := c.slot(i, k)
	*dl = 0
	c.wakeStale = c.wakeStale || k == dlTimer
}

func (c *Core) armed(i graph.Index, k deadlineKind) bool {
	dl, _ := c.slot(i, k)
	return *dl != 0
}

// slot finds the clock hand of a unit, supervisor or global deadline.
func (c *Core) slot(i graph.Index, k deadlineKind) (dl, queued *time.Duration) {
	switch {
	case i >= 0:
		r := c.rec(i)
		return &r.dl[k], &r.queued[k]
	case i == globalShutdown:
		return &c.shutdownDL, &c.shutdownQ
	case i == globalJobs:
		return &c.retireDL, &c.retireQ
	case i == globalDeadlock:
		return &c.deadlockDL, &c.deadlockQ
	case i == globalBoot:
		return &c.bootDL, &c.bootQ
	}
	s := &c.sups[firstSup-i]
	return &s.dl, &s.queued
}

func (c *Core) push(e heapEntry) {
	h := append(c.heap, e)
	for n := len(h) - 1; n > 0; {
		p := (n - 1) / 2
		if !h[n].before(h[p]) {
			break
		}
		h[n], h[p] = h[p], h[n]
		n = p
	}
	c.heap = h
}

func (c *Core) pop() heapEntry {
	h := c.heap
	top := h[0]
	last := len(h) - 1
	h[0] = h[last]
	h = h[:last]
	for n := 0; ; {
		m := 2*n + 1
		if m >= last {
			break
		}
		if m+1 < last && h[m+1].before(h[m]) {
			m++
		}
		if !h[m].before(h[n]) {
			break
		}
		h[n], h[m] = h[m], h[n]
		n = m
	}
	c.heap = h
	return top
}

// tidy drops stale heap entries from the top, so that Deadline is exact: an
// idle manager must not wake up for nothing.
func (c *Core) tidy() {
	for len(c.heap) > 0 {
		e := c.heap[0]
		dl, queued := c.slot(e.i, e.kind)
		if *queued == e.at && *dl == e.at {
			return
		}
		c.pop()
		if *queued != e.at {
			continue // a nearer entry stands for this deadline
		}
		*queued = 0
		if *dl != 0 {
			*queued = *dl
			c.push(heapEntry{at: *dl, i: e.i, kind: e.kind})
		}
	}
}

// Deadline is when Step must be called with Tick at the latest, on the Mono
// clock; false when nothing is pending.
func (c *Core) Deadline() (time.Duration, bool) {
	if len(c.heap) == 0 {
		return 0, false
	}
	return c.heap[0].at, true
}

// expire fires every deadline that has come, in time order.
func (c *Core) expire() {
	for {
		c.tidy()
		if len(c.heap) == 0 || c.heap[0].at > c.now.Mono {
			return
		}
		e := c.pop()
		dl, queued := c.slot(e.i, e.kind)
		*dl, *queued = 0, 0
		c.wakeStale = c.wakeStale || e.kind == dlTimer
		c.fire(e.i, e.kind)
		c.settle()
	}
}

func (c *Core) fire(i graph.Index, k deadlineKind) {
	switch {
	case i == globalShutdown:
		c.shutdownExpired()
		return
	case i == globalJobs:
		c.retireJobs()
		return
	case i == globalDeadlock:
		c.lookForDeadlocks()
		return
	case i == globalBoot:
		c.judgeBoot(BootGood)
		return
	case i <= firstSup:
		c.queueSup(int32(firstSup - i))
		return
	}
	switch k {
	case dlState, dlRuntime, dlReady, dlWatchdog, dlHealth, dlStable:
		c.input(i, deadlineInput[k], msg{})
	case dlRestart:
		c.restartDue(i)
	case dlJob, dlJobRunning:
		c.jobExpired(i)
	case dlProbe:
		c.probeExpired(i)
	case dlTimer:
		c.timerElapsed(i)
	case dlBudget:
		if h := c.rec(i).hist; h != nil {
			h.Streak = 0
			h.fresh()
		}
	}
}

var deadlineInput = [numDeadlines]Input{dlState: InTimeout, dlRuntime: InRuntimeMax,
	dlReady: InReadyTimer, dlWatchdog: InWatchdog, dlHealth: InHealthTimer, dlStable: InStable}
