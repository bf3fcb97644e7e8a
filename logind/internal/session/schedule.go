package session

import (
	"slices"
	"strings"
)

// Scheduled is a shutdown that is to come (org.freedesktop.login1(5), ScheduleShutdown).
type Scheduled struct {
	// Kind is poweroff, reboot, halt, kexec or soft-reboot, with "dry-" before it for
	// one that is only announced.
	Kind string
	// At is when, in microseconds since the epoch.
	At  int64
	UID uint32

	// told is how many minutes were left when it was last announced.
	told int64
}

const (
	minute = 60_000_000
	// closing is how long before a shutdown nobody logs in any more (shutdown(8)).
	closing = 5 * minute
	// recheck is the longest wait for a moment of the wall clock, which may be set.
	recheck = minute
)

// announced are the numbers of minutes before a shutdown at which it is announced.
var announced = []int64{60, 30, 15, 10, 5, 4, 3, 2, 1}

// kinds are what may be scheduled.
var kinds = []string{"poweroff", "reboot", "halt", "kexec", "soft-reboot"}

// Verb is what the kind does, Dry whether it only says so.
func (s *Scheduled) Verb() string { return strings.TrimPrefix(s.Kind, "dry-") }
func (s *Scheduled) Dry() bool    { return strings.HasPrefix(s.Kind, "dry-") }

func (c *Core) schedule(e Schedule) {
	n := e.Shutdown
	n.told = -1
	t := Transition{Verb: n.Verb(), UID: n.UID}
	switch {
	case !slices.Contains(kinds, t.Verb):
		c.refuse(e.Request, errInvalid, "Unsupported shutdown type: %s", n.Kind)
		return
	case c.Pending != nil:
		c.refuse(e.Request, ErrProgress, "There's already a shutdown or sleep operation in progress")
		return
	case !e.Ignore && c.Blocker("shutdown", n.UID) != nil:
		c.refuse(e.Request, ErrDenied, "Access denied due to active block inhibitor")
		return
	}
	c.Scheduled = &n
	c.do(Grant{Request: e.Request})
	c.changed(AManager, "", "ScheduledShutdown")
	c.do(SaveSchedule{})
	c.scheduleTick()
}

// cancelSchedule forgets the shutdown; the answer says whether there was one.
func (c *Core) cancelSchedule(e CancelSchedule) {
	old := c.Scheduled
	c.do(Grant{Request: e.Request, Live: old != nil})
	if old == nil {
		return
	}
	c.Scheduled = nil
	c.logins(true)
	c.changed(AManager, "", "ScheduledShutdown")
	c.do(SaveSchedule{}, Announce{*old, 0, true})
}

func (c *Core) logins(open bool) {
	if c.closed == open {
		c.closed = !open
		c.do(Logins{open})
	}
}

// scheduleTick announces a shutdown, refuses logins in its last minutes, and begins it.
func (c *Core) scheduleTick() {
	n := c.Scheduled
	if n == nil {
		return
	}
	left := n.At - c.now.Wall
	if left <= 0 {
		if c.Pending != nil && !n.Dry() {
			return // it comes after what is under way, a sleep for example
		}
		c.Scheduled = nil
		c.changed(AManager, "", "ScheduledShutdown")
		c.do(SaveSchedule{}, Announce{*n, 0, false})
		if n.Dry() {
			c.logins(true)
			return
		}
		// Who blocks shutdowns by now came too late: what was announced is done, as
		// systemd-logind 257 was seen to do it. Delays are waited for.
		c.begin(&Transition{Verb: n.Verb(), UID: n.UID})
		return
	}
	c.logins(left > closing)
	minutes := (left + minute - 1) / minute
	if n.told < 0 || slices.ContainsFunc(announced, func(m int64) bool { return n.told > m && minutes <= m }) {
		c.do(Announce{*n, left, false})
	}
	n.told = minutes
}

// scheduleDeadline is when the schedule is to be looked at, on the clock since boot.
func (c *Core) scheduleDeadline() int64 {
	n := c.Scheduled
	if n == nil {
		return 0
	}
	left := n.At - c.now.Wall
	if left <= 0 { // it waits for the end of what is under way, which is an event
		return c.now.Mono + recheck
	}
	wait := min(left, recheck)
	if left > closing {
		wait = min(wait, left-closing)
	}
	for _, m := range announced {
		if left > m*minute {
			wait = min(wait, left-m*minute)
		}
	}
	return c.now.Mono + max(wait, 1)
}
