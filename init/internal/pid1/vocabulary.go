package pid1

import ipc "dynamod/internal/ipc/pid1"

// Time is CLOCK_MONOTONIC in nanoseconds. It stands still while the machine
// sleeps: with a clock that counts suspend, each resume would look like a manager
// that missed a thousand heartbeats.
type Time int64

// State is where PID 1 is. It has one state, not one for each concern, so that the
// table below is everything there is to know.
type State uint8

const (
	// Down: no manager; the next one starts when the delay is over.
	Down State = iota
	// Up: the manager runs.
	Up
	// Aborting: it hangs and got SIGABRT, so that it writes down where.
	Aborting
	// Killing: it got SIGKILL.
	Killing
	// Clearing: it got SIGKILL to make room for the emergency shell.
	Clearing
	// Shell: the emergency shell runs in its place.
	Shell
	// Stopping: the manager was asked for the ordered stop.
	Stopping
	// StopDown: there is no manager to do the ordered stop; one is started.
	StopDown
	// Terming: everybody got SIGTERM.
	Terming
	// Ending: everybody got SIGKILL.
	Ending
	// Over: nothing is decided any more.
	Over
	numStates
)

var stateNames = [numStates]string{Down: "down", Up: "up", Aborting: "aborting", Killing: "killing", Clearing: "clearing",
	Shell: "shell", Stopping: "stopping", StopDown: "stop-down", Terming: "terming", Ending: "ending", Over: "over"}

func (s State) String() string { return stateNames[s] }

// Input is what can happen, as far as the table tells cases apart.
type Input uint8

const (
	InSpawned Input = iota
	InSpawnFailed
	InDied
	InHeartbeat
	InHello
	InRequest
	InDeaf
	InStop
	InForce
	InEmergency
	InForward
	InShellEnded
	InShellFailed
	InEmpty
	InDelay
	InHung
	InPhase
	InBootLate
	numInputs
)

var inputNames = [numInputs]string{InSpawned: "spawned", InSpawnFailed: "spawn-failed", InDied: "died", InHeartbeat: "heartbeat",
	InHello: "hello", InRequest: "request", InDeaf: "deaf", InStop: "stop", InForce: "force", InEmergency: "emergency",
	InForward: "forward", InShellEnded: "shell-ended", InShellFailed: "shell-failed", InEmpty: "empty",
	InDelay: "delay", InHung: "hung", InPhase: "phase", InBootLate: "boot-late"}

func (i Input) String() string { return inputNames[i] }

// Act is what is done about it.
type Act uint8

const (
	Ignore Act = iota
	ActSpawn
	ActUp
	ActUpStopping
	ActSpawnFailed
	ActDied
	ActDiedStopping
	ActShell
	ActClear
	ActShellEnded
	ActShellFailed
	ActBeat
	ActHello
	ActDeaf
	ActAbort
	ActKill
	ActKillAgain
	ActAsk
	ActStopNoted
	ActStopDown
	ActAgain
	ActForward
	ActTerm
	ActKillAll
	ActForce
	ActFinish
	ActBootLate
	numActs
)

var actNames = [numActs]string{Ignore: "ignore", ActSpawn: "spawn", ActUp: "up", ActUpStopping: "up-stopping",
	ActSpawnFailed: "spawn-failed", ActDied: "died", ActDiedStopping: "died-stopping", ActShell: "shell", ActClear: "clear",
	ActShellEnded: "shell-ended", ActShellFailed: "shell-failed", ActBeat: "beat", ActHello: "hello", ActDeaf: "deaf",
	ActAbort: "abort", ActKill: "kill", ActKillAgain: "kill-again", ActAsk: "ask", ActStopNoted: "stop-noted",
	ActStopDown: "stop-down", ActAgain: "again", ActForward: "forward", ActTerm: "term", ActKillAll: "kill-all",
	ActForce: "force", ActFinish: "finish", ActBootLate: "boot-late"}

func (a Act) String() string { return actNames[a] }

// table has an act for each state and input; what is not written is Ignore.
var table = [numStates][numInputs]Act{
	Down: {InSpawned: ActUp, InSpawnFailed: ActSpawnFailed, InDelay: ActSpawn, InStop: ActStopDown, InForce: ActForce,
		InEmergency: ActShell, InForward: ActForward, InBootLate: ActBootLate},
	Up: {InDied: ActDied, InHeartbeat: ActBeat, InHello: ActHello, InRequest: ActTerm, InDeaf: ActDeaf, InHung: ActAbort,
		InStop: ActAsk, InForce: ActForce, InEmergency: ActClear, InForward: ActForward, InBootLate: ActBootLate},
	Aborting: {InDied: ActDied, InRequest: ActTerm, InPhase: ActKill, InStop: ActStopNoted, InForce: ActForce,
		InEmergency: ActClear, InForward: ActForward, InBootLate: ActBootLate},
	Killing: {InDied: ActDied, InRequest: ActTerm, InPhase: ActKillAgain, InStop: ActStopNoted, InForce: ActForce,
		InEmergency: ActClear, InForward: ActForward, InBootLate: ActBootLate},
	Clearing: {InDied: ActShell, InRequest: ActTerm, InPhase: ActKillAgain, InStop: ActStopNoted, InForce: ActForce,
		InForward: ActForward, InBootLate: ActBootLate},
	Shell: {InShellEnded: ActShellEnded, InShellFailed: ActShellFailed, InStop: ActStopDown, InForce: ActForce,
		InForward: ActForward, InBootLate: ActBootLate},
	Stopping: {InDied: ActDiedStopping, InHeartbeat: ActBeat, InHello: ActHello, InRequest: ActTerm, InDeaf: ActDeaf,
		InHung: ActAbort, InPhase: ActTerm, InStop: ActAgain, InForce: ActForce},
	StopDown: {InSpawned: ActUpStopping, InSpawnFailed: ActTerm, InDelay: ActSpawn, InPhase: ActTerm, InStop: ActAgain, InForce: ActForce},
	Terming:  {InEmpty: ActFinish, InPhase: ActKillAll, InForce: ActKillAll},
	Ending:   {InEmpty: ActFinish, InPhase: ActFinish, InForce: ActFinish},
	Over:     {},
}

// OrderKind is what the shell is told to do.
type OrderKind uint8

const (
	// Spawn starts a manager and answers with Spawned or SpawnFailed.
	Spawn OrderKind = iota + 1
	// HangUp closes the channel to the manager that died.
	HangUp
	// SignalManager sends Signal to the manager.
	SignalManager
	// SignalAll sends Signal to every process but PID 1.
	SignalAll
	// StartShell starts the emergency shell and answers with ShellFailed or, when
	// it is over, ShellEnded.
	StartShell
	// CloseFD closes FD, which was kept or came unasked.
	CloseFD
	// Say writes a line about Notice, with Number, to kernel log and console.
	Say
	// LogLine writes Text at Level for the manager.
	LogLine
	// ShowBoot publishes Boot.
	ShowBoot
	// Feed feeds the hardware watchdog.
	Feed
	// SetWatchdog sets of it what Level, an ipc.Setting, says: to Usec or Text. It is
	// answered with WatchdogSet.
	SetWatchdog
	// Finish is the last order: go down as Ending says.
	Finish
)

// Order is one thing to do. Text is valid until the next call of the machine.
type Order struct {
	Kind   OrderKind
	Signal int32
	FD     int32
	Level  uint8
	Notice Notice
	Number int64
	Boot   Boot
	Usec   uint64
	Text   []byte
}

// Boot is the verdict on the boot.
type Boot uint8

const (
	Pending Boot = iota
	BootOK
	Degraded
	Failed
)

var bootNames = [...]string{Pending: "pending", BootOK: "ok", Degraded: "degraded", Failed: "failed"}

func (b Boot) String() string { return bootNames[b] }

// End is how it ends.
type End struct {
	Kind    ipc.Shutdown
	Urgency ipc.Urgency
	// Argument is that of reboot(2), or in a container the exit code.
	Argument []byte
	// Code is what PID 1 of a container exits with.
	Code uint8
}

// Config is what does not change while PID 1 runs. Durations are in nanoseconds.
type Config struct {
	// Heartbeat is how often the manager beats; after Missed of them without one
	// it hangs. Before its first one it has StartGrace, to read its units.
	Heartbeat, StartGrace Time
	Missed                int
	// AbortWait is how long it has after SIGABRT, and after SIGKILL before that
	// is repeated.
	AbortWait Time
	// DelayMin is the first delay before a new manager; it doubles to DelayMax,
	// and begins anew after a manager that lived for Steady.
	DelayMin, DelayMax, Steady Time
	// Rapid is how many managers in a row may die before Steady until the
	// emergency; one that dies within AfterShell of the shell is answered with
	// a reboot.
	Rapid      int
	AfterShell Time
	// StopWait bounds the ordered stop, TermWait and KillWait the end of what
	// is left.
	StopWait, TermWait, KillWait Time
	// BootDeadline is when a boot that is still pending has failed, 0 for never.
	BootDeadline Time
	BootAction   ipc.BootAction
	// DeadlineFixed and ActionFixed: somebody has said so at the start, and the
	// configuration does not change it.
	DeadlineFixed, ActionFixed bool
	// Feed is how often the hardware watchdog is fed, 0 for never.
	Feed Time
	// Container: PID 1 of a container; there is no shell, and the end is an exit.
	Container bool
	// Emergency asks for the shell before the first manager.
	Emergency bool
}

// Second is the unit of Time that people think in.
const Second Time = 1e9

// Defaults are the values that the documents promise.
func Defaults() Config {
	return Config{
		Heartbeat: 5 * Second, Missed: 3, StartGrace: 60 * Second, AbortWait: 5 * Second,
		DelayMin: Second / 2, DelayMax: 30 * Second, Steady: 30 * Second, Rapid: 5, AfterShell: 60 * Second,
		StopWait: 30 * 60 * Second, TermWait: 5 * Second, KillWait: 2 * Second,
		BootDeadline: 5 * 60 * Second, BootAction: ipc.BootNone,
	}
}
