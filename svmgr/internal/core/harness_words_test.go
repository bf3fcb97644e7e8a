package core

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"dynamod/internal/graph"
)

// ask sends a request and returns the reply; wait leaves it open.
func (h *harness) ask(r Request) (Reply, bool) {
	h.Helper()
	h.nextQ++
	r.ID = h.nextQ
	h.asked[r.ID], h.wait[r.ID] = 0, r.Wait
	from := len(h.acts)
	h.tell(r)
	return h.replyTo(r.ID, from)
}

func (h *harness) replyTo(id RequestID, from int) (Reply, bool) {
	for _, a := range h.acts[from:] {
		if r, ok := a.(Reply); ok && r.ID == id {
			return r, true
		}
	}
	return Reply{}, false
}

// do asks for something that must be granted, and returns the job.
func (h *harness) do(r Request) JobID {
	h.Helper()
	reply, ok := h.ask(r)
	if !ok || reply.Err != nil {
		h.Fatalf("%s %s: %+v", r.Verb, r.Unit, reply.Err)
	}
	return reply.Job
}

func (h *harness) start(name string) JobID {
	h.Helper()
	return h.do(Request{Verb: VerbStart, Unit: name})
}

func (h *harness) stop(name string) JobID {
	h.Helper()
	return h.do(Request{Verb: VerbStop, Unit: name})
}

func (h *harness) restart(name string) JobID {
	h.Helper()
	return h.do(Request{Verb: VerbRestart, Unit: name})
}

func (h *harness) reload(name string) JobID {
	h.Helper()
	return h.do(Request{Verb: VerbReload, Unit: name})
}

func (h *harness) reset(name string) {
	h.Helper()
	h.do(Request{Verb: VerbReset, Unit: name})
}

// refused asks for something that must be refused and checks the kind of error.
func (h *harness) refused(kind string, r Request) {
	h.Helper()
	reply, ok := h.ask(r)
	if !ok || reply.Err == nil {
		h.Errorf("%s %s was granted, want %s", r.Verb, r.Unit, kind)
		return
	}
	if reply.Err.Kind != kind {
		h.Errorf("%s %s: refused with %s (%s), want %s", r.Verb, r.Unit, reply.Err.Kind, reply.Err.Text, kind)
	}
}

func (h *harness) view(name string) UnitView {
	h.Helper()
	u, ok := h.c.View().Unit(name)
	if !ok {
		h.Fatalf("%s is not known", name)
	}
	return u
}

func (h *harness) state(name string) string { return h.view(name).State.String() }

// is checks "state" or "state/sub" of units, given in pairs.
func (h *harness) is(pairs ...string) {
	h.Helper()
	for k := 0; k+1 < len(pairs); k += 2 {
		u := h.view(pairs[k])
		got := u.State.String()
		if strings.Contains(pairs[k+1], "/") {
			got += "/" + u.Sub.String()
		}
		if got != pairs[k+1] {
			h.Errorf("%s is %s/%s (%s), want %s", pairs[k], u.State, u.Sub, u.Cause.Kind, pairs[k+1])
		}
	}
}

// because checks the cause of a unit's state.
func (h *harness) because(name string, want CauseKind) {
	h.Helper()
	if got := h.view(name).Cause.Kind; got != want {
		h.Errorf("%s: cause is %s, want %s", name, got, want)
	}
}

// result is how a job ended, "" while it has not.
func (h *harness) result(id JobID) string {
	if j := h.jobs[id]; j != nil && j.ended {
		return j.result.String()
	}
	return ""
}

func (h *harness) wantResult(id JobID, want string) {
	h.Helper()
	if got := h.result(id); got != want {
		h.Errorf("job %d ended %q, want %q", id, got, want)
	}
}

// mark is a place in the record, for the helpers that look at what came since.
func (h *harness) mark() int { return len(h.acts) }

// want fails with the two values unless they are equal.
func want[V comparable](h *harness, what string, got, want V) {
	h.Helper()
	if got != want {
		h.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// tb is the part of testing.T that a story uses, so that knownBug can listen in.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// knownBug runs a story that shows an open bug, entry of /tmp/core-bugs.txt: it is
// expected to fail, and the test fails when it passes, so that the mark goes.
func knownBug(t *testing.T, entry string, story func(t tb)) {
	t.Helper()
	l := &listener{}
	done := make(chan struct{}) // the goroutine ends with its story
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				l.said = append(l.said, fmt.Sprint("panic: ", p))
			}
		}()
		defer func() {
			for _, f := range l.cleanups {
				f()
			}
		}()
		story(l)
	}()
	<-done
	if len(l.said) == 0 {
		t.Errorf("%s is mended: take its knownBug mark away", entry)
		return
	}
	t.Logf("known bug, %s: %s", entry, l.said[0])
}

type listener struct {
	said     []string
	cleanups []func()
}

func (l *listener) Helper()                   {}
func (l *listener) Cleanup(f func())          { l.cleanups = append(l.cleanups, f) }
func (l *listener) Errorf(f string, a ...any) { l.said = append(l.said, fmt.Sprintf(f, a...)) }
func (l *listener) Fatalf(f string, a ...any) {
	l.Errorf(f, a...)
	runtime.Goexit()
}

// main is the run of the unit's main process.
func (h *harness) main(name string) RunID {
	h.Helper()
	id := h.view(name).Main
	if id == 0 {
		h.Fatalf("%s has no main process (%s/%s)", name, h.state(name), h.view(name).Sub)
	}
	return id
}

func (h *harness) control(name string) RunID {
	h.Helper()
	id := h.view(name).Control
	if id == 0 {
		h.Fatalf("%s has no control process (%s/%s)", name, h.state(name), h.view(name).Sub)
	}
	return id
}

// exec reports that the main process has executed its program (after noExec).
func (h *harness) exec(name string) {
	h.Helper()
	h.tell(SpawnDone{Run: h.main(name)})
}

// exit ends the main process with a code, killed with a signal.
func (h *harness) exit(name string, code int32) {
	h.Helper()
	id := h.main(name)
	h.end(id, Exited{Run: id, Code: code})
	h.settle()
}

func (h *harness) killed(name string, sig int32) {
	h.Helper()
	id := h.main(name)
	h.end(id, Exited{Run: id, Signal: sig})
	h.settle()
}

// command ends the control process (a hook, a stop command) with a code.
func (h *harness) command(name string, code int32) {
	h.Helper()
	id := h.control(name)
	h.end(id, Exited{Run: id, Code: code})
	h.settle()
}

// spawnFailed reports that the newest process of a unit never executed.
func (h *harness) spawnFailed(name, stage string, errno int32) {
	h.Helper()
	ids := h.runsOf(name, 0)
	if len(ids) == 0 {
		h.Fatalf("%s has no process that could fail", name)
	}
	id := ids[len(ids)-1]
	inc := h.procs[id].Incarnation
	delete(h.procs, id)
	h.todo = append(h.todo, SpawnFailed{Run: id, Stage: stage, Errno: errno})
	if len(h.runsOf(name, inc)) == 0 && !h.holds[name] {
		h.todo = append(h.todo, CgroupEmpty{Unit: name, Incarnation: inc})
	}
	h.settle()
}

// empties reports that the unit's cgroup is empty, after holds.
func (h *harness) empties(name string) {
	h.Helper()
	h.holds[name] = false
	h.tell(CgroupEmpty{Unit: name, Incarnation: h.view(name).Incarnation})
}

// notify sends an sd_notify message from the main process.
func (h *harness) notify(name string, n Notification) {
	h.Helper()
	u := h.view(name)
	h.tell(Notified{Unit: name, Incarnation: u.Incarnation, Run: u.Main, Notification: n})
}

func (h *harness) ready(name string) { h.Helper(); h.notify(name, Notification{Ready: true}) }

// crash exits the main process with 1 and lets the restart delay pass.
func (h *harness) crash(name string, times int, delay time.Duration) {
	h.Helper()
	for range times {
		h.exit(name, 1)
		h.advance(delay)
	}
}

// since is what happened to a unit after a mark, in short words: "start-pre",
// "start", "TERM", "CONT", "kill-cgroup", "remove-cgroup", and so on.
func (h *harness) since(from int, name string) []string {
	var out []string
	for _, a := range h.acts[from:] {
		switch a := a.(type) {
		case Spawn:
			if a.Unit.Name == name {
				out = append(out, a.Stage.String())
			}
		case Signal:
			if a.Unit == name {
				w := strings.TrimPrefix(signalName(a.Signal), "SIG")
				if p, ok := h.roleOf(a.Run); ok {
					w += ":" + p
				}
				out = append(out, w)
			}
		case KillCgroup:
			if a.Unit == name {
				out = append(out, "kill-cgroup")
			}
		case RemoveCgroup:
			if a.Unit == name {
				out = append(out, "remove-cgroup")
			}
		}
	}
	return out
}

// ran is did for processes only, where signals to what just ended do not matter.
func (h *harness) ran(from int, name, stages string) {
	h.Helper()
	var out []string
	for _, s := range find[Spawn](h, from) {
		if s.Unit.Name == name {
			out = append(out, s.Stage.String())
		}
	}
	if got := strings.Join(out, " "); got != stages {
		h.Errorf("%s ran %q, want %q", name, got, stages)
	}
}

func (h *harness) roleOf(id RunID) (string, bool) {
	for _, a := range h.acts {
		if s, ok := a.(Spawn); ok && s.Run == id {
			return [...]string{"main", "control", "health"}[s.Role], true
		}
	}
	return "", false
}

// did compares since with a list in one string.
func (h *harness) did(from int, name, words string) {
	h.Helper()
	if got := strings.Join(h.since(from, name), " "); got != words {
		h.Errorf("%s did %q, want %q", name, got, words)
	}
}

// spawns counts the main processes that a unit ever got.
func (h *harness) spawns(name string) int {
	n := 0
	for _, a := range h.acts {
		if s, ok := a.(Spawn); ok && s.Unit.Name == name && s.Role == RoleMain {
			n++
		}
	}
	return n
}

// order is the order in which units got a process of a stage, after a mark.
func (h *harness) order(from int, stages ...Stage) string {
	var out []string
	for _, a := range h.acts[from:] {
		if s, ok := a.(Spawn); ok && slices.Contains(stages, s.Stage) {
			out = append(out, strings.TrimSuffix(s.Unit.Name, ".service"))
		}
	}
	return strings.Join(out, " ")
}

// entered is the order in which units entered a state, after a mark.
func (h *harness) entered(from int, to State) string {
	var out []string
	for _, a := range h.acts[from:] {
		if p, ok := a.(Publish); ok && p.What == UnitChanged && p.To == to && p.From != to {
			out = append(out, strings.TrimSuffix(p.Unit, ".service"))
		}
	}
	return strings.Join(out, " ")
}

// find lists the actions of one type after a mark.
func find[A Action](h *harness, from int) []A {
	var out []A
	for _, a := range h.acts[from:] {
		if x, ok := a.(A); ok {
			out = append(out, x)
		}
	}
	return out
}

// logged says whether a log line after a mark holds the words.
func (h *harness) logged(from int, words string) {
	h.Helper()
	for _, l := range find[Log](h, from) {
		if strings.Contains(l.Note+l.Cause.Sentence(l.Unit), words) {
			return
		}
	}
	h.Errorf("no log line says %q", words)
}

// emergencies lists the machine actions after a mark.
func (h *harness) emergencies(from int) string {
	var out []string
	for _, e := range find[Emergency](h, from) {
		out = append(out, e.Unit+":"+e.Action)
	}
	return strings.Join(out, " ")
}

// probe is the last question of a kind about a unit that is still open.
func (h *harness) probe(name string, what Probed) RunID {
	h.Helper()
	for k := len(h.acts) - 1; k >= 0; k-- {
		if p, ok := h.acts[k].(Probe); ok && p.Unit.Name == name && p.What == what {
			return p.Run
		}
	}
	h.Fatalf("nothing was asked about %s", name)
	return 0
}

// conditions answers the pending conditions of a unit, one verdict each.
func (h *harness) conditions(name string, held ...bool) {
	h.Helper()
	h.tell(ProbeResult{Run: h.probe(name, ProbeConditions), Held: held})
}

func (h *harness) shutdown(kind ShutdownKind) {
	h.Helper()
	h.down = true
	h.tell(ShutdownRequested{Kind: kind})
}

// reloadUnits brings a new generation.
func (h *harness) reloadUnits(evict bool, units ...string) {
	h.Helper()
	h.set = buildSet(h.tb, units...)
	h.tell(Reloaded{Set: h.set, Evict: evict})
}

// rebirth kills the manager and restores it from its snapshot.
func (h *harness) rebirth(exits ...Exited) {
	h.Helper()
	data := h.c.Snapshot()
	g, _ := graph.Build(h.set, graph.Config{Mode: graph.System})
	c, err := Restore(h.set, g, h.cfg, data)
	if err != nil {
		h.Fatalf("restore: %v", err)
	}
	h.c, h.g = c, g
	gone := map[RunID]bool{}
	for _, x := range exits {
		gone[x.Run] = true
		delete(h.procs, x.Run)
	}
	ev := ManagerRestored{Exits: exits}
	units := map[string]bool{}
	for id, p := range h.procs {
		ev.Alive = append(ev.Alive, id)
		units[p.Unit.Name] = true
	}
	slices.Sort(ev.Alive)
	for u := range units {
		ev.Populated = append(ev.Populated, u)
	}
	slices.Sort(ev.Populated)
	h.tell(ev)
}
