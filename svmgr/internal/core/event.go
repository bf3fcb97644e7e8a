package core

import (
	"time"

	"dynamod/internal/diag"
	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

// Time is the moment of an event. Deadlines use Mono, calendars use Wall.
type Time struct {
	// Mono is CLOCK_BOOTTIME: it counts suspend and never jumps.
	Mono time.Duration
	// Wall is nanoseconds since the epoch; a jump is told by ClockJump.
	Wall int64
}

// RunID names one attempt to do one thing outside: run a process, probe, listen
// or mount. It is never reused; an event for an unknown RunID is a no-op.
type RunID uint64

// JobID names a job for clients; it is never reused.
type JobID uint32

// RequestID is chosen by the caller and comes back in the Reply.
type RequestID uint64

// Event is what happened outside. Events are past tense.
type Event interface{ event() }

type (
	// Loaded brings units that were loaded on demand or made transiently.
	// A unit of the same name that is not at rest is kept; it takes over new
	// values if all that differ may change while it runs (unit.Setting.Live).
	// A unit that nobody needs is forgotten again at once, unless Hold holds on to
	// all of them until Released.
	Loaded struct {
		Units []*unit.Unit
		Hold  bool
	}

	// Released lets go of units that were loaded with Hold, each once.
	Released struct{ Names []string }

	// Reloaded brings a new generation. If Rejected is not empty the new
	// files were invalid and nothing changes. Evict stops what vanished.
	Reloaded struct {
		Set      *unit.Set
		Rejected []diag.Diag
		Evict    bool
		// OnDemand are the units of Set that it has only because they were loaded
		// on demand.
		OnDemand []string
		// Request, if not 0, is answered.
		Request RequestID
	}

	// SpawnDone says that the process of Run has executed its program: every
	// set-up stage succeeded.
	SpawnDone struct{ Run RunID }

	// SpawnFailed says that Run never executed. Stage is the set-up step.
	SpawnFailed struct {
		Run   RunID
		Stage string
		Errno int32
	}

	// Exited is the end of a process: an exit code, or a signal if not 0.
	Exited struct {
		Run    RunID
		Code   int32
		Signal int32
		Core   bool
		// Unseen says that it ended and nobody knows how: it had become the
		// child of another process.
		Unseen bool
	}

	// Notified is one sd_notify datagram. The world has mapped its sender by
	// SCM_CREDENTIALS to a run (its main or control process) or to the unit's
	// cgroup; Incarnation is the one whose cgroup the sender was found in.
	Notified struct {
		Unit        string
		Incarnation RunID
		// Run is the run whose own process sent it, 0 for another process
		// of the cgroup.
		Run RunID
		Notification
	}

	// Ready says that a readiness descriptor (fd, s6) fired for Run.
	Ready struct{ Run RunID }

	// MainPID says that the process which the unit named by PIDFile= or
	// MAINPID= was verified and is from now on known as Run.
	MainPID struct {
		Unit        string
		Incarnation RunID
		Run         RunID // as given by the Adopt action; alive
		Found       bool
	}

	// CgroupEmpty says that no process of this incarnation is left.
	CgroupEmpty struct {
		Unit        string
		Incarnation RunID
	}

	// OOMKilled says that the kernel killed at least one process there.
	OOMKilled struct {
		Unit        string
		Incarnation RunID
	}

	// Listening answers Listen: the sockets are bound, or Errno says why not; it is
	// Unsupported for an automount that this kernel cannot have.
	Listening struct {
		Run   RunID
		Errno int32
	}

	// Readable says that a watched socket of the unit has traffic.
	Readable struct{ Unit string }

	// Accepted brings the instance that was loaded for one connection of an
	// Accept=yes socket; the world holds the connection for its first run.
	Accepted struct {
		Socket   string
		Instance *unit.Unit
		// Source is the peer, for MaxConnectionsPerSource=.
		Source string
	}

	// PathChanged says that a watch of a path unit fired or holds.
	PathChanged struct {
		Unit string
		// Watch is the index into unit.PathWatches.
		Watch int
	}

	// DeviceAppeared is the state of a device unit; Gone means it went away.
	DeviceAppeared struct {
		Unit string
		Gone bool
		// Description and Wants, unit names separated by blanks, are what the
		// udev database says (systemd.device(5)). Changed marks a "change" of
		// a device that was there.
		Description, Wants string
		Changed            bool
	}

	// MountChanged is the kernel's mount or swap table: it is the truth.
	MountChanged struct {
		Unit    string
		Mounted bool
		// What, Where, FSType and Options describe it for the unit of what
		// others mounted, which has no file; Where is "" for a swap.
		What, Where, FSType, Options string
	}

	// AutomountRequested says that somebody waits at an autofs mount point.
	AutomountRequested struct{ Unit string }

	// BusNameAcquired says that the unit's BusName= has an owner.
	BusNameAcquired struct{ Name, Unit string }
	// BusNameLost says that it has none any more.
	BusNameLost struct{ Name, Unit string }

	// ProbeResult answers a Probe.
	ProbeResult struct {
		Run RunID
		// OK is the verdict of a readiness or health check.
		OK bool
		// Held has one fact per condition, in the order of the Probe, before
		// any '!': the core negates.
		Held []bool
		// Findings has one answer per check, in the order of the Probe.
		Findings []Finding
		// Detail is for people ("connection refused").
		Detail string
	}

	// BootMarked is a verdict on the boot from outside. Late is PID 1's, whose time for it
	// is over: it holds only while there is none.
	BootMarked struct {
		Good, Late bool
		// Request, if not 0, is answered.
		Request RequestID
	}

	// ClockJump says that the wall clock was set, or, with a Zone, that the time
	// zone changed: its name for people and the content of its file (tzfile(5)),
	// so that the same event means the same when it is read back.
	ClockJump struct {
		Zone     string
		ZoneData []byte
	}

	// ManagerRestored is the first event after Restore: the runs of the
	// snapshot whose process still lives. All others ended unseen; what is
	// known of their end comes in Exits.
	ManagerRestored struct {
		Alive []RunID
		Exits []Exited
		// Unborn are runs that never got a process: the former manager died
		// between the decision and the fork. They are begun again.
		Unborn []RunID
		// Populated are the units whose cgroup still holds processes.
		Populated []string
	}

	// Request is somebody's wish.
	Request struct {
		ID     RequestID
		Verb   Verb
		Unit   string
		Mode   graph.Mode
		Source Source
		// Job is for Cancel.
		Job JobID
		// Signal and Whom are for Kill; with Queue, Value comes along.
		Signal int32
		Whom   Whom
		Queue  bool
		Value  int32
		// Add and Drop are for Mark.
		Add, Drop Mark
		// Wait defers the Reply until the job has ended.
		Wait bool
		// Force allows stopping a protected unit.
		Force bool
	}

	// ShutdownRequested begins the ordered stop of everything. Now kills what still
	// runs at once, as if the shutdown's time were up.
	ShutdownRequested struct {
		Kind    ShutdownKind
		Request RequestID
		Now     bool
	}

	// WatchdogsSet says whether watchdogs of services and what units ask for in an
	// emergency are obeyed (systemctl(1), service-watchdogs).
	WatchdogsSet struct{ Off bool }

	// Tick says that the Deadline has come; it carries nothing.
	Tick struct{}
)

// Unsupported is no errno(3): the kernel lacks what is asked for, whoever asks.
const Unsupported int32 = -1

func (Loaded) event()             {}
func (Released) event()           {}
func (Reloaded) event()           {}
func (SpawnDone) event()          {}
func (SpawnFailed) event()        {}
func (Exited) event()             {}
func (Notified) event()           {}
func (Ready) event()              {}
func (MainPID) event()            {}
func (CgroupEmpty) event()        {}
func (OOMKilled) event()          {}
func (Listening) event()          {}
func (Readable) event()           {}
func (Accepted) event()           {}
func (PathChanged) event()        {}
func (DeviceAppeared) event()     {}
func (MountChanged) event()       {}
func (AutomountRequested) event() {}
func (BusNameAcquired) event()    {}
func (BusNameLost) event()        {}
func (ProbeResult) event()        {}
func (BootMarked) event()         {}
func (ClockJump) event()          {}
func (ManagerRestored) event()    {}
func (Request) event()            {}
func (ShutdownRequested) event()  {}
func (WatchdogsSet) event()       {}
func (Tick) event()               {}

// Notification is the parsed content of an sd_notify datagram (sd_notify(3)).
type Notification struct {
	Ready, Reloading, Stopping bool
	Status                     string
	// Errno, BusError, ExitStatus are kept for people.
	Errno    int32
	BusError string
	// VarlinkError is VARLINKERROR=.
	VarlinkError string
	ExitStatus   string
	// MainPID asks for another main process; the world verifies it and
	// answers the Adopt action.
	MainPID int32
	// Watchdog is WATCHDOG=1, WatchdogTrigger is WATCHDOG=trigger.
	Watchdog, WatchdogTrigger bool
	// WatchdogPeriod replaces the watchdog's period; nil leaves it.
	WatchdogPeriod *time.Duration
	// ExtendTimeout is EXTEND_TIMEOUT_USEC; 0 when absent.
	ExtendTimeout time.Duration
	// ReloadStamp is the reload handshake's stamp; 0 when absent.
	ReloadStamp time.Duration
	// FDStore is how many descriptors came with FDSTORE=1, under FDName.
	FDStore  int
	FDName   string
	FDRemove bool
	FDNoPoll bool
}

// Verb is what a Request asks for.
type Verb uint8

const (
	VerbStart Verb = iota
	VerbStop
	VerbRestart
	VerbTryRestart
	VerbReload
	VerbReloadOrStart // systemctl reload-or-restart starts what is not active
	VerbVerifyActive
	// VerbReset clears failed, blocked, dormant and the restart counters.
	VerbReset
	// VerbCancel cancels Request.Job.
	VerbCancel
	VerbKill
	VerbFreeze
	VerbThaw
	// VerbAbandon leaves the processes of a scope to whoever made them: they go on,
	// and the scope ends with the last one (org.freedesktop.systemd1(5), Abandon).
	VerbAbandon
	// VerbRef keeps a unit that was made for a client from being forgotten, until
	// VerbUnref.
	VerbRef
	VerbUnref
	// VerbMark sets and takes away what a client wants to be done with the unit later.
	VerbMark
)

// Mark is what is to be done with a unit later (org.freedesktop.systemd1(5), Markers).
type Mark uint8

const (
	NeedsReload Mark = 1 << iota
	NeedsRestart
)

var verbNames = [...]string{"start", "stop", "restart", "try-restart", "reload",
	"reload-or-start", "verify-active", "reset", "cancel", "kill", "freeze", "thaw", "abandon", "ref", "unref", "mark"}

func (v Verb) String() string { return verbNames[v] }

// Whom is the target of a Kill, as systemctl kill --kill-whom= names it.
type Whom uint8

const (
	WhomAll Whom = iota
	WhomMain
	WhomControl
)

// Source is who wanted a job.
type Source uint8

const (
	SourceOperator Source = iota
	SourceDBus
	SourceDependency
	SourceRestartPolicy
	SourceTimer
	SourceSocket
	SourcePath
	SourceAutomount
	SourceDevice
	SourceBindsTo
	SourceSupervisor
	SourceOnFailure
	SourceUpholds
	SourceUnneeded
	SourceBoot
	SourceShutdown
	SourceReload
)

var sourceNames = [...]string{"operator", "dbus", "dependency", "restart-policy",
	"timer", "socket", "path", "automount", "device", "binds-to", "supervisor", "on-failure",
	"upholds", "unneeded", "boot", "shutdown", "reload"}

func (s Source) String() string { return sourceNames[s] }

// ShutdownKind is how the machine ends.
type ShutdownKind uint8

const (
	Poweroff ShutdownKind = iota
	Reboot
	Halt
	Kexec
	SoftReboot
	// Exit ends a user manager or a container.
	Exit
)

var shutdownNames = [...]string{"poweroff", "reboot", "halt", "kexec", "soft-reboot", "exit"}

func (k ShutdownKind) String() string { return shutdownNames[k] }
