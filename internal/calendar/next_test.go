package calendar

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func mustParse(t testing.TB, s string) Spec {
	t.Helper()
	spec, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestZeroSpec(t *testing.T) {
	var s Spec
	if next, ok := s.Next(time.Unix(0, 0), nil); ok || !s.IsZero() || s.String() != "" {
		t.Errorf("zero Spec elapses at %v, prints %q", next, s)
	}
}

func TestNextFractions(t *testing.T) {
	at := time.Date(2024, 1, 1, 0, 0, 0, 1, time.UTC)
	s := mustParse(t, "*:*:0.1/0.35")
	var got []string
	for range 4 {
		at, _ = s.Next(at, nil)
		got = append(got, at.Format("05.000000"))
	}
	if want := "00.100000 00.450000 00.800000 01.150000"; strings.Join(got, " ") != want {
		t.Errorf("got %v; want %s", got, want)
	}
}

// Far-away arguments neither overflow nor loop.
func TestNextBounds(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	s := mustParse(t, "*-*-* 00:00:00 UTC")
	for _, c := range []struct {
		after time.Time
		want  string
	}{
		{time.Time{}, "1970-01-01 00:00:00"},
		{time.Date(-200000, 1, 1, 0, 0, 0, 0, time.UTC), "1970-01-01 00:00:00"},
		{time.Date(1969, 12, 31, 23, 0, 0, 0, time.UTC), "1970-01-01 00:00:00"},
		{time.Date(2199, 12, 31, 0, 0, 0, 0, time.UTC), "never"},
		{time.Date(2250, 12, 31, 0, 0, 0, 0, time.UTC), "never"},
		{time.Unix(math.MinInt64, 0), "1970-01-01 00:00:00"},
		{time.Unix(math.MaxInt64, 0), "never"},
		{time.Unix(math.MaxInt64-62135596800, 0), "never"},
		{time.Date(250000, 12, 31, 0, 0, 0, 0, time.UTC), "never"},
	} {
		got := "never"
		if next, ok := s.Next(c.after, berlin); ok {
			got = next.UTC().Format(time.DateTime)
		}
		if got != c.want {
			t.Errorf("after %v: %s; want %s", c.after, got, c.want)
		}
	}
}

// Rows that cost the most: nothing in 230 years, or only times in gaps, which
// a search by microseconds would not survive (see BenchmarkNext for the cost).
func TestNextImpossible(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	for _, e := range []string{"*-02-30", "*-04-31 *:*:*", "Mon 1970..2199-02-30 *:*:0/0.000001", "2024-03-31 02:*:0/0.000001", "Sun 2025-03-30 02:30", "Tue 2024-01-01"} {
		if next, ok := mustParse(t, e).Next(time.Date(1971, 1, 1, 0, 0, 0, 0, time.UTC), berlin); ok {
			t.Errorf("%s elapses at %v", e, next)
		}
	}
}

// The time package misplaces the end of a period on the last day of a leap
// year after 2037; Next once looped for ever there.
func TestNextLeapYearEnd(t *testing.T) {
	s := mustParse(t, "*-12-31 07:00")
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe"} {
		loc := zone(t, name)
		at := time.Date(2039, 6, 1, 0, 0, 0, 0, loc)
		for y := 2039; y < 2100; y++ {
			next, ok := s.Next(at, loc)
			if want := time.Date(y, 12, 31, 7, 0, 0, 0, loc); !ok || !next.Equal(want) {
				t.Fatalf("after %v: %v; want %v", at, next, want)
			}
			at = next
		}
	}
}

// Feature statement 21: gap time does not fire, overlap fires once.
func TestNextGapAndOverlap(t *testing.T) {
	loc := zone(t, "Europe/Berlin")
	count := func(expr string, day time.Time) (n int) {
		s, at := mustParse(t, expr), day.Add(-1)
		for {
			at, _ = s.Next(at, loc)
			if at.IsZero() || !at.Before(day.AddDate(0, 0, 1)) {
				return n
			}
			n++
		}
	}
	spring := time.Date(2024, 3, 31, 0, 0, 0, 0, loc)
	autumn := time.Date(2024, 10, 27, 0, 0, 0, 0, loc)
	for _, c := range []struct {
		expr           string
		spring, autumn int
	}{{"02:30", 0, 1}, {"02:00", 0, 1}, {"03:00", 1, 1}, {"hourly", 23, 24}, {"minutely", 23 * 60, 24 * 60}, {"daily", 1, 1}} {
		if n := count(c.expr, spring); n != c.spring {
			t.Errorf("%s in spring: %d; want %d", c.expr, n, c.spring)
		}
		if n := count(c.expr, autumn); n != c.autumn {
			t.Errorf("%s in autumn: %d; want %d", c.expr, n, c.autumn)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct {
		in     string
		off    int
		reason string
	}{
		{"Fri..Mon", 0, "the week starts on Monday: write Fri..Sun,Mon..Mon"},
		{"*-13-1", 2, "month 13 is not in 1..12"},
		{"12:1,61", 5, "minute 61 is not in 0..59"},
		{"12:00:1..60", 6, "second 60 is not in 0..59.999999"},
		{"*:0/0", 4, "repetition of zero"},
		{"*-*~1/2", 4, "day before the end of the month 1/2 never repeats"},
		{"daily Foo/Bar", 0, `"daily" is neither a weekday nor a shorthand such as "daily"`},
		{"12:00 Foo/Bar", 6, `"Foo/Bar" is no time zone, or in the wrong place`},
		{"5..1:00", 0, "hour range 5..1 runs backwards"},
		{"2024-1-1 12", 11, `expected ":" after the hour, found the end`},
		{"", 0, "empty"},
		{" 12:00", 0, "leading space"},
		{"*:*:*.5", 5, `expected the end of the time, found ".5"`},
	} {
		_, err := Parse(c.in)
		var e *ParseError
		if !errors.As(err, &e) || e.Offset != c.off || e.Reason != c.reason {
			t.Errorf("Parse(%q): %v; want byte %d: %s", c.in, err, c.off, c.reason)
		}
	}
}

// The oracle knows nothing of bit sets, lists or offsets: it walks over real
// seconds, formats each with the time package, and asks a predicate that reads
// the normalized form anew.
type oracle struct {
	parts [7][]string // weekday, year, month, day, hour, minute, second
	last  bool
}

func newOracle(normalized string) (o oracle) {
	f := strings.Fields(normalized)
	if len(f) == 3 {
		o.parts[0], f = strings.Split(f[0], ","), f[1:]
	}
	date := strings.SplitN(f[0], "-", 2)
	o.last = strings.Contains(f[0], "~")
	md := strings.FieldsFunc(date[1], func(r rune) bool { return r == '-' || r == '~' })
	for i, p := range append([]string{date[0], md[0], md[1]}, strings.Split(f[1], ":")...) {
		if p != "*" {
			o.parts[i+1] = strings.Split(p, ",")
		}
	}
	return o
}

func (o oracle) matches(t time.Time) bool {
	length := time.Date(t.Year(), t.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
	day := t.Day()
	if o.last {
		day = length + 1 - day
	}
	weekday := slices.Index([]string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}, t.Weekday().String()[:3])
	for i, v := range []int{weekday, t.Year(), int(t.Month()), day, t.Hour(), t.Minute(), t.Second()} {
		if o.parts[i] == nil {
			continue
		}
		if !slices.ContainsFunc(o.parts[i], func(p string) bool { return o.entry(i, p, v) }) {
			return false
		}
	}
	return true
}

func (o oracle) entry(i int, p string, v int) bool {
	num := func(s string) (n int) {
		if d := slices.Index([]string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}, s); d >= 0 {
			return d
		}
		if _, err := fmt.Sscanf(s, "%d", &n); err != nil {
			panic(s)
		}
		return n
	}
	p, rep, repeats := strings.Cut(p, "/")
	from, to, ranged := strings.Cut(p, "..")
	step, a := 1, num(from)
	if repeats {
		step = num(rep)
	}
	switch {
	case ranged:
		return v >= a && v <= num(to) && (v-a)%step == 0
	case repeats && o.last && i == 3:
		return v <= a && (a-v)%step == 0
	case repeats:
		return v >= a && (v-a)%step == 0
	}
	return v == a
}

// first tells whether t is the first moment that shows its wall clock time.
// Clocks are set back by 30 or 60 minutes in the windows below.
func first(t time.Time) bool {
	for _, d := range []time.Duration{30 * time.Minute, time.Hour} {
		e := t.Add(-d)
		if e.Minute() == t.Minute() && e.Hour() == t.Hour() {
			return false
		}
	}
	return true
}

func drawList(t *rapid.T, label string, lo, hi int, last bool) string {
	if rapid.IntRange(0, 2).Draw(t, label+" any") == 0 {
		return "*"
	}
	var parts []string
	for range rapid.IntRange(1, 3).Draw(t, label+" entries") {
		a := rapid.IntRange(lo, hi).Draw(t, label)
		switch rapid.IntRange(0, 3).Draw(t, label+" kind") {
		case 1:
			parts = append(parts, fmt.Sprintf("%d..%d", a, rapid.IntRange(a, hi).Draw(t, label+" to")))
			continue
		case 2:
			parts = append(parts, fmt.Sprintf("%d..%d/%d", a, rapid.IntRange(a, hi).Draw(t, label+" to"), rapid.IntRange(1, 20).Draw(t, label+" step")))
			continue
		case 3:
			room := hi - a
			if last {
				room = a - lo
			}
			if room > 0 {
				parts = append(parts, fmt.Sprintf("%d/%d", a, rapid.IntRange(1, room).Draw(t, label+" step")))
				continue
			}
		}
		parts = append(parts, fmt.Sprint(a))
	}
	return strings.Join(parts, ",")
}

func drawExpr(t *rapid.T) string {
	var b strings.Builder
	if rapid.Bool().Draw(t, "weekdays") {
		a := rapid.IntRange(0, 6).Draw(t, "weekday")
		z := rapid.IntRange(a, 6).Draw(t, "to")
		fmt.Fprintf(&b, "%s..%s ", weekdayNames[a], weekdayNames[z][:3])
	}
	last := rapid.Bool().Draw(t, "last")
	sep, hi := "-", 31
	if last {
		sep, hi = "~", 28
	}
	fmt.Fprintf(&b, "*-%s%s%s ", drawList(t, "month", 1, 12, false), sep, drawList(t, "day", 1, hi, last))
	sec := "0"
	if rapid.Bool().Draw(t, "seconds") {
		// A range of one value is refused in seconds.
		for sec = "1..1"; strings.Contains(sec, ".."); {
			sec = drawList(t, "second", 0, 59, false)
		}
	}
	fmt.Fprintf(&b, "%s:%s:%s", drawList(t, "hour", 0, 23, false), drawList(t, "minute", 0, 59, false), sec)
	return b.String()
}

// Windows of a few hours around offset changes and month ends, second by
// second: Next names exactly the moments that the oracle finds.
func TestNextAgainstOracle(t *testing.T) {
	windows := []struct{ zone, start string }{
		{"UTC", "2024-02-28 23:30:00"}, {"UTC", "2023-12-31 22:30:00"},
		{"Europe/Berlin", "2024-03-31 00:00:00"}, {"Europe/Berlin", "2024-10-26 23:00:00"},
		{"America/New_York", "2024-03-10 06:00:00"}, {"America/New_York", "2024-11-03 04:00:00"},
		{"Australia/Lord_Howe", "2024-04-06 13:30:00"}, {"Australia/Lord_Howe", "2024-10-05 14:30:00"},
		{"America/Sao_Paulo", "2018-11-04 02:00:00"}, {"America/Santiago", "2024-04-07 01:30:00"},
		{"Pacific/Apia", "2011-12-30 08:30:00"},
	}
	rapid.Check(t, func(t *rapid.T) {
		w := rapid.SampledFrom(windows).Draw(t, "window")
		loc, err := time.LoadLocation(w.zone)
		if err != nil {
			t.Fatal(err)
		}
		expr := drawExpr(t)
		s, err := Parse(expr)
		if err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		o := newOracle(s.String())
		start, _ := time.Parse(time.DateTime, w.start)
		start = start.In(loc)
		start = start.Add(time.Duration(rapid.IntRange(0, 7200).Draw(t, "offset")) * time.Second)
		end := start.Add(2 * time.Hour)
		at := start
		for tick := start.Add(time.Second); !tick.After(end); tick = tick.Add(time.Second) {
			if !o.matches(tick) || !first(tick) {
				continue
			}
			next, ok := s.Next(at, loc)
			if !ok || !next.Equal(tick) {
				t.Fatalf("%s (%s) after %v: %v, %v; want %v", expr, s, at, next, ok, tick)
			}
			if !s.Matches(tick, loc) {
				t.Fatalf("%s does not match %v", expr, tick)
			}
			at = next
		}
		if next, ok := s.Next(at, loc); ok && !next.After(end) {
			t.Fatalf("%s (%s) after %v: %v; want nothing before %v", expr, s, at, next, end)
		}
	})
}

// Every day of 40 years against the oracle, at midnight.
func TestNextDaysAgainstOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		expr := drawExpr(t)
		date, _, _ := strings.Cut(expr[strings.Index(expr, "*-"):], " ")
		weekday := expr[:strings.Index(expr, "*-")]
		s, err := Parse(weekday + date)
		if err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		o := newOracle(s.String())
		at := time.Date(rapid.IntRange(1990, 2110).Draw(t, "year"), 1, 1, 0, 0, 0, 0, time.UTC)
		end := at.AddDate(9, 0, 0)
		for d := at.AddDate(0, 0, 1); d.Before(end); d = d.AddDate(0, 0, 1) {
			if !o.matches(d) {
				continue
			}
			next, ok := s.Next(at, nil)
			if !ok || !next.Equal(d) {
				t.Fatalf("%s after %v: %v, %v; want %v", s, at, next, ok, d)
			}
			at = next
		}
	})
}

func FuzzCalendar(f *testing.F) {
	for _, row := range recorded(f, "calendar.tsv") {
		f.Add(row[3], int64(1711848600))
	}
	berlin := zone(f, "Europe/Berlin")
	f.Fuzz(func(t *testing.T, expr string, after int64) {
		s, err := Parse(expr)
		if err != nil {
			var e *ParseError
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(expr) || e.Input != expr {
				t.Fatalf("Parse(%q): %v", expr, err)
			}
			return
		}
		text := s.String()
		again, err := Parse(text)
		if err != nil || again.String() != text || again.weekdays != s.weekdays || again.years != s.years ||
			again.months != s.months || again.days != s.days || again.hours != s.hours || again.minutes != s.minutes ||
			again.last != s.last || again.zone != s.zone {
			t.Fatalf("%q is %q, which is %q, %v", expr, text, again, err)
		}
		at := time.Unix(after, 0)
		for range 4 {
			next, ok := s.Next(at, berlin)
			if !ok {
				return
			}
			if !next.After(at) {
				t.Fatalf("%s after %v: %v", text, at, next)
			}
			if !s.Matches(next, berlin) {
				t.Fatalf("%s does not match its own %v", text, next)
			}
			if mid := at.Add(next.Sub(at) / 2); mid.After(at) && mid.Before(next) && s.Matches(mid, berlin) {
				t.Fatalf("%s matches %v, between %v and %v", text, mid, at, next)
			}
			at = next
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		if _, err := Parse("Mon..Fri *-1..6-1,15 9..17/2:0/20"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	berlin := zone(b, "Europe/Berlin")
	at := time.Date(2024, 1, 31, 12, 0, 0, 0, berlin)
	for _, e := range []string{"minutely", "Mon *-*-* 00:00:00", "Mon *-02-29", "*-02-30", "*:*:0/0.000001"} {
		b.Run(e, func(b *testing.B) {
			s := mustParse(b, e)
			for b.Loop() {
				s.Next(at, berlin)
			}
		})
	}
}

// Recorded: systemd-analyze 252 takes 241 entries and refuses 242.
func TestListLimit(t *testing.T) {
	list := strings.Repeat("0,", 240) + "0"
	if s, err := Parse("0:" + list); err != nil || s.String() != "*-*-* 00:00:00" {
		t.Errorf("241 entries: %v, %v", s, err)
	}
	if s, err := Parse("0:0," + list); err == nil {
		t.Errorf("242 entries: %v", s)
	}
}
