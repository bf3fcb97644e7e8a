package graph

import (
	"fmt"

	"dynamod/internal/diag"
)

// ManagerMode says which default dependencies hold.
type ManagerMode uint8

const (
	// System is the manager of the machine.
	System ManagerMode = iota
	// User is the manager of one user: no sysinit.target, no devices of fstab.
	User
)

// Config is what Build needs besides the units.
type Config struct {
	Mode ManagerMode
	// Safe leaves out what is not of safe mode: the set has SafeTarget.
	Safe bool
}

// Dependency explains one relation of one unit.
type Dependency struct {
	// Rel is a single relation.
	Rel    Rel
	Target Index
	// Pos is where a file asked for it; it is zero for implicit and default
	// dependencies. For inverse relations it is the file of the other unit.
	Pos diag.Pos
	// Origin is "" for what a file asked for, else "implicit: …" or
	// "default: …" with the rule and its man page.
	Origin string
}

// JobType is what a job wants of its unit.
type JobType uint8

const (
	// Start makes the unit active.
	Start JobType = iota
	// VerifyActive fails unless the unit is active or on its way there.
	VerifyActive
	// Stop makes it inactive.
	Stop
	// Reload makes an active unit read its configuration again.
	Reload
	// Restart stops the unit if it runs, then starts it. It waits as a Stop
	// does; once the unit is down the core turns the job into a Start.
	Restart
	// Nop does nothing and conflicts with nothing.
	Nop
	// ReloadOrStart, TryRestart and TryReload are requests only: a Plan has
	// what they come to in the present state.
	ReloadOrStart
	TryRestart
	TryReload
	// Reset forgets failure and restart counts; it is dynamod's own, pulls
	// in nothing and waits for nothing.
	Reset

	jobTypes
	// yieldingStop is used while planning only: the stop that a restart
	// passes on by PropagatesStopTo=. A unit that is to be started as well
	// is restarted (recorded).
	yieldingStop = jobTypes
)

// String gives the name that the D-Bus property JobType uses.
func (t JobType) String() string {
	if t < jobTypes {
		return [...]string{"start", "verify-active", "stop", "reload", "restart",
			"nop", "reload-or-start", "try-restart", "try-reload", "reset"}[t]
	}
	return fmt.Sprintf("job-type(%d)", uint8(t))
}

// ParseJobType is the reverse of String.
func ParseJobType(s string) (JobType, bool) {
	for t := range jobTypes {
		if t.String() == s {
			return t, true
		}
	}
	return 0, false
}

// Mode says how a request gets on with the jobs that exist (systemctl(1),
// "--job-mode=").
type Mode uint8

const (
	// Replace cancels installed jobs that are in the way.
	Replace Mode = iota
	// Fail refuses the request instead.
	Fail
	// ReplaceIrreversibly is Replace, and no later request may replace the
	// jobs: they end, or somebody cancels them.
	ReplaceIrreversibly
	// Isolate also stops every unit that the request does not need.
	Isolate
	// Flush cancels all installed jobs.
	Flush
	// IgnoreDependencies runs the job alone and without waiting.
	IgnoreDependencies
	// IgnoreRequirements pulls in nothing but keeps the order.
	IgnoreRequirements
	// Triggering also stops the units that trigger the one to be stopped.
	Triggering
	// RestartDependencies starts the unit and restarts what depends on it.
	RestartDependencies

	modes
)

// String gives the word that D-Bus and --job-mode= use.
func (m Mode) String() string {
	if m < modes {
		return [...]string{"replace", "fail", "replace-irreversibly", "isolate", "flush",
			"ignore-dependencies", "ignore-requirements", "triggering",
			"restart-dependencies"}[m]
	}
	return fmt.Sprintf("mode(%d)", uint8(m))
}

// ParseMode is the reverse of String.
func ParseMode(s string) (Mode, bool) {
	for m := range modes {
		if m.String() == s {
			return m, true
		}
	}
	return 0, false
}

// ActiveState is the high-level state of a unit, as systemd names it.
type ActiveState uint8

const (
	Inactive ActiveState = iota
	Activating
	Active
	Reloading
	Deactivating
	Failed
	Maintenance
	// Refreshing is a mount namespace being updated below a running unit.
	Refreshing

	activeStates
)

// String gives the D-Bus spelling.
func (s ActiveState) String() string {
	if s < activeStates {
		return [...]string{"inactive", "activating", "active", "reloading",
			"deactivating", "failed", "maintenance", "refreshing"}[s]
	}
	return fmt.Sprintf("active-state(%d)", uint8(s))
}

// Up says whether the unit is there for others: active, reloading, refreshing.
func (s ActiveState) Up() bool { return s == Active || s == Reloading || s == Refreshing }

// UpOrComing adds activating.
func (s ActiveState) UpOrComing() bool { return s.Up() || s == Activating }

// Down says whether nothing of the unit runs: inactive, failed, maintenance.
func (s ActiveState) Down() bool { return s == Inactive || s == Failed || s == Maintenance }

// DownOrGoing adds deactivating.
func (s ActiveState) DownOrGoing() bool { return s.Down() || s == Deactivating }

// JobInfo describes an installed job.
type JobInfo struct {
	Type         JobType
	Running      bool
	Irreversible bool
}

// Present is the state of the world that a Plan starts from. Plan calls it from
// one goroutine, in no particular order, and keeps nothing of it.
type Present interface {
	// Active is the state of the unit; placeholders are Inactive.
	Active(Index) ActiveState
	// Job is the installed job of the unit, if it has one. Nop and Reset
	// jobs are not to be reported: they are in nobody's way.
	Job(Index) (JobInfo, bool)
}

// Request asks for one thing.
type Request struct {
	Unit Index
	Type JobType
	Mode Mode
	// Manual says that a person or client asks, and not a trigger, policy or
	// the boot: RefuseManualStart= and RefuseManualStop= hold.
	Manual bool
	// NeverRefuse makes a cycle of required jobs cost its members instead of
	// the whole request: for the boot and the shutdown, which must not end
	// in "no". The lost jobs are in Dropped with cause HardCycle.
	NeverRefuse bool
	// NoCascade leaves running dependents of a stopped unit alone.
	NoCascade bool
}

// Planned is one job to install.
type Planned struct {
	Unit Index
	Type JobType
	// Required says that the anchor cannot do without it: its failure or
	// absence matters to the request.
	Required bool
	// By is the unit whose job pulled it in first; None for the anchor and
	// for what Isolate stops.
	By           Index
	Irreversible bool
	// NoOrder: the job does not wait (mode ignore-dependencies).
	NoOrder bool
	// Merges says that the unit has an installed job which this one joins:
	// Type is the merged type, the installed job keeps its id and state.
	Merges bool
	// Replaces says that the unit has an installed job which this one
	// cancels.
	Replaces bool
}

// DropCause says why a job is not in the plan.
type DropCause uint8

const (
	// SoftCycle: it was in an ordering cycle and nothing required it.
	SoftCycle DropCause = iota
	// HardCycle: it was required, in an ordering cycle, and NeverRefuse held.
	HardCycle
	// Conflicting: start and stop met, and this one mattered less.
	Conflicting
	// Unneeded: the job that pulled it in was dropped.
	Unneeded
	// Unstartable: wanted, but missing, masked, broken or of a type that
	// has no such job.
	Unstartable

	dropCauses
)

func (c DropCause) String() string {
	if c < dropCauses {
		return [...]string{"soft-cycle", "hard-cycle", "conflicting", "unneeded", "unstartable"}[c]
	}
	return fmt.Sprintf("drop-cause(%d)", uint8(c))
}

// Dropped is one job that the plan left out, worth a line in the log. Redundant
// jobs (start of an active unit) are not listed.
type Dropped struct {
	Unit  Index
	Type  JobType
	Cause DropCause
	// By is the unit that pulled it in.
	By Index
	// Path is the cycle, first unit not repeated; nil for other causes.
	Path []Index
	// Message is a sentence for people.
	Message string
}

// Plan is what a request comes to. Applying it means: cancel Flushed, then
// install Jobs; all or nothing.
type Plan struct {
	// Anchor is the position of the requested job in Jobs. It is there even
	// when its unit is in the wanted state already, because somebody waits
	// for it; a request that comes to nothing has a Nop there.
	Anchor int
	// Jobs has at most one job per unit, sorted by unit.
	Jobs    []Planned
	Dropped []Dropped
	// Flushed are the units whose installed jobs are cancelled without a
	// successor (mode flush and isolate), sorted.
	Flushed []Index
}

// ErrorKind names why there is no plan.
type ErrorKind uint8

const (
	NoSuchUnit ErrorKind = iota
	UnitMasked
	BadUnitSetting
	LoadFailed
	OnlyByDependency
	JobTypeNotApplicable
	NoIsolation
	TransactionIsDestructive
	TransactionJobsConflicting
	TransactionOrderIsCyclic
	// InvalidRequest: the mode does not fit the job type.
	InvalidRequest

	errorKinds
)

var errorNames = [...]string{
	"NoSuchUnit", "UnitMasked", "BadUnitSetting", "LoadFailed", "OnlyByDependency",
	"JobTypeNotApplicable", "NoIsolation", "TransactionIsDestructive",
	"TransactionJobsConflicting", "TransactionOrderIsCyclic", "InvalidArgs",
}

func (k ErrorKind) String() string {
	if k < errorKinds {
		return errorNames[k]
	}
	return fmt.Sprintf("error-kind(%d)", uint8(k))
}

// DBus is the name of the D-Bus error.
func (k ErrorKind) DBus() string {
	if k == InvalidRequest {
		return "org.freedesktop.DBus.Error.InvalidArgs"
	}
	return "org.freedesktop.systemd1." + k.String()
}

// PlanError says why a request is refused. Nothing has changed.
type PlanError struct {
	Kind ErrorKind
	Unit Index
	// Path is the cycle (first unit not repeated), or the conflicting pair.
	Path    []Index
	Message string
}

func (e *PlanError) Error() string { return e.Message }
