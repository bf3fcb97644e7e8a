package calendar

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// lastStamp is 9999-12-31 23:59:59 UTC, the last second that systemd shows.
const lastStamp = 253402300799

// ParseTimestamp reads one point in time (systemd.time(7), "Parsing
// Timestamps"): "Fri 2012-11-23 11:12:13.5", "11:12", "today", "now",
// "+3h30min", "5min ago", "@1395716396". now is what relative ones start from;
// loc is the local zone (nil is UTC), and the zone of the result.
//
// A date and time may end in "UTC", a zone of the time zone database, or an
// abbreviation that is in force in loc at that time ("CEST"). A wall clock
// time that the zone skips moves on by the size of the gap; of a repeated one
// the first is meant. A date that does not exist ("02-30") is an error.
func ParseTimestamp(s string, now time.Time, loc *time.Location) (time.Time, error) {
	if loc == nil {
		loc = time.UTC
	}
	fail := func(off int, format string, args ...any) (time.Time, error) {
		return time.Time{}, &ParseError{"timestamp", s, off, fmt.Sprintf(format, args...)}
	}
	relative := func(base time.Time, sign time.Duration, off, end int) (time.Time, error) {
		d, err := ParseSpan(s[off:end])
		if err != nil {
			if e, ok := err.(*ParseError); ok {
				return fail(off+e.Offset, "time span: %s", e.Reason)
			}
			return fail(off, "%v", err)
		}
		if d == Infinity {
			return fail(off, "infinitely far away")
		}
		t := base.Add(sign * d)
		if t.Unix() < 0 || t.Unix() > lastStamp {
			return fail(0, "not between 1970 and 9999")
		}
		return t.In(loc), nil
	}
	switch {
	case s == "":
		return fail(0, "empty")
	case s == "now":
		return now.In(loc), nil
	case s[0] == '+':
		return relative(now, 1, 1, len(s))
	case s[0] == '-':
		return relative(now, -1, 1, len(s))
	case s[0] == '@':
		return epoch(s, loc)
	case strings.HasSuffix(s, " ago"):
		return relative(now, -1, 0, len(s)-len(" ago"))
	case strings.HasSuffix(s, " left"):
		return relative(now, 1, 0, len(s)-len(" left"))
	}
	return wallTimestamp(s, now, loc)
}

// epoch reads "@" and a time span since 1970. A plain number of seconds may be
// larger than a time.Duration.
func epoch(s string, loc *time.Location) (time.Time, error) {
	fail := func(err error) (time.Time, error) {
		off, reason := 1, err.Error()
		if e, ok := err.(*ParseError); ok {
			off, reason = 1+e.Offset, e.Reason
		}
		return time.Time{}, &ParseError{"timestamp", s, off, reason}
	}
	p := parser{input: s, text: s, pos: 1}
	if v, err := p.number(lastStamp); err == nil && p.atEnd() {
		return time.Unix(v, 0).In(loc), nil
	}
	d, err := ParseSpan(s[1:])
	switch {
	case err != nil:
		return fail(err)
	case d == Infinity:
		return fail(fmt.Errorf("infinitely far away"))
	}
	return time.Unix(0, 0).Add(d).In(loc), nil
}

// wallTimestamp reads [weekday] [date] [time] [zone], or a name of a day with
// an optional zone.
func wallTimestamp(s string, now time.Time, loc *time.Location) (time.Time, error) {
	fail := func(off int, format string, args ...any) (time.Time, error) {
		return time.Time{}, &ParseError{"timestamp", s, off, fmt.Sprintf(format, args...)}
	}
	text, in, abbrev := s, loc, ""
	if i := strings.LastIndexByte(s, ' '); i >= 0 && i+1 < len(s) && letter(s[i+1]) {
		text = s[:i]
		word := s[i+1:]
		switch z := lookupZone(word, time.LoadLocation); {
		case strings.EqualFold(word, "UTC"):
			in = time.UTC
		case z != nil && !isAbbreviation(word, now, loc):
			in = z
		default:
			abbrev = word
		}
	}
	today := now.In(in)
	date := func(days int) (time.Time, error) {
		y, m, d := today.Date()
		day := time.Date(y, m, d+days, 0, 0, 0, 0, time.UTC)
		return resolve(s, day.UnixMicro(), in, abbrev, loc)
	}
	switch text {
	case "today":
		return date(0)
	case "yesterday":
		return date(-1)
	case "tomorrow":
		return date(1)
	}

	p := parser{input: s, text: text}
	day, named := p.weekday()
	if named {
		if p.peek() != ' ' {
			return fail(p.pos, "expected a space and a date or time after the weekday")
		}
		p.skipBlanks()
	}
	year, month, dom := today.Date()
	var hour, minute, micro int64
	start := p.pos
	first, err := p.number(9999)
	if err != nil {
		return fail(start, "expected a date, a time, or a word such as \"today\"")
	}
	isTime := p.peek() == ':'
	if !isTime {
		var m, d int64
		if !p.accept("-") {
			return fail(p.pos, "expected \"-\" of a date or \":\" of a time")
		}
		if m, err = p.number(12); err == nil && !p.accept("-") {
			return fail(p.pos, "expected \"-\" and a day")
		}
		if err == nil {
			d, err = p.number(31)
		}
		if err != nil {
			return fail(p.pos, "month or day not valid")
		}
		// Unlike in calendar events, 69 is 1969 here.
		switch {
		case first < 69:
			first += 2000
		case first < 100:
			first += 1900
		}
		year, month, dom = int(first), time.Month(m), int(d)
		if t := time.Date(year, month, dom, 0, 0, 0, 0, time.UTC); t.Day() != dom || t.Month() != month {
			return fail(start, "no such date")
		}
		if !p.atEnd() {
			if p.peek() != ' ' {
				return fail(p.pos, "expected a space and a time after the date")
			}
			p.skipBlanks()
			start = p.pos
			if first, err = p.number(math.MaxInt32); err != nil {
				return fail(start, "expected a time")
			}
			isTime = true
		}
	}
	if isTime {
		hour = first
		if !p.accept(":") {
			return fail(p.pos, "expected \":\" after the hour")
		}
		if minute, err = p.number(math.MaxInt32); err == nil && p.accept(":") {
			micro, err = p.fraction()
		}
		// 60 is a leap second; it becomes the second after.
		if err != nil || hour > 23 || minute > 59 || micro >= 61*second {
			return fail(start, "no such time of day")
		}
		if !p.atEnd() {
			return fail(p.pos, "%q after the time", p.text[p.pos:])
		}
	}
	wall := time.Date(year, month, dom, int(hour), int(minute), 0, 0, time.UTC)
	if got := (int(wall.Weekday()) + 6) % 7; named && got != day {
		return fail(0, "%s is a %s", wall.Format(time.DateOnly), weekdayNames[got])
	}
	return resolve(s, wall.UnixMicro()+micro, in, abbrev, loc)
}

// isAbbreviation tells whether loc uses word for one of its offsets around the
// present year.
func isAbbreviation(word string, now time.Time, loc *time.Location) bool {
	for m := range 12 {
		if name, _ := now.AddDate(0, m, 0).In(loc).Zone(); name == word {
			return true
		}
	}
	return false
}

// resolve finds the moment of a wall clock time, and shows it in local.
func resolve(s string, wall int64, loc *time.Location, abbrev string, local *time.Location) (time.Time, error) {
	t, resume, ok := instant(wall, loc)
	if !ok {
		// As far after the gap as the time was into it.
		end, _, _ := instant(resume, loc)
		_, off := end.Add(-time.Microsecond).In(loc).Zone()
		t = time.UnixMicro(wall - int64(off)*second)
	}
	if abbrev != "" {
		// The second pass of a repeated time may be meant.
		_, end := t.In(loc).ZoneBounds()
		for _, c := range []time.Time{t, end} {
			name, off := c.In(loc).Zone()
			if u := time.UnixMicro(wall - int64(off)*second).In(loc); name == abbrev {
				if again, _ := u.Zone(); again == abbrev {
					t, abbrev = u, ""
					break
				}
			}
		}
		if abbrev != "" {
			return time.Time{}, &ParseError{"timestamp", s, len(s) - len(abbrev),
				fmt.Sprintf("%q is no time zone, or not in force at that time", abbrev)}
		}
	}
	if t.Unix() < 0 || t.Unix() > lastStamp {
		return time.Time{}, &ParseError{"timestamp", s, 0, "not between 1970 and 9999"}
	}
	return t.In(local), nil
}
