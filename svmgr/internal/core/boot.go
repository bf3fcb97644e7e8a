package core

import (
	"cmp"
	"slices"
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

// BootState is what the manager thinks of the boot. It says only that a boot was good:
// that one took too long says PID 1, whose clock goes on when the manager hangs.
type BootState uint8

const (
	// BootPending → BootGood, BootBad.
	BootPending BootState = iota
	// BootGood → BootBad, if somebody says so.
	BootGood
	// BootBad → BootGood, if somebody says so.
	BootBad
)

var bootWords = [...]string{"pending", "good", "bad"}

func (s BootState) String() string { return bootWords[s] }

// bootMember is a unit that must be up for the boot to be good.
type bootMember struct {
	name  string
	grace time.Duration
}

// learnBoot works out which units those are: the ones that boot.toml names and the ones
// whose own file says so.
func (c *Core) learnBoot(set *unit.Set) {
	c.bootSet, c.bootNames = nil, nil
	add := func(name string, grace time.Duration) {
		if u, ok := set.Find(name); ok {
			name = u.Name
			if unit.BootGrace.IsSet(u) {
				grace = unit.BootGrace.Of(u)
			}
		}
		if i, ok := c.g.Lookup(name); ok && c.g.LeftOut(i) {
			return
		}
		if !c.bootNames[name] {
			if c.bootNames == nil {
				c.bootNames = map[string]bool{}
			}
			c.bootNames[name] = true
			c.bootSet = append(c.bootSet, bootMember{name, grace})
		}
	}
	for _, name := range set.Boot.Success() {
		add(name, set.Boot.Grace())
	}
	for _, u := range set.Units {
		if unit.BootSuccess.Of(u) {
			add(u.Name, set.Boot.Grace())
		}
	}
	slices.SortFunc(c.bootSet, func(a, b bootMember) int { return cmp.Compare(a.name, b.name) })
}

// upSince is since when a unit counts for the boot; what was skipped has not come up.
func (c *Core) upSince(name string) (Time, bool) {
	i, ok := c.g.Lookup(name)
	if !ok {
		return Time{}, false
	}
	r := c.rec(i)
	switch {
	case r.up():
		return r.activeEnter, true
	case r.state == Completed:
		return r.since, true
	}
	return Time{}, false
}

// bootDue is when the boot will have been good, if nothing changes: when each member has
// been up for its time, or without any when the jobs of the boot are over.
func (c *Core) bootDue() (at time.Duration, ok bool) {
	if c.boot != BootPending || c.shutdown != nil {
		return 0, false
	}
	if len(c.bootSet) == 0 {
		return c.now.Mono, c.booted
	}
	for _, m := range c.bootSet {
		since, up := c.upSince(m.name)
		if !up || m.grace > unit.Forever-since.Mono {
			return 0, false
		}
		at = max(at, since.Mono+m.grace)
	}
	return at, true
}

// lookAtBoot sets the clock of the verdict, which comes from there alone.
func (c *Core) lookAtBoot() {
	if at, ok := c.bootDue(); ok {
		c.arm(globalBoot, 0, at)
	} else if c.bootDL != 0 {
		c.disarm(globalBoot, 0)
	}
}

// bootMoved looks again if the unit counts.
func (c *Core) bootMoved(i graph.Index) {
	if c.boot == BootPending && c.bootNames[c.g.Name(i)] {
		c.lookAtBoot()
	}
}

// judgeBoot is the only function that changes the verdict.
func (c *Core) judgeBoot(s BootState) {
	if c.boot == s {
		return
	}
	c.boot = s
	c.disarm(globalBoot, 0)
	c.emit(Publish{What: BootJudged})
}

// bootMarked: somebody knows better, or PID 1 has waited for long enough.
func (c *Core) bootMarked(e BootMarked) {
	switch {
	case e.Late && (c.boot != BootPending || c.shutdown != nil):
	case e.Good:
		c.judgeBoot(BootGood)
	default:
		c.judgeBoot(BootBad)
	}
	if e.Request != 0 {
		c.emit(Reply{ID: e.Request})
	}
}

// BootView is how the boot stands.
type BootView struct {
	State BootState
	// Due is Time.Mono when it will be good if nothing changes, 0 if something is missed.
	Due time.Duration
	// Members are the units that count, by name.
	Members []BootMember
}

// BootMember is one of them. Since is when it came up, if it is Up.
type BootMember struct {
	Name  string
	Grace time.Duration
	Up    bool
	Since Time
}

// Boot says how the boot stands.
func (v View) Boot() BootView {
	b := BootView{State: v.c.boot, Due: v.c.bootDL}
	for _, m := range v.c.bootSet {
		since, up := v.c.upSince(m.name)
		b.Members = append(b.Members, BootMember{m.name, m.grace, up, since})
	}
	return b
}
