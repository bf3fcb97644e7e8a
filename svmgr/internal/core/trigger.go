package core

import (
	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

// Timers, paths and automounts wait for something and then start a unit. While
// that unit runs they are "running"; when it is at rest they wait again.
var (
	timerMachine = table(machine{name: "timer", upSub: SubWaiting, limited: true, conditional: true, family: familyTrigger}, []on{
		{InStart, ActBegin, []Sub{SubDead, SubFailed}},
		{InStop, ActStop, []Sub{SubWaiting, SubRunning, SubElapsed}},
		{InTrigger, ActTrigger, []Sub{SubWaiting}},
		{InTarget, ActTarget, []Sub{SubWaiting, SubRunning, SubElapsed}},
	})
	pathMachine = table(machine{name: "path", upSub: SubWaiting, limited: true, conditional: true, family: familyTrigger}, []on{
		{InStart, ActBegin, []Sub{SubDead, SubFailed}},
		{InStop, ActStop, []Sub{SubWaiting, SubRunning}},
		{InTrigger, ActTrigger, []Sub{SubWaiting}},
		{InTarget, ActTarget, []Sub{SubWaiting, SubRunning}},
	})
	automountMachine = table(machine{name: "automount", upSub: SubWaiting, limited: true, conditional: true, family: familyTrigger}, []on{
		{InStart, ActBegin, []Sub{SubDead, SubFailed}},
		{InStop, ActStop, []Sub{SubStart, SubWaiting, SubRunning}},
		{InListening, ActBound, []Sub{SubStart}},
		{InTimeout, ActStartTimeout, []Sub{SubStart}},
		{InTrigger, ActTrigger, []Sub{SubWaiting}},
		{InTarget, ActTarget, []Sub{SubWaiting, SubRunning}},
	})
)

func (c *Core) triggerAct(i graph.Index, a Act, m msg) {
	r := c.rec(i)
	switch a {
	case ActBegin:
		c.triggerBegin(i, m)
	case ActStop:
		c.triggerStop(i, m.cause, Inactive)
	case ActBound:
		if r.trig == nil || m.run != r.trig.Run {
			return
		}
		r.trig.Run = 0
		c.disarm(i, dlState)
		if m.errno == Unsupported {
			// No failure of the unit: the same files boot on kernels with and without.
			c.triggerStop(i, Cause{Kind: ConditionUnmet, Detail: "kernel support for autofs"}, Skipped)
			return
		}
		if !m.ok {
			c.triggerStop(i, Cause{Kind: ListenFailed, Errno: m.errno}, Failed)
			return
		}
		r.trig.Bound = true
		c.enter(i, Active, SubWaiting, Cause{})
		c.triggerTarget(i)
	case ActStartTimeout:
		c.triggerStop(i, Cause{Kind: StartTimeout}, Failed)
	case ActTrigger:
		c.triggerFire(i)
	case ActTarget:
		c.triggerTarget(i)
	}
}

func (c *Core) triggerBegin(i graph.Index, m msg) {
	r := c.rec(i)
	u := c.g.Unit(i)
	t := c.trigger(i)
	if t.Target == graph.None {
		c.refuse(i, JobFailed, Failed, Cause{Kind: NotLoadable, Detail: "there is no unit to trigger"})
		return
	}
	r.act = u
	t.Watching = false
	switch c.machineOf(i) {
	case &timerMachine:
		t.Base, t.Done, t.Last = c.now, 0, Time{}
		c.timerLoadStamp(i)
		c.timers = append(c.timers, i)
		c.enter(i, Active, SubWaiting, m.cause)
		c.triggerTarget(i)
	case &automountMachine:
		t.Run = c.newRun(i, runListen, RoleControl, StageStart)
		c.enter(i, Starting, SubStart, m.cause)
		c.armIn(i, dlState, automountLimit)
		c.emit(Listen{Run: t.Run, Unit: u})
	default:
		c.enter(i, Active, SubWaiting, m.cause)
		c.triggerTarget(i)
	}
}

// automountLimit bounds setting up one autofs mount point.
const automountLimit = 90e9

func (c *Core) triggerStop(i graph.Index, cause Cause, to State) {
	r := c.rec(i)
	t := r.trig
	name := c.g.Name(i)
	c.disarm(i, dlTimer)
	c.disarm(i, dlState)
	if t != nil {
		c.unwatch(i)
		if t.Run != 0 {
			c.emit(CancelProbe{Run: t.Run})
			delete(c.runs, t.Run)
			t.Run = 0
		}
		if c.machineOf(i) == &automountMachine {
			t.Bound = false
			c.emit(Unlisten{Unit: name, Remove: true})
		}
		t.Next = Time{}
	}
	if c.machineOf(i) == &timerMachine {
		keep := c.timers[:0]
		for _, k := range c.timers {
			if k != i {
				keep = append(keep, k)
			}
		}
		c.timers = keep
	}
	sub := SubDead
	if to == Failed {
		sub = SubFailed
	}
	c.enter(i, to, sub, cause)
}

func (c *Core) watched(i graph.Index) Watched {
	if c.machineOf(i) == &automountMachine {
		return WatchAutomount
	}
	return WatchPaths
}

func (c *Core) unwatch(i graph.Index) {
	t := c.rec(i).trig
	if t.Watching {
		t.Watching = false
		c.emit(Unwatch{Unit: c.g.Name(i), What: c.watched(i)})
	}
}

// triggerTarget keeps the unit in step with what it triggers.
func (c *Core) triggerTarget(i graph.Index) {
	r := c.rec(i)
	if !r.up() {
		return
	}
	t := c.trigger(i)
	if t.Target == graph.None {
		c.triggerStop(i, Cause{Kind: NotLoadable, Detail: "the unit it triggers is gone"}, Failed)
		return
	}
	tr := c.rec(t.Target)
	busy := !tr.down()
	timer := c.machineOf(i) == &timerMachine
	if !timer && r.sub == SubRunning && tr.state == Failed && refusesForGood(tr.cause.Kind) {
		c.triggerStop(i, Cause{Kind: TriggerLimitHit, Unit: c.g.Name(t.Target)}, Failed)
		return
	}
	switch {
	case busy && (r.sub == SubWaiting && !timer || r.sub == SubRunning):
		if !timer {
			c.unwatch(i)
		}
		c.enter(i, Active, SubRunning, Cause{})
	case tr.job != nil && r.sub == SubRunning:
		// About to start.
	case timer:
		c.timerWait(i)
	default:
		if !t.Watching {
			t.Watching = true
			c.emit(Watch{Unit: r.act, What: c.watched(i)})
		}
		c.enter(i, Active, SubWaiting, Cause{})
	}
}

// triggerFire: what it waited for has come.
func (c *Core) triggerFire(i graph.Index) {
	r := c.rec(i)
	t := c.trigger(i)
	timer := c.machineOf(i) == &timerMachine
	if t.Target == graph.None || !timer && !t.Watching || c.shutdown != nil {
		return
	}
	src, cause := SourceTimer, Cause{Kind: ByTimer, Unit: c.g.Name(i)}
	switch c.machineOf(i) {
	case &pathMachine:
		src, cause.Kind = SourcePath, ByPath
		t.Watching = false
		if !t.limit.allow(c.now.Mono, unit.PathTriggerLimitIntervalSec.Of(r.act), uint64(unit.PathTriggerLimitBurst.Of(r.act))) {
			c.triggerStop(i, Cause{Kind: TriggerLimitHit, Unit: c.g.Name(t.Target)}, Failed)
			return
		}
	case &automountMachine:
		src, cause.Kind = SourceAutomount, ByAutomount
		t.Watching = false
	}
	if !c.pull(t.Target, src, cause) {
		if timer { // the next elapse is another chance
			c.timerWait(i)
			return
		}
		c.triggerStop(i, Cause{Kind: DependencyFailed, Unit: c.g.Name(t.Target)}, Failed)
		return
	}
	c.enter(i, Active, SubRunning, Cause{})
	c.queueCheck(i)
}
