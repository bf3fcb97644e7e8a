package core

import (
	"maps"
	"slices"
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

// shutdown is an ordered stop of everything under way.
type shutdown struct {
	Kind     ShutdownKind
	Since    Time
	Requests []RequestID
	// Killed says that the global timeout has struck.
	Killed bool
	// Done says that HandOver was emitted.
	Done bool
}

// beginShutdown cancels what was about to start and asks every unit that is not
// at rest to stop, all at once; the order comes from the frontier.
func (c *Core) beginShutdown(e *ShutdownRequested) {
	if c.shutdown != nil {
		// A second wish changes the kind (poweroff becomes reboot), and may be urgent.
		c.shutdown.Kind = e.Kind
		if e.Request != 0 {
			c.emit(Reply{ID: e.Request})
		}
		c.hurry(e.Now)
		return
	}
	c.shutdown = &shutdown{Kind: e.Kind, Since: c.now}
	if e.Request != 0 {
		c.emit(Reply{ID: e.Request})
	}
	c.lookAtBoot()
	c.arm(globalShutdown, 0, c.now.Mono+c.cfg.ShutdownTimeout)
	for k := range c.sups {
		c.sups[k].rest()
	}
	for k := range c.recs {
		j := c.recs[k].job
		if j != nil && j.Type == graph.Restart && j.Running {
			// It is on its way down: a stop waits in the same place.
			j.Type, j.Source = graph.Stop, SourceShutdown
			c.recs[k].stopped = true
		}
		if j != nil && j.Type != graph.Stop {
			c.finish(j, JobCanceled, Cause{Kind: ByShutdown})
		}
	}
	for k := range c.recs {
		i := graph.Index(k)
		r := c.rec(i)
		r.waiting = false
		c.disarm(i, dlBudget)
		if u := c.g.Unit(i); r.down() || u != nil && u.Perpetual || c.machineOf(i) == &deviceMachine {
			continue
		}
		if c.outlives(i) {
			continue
		}
		if c.typeKeeps(i) && (r.up() || r.state.Up()) {
			continue
		}
		c.shutdownJob(i)
	}
	c.failed, c.checks = nil, nil
	for k := range c.recs {
		c.recs[k].queuedCheck = false
	}
	c.hurry(e.Now)
}

// hurry ends the shutdown's time if that is asked for: what runs is killed, once, and
// gets the time that a kill needs.
func (c *Core) hurry(now bool) {
	if now && !c.shutdown.Killed {
		c.shutdownExpired()
	}
}

// typeKeeps: with survive-final-kill-signal a unit outlives a soft reboot.
func (c *Core) typeKeeps(i graph.Index) bool {
	if c.shutdown.Kind != SoftReboot {
		return false
	}
	u := c.def(i)
	return u != nil && unit.SurviveFinalKillSignal.Of(u)
}

// shutdownJob installs one irreversible stop job, without a plan: everything is
// stopped anyway, so there is nothing to pull in and nothing to weigh.
func (c *Core) shutdownJob(i graph.Index) {
	r := c.rec(i)
	if j := r.job; j != nil {
		if j.Type == graph.Stop {
			j.Irreversible = true
			return
		}
		c.finish(j, JobCanceled, Cause{Kind: ByShutdown})
	}
	c.install(&graph.Planned{Unit: i, Type: graph.Stop, By: graph.None, Irreversible: true}, SourceShutdown, graph.ReplaceIrreversibly)
}

// advanceShutdown hands over when the last stop job has ended. It returns whether
// it did something.
func (c *Core) advanceShutdown() bool {
	s := c.shutdown
	if s.Done {
		return false
	}
	if len(c.jobs) > 0 {
		return false
	}
	for k := range c.recs {
		switch c.recs[k].state {
		case Starting, Stopping, Reloading, Abandoned:
			return false // it ends by itself, or the global timeout decides
		}
	}
	c.handOver()
	return true
}

// handOver ends everything: from here on the machine belongs to PID 1.
func (c *Core) handOver() {
	c.shutdown.Done = true
	for k := range c.recs {
		c.recs[k].dl = [numDeadlines]time.Duration{}
	}
	c.shutdownDL, c.retireDL, c.deadlockDL, c.bootDL = 0, 0, 0, 0
	for k := range c.sups {
		c.sups[k].dl = 0
	}
	c.rebuildHeap()
	c.emit(HandOver{Kind: c.shutdown.Kind})
}

// afterHandOver answers who still asks and takes note of ends; nothing else
// happens any more.
func (c *Core) afterHandOver(ev Event) {
	refused := &RequestError{Kind: "ShuttingDown", Text: "the system has gone down"}
	switch e := ev.(type) {
	case Exited:
		c.forgetRun(e.Run)
	case SpawnFailed:
		c.forgetRun(e.Run)
	case Request:
		c.emit(Reply{ID: e.ID, Err: refused})
	case Reloaded:
		if e.Request != 0 {
			c.emit(Reply{ID: e.Request, Err: refused})
		}
	case ShutdownRequested:
		if e.Request != 0 {
			c.emit(Reply{ID: e.Request, Err: refused})
		}
	case BootMarked:
		if e.Request != 0 {
			c.emit(Reply{ID: e.Request, Err: refused})
		}
	case ManagerRestored:
		for _, id := range slices.Sorted(maps.Keys(c.runs)) {
			if !slices.Contains(e.Alive, id) {
				c.forgetRun(id)
			}
		}
		c.emit(HandOver{Kind: c.shutdown.Kind})
	}
}

// forgetRun takes note of an end that has no consequences.
func (c *Core) forgetRun(id RunID) {
	r, ok := c.runs[id]
	if !ok {
		return
	}
	delete(c.runs, id)
	if p := c.rec(r.Unit).proc; p != nil {
		for _, at := range [...]*RunID{&p.Main, &p.Control, &p.Health, &p.Adopt, &p.Probe} {
			if *at == id {
				*at = 0
			}
		}
	}
}

// shutdownExpired: the time is up. What still runs is killed; PID 1 does the rest.
func (c *Core) shutdownExpired() {
	s := c.shutdown
	if s == nil || s.Done {
		return
	}
	if s.Killed { // the last grace is over as well
		for k := range c.recs {
			if j := c.recs[k].job; j != nil {
				c.finish(j, JobTimeout, Cause{Kind: StopTimeout})
			}
		}
		c.handOver()
		return
	}
	s.Killed = true
	for k := range c.recs {
		i := graph.Index(k)
		if r := c.rec(i); r.proc != nil && r.proc.Ran {
			c.emit(KillCgroup{Unit: c.g.Name(i), Incarnation: r.proc.Inc})
			c.emit(Log{Level: LevelWarning, Unit: c.g.Name(i), Cause: Cause{Kind: StopTimeout},
				Note: "still there at the end of the shutdown's time: killed"})
		}
	}
	c.arm(globalShutdown, 0, c.now.Mono+c.cfg.PostKill)
}

// tooLate says that the shutdown's time is up: no more commands, only kills.
func (c *Core) tooLate() bool { return c.shutdown != nil && c.shutdown.Killed }
