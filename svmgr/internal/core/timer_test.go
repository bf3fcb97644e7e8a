package core

import (
	"fmt"
	"testing"
	"time"
)

// Within its window a timer is placed where all timers of the machine are, and never
// before it is due.
func TestAlign(t *testing.T) {
	for _, seed := range []uint64{0, 1, 59_999_999_999, 1 << 63} {
		for _, acc := range []time.Duration{0, time.Microsecond, 100 * time.Millisecond, 250 * time.Millisecond, time.Second, 5 * time.Second, 30 * time.Second, time.Minute, time.Hour} {
			for _, at := range []time.Duration{0, 1, 12345 * time.Millisecond, time.Hour + 59*time.Second} {
				got := align(at, acc, seed)
				if got < at || got > at+acc {
					t.Errorf("align(%v, %v, %d) = %v is outside of the window", at, acc, seed, got)
				}
			}
		}
		// Two timers whose windows overlap by a minute wake the machine once.
		a, b := align(10*time.Minute, time.Minute, seed), align(10*time.Minute, 2*time.Minute, seed)
		if d := (b - a) % time.Minute; d != 0 {
			t.Errorf("seed %d: %v and %v are not on one grid", seed, a, b)
		}
		if x, y := align(100*time.Second, time.Minute, seed), align(101*time.Second, time.Minute, seed); x != y && y-x != time.Minute {
			t.Errorf("seed %d: %v and %v", seed, x, y)
		}
	}
	if align(100*time.Second, time.Minute, 1) == align(100*time.Second, time.Minute, 17_000_000_000) {
		t.Error("two machines wake at the same moment")
	}
}

// The place is drawn once for each elapse: whoever looks at the timer does not put it
// off.
func TestTimerIsNotPutOff(t *testing.T) {
	for _, line := range []string{"OnCalendar=*-*-* 06:00:00; RandomizedDelaySec=1h; AccuracySec=1us", "OnActiveSec=6h; RandomizedDelaySec=1h",
		"OnActiveSec=6h; AccuracySec=10min", "OnCalendar=*-*-* 06:00:00; FixedRandomDelay=yes; RandomizedDelaySec=1h"} {
		h := loadWith(t, Config{Seed: 12345}, "t.timer || "+line, "t.service || Type=oneshot")
		h.start("t.timer")
		at := h.view("t.timer").NextElapse.Mono
		if due := h.now.Mono + 6*time.Hour; at < due || at > due+time.Hour+time.Minute {
			t.Fatalf("%s: due at %v, will elapse at %v", line, due, at)
		}
		for h.now.Mono < at-time.Minute {
			h.advance(time.Minute)
			h.tell(ClockJump{})
			if got := h.view("t.timer").NextElapse.Mono; got != at {
				t.Fatalf("%s: %v became %v", line, at, got)
			}
		}
		h.advance(time.Minute)
		want(h, line, h.spawns("t.service"), 1)
	}
}

// Every day of two years, in five zones with their own rules: a time that the clock
// skips is skipped, one that it shows twice fires once, 29 February exists every
// fourth year; never early, and never twice.
func TestTimersOverZones(t *testing.T) {
	for _, c := range []struct {
		zone, spec string
		from       string
		days       int
		// Fires is how often it elapses in that time.
		fires int
	}{
		{"Europe/Berlin", "*-*-* 02:30:00", "2026-03-28 12:00", 2, 1}, // the 29th has no 02:30
		{"Europe/Berlin", "*-*-* 02:30:00", "2026-10-24 12:00", 2, 2}, // the 25th has it twice
		{"America/New_York", "*-*-* 02:30:00", "2026-03-07 12:00", 2, 1},
		{"America/New_York", "*-*-* 01:30:00", "2026-10-31 12:00", 2, 2},
		{"Australia/Lord_Howe", "*-*-* 02:15:00", "2026-10-03 12:00", 2, 1}, // half an hour is skipped
		{"Australia/Lord_Howe", "*-*-* 01:45:00", "2026-04-04 12:00", 2, 2},
		{"Asia/Kolkata", "*-*-* 02:30:00", "2026-03-28 12:00", 2, 2}, // no such thing
		{"Africa/Casablanca", "*-*-* 02:30:00", "2026-03-21 12:00", 2, 1},
		{"Europe/Berlin", "*-02-29 12:00:00", "2026-01-01 00:00", 5 * 366, 1}, // 2028
		{"Europe/Berlin", "*-*-* 12:00:00", "2026-01-01 00:00", 730, 730},
	} {
		loc, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		begin, err := time.ParseInLocation("2006-01-02 15:04", c.from, loc)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprint(c.zone, " ", c.spec, " ", c.from), func(t *testing.T) {
			h := loadWith(t, Config{Location: loc}, "t.timer || OnCalendar="+c.spec+"; AccuracySec=1us", "t.service || Type=oneshot")
			h.now.Wall = begin.UnixNano()
			h.obedient = true
			h.start("t.timer")
			end := begin.AddDate(0, 0, c.days).UnixNano()
			fires := 0
			for {
				next := h.view("t.timer").NextElapse
				if next.Mono == 0 || next.Wall > end {
					break
				}
				h.advance(next.Mono - h.now.Mono - 1)
				want(h, "early", h.spawns("t.service"), fires)
				h.advance(1)
				fires++
				want(h, "spawns", h.spawns("t.service"), fires)
				h.exit("t.service", 0)
			}
			if fires != c.fires {
				t.Errorf("it elapsed %d times, want %d", fires, c.fires)
			}
		})
	}
}

// The zone changes under a waiting timer; those who asked for it elapse, those who
// asked for a clock that is set do not.
func TestTimerZoneChange(t *testing.T) {
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	h := load(t, "t.timer || OnCalendar=*-*-* 06:00:00; AccuracySec=1us", "t.service || Type=oneshot",
		"z.timer || OnTimezoneChange=yes", "z.service || Type=oneshot", "c.timer || OnClockChange=yes", "c.service || Type=oneshot")
	for _, n := range []string{"t.timer", "z.timer", "c.timer"} {
		h.start(n)
	}
	want(h, "due", h.view("t.timer").NextElapse.Mono-h.now.Mono, 6*time.Hour)
	h.tell(ClockJump{Zone: tokyo.String(), ZoneData: tokyoData})
	want(h, "due", h.view("t.timer").NextElapse.Mono-h.now.Mono, 21*time.Hour) // 06:00 there is 21:00 of the day before
	want(h, "zone", h.spawns("z.service"), 1)
	want(h, "clock", h.spawns("c.service"), 0)
	h.exit("z.service", 0)
	h.tell(ClockJump{})
	want(h, "zone", h.spawns("z.service"), 1)
	want(h, "clock", h.spawns("c.service"), 1)
	h.tell(ClockJump{Zone: "broken", ZoneData: []byte("x")})
	want(h, "due", h.view("t.timer").NextElapse.Mono-h.now.Mono, 21*time.Hour)
}

// tokyoData is a zone of tzfile(5) that is always nine hours ahead.
var tokyoData = []byte("TZif\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x7e\x90\x00\x00JST\x00")

// Only timers that asked for it wake the machine, and only while they wait.
func TestWakeDeadline(t *testing.T) {
	h := load(t, "a.timer || OnActiveSec=10; AccuracySec=1us", "a.service || Type=oneshot",
		"b.timer || OnActiveSec=30; AccuracySec=1us; WakeSystem=yes", "b.service || Type=oneshot")
	h.start("a.timer")
	h.start("b.timer")
	if at, ok := h.c.WakeDeadline(); !ok || at != h.now.Mono+30*time.Second {
		t.Errorf("wake at %v, %v", at, ok)
	}
	h.stop("b.timer")
	if at, ok := h.c.WakeDeadline(); ok {
		t.Errorf("wake at %v for nobody", at)
	}
	h.start("b.timer")
	h.advance(30 * time.Second)
	if at, ok := h.c.WakeDeadline(); ok {
		t.Errorf("wake at %v again", at)
	}
}
