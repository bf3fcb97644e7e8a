package core

import (
	"strings"
	"testing"
	"time"
)

// What happens to the clocks between two looks at a timer, and how often its service
// was started by then: "pass" lets time go by, "sleep" suspends the machine, so that
// nothing is seen until it wakes, "set" changes the wall clock alone. All begin on
// 2026-01-01 at 00:00 UTC. Never early, and once when missed.
func TestTimersAndClocks(t *testing.T) {
	type step struct {
		do    string
		fires int
	}
	for _, x := range []struct {
		what, timer string
		steps       []step
	}{
		{"forward over one", "OnCalendar=*-*-* 06:00", []step{{"set +7h", 1}, {"pass 22h59m59s", 1}, {"pass 1s", 2}}},
		{"forward over three days", "OnCalendar=*-*-* 06:00", []step{{"set +78h", 1}, {"pass 23h59m", 1}, {"pass 1m", 2}}},
		{"forward to the moment", "OnCalendar=*-*-* 06:00", []step{{"set +6h", 1}, {"pass 12h", 1}}},
		{"forward to just before it", "OnCalendar=*-*-* 06:00", []step{{"set +5h59m59s", 0}, {"pass 999ms", 0}, {"pass 1ms", 1}}},
		{"back before it was due", "OnCalendar=*-*-* 06:00", []step{{"pass 5h", 0}, {"set -3h", 0}, {"pass 3h59m59s", 0}, {"pass 1s", 1}}},
		{"back to another day", "OnCalendar=*-*-* 06:00", []step{{"pass 7h", 1}, {"set -240h", 1}, {"pass 22h59m", 1}, {"pass 1m", 2}}},
		{"back by a correction", "OnCalendar=*-*-* 06:00", []step{{"pass 6h", 1}, {"set -2s", 1}, {"pass 1h", 1}, {"pass 22h59m", 1}, {"pass 1m2s", 2}}},
		{"back by many corrections", "OnCalendar=*:0/10", []step{{"pass 10m", 1}, {"set -1s", 1}, {"pass 1s", 1}, {"set -5m", 1}, {"pass 10m", 1}, {"pass 5m", 2}}},
		{"forth and back", "OnCalendar=*-*-* 06:00", []step{{"set +5h", 0}, {"set -5h", 0}, {"set +5h30m", 0}, {"pass 29m59s", 0}, {"pass 1s", 1}, {"set +24h", 2}, {"set -48h", 2},
			{"pass 23h59m59s", 2}, {"pass 1s", 3}}},
		{"a dead battery, then the right time", "OnCalendar=hourly", []step{{"set -480000h", 0}, {"pass 59m", 0}, {"set +480000h", 0}, {"pass 1m", 1}, {"pass 1h", 2}}},
		{"asleep over one", "OnCalendar=*-*-* 06:00", []step{{"sleep 8h", 1}, {"pass 21h59m", 1}, {"pass 1m", 2}}},
		{"asleep for a week", "OnCalendar=hourly", []step{{"sleep 168h", 1}, {"pass 59m", 1}, {"pass 1m", 2}}},
		{"asleep and awake before it", "OnCalendar=*-*-* 06:00", []step{{"sleep 5h59m59s", 0}, {"pass 1s", 1}}},
		{"asleep, and the clock was wrong", "OnCalendar=*-*-* 06:00", []step{{"sleep 8h", 1}, {"set -4h", 1}, {"pass 1h59m", 1}, {"pass 1m", 2}}},
		{"spans do not follow the wall clock", "OnActiveSec=1h", []step{{"set +100h", 0}, {"set -200h", 0}, {"pass 59m59s", 0}, {"pass 1s", 1}, {"set +1h", 1}, {"pass 48h", 1}}},
		{"spans count sleep", "OnActiveSec=1h", []step{{"sleep 59m59s", 0}, {"sleep 1h", 1}, {"sleep 10h", 1}}},
		{"a span and a date", "OnActiveSec=1h; OnCalendar=*-*-* 06:00", []step{{"set +5h30m", 0}, {"pass 30m", 1}, {"pass 30m", 2}, {"pass 22h", 2}, {"pass 2h", 3}}},
		{"a leap day", "OnCalendar=*-02-29 12:00", []step{{"set +18924h", 0}, {"pass 23h59m", 0}, {"pass 1m", 1}, {"pass 35063h59m", 1}, {"pass 1m", 2}}},
		{"the last of February", "OnCalendar=*-02~01 00:00", []step{{"pass 1391h", 0}, {"pass 1h", 1}, {"set +18264h", 2}}},
		{"persistent over sleep", "OnCalendar=*-*-* 06:00; Persistent=yes", []step{{"sleep 200h", 1}, {"pass 21h", 1}, {"pass 1h", 2}}},
	} {
		t.Run(x.what, func(t *testing.T) {
			lines := strings.Split(x.timer, ";")
			lines = append(lines, "AccuracySec=1us")
			h := loadWith(t, Config{Location: time.UTC}, "t.timer || [Timer];"+strings.Join(lines, ";"), "t.service || Type=oneshot")
			h.now.Wall = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
			h.obedient = true
			h.start("t.timer")
			done := 0
			settle := func() {
				if n := h.spawns("t.service"); n > done {
					done = n
					h.exit("t.service", 0)
				}
			}
			for _, s := range x.steps {
				word, span, _ := strings.Cut(s.do, " ")
				d, err := time.ParseDuration(span)
				if err != nil {
					t.Fatal(err)
				}
				switch word {
				case "set":
					h.now.Wall += int64(d)
					h.tell(ClockJump{})
				case "sleep":
					h.moveTo(h.now.Mono + d)
					h.tell(Tick{})
				case "pass": // to each deadline, so that a run ends before the next begins
					to := h.now.Mono + d
					for {
						at, ok := h.c.Deadline()
						if !ok || at > to {
							break
						}
						h.advance(max(at-h.now.Mono, 0))
						settle()
					}
					h.advance(to - h.now.Mono)
				}
				settle()
				if done != s.fires {
					t.Fatalf("after %q it has run %d times, want %d; it is %v", s.do, done, s.fires, time.Unix(0, h.now.Wall).UTC())
				}
			}
		})
	}
}
