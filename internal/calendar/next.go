package calendar

import (
	"math/bits"
	"time"
)

// Next is the first time strictly after the given one at which the event
// elapses, and false when there is none before the year 2200. local is the
// zone of expressions that name none, and the zone of the result; nil is UTC.
//
// A wall clock time that a change of the UTC offset skips does not elapse; one
// that it repeats elapses once, the first time. (systemd 252 agrees, except
// that it also fires in the repeated hour when it is asked from inside it.)
func (s Spec) Next(after time.Time, local *time.Location) (time.Time, bool) {
	// Not Year: it is not to be trusted where times overflow.
	if s.IsZero() || after.Unix() > lastSecond+2*86400 {
		return time.Time{}, false
	}
	if local == nil {
		local = time.UTC
	}
	loc := s.loc
	if loc == nil {
		loc = local
	}
	wall := firstUnseen(after, loc)
	for {
		var ok bool
		if wall, ok = s.nextWall(wall); !ok {
			return time.Time{}, false
		}
		// A skipped time moves wall to the end of the gap, so that each change
		// of the offset costs one turn of this loop at most.
		t, resume, ok := instant(wall, loc)
		if ok {
			return t.In(local), true
		}
		wall = resume
	}
}

// Matches tells whether the event elapses exactly at t.
func (s Spec) Matches(t time.Time, local *time.Location) bool {
	next, ok := s.Next(t.Add(-time.Nanosecond), local)
	return ok && next.Equal(t)
}

// A wall clock time is written as the microseconds since 1970 that it would
// be if it were UTC.

// firstUnseen is the first wall clock time that no clock in loc has shown up
// to and including the given moment.
func firstUnseen(after time.Time, loc *time.Location) int64 {
	const oldest = 0 // 1970-01-01 00:00:00
	if after.Unix() < -2*86400 {
		return oldest
	}
	p := after.In(loc)
	_, off := p.Zone()
	wall := max(oldest, after.UnixMicro()+int64(off)*second+1)
	// A clock that was set back had shown later times before. No two offsets
	// differ by 48 hours, so that older changes do not matter.
	for {
		start, _ := p.ZoneBounds()
		if start.IsZero() || after.Sub(start) > 48*time.Hour {
			return wall
		}
		p = start.Add(-time.Nanosecond)
		_, off := p.Zone()
		wall = max(wall, start.UnixMicro()+int64(off)*second)
	}
}

// instant is the first moment at which clocks in loc show the wall clock time.
// When they skip it, ok is false and resume is the first time they show after.
func instant(wall int64, loc *time.Location) (t time.Time, resume int64, ok bool) {
	u := time.UnixMicro(wall).In(loc)
	if loc == time.UTC {
		return u, 0, true
	}
	// Offsets are shorter than a day: start with the period of a day before.
	for p := u.Add(-24 * time.Hour); ; {
		start, end := p.ZoneBounds()
		if !end.IsZero() && !end.After(p) {
			// Go 1.26 ends the last period of a leap year a day early when it
			// follows from the rule at the end of the zone file (after 2037).
			end = p.Add(time.Hour)
		}
		_, off := p.Zone()
		t := u.Add(-time.Duration(off) * time.Second)
		if !start.IsZero() && t.Before(start) {
			return time.Time{}, start.UnixMicro() + int64(off)*second, false
		}
		if end.IsZero() || t.Before(end) {
			return t, 0, true
		}
		p = end
	}
}

// nextWall is the first wall clock time at or after the given one that matches
// the lists. It steps from one listed year, month and day to the next, at most
// 230 × 12 × 31 of them.
func (s *Spec) nextWall(wall int64) (int64, bool) {
	t := time.UnixMicro(wall).UTC()
	y0, month0, d0 := t.Date()
	m0 := int(month0)
	hour, minute, sec := t.Clock()
	clock := clock{hour, minute, int64(sec)*second + int64(t.Nanosecond()/1000)}

	for y := max(y0, 1970); y <= 2199; y++ {
		if s.years[(y-1970)/64]>>((y-1970)%64)&1 == 0 {
			continue
		}
		for m := 1; m <= 12; m++ {
			if s.months>>m&1 == 0 || y == y0 && m < m0 {
				continue
			}
			firstDay := time.Date(y, time.Month(m), 1, 0, 0, 0, 0, time.UTC)
			days := s.daysOf(firstDay)
			if y == y0 && m == m0 {
				days &= ^uint64(0) << d0
			}
			for ; days != 0; days &= days - 1 {
				d := bits.TrailingZeros64(days)
				at := clock
				if y != y0 || m != m0 || d != d0 {
					at = clockZero
				}
				if at, ok := s.nextClock(at); ok {
					return firstDay.UnixMicro() + int64(d-1)*86400*second + at.micros(), true
				}
			}
		}
	}
	return 0, false
}

// daysOf is the set of matching days of a month, weekdays included.
func (s *Spec) daysOf(first time.Time) uint64 {
	n := first.AddDate(0, 1, -1).Day()
	days := s.days
	if s.last {
		// The n-th last day is the day length+1-n.
		days = bits.Reverse64(days) >> (63 - (n + 1))
	}
	days &= 1<<(n+1) - 2
	if s.weekdays == allDays {
		return days
	}
	// Repeat the week over the month, shifted so that bit 1 is the weekday of
	// the first day.
	w := uint64(s.weekdays)
	w |= w<<7 | w<<14 | w<<21 | w<<28 | w<<35
	shift := (int(first.Weekday()) + 6) % 7
	return days & (w >> shift << 1)
}

type clock struct {
	hour, minute int
	micro        int64 // of the minute
}

var clockZero clock

func (c clock) micros() int64 {
	return int64(c.hour*60+c.minute)*60*second + c.micro
}

// nextClock is the first matching time of the day at or after c.
func (s *Spec) nextClock(c clock) (clock, bool) {
	h, ok := nextBit(s.hours, c.hour)
	if !ok {
		return c, false
	}
	if h == c.hour {
		m, ok := nextBit(s.minutes, c.minute)
		if ok && m == c.minute {
			if micro, ok := s.nextMicro(c.micro); ok {
				return clock{h, m, micro}, true
			}
			m, ok = nextBit(s.minutes, c.minute+1)
		}
		if ok {
			micro, _ := s.nextMicro(0)
			return clock{h, m, micro}, true
		}
		if h, ok = nextBit(s.hours, c.hour+1); !ok {
			return c, false
		}
	}
	m, _ := nextBit(s.minutes, 0)
	micro, _ := s.nextMicro(0)
	return clock{h, m, micro}, true
}

func (s *Spec) nextMicro(v int64) (int64, bool) {
	if s.second == nil {
		v = (v + second - 1) / second * second
		return v, v <= secondField.max
	}
	return secondField.nextIn(s.second, v)
}

func nextBit(set uint64, from int) (int, bool) {
	set &= ^uint64(0) << from
	return bits.TrailingZeros64(set), set != 0
}
