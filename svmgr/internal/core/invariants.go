package core

import (
	"fmt"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

// CheckInvariants looks for states that must not exist (3-core.md, a–d, g); the
// simulator and the fuzzer call it after every Step. It costs O(units + edges).
func (c *Core) CheckInvariants() error {
	running := 0
	for k := range c.recs {
		i := graph.Index(k)
		if err := c.checkRecord(i); err != nil {
			return fmt.Errorf("%s (%s/%s): %w", c.g.Name(i), c.recs[k].state, c.recs[k].sub, err)
		}
		if j := c.recs[k].job; j != nil && j.Running {
			running++
		}
	}
	if running != c.running {
		return fmt.Errorf("%d running jobs counted, %d found", c.running, running)
	}
	for id, j := range c.jobs {
		if j.ID != id || j.Ended || int(j.Unit) >= len(c.recs) || c.recs[j.Unit].job != j {
			return fmt.Errorf("job %d is in the table but not on its unit", id)
		}
	}
	if at, ok := c.bootDue(); ok != (c.bootDL != 0) || ok && len(c.bootSet) > 0 && max(at, 1) != c.bootDL {
		return fmt.Errorf("the boot would be good at %v (%v), and its clock is at %v", at, ok, c.bootDL)
	}
	for id, r := range c.runs {
		if r.Unit < 0 || int(r.Unit) >= len(c.recs) {
			return fmt.Errorf("run %d outlives its unit", id)
		}
		if p := c.recs[r.Unit].proc; r.What == runProcess && r.Role == RoleMain && (p == nil || p.Main != id) {
			return fmt.Errorf("run %d is a second main process of %s", id, c.g.Name(r.Unit))
		}
	}
	if len(c.ready)+len(c.checks)+len(c.failed)+len(c.supQueue) > 0 {
		return fmt.Errorf("unsettled: %d ready, %d checks, %d failed, %d supervisors", len(c.ready), len(c.checks), len(c.failed), len(c.supQueue))
	}
	return nil
}

func (c *Core) checkRecord(i graph.Index) error {
	r := c.rec(i)
	p := r.proc
	if p != nil {
		for _, id := range [...]RunID{p.Main, p.Control, p.Health, p.Probe, p.Adopt} {
			if x, ok := c.runs[id]; id != 0 && (!ok || x.Unit != i) {
				return fmt.Errorf("run %d is not known", id)
			}
		}
	}
	if r.down() && (p != nil && c.machineOf(i).family != familyMount || r.act != nil) {
		return fmt.Errorf("at rest with an activation")
	}
	if u := c.def(i); r.hist != nil && u != nil && u.Format == unit.Native {
		if limit := unit.MaxRestarts.Of(u); limit > 0 && int64(len(r.hist.Budget)) > int64(limit) && r.act == nil {
			return fmt.Errorf("%d restarts in the window, %d allowed", len(r.hist.Budget), limit)
		}
	}
	if err := c.checkJob(i); err != nil {
		return err
	}
	if r.demand && c.shutdown == nil && !c.stays(i) && !c.needed(i) {
		return fmt.Errorf("loaded on demand, and nothing needs it")
	}
	if c.shutdown != nil && c.shutdown.Done {
		return nil
	}
	switch r.state {
	case Starting, Stopping, Reloading:
		if !c.expects(i) {
			return fmt.Errorf("not at rest, with neither deadline nor run")
		}
	case RestartPending, Dormant:
		if !c.armed(i, dlRestart) && !r.wanted() && !(r.waiting && c.inGroup(i)) {
			return fmt.Errorf("waits for a restart that will not come")
		}
	case Abandoned:
		if p == nil {
			return fmt.Errorf("abandoned nothing")
		}
	}
	return nil
}

// expects says whether anything will get the unit out of a transition.
func (c *Core) expects(i graph.Index) bool {
	r := c.rec(i)
	if c.armed(i, dlState) || c.armed(i, dlReady) || c.armed(i, dlStable) || r.probe != 0 {
		return true
	}
	if t := r.trig; t != nil && t.Run != 0 {
		return true
	}
	p := r.proc
	return p != nil && (p.Main != 0 || p.Control != 0 || p.Adopt != 0 || p.Probe != 0 || p.Health != 0 || p.Populated)
}

func (c *Core) inGroup(i graph.Index) bool {
	for s := c.rec(i).sup; s >= 0; s = c.sups[s].Parent {
		if c.sups[s].Phase == groupNone {
			continue
		}
		for _, m := range c.sups[s].Group {
			if m == i {
				return true
			}
		}
	}
	return false
}

func (c *Core) checkJob(i graph.Index) error {
	r := c.rec(i)
	j := r.job
	if j == nil {
		return nil
	}
	if c.jobs[j.ID] != j || j.Unit != i {
		return fmt.Errorf("its job %d is not in the table", j.ID)
	}
	if j.Running {
		switch r.state {
		case Starting, Stopping, Reloading:
			return nil
		}
		if r.probe != 0 || c.machineOf(i) == &deviceMachine && j.Type == graph.Start {
			return nil
		}
		if j.Type == graph.VerifyActive && r.state == RestartPending {
			return nil
		}
		return fmt.Errorf("its %s job runs but nothing happens", j.Type)
	}
	var unmet int32
	for _, e := range c.g.Edges(i) {
		if o := c.rec(e.To).job; o != nil && e.To != i && waits(j, e.Rel, o) {
			unmet++
		}
	}
	if unmet != j.Unmet {
		return fmt.Errorf("its job counts %d unmet, there are %d", j.Unmet, unmet)
	}
	if unmet == 0 && !j.Parked {
		return fmt.Errorf("its %s job waits for nothing", j.Type)
	}
	if j.Parked {
		switch r.state {
		case Starting, Stopping, Reloading:
		default:
			return fmt.Errorf("its %s job is parked at rest", j.Type)
		}
	}
	return nil
}
