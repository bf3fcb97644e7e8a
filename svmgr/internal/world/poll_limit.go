package world

import (
	"time"

	"dynamod/internal/unit"
)

// pollLimit counts how often one listening descriptor was found ready
// (systemd.socket(5), PollLimitBurst=). The times are monotonic.
type pollLimit struct {
	begin time.Time
	count int64
	// paused says that nobody looks at the descriptor until the window is over.
	paused bool
}

// allow counts one event; when there were too many it says how long to look away.
func (p *pollLimit) allow(u *unit.Unit, now time.Time) (pause time.Duration) {
	window, burst := unit.PollLimitIntervalSec.Of(u), unit.PollLimitBurst.Of(u)
	if !unit.PollLimitBurst.IsSet(u) && unit.Accept.Of(u) {
		burst = 150
	}
	if window <= 0 || burst <= 0 {
		return 0
	}
	if p.begin.IsZero() || window != unit.Forever && now.Sub(p.begin) >= window {
		p.begin, p.count = now, 0
	}
	if p.count < int64(burst) {
		p.count++
		return 0
	}
	if window == unit.Forever {
		return unit.Forever
	}
	return window - now.Sub(p.begin)
}

// lookAway closes the eye on one descriptor for a while; the table is locked.
func (w *World) lookAway(s *openSocket, l *listener, pause time.Duration) {
	w.shut(&l.eye)
	l.limit.paused = true
	w.log.Debug("too many events on a socket: it is left alone for a while", "unit", s.u.Name, "address", printable(l.spec.Address), "pause", pause)
	w.start(func() { // ends when the pause is over or with the context
		t := time.NewTimer(pause)
		defer t.Stop()
		select {
		case <-w.senses.ctx.Done():
			return
		case <-t.C:
		}
		table := &w.senses.sockets
		table.mu.Lock()
		defer table.mu.Unlock()
		l.limit.paused = false
		if s.watching && table.units[s.u.Name] == s {
			w.openEyes(s)
		}
	})
}
