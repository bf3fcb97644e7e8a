package core

import (
	"strings"
	"testing"
	"time"
)

// threeUnder makes a, b (after a) and c (after b) below a supervisor.
func threeUnder(t tb, strategy, more string) *harness {
	h := load(t, `s.sup | supervisor.strategy="`+strategy+`"`+more,
		`a.toml | service.supervisor="s"; restart.delay="1s"; restart.max-restarts=0`,
		`b.toml | service.supervisor="s"; restart.delay="1s"; restart.max-restarts=0; dependencies.after=["a.service"]`,
		`c.toml | service.supervisor="s"; restart.delay="1s"; restart.max-restarts=0; dependencies.after=["b.service"]`,
		`other.toml | restart.delay="1s"`)
	for _, u := range []string{"a.service", "b.service", "c.service", "other.service"} {
		h.start(u)
	}
	return h
}

func TestOneForOne(t *testing.T) {
	h := threeUnder(t, "one-for-one", "")
	m := h.mark()
	h.exit("b.service", 1)
	h.advance(time.Second)
	want(h, "started", h.order(m, StageStart), "b")
	h.is("a.service", "active", "b.service", "active", "c.service", "active")
}

// A group restart stops in reverse order, waits until each is really gone, then
// starts in order; siblings that it stopped did not crash.
func TestOneForAll(t *testing.T) {
	h := threeUnder(t, "one-for-all", "")
	m := h.mark()
	h.exit("b.service", 1)
	h.is("a.service", "active", "b.service", "restart-pending", "c.service", "stopping")
	h.advance(5 * time.Second) // it takes its time
	h.is("a.service", "active")
	h.exit("c.service", 1)
	h.is("a.service", "stopping", "c.service", "inactive")
	want(h, "started so far", h.order(m, StageStart), "")
	h.exit("a.service", 1)
	want(h, "started", h.order(m, StageStart), "a b c")
	h.is("a.service", "active", "b.service", "active", "c.service", "active", "other.service", "active")
	h.advance(time.Hour)
	want(h, "started", h.order(m, StageStart), "a b c")
}

// The delay is waited for even if the siblings are gone at once.
func TestOneForAllWaitsForTheDelay(t *testing.T) {
	h := threeUnder(t, "one-for-all", "")
	m := h.mark()
	h.exit("b.service", 1)
	h.exit("c.service", 0)
	h.exit("a.service", 0)
	want(h, "started", h.order(m, StageStart), "")
	h.advance(time.Second)
	want(h, "started", h.order(m, StageStart), "a b c")
}

func TestRestForOne(t *testing.T) {
	h := threeUnder(t, "rest-for-one", "")
	m := h.mark()
	h.exit("b.service", 1)
	h.is("a.service", "active", "c.service", "stopping")
	h.exit("c.service", 0)
	h.advance(time.Second)
	want(h, "started", h.order(m, StageStart), "b c")
	h.is("a.service", "active")
}

// A group restart waits for each member's readiness before the next.
func TestGroupStartsInOrderOfReadiness(t *testing.T) {
	h := load(t, `s.sup | supervisor.strategy="one-for-all"`,
		`a.toml | service.supervisor="s"; restart.delay="1s"; readiness.type="notify"`,
		`b.toml | service.supervisor="s"; restart.delay="1s"; dependencies.after=["a.service"]`)
	h.start("a.service")
	h.ready("a.service")
	h.start("b.service")
	h.exit("b.service", 1)
	h.exit("a.service", 0)
	h.advance(time.Second)
	h.is("a.service", "starting", "b.service", "restart-pending")
	h.ready("a.service")
	h.is("a.service", "active", "b.service", "active")
}

// A finished oneshot is never run again by a group restart (W31).
func TestGroupSparesFinishedOneshots(t *testing.T) {
	h := load(t, `s.sup | supervisor.strategy="one-for-all"`,
		`fsck.toml | service.supervisor="s"; service.type="oneshot"`, `mnt.toml | service.supervisor="s"; service.type="oneshot"; service.remain-after-exit=false`,
		`logd.toml | service.supervisor="s"; restart.delay="1s"`)
	for _, u := range []string{"fsck.service", "mnt.service", "logd.service"} {
		h.start(u)
	}
	h.exit("fsck.service", 0)
	h.exit("mnt.service", 0)
	m := h.mark()
	h.exit("logd.service", 1)
	h.advance(time.Second)
	want(h, "started", h.order(m, StageStart), "logd")
	h.is("fsck.service", "completed", "mnt.service", "completed")
}

// A member that somebody stops during the group restart stays down.
func TestGroupRespectsAnExplicitStop(t *testing.T) {
	h := threeUnder(t, "one-for-all", "")
	h.exit("b.service", 1)
	h.stop("a.service")
	h.exit("c.service", 0)
	h.exit("a.service", 0)
	h.advance(time.Minute)
	h.is("a.service", "inactive", "b.service", "active", "c.service", "active")
}

// A second death in the middle takes the restart over: everybody comes back.
func TestSecondDeathDuringGroupRestart(t *testing.T) {
	h := threeUnder(t, "one-for-all", "")
	h.exit("b.service", 1)
	h.exit("a.service", 1) // dies by itself before its turn to stop
	h.exit("c.service", 0)
	h.advance(2 * time.Second)
	h.advance(2 * time.Second)
	h.is("a.service", "active", "b.service", "active", "c.service", "active")
	want(h, "a", h.spawns("a.service"), 2)
	want(h, "b", h.spawns("b.service"), 2)
	want(h, "c", h.spawns("c.service"), 2)
}

// A member that dies again before the group is started in full.
func TestDeathWhileGroupStarts(t *testing.T) {
	h := load(t, `s.sup | supervisor.strategy="one-for-all"`,
		`a.toml | service.supervisor="s"; restart.delay="1s"`,
		`b.toml | service.supervisor="s"; restart.delay="1s"; dependencies.after=["a.service"]; readiness.type="notify"`,
		`c.toml | service.supervisor="s"; restart.delay="1s"; dependencies.after=["b.service"]`)
	h.start("a.service")
	h.start("b.service")
	h.ready("b.service")
	h.start("c.service")
	h.exit("c.service", 1)
	h.exit("b.service", 0)
	h.exit("a.service", 0)
	h.advance(time.Second)
	h.is("a.service", "active", "b.service", "starting", "c.service", "restart-pending")
	h.exit("a.service", 1)
	h.exit("b.service", 0)
	h.advance(5 * time.Second)
	h.ready("b.service")
	h.is("a.service", "active", "b.service", "active", "c.service", "active")
}

// Beyond its intensity a supervisor fails upwards, and the parent applies its
// own strategy to the whole sub-tree (W29).
func TestEscalationToTheParent(t *testing.T) {
	h := load(t, `p.sup | supervisor.strategy="one-for-all"`, `s.sup | supervisor.parent="p"; supervisor.max-restarts=2; supervisor.max-restart-window="60s"`,
		`a.toml | service.supervisor="s"; restart.delay="1s"; restart.delay-max="1s"; restart.max-restarts=0`, `b.toml | service.supervisor="s"`,
		`c.toml | service.supervisor="p"`, `d.toml |`)
	for _, u := range []string{"a.service", "b.service", "c.service", "d.service"} {
		h.start(u)
	}
	h.crash("a.service", 2, time.Second)
	h.is("a.service", "active", "b.service", "active")
	h.obedient = true
	m := h.mark()
	h.exit("a.service", 1)
	h.logged(m, "escalated to p")
	h.advance(time.Minute)
	h.is("a.service", "active", "b.service", "active", "c.service", "active", "d.service", "active")
	for u, n := range map[string]int{"a.service": 4, "b.service": 2, "c.service": 2, "d.service": 1} {
		want(h, u, h.spawns(u), n)
	}
}

// One-for-one above: only the failed sub-tree is restarted, all of it.
func TestEscalationOneForOneRestartsTheSubtree(t *testing.T) {
	h := load(t, `s.sup | supervisor.max-restarts=1; supervisor.max-restart-window="60s"`,
		`a.toml | service.supervisor="s"; restart.delay="1s"; restart.max-restarts=0`, `b.toml | service.supervisor="s"`, `c.toml |`)
	for _, u := range []string{"a.service", "b.service", "c.service"} {
		h.start(u)
	}
	h.crash("a.service", 1, time.Second)
	h.obedient = true
	h.exit("a.service", 1)
	h.advance(time.Minute)
	for u, n := range map[string]int{"a.service": 3, "b.service": 2, "c.service": 1} {
		want(h, u, h.spawns(u), n)
	}
	want(h, "degraded", h.c.View().Degraded(), false)
}

// Every level counts; when the root fails, it is told once, nothing is restarted,
// and what hangs on the failed group is stopped (W30).
func TestEscalationUpToTheRoot(t *testing.T) {
	h := load(t, `root.sup | supervisor.max-restarts=1; supervisor.max-restart-window="600s"`,
		`p.sup | supervisor.max-restarts=1; supervisor.max-restart-window="600s"`,
		`s.sup | supervisor.parent="p"; supervisor.max-restarts=1; supervisor.max-restart-window="600s"; supervisor.strategy="one-for-all"`,
		`a.toml | service.supervisor="s"; restart.delay="1s"; restart.delay-max="1s"; restart.max-restarts=0`, `b.toml | service.supervisor="s"`, `c.toml |`)
	h.obedient = true
	for _, u := range []string{"a.service", "b.service", "c.service"} {
		h.start(u)
	}
	m := h.mark()
	n := 0
	for ; h.state("a.service") == "active" && n < 50; n++ {
		h.exit("a.service", 1)
		h.advance(2 * time.Second)
	}
	h.is("a.service", "failed", "b.service", "inactive", "c.service", "active")
	h.because("a.service", SupervisorGaveUp)
	want(h, "degraded", h.c.View().Degraded(), true)
	told := 0
	for _, p := range find[Publish](h, m) {
		if p.What == Degraded {
			told++
		}
	}
	want(h, "told", told, 1)
	h.advance(time.Hour)
	h.is("a.service", "failed", "b.service", "inactive")
	if n > 8 {
		t.Errorf("%d restarts below three supervisors of intensity 1", n)
	}
}

// on-exhausted = "escalate" hands the service's own exhaustion to its supervisor,
// which fails upwards: the parent restarts the sub-tree.
func TestExhaustedEscalates(t *testing.T) {
	h := load(t, `s.sup | supervisor.strategy="one-for-all"`,
		`a.toml | service.supervisor="s"; restart.delay="1s"; restart.max-restarts=1; restart.on-exhausted="escalate"`, `b.toml | service.supervisor="s"`)
	h.start("a.service")
	h.start("b.service")
	h.obedient = true
	h.crash("a.service", 1, time.Second)
	want(h, "b after the first", h.spawns("b.service"), 2)
	m := h.mark()
	h.exit("a.service", 1)
	h.logged(m, "escalated")
	h.advance(time.Minute)
	h.is("a.service", "active", "b.service", "active")
	want(h, "b", h.spawns("b.service"), 3)
}

// The intensity is a sliding window.
func TestIntensitySlides(t *testing.T) {
	h := load(t, `root.sup | supervisor.max-restarts=2; supervisor.max-restart-window="60s"`,
		`a.toml | restart.delay="1s"; restart.max-restarts=0; restart.delay-max="1s"`)
	h.start("a.service")
	for range 10 {
		h.exit("a.service", 1)
		h.advance(31 * time.Second)
		h.is("a.service", "active")
	}
	h.exit("a.service", 1)
	h.advance(time.Second)
	h.exit("a.service", 1)
	h.is("a.service", "failed")
}

// The order of reports does not matter: the exits of stopped siblings may come
// before the group asks for them, doubled, or late.
func TestGroupRestartWithReportsInAnyOrder(t *testing.T) {
	h := threeUnder(t, "one-for-all", "")
	a, b, c := h.main("a.service"), h.main("b.service"), h.main("c.service")
	incs := map[string]RunID{}
	for _, u := range []string{"a", "b", "c"} {
		incs[u] = h.view(u + ".service").Incarnation
	}
	for _, id := range []RunID{c, a, b, c, a, b} {
		delete(h.procs, id)
		h.tell(Exited{Run: id, Code: 1})
	}
	for _, u := range strings.Fields("c b a c") {
		h.tell(CgroupEmpty{Unit: u + ".service", Incarnation: incs[u]})
	}
	h.advance(time.Minute)
	h.is("a.service", "active", "b.service", "active", "c.service", "active")
}
