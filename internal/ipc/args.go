package ipc

// What clients send. All names on the wire are lower case with underscores. An
// unknown name is an error: a misspelt "wiat" must not be taken for "do not wait".

// NoArgs is for verbs without parameters.
type NoArgs struct{}

// PingArgs open a conversation.
type PingArgs struct {
	// Protocol is the newest version that the client speaks, 0 if it does
	// not care.
	Protocol int `json:"protocol,omitempty"`
}

// Page is embedded in the arguments of verbs whose answers come in pages.
type Page struct {
	// After is the Next of the page before, "" for the first one.
	After string `json:"after,omitempty"`
}

// ListArgs choose units; empty lists choose all.
type ListArgs struct {
	// Units are names or shell patterns.
	Units  []string `json:"units,omitempty"`
	States []string `json:"states,omitempty"`
	// Types are "service", "socket", ….
	Types []string `json:"types,omitempty"`
	// All includes units that are inactive and were never started.
	All bool `json:"all,omitempty"`
	// InUse leaves out units that nothing needs now: systemd would not have them
	// loaded.
	InUse bool `json:"in_use,omitempty"`
	// Held leaves out units that nobody holds on to with ref.
	Held bool `json:"held,omitempty"`
	// Known is the Tag of an answer that the caller has, or anything else to get one: if
	// nothing about the units is different now, the answer is its tag alone.
	Known string `json:"known,omitempty"`
	Page
}

// UnitArgs name one unit, or a process of it.
type UnitArgs struct {
	Unit string `json:"unit,omitempty"`
	// PID, if not 0, chooses the unit that the process belongs to.
	PID int32 `json:"pid,omitempty"`
}

// StoredArgs ask for the store of a unit.
type StoredArgs struct {
	Unit string `json:"unit"`
	Page
}

// ShowArgs ask for a unit's settings.
type ShowArgs struct {
	Unit string `json:"unit"`
	// Quick leaves out what only the disk knows, enabled and needs_reload: reading
	// that costs more than all the rest. For the verb unit.
	Quick bool `json:"quick,omitempty"`
	// Unmeasured leaves out what only the kernel knows, resources. For the verb unit.
	Unmeasured bool `json:"unmeasured,omitempty"`
	// Bare leaves out both. For the verb unit.
	Bare bool `json:"bare,omitempty"`
	// Known is the Tag of settings and relations that the caller has, or anything else to
	// get one: if they are the same now, they are left out. For the verb unit.
	Known string `json:"known,omitempty"`
	// Steps are those of a bare or unmeasured answer that the caller has: if nothing has happened since
	// and Known holds, facts are left out too, of an unmeasured answer all that are not of
	// the disk. For the verb unit.
	Steps uint64 `json:"steps,omitempty"`
	// Paths asks in OnDisk for what it rests on. For the verb unit.
	Paths bool `json:"paths,omitempty"`
	Page
}

// SecurityArgs ask how exposed a service is.
type SecurityArgs struct {
	Unit string `json:"unit"`
}

// TreeArgs ask for the supervision tree below one supervisor, "" for all.
type TreeArgs struct {
	Root string `json:"root,omitempty"`
	Page
}

// DepsArgs ask for what a unit needs, or with Reverse for what needs it.
type DepsArgs struct {
	Unit    string `json:"unit"`
	Reverse bool   `json:"reverse,omitempty"`
	// Depth bounds the tree; 0 means 1, -1 everything.
	Depth int `json:"depth,omitempty"`
	// Relations restrict the edges ("requires", "after", …); empty means all.
	Relations []string `json:"relations,omitempty"`
	Page
}

// JobsArgs choose jobs; an empty list chooses all that have not ended.
type JobsArgs struct {
	IDs []uint32 `json:"ids,omitempty"`
	Page
}

// LogsArgs choose lines of log.
type LogsArgs struct {
	// Units are names or patterns; empty means all.
	Units []string `json:"units,omitempty"`
	// Lines is how many of the newest to start with; 0 means all.
	Lines int `json:"lines,omitempty"`
	// Since and Until bound the time, in microseconds since the epoch.
	Since int64 `json:"since_usec,omitempty"`
	Until int64 `json:"until_usec,omitempty"`
	// Priority is the least important syslog level, 0 means all.
	Priority int `json:"priority,omitempty"`
	Page
}

// StatsArgs choose units to measure; empty means all with processes.
type StatsArgs struct {
	Units []string `json:"units,omitempty"`
	Page
}

// JobArgs begin a job: start, stop, restart, try-restart, reload,
// reload-or-start, reset.
type JobArgs struct {
	Unit string `json:"unit"`
	// Mode is replace (when ""), fail, replace-irreversibly, isolate, flush,
	// ignore-dependencies or ignore-requirements.
	Mode string `json:"mode,omitempty"`
	// Wait defers the answer until the job has ended.
	Wait bool `json:"wait,omitempty"`
	// Force allows stopping a protected unit.
	Force bool `json:"force,omitempty"`
	// NoCascade leaves units alone that depend on the target.
	NoCascade bool `json:"no_cascade,omitempty"`
	// DryRun answers what would be done and does nothing.
	DryRun bool `json:"dry_run,omitempty"`
	// Jobs answers with all jobs that were made for it.
	Jobs bool `json:"jobs,omitempty"`
}

// ManyArgs are for start-all, stop-all and delete-all. Empty Units means all that
// the operator's class may touch.
type ManyArgs struct {
	Units  []string `json:"units,omitempty"`
	Wait   bool     `json:"wait,omitempty"`
	Force  bool     `json:"force,omitempty"`
	DryRun bool     `json:"dry_run,omitempty"`
}

// KillArgs send a signal to a unit's processes.
type KillArgs struct {
	Unit string `json:"unit"`
	// Signal is a number or a name ("SIGHUP", "HUP", "1"); "" means SIGTERM.
	Signal string `json:"signal,omitempty"`
	// Whom is "all" (when ""), "main" or "control".
	Whom string `json:"whom,omitempty"`
	// Value comes with a signal of real time (sigqueue(3)).
	Value *int32 `json:"value,omitempty"`
}

// MountArgs mount a file or directory into a service that runs with mounts of its own.
type MountArgs struct {
	Unit   string `json:"unit"`
	Source string `json:"source"`
	// Target is Source when "".
	Target   string `json:"target,omitempty"`
	ReadOnly bool   `json:"read_only,omitempty"`
	// Make makes Target if it is not there.
	Make bool `json:"make,omitempty"`
}

// MarkArgs set and take away what is to be done with a unit later.
type MarkArgs struct {
	Unit string `json:"unit"`
	// Add and Drop have needs-reload and needs-restart; what is in neither stays.
	Add  []string `json:"add,omitempty"`
	Drop []string `json:"drop,omitempty"`
}

// CancelArgs cancel jobs: one by id, or those of a unit.
type CancelArgs struct {
	Job  uint32 `json:"job,omitempty"`
	Unit string `json:"unit,omitempty"`
}

// SubscribeArgs choose events; empty lists choose all. A second subscription of
// the same connection replaces the first.
type SubscribeArgs struct {
	// Kinds are EventUnit and so on.
	Kinds []string `json:"kinds,omitempty"`
	// Units are names or shell patterns. Events that concern no unit pass.
	Units []string `json:"units,omitempty"`
	// States restrict EventUnit to changes into these states.
	States []string `json:"states,omitempty"`
	// Merge is for who wants to know what units are, and not all that they went through:
	// of the events "unit" of one unit that wait to be read the last comes, in the place
	// of the first, and so with "status". A unit that came to rest is told of in any case.
	Merge bool `json:"merge,omitempty"`
}

// ReloadArgs load the configuration anew.
type ReloadArgs struct {
	// DryRun answers the difference and changes nothing.
	DryRun bool `json:"dry_run,omitempty"`
	// Evict stops units whose file is gone.
	Evict bool `json:"evict,omitempty"`
}

// RollbackArgs choose a generation; 0 is the one before the present.
type RollbackArgs struct {
	Generation uint64 `json:"generation,omitempty"`
	DryRun     bool   `json:"dry_run,omitempty"`
}

// ShutdownArgs end the machine, the container or the user manager.
type ShutdownArgs struct {
	// Kind is poweroff, reboot, halt, kexec, soft-reboot or exit.
	Kind string `json:"kind"`
	// Argument goes to reboot(2).
	Argument string `json:"argument,omitempty"`
	// Force skips the ordered stop of services.
	Force bool `json:"force,omitempty"`
	// ExitCode is for kind exit; without it, it is that of set-manager.
	ExitCode *int `json:"exit_code,omitempty"`
}

// Setting is one line of a unit file. Source is where it was read.
type Setting struct {
	Section string `json:"section"`
	Key     string `json:"key"`
	Value   string `json:"value"`
	Source  string `json:"source,omitempty"`
}

// SetPropertyArgs change settings of a unit.
type SetPropertyArgs struct {
	Unit     string    `json:"unit"`
	Settings []Setting `json:"settings"`
	// Runtime forgets them at the next boot.
	Runtime bool `json:"runtime,omitempty"`
}

// CleanArgs remove what a unit has left behind.
type CleanArgs struct {
	Unit string `json:"unit"`
	// What are configuration, state, cache, logs and runtime (systemctl(1), --what=);
	// nothing means cache and runtime.
	What []string `json:"what,omitempty"`
}

// BootMarkArgs are a verdict.
type BootMarkArgs struct {
	// Verdict is good or bad.
	Verdict string `json:"verdict"`
}

// AddArgs make a transient unit of any kind, and others that come with it.
type AddArgs struct {
	Unit     string    `json:"unit"`
	Settings []Setting `json:"settings,omitempty"`
	// PIDs are the processes that a scope is made of. They are moved into its group
	// when it starts.
	PIDs []int32 `json:"pids,omitempty"`
	// Aux are made together with Unit, all of them or none, and are not started: the
	// service of a timer, a slice.
	Aux []AddedUnit `json:"aux,omitempty"`
	// Start starts it at once, with Mode and Wait as in JobArgs.
	Start bool   `json:"start,omitempty"`
	Mode  string `json:"mode,omitempty"`
	Wait  bool   `json:"wait,omitempty"`
}

// AddedUnit is a further unit of AddArgs.
type AddedUnit struct {
	Unit     string    `json:"unit"`
	Settings []Setting `json:"settings,omitempty"`
}

// AttachArgs move processes into the group of a unit that runs.
type AttachArgs struct {
	Unit string  `json:"unit"`
	PIDs []int32 `json:"pids"`
	// Subgroup is a group below the unit's own, made if need be; it needs Delegate=.
	Subgroup string `json:"subgroup,omitempty"`
}

// NotifyArgs report in the words of sd_notify(3) for a unit.
type NotifyArgs struct {
	Unit string `json:"unit"`
	// State has lines such as READY=1.
	State string `json:"state"`
	// PID is the process that it is about, 0 for the caller.
	PID int32 `json:"pid,omitempty"`
}

// BusNameArgs are how the bridge tells that a bus name got or lost its owner.
type BusNameArgs struct {
	Name  string `json:"name"`
	Owned bool   `json:"owned"`
	// PID is the owner's, 0 if not known.
	PID int32 `json:"pid,omitempty"`
}

// EnvironmentArgs change the variables that services get from the manager: first
// those of Unset go, then those of Set come.
type EnvironmentArgs struct {
	// Unset are names, or NAME=VALUE for those that have just this value.
	Unset []string `json:"unset,omitempty"`
	// Set are NAME=VALUE.
	Set []string `json:"set,omitempty"`
}

// ManagerArgs change what the manager itself goes by; what is left out stays.
type ManagerArgs struct {
	// LogLevel is the least important level that it logs: emerg, alert, crit, err,
	// warning, notice, info or debug, or its number; "" is the first one again.
	LogLevel *string `json:"log_level,omitempty"`
	// LogTarget is where to: console, console-prefixed, kmsg, journal, journal-or-kmsg,
	// syslog, syslog-or-kmsg, auto or null; "" is the first one again.
	LogTarget *string `json:"log_target,omitempty"`
	// ServiceWatchdogs says whether what WatchdogSec=, FailureAction= and their kind ask
	// for is done.
	ServiceWatchdogs *bool `json:"service_watchdogs,omitempty"`
	// ExitCode is what it ends with when nobody says otherwise.
	ExitCode *uint8 `json:"exit_code,omitempty"`
	// ShowStatus is what the console shows of a boot and its end: yes, no, auto or
	// error; "" is what the kernel command line says.
	ShowStatus *string `json:"show_status,omitempty"`
	// RuntimeWatchdog is the hardware watchdog's time, 0 for none; WatchdogPre is how
	// long before that the kernel warns, as WatchdogGovernor says; RebootWatchdog and
	// KexecWatchdog are its times for the end of the machine. PID 1 has these: each comes
	// alone, because it could be refused when the others hold.
	RuntimeWatchdog  *uint64 `json:"runtime_watchdog_usec,omitempty"`
	WatchdogPre      *uint64 `json:"watchdog_pre_usec,omitempty"`
	WatchdogGovernor *string `json:"watchdog_governor,omitempty"`
	RebootWatchdog   *uint64 `json:"reboot_watchdog_usec,omitempty"`
	KexecWatchdog    *uint64 `json:"kexec_watchdog_usec,omitempty"`
}
