package calendar

import (
	"fmt"
	"math"
	"math/bits"
	"strings"
	"time"
)

// Infinity is the time span "infinity".
const Infinity time.Duration = math.MaxInt64

// Average lengths of the units of systemd.time(7), "Parsing Time Spans".
const (
	day   = 24 * time.Hour
	week  = 7 * day
	month = 2629800 * time.Second  // 30.4375 days, a twelfth of a year
	year  = 31557600 * time.Second // 365.25 days
)

var spanUnits = map[string]time.Duration{
	"usec": time.Microsecond, "us": time.Microsecond,
	"µs": time.Microsecond, "μs": time.Microsecond, // U+00B5 and U+03BC
	"msec": time.Millisecond, "ms": time.Millisecond,
	"seconds": time.Second, "second": time.Second, "sec": time.Second, "s": time.Second,
	"minutes": time.Minute, "minute": time.Minute, "min": time.Minute, "m": time.Minute,
	"hours": time.Hour, "hour": time.Hour, "hr": time.Hour, "h": time.Hour,
	"days": day, "day": day, "d": day,
	"weeks": week, "week": week, "w": week,
	"months": month, "month": month, "M": month,
	"years": year, "year": year, "y": year,
}

// ParseError says what is wrong with a time span, timestamp or calendar event
// and at which byte of it.
type ParseError struct {
	Kind   string // "time span", "timestamp" or "calendar event"
	Input  string
	Offset int
	Reason string
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("%s %q: byte %d: %s", e.Kind, e.Input, e.Offset, e.Reason)
}

// ParseSpan reads a time span (systemd.time(7), "Parsing Time Spans"); numbers
// without a unit are seconds.
func ParseSpan(s string) (time.Duration, error) {
	return ParseSpanDefault(s, time.Second)
}

// ParseSpanDefault reads a time span in which a number without a unit counts
// in the given unit. Fractions finer than a microsecond are cut off, as
// systemd does. A span that does not fit below Infinity is an error.
func ParseSpanDefault(s string, unit time.Duration) (time.Duration, error) {
	fail := func(off int, format string, args ...any) (time.Duration, error) {
		return 0, &ParseError{"time span", s, off, fmt.Sprintf(format, args...)}
	}
	if unit <= 0 {
		return fail(0, "default unit %d is not positive", unit)
	}
	if strings.Trim(s, spaces) == "infinity" {
		return Infinity, nil
	}
	var total time.Duration
	i := skipSpaces(s, 0)
	if i == len(s) {
		return fail(i, "empty")
	}
	for i < len(s) {
		start := i
		if s[i] == '-' {
			return fail(i, "negative")
		}
		if s[i] == '+' {
			i++
		}
		intStart := i
		i = skipDigits(s, i)
		whole := s[intStart:i]
		frac := ""
		if i < len(s) && s[i] == '.' {
			fracStart := i + 1
			i = skipDigits(s, fracStart)
			frac = s[fracStart:i]
			if frac == "" {
				return fail(i, "no digits after \".\"")
			}
			if i < len(s) && s[i] == '.' {
				return fail(i, "second \".\" in a number")
			}
		}
		if whole == "" && frac == "" {
			return fail(i, "expected a number")
		}
		i = skipSpaces(s, i)
		unitStart := i
		for i < len(s) && unitByte(s[i]) {
			i++
		}
		u := unit
		if i > unitStart {
			var ok bool
			if u, ok = spanUnits[s[unitStart:i]]; !ok {
				return fail(unitStart, "unknown unit %q", s[unitStart:i])
			}
		}
		part, ok := scale(whole, frac, u)
		if !ok || part >= Infinity-total {
			return fail(start, "too long")
		}
		total += part
		i = skipSpaces(s, i)
	}
	return total, nil
}

// scale is whole.frac × unit.
func scale(whole, frac string, unit time.Duration) (time.Duration, bool) {
	var n uint64
	for _, c := range []byte(whole) {
		hi, lo := bits.Mul64(n, 10)
		if hi != 0 || lo > math.MaxInt64-9 {
			return 0, false
		}
		n = lo + uint64(c-'0')
	}
	hi, v := bits.Mul64(n, uint64(unit))
	if hi != 0 || v > math.MaxInt64 {
		return 0, false
	}
	// Each digit is worth a tenth of the one before, cut to whole microseconds:
	// systemd counts so, which makes 0.123456789y a few µs shorter than it is.
	grain := uint64(1)
	if unit >= time.Microsecond {
		grain = uint64(time.Microsecond)
	}
	var sum uint64 // below unit
	for m, i := uint64(unit)/grain, 0; i < len(frac); i++ {
		m /= 10
		sum += uint64(frac[i]-'0') * m
	}
	sum *= grain
	if v+sum > math.MaxInt64 {
		return 0, false
	}
	return time.Duration(v + sum), true
}

const spaces = " \t\n\r"

func skipSpaces(s string, i int) int {
	for i < len(s) && strings.IndexByte(spaces, s[i]) >= 0 {
		i++
	}
	return i
}

func skipDigits(s string, i int) int {
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	return i
}

// unitByte: letters, and the bytes of the two micro signs.
func unitByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}

// FormatSpan writes a time span as systemd shows it (systemd.time(7),
// "Displaying Time Spans"), to the microsecond: "1h 30min", "1.500000s",
// "infinity". ParseSpan of the result is d, cut to microseconds. A negative
// span gets a leading "-", which ParseSpan refuses.
func FormatSpan(d time.Duration) string {
	if d == Infinity {
		return "infinity"
	}
	us := uint64(d / time.Microsecond)
	var b strings.Builder
	if d < 0 {
		us = -us
		if us > 0 {
			b.WriteByte('-')
		}
	}
	if us == 0 {
		return "0"
	}
	first := true
	for _, u := range []struct {
		name string
		us   uint64
	}{
		{"y", uint64(year / time.Microsecond)},
		{"month", uint64(month / time.Microsecond)},
		{"w", uint64(week / time.Microsecond)},
		{"d", uint64(day / time.Microsecond)},
		{"h", uint64(time.Hour / time.Microsecond)},
		{"min", uint64(time.Minute / time.Microsecond)},
		{"s", 1000000},
		{"ms", 1000},
		{"us", 1},
	} {
		if us < u.us {
			continue
		}
		if !first {
			b.WriteByte(' ')
		}
		first = false
		n, rest := us/u.us, us%u.us
		fmt.Fprintf(&b, "%d", n)
		switch {
		case rest == 0:
		case u.name == "s":
			fmt.Fprintf(&b, ".%06d", rest)
			rest = 0
		case u.name == "ms":
			fmt.Fprintf(&b, ".%03d", rest)
			rest = 0
		}
		b.WriteString(u.name)
		if us = rest; us == 0 {
			break
		}
	}
	return b.String()
}
