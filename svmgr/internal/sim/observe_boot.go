package sim

import (
	"time"

	"dynamod/svmgr/internal/core"
)

// counts says that a unit in this state is up for the boot.
func counts(s core.State) bool {
	return s == core.Active || s == core.Reloading || s == core.Completed
}

// rises takes note of when a unit came up, from what is published alone.
func (o *observer) rises(s *seen, from, to core.State) {
	if counts(to) && !counts(from) {
		s.upAt = o.now
	}
}

// bootMarked takes note that a verdict comes from outside.
func (o *observer) bootMarked(ev core.BootMarked) {
	o.marking = true
	if ev.Request != 0 {
		o.reqs[ev.Request] = &seenRequest{req: core.Request{ID: ev.Request}}
		o.open++
	}
}

// bootJudged: a boot is called good by itself once, with nothing that was asked for down,
// and each such unit up for as long as it must be.
func (o *observer) bootJudged() {
	marked := o.marking
	good := o.core.View().Boot().State == core.BootGood
	if o.judged == (core.BootState(0)) {
		o.judged = core.BootBad
		if good {
			o.judged = core.BootGood
		}
	} else if !marked {
		o.violated("boot-again", "-", "the boot was judged already, and nobody asked for it")
	}
	switch {
	case marked:
	case !good:
		o.violated("boot-bad", "-", "the manager calls a boot bad by itself")
	case o.down:
		o.violated("boot-down", "-", "the boot is called good when everything is being stopped")
	default:
		for _, m := range o.core.View().Boot().Members {
			s := o.unit(m.Name)
			if !counts(s.state) || o.now-s.upAt < m.Grace {
				o.violated("boot-early", m.Name, "the boot is called good, but it is %v since %v and must be up for %v", s.state, s.upAt, m.Grace)
			}
		}
	}
}

// bootOverdue: what is up long enough is not waited for any longer.
func (o *observer) bootOverdue() {
	b := o.core.View().Boot()
	if b.State != core.BootPending || o.down || len(b.Members) == 0 {
		return
	}
	var at time.Duration
	for _, m := range b.Members {
		s := o.unit(m.Name)
		if !counts(s.state) {
			return
		}
		at = max(at, s.upAt+m.Grace)
	}
	if o.now > at+o.late {
		o.violated("boot-overdue", "-", "everything is up since long, and the boot is still pending")
	}
}
