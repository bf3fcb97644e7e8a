package core

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

// made is a unit without a file, as clients and Accept=yes sockets make them.
func made(h *harness, text string) Loaded {
	h.Helper()
	u := *buildUnit(h.tb, text)
	u.Path = ""
	return Loaded{Units: append(h.set.Units[:0:0], &u)}
}

// known says that the unit is in memory, not only a name that others use.
func known(h *harness, name string) bool {
	u, ok := h.c.View().Unit(name)
	return ok && u.Defined != nil
}

// A transient unit that ended well is forgotten; its job can still be asked for.
func TestTransientUnitIsForgotten(t *testing.T) {
	h := load(t, "a.service ||")
	h.tell(made(h, "run-1.service ||"))
	j := h.start("run-1.service")
	m := h.mark()
	h.exit("run-1.service", 0)
	h.advance(10 * time.Second)
	want(h, "known", known(h, "run-1.service"), false)
	removed := 0
	for _, p := range find[Publish](h, m) {
		if p.What == UnitRemoved && p.Unit == "run-1.service" {
			removed++
		}
	}
	want(h, "told", removed, 1)
	v, ok := h.c.View().Job(j)
	want(h, "job", fmt.Sprintf("%s %s %v", v.Unit, v.Result, ok), "run-1.service done true")
	h.advance(2 * time.Minute)
	want(h, "files stay", known(h, "a.service"), true)
}

// systemd.unit(5), CollectMode=: a failed one stays until it is reset, unless it
// says inactive-or-failed.
func TestCollectMode(t *testing.T) {
	h := load(t, "a.service ||")
	h.tell(made(h, "run-1.service ||"))
	h.tell(made(h, "run-2.service | CollectMode=inactive-or-failed |"))
	for _, u := range []string{"run-1.service", "run-2.service"} {
		h.start(u)
		h.exit(u, 1)
	}
	h.advance(time.Minute)
	want(h, "run-1", known(h, "run-1.service"), true)
	want(h, "run-2", known(h, "run-2.service"), false)
	h.reset("run-1.service")
	h.advance(time.Minute)
	want(h, "run-1 after reset", known(h, "run-1.service"), false)
}

// The same name can be used again, with other settings; late reports about the
// first one mean nothing.
func TestTransientNameIsUsedAgain(t *testing.T) {
	h := load(t, "a.service ||")
	h.tell(made(h, "run-1.service || ExecStart=/bin/one"))
	h.start("run-1.service")
	old := h.main("run-1.service")
	inc := h.view("run-1.service").Incarnation
	h.exit("run-1.service", 0)
	h.advance(10 * time.Second)
	h.tell(made(h, "run-1.service | After=a.service | ExecStart=/bin/two"))
	m := h.mark()
	h.start("run-1.service")
	want(h, "command", find[Spawn](h, m)[0].Exec.Path, "/bin/two")
	h.tell(Exited{Run: old, Code: 1})
	h.tell(CgroupEmpty{Unit: "run-1.service", Incarnation: inc})
	h.is("run-1.service", "active")
}

// What others still need, or what still runs or waits, is not forgotten.
func TestNothingNeededIsForgotten(t *testing.T) {
	h := load(t, "s.socket || ListenStream=/run/s; Accept=yes")
	h.start("s.socket")
	h.tell(made(h, "run-1.service | Wants=run-2.service; After=run-2.service | Restart=always; RestartSec=30"))
	h.tell(made(h, "run-2.service || Type=oneshot; RemainAfterExit=yes"))
	h.start("run-1.service")
	h.advance(10 * time.Second)
	h.is("run-1.service", "inactive", "run-2.service", "starting") // its job waits
	h.exit("run-2.service", 0)
	h.is("run-1.service", "active")
	h.exit("run-1.service", 1)
	h.advance(10 * time.Second)
	h.is("run-1.service", "restart-pending")
	h.advance(20 * time.Second)
	h.is("run-1.service", "active")
	h.is("run-2.service", "completed/exited")
}

// Somebody who will still ask about a unit keeps it, also through a new manager, and
// no longer than that.
func TestReferredUnitStays(t *testing.T) {
	h := load(t, "a.service ||")
	h.tell(made(h, "run-1.service ||"))
	h.tell(Request{ID: 900, Verb: VerbRef, Unit: "run-1.service"})
	h.start("run-1.service")
	h.exit("run-1.service", 0)
	h.advance(time.Hour)
	want(h, "kept", known(h, "run-1.service"), true)
	h.tell(Request{ID: 901, Verb: VerbUnref, Unit: "run-1.service"})
	h.advance(time.Second)
	want(h, "known", known(h, "run-1.service"), false)
	h.tell(Request{ID: 902, Verb: VerbUnref, Unit: "a.service"})
	want(h, "files stay", known(h, "a.service"), true)
}

// What was made together with a transient timer is forgotten with it.
func TestAuxiliariesGoWithTheirTimer(t *testing.T) {
	h := load(t)
	timer, service := buildUnit(t, "t.timer || [Timer];OnActiveSec=5s;RemainAfterElapse=no"), buildUnit(t, "t.service || ")
	timer.Path, service.Path = "", ""
	h.tell(Loaded{Units: []*unit.Unit{timer, service}})
	h.start("t.timer")
	h.is("t.timer", "active/waiting")
	h.stop("t.timer")
	for _, name := range []string{"t.timer", "t.service"} {
		if u, ok := h.c.View().Unit(name); ok && u.Defined != nil {
			t.Errorf("%s is there still", name)
		}
	}
}

// What was loaded because somebody asked for it is held while that one looks, and no
// longer; what others need stays with them, in rings too.
func TestLoadedOnDemandIsForgotten(t *testing.T) {
	h := load(t, "a.service ||", "f.service | Wants=x@1.service |")
	load := func(hold bool, texts ...string) {
		var us []*unit.Unit
		for _, text := range texts {
			us = append(us, buildUnit(t, text))
		}
		h.tell(Loaded{Units: us, Hold: hold})
	}
	load(true, "x@2.service | BindsTo=dev-x2.device; After=none.service | Slice=x-y.slice")
	want(h, "held", known(h, "x@2.service"), true)
	load(true, "x@2.service |")
	h.tell(Released{Names: []string{"x@2.service"}})
	want(h, "held by one more", known(h, "x@2.service"), true)
	h.tell(Released{Names: []string{"x@2.service"}})
	for _, name := range []string{"x@2.service", "dev-x2.device", "none.service", "x-y.slice", "x.slice"} {
		want(h, name, known(h, name), false)
	}
	h.tell(Released{Names: []string{"x@2.service"}}) // nobody holds it: nothing happens

	load(false, "x@1.service ||")
	want(h, "asked for by a file", known(h, "x@1.service"), true)

	load(true, "y@1.service | Wants=y@2.service |", "y@2.service | Wants=y@1.service |")
	h.start("y@2.service")
	h.tell(Released{Names: []string{"y@1.service", "y@2.service"}})
	want(h, "asked for by what runs", known(h, "y@1.service"), true)
	for _, name := range []string{"y@1.service", "y@2.service"} {
		h.stop(name)
		h.exit(name, 0)
	}
	want(h, "ring", fmt.Sprint(known(h, "y@1.service"), known(h, "y@2.service")), "false false")
}

// A reference outlives a reload, a hold does not outlive the manager.
func TestHeldThroughReload(t *testing.T) {
	h := load(t, "a.service ||")
	h.tell(Loaded{Hold: true, Units: []*unit.Unit{buildUnit(t, "x@1.service ||"), buildUnit(t, "x@2.service ||")}})
	h.tell(Request{ID: 900, Verb: VerbRef, Unit: "x@2.service"})
	h.tell(Released{Names: []string{"x@2.service"}})
	h.tell(Reloaded{Set: h.set})
	want(h, "held, referred to", fmt.Sprint(known(h, "x@1.service"), known(h, "x@2.service")), "true true")
	h.tell(ManagerRestored{})
	want(h, "after a restart", fmt.Sprint(known(h, "x@1.service"), known(h, "x@2.service")), "false true")
}

// InUse is what systemd would have loaded: what is up or failed, and what that asks for.
func TestInUse(t *testing.T) {
	h := load(t, "a.service | Wants=b.service; After=none.service | RemainAfterExit=yes", "b.service ||", "c.service | After=a.service |",
		"t.timer || [Timer];OnActiveSec=1h", "t.service ||")
	inUse := func() (out []string) {
		v := h.c.View()
		for k, in := range v.InUse() {
			if name := v.Graph().Name(graph.Index(k)); in && name[0] != '-' && name != "system.slice" {
				out = append(out, name)
			}
		}
		slices.Sort(out)
		return out
	}
	want(h, "at rest", fmt.Sprint(inUse()), "[]")
	h.start("a.service")
	want(h, "up", fmt.Sprint(inUse()), "[a.service b.service none.service]")
	h.stop("a.service")
	h.exit("a.service", 0)
	h.start("c.service")
	h.exit("c.service", 1)
	want(h, "failed", fmt.Sprint(inUse()), "[a.service b.service c.service none.service]")
	h.reset("c.service")
	want(h, "reset", fmt.Sprint(inUse()), "[b.service]")
}

// What comes with a unit that a client made stays until that is gone, started or not.
func TestLoadedWithATransientUnit(t *testing.T) {
	h := load(t)
	m := made(h, "run-1.service | Wants=x@1.service |")
	m.Units = append(m.Units, buildUnit(t, "x@1.service | Requires=x@2.service | Type=oneshot"), buildUnit(t, "x@2.service || Type=oneshot"))
	h.tell(m)
	both := func() string { return fmt.Sprint(known(h, "x@1.service"), known(h, "x@2.service")) }
	want(h, "before it is started", both(), "true true")
	h.start("run-1.service")
	for _, name := range []string{"x@2.service", "x@1.service", "run-1.service"} {
		h.exit(name, 0)
	}
	h.advance(10 * time.Second)
	want(h, "transient", known(h, "run-1.service"), false)
	want(h, "with it", both(), "false false")
}
