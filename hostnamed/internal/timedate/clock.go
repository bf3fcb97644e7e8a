package timedate

import (
	"strings"
	"time"
)

// LocalRTC says that the hardware clock shows local time, from the content of /etc/adjtime:
// its third line is LOCAL. No file means UTC (adjtime(5)).
func LocalRTC(adjtime string) bool {
	lines := strings.SplitN(adjtime, "\n", 4)
	return len(lines) >= 3 && strings.TrimSpace(lines[2]) == "LOCAL"
}

// What /etc/adjtime is when nobody has measured the clock's drift.
const (
	unmeasured = "0.0 0 0\n0\n"
	// plain says nothing that a missing file does not.
	plain = unmeasured + "UTC"
)

// SetLocalRTC is the content of /etc/adjtime with another third line. What hwclock(8) has
// measured stays. "" means that the file is not needed.
func SetLocalRTC(adjtime string, local bool) string {
	word := "UTC"
	if local {
		word = "LOCAL"
	}
	if strings.TrimSpace(adjtime) == "" {
		if !local {
			return ""
		}
		return unmeasured + word + "\n"
	}
	lines := strings.SplitN(adjtime, "\n", 4)
	for k, otherwise := range []string{"0.0 0 0", "0", ""} {
		if k == len(lines) {
			lines = append(lines, otherwise)
		}
		if strings.TrimSpace(lines[k]) == "" {
			lines[k] = otherwise
		}
	}
	lines[2] = word
	if len(lines) == 3 {
		lines = append(lines, "") // the last line ends, too
	}
	out := strings.Join(lines, "\n")
	if strings.TrimSpace(out) == plain {
		return ""
	}
	return out
}

// ShownByRTC is what a hardware clock shows at a moment, in UTC or in local time of a
// zone: a time in UTC whose fields are those of the clock.
func ShownByRTC(t time.Time, local bool, zone *time.Location) time.Time {
	if !local {
		return t.UTC()
	}
	l := t.In(zone)
	return time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), l.Second(), l.Nanosecond(), time.UTC)
}

// FromRTC is the moment that a hardware clock shows. Local times that there are twice are
// the first of the two, or the second: nothing tells.
func FromRTC(shown time.Time, local bool, zone *time.Location) time.Time {
	if !local {
		return shown
	}
	return time.Date(shown.Year(), shown.Month(), shown.Day(), shown.Hour(), shown.Minute(), shown.Second(), shown.Nanosecond(), zone)
}

// MinutesWest is the zone at a moment as settimeofday(2) takes it: minutes west of
// Greenwich.
func MinutesWest(t time.Time, zone *time.Location) int {
	_, east := t.In(zone).Zone()
	return -east / 60
}

// Synchronized says that the kernel's estimate of the clock's error, in microseconds, is
// one of a clock that somebody disciplines: it grows with the time that nobody does, and
// ends at 16 s (adjtimex(2)).
func Synchronized(maxError int64) bool { return maxError < 16_000_000 }

// Latest is the last moment that can be set: 2200-01-01 UTC. The kernel keeps 30 years
// more for itself (its limit is in 2232).
const Latest = 7258118400_000000

// SetTo is the moment that SetTime asks for: usec since 1970, or from now if relative;
// late is how long it took to ask for leave, during which an absolute time has gone on.
// What cannot be is refused with words for the client.
func SetTo(usec int64, relative bool, now time.Time, late time.Duration) (to time.Time, refusal string) {
	n := now.UnixMicro()
	switch {
	case !relative && (usec <= 0 || usec > Latest):
		return to, "Invalid absolute time"
	case relative && (usec > 0 && n > Latest-usec || usec < 0 && n+usec <= 0 || usec > Latest):
		return to, "Time value overflow"
	case relative:
		return time.UnixMicro(n + usec), ""
	}
	return time.UnixMicro(min(usec+late.Microseconds(), Latest)), ""
}
