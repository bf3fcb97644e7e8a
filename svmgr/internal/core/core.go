package core

import (
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

// Core is the whole state of one manager. It is plain data: only Step writes,
// nothing in it points outside, and Snapshot can write all of it down.
type Core struct {
	cfg Config
	g   *graph.Graph
	now Time
	out []Action

	recs []record
	sups []supervisor
	runs map[RunID]run

	jobs    map[JobID]*job
	ended   []*job // oldest first, at most JobRetention old
	endedBy map[JobID]*job
	nextJob JobID
	// failures counts jobs, as JobsEver tells.
	failures uint64
	nextRun  RunID
	running  int // jobs in state running
	booted   bool
	degraded bool
	rng      uint64

	// The queues are empty between Steps.
	ready    []JobID
	failed   []graph.Index
	checks   []graph.Index
	supQueue []int32
	idle     []graph.Index

	heap              []heapEntry
	shutdownDL        time.Duration
	shutdownQ         time.Duration
	retireDL, retireQ time.Duration
	deadlockDL        time.Duration
	deadlockQ         time.Duration
	bootDL, bootQ     time.Duration
	knotted           bool
	shutdown          *shutdown
	timers            []graph.Index
	// wake is the earliest moment of a timer with WakeSystem=, 0 for none; it
	// is worked out again when a timer was armed or disarmed.
	wake      time.Duration
	wakeStale bool
	busNames  map[string]graph.Index
	bootAsked bool
	// boot is the verdict, bootSet the units that must be up for a good one, bootNames
	// the same by name.
	boot      BootState
	bootSet   []bootMember
	bootNames map[string]bool
	// watchdogsOff is WatchdogsSet.
	watchdogsOff bool
}

// run is what the core knows of one live RunID.
type run struct {
	Unit graph.Index
	What runKind
	Role Role
	// Stage is the command list of a process.
	Stage Stage
}

type runKind uint8

const (
	runProcess runKind = iota
	runProbe
	runListen
	runAdopt
)

// New makes the core for a loaded set. Nothing runs yet; the boot is a Request.
// The graph must have been built from set.
func New(set *unit.Set, g *graph.Graph, cfg Config) *Core {
	if cfg.ShutdownTimeout == 0 {
		cfg.ShutdownTimeout = 90 * time.Second
	}
	if cfg.PostKill == 0 {
		cfg.PostKill = 5 * time.Second
	}
	if cfg.JobRetention == 0 {
		cfg.JobRetention = 60 * time.Second
	}
	if cfg.Location == nil {
		cfg.Location = time.UTC
	}
	c := &Core{
		cfg: cfg, g: g,
		recs:    make([]record, g.Len()),
		runs:    make(map[RunID]run),
		jobs:    make(map[JobID]*job),
		endedBy: make(map[JobID]*job),
		rng:     cfg.Seed*2862933555777941757 + 3037000493,
	}
	for i := range c.recs {
		c.recs[i].boundTo, c.recs[i].socket = graph.None, graph.None
	}
	c.buildSupervisors(set)
	c.learnBoot(set)
	for _, names := range [][]string{cfg.Plugged, cfg.Mounted} {
		for _, n := range names {
			if i, ok := g.Lookup(n); ok {
				c.presentAtStart(i)
			}
		}
	}
	for i := range c.recs {
		if u := g.Unit(graph.Index(i)); u != nil && u.Perpetual {
			c.presentAtStart(graph.Index(i))
		}
	}
	return c
}

// presentAtStart sets the state of a unit that is up without a job: perpetual
// units and what the kernel's tables held when the manager began.
func (c *Core) presentAtStart(i graph.Index) {
	r := c.rec(i)
	r.kernel = true
	r.state, r.sub = Active, c.machineOf(i).upSub
	r.cause = Cause{Kind: AppearedInKernel}
}

// Step takes one event and appends the actions it leads to. It always settles:
// when it returns, nothing is left to decide before the next event or Deadline.
// A clock that goes backwards is taken to stand still.
func (c *Core) Step(now Time, ev Event, out []Action) []Action {
	now.Mono = max(now.Mono, c.now.Mono)
	c.now, c.out = now, out
	c.handle(ev)
	c.settle()
	c.expire()
	out, c.out = c.out, nil
	return out
}

func (c *Core) emit(a Action) { c.out = append(c.out, a) }

// settle propagates until nothing changes. Each queue holds plain indices and
// re-checks what it finds, so that an entry may be stale without harm.
func (c *Core) settle() {
	for {
		switch {
		case len(c.failed) > 0:
			i := c.failed[0]
			c.failed = c.failed[1:]
			c.failDependents(i)
		case len(c.ready) > 0:
			id := c.ready[0]
			c.ready = c.ready[1:]
			if j := c.jobs[id]; j != nil && !j.Running && j.Unmet == 0 {
				c.runJob(j)
			}
		case len(c.supQueue) > 0:
			s := c.supQueue[0]
			c.supQueue = c.supQueue[1:]
			c.sups[s].queuedNow = false
			c.advanceSupervisor(s)
		case len(c.checks) > 0:
			i := c.checks[0]
			c.checks = c.checks[1:]
			c.rec(i).queuedCheck = false
			c.checkUnit(i)
		case c.shutdown != nil && c.advanceShutdown():
		default:
			c.releaseIdle()
			if len(c.ready) == 0 && len(c.jobs) > 0 && c.running == 0 {
				c.breakDeadlock()
			}
			if len(c.ready) == 0 && len(c.checks) == 0 && len(c.failed) == 0 && len(c.supQueue) == 0 {
				c.ready, c.checks, c.failed, c.supQueue = nil, nil, nil, nil
				return
			}
		}
	}
}

func (c *Core) newRun(i graph.Index, what runKind, role Role, stage Stage) RunID {
	c.nextRun++
	c.runs[c.nextRun] = run{Unit: i, What: what, Role: role, Stage: stage}
	return c.nextRun
}
