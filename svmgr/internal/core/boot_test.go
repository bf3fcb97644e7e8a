package core

import (
	"testing"
	"time"
)

// judged says what was published about the boot since the mark.
func (h *harness) judged(from int) (n int) {
	for _, p := range find[Publish](h, from) {
		if p.What == BootJudged {
			n++
		}
	}
	return n
}

func (h *harness) boots(unit string) JobID {
	h.Helper()
	return h.do(Request{Verb: VerbStart, Unit: unit, Source: SourceBoot})
}

func (h *harness) wantBoot(s BootState) {
	h.Helper()
	want(h, "boot", h.c.View().Boot().State, s)
}

// Without units that must be up the boot is good when its jobs are over, whatever failed.
func TestBootWithoutMembers(t *testing.T) {
	h := load(t, `a.toml | service.type="oneshot"; restart.policy="no"`, `t.target | Wants=a.service`)
	h.boots("t.target")
	h.wantBoot(BootPending)
	h.exit("a.service", 1)
	h.wantBoot(BootGood)
	want(h, "said", h.judged(0), 1)
}

// With some, each must have been up for its time without a break; what else happens is no
// matter.
func TestBootMembers(t *testing.T) {
	units := []string{`a.toml | boot.success=true; boot.grace="10s"; restart.delay="1s"`, `b.toml | boot.success=true; boot.grace="3s"`,
		`c.toml | service.type="oneshot"`, `t.target | Wants=a.service b.service c.service`}
	h := load(t, units...)
	h.boots("t.target")
	h.advance(9 * time.Second)
	h.wantBoot(BootPending) // and c has not ended
	h.exit("a.service", 1)
	h.advance(time.Second)
	h.is("a.service", "active")
	h.advance(9 * time.Second)
	h.wantBoot(BootPending)
	h.rebirth()
	h.wantBoot(BootPending)
	h.advance(time.Second)
	h.wantBoot(BootGood)
	h.exit("a.service", 1)
	h.stop("b.service")
	h.rebirth()
	h.wantBoot(BootGood)
	want(h, "said", h.judged(0), 1)
}

// What is skipped, missing or failed is not up; a oneshot that is done is.
func TestBootWhatCounts(t *testing.T) {
	for _, c := range []struct {
		name, unit string
		do         func(h *harness)
		want       BootState
	}{
		{"oneshot", `a.toml | boot.success=true; service.type="oneshot"`, func(h *harness) { h.exit("a.service", 0) }, BootGood},
		{"oneshot that rests", `a.toml | boot.success=true; service.type="oneshot"; service.remain-after-exit=false`, func(h *harness) { h.exit("a.service", 0) }, BootGood},
		{"oneshot that runs", `a.toml | boot.success=true; service.type="oneshot"`, func(h *harness) {}, BootPending},
		{"failed", `a.toml | boot.success=true; service.type="oneshot"; restart.policy="no"`, func(h *harness) { h.exit("a.service", 1) }, BootPending},
		{"skipped", `a.toml | boot.success=true; conditions.path-exists="/x"`, func(h *harness) { h.conditions("a.service", false) }, BootPending},
		{"not ready", `a.toml | boot.success=true; service.type="notify"; readiness.timeout="1h"`, func(h *harness) {}, BootPending},
		{"ready", `a.toml | boot.success=true; service.type="notify"`, func(h *harness) { h.ready("a.service") }, BootGood},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := load(t, c.unit)
			h.boots("a.service")
			c.do(h)
			h.advance(29 * time.Second)
			h.wantBoot(BootPending)
			h.advance(2 * time.Second)
			h.wantBoot(c.want)
		})
	}
}

// A verdict from outside holds; PID 1's only while there is none. Nobody is judged while
// everything is stopped.
func TestBootMarked(t *testing.T) {
	h := load(t, `a.toml | boot.success=true; boot.grace="1s"`)
	h.boots("a.service")
	h.tell(BootMarked{Late: true})
	h.wantBoot(BootBad)
	h.advance(time.Minute)
	h.wantBoot(BootBad)
	h.tell(BootMarked{Good: true})
	h.wantBoot(BootGood)
	h.tell(BootMarked{Late: true})
	h.wantBoot(BootGood)
	h.tell(BootMarked{})
	h.wantBoot(BootBad)
	want(h, "said", h.judged(0), 3)

	h = load(t, `a.toml | boot.success=true; boot.grace="10s"; shutdown.stop-timeout="1min"`)
	h.boots("a.service")
	h.tell(ShutdownRequested{Kind: Reboot})
	h.advance(30 * time.Second)
	h.wantBoot(BootPending)
	h.tell(BootMarked{Late: true}) // the machine was switched off in time
	h.wantBoot(BootPending)
}

// A reload may change what is asked for.
func TestBootReload(t *testing.T) {
	h := load(t, `a.toml | boot.success=true; boot.grace="10s"`, `b.toml | boot.success=true`)
	h.boots("a.service")
	h.advance(20 * time.Second)
	h.wantBoot(BootPending)
	h.reloadUnits(false, `a.toml | boot.success=true; boot.grace="10s"`, `b.toml | `)
	h.wantBoot(BootGood)
}
