package calendar

import (
	"strings"
	"time"
)

// Spec is a calendar event expression (systemd.time(7), "Calendar Events").
// The zero Spec never elapses; others come from Parse and do not change.
type Spec struct {
	weekdays uint8 // bit 0 is Monday; 0 only in the zero Spec
	last     bool  // days count from the end of the month ("~")

	// The lists as written, normalized; nil is "*".
	year, month, day, hour, minute, second []component

	// The same as bit sets, for Next. Bit n of years is the year 1970+n; bit n
	// of days is the day n, or the n-th last day when last is set.
	years   [4]uint64
	months  uint64
	days    uint64
	hours   uint64
	minutes uint64

	zone string // as written, "" for local time
	loc  *time.Location
}

const allDays = 1<<7 - 1

// IsZero tells whether the Spec is the zero Spec, which no Parse returns.
func (s Spec) IsZero() bool { return s.weekdays == 0 }

// Zone is the time zone that the expression names, or "" when it is in local
// time.
func (s Spec) Zone() string { return s.zone }

var weekdayNames = [7]string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}

// String is the normalized form that systemd-analyze calendar prints. Parse of
// it yields an equal Spec.
func (s Spec) String() string {
	if s.IsZero() {
		return ""
	}
	var b strings.Builder
	if s.weekdays != allDays {
		s.appendWeekdays(&b)
		b.WriteByte(' ')
	}
	yearField.appendList(&b, s.year)
	b.WriteByte('-')
	monthField.appendList(&b, s.month)
	if s.last {
		b.WriteByte('~')
	} else {
		b.WriteByte('-')
	}
	dayField.appendList(&b, s.day)
	b.WriteByte(' ')
	hourField.appendList(&b, s.hour)
	b.WriteByte(':')
	minuteField.appendList(&b, s.minute)
	b.WriteByte(':')
	secondField.appendList(&b, s.second)
	if s.zone != "" {
		b.WriteByte(' ')
		b.WriteString(s.zone)
	}
	return b.String()
}

// appendWeekdays writes runs of three and more as ranges.
func (s Spec) appendWeekdays(b *strings.Builder) {
	sep := ""
	for d := 0; d < 7; {
		if s.weekdays>>d&1 == 0 {
			d++
			continue
		}
		end := d
		for end+1 < 7 && s.weekdays>>(end+1)&1 == 1 {
			end++
		}
		b.WriteString(sep)
		b.WriteString(weekdayNames[d][:3])
		if end > d {
			sep := ".."
			if end == d+1 {
				sep = ","
			}
			b.WriteString(sep)
			b.WriteString(weekdayNames[end][:3])
		}
		sep = ","
		d = end + 1
	}
}

// index fills the bit sets from the lists.
func (s *Spec) index() {
	yearField.values(s.year, false, func(v int64) {
		s.years[(v-1970)/64] |= 1 << ((v - 1970) % 64)
	})
	set := func(bits *uint64) func(int64) {
		return func(v int64) { *bits |= 1 << v }
	}
	monthField.values(s.month, false, set(&s.months))
	dayField.values(s.day, s.last, set(&s.days))
	hourField.values(s.hour, false, set(&s.hours))
	minuteField.values(s.minute, false, set(&s.minutes))
}
