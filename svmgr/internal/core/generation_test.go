package core

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"dynamod/internal/unit"
)

// What did not change is not disturbed; what changed counts at the next start.
func TestReloadChangesOnlyTheNextStart(t *testing.T) {
	h := load(t, "a.service ||", "b.service || Restart=always; RestartSec=1", "c.service || Type=notify")
	h.start("a.service")
	h.start("b.service")
	j := h.start("c.service")
	m := h.mark()
	h.reloadUnits(false, "a.service ||", "b.service || ExecStart=/bin/new; Restart=always; RestartSec=1", "c.service || Type=notify", "d.service ||")
	h.is("a.service", "active", "b.service", "active", "c.service", "starting", "d.service", "inactive")
	want(h, "signals", len(find[Signal](h, m)), 0)
	want(h, "spawned", len(find[Spawn](h, m)), 0)
	h.ready("c.service") // runs and jobs go on
	h.wantResult(j, "done")
	h.exit("b.service", 1)
	h.advance(time.Second)
	want(h, "new command", find[Spawn](h, m)[0].Exec.Path, "/bin/new")
	h.wantResult(h.start("d.service"), "done")
}

// Limits are files of the group of what runs: a reload puts those of the new files into
// force, takes back what is there no more (`systemctl revert`), and keeps account of
// them while other settings wait for the next start.
func TestReloadChangesLimits(t *testing.T) {
	h := load(t, "a.service || CPUWeight=50", "b.service || MemoryMax=1M", "rest.service || CPUWeight=50", "same.service || CPUWeight=50", "x.slice || TasksMax=5")
	for _, n := range []string{"a.service", "b.service", "same.service"} {
		h.start(n)
	}
	changes := func(from int) string {
		var out []string
		for _, a := range find[Reconfigure](h, from) {
			text := func(u *unit.Unit) string {
				return fmt.Sprint(unit.Texts(unit.CPUWeight.Setting(), u.Value(unit.CPUWeight.Setting())),
					unit.Texts(unit.MemoryMax.Setting(), u.Value(unit.MemoryMax.Setting())), unit.Texts(unit.TasksMax.Setting(), u.Value(unit.TasksMax.Setting())))
			}
			out = append(out, a.To.Name+" "+text(a.From)+"→"+text(a.To))
		}
		return strings.Join(out, "; ")
	}
	m := h.mark()
	h.reloadUnits(false, "a.service ||", "b.service || ExecStart=/bin/new; MemoryMax=2M", "rest.service || CPUWeight=60", "same.service || CPUWeight=50", "x.slice || TasksMax=6")
	want(h, "changes", changes(m), "a.service [50] [infinity] []→[] [infinity] []; b.service [] [1M] []→[] [2M] []; x.slice [] [infinity] [5]→[] [infinity] [6]")
	want(h, "a.service runs with", h.view("a.service").Unit == h.view("a.service").Defined, true)
	m = h.mark()
	h.reloadUnits(false, "a.service ||", "b.service || ExecStart=/bin/new", "rest.service || CPUWeight=60", "same.service || CPUWeight=50", "x.slice || TasksMax=6")
	want(h, "changes", changes(m), "b.service [] [2M] []→[] [infinity] []")
	m = h.mark()
	h.reloadUnits(false, "a.service || CPUWeight=70", "b.service ||", "rest.service ||", "same.service ||", "x.slice || TasksMax=6")
	want(h, "changes", changes(m), "a.service [] [infinity] []→[70] [infinity] []; same.service [50] [infinity] []→[] [infinity] []")
	// A unit that is masked while it runs keeps its limits.
	h.set = buildSet(t, "a.service ||", "b.service ||", "rest.service ||", "same.service ||", "x.slice || TasksMax=6")
	masked, _ := h.set.Find("a.service")
	masked.Load = unit.Masked
	m = h.mark()
	h.tell(Reloaded{Set: h.set})
	want(h, "changes", changes(m), "")
}

// A unit whose file is gone goes on, is not restarted, and disappears at its end.
func TestReloadRemovesUnits(t *testing.T) {
	h := load(t, "a.service || Restart=always; RestartSec=1", "b.service ||", "idle.service ||")
	h.start("a.service")
	h.start("b.service")
	h.reloadUnits(false, "b.service ||")
	h.is("a.service", "active")
	if _, ok := h.c.View().Unit("idle.service"); ok {
		t.Error("a unit at rest without a file is still there")
	}
	h.exit("a.service", 1)
	h.advance(time.Hour)
	want(h, "spawns", h.spawns("a.service"), 1)

	h = load(t, "a.service ||", "b.service ||")
	h.start("a.service")
	h.start("b.service")
	h.reloadUnits(true, "b.service ||")
	h.is("a.service", "stopping", "b.service", "active")
	h.because("a.service", ByReload)
}

// New dependencies hold for stops of what already runs (W44).
func TestReloadRebuildsTheOrder(t *testing.T) {
	h := load(t, "a.service ||", "b.service ||")
	h.start("a.service")
	h.start("b.service")
	h.reloadUnits(false, "a.service ||", "b.service | Requires=a.service; After=a.service |")
	h.stop("a.service")
	h.is("a.service", "active", "b.service", "stopping")
	h.exit("b.service", 0)
	h.is("a.service", "stopping")
}

// A missing dependency is resolved live by a reload.
func TestReloadUnblocks(t *testing.T) {
	const a = `a.toml | dependencies.requires=["dep.service"]; dependencies.after=["dep.service"]`
	h := load(t, a, "dep.service | ConditionPathExists=/x |")
	j := h.start("a.service")
	h.conditions("dep.service", false)
	h.wantResult(j, "done") // skipped satisfies

	h = load(t, a, "dep.service ||")
	h.noExec["dep.service"] = true
	h.start("a.service")
	h.spawnFailed("dep.service", "exec", 2)
	h.is("a.service", "blocked")
	h.because("a.service", DependencyFailed)
	h.noExec["dep.service"] = false
	h.start("dep.service")
	h.is("dep.service", "active", "a.service", "active")
	h.stop("a.service")
	h.exit("a.service", 0)
	h.is("a.service", "inactive")
}

// Waiting jobs, deadlines and group restarts go on over a reload.
func TestReloadInTheMiddle(t *testing.T) {
	units := []string{`s.sup | supervisor.strategy="one-for-all"`, `a.toml | service.supervisor="s"; restart.delay="3s"`,
		`b.toml | service.supervisor="s"; dependencies.after=["a.service"]`, "w.service | After=n.service |", "n.service || Type=notify; TimeoutStartSec=10"}
	h := load(t, units...)
	h.start("a.service")
	h.start("b.service")
	h.start("n.service")
	jw := h.start("w.service")
	h.exit("a.service", 1)
	more := append([]string{"0new.service ||"}, units...) // shifts all indices
	h.reloadUnits(false, more...)
	h.exit("b.service", 0)
	h.reloadUnits(false, units...)
	h.advance(3 * time.Second)
	h.is("a.service", "active", "b.service", "active", "w.service", "inactive")
	h.advance(7 * time.Second)
	h.is("n.service", "stopping") // its start timeout still held
	h.exit("n.service", 0)
	h.wantResult(jw, "done")
}

// Units that clients make while the manager runs.
func TestLoadedLater(t *testing.T) {
	h := load(t, "a.service ||")
	h.start("a.service")
	h.tell(Loaded{Hold: true, Units: append(h.set.Units[:0:0], buildUnit(t, "run-1.service | Requires=a.service; After=a.service |"), buildUnit(t, "a.service || ExecStart=/bin/other"))})
	told := 0
	for _, p := range find[Publish](h, 0) {
		if p.What == UnitNew && p.Unit == "run-1.service" {
			told++
		}
	}
	want(h, "told", told, 1)
	h.start("run-1.service")
	h.is("run-1.service", "active", "a.service", "active")
	want(h, "a keeps its command", find[Spawn](h, 0)[0].Exec.Path, "/bin/a")
	h.stop("a.service")
	h.is("run-1.service", "stopping")
}

// Limits of what runs may change; anything else waits for the next start, and a
// change of both waits whole.
func TestSettingsThatChangeWhileItRuns(t *testing.T) {
	h := load(t, "a.service ||")
	h.start("a.service")
	tell := func(text string) (now UnitView) {
		h.tell(Loaded{Hold: true, Units: append(h.set.Units[:0:0], buildUnit(t, text))})
		now, _ = h.c.View().Unit("a.service")
		return now
	}
	if v := tell("a.service || MemoryMax=1M"); v.Unit != v.Defined || !unit.MemoryMax.IsSet(v.Unit) {
		t.Error("a limit does not change while the unit runs")
	}
	if v := tell("a.service || MemoryMax=2M; Nice=5"); unit.Nice.IsSet(v.Defined) || unit.MemoryMax.Of(v.Defined).N != 1<<20 {
		t.Error("a setting that counts from the next start changed while the unit runs")
	}
	h.is("a.service", "active")
	h.stop("a.service")
	h.exit("a.service", 0)
	if v := tell("a.service || Nice=5"); !unit.Nice.IsSet(v.Defined) {
		t.Error("a unit at rest keeps its old settings")
	}
}

// A snapshot in the middle of anything goes on as if nothing had happened
// (invariant f): the same events give the same actions.
func TestSnapshotGivesTheSameFuture(t *testing.T) {
	units := []string{"db.service || Type=notify; Restart=always; RestartSec=2; ExecStop=/bin/stop", "app.service | Requires=db.service; After=db.service | Restart=on-failure",
		`n.toml | restart.max-restarts=3; restart.delay="1s"; restart.on-exhausted="dormant"`, "t.timer || OnActiveSec=5; OnUnitInactiveSec=7", "t.service || Type=oneshot",
		"s.socket || ListenStream=/run/s", "s.service ||", "m.mount || TimeoutSec=5", "w.service || WatchdogSec=9; Type=notify"}
	for seed := range uint64(60) {
		dice := rand.New(rand.NewPCG(seed, 1))
		h := load(t, units...)
		twin := (*Core)(nil)
		step := func(ev Event) {
			if twin == nil {
				h.tell(ev)
				return
			}
			a, b := h.c.Step(h.now, ev, nil), twin.Step(h.now, ev, nil)
			if x, y := fmt.Sprintf("%T%+v", a, a), fmt.Sprintf("%T%+v", b, b); x != y {
				t.Fatalf("seed %d, %T: the core does\n%s\nthe restored one\n%s", seed, ev, x, y)
			}
			for _, x := range a {
				h.acts = append(h.acts, x)
				h.record(x)
			}
		}
		for n := range 120 {
			if n == 60 {
				var err error
				if twin, err = Restore(h.set, h.g, h.cfg, h.c.Snapshot()); err != nil {
					t.Fatal(err)
				}
				ev := restoredAll(h)
				h.todo = nil
				_ = twin.Step(h.now, ev, nil)
				if !bytes.Equal(h.c.Snapshot(), twin.Snapshot()) {
					t.Fatalf("seed %d: the restored core differs:\n%s\n%s", seed, h.c.Snapshot(), twin.Snapshot())
				}
			}
			step(randomEvent(h, dice))
			for len(h.todo) > 0 && twin != nil {
				ev := h.todo[0]
				h.todo = h.todo[1:]
				step(ev)
			}
		}
	}
}

// restoredAll says that everything that lived still lives.
func restoredAll(h *harness) ManagerRestored {
	var ev ManagerRestored
	h.c.View().Runs(func(id RunID, u string, _ Role, _ Stage, process bool) bool {
		if process {
			ev.Alive = append(ev.Alive, id)
		}
		return true
	})
	h.c.View().Units(func(u UnitView) bool { ev.Populated = append(ev.Populated, u.Name); return true })
	return ev
}

// randomEvent is one plausible thing that may happen next.
func randomEvent(h *harness, dice *rand.Rand) Event {
	names := []string{"db.service", "app.service", "n.service", "t.timer", "s.socket", "m.mount", "w.service", "s.service"}
	name := names[dice.IntN(len(names))]
	h.nextQ++
	switch dice.IntN(9) {
	case 0, 1:
		return Request{ID: h.nextQ, Verb: VerbStart, Unit: name}
	case 2:
		return Request{ID: h.nextQ, Verb: VerbStop, Unit: name}
	case 3:
		return Request{ID: h.nextQ, Verb: VerbRestart, Unit: name}
	case 4:
		u := h.view(name)
		return Notified{Unit: name, Incarnation: u.Incarnation, Run: u.Main, Notification: Notification{Ready: true}}
	case 5, 6:
		u := h.view(name)
		id := u.Main
		if id == 0 {
			id = u.Control
		}
		if id != 0 {
			h.end(id, Exited{Run: id, Code: int32(dice.IntN(2))})
			ev := h.todo[len(h.todo)-1]
			if _, ok := ev.(CgroupEmpty); ok {
				h.todo = append(h.todo[:len(h.todo)-2], ev)
			} else {
				h.todo = h.todo[:len(h.todo)-1]
			}
			return Exited{Run: id, Code: int32(dice.IntN(2))}
		}
		return Readable{Unit: "s.socket"}
	case 7:
		return MountChanged{Unit: "m.mount", Mounted: dice.IntN(2) == 0}
	}
	h.moveTo(h.now.Mono + time.Duration(dice.IntN(4000))*time.Millisecond)
	return Tick{}
}

// W45: a manager that died takes up what runs and starts nothing twice; ends
// that nobody saw are acted upon.
func TestRestoreWithUnseenExits(t *testing.T) {
	h := load(t, "a.service || Restart=always; RestartSec=1", "b.service || Restart=always; RestartSec=1", "c.service || Type=notify")
	h.start("a.service")
	h.start("b.service")
	h.start("c.service")
	m := h.mark()
	h.rebirth(Exited{Run: h.main("b.service"), Code: 1})
	want(h, "spawned", len(find[Spawn](h, m)), 0)
	h.is("a.service", "active", "b.service", "restart-pending", "c.service", "starting")
	h.advance(time.Second)
	h.is("b.service", "active")
	h.ready("c.service")
	h.is("c.service", "active")
	for u, n := range map[string]int{"a.service": 1, "b.service": 2, "c.service": 1} {
		want(h, u, h.spawns(u), n)
	}
}

// An end whose status is lost counts as a failure, never as "still running".
func TestRestoreWithLostExits(t *testing.T) {
	h := load(t, "a.service || Restart=on-failure; RestartSec=1", "b.service || Type=oneshot")
	h.start("a.service")
	h.start("b.service")
	data := h.c.Snapshot()
	c, err := Restore(h.set, h.g, h.cfg, data)
	if err != nil {
		t.Fatal(err)
	}
	h.c, h.procs = c, map[RunID]Spawn{}
	h.tell(ManagerRestored{})
	h.is("a.service", "restart-pending", "b.service", "failed")
	h.because("b.service", ManagerLostTrack)
}

// A main process that ended unseen may have left children: they are ended before
// the restart; a group that emptied unseen does not hold anything up.
func TestRestoreWithLeftovers(t *testing.T) {
	for _, left := range []bool{true, false} {
		h := load(t, "a.service || Restart=always; RestartSec=1; TimeoutStopSec=5")
		h.start("a.service")
		run, inc := h.main("a.service"), h.view("a.service").Incarnation
		c, err := Restore(h.set, h.g, h.cfg, h.c.Snapshot())
		if err != nil {
			t.Fatal(err)
		}
		h.c, h.procs = c, map[RunID]Spawn{}
		ev := ManagerRestored{Exits: []Exited{{Run: run, Code: 1}}}
		if left {
			ev.Populated = []string{"a.service"}
		}
		m := h.mark()
		h.tell(ev)
		if left {
			h.is("a.service", "stopping")
			h.did(m, "a.service", "TERM CONT")
			h.tell(CgroupEmpty{Unit: "a.service", Incarnation: inc})
		}
		h.is("a.service", "restart-pending")
		h.advance(time.Second)
		h.is("a.service", "active")
	}
}

// A stop under way goes on: its signal is sent again, and its time still counts.
func TestRestoreDuringStop(t *testing.T) {
	h := load(t, "a.service || TimeoutStopSec=10")
	h.start("a.service")
	j := h.stop("a.service")
	h.advance(6 * time.Second)
	m := h.mark()
	h.rebirth()
	h.did(m, "a.service", "TERM CONT")
	h.advance(4 * time.Second)
	h.did(m, "a.service", "TERM CONT kill-cgroup")
	h.killed("a.service", sigKILL)
	h.wantResult(j, "done")
	h.is("a.service", "failed")
}

// Questions that the former manager asked are asked again.
func TestRestoreAsksAgain(t *testing.T) {
	h := load(t, "c.service | ConditionPathExists=/x |", "o.socket || ListenStream=/run/o", "o.service ||", "s.socket || ListenStream=/run/s", "s.service ||", `p.toml | readiness.type="tcp-port"; readiness.port=80`,
		`g.sup | supervisor.strategy="one-for-all"`, `x.toml | service.supervisor="g"; restart.delay="1s"`, `y.toml | service.supervisor="g"; dependencies.after=["x.service"]`)
	for _, u := range []string{"c.service", "s.socket", "p.service", "x.service", "y.service"} {
		h.start(u)
	}
	h.exit("x.service", 1)
	h.mute = true
	h.start("o.socket") // its answer died with the manager
	h.mute = false
	m := h.mark()
	h.rebirth()
	h.is("o.socket", "active/listening")
	want(h, "probes", len(find[Probe](h, m)), 2)
	want(h, "watches", len(find[Watch](h, m)), 2)
	want(h, "listens", len(find[Listen](h, m)), 1)
	h.conditions("c.service", true)
	h.is("c.service", "active")
	h.tell(ProbeResult{Run: h.probe("p.service", ProbeReady), OK: true})
	h.is("p.service", "active")
	h.tell(Readable{Unit: "s.socket"})
	h.is("s.service", "active")
	h.exit("y.service", 0)
	h.advance(time.Second)
	h.is("x.service", "active", "y.service", "active")
	want(h, "y", h.spawns("y.service"), 2)
}

func TestRestoreRefusesRubbish(t *testing.T) {
	h := load(t, "a.service ||")
	for _, data := range []string{"", "{}", `{"Version":99}`, `{"Version":1,"Units":[{"Name":"a.service","State":77}]}`} {
		if _, err := Restore(h.set, h.g, h.cfg, []byte(data)); err == nil {
			t.Errorf("%q was restored", data)
		}
	}
}

// A killed manager is made again from its first snapshot and every event since. What the
// machine has by then (mounts that came up, stamps of timers that elapsed) must not make
// those events come out otherwise: services would be strangers, and be killed.
func TestReplayForgetsThePresent(t *testing.T) {
	h := loadWith(t, Config{Startup: 99 * time.Second, Stamps: map[string]int64{"t.timer": 1}, Mounted: []string{"srv.mount"}},
		"srv.mount", "tmp.mount", "dev-x.device",
		"t.timer | | OnStartupSec=2s; OnCalendar=daily; Persistent=yes; Unit=a.service",
		"a.service", "boot.target | Wants=tmp.mount t.timer a.service")
	first := h.c.Snapshot()
	type seen struct {
		at Time
		ev Event
	}
	var events []seen
	step := func(ev Event) []Action {
		events = append(events, seen{h.now, ev})
		return h.c.Step(h.now, ev, nil)
	}
	for _, a := range step(Request{ID: 1, Verb: VerbStart, Unit: "boot.target", Source: SourceBoot}) {
		if s, ok := a.(Spawn); ok {
			step(SpawnDone{Run: s.Run})
			if s.Stage == StageMount {
				step(Exited{Run: s.Run})
				step(MountChanged{Unit: "tmp.mount", Mounted: true})
			}
		}
	}
	h.now.Mono += 5 * time.Second
	h.now.Wall += 5e9
	step(Tick{})
	cfg := Config{Startup: h.now.Mono, Stamps: map[string]int64{"t.timer": h.now.Wall}, Mounted: []string{"srv.mount", "tmp.mount"}, Plugged: []string{"dev-x.device"}}
	c, err := Restore(h.set, h.g, cfg, first)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		c.Step(e.at, e.ev, nil)
	}
	if got, want := c.Snapshot(), h.c.Snapshot(); !bytes.Equal(got, want) {
		t.Errorf("replayed:\n%s\nwant:\n%s", got, want)
	}
}
