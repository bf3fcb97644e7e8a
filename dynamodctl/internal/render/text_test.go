package render

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

func TestSpan(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want string
	}{
		{-1, "0"}, {0, "0us"}, {700 * time.Microsecond, "700us"}, {690 * time.Millisecond, "690ms"}, {4190 * time.Millisecond, "4.1s"},
		{42 * time.Second, "42s"}, {60 * time.Second, "1min"}, {123 * time.Second, "2min 3s"}, {time.Hour, "1h"},
		{3*time.Hour + 4*time.Minute + 59*time.Second, "3h 4min"}, {25 * time.Hour, "1 day 1h"}, {48 * time.Hour, "2 days"}, {400 * time.Hour, "16 days"},
	} {
		if got := Span(c.d); got != c.want {
			t.Errorf("Span(%v) = %q; want %q", c.d, got, c.want)
		}
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{-1: "-", 0: "0B", 1023: "1023B", 1024: "1.0K", 52 << 20: "52M", 3 << 30: "3.0G", 1 << 62: "4096P"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q; want %q", n, got, want)
		}
	}
}

func TestCPUTime(t *testing.T) {
	for n, want := range map[int64]string{-1: "-", 0: "0.00s", 1_234_567: "1.23s", 754_320_000: "12:34", 7_384_000_000: "2:03:04"} {
		if got := CPUTime(n); got != want {
			t.Errorf("CPUTime(%d) = %q; want %q", n, got, want)
		}
	}
}

func TestGuides(t *testing.T) {
	got := guides([]int{0, 1, 2, 2, 1, 2, 3, 0, 1})
	want := []string{"", "├─", "│ ├─", "│ └─", "└─", "  └─", "    └─", "", "└─"}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("guides = %q; want %q", got, want)
		}
	}
	guides([]int{5, -3, 2}) // a server's nonsense is no reason to crash
}

// FuzzSafe: what comes out can be printed, and what is printable comes out as it
// is.
func FuzzSafe(f *testing.F) {
	f.Add("plain ünïcode 日本")
	f.Add("\x1b[2J\xff\u202e\t\n\x00")
	f.Fuzz(func(t *testing.T, s string) {
		got := Safe(s)
		clean := true
		for _, r := range s {
			clean = clean && unicode.IsPrint(r) && r != utf8.RuneError
		}
		if clean && got != s {
			t.Fatalf("Safe(%q) = %q, though all of it is printable", s, got)
		}
		if !utf8.ValidString(got) {
			t.Fatalf("Safe(%q) = %q is no UTF-8", s, got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Fatalf("Safe(%q) = %q has %U", s, got, r)
			}
		}
	})
}

// FuzzTable: a table with one column that may shrink and one that may go fits
// into any terminal that has room for what must stay.
func FuzzTable(f *testing.F) {
	f.Add("some.service", "a description", 40)
	f.Add("日本.service", "wide 日本語 text", 17)
	f.Fuzz(func(t *testing.T, name, what string, width int) {
		if width < 12 || width > 500 {
			return
		}
		tb := table{cols: []column{{title: "UNIT", least: 10}, {title: "WHAT", least: 5, drop: 1}}}
		tb.add(text(name), text(what))
		var b bytes.Buffer
		tb.write(&b, Options{Width: width})
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		if len(lines) != 2 {
			t.Fatalf("%d lines: %q", len(lines), b.String())
		}
		for _, l := range lines {
			if ansi.StringWidth(l) > width {
				t.Fatalf("a line of %d columns at %d: %q", ansi.StringWidth(l), width, l)
			}
		}
	})
}
