package core

import (
	"testing"
	"time"
)

// Stops go in reverse order of the starts; the hand-over comes once, at the end,
// with the kind that was asked for last.
func TestShutdownOrder(t *testing.T) {
	h := load(t, "a.service ||", "b.service | After=a.service |", "c.service | Wants=b.service; After=b.service |", "data.mount | Before=a.service |", "done.service || Type=oneshot; RemainAfterExit=yes; ExecStop=/bin/undo")
	h.tell(MountChanged{Unit: "data.mount", Mounted: true})
	for _, u := range []string{"a.service", "b.service", "c.service", "done.service"} {
		h.start(u)
	}
	h.exit("done.service", 0)
	m := h.mark()
	h.shutdown(Poweroff)
	h.asked[71] = 0
	h.tell(ShutdownRequested{Kind: Reboot, Request: 71}) // answered: checkReplies
	h.command("done.service", 0)
	for _, u := range []string{"c.service", "b.service", "a.service"} {
		h.is(u, "stopping")
		h.exit(u, 0)
	}
	want(h, "hand-overs", len(find[HandOver](h, m)), 0)
	h.command("data.mount", 0)
	h.tell(MountChanged{Unit: "data.mount"})
	ho := find[HandOver](h, m)
	if len(ho) != 1 || ho[0].Kind != Reboot {
		t.Errorf("hand-overs %v, want one for reboot", ho)
	}
}

// Finit: a stop script without end, a service that ignores everything, and one
// that cannot even be killed do not keep the machine up.
func TestShutdownIsBounded(t *testing.T) {
	h := loadWith(t, Config{ShutdownTimeout: 60 * time.Second}, "a.service || ExecStop=/bin/hangs; TimeoutStopSec=infinity",
		"b.service || TimeoutStopSec=infinity", "c.service || Type=notify; TimeoutStartSec=infinity; TimeoutStopSec=infinity", "d.service | After=a.service |")
	h.start("a.service")
	h.start("b.service")
	h.start("c.service")
	m := h.mark()
	h.shutdown(Reboot)
	h.advance(60*time.Second - 1)
	want(h, "kills", len(find[KillCgroup](h, m)), 0)
	h.advance(1)
	want(h, "kills", len(find[KillCgroup](h, m)), 3)
	want(h, "hand-overs", len(find[HandOver](h, m)), 0)
	h.advance(5 * time.Second)
	want(h, "hand-overs", len(find[HandOver](h, m)), 1)
	h.advance(time.Hour)
	want(h, "hand-overs", len(find[HandOver](h, m)), 1)
}

// With nothing running the hand-over comes at once.
func TestShutdownOfNothing(t *testing.T) {
	h := load(t, "a.service ||")
	h.shutdown(Halt)
	want(h, "hand-overs", len(find[HandOver](h, 0)), 1)
	h.refused("ShuttingDown", Request{Verb: VerbStart, Unit: "a.service"})
	if at, ok := h.c.Deadline(); ok && at-h.now.Mono > 60*time.Second {
		t.Errorf("something is due in %v after the hand-over", at-h.now.Mono)
	}
}

// Pending restarts, dormant units, group restarts and queued jobs end with the
// shutdown; conditions that are being asked start nothing any more.
func TestShutdownEndsEverythingPending(t *testing.T) {
	h := load(t, `r.toml | restart.delay="5s"`, `g.sup | supervisor.strategy="one-for-all"`,
		`x.toml | service.supervisor="g"; restart.delay="1s"`, `y.toml | service.supervisor="g"`,
		`d.toml | restart.max-restarts=1; restart.delay="1s"; restart.on-exhausted="dormant"`,
		"c.service | ConditionPathExists=/x |", "f.service | OnFailure=x.service |")
	for _, u := range []string{"r.service", "x.service", "y.service", "d.service", "f.service", "c.service"} {
		h.start(u)
	}
	h.crash("d.service", 1, time.Second)
	h.exit("d.service", 1)
	h.exit("r.service", 1)
	h.exit("x.service", 1)
	h.is("r.service", "restart-pending", "d.service", "dormant", "x.service", "restart-pending", "y.service", "stopping")
	probe := h.probe("c.service", ProbeConditions)
	m := h.mark()
	h.shutdown(Poweroff)
	h.tell(ProbeResult{Run: probe, Held: []bool{true}})
	h.exit("y.service", 0)
	h.exit("f.service", 1)
	want(h, "hand-overs", len(find[HandOver](h, m)), 1)
	h.advance(time.Hour)
	want(h, "spawned", len(find[Spawn](h, m)), 0)
}

// A restart whose stop half is under way ends as a stop.
func TestShutdownDuringRestart(t *testing.T) {
	h := load(t, "a.service ||")
	h.start("a.service")
	h.restart("a.service")
	h.shutdown(Reboot)
	h.exit("a.service", 0)
	h.is("a.service", "inactive")
	want(h, "hand-overs", len(find[HandOver](h, 0)), 1)
	want(h, "spawns", h.spawns("a.service"), 1)
}

// Stop jobs of the shutdown cannot be cancelled or replaced.
func TestShutdownIsIrreversible(t *testing.T) {
	h := load(t, "a.service ||")
	h.start("a.service")
	h.shutdown(Reboot)
	j := h.view("a.service").Job
	h.refused("ShuttingDown", Request{Verb: VerbCancel, Job: j})
	h.refused("ShuttingDown", Request{Verb: VerbRestart, Unit: "a.service"})
	h.wantResult(j, "")
}

// A crash of the manager in the middle does not lose the shutdown.
func TestShutdownSurvivesTheManager(t *testing.T) {
	h := load(t, "a.service ||", "b.service | After=a.service |")
	h.start("a.service")
	h.start("b.service")
	h.shutdown(Reboot)
	h.rebirth(Exited{Run: h.main("b.service"), Code: 0})
	h.is("b.service", "inactive", "a.service", "stopping")
	h.exit("a.service", 0)
	ho := find[HandOver](h, 0)
	if len(ho) != 1 || ho[0].Kind != Reboot {
		t.Errorf("hand-overs %v, want one for reboot", ho)
	}
}
