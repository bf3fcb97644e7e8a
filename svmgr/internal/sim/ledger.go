package sim

import (
	"fmt"
	"strconv"
	"strings"

	"dynamod/svmgr/internal/core"
)

// run is what was asked to happen under one RunID, as seen from outside.
type run struct {
	id          core.RunID
	name        string // "a.service/start.2": the second ExecStart of a.service
	unit        string
	inc         core.RunID
	role        core.Role
	stage       core.Stage
	kind        runKind
	ended       bool // its end was told to the core
	emptied     bool // its cgroup was told to be empty, so it has ended
	displaced   bool // another process became the main one
	sigkilled   bool // it got a SIGKILL of its own
	unperformed bool // the manager died before it was carried out
	unborn      bool // the new manager was told so
}

type runKind uint8

const (
	processRun runKind = iota
	adoptRun
	listenRun
	probeRun
)

// ledger names all runs, incarnations and jobs by what they are for, so that a
// trace means the same when other events are taken out of it.
type ledger struct {
	runs   map[core.RunID]*run
	order  []*run
	of     map[string][]*run // by unit
	byName map[string]core.RunID
	counts map[string]int
	incs   map[core.RunID]string
	jobs   map[core.JobID]string
	byJob  map[string]core.JobID
}

func newLedger() *ledger {
	return &ledger{runs: map[core.RunID]*run{}, of: map[string][]*run{}, byName: map[string]core.RunID{}, counts: map[string]int{},
		incs: map[core.RunID]string{}, jobs: map[core.JobID]string{}, byJob: map[string]core.JobID{}}
}

func (l *ledger) ordinal(what string) string {
	l.counts[what]++
	return what + "." + strconv.Itoa(l.counts[what])
}

// note takes down what an action gives a RunID or JobID to; it reports a RunID
// that was used before.
func (l *ledger) note(a core.Action) error {
	switch a := a.(type) {
	case core.Spawn:
		r := &run{id: a.Run, unit: a.Unit.Name, inc: a.Incarnation, role: a.Role, stage: a.Stage}
		return l.enter(r, a.Stage.String())
	case core.Adopt:
		return l.enter(&run{id: a.Run, unit: a.Unit, inc: a.Incarnation, kind: adoptRun}, "adopt")
	case core.Listen:
		return l.enter(&run{id: a.Run, unit: a.Unit.Name, kind: listenRun}, "listen")
	case core.Probe:
		return l.enter(&run{id: a.Run, unit: a.Unit.Name, kind: probeRun}, "probe"+strconv.Itoa(int(a.What)))
	case core.Publish:
		if a.What == core.JobNew {
			name := l.ordinal(a.Unit + "/job")
			l.jobs[a.Job], l.byJob[name] = name, a.Job
		}
	}
	return nil
}

func (l *ledger) enter(r *run, word string) error {
	if old, dup := l.runs[r.id]; dup {
		if old.kind == r.kind && old.unit == r.unit && r.kind != processRun {
			return nil // a question that was lost with the manager is asked again
		}
		if old.kind == r.kind && old.unit == r.unit && old.unborn {
			old.unborn, old.unperformed, old.ended = false, false, false
			return nil // a process that never was is asked for again
		}
		return fmt.Errorf("run %d of %s was given out before, as %s", r.id, r.unit, old.name)
	}
	r.name = l.ordinal(r.unit + "/" + word)
	l.runs[r.id], l.byName[r.name] = r, r.id
	l.order = append(l.order, r)
	l.of[r.unit] = append(l.of[r.unit], r)
	if r.inc != 0 && l.incs[r.inc] == "" {
		name := l.ordinal(r.unit + "/cgroup")
		l.incs[r.inc], l.byName[name] = name, r.inc
	}
	return nil
}

// holds says that the process of r may still live, for all that was told.
func (r *run) holds() bool {
	return r.kind == processRun && !r.ended && !r.emptied && !r.unperformed
}

// symbols translates between numbers of one history and names.
type symbols struct {
	*ledger
	sc *Scenario
}

// unknownRun stands for names that mean nothing in this history.
const unknownRun core.RunID = 1 << 60

func (s symbols) runName(id core.RunID) string {
	if r, ok := s.runs[id]; ok {
		return r.name
	}
	return "#" + strconv.FormatUint(uint64(id), 10)
}

// incName prefers the cgroup's own name, as several runs share one.
func (s symbols) incName(id core.RunID) string {
	if n, ok := s.incs[id]; ok {
		return n
	}
	return s.runName(id)
}

func (s symbols) runID(name string) (core.RunID, error) {
	if rest, ok := strings.CutPrefix(name, "#"); ok {
		n, err := strconv.ParseUint(rest, 10, 64)
		return core.RunID(n), err
	}
	if id, ok := s.byName[name]; ok {
		return id, nil
	}
	return unknownRun, nil
}

func (s symbols) jobName(id core.JobID) string {
	if n, ok := s.jobs[id]; ok {
		return n
	}
	return "#" + strconv.FormatUint(uint64(id), 10)
}

func (s symbols) jobID(name string) (core.JobID, error) {
	if rest, ok := strings.CutPrefix(name, "#"); ok {
		n, err := strconv.ParseUint(rest, 10, 32)
		return core.JobID(n), err
	}
	if id, ok := s.byJob[name]; ok {
		return id, nil
	}
	return 1 << 30, nil
}
