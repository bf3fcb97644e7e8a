package ipc

import "reflect"

// Verb is what a client wants. It is the method of JSON-RPC.
type Verb string

const (
	VerbPing        Verb = "ping"
	VerbDiscover    Verb = "rpc.discover"
	VerbList        Verb = "list"
	VerbStatus      Verb = "status"
	VerbShow        Verb = "show"
	VerbUnit        Verb = "unit"
	VerbSecurity    Verb = "security"
	VerbTree        Verb = "tree"
	VerbDeps        Verb = "deps"
	VerbWhy         Verb = "why"
	VerbJobs        Verb = "jobs"
	VerbLogs        Verb = "logs"
	VerbStats       Verb = "stats"
	VerbProcs       Verb = "procs"
	VerbBoot        Verb = "boot"
	VerbSubscribe   Verb = "subscribe"
	VerbUnsubscribe Verb = "unsubscribe"

	VerbStart         Verb = "start"
	VerbStop          Verb = "stop"
	VerbRestart       Verb = "restart"
	VerbTryRestart    Verb = "try-restart"
	VerbReload        Verb = "reload"
	VerbReloadOrStart Verb = "reload-or-start"
	VerbReset         Verb = "reset"
	VerbCancel        Verb = "cancel"
	VerbKill          Verb = "kill"
	VerbFreeze        Verb = "freeze"
	VerbThaw          Verb = "thaw"
	VerbRef           Verb = "ref"
	VerbUnref         Verb = "unref"
	VerbMark          Verb = "mark"
	VerbMount         Verb = "mount"
	VerbVerifyActive  Verb = "verify-active"
	VerbIsolate       Verb = "isolate"
	VerbStartAll      Verb = "start-all"
	VerbStopAll       Verb = "stop-all"

	VerbLoad         Verb = "load"
	VerbAdd          Verb = "add"
	VerbAttach       Verb = "attach"
	VerbAbandon      Verb = "abandon"
	VerbRemove       Verb = "remove"
	VerbDeleteAll    Verb = "delete-all"
	VerbSetProperty  Verb = "set-property"
	VerbClean        Verb = "clean"
	VerbNotify       Verb = "notify"
	VerbBusName      Verb = "bus-name"
	VerbEnvironment  Verb = "environment"
	VerbSetEnviron   Verb = "set-environment"
	VerbManager      Verb = "manager"
	VerbDynamicUsers Verb = "dynamic-users"
	VerbStored       Verb = "stored"
	VerbSetManager   Verb = "set-manager"
	VerbDaemonReload Verb = "daemon-reload"
	VerbRollback     Verb = "rollback"
	VerbBootHealth   Verb = "boot-health"
	VerbBootMark     Verb = "boot-mark"
	VerbReexec       Verb = "reexec"
	VerbShutdown     Verb = "shutdown"
	VerbDebugState   Verb = "debug-state"
)

// Right is what access.toml grants (see internal/access, which has the same
// words; a test compares them).
type Right string

const (
	RightQuery  Right = "query"
	RightStart  Right = "start"
	RightStop   Right = "stop"
	RightReload Right = "reload"
	RightSystem Right = "system"
)

// verb is a row of the table from which dispatch, rpc.discover and the test of
// docs/ipc.md are made.
type verb struct {
	name Verb
	// rights must all be granted; for verbs with a unit: on that unit. None
	// means that anybody may call it.
	rights  []Right
	args    func() any
	result  func() any
	summary string
	// required are the parameters that must be given.
	required []string
}

func of[T any]() any { return new(T) }

var (
	query   = []Right{RightQuery}
	start   = []Right{RightStart}
	stop    = []Right{RightStop}
	restart = []Right{RightStop, RightStart}
	system  = []Right{RightSystem}
)

var verbs = withRequired([]verb{
	{VerbPing, nil, of[PingArgs], of[PingResult], "who answers, and in which version", nil},
	{VerbDiscover, nil, of[NoArgs], of[Discovery], "this table as an OpenRPC document", nil},
	{VerbList, query, of[ListArgs], of[ListResult], "units, by name; paged", nil},
	{VerbStatus, query, of[UnitArgs], of[Status], "all about one unit, chosen by name or by process", nil},
	{VerbShow, query, of[ShowArgs], of[ShowResult], "the settings of a unit as they stand, and where they come from; paged", nil},
	{VerbUnit, query, of[ShowArgs], of[UnitResult], "a unit as the bridge shows it: state, settings with their defaults, relations; loads it; paged", nil},
	{VerbSecurity, query, of[SecurityArgs], of[SecurityResult], "how much a service leaves open, and what would close it", nil},
	{VerbTree, query, of[TreeArgs], of[TreeResult], "the supervision tree; paged", nil},
	{VerbDeps, query, of[DepsArgs], of[DepsResult], "what a unit needs, or what needs it; paged", nil},
	{VerbWhy, query, of[UnitArgs], of[WhyResult], "why a unit is in its state, down to the root of the matter", nil},
	{VerbJobs, query, of[JobsArgs], of[JobsResult], "jobs that wait or run, or by id; paged", nil},
	{VerbLogs, query, of[LogsArgs], of[LogsResult], "lines of log, oldest first; paged", nil},
	{VerbStats, query, of[StatsArgs], of[StatsResult], "what units consume; paged", nil},
	{VerbProcs, query, of[TreeArgs], of[ProcsResult], "processes by unit; paged", nil},
	{VerbBoot, query, of[ListArgs], of[BootResult], "how long the boot and each unit took; paged", nil},
	{VerbSubscribe, query, of[SubscribeArgs], of[SubscribeResult], "push events from now on", nil},
	{VerbUnsubscribe, nil, of[NoArgs], of[Done], "push no more events", nil},

	{VerbStart, start, of[JobArgs], of[JobResult], "start a unit and what it needs", nil},
	{VerbStop, stop, of[JobArgs], of[JobResult], "stop a unit and what needs it", nil},
	{VerbRestart, restart, of[JobArgs], of[JobResult], "stop, then start; start if it is down", nil},
	{VerbTryRestart, restart, of[JobArgs], of[JobResult], "restart if it is up", nil},
	{VerbReload, []Right{RightReload}, of[JobArgs], of[JobResult], "let a unit read its own configuration again", nil},
	{VerbReloadOrStart, []Right{RightReload, RightStart}, of[JobArgs], of[JobResult], "reload if it is up, else start", nil},
	{VerbReset, start, of[JobArgs], of[JobResult], "forget a failure and the restart counters", nil},
	{VerbCancel, stop, of[CancelArgs], of[Done], "cancel a job", nil},
	{VerbKill, stop, of[KillArgs], of[Done], "send a signal to processes of a unit", nil},
	{VerbFreeze, stop, of[UnitArgs], of[Done], "suspend all processes of a unit", nil},
	{VerbThaw, start, of[UnitArgs], of[Done], "let them go on", nil},
	{VerbRef, system, of[UnitArgs], of[Done], "keep a transient unit that has ended until somebody has looked (for the bridge)", nil},
	{VerbUnref, system, of[UnitArgs], of[Done], "let go of it", nil},
	{VerbMount, system, of[MountArgs], of[Done], "mount a file or directory into a service that runs with mounts of its own", nil},
	{VerbMark, system, of[MarkArgs], of[Done], "remember of a unit that it needs a restart or a reload (for the bridge)", nil},
	{VerbVerifyActive, start, of[JobArgs], of[JobResult], "fail unless a unit is up or on its way there", nil},
	{VerbIsolate, system, of[JobArgs], of[JobResult], "start a unit and stop everything that it does not need", nil},
	{VerbStartAll, start, of[ManyArgs], of[ManyResult], "start many units", nil},
	{VerbStopAll, stop, of[ManyArgs], of[ManyResult], "stop many units, none that is protected", nil},

	{VerbLoad, query, of[UnitArgs], of[Unit], "load a unit's files if that has not happened yet", nil},
	{VerbAdd, system, of[AddArgs], of[JobResult], "make a transient unit, with others that come with it: all or none", nil},
	{VerbAttach, system, of[AttachArgs], of[Done], "move processes into a unit that runs", nil},
	{VerbAbandon, system, of[UnitArgs], of[Done], "leave the processes of a scope to themselves", nil},
	{VerbRemove, system, of[JobArgs], of[JobResult], "stop a transient unit and forget it", nil},
	{VerbDeleteAll, system, of[ManyArgs], of[ManyResult], "stop and forget many transient units", nil},
	{VerbSetProperty, system, of[SetPropertyArgs], of[Done], "change settings of a unit", nil},
	{VerbClean, system, of[CleanArgs], of[Done], "remove the directories of a unit at rest: state, cache, logs, runtime, configuration", nil},
	{VerbNotify, system, of[NotifyArgs], of[Done], "report readiness and the like for a unit", nil},
	{VerbBusName, system, of[BusNameArgs], of[Done], "a bus name got or lost its owner (for the bridge)", nil},
	{VerbEnvironment, query, of[NoArgs], of[EnvironmentResult], "the variables that services get from the manager", nil},
	{VerbSetEnviron, system, of[EnvironmentArgs], of[Done], "change the variables that services get from now on", nil},
	{VerbDynamicUsers, query, of[Page], of[DynamicUsersResult], "the users that exist while a unit with DynamicUser= does; paged", nil},
	{VerbStored, system, of[StoredArgs], of[StoredResult], "the descriptors that a unit has put into its store; paged", nil},
	{VerbManager, query, of[NoArgs], of[ManagerResult], "what the manager itself goes by: its log, its exit code, watchdogs", nil},
	{VerbSetManager, system, of[ManagerArgs], of[Done], "change that until the end of the boot, all that is named or nothing; a setting of the hardware watchdog comes alone", nil},
	{VerbDaemonReload, system, of[ReloadArgs], of[ReloadResult], "load the configuration anew, all of it or nothing", nil},
	{VerbRollback, system, of[RollbackArgs], of[ReloadResult], "return to a former generation of the configuration", nil},
	{VerbBootHealth, query, of[NoArgs], of[BootHealthResult], "how this boot stands: its verdict, its kind, and what is still missed", nil},
	{VerbBootMark, system, of[BootMarkArgs], of[Done], "say that this boot is good or that it is bad", nil},
	{VerbReexec, system, of[NoArgs], of[Done], "replace the manager by its new program; services go on", nil},
	{VerbShutdown, system, of[ShutdownArgs], of[Done], "stop everything in order, then end", nil},
	{VerbDebugState, system, of[Page], of[DebugResult], "the manager's inner state, for developers; paged", nil},
})

// withRequired finds the parameters without omitempty: those must be given.
func withRequired(rows []verb) []verb {
	for i := range rows {
		for _, f := range fields(reflect.TypeOf(rows[i].args()).Elem()) {
			if f.required {
				rows[i].required = append(rows[i].required, f.name)
			}
		}
	}
	return rows
}

var verbIndex = func() map[Verb]*verb {
	m := make(map[Verb]*verb, len(verbs))
	for i := range verbs {
		m[verbs[i].name] = &verbs[i]
	}
	return m
}()

// Verbs are all verbs, in the order of the documentation.
func Verbs() []Verb {
	out := make([]Verb, len(verbs))
	for i := range verbs {
		out[i] = verbs[i].name
	}
	return out
}

// Rights are those that a verb needs, all of them, on the unit that it names. The
// Handler checks them.
func (v Verb) Rights() []Right {
	if row := verbIndex[v]; row != nil {
		return row.rights
	}
	return []Right{RightSystem}
}
