package core

import (
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

// record is everything the core knows of one unit. It is addressed by its
// graph.Index and holds no pointers into other records, so that Snapshot can
// write it down as it is.
type record struct {
	// act is the unit as it was when it was started; a reload does not
	// change what runs. nil at rest.
	act *unit.Unit

	state State
	sub   Sub
	cause Cause
	since Time
	// The four stamps of systemd's Unit interface.
	activeEnter, activeExit, inactiveEnter, inactiveExit Time

	job *job
	// dl are the armed deadlines, 0 for none; queued is the time of the
	// heap entry that stands for it.
	dl, queued [numDeadlines]time.Duration

	proc *proc       // units that run processes, while they are not at rest
	trig *trigger    // sockets, timers, paths, automounts
	hist *history    // restart counters and limits
	auto rateLimiter // automatic requests: the fuse against feedback loops

	// probe is the pending evaluation of conditions, 0 for none.
	probe RunID
	// kernel says that the device, mount or swap is there (Plugged, Mounted).
	kernel bool
	// stable, checking, starting and similar marks.
	stable      bool
	queuedCheck bool
	// stopped is set by an explicit stop and cleared by any start: no
	// automatic restart may follow (invariant h).
	stopped bool
	// held is stopped, but not by a group restart: the group leaves it alone.
	held bool
	// sup is the unit's supervisor, -1 for none; waiting says that a group
	// restart and not a deadline ends its RestartPending.
	sup     int32
	waiting bool
	// boundTo is the unit whose end stopped this one; its return recovers it.
	boundTo graph.Index
	// ephemeral: made by a client or for one connection; forgotten at rest.
	ephemeral bool
	// demand: it has files and came when somebody asked for it; forgotten at rest
	// as well, once nothing needs it.
	demand bool
	// holds counts those who are about to look at it (Loaded.Hold).
	holds int32
	// refd: a client will still ask about it.
	refd bool
	// needsReload and needsRestart are its marks: what a client wants to be done later.
	needsReload, needsRestart bool
	// passing: the unit is at rest only to show itself before a restart.
	passing bool
	// gone says that the file of a running unit vanished in a reload.
	gone bool
	// sockets: live connection instances; instances: their socket.
	conns  int32
	socket graph.Index
	peer   string
	frozen bool
	condOK bool
}

// proc is one activation of a unit that runs processes.
type proc struct {
	// Inc is the incarnation: the first run, and the name of its cgroup.
	Inc RunID
	// Main and Control are live runs, 0 for none.
	Main, Control RunID
	// Executed says that the main process has passed its exec.
	Executed bool
	Stage    Stage
	// Next is the index of the next command of the stage.
	Next int
	// Ran says that at least one process was spawned: there is a cgroup.
	Ran bool
	// Populated is true from the first spawn until CgroupEmpty.
	Populated bool
	// Result is the first failure; NoCause means success so far.
	Result Cause
	// MainCause is how the main process ended.
	MainCause Cause
	MainEnded bool
	// Up says that the start-up completed: stop commands shall run.
	Up bool
	// Unhealthy is what on-unhealthy decided: "restart" or "fail".
	Unhealthy string
	// Skip says that ExecCondition= asked to skip.
	Skip bool
	// StopSeen is STOPPING=1: no second signal is sent.
	StopSeen bool
	// LastChance is how far restart.last-chance has come.
	LastChance lastChance `json:",omitempty"`
	// Unkillable says that SIGKILL was outlived once.
	Unkillable bool
	// Killed says that the final kill was done for this phase.
	Killed bool
	// Probe is the readiness or adoption question under way.
	Probe RunID
	Adopt RunID
	// AdoptPID is the process that MAINPID= named, 0 for none.
	AdoptPID int32 `json:",omitempty"`
	// AdoptEnd is the end of the process under adoption, if it came first.
	AdoptEnd *Cause
	// Ready says that readiness was reported.
	Ready bool
	// ReadySeen: a oneshot said so before its commands were done.
	ReadySeen bool
	// PhaseStart and PhaseLimit bound EXTEND_TIMEOUT_USEC to four times.
	PhaseStart, PhaseLimit time.Duration
	// Watchdog is the period in force, 0 for none; Pinged is when it last began anew.
	Watchdog time.Duration
	Pinged   Time
	// Reload handshake.
	ReloadSent   time.Duration
	ReloadSeen   bool
	ReloadFail   bool
	Health       RunID
	HealthFails  uint32
	Status       string
	Errno        int32  `json:",omitempty"`
	BusError     string `json:",omitempty"`
	VarlinkError string `json:",omitempty"`
	Trigger      string
	// FDs are the names in the descriptor store, in order.
	FDs []string
}

// trigger is the state of a unit that starts another one.
type trigger struct {
	Target graph.Index
	// Watching says that a Watch is out.
	Watching bool
	// Bound says that sockets are open or the autofs mount is in place.
	Bound bool
	Run   RunID
	limit rateLimiter
	// Timers: the last elapse, the base of monotonic ones, next elapse.
	Last     Time
	Base     Time
	Next     Time
	NextWall bool
	// Due is the moment, on the wall clock if NextWall, on Mono else, that Next
	// was worked out from, and Spread how much later Next is: it must not be
	// drawn again, and again later, whenever somebody looks.
	Due     int64
	Spread  time.Duration
	Stamped int64
	Fired   uint32
	// Done marks one-shot monotonic entries that have elapsed.
	Done uint64
	// Accepted counts the connections that instances were started for, Refused
	// those beyond MaxConnections= and MaxConnectionsPerSource=.
	Accepted uint64
	Refused  uint64 `json:",omitempty"`
}

// history survives activations.
type history struct {
	// Restarts counts automatic restarts since the last explicit start.
	Restarts uint32
	// Streak is n of the delay min(delay·2^n, max).
	Streak uint32
	// Budget are the moments of automatic restarts inside the window.
	Budget []time.Duration
	// Starts limits starts (StartLimitBurst=).
	Starts rateLimiter
	// FDs are the descriptors kept between activations, by name, in order.
	FDs []string
	// Dormancies counts the times the unit went dormant.
	Dormancies uint32
	// LastChance says that the command of restart.last-chance has had its say
	// since the budget was last whole.
	LastChance bool `json:",omitempty"`
	// Decisions are the newest ones about a restart, oldest first.
	Decisions []Decision `json:",omitempty"`
	// Findings are those of the last checks before a start, made at Checked.
	Findings []Finding `json:",omitempty"`
	Checked  Time
}

// rateLimiter allows Burst events in Interval, as systemd's ratelimits do: the
// window begins with the first event and ends after the interval.
type rateLimiter struct {
	Begin time.Duration
	Count uint32
}

// allow counts one event and says whether it is within the limit. An interval
// or burst of 0 means no limit.
func (r *rateLimiter) allow(now, interval time.Duration, burst uint64) bool {
	if interval == 0 || burst == 0 {
		return true
	}
	if r.Count == 0 || interval != unit.Forever && now-r.Begin >= interval {
		r.Begin, r.Count = now, 1
		return true
	}
	if uint64(r.Count) >= burst {
		return false
	}
	r.Count++
	return true
}

// def is the unit that holds for decisions about the running activation.
func (c *Core) def(i graph.Index) *unit.Unit {
	if a := c.rec(i).act; a != nil {
		return a
	}
	return c.g.Unit(i)
}

func (c *Core) rec(i graph.Index) *record { return &c.recs[i] }

func (r *record) history() *history {
	if r.hist == nil {
		r.hist = &history{}
	}
	return r.hist
}

// storedFDs are the descriptors kept from the activation before.
func (r *record) storedFDs() []string {
	if r.hist == nil {
		return nil
	}
	return r.hist.FDs
}

// up says that the unit is there for others.
func (r *record) up() bool {
	switch r.state {
	case Active, Reloading:
		return true
	case Completed:
		return r.sub == SubExited
	}
	return false
}

// down says that nothing of it runs and nothing will by itself.
func (r *record) down() bool {
	switch r.state {
	case Inactive, Blocked, Failed, Skipped:
		return true
	case Completed:
		return r.sub != SubExited
	}
	return false
}

// activeState maps to systemd's six words.
func (r *record) activeState() graph.ActiveState {
	switch r.state {
	case Starting, RestartPending, Dormant:
		return graph.Activating
	case Active:
		return graph.Active
	case Reloading:
		return graph.Reloading
	case Stopping:
		return graph.Deactivating
	case Failed, Abandoned:
		return graph.Failed
	case Completed:
		if r.sub == SubExited {
			return graph.Active
		}
	}
	return graph.Inactive
}

// enter is the only function that changes a state. It records from, to, cause
// and time, publishes, logs, and queues everything that follows from it.
func (c *Core) enter(i graph.Index, to State, sub Sub, cause Cause) {
	r := c.rec(i)
	from, fromSub := r.state, r.sub
	if from == to && fromSub == sub {
		if cause.Kind != NoCause {
			r.cause = cause
		}
		return
	}
	wasUp, wasDown := r.up(), r.down()
	wasActive := r.activeState()
	r.state, r.sub = to, sub
	if cause.Kind != NoCause {
		r.cause = cause
	} else if from != to && to != Active {
		r.cause = Cause{} // what is up keeps the reason of its start
	}
	if from != to {
		r.since = c.now
		c.unmark(r, to)
	}
	switch {
	case wasActive != graph.Active && r.activeState() == graph.Active && !wasUp:
		r.activeEnter = c.now
	case wasUp && !r.up():
		r.activeExit = c.now
	}
	if wasDown && !r.down() {
		r.inactiveExit = c.now
	} else if !wasDown && r.down() {
		r.inactiveEnter = c.now
	}
	name := c.g.Name(i)
	p := Publish{What: UnitChanged, Unit: name, From: from, To: to, Sub: sub, Cause: r.cause}
	if j := r.job; j != nil && j.Running {
		p.Job, p.JobType = j.ID, j.Type.String()
	}
	c.emit(p)
	c.bootMoved(i)
	if from != to {
		c.emit(Log{Level: logLevel(to), Unit: name, Cause: r.cause, From: from, To: to})
	}
	if r.down() {
		r.act = nil
		r.stable = false
	}
	c.stateChanged(i, from, wasUp, wasDown)
}

func logLevel(to State) Level {
	switch to {
	case Failed, Abandoned:
		return LevelErr
	case Blocked, Dormant, RestartPending:
		return LevelWarning
	case Active, Completed, Skipped, Inactive:
		return LevelInfo
	}
	return LevelDebug
}
