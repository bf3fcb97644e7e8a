package core

import (
	"slices"
	"strings"
	"time"

	"dynamod/internal/diag"
	"dynamod/internal/graph"
	"dynamod/internal/load/native"
	"dynamod/internal/load/sdunit"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// harness tells one story to a Core: units as text, events as method calls, a
// clock that only the story moves. After every Step it checks the invariants
// and the promises that hold in every story (see record).
//
// Programs execute at once (SpawnDone) but end only when the story says so,
// unless it is obedient.
type harness struct {
	tb
	c    *Core
	cfg  Config
	set  *unit.Set
	g    *graph.Graph
	now  Time
	acts []Action
	todo []Event

	// noExec are units whose processes stay before their exec.
	noExec map[string]bool
	// obedient processes end at the first stop signal, commands succeed.
	obedient bool
	// holds are units whose cgroup stays populated whatever ends.
	holds map[string]bool

	procs map[RunID]Spawn // alive
	asked map[RequestID]int
	wait  map[RequestID]bool
	nextQ RequestID
	jobs  map[JobID]*toldJob
	down  bool // shutdown was requested

	// listenErrno answers Listen; unchecked skips the invariants, for sets
	// so large that checking each Step would take minutes.
	listenErrno int32
	mute        bool // Listen gets no answer
	unchecked   bool
}

// toldJob is what JobNew and JobRemoved said of one job.
type toldJob struct {
	unit, typ string
	source    Source
	ended     bool
	result    JobResult
}

// load makes a Core of units, one string each: "NAME | [Unit] lines | lines of
// the type's section" for unit files, "NAME.toml | dotted TOML keys" for native
// ones, "NAME.sup | …" for supervisors; lines are separated by ";".
// "¦" stands for a literal "|". ExecStart=, exec and name are filled in, default
// dependencies are off.
func load(t tb, units ...string) *harness {
	t.Helper()
	return loadWith(t, Config{}, units...)
}

func loadWith(t tb, cfg Config, units ...string) *harness {
	t.Helper()
	h := &harness{tb: t, cfg: cfg, noExec: map[string]bool{}, holds: map[string]bool{}, procs: map[RunID]Spawn{},
		asked: map[RequestID]int{}, wait: map[RequestID]bool{}, jobs: map[JobID]*toldJob{}}
	h.now = Time{Mono: 100 * time.Second, Wall: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()}
	h.set = buildSet(t, units...)
	h.g, _ = graph.Build(h.set, graph.Config{Mode: graph.System})
	h.c = New(h.set, h.g, cfg)
	t.Cleanup(h.checkReplies)
	t.Cleanup(h.checkGroups)
	return h
}

func buildSet(t tb, texts ...string) *unit.Set {
	t.Helper()
	var us []*unit.Unit
	var sups []*unit.Supervisor
	for _, text := range texts {
		name, _, _ := strings.Cut(text, "|")
		if strings.HasSuffix(strings.TrimSpace(name), ".sup") {
			sups = append(sups, buildSup(t, text))
			continue
		}
		us = append(us, buildUnit(t, text))
	}
	set, ds := unit.NewSet(us, sups)
	noErrors(t, ds)
	return set
}

func cells(text string, n int) []string {
	out := make([]string, n)
	for k, c := range strings.SplitN(text, "|", n) {
		out[k] = strings.ReplaceAll(strings.TrimSpace(c), "¦", "|")
	}
	return out
}

func lines(cell string) string {
	var b strings.Builder
	for _, l := range strings.Split(cell, ";") {
		b.WriteString(strings.TrimSpace(l) + "\n")
	}
	return b.String()
}

func buildUnit(t tb, text string) *unit.Unit {
	t.Helper()
	var src unit.Source
	var ds []diag.Diag
	if x := cells(text, 2); strings.HasSuffix(x[0], ".toml") {
		bare := strings.TrimSuffix(x[0], ".toml")
		toml := lines(x[1])
		if !strings.Contains(toml, "service.exec=") {
			toml += "service.exec=[\"/bin/" + bare + "\"]\n"
		}
		if !strings.Contains(toml, "dependencies.default") {
			toml += "dependencies.default=false\n"
		}
		toml += "service.name=\"" + bare + "\"\n"
		src = unit.Source{Name: bare + ".service", Format: unit.Native, HasMain: true, Files: []unit.File{{Path: "/t/" + x[0]}}}
		src.Files[0].Fragments, ds = native.Parse(src.Files[0].Path, []byte(toml))
	} else {
		src, ds = unitFile(t, cells(text, 3))
	}
	noErrors(t, ds)
	u, ds := unit.Build(src)
	noErrors(t, ds)
	return u
}

// unitFile writes the text of a unit file out in full.
func unitFile(t tb, x []string) (unit.Source, []diag.Diag) {
	t.Helper()
	n, err := unitname.Parse(x[0])
	if err != nil {
		t.Fatalf("%v", err)
	}
	section := strings.ToUpper(n.Type.String()[:1]) + n.Type.String()[1:]
	file := "[Unit]\n" + lines(x[1])
	if !strings.Contains(x[1], "DefaultDependencies") {
		file += "DefaultDependencies=no\n"
	}
	switch n.Type {
	case unitname.Target, unitname.Device:
	default:
		file += "[" + section + "]\n" + lines(x[2])
	}
	if n.Type == unitname.Service && !strings.Contains(x[2], "ExecStart=") {
		file += "ExecStart=/bin/" + n.Prefix + "\n"
	}
	if n.Type == unitname.Mount && !strings.Contains(x[2], "Where=") {
		file += "What=tmpfs\nWhere=/" + n.Prefix + "\n"
	}
	if n.Type == unitname.Automount && !strings.Contains(x[2], "Where=") {
		file += "Where=/" + n.Prefix + "\n"
	}
	path := "/t/" + x[0]
	frags, ds := sdunit.Parse(path, []byte(file))
	return unit.Source{Name: x[0], HasMain: true, Files: []unit.File{{Path: path, Fragments: frags}}}, ds
}

func buildSup(t tb, text string) *unit.Supervisor {
	t.Helper()
	x := cells(text, 2)
	name := strings.TrimSuffix(x[0], ".sup")
	path := "/t/" + name + ".toml"
	frags, ds := native.Parse(path, []byte(lines(x[1])+"supervisor.name=\""+name+"\"\n"))
	noErrors(t, ds)
	s, ds := unit.BuildSupervisor(unit.Source{Name: name, Format: unit.Native, HasMain: true,
		Files: []unit.File{{Path: path, Fragments: frags}}})
	noErrors(t, ds)
	return s
}

// noErrors: warnings count too, because a misspelt key would make a story lie.
func noErrors(t tb, ds []diag.Diag) {
	t.Helper()
	for _, d := range ds {
		if d.Severity != diag.Note {
			t.Fatalf("the story's units: %v", d)
		}
	}
}

// tell hands one event to the core, then those that follow from it.
func (h *harness) tell(ev Event) {
	h.Helper()
	h.todo = append(h.todo, ev)
	h.settle()
}

// settle plays the events that are queued, and those that follow from them.
func (h *harness) settle() {
	h.Helper()
	for n := 0; len(h.todo) > 0; n++ {
		if n > 10000 {
			h.Fatalf("the story does not come to an end")
		}
		ev := h.todo[0]
		h.todo = h.todo[1:]
		h.stepOnce(ev)
	}
}

func (h *harness) stepOnce(ev Event) {
	h.Helper()
	acts := h.c.Step(h.now, ev, nil)
	if !h.unchecked {
		if err := h.c.CheckInvariants(); err != nil {
			h.Fatalf("after %T%+v: %v", ev, ev, err)
		}
	}
	for _, a := range acts {
		h.acts = append(h.acts, a)
		h.record(a)
	}
}

// record checks what must hold in every story, and plays the world.
func (h *harness) record(a Action) {
	h.Helper()
	switch a := a.(type) {
	case Spawn:
		h.recordSpawn(a)
	case Signal:
		if !h.obedient || a.Signal == sigCONT {
			return
		}
		for _, id := range h.runsOf(a.Unit, a.Incarnation) {
			if a.Run == 0 || a.Run == id {
				h.end(id, Exited{Run: id, Signal: a.Signal})
			}
		}
	case KillCgroup:
		if h.obedient {
			for _, id := range h.runsOf(a.Unit, a.Incarnation) {
				h.end(id, Exited{Run: id, Signal: sigKILL})
			}
			h.todo = append(h.todo, CgroupEmpty(a))
		}
	case Listen:
		if h.mute {
			return
		}
		h.todo = append(h.todo, Listening{Run: a.Run, Errno: h.listenErrno})
	case Reply:
		h.asked[a.ID]++
		if j := h.jobs[a.Job]; a.Err == nil && a.Job != 0 && j == nil {
			h.Errorf("reply %+v names a job that was never announced", a)
		}
	case Publish:
		h.recordJob(a)
	}
}

func (h *harness) recordSpawn(a Spawn) {
	h.Helper()
	for _, p := range h.procs {
		if a.Role == RoleMain && p.Role == RoleMain && p.Unit.Name == a.Unit.Name {
			h.Errorf("%s: a second main process beside run %d", a.Unit.Name, p.Run)
		}
	}
	switch a.Stage {
	case StageStop, StageStopPost, StageStopPre, StageUnmount, StageSwapOff:
	default:
		if h.down {
			h.Errorf("%s: %s spawned during shutdown", a.Unit.Name, a.Stage)
		}
	}
	h.procs[a.Run] = a
	if h.noExec[a.Unit.Name] {
		return
	}
	h.todo = append(h.todo, SpawnDone{Run: a.Run})
	if h.obedient && a.Role == RoleControl {
		h.end(a.Run, Exited{Run: a.Run})
	}
}

func (h *harness) recordJob(a Publish) {
	h.Helper()
	j := h.jobs[a.Job]
	switch a.What {
	case JobNew:
		if j != nil {
			h.Errorf("job %d announced twice", a.Job)
		}
		h.jobs[a.Job] = &toldJob{unit: a.Unit, typ: a.JobType, source: a.Source}
	case JobRemoved:
		if j == nil || j.ended {
			h.Errorf("job %d (%s %s) ended, but it was not there", a.Job, a.Unit, a.JobType)
			return
		}
		j.ended, j.result, j.typ = true, a.JobResult, a.JobType
	}
}

// checkReplies: every request is answered exactly once (those that wait for
// their job may be open at the end of a story).
func (h *harness) checkReplies() {
	for id, n := range h.asked {
		if n > 1 || n == 0 && !h.wait[id] {
			h.Errorf("request %d got %d replies", id, n)
		}
	}
}

// checkGroups: the cgroup of every activation that is over was removed, once.
func (h *harness) checkGroups() {
	type group struct {
		unit string
		inc  RunID
	}
	removed := map[group]int{}
	for _, a := range h.acts {
		if r, ok := a.(RemoveCgroup); ok {
			removed[group{r.Unit, r.Incarnation}]++
		}
	}
	need := func(g group) {
		u, ok := h.c.View().Unit(g.unit)
		over := !ok || u.Incarnation != g.inc
		if n := removed[g]; n > 1 || over && n == 0 {
			h.Errorf("cgroup %d of %s was removed %d times (%s)", g.inc, g.unit, n, u.State)
		}
	}
	for _, a := range h.acts {
		switch a := a.(type) {
		case Spawn:
			if a.Fresh {
				need(group{a.Unit.Name, a.Incarnation})
			}
		case Adopt:
			if strings.HasSuffix(a.Unit, ".scope") {
				need(group{a.Unit, a.Incarnation})
			}
		}
	}
}

// runsOf lists the live processes of a unit, of one incarnation if not 0.
func (h *harness) runsOf(name string, inc RunID) []RunID {
	var out []RunID
	for id, p := range h.procs {
		if p.Unit.Name == name && (inc == 0 || p.Incarnation == inc) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// end queues the end of one process and, if it was the last, of its cgroup.
func (h *harness) end(id RunID, ev Exited) {
	p, ok := h.procs[id]
	if !ok {
		return
	}
	delete(h.procs, id)
	h.todo = append(h.todo, ev)
	if len(h.runsOf(p.Unit.Name, p.Incarnation)) == 0 && !h.holds[p.Unit.Name] {
		h.todo = append(h.todo, CgroupEmpty{Unit: p.Unit.Name, Incarnation: p.Incarnation})
	}
}

// advance moves the clock, firing each deadline at its time.
func (h *harness) advance(d time.Duration) {
	h.Helper()
	to := h.now.Mono + d
	for n := 0; ; n++ {
		at, ok := h.c.Deadline()
		if !ok || at > to {
			break
		}
		if n > 100000 {
			h.Fatalf("deadlines without end")
		}
		h.moveTo(max(at, h.now.Mono))
		h.tell(Tick{})
	}
	h.moveTo(to)
}

func (h *harness) moveTo(mono time.Duration) {
	h.now.Wall += int64(mono - h.now.Mono)
	h.now.Mono = mono
}
