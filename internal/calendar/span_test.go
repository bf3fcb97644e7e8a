package calendar

import (
	"errors"
	"math"
	"testing"
	"time"
)

func TestParseSpanDefault(t *testing.T) {
	for _, c := range []struct {
		in   string
		unit time.Duration
		want time.Duration
	}{
		{"5", time.Minute, 5 * time.Minute},
		{"5", time.Microsecond, 5 * time.Microsecond},
		{"5", time.Nanosecond, 5},
		{"1.5", time.Nanosecond, 1},
		{"1.5 2s", time.Hour, 90*time.Minute + 2*time.Second},
		{"infinity", time.Minute, Infinity},
	} {
		if got, err := ParseSpanDefault(c.in, c.unit); err != nil || got != c.want {
			t.Errorf("ParseSpanDefault(%q, %v) = %v, %v; want %v", c.in, c.unit, got, err, c.want)
		}
	}
	if d, err := ParseSpanDefault("5", 0); err == nil {
		t.Errorf("unit 0: %v", d)
	}
}

func TestSpanOverflow(t *testing.T) {
	for _, s := range []string{"293y", "292y 4month", "9223372036854775807us", "18446744073709551616us", "9223372036854775us 9223372036854775807", "106752d"} {
		if d, err := ParseSpan(s); err == nil {
			t.Errorf("ParseSpan(%q) = %v; want an error", s, d)
		}
	}
	if d, err := ParseSpan("9223372036854775us"); err != nil || d != math.MaxInt64/1000*1000 {
		t.Errorf("longest span = %d, %v", d, err)
	}
}

func TestSpanErrorOffset(t *testing.T) {
	for s, off := range map[string]int{"5 fortnights": 2, "1h -5": 3, "1h 5.": 5, "": 0, "1..5": 2, "5min,3s": 4, "1y 900y": 3} {
		_, err := ParseSpan(s)
		var e *ParseError
		if !errors.As(err, &e) || e.Offset != off {
			t.Errorf("ParseSpan(%q): %v; want offset %d", s, err, off)
		}
	}
}

func TestFormatSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", 999: "0", -999: "0", -1500: "-1us", Infinity: "infinity",
		math.MinInt64: "-292y 3month 1w 16h 17min 16.854775s",
		-time.Second:  "-1s",
	} {
		if got := FormatSpan(d); got != want {
			t.Errorf("FormatSpan(%d) = %q; want %q", int64(d), got, want)
		}
	}
}

func FuzzSpan(f *testing.F) {
	for _, row := range recorded(f, "span.tsv") {
		f.Add(row[0])
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseSpan(s)
		if err != nil {
			var e *ParseError
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(s) {
				t.Fatalf("ParseSpan(%q): %v", s, err)
			}
			return
		}
		if d < 0 {
			t.Fatalf("ParseSpan(%q) = %d", s, d)
		}
		text := FormatSpan(d)
		if again, err := ParseSpan(text); err != nil || again != d {
			t.Fatalf("%q is %d, written %q, which is %d, %v", s, d, text, again, err)
		}
	})
}

func FuzzTimestamp(f *testing.F) {
	for _, s := range []string{"now", "Fri 2012-11-23 11:12:13.5 CET", "+3h", "@5.5", "5min ago", "tomorrow Pacific/Auckland", "2024-03-31 02:30"} {
		f.Add(s)
	}
	berlin := zone(f, "Europe/Berlin")
	now := time.Date(2024, 3, 30, 12, 0, 0, 0, berlin)
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseTimestamp(s, now, berlin)
		if err != nil {
			var e *ParseError
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(s) {
				t.Fatalf("ParseTimestamp(%q): %v", s, err)
			}
			return
		}
		text := got.Format("Mon 2006-01-02 15:04:05.000000 MST")
		if again, err := ParseTimestamp(text, now, berlin); err != nil || !again.Equal(got.Truncate(time.Microsecond)) {
			t.Fatalf("%q is %q, which is %v, %v", s, text, again, err)
		}
	})
}
