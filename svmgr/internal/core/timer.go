package core

import (
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

// timerLoadStamp takes the last elapse of a Persistent= timer from the stamps. A
// stamp in the future is not believed: it counts as "long ago" (statement 21).
func (c *Core) timerLoadStamp(i graph.Index) {
	r := c.rec(i)
	if !unit.Persistent.Of(r.act) {
		return
	}
	s, ok := c.cfg.Stamps[c.g.Name(i)]
	if r.trig.Stamped > s {
		s, ok = r.trig.Stamped, true
	}
	switch {
	case !ok:
		// A timer that never ran starts counting now (systemd.timer(5)).
		s = c.now.Wall
	case s > c.now.Wall:
		s = 1
	}
	r.trig.Stamped = s
	if !ok {
		c.emit(Stamp{Unit: c.g.Name(i), Wall: s})
	}
}

// timerWait works out the next elapse and arms it; with none left the timer has
// elapsed for good.
func (c *Core) timerWait(i graph.Index) {
	r := c.rec(i)
	t := r.trig
	due, key, wall, ok := c.nextDue(i)
	if !ok {
		c.disarm(i, dlTimer)
		t.Next, t.NextWall, t.Due, t.Spread = Time{}, false, 0, 0
		if unit.OnClockChange.Of(r.act) || unit.OnTimezoneChange.Of(r.act) {
			c.enter(i, Active, SubWaiting, Cause{}) // for the next change
			return
		}
		if unit.RemainAfterElapse.Of(r.act) || t.Fired == 0 {
			c.enter(i, Active, SubElapsed, Cause{})
		} else {
			c.triggerStop(i, Cause{Kind: CleanExit}, Inactive)
		}
		return
	}
	if t.Due != key || t.NextWall != wall || t.Next == (Time{}) {
		t.Due, t.Spread = key, c.spread(i, due)
	}
	at := max(due+t.Spread, c.now.Mono)
	t.Next, t.NextWall = Time{Mono: at, Wall: c.now.Wall + int64(at-c.now.Mono)}, wall
	c.arm(i, dlTimer, at)
	c.enter(i, Active, SubWaiting, Cause{})
}

// spread is how much later than due a timer elapses: first the random delay, then, so
// that wakeups coincide, up to AccuracySec= more (systemd.timer(5)). What is overdue
// is not put off any further than by the random delay.
func (c *Core) spread(i graph.Index, due time.Duration) time.Duration {
	at := max(due, c.now.Mono) + c.timerDelay(i)
	if at > c.now.Mono {
		at = align(at, unit.AccuracySec.Of(c.rec(i).act), c.cfg.Seed)
	}
	return at - due
}

// coalesce are the grids that timers are put on, coarsest first: each machine has
// its own place in them, which its seed gives.
var coalesce = [...]time.Duration{time.Minute, 10 * time.Second, time.Second, 250 * time.Millisecond}

// align finds the place within [at, at+accuracy] that all timers of this machine
// agree on: the last one of the coarsest grid that has one there.
func align(at, accuracy time.Duration, seed uint64) time.Duration {
	if accuracy == unit.Forever || accuracy > 24*time.Hour {
		accuracy = 24 * time.Hour
	}
	last := at + accuracy
	for _, grid := range coalesce {
		p := last - last%grid + time.Duration(seed%uint64(grid))
		if p > last {
			p -= grid
		}
		if p >= at {
			return p
		}
	}
	return at
}

// nextDue is the earliest of all entries that still count: when it is due on Mono,
// and on its own clock, which is the wall's or Mono.
func (c *Core) nextDue(i graph.Index) (due time.Duration, key int64, wall, ok bool) {
	r := c.rec(i)
	t := r.trig
	target := c.rec(t.Target)
	consider := func(mono time.Duration, own int64, isWall bool) {
		if !ok || mono < due {
			due, key, wall, ok = mono, own, isWall, true
		}
	}
	for k, mo := range unit.Monotonics.Of(r.act) {
		var base time.Duration
		once := true
		switch mo.Base {
		case "OnActiveSec":
			base = t.Base.Mono
		case "OnBootSec":
			base = c.cfg.Boot
		case "OnStartupSec":
			base = c.cfg.Startup
		case "OnUnitActiveSec":
			base, once = target.activeEnter.Mono, false
			if base == 0 {
				base = t.Last.Mono
			}
			if base == 0 {
				continue
			}
		case "OnUnitInactiveSec":
			base, once = target.inactiveEnter.Mono, false
			if base == 0 {
				continue
			}
		}
		if once && (k >= 64 || t.Done&(1<<k) != 0) || mo.Span == unit.Forever {
			continue
		}
		when := base + mo.Span
		if !once && when <= t.Last.Mono {
			// Already answered: this base has not moved since.
			continue
		}
		consider(when, int64(when), false)
	}
	from := c.calendarBase(r)
	for _, cal := range unit.OnCalendar.Of(r.act) {
		next, found := cal.Spec.Next(time.Unix(0, from).In(c.cfg.Location), c.cfg.Location)
		if !found {
			continue
		}
		// A missed elapse is made good at once, and once only: whatever the
		// number of missed ones, the stamp then moves to now.
		consider(c.now.Mono+time.Duration(next.UnixNano()-c.now.Wall), next.UnixNano(), true)
	}
	return due, key, wall, ok
}

// calendarBase is the wall time after which the next calendar elapse is looked for:
// the last elapse, or the start of the timer, so that a moment which passed while
// the unit ran, or which the clock jumped over, is made good at once and once
// (systemd.timer(5), DeferReactivation=, Persistent=). A base in the future, from
// a clock that was set back, does not count; but what was answered is not answered
// again because the clock was corrected a little.
func (c *Core) calendarBase(r *record) int64 {
	t := r.trig
	from, answered := t.Base.Wall, false
	switch {
	case unit.DeferReactivation.Of(r.act) && t.Fired > 0:
		from = c.now.Wall
	case t.Stamped != 0 && unit.Persistent.Of(r.act):
		from, answered = t.Stamped, true
	case t.Fired > 0:
		from, answered = t.Last.Wall, true
	}
	if answered && from-c.now.Wall < int64(correction) {
		return from
	}
	return min(from, c.now.Wall)
}

// correction is how far a clock that is set back may go for the moments that come
// again to be the same ones. Beyond, it is another time: what is due every hour is not
// kept waiting for longer than two.
const correction = time.Hour

// timerDelay is RandomizedDelaySec=, from the unit's name and the machine's seed
// if FixedRandomDelay= is set. It only ever delays.
func (c *Core) timerDelay(i graph.Index) time.Duration {
	u := c.rec(i).act
	d := unit.RandomizedDelaySec.Of(u)
	if d <= 0 || d == unit.Forever {
		return 0
	}
	if !unit.FixedRandomDelay.Of(u) {
		return c.random(d)
	}
	h := c.cfg.Seed ^ 14695981039346656037 // FNV-1a over the name
	for _, b := range []byte(c.g.Name(i)) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return time.Duration(h % uint64(d))
}

// timerElapsed: the armed moment has come.
func (c *Core) timerElapsed(i graph.Index) {
	r := c.rec(i)
	t := r.trig
	if r.state != Active || r.sub != SubWaiting || t == nil {
		return
	}
	if t.NextWall && c.now.Wall < t.Due { // the wall clock was set back
		c.timerWait(i)
		return
	}
	for k, mo := range unit.Monotonics.Of(r.act) {
		if k >= 64 {
			break
		}
		switch mo.Base {
		case "OnActiveSec":
			c.markDone(t, k, t.Base.Mono+mo.Span)
		case "OnBootSec":
			c.markDone(t, k, c.cfg.Boot+mo.Span)
		case "OnStartupSec":
			c.markDone(t, k, c.cfg.Startup+mo.Span)
		}
	}
	t.Last = c.now
	t.Fired++
	if unit.Persistent.Of(r.act) {
		t.Stamped = c.now.Wall
		c.emit(Stamp{Unit: c.g.Name(i), Wall: c.now.Wall})
	}
	c.input(i, InTrigger, msg{})
}

func (c *Core) markDone(t *trigger, k int, when time.Duration) {
	if when <= c.now.Mono {
		t.Done |= 1 << k
	}
}

// clockJumped works out every waiting timer anew; calendar timers follow the wall
// clock, and those with OnClockChange= or OnTimezoneChange= elapse.
func (c *Core) clockJumped(e *ClockJump) {
	zone := len(e.ZoneData) > 0
	if zone {
		loc, err := time.LoadLocationFromTZData(e.Zone, e.ZoneData)
		if err != nil {
			c.emit(Log{Level: LevelWarning, Note: "the new time zone " + e.Zone + " cannot be read, the old one stays: " + err.Error()})
			return
		}
		c.cfg.Location = loc
	}
	for _, i := range append([]graph.Index(nil), c.timers...) {
		r := c.rec(i)
		if r.state != Active || r.act == nil {
			continue
		}
		if r.sub == SubWaiting && (!zone && unit.OnClockChange.Of(r.act) || zone && unit.OnTimezoneChange.Of(r.act)) {
			c.input(i, InTrigger, msg{})
			continue
		}
		c.triggerTarget(i)
	}
}

// WakeDeadline is when the machine must be awake for a timer with WakeSystem=, on
// Mono; false when none waits.
func (c *Core) WakeDeadline() (time.Duration, bool) {
	if c.wakeStale {
		c.wake, c.wakeStale = 0, false
		for _, i := range c.timers {
			r := c.rec(i)
			if at := r.dl[dlTimer]; at != 0 && r.act != nil && unit.WakeSystem.Of(r.act) && (c.wake == 0 || at < c.wake) {
				c.wake = at
			}
		}
	}
	return c.wake, c.wake != 0
}
