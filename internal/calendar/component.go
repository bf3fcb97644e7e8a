package calendar

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// A component is one entry of a list such as "1,5..9/2,10/3". In the seconds
// list all three numbers are microseconds.
type component struct {
	start  int64
	stop   int64 // none for a single value or an open repetition
	repeat int64 // 0: none, or the step 1 of a range
}

const none = -1

// A field is one of the six positions of a calendar event.
type field struct {
	name     string
	min, max int64
	step     int64 // what "1" is counted in
	digits   int
}

const second = 1_000_000 // in microseconds

var (
	yearField   = field{"year", 1970, 2199, 1, 4}
	monthField  = field{"month", 1, 12, 1, 2}
	dayField    = field{"day", 1, 31, 1, 2}
	lastField   = field{"day before the end of the month", 1, 28, 1, 2}
	hourField   = field{"hour", 0, 23, 1, 2}
	minuteField = field{"minute", 0, 59, 1, 2}
	secondField = field{"second", 0, 60*second - 1, second, 2}
)

// normalize sorts and removes duplicates, in the order of the normalized form.
func normalize(list []component) []component {
	slices.SortFunc(list, func(a, b component) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.stop, b.stop), cmp.Compare(a.repeat, b.repeat))
	})
	return slices.Compact(list)
}

// values calls yield with each value of the list, entry by entry. Open
// repetitions run upwards to f.max, or down to f.min when last is set.
func (f *field) values(list []component, last bool, yield func(int64)) {
	if list == nil {
		list = []component{{f.min, f.max, 0}}
	}
	for _, c := range list {
		step := c.repeat
		switch {
		case c.stop == none && step == 0:
			yield(c.start)
		case c.stop == none && last:
			for v := c.start; v >= f.min; v -= step {
				yield(v)
			}
		case c.stop == none:
			for v := c.start; v <= f.max; v += step {
				yield(v)
			}
		default:
			for v := c.start; v <= c.stop; v += max(step, f.step) {
				yield(v)
			}
		}
	}
}

// nextIn is the smallest value of the list that is at least v.
func (f *field) nextIn(list []component, v int64) (int64, bool) {
	best := int64(none)
	for _, c := range list {
		step, end := c.repeat, c.stop
		if end == none {
			end = f.max
			if step == 0 {
				end = c.start
			}
		}
		if step == 0 {
			step = f.step
		}
		next := c.start
		if v > next {
			next += (v - next + step - 1) / step * step
		}
		if next <= end && (best == none || next < best) {
			best = next
		}
	}
	return best, best != none
}

func (f *field) appendValue(b *strings.Builder, v int64, width int) {
	whole := strconv.FormatInt(v/f.step, 10)
	for range width - len(whole) {
		b.WriteByte('0')
	}
	b.WriteString(whole)
	if frac := v % f.step; frac != 0 {
		s := strconv.FormatInt(frac, 10)
		b.WriteString(".000000"[:7-len(s)])
		b.WriteString(s)
	}
}

func (f *field) appendList(b *strings.Builder, list []component) {
	if list == nil {
		b.WriteByte('*')
		return
	}
	for i, c := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		f.appendValue(b, c.start, f.digits)
		if c.stop != none {
			b.WriteString("..")
			f.appendValue(b, c.stop, f.digits)
		}
		if c.repeat != 0 {
			b.WriteByte('/')
			f.appendValue(b, c.repeat, 1)
		}
	}
}
