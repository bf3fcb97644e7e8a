package core

import (
	"time"

	"dynamod/internal/unit"
)

// Action is what the shell shall do. Actions are imperative, never block, and
// are carried out in order; those with a RunID end in a later event.
type Action interface{ action() }

// Role is what a process is for; it decides its cgroup and its environment.
type Role uint8

const (
	// RoleMain is the service's main process.
	RoleMain Role = iota
	// RoleControl is a command of ExecCondition=, ExecStartPre=, ExecStop= ….
	RoleControl
	// RoleHealth is a health check's command.
	RoleHealth
)

// Stage is which command list a process belongs to.
type Stage uint8

const (
	StageCondition Stage = iota
	StageStartPre
	StageStart
	StageStartPost
	StageReload
	StageStop
	StageStopPost
	StageStopPre // sockets
	StageMount
	StageUnmount
	StageRemount
	StageSwapOn
	StageSwapOff
	StageReady  // readiness.check-exec
	StageHealth // health.exec
	// StageLastChance is restart.last-chance.exec, run when all else has ended.
	StageLastChance
)

var stageNames = [...]string{"condition", "start-pre", "start", "start-post", "reload", "stop",
	"stop-post", "stop-pre", "mount", "unmount", "remount", "swapon", "swapoff", "ready", "health", "last-chance"}

func (s Stage) String() string { return stageNames[s] }

type (
	// Spawn runs one command of the unit's activation. The first Spawn of an
	// incarnation makes the unit's cgroup.
	Spawn struct {
		Run         RunID
		Unit        *unit.Unit
		Incarnation RunID
		Role        Role
		Stage       Stage
		Exec        unit.Exec
		// Fresh asks for a new cgroup generation: it is the first run.
		Fresh bool
		// PassFDs says that sockets and the fd store go along.
		PassFDs bool
		// Trigger is the unit that caused the start ("" for none): its
		// sockets or the accepted connection are passed, $TRIGGER_UNIT set.
		Trigger string
		// Result, ExitCode and ExitStatus become $SERVICE_RESULT,
		// $EXIT_CODE, $EXIT_STATUS of stop and stop-post commands.
		Result               string
		ExitCode, ExitStatus string
	}

	// Signal sends a signal: to one run, or to the whole cgroup if Run is 0.
	Signal struct {
		Unit        string
		Incarnation RunID
		Run         RunID
		Signal      int32
		// Queue: Value comes with it (sigqueue(3)).
		Queue bool
		Value int32
	}

	// KillCgroup writes cgroup.kill. Deadline is when it is given up.
	KillCgroup struct {
		Unit        string
		Incarnation RunID
	}

	// RemoveCgroup forgets the incarnation and removes its group; the world
	// reports one that cannot be removed by itself (status warning).
	RemoveCgroup struct {
		Unit        string
		Incarnation RunID
	}

	// Reconfigure puts the limits of To into force on the group of a unit that has those
	// of From. What the kernel refuses is a warning of the unit.
	Reconfigure struct{ From, To *unit.Unit }

	// Freeze and Thaw write cgroup.freeze.
	Freeze struct{ Unit string }
	Thaw   struct{ Unit string }

	// Adopt asks the world to find and verify a main process: the one in
	// PIDFile=, the one that MAINPID= named, or by guessing. Answer: MainPID.
	Adopt struct {
		Run         RunID
		Unit        string
		Incarnation RunID
		// PID is the number a notification gave, 0 to use PIDFile= or guess.
		PID int32
		// Def is set for a scope: its group is to be made, and the processes that
		// wait for it moved into it.
		Def *unit.Unit
	}

	// Listen opens all sockets of a socket unit. Answer: Listening.
	Listen struct {
		Run  RunID
		Unit *unit.Unit
	}
	// Unlisten closes them; Remove also removes their files and symlinks.
	Unlisten struct {
		Unit   string
		Remove bool
	}
	// Watch asks to be told (once) of traffic, path changes, the autofs
	// request, or the bus name. Level-triggered: what holds now is told now.
	Watch struct {
		Unit *unit.Unit
		What Watched
	}
	Unwatch struct {
		Unit string
		What Watched
	}

	// Probe asks the world a question. Answer: ProbeResult (or, for
	// ProbeReady by fd, Ready).
	Probe struct {
		Run  RunID
		Unit *unit.Unit
		What Probed
		// Conditions to evaluate for ProbeConditions, and Checks to make besides.
		Conditions []unit.Condition
		Checks     []string
	}
	// CancelProbe says that the answer is no longer wanted.
	CancelProbe struct{ Run RunID }

	// Publish tells all listeners. Fields other than What are as it says.
	Publish struct {
		What      Published
		Unit      string
		From, To  State
		Sub       Sub
		Cause     Cause
		Job       JobID
		JobType   string
		JobResult JobResult
		Source    Source
	}

	// Reply answers a Request, exactly once.
	Reply struct {
		ID     RequestID
		Job    JobID
		Result JobResult // meaningful with Wait
		// First and Last are the jobs that were made for it, none if First is larger.
		First, Last JobID
		Err         *RequestError
	}

	// Log is one line for the manager's log; Text() renders it.
	Log struct {
		Level Level
		Unit  string
		Cause Cause
		From  State
		To    State
		// Note is set instead of From/To for things that are no transition.
		Note string
	}

	// Deposit and Withdraw tell PID 1 about descriptors that must survive.
	Deposit struct {
		Unit, Name string
		N          int
	}
	// Withdraw closes stored descriptors; Name "" means all of the unit.
	Withdraw struct{ Unit, Name string }

	// HandOver is the last action of a shutdown: nothing is left running.
	HandOver struct{ Kind ShutdownKind }

	// Emergency is a failure-action, a success-action or the root supervisor's policy: what
	// the machine must do now ("reboot-force", "poweroff-immediate", …).
	Emergency struct {
		Unit, Action string
		Cause        Cause
		// Wanted says that it is a success-action: nothing has gone wrong.
		Wanted bool `json:",omitempty"`
		// Argument is for reboot(2), Status what the manager exits with, -1 for its
		// own exit code.
		Argument string
		Status   int32
	}

	// Stamp persists the last elapse of a Persistent= timer.
	Stamp struct {
		Unit string
		Wall int64
	}
)

func (Spawn) action()        {}
func (Signal) action()       {}
func (KillCgroup) action()   {}
func (RemoveCgroup) action() {}
func (Reconfigure) action()  {}
func (Freeze) action()       {}
func (Thaw) action()         {}
func (Adopt) action()        {}
func (Listen) action()       {}
func (Unlisten) action()     {}
func (Watch) action()        {}
func (Unwatch) action()      {}
func (Probe) action()        {}
func (CancelProbe) action()  {}
func (Publish) action()      {}
func (Reply) action()        {}
func (Log) action()          {}
func (Deposit) action()      {}
func (Withdraw) action()     {}
func (HandOver) action()     {}
func (Emergency) action()    {}
func (Stamp) action()        {}

// Watched is what a Watch waits for.
type Watched uint8

const (
	WatchSocket Watched = iota
	WatchPaths
	WatchAutomount
	WatchBusName
)

// Probed is the question of a Probe.
type Probed uint8

const (
	// ProbeConditions evaluates Conditions and makes Checks, once.
	ProbeConditions Probed = iota
	// ProbeReady repeats the unit's tcp-port, http, path or pidfile check
	// until it holds; only success is reported.
	ProbeReady
	// ProbeReadyFD waits for the readiness descriptor of the main process.
	ProbeReadyFD
	// ProbeHealth checks once.
	ProbeHealth
)

// Published is the kind of a Publish.
type Published uint8

const (
	UnitChanged Published = iota
	UnitNew
	UnitRemoved
	JobNew
	JobRemoved
	// StatusChanged: STATUS=, main process or counters changed, not the state.
	StatusChanged
	// StartupFinished: the boot transaction has ended.
	StartupFinished
	// Degraded: the root supervisor gave up.
	Degraded
	// BootJudged: the verdict on the boot is another one.
	BootJudged
)

// Level orders log lines like syslog(3).
type Level uint8

const (
	LevelErr     Level = 3
	LevelWarning Level = 4
	LevelNotice  Level = 5
	LevelInfo    Level = 6
	LevelDebug   Level = 7
)

// RequestError is a refused request; Kind is the last part of systemd's D-Bus
// error name, or one of ours ("Protected", "ShuttingDown", "Busy").
type RequestError struct {
	Kind, Unit, Text string
}

func (e *RequestError) Error() string { return e.Text }

// Config is the policy of one manager.
type Config struct {
	User bool
	// Safe is safe mode: the set has graph.SafeTarget, and the units that are left out
	// do not count for the boot.
	Safe bool
	// Location is the local time zone for calendars; nil means UTC.
	Location *time.Location
	// ShutdownTimeout bounds the ordered stop (90 s when 0).
	ShutdownTimeout time.Duration
	// PostKill is how long a killed cgroup may stay populated (5 s when 0).
	PostKill time.Duration
	// JobRetention is how long ended jobs stay queryable (60 s when 0).
	JobRetention time.Duration
	// Boot is Mono's value when the machine booted (OnBootSec=) and Startup
	// when the manager started (OnStartupSec=).
	Boot, Startup time.Duration
	// Stamps are the persisted last elapses of timers, wall nanoseconds.
	Stamps map[string]int64
	// Seed feeds RandomizedDelaySec= and FixedRandomDelay= (machine id).
	Seed uint64
	// Plugged are device units known to exist at start, Mounted the mount
	// and swap units that are in the kernel's tables.
	Plugged, Mounted []string
}
