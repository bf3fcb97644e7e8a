package sim

import (
	"math"
	"time"

	"dynamod/internal/graph"
	"dynamod/svmgr/internal/core"
)

// chaos is everybody outside who wants something or changes something:
// operators, clients, the kernel, the clock.
type chaos struct {
	dice
	sc       *Scenario
	names    []string
	targets  []string
	nextID   core.RequestID
	gen      int
	unloaded []*Spec
	jobs     func() []core.JobView
	world    *world
}

func newChaos(d dice, sc *Scenario, w *world) *chaos {
	c := &chaos{dice: d, sc: sc, world: w, unloaded: append([]*Spec(nil), sc.Extra...)}
	for _, u := range sc.Gens[0].Units {
		c.names = append(c.names, u.Name)
		if u.suffix() == "target" {
			c.targets = append(c.targets, u.Name)
		}
	}
	return c
}

func (c *chaos) id() core.RequestID {
	c.nextID++
	return c.nextID
}

var verbChances = []struct {
	verb core.Verb
	n    int
}{{core.VerbStart, 24}, {core.VerbStop, 22}, {core.VerbRestart, 12}, {core.VerbTryRestart, 4},
	{core.VerbReload, 8}, {core.VerbReloadOrStart, 4}, {core.VerbVerifyActive, 2}, {core.VerbReset, 5},
	{core.VerbCancel, 5}, {core.VerbKill, 6}, {core.VerbFreeze, 2}, {core.VerbThaw, 2},
	{core.VerbRef, 1}, {core.VerbUnref, 1}, {core.VerbMark, 1}, {core.VerbAbandon, 1}}

func (c *chaos) verb() core.Verb {
	r := c.IntN(100)
	for _, v := range verbChances {
		if r -= v.n; r < 0 {
			return v.verb
		}
	}
	return core.VerbStart
}

// request is an operator's or client's wish.
func (c *chaos) request() core.Event {
	r := core.Request{ID: c.id(), Verb: c.verb(), Unit: pick(c.dice, c.names...),
		Source: pick(c.dice, core.SourceOperator, core.SourceDBus), Wait: c.in(50), Force: c.in(20)}
	if c.in(3) {
		r.Unit = pick(c.dice, "no-such.service", "missing.service", "", "bad name", "x@.service")
	}
	switch m := c.IntN(100); {
	case m < 60:
	case m < 72:
		r.Mode = graph.Fail
	case m < 76:
		r.Mode = graph.ReplaceIrreversibly
	case m < 80:
		r.Mode = graph.IgnoreDependencies
	case m < 84:
		r.Mode = graph.IgnoreRequirements
	case m < 88:
		r.Mode = graph.Flush
	case m < 90:
		r.Mode = graph.Triggering
	case m < 92:
		r.Mode = graph.RestartDependencies
	case m < 96 && len(c.targets) > 0:
		r.Mode, r.Verb, r.Unit = graph.Isolate, core.VerbStart, pick(c.dice, c.targets...)
	}
	switch r.Verb {
	case core.VerbCancel:
		r.Job = core.JobID(1 + c.IntN(50))
		if jobs := c.jobs(); len(jobs) > 0 && c.in(85) {
			r.Job = pick(c.dice, jobs...).ID
		}
	case core.VerbKill:
		r.Signal = pick[int32](c.dice, sigTERM, sigKILL, sigHUP, 10, sigABRT)
		r.Whom = core.Whom(c.IntN(3))
		if c.in(20) {
			r.Queue, r.Value = true, int32(c.IntN(9))
		}
	case core.VerbMark:
		r.Add, r.Drop = core.Mark(c.IntN(4)), core.Mark(c.IntN(4))
	}
	return r
}

// event draws one thing from outside; nil is nothing.
func (c *chaos) event() core.Event {
	w := c.world
	switch r := c.IntN(100); {
	case r < 58:
		return c.request()
	case r < 66:
		if len(w.told) > 0 {
			return pick(c.dice, w.told...) // an old report once more
		}
	case r < 72:
		if n := c.ofType("device"); n != "" {
			w.plugged[n] = !w.plugged[n]
			return core.DeviceAppeared{Unit: n, Gone: !w.plugged[n]}
		}
	case r < 78:
		if n := pick(c.dice, c.ofType("mount"), c.ofType("swap")); n != "" {
			w.mounted[n] = !w.mounted[n]
			return core.MountChanged{Unit: n, Mounted: w.mounted[n]}
		}
	case r < 82:
		return core.ClockJump{}
	case r < 86:
		if len(w.glist) > 0 {
			g := pick(c.dice, w.glist...)
			return core.OOMKilled{Unit: g.unit, Incarnation: g.inc}
		}
	case r < 90:
		if k := c.unload(func(s *Spec) bool { return acceptSocket(s.Name) == "" }); k != nil {
			return core.Loaded{}
		}
	case r < 91:
		if c.in(30) {
			return core.BootMarked{Good: c.in(30), Late: c.in(50)}
		}
		return core.WatchdogsSet{Off: c.in(40)}
	case r < 94:
		return core.Accepted{Source: pick(c.dice, "uid 0", "uid 1000")}
	case r < 96:
		return core.SpawnDone{Run: core.RunID(c.Uint64N(2000))}
	case r < 97:
		return core.ProbeResult{Run: core.RunID(c.Uint64N(2000)), OK: c.in(50), Held: []bool{true}}
	default:
		if c.gen+1 < len(c.sc.Gens) {
			return core.Reloaded{}
		}
	}
	return nil
}

func (c *chaos) ofType(suffix string) string {
	for range 8 {
		if n := pick(c.dice, c.names...); suffixOf(n) == suffix {
			return n
		}
	}
	return ""
}

// unload peeks at the next unit to be loaded on demand.
func (c *chaos) unload(fits func(*Spec) bool) *Spec {
	for _, s := range c.unloaded {
		if fits(s) {
			return s
		}
	}
	return nil
}

func (c *chaos) take(s *Spec) {
	for i, u := range c.unloaded {
		if u == s {
			c.unloaded = append(c.unloaded[:i:i], c.unloaded[i+1:]...)
			return
		}
	}
}

// pause is the time to the next thing from outside.
func (c *chaos) pause(mean time.Duration) time.Duration {
	return time.Duration(-math.Log(1-c.Float64()) * float64(mean)).Truncate(time.Microsecond)
}

// acceptSocket is the socket of an instance made for one connection, "" for
// other units.
func acceptSocket(name string) string {
	for i := 0; i < len(name); i++ {
		if name[i] == '@' {
			return name[:i] + ".socket"
		}
	}
	return ""
}
