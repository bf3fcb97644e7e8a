package calendar

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// recorded reads a table of testdata without its comments.
func recorded(t testing.TB, name string) [][]string {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rows [][]string
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if !strings.HasPrefix(sc.Text(), "#") {
			rows = append(rows, strings.Split(sc.Text(), "\t"))
		}
	}
	return rows
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// calendarDiffers are the rows of calendar.tsv in which we elapse at other
// times than systemd 252, on purpose.
var calendarDiffers = map[string]string{
	// Asked from inside the repeated hour: it does not elapse a second time.
	"Europe/Berlin|2024-10-27 01:00:00|*-*-* 02:30":    "2024-10-28 01:30:00, 2024-10-29 01:30:00",
	"Europe/Berlin|2024-10-27 01:15:00|*:0/20":         "2024-10-27 02:00:00, 2024-10-27 02:20:00",
	"America/New_York|2024-11-03 06:15:00|*-*-* 01:30": "2024-11-04 06:30:00, 2024-11-05 06:30:00",
	// Over a gap: systemd misses 03:00:00 CEST.
	"Europe/Berlin|2024-03-31 00:59:30|*:*:0/40": "2024-03-31 00:59:40, 2024-03-31 01:00:00, 2024-03-31 01:00:40",
	"Europe/Berlin|2024-03-31 00:59:59|*:*:0/40": "2024-03-31 01:00:00, 2024-03-31 01:00:40, 2024-03-31 01:01:00, 2024-03-31 01:01:40, 2024-03-31 01:02:00",
}

func TestRecordedCalendar(t *testing.T) {
	rows := recorded(t, "calendar.tsv")
	if len(rows) < 400 {
		t.Fatalf("%d rows", len(rows))
	}
	used := 0
	for _, row := range rows {
		loc, base, expr, want := zone(t, row[0]), row[1], row[3], row[4]
		s, err := Parse(expr)
		if want == "error" {
			if err == nil {
				t.Errorf("Parse(%q) = %v; want an error", expr, s)
			}
			continue
		}
		if err != nil {
			t.Errorf("Parse(%q): %v", expr, err)
			continue
		}
		if s.String() != want {
			t.Errorf("Parse(%q) = %q; want %q", expr, s, want)
		}
		at, err := time.Parse(time.DateTime, base)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(row[2])
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for range n {
			next, ok := s.Next(at, loc)
			if !ok {
				break
			}
			got = append(got, next.UTC().Format(time.DateTime))
			at = next
		}
		if len(got) == 0 {
			got = append(got, "never")
		}
		elapses := strings.Join(row[5:], ", ")
		if ours, ok := calendarDiffers[row[0]+"|"+row[1]+"|"+expr]; ok {
			if ours == elapses {
				t.Errorf("%s after %s: no difference any more", expr, base)
			}
			elapses = ours
			used++
		}
		if strings.Join(got, ", ") != elapses {
			t.Errorf("%s after %s in %s:\n got %s\nwant %s", expr, base, row[0], strings.Join(got, ", "), elapses)
		}
	}
	if used != len(calendarDiffers) {
		t.Errorf("%d of %d differences met", used, len(calendarDiffers))
	}
}

func TestRecordedSpan(t *testing.T) {
	for _, row := range recorded(t, "span.tsv") {
		s, want := row[0], row[1]
		d, err := ParseSpan(s)
		if us, _ := strconv.ParseUint(want, 10, 64); want == "error" || us > uint64(Infinity/1000) && s != "infinity" && !strings.Contains(s, "infinity") {
			if err == nil {
				t.Errorf("ParseSpan(%q) = %v; want an error", s, d)
			}
			continue
		}
		if err != nil {
			t.Errorf("ParseSpan(%q): %v", s, err)
			continue
		}
		if got := strconv.FormatUint(uint64(d.Microseconds()), 10); d != Infinity && got != want {
			t.Errorf("ParseSpan(%q) = %s µs; want %s", s, got, want)
		}
		if got := FormatSpan(d); got != row[2] {
			t.Errorf("FormatSpan(%q) = %q; want %q", s, got, row[2])
		}
	}
}
