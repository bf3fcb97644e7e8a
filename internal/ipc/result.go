package ipc

// What the manager answers. States, subs, causes and job words are those of the
// manager (docs/states.md); a client must expect words that it does not know.

// Protocol is the version of this protocol. It grows when something that a
// client may rely on changes its meaning; new verbs and new fields do not count.
const Protocol = 1

// Done is the answer of a verb that has nothing to say.
type Done struct{}

// PingResult tells who answers.
type PingResult struct {
	Protocol int `json:"protocol"`
	// Program is "dynamod-svmgr".
	Program string `json:"program"`
	Version string `json:"version"`
	PID     int32  `json:"pid"`
	// Mode is system, user, container or standalone.
	Mode string `json:"mode"`
	// State is starting, running, degraded or stopping.
	State      string `json:"state"`
	Generation uint64 `json:"generation"`
	Started    Stamp  `json:"started"`
	// Boot says why this boot is not the ordinary one, "" if it is.
	Boot string `json:"boot,omitempty"`
}

// BootHealthResult is how this boot stands.
type BootHealthResult struct {
	// Verdict is the manager's: pending, good or bad. Init is PID 1's, which also knows
	// ok, degraded and failed; "" where no dynamod-init says anything.
	Verdict string `json:"verdict"`
	Init    string `json:"init,omitempty"`
	// Kind is full, rollback, safe or emergency, Why the reason of all but the first.
	Kind string `json:"kind"`
	Why  string `json:"why,omitempty"`
	// Failed is how many boots went wrong before this one, Attempts after how many the
	// ladder begins (0: never), Counter the file that counts them, "" for a manager
	// without a ladder, and Counted whether this boot is in it.
	Failed   int    `json:"failed"`
	Attempts int    `json:"attempts"`
	Counter  string `json:"counter,omitempty"`
	Counted  bool   `json:"counted"`
	// Generation is the configuration in force, Good the one that booted well last, 0 for
	// none.
	Generation uint64 `json:"generation"`
	Good       uint64 `json:"good,omitempty"`
	// StatusFile and Status are of the generation of the system.
	StatusFile string `json:"status_file,omitempty"`
	Status     string `json:"status,omitempty"`
	// Due is in how many microseconds the boot will be good, if nothing changes, -1 if
	// something is missed.
	Due int64 `json:"due_usec"`
	// Members are the units that must be up, Hidden how many more the caller may not see.
	Members []BootMember `json:"members,omitempty"`
	Hidden  int          `json:"hidden,omitempty"`
}

// BootMember is a unit that must be up for Grace microseconds; Since is when it came up.
type BootMember struct {
	Unit  string `json:"unit"`
	State string `json:"state"`
	Up    bool   `json:"up"`
	Since Stamp  `json:"since"`
	Grace int64  `json:"grace_usec"`
}

// Stamp is a moment, in microseconds since the epoch and since boot; zero when
// it has not come yet.
type Stamp struct {
	Wall int64 `json:"wall_usec"`
	Mono int64 `json:"mono_usec"`
}

// More is embedded in answers that come in pages: the After of the next page,
// "" when this is the last one.
type More struct {
	Next string `json:"next,omitempty"`
}

// Unit is one row of a list.
type Unit struct {
	Name        string `json:"unit"`
	Description string `json:"description,omitempty"`
	Type        string `json:"type"`
	State       string `json:"state"`
	// Active and Sub are systemd's words.
	Active string `json:"active"`
	Sub    string `json:"sub"`
	// Load is loaded, masked, not-found or bad-setting.
	Load       string `json:"load"`
	PID        int32  `json:"pid,omitempty"`
	Supervisor string `json:"supervisor,omitempty"`
	Since      Stamp  `json:"since"`
	Restarts   uint32 `json:"restarts,omitempty"`
	Job        uint32 `json:"job,omitempty"`
	JobType    string `json:"job_type,omitempty"`
	// Cause is the stable word, as in Cause.Kind.
	Cause string `json:"cause,omitempty"`
	// Following is the name that it is an alias of, for devices.
	Following string `json:"following,omitempty"`
	// BusName is the name on the message bus that it takes, if its files name one.
	BusName string `json:"bus_name,omitempty"`
}

// ListResult is a page of units, by name.
type ListResult struct {
	Units []Unit `json:"units"`
	// Total is how many there are on all pages.
	Total int `json:"total"`
	// Tag stands for the units of all pages, for who asked with Known.
	Tag string `json:"tag,omitempty"`
	// Steps is as in UnitResult, for the list of everything in use.
	Steps uint64 `json:"steps,omitempty"`
	More
}

// Cause is why a unit is in its state.
type Cause struct {
	Kind string `json:"kind"`
	// Sentence is for people: what happened, what the manager did, what to do.
	Sentence string `json:"sentence,omitempty"`
	Unit     string `json:"unit,omitempty"`
	Code     int32  `json:"exit_code,omitempty"`
	Signal   int32  `json:"signal,omitempty"`
	Errno    int32  `json:"errno,omitempty"`
	Detail   string `json:"detail,omitempty"`
	Decision string `json:"decision,omitempty"`
}

// Status is all about one unit.
type Status struct {
	Unit
	Aliases []string `json:"aliases,omitempty"`
	// Files are what it was loaded from; Shadows what they hide.
	Files   []string `json:"files,omitempty"`
	Shadows []string `json:"shadows,omitempty"`
	// Enabled is enabled, disabled, static, masked, transient, generated, ….
	Enabled string `json:"enabled,omitempty"`
	Why     Cause  `json:"why"`
	// Result is systemd's Result word.
	Result string `json:"result,omitempty"`
	Stable bool   `json:"stable"`
	Frozen bool   `json:"frozen,omitempty"`
	// Text is what the service said in STATUS=.
	Text string `json:"status_text,omitempty"`
	// NeedsReload says that a file changed since it was loaded, NeedsRestart
	// that a new generation has settings which a running process lacks.
	NeedsReload  bool `json:"needs_reload,omitempty"`
	NeedsRestart bool `json:"needs_restart,omitempty"`

	ActiveEnter   Stamp `json:"active_enter"`
	ActiveExit    Stamp `json:"active_exit"`
	InactiveEnter Stamp `json:"inactive_enter"`
	InactiveExit  Stamp `json:"inactive_exit"`
	// NextElapse is a timer's next moment.
	NextElapse *Stamp `json:"next_elapse,omitempty"`
	// LastElapse is when a timer last started its unit, or when a Persistent= one
	// remembers that it did; its Mono is 0 then.
	LastElapse *Stamp `json:"last_elapse,omitempty"`

	// Checks are those made before its last start ([probe]), Decisions the newest
	// ones about a restart, the newest first.
	Checks    []Check    `json:"checks,omitempty"`
	Decisions []Decision `json:"decisions,omitempty"`

	ControlPID int32 `json:"control_pid,omitempty"`
	// Last is how the main process ended the last time.
	Last      *Exit     `json:"last_exit,omitempty"`
	Cgroup    string    `json:"cgroup,omitempty"`
	Processes []Process `json:"processes,omitempty"`
	Resources *Usage    `json:"resources,omitempty"`
	StoredFDs int       `json:"stored_fds,omitempty"`
	Listens   []string  `json:"listens,omitempty"`
	Triggers  []string  `json:"triggers,omitempty"`
	TriggerBy []string  `json:"triggered_by,omitempty"`
	Warnings  []string  `json:"warnings,omitempty"`
	Log       []LogLine `json:"log,omitempty"`
	// Cut says that parts of the lists were left out for their size.
	Cut bool `json:"cut,omitempty"`
}

// Check is one named check before a start or a restart.
type Check struct {
	Name string `json:"check"`
	OK   bool   `json:"ok"`
	// Text says what was found.
	Text string `json:"text,omitempty"`
}

// Decision is one decision about a restart.
type Decision struct {
	At Stamp `json:"at"`
	// Verdict is stay, restart, group-restart, sleep, escalate, reboot or give-up.
	Verdict string `json:"verdict"`
	// Delay is how long the unit waits, Number which automatic restart it is.
	Delay  int64  `json:"delay_usec,omitempty"`
	Number uint32 `json:"number,omitempty"`
	// Cause is the end that it is about.
	Cause Cause `json:"cause"`
	// Checks are policy, budget, last-chance, cooldown, escalation and memory, as
	// far as they were asked, in that order.
	Checks []Check `json:"checks"`
}

// Exit is the end of a process.
type Exit struct {
	PID    int32 `json:"pid"`
	Code   int32 `json:"exit_code"`
	Signal int32 `json:"signal,omitempty"`
	Core   bool  `json:"core,omitempty"`
	At     Stamp `json:"at"`
}

// Traffic is what was counted by IPAccounting=.
type Traffic struct {
	InBytes    uint64 `json:"in_bytes"`
	InPackets  uint64 `json:"in_packets"`
	OutBytes   uint64 `json:"out_bytes"`
	OutPackets uint64 `json:"out_packets"`
}

// DynamicUser is a user that exists while a unit with DynamicUser=yes does.
type DynamicUser struct {
	UID  uint32 `json:"uid"`
	Name string `json:"name"`
}

// DynamicUsersResult has them by number.
type DynamicUsersResult struct {
	Users []DynamicUser `json:"users"`
	More
}

// StoredFD is a descriptor in the store of a unit (sd_notify(3), FDSTORE=1), as fstat(2)
// and fcntl(2) tell it.
type StoredFD struct {
	Name      string `json:"name"`
	Mode      uint32 `json:"mode"`
	Major     uint32 `json:"major"`
	Minor     uint32 `json:"minor"`
	Inode     uint64 `json:"inode"`
	RdevMajor uint32 `json:"rdev_major"`
	RdevMinor uint32 `json:"rdev_minor"`
	Path      string `json:"path"`
	Flags     uint32 `json:"flags"`
}

// StoredResult is what is in the store of a unit.
type StoredResult struct {
	Unit   string     `json:"unit"`
	Stored []StoredFD `json:"stored"`
	More
}

// CommandRun is the newest run of a command line: that of the setting Key at Index.
type CommandRun struct {
	Key   string `json:"key"`
	Index int    `json:"index"`
	Start Stamp  `json:"start"`
	// Handoff is when its program was about to be executed.
	Handoff Stamp `json:"handoff"`
	// Argv is what was run for ExecMount, ExecUnmount and ExecRemount.
	Argv []string `json:"argv,omitempty"`
	// Exit has At 0 while it runs.
	Exit
}

// Process is one process of a unit. Role is main, control, health or other.
type Process struct {
	PID     int32  `json:"pid"`
	Role    string `json:"role,omitempty"`
	Cgroup  string `json:"cgroup,omitempty"`
	Command string `json:"command"`
}

// Usage is what a unit consumes; -1 where the kernel does not count it.
type Usage struct {
	Memory     int64 `json:"memory_bytes"`
	MemoryPeak int64 `json:"memory_peak_bytes"`
	MemoryMax  int64 `json:"memory_max_bytes"`
	Swap       int64 `json:"swap_bytes"`
	SwapPeak   int64 `json:"swap_peak_bytes"`
	CPU        int64 `json:"cpu_usec"`
	Tasks      int64 `json:"tasks"`
	TasksMax   int64 `json:"tasks_max"`
	IORead     int64 `json:"io_read_bytes"`
	IOWrite    int64 `json:"io_write_bytes"`
	OOMKills   int64 `json:"oom_kills"`
}

// SettingRow is a setting in an answer, or a part of one.
type SettingRow struct {
	Setting
	// Part says that Value goes on in the next row (JoinSettings).
	Part bool `json:"part,omitempty"`
}

// ShowResult are a unit's settings as they stand, in the order of its files.
type ShowResult struct {
	Unit     string       `json:"unit"`
	Settings []SettingRow `json:"settings"`
	More
}

// UnitResult is a unit with all that is known of it. The rows of its pages are the
// settings and then the relations.
type UnitResult struct {
	Unit string `json:"unit"`
	// Facts are on the first page only.
	Facts *Facts `json:"facts,omitempty"`
	// OnDisk is there instead of facts if nothing else can have changed; see ShowArgs.Steps.
	// It holds no longer than that: what is on the disk changes without a step.
	OnDisk *OnDisk `json:"on_disk,omitempty"`
	// Steps is the number in the manager's file of steps when the answer to a bare question
	// was given, or the part of an unmeasured one that is not of the disk: it holds as long as the number is the same. 0 is for what changes by itself.
	Steps uint64 `json:"steps,omitempty"`
	// Settings are those that differ from the defaults of unit files, in the words
	// of unit files whatever the unit was written in.
	Settings  []SettingRow `json:"settings"`
	Relations []Relation   `json:"relations"`
	// Tag stands for the settings and relations of all pages, and for what else a model
	// of the unit is made of; for who asked with Known.
	Tag string `json:"tag,omitempty"`
	More
}

// OnDisk is what only the disk knows of a unit, as Status has it.
type OnDisk struct {
	Enabled     string `json:"enabled,omitempty"`
	NeedsReload bool   `json:"needs_reload,omitempty"`
	// Read and Met are the paths below / that this rests on, for who asked with Paths, if there
	// are not too many: it holds as long as files and directories of Read have what they had,
	// and those of Met are there, or not, as they were.
	Read []string `json:"read,omitempty"`
	Met  []string `json:"met,omitempty"`
}

// Facts are what is known of a unit besides its settings.
type Facts struct {
	Status
	// Perpetual units cannot be stopped.
	Perpetual bool `json:"perpetual,omitempty"`
	// Group is its cgroup as /proc/PID/cgroup has it, Invocation the id of its
	// present run in hexadecimal digits.
	Group      string `json:"group,omitempty"`
	Invocation string `json:"invocation,omitempty"`
	// MainStart is when the main process was begun.
	MainStart Stamp `json:"main_start"`
	// Commands are the newest runs of its command lines since its last start.
	Commands []CommandRun `json:"commands,omitempty"`
	// Trigger is the unit that caused the present activation.
	Trigger string `json:"trigger,omitempty"`
	// RestartDelay is what an automatic restart would wait for now.
	RestartDelay int64 `json:"restart_delay_usec,omitempty"`
	// Connections are those that instances of a socket serve, Accepted all that there
	// were, Refused those beyond its limits.
	Connections uint32 `json:"connections,omitempty"`
	Accepted    uint64 `json:"accepted,omitempty"`
	Refused     uint64 `json:"refused,omitempty"`
	// Errno, BusError and VarlinkError are what the service said in ERRNO=, BUSERROR=
	// and VARLINKERROR=.
	Errno        int32  `json:"status_errno,omitempty"`
	BusError     string `json:"status_bus_error,omitempty"`
	VarlinkError string `json:"status_varlink_error,omitempty"`
	// ReloadFailed says that the last reload failed.
	ReloadFailed bool `json:"reload_failed,omitempty"`
	// Watchdog is the period that the service asked for in WATCHDOG_USEC=, -1 for
	// none, 0 for that of its settings.
	Watchdog int64 `json:"watchdog_usec,omitempty"`
	// MountFailed says that the last mount into it failed.
	MountFailed bool `json:"mount_failed,omitempty"`
	// Marks are needs-reload and needs-restart.
	Marks []string `json:"marks,omitempty"`
	// Traffic is there if the unit has IPAccounting=.
	Traffic *Traffic `json:"traffic,omitempty"`
	// Pinged is when its watchdog last began anew.
	Pinged Stamp `json:"pinged"`
}

// Relation is one edge to another unit, in the words of D-Bus: "RequiredBy".
type Relation struct {
	Relation string `json:"relation"`
	// Unit is the other one; with RequiresMountsFor and WantsMountsFor a path that the
	// unit needs mounts for, also one that was implied.
	Unit string `json:"unit"`
}

// SecurityResult says how much a service leaves open (docs/security.md).
type SecurityResult struct {
	Unit string `json:"unit"`
	// Score is from 0.0, all is closed, to 10.0; Word is tight, guarded, loose or
	// open.
	Score float64 `json:"score"`
	Word  string  `json:"word"`
	// Findings are in order of their points, the most first.
	Findings []SecurityFinding `json:"findings"`
}

// SecurityFinding is one thing that was judged.
type SecurityFinding struct {
	Setting string `json:"setting"`
	Weight  int    `json:"weight"`
	// Open is from 0, closed, to 10; Points is what that adds to the score.
	Open   int     `json:"open"`
	Points float64 `json:"points"`
	// Leaves says what is or would be open, Mend what to write, "" where nothing is.
	Leaves string `json:"leaves"`
	Mend   string `json:"mend,omitempty"`
}

// TreeRow is one line of the supervision tree; children follow their parent.
type TreeRow struct {
	Depth int    `json:"depth"`
	Name  string `json:"name"`
	// Strategy is set for supervisors: one-for-one, one-for-all, rest-for-one.
	Strategy string `json:"strategy,omitempty"`
	State    string `json:"state,omitempty"`
	PID      int32  `json:"pid,omitempty"`
	// Restarts of MaxRestarts were used in the present window.
	Restarts    uint32 `json:"restarts,omitempty"`
	MaxRestarts uint32 `json:"max_restarts,omitempty"`
}

// TreeResult is a page of the tree.
type TreeResult struct {
	Rows []TreeRow `json:"rows"`
	More
}

// DepRow is one edge of the dependency tree, below the unit it starts from.
type DepRow struct {
	Depth int    `json:"depth"`
	Unit  string `json:"unit"`
	State string `json:"state"`
	// Relations are all by which the parent refers to it.
	Relations []string `json:"relations"`
	// Why says where the dependency comes from ("default", a file).
	Why string `json:"why,omitempty"`
	// Again marks a unit whose own dependencies were shown above.
	Again bool `json:"again,omitempty"`
}

// DepsResult is a page of dependencies.
type DepsResult struct {
	Unit string   `json:"unit"`
	Rows []DepRow `json:"rows"`
	More
}

// Job is one queued intention.
type Job struct {
	ID     uint32 `json:"id"`
	Unit   string `json:"unit"`
	Type   string `json:"type"`
	Mode   string `json:"mode"`
	Source string `json:"source"`
	// State is waiting, running or ended.
	State string `json:"state"`
	// Result is set when it ended.
	Result string `json:"result,omitempty"`
	// WaitsFor are the units whose jobs must end first.
	WaitsFor []string `json:"waits_for,omitempty"`
	Created  Stamp    `json:"created"`
}

// JobsResult is a page of jobs, by id.
type JobsResult struct {
	Jobs []Job `json:"jobs"`
	More
}

// JobResult answers what begins a job.
type JobResult struct {
	// Job is 0 if there was nothing to do.
	Job uint32 `json:"job,omitempty"`
	// Result is set with Wait: done, failed, timeout, dependency, ….
	Result string `json:"result,omitempty"`
	// Unit is the state after a wait.
	Unit *Unit `json:"unit,omitempty"`
	// Jobs are those that were made for it, with the one of the unit itself.
	Jobs []Job `json:"jobs,omitempty"`
	// Plan is what a dry run would do, in order.
	Plan []Planned `json:"plan,omitempty"`
	// Omitted is how many rows of Plan and Warnings did not fit.
	Omitted int `json:"omitted,omitempty"`
	// Warnings are such as "the old cgroup could not be removed".
	Warnings []string `json:"warnings,omitempty"`
}

// Planned is one job that a request would make.
type Planned struct {
	Unit string `json:"unit"`
	Type string `json:"type"`
	// Because names the unit and the relation that pull it in.
	Because  string `json:"because,omitempty"`
	Relation string `json:"relation,omitempty"`
}

// ManyResult has one row per unit of start-all and the like.
type ManyResult struct {
	Units []ManyRow `json:"units"`
	// Omitted is how many rows did not fit.
	Omitted int `json:"omitted,omitempty"`
}

// ManyRow is the job for one unit, or why there is none.
type ManyRow struct {
	Unit   string `json:"unit"`
	Job    uint32 `json:"job,omitempty"`
	Result string `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
}

// WhyResult explains a unit's state, from the unit to the root of the matter.
type WhyResult struct {
	Unit  string    `json:"unit"`
	State string    `json:"state"`
	Chain []WhyStep `json:"chain"`
	// Omitted is how many steps before the last one did not fit.
	Omitted int `json:"omitted,omitempty"`
}

// WhyStep is one unit of the explanation.
type WhyStep struct {
	Unit  string `json:"unit"`
	State string `json:"state"`
	Since Stamp  `json:"since"`
	Cause Cause  `json:"cause"`
	// Job and WaitsFor are what is still to happen.
	Job      *Job     `json:"job,omitempty"`
	WaitsFor []string `json:"waits_for,omitempty"`
	Last     *Exit    `json:"last_exit,omitempty"`
	// Checks are those made before its last start, Decision is the newest one
	// about a restart.
	Checks   []Check   `json:"checks,omitempty"`
	Decision *Decision `json:"decision,omitempty"`
	Log      []LogLine `json:"log,omitempty"`
}

// LogLine is one line of log. Cursor is opaque.
type LogLine struct {
	Cursor   string `json:"cursor,omitempty"`
	At       Stamp  `json:"at"`
	Unit     string `json:"unit,omitempty"`
	PID      int32  `json:"pid,omitempty"`
	Priority int    `json:"priority"`
	Text     string `json:"text"`
	// Facility is that of syslog(3), Identifier the name before the line, Fields what
	// LogExtraFields= adds.
	Facility   int      `json:"facility,omitempty"`
	Identifier string   `json:"identifier,omitempty"`
	Fields     []string `json:"fields,omitempty"`
}

// LogsResult is a page of lines, oldest first.
type LogsResult struct {
	Lines []LogLine `json:"lines"`
	// Lost is how many lines the ring had to drop before the first.
	Lost uint64 `json:"lost,omitempty"`
	More
}

// StatsRow is what one unit consumes.
type StatsRow struct {
	Unit     string `json:"unit"`
	State    string `json:"state"`
	PID      int32  `json:"pid,omitempty"`
	Restarts uint32 `json:"restarts"`
	Since    Stamp  `json:"since"`
	Usage
}

// StatsResult is a page of measurements. At is when they were taken.
type StatsResult struct {
	At    Stamp      `json:"at"`
	Units []StatsRow `json:"units"`
	More
}

// BootResult is the course of the boot, for blame and critical-chain.
type BootResult struct {
	// Kernel, Manager and Finished are moments since boot, in microseconds. Manager
	// is when the first one began; Finished is 0 while it lasts.
	Kernel   int64   `json:"kernel_usec"`
	Manager  int64   `json:"manager_usec"`
	Finished int64   `json:"finished_usec"`
	Moments  Moments `json:"moments"`
	// ShutdownStart is when the end of the system began, 0 before.
	ShutdownStart int64 `json:"shutdown_usec,omitempty"`
	// JobsEver is how many jobs there were since then, JobsFailed how many of them
	// failed, took too long or had to be given up because others did.
	JobsEver   uint64    `json:"jobs_ever"`
	JobsFailed uint64    `json:"jobs_failed"`
	Units      []BootRow `json:"units"`
	More
}

// Moments of the boot are in microseconds since the kernel began, 0 for what did not
// happen.
type Moments struct {
	// Began is when the first manager of this boot did.
	Began            int64 `json:"began_usec,omitempty"`
	GeneratorsStart  int64 `json:"generators_start_usec,omitempty"`
	GeneratorsFinish int64 `json:"generators_finish_usec,omitempty"`
	LoadStart        int64 `json:"load_start_usec,omitempty"`
	LoadFinish       int64 `json:"load_finish_usec,omitempty"`
	// Reload is when the files were read anew the last time.
	Reload int64 `json:"reload_usec,omitempty"`
}

// BootRow is how long one unit took.
type BootRow struct {
	Unit string `json:"unit"`
	// Activating and Active are moments since boot.
	Activating int64 `json:"activating_usec"`
	Active     int64 `json:"active_usec"`
	// After is what it waited for last: the link of the critical chain.
	After string `json:"after,omitempty"`
}

// Diagnostic is one finding about a file.
type Diagnostic struct {
	File     string `json:"file,omitempty"`
	Line     int32  `json:"line,omitempty"`
	Column   int32  `json:"column,omitempty"`
	Severity string `json:"severity"`
	Code     string `json:"code"`
	Unit     string `json:"unit,omitempty"`
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"`
}

// ReloadResult is the difference between two generations.
type ReloadResult struct {
	// Generation is the one in force now: the new one, or after a dry run the old.
	Generation uint64 `json:"generation"`
	// Applied is false after a dry run.
	Applied bool     `json:"applied"`
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
	// Changed took effect, Restart need a restart to take effect.
	Changed []string `json:"changed,omitempty"`
	Restart []string `json:"restart,omitempty"`
	// Evicted were stopped.
	Evicted     []string     `json:"evicted,omitempty"`
	Diagnostics []Diagnostic `json:"diagnostics,omitempty"`
	// Omitted is how many names and findings did not fit.
	Omitted int `json:"omitted,omitempty"`
}

// SubscribeResult begins a stream. Events with a greater Seq will come; what a
// list says after this answer may already include some of them.
type SubscribeResult struct {
	Seq uint64 `json:"seq"`
}

// DebugResult is a page of text for developers.
type DebugResult struct {
	Text string `json:"text"`
	More
}

// ProcsResult are all processes that the manager knows, by unit.
type ProcsResult struct {
	Units []ProcsRow `json:"units"`
	More
}

// ProcsRow are the processes of one unit.
type ProcsRow struct {
	Unit      string    `json:"unit"`
	Cgroup    string    `json:"cgroup,omitempty"`
	Processes []Process `json:"processes"`
}

// EnvironmentResult are the variables that services get from the manager, as
// ManagerResult is what the manager itself goes by, in the words of ManagerArgs.
type ManagerResult struct {
	LogLevel         string `json:"log_level"`
	LogTarget        string `json:"log_target"`
	ServiceWatchdogs bool   `json:"service_watchdogs"`
	ExitCode         uint8  `json:"exit_code"`
	// ShowStatus is "" for a manager that has no console.
	ShowStatus string `json:"show_status,omitempty"`
	// Watchdog is the hardware's, nil for a manager without a dynamod-init above it that
	// answers.
	Watchdog *Watchdog `json:"watchdog,omitempty"`
}

// Watchdog is the hardware watchdog, which PID 1 has.
type Watchdog struct {
	// Device is empty while none is open.
	Device string `json:"device,omitempty"`
	// Runtime is its time, Pre how long before that the kernel warns, as Governor
	// says; Reboot and Kexec are its times for the end of the machine.
	Runtime  uint64 `json:"runtime_usec"`
	Pre      uint64 `json:"pre_usec"`
	Governor string `json:"governor,omitempty"`
	Reboot   uint64 `json:"reboot_usec"`
	Kexec    uint64 `json:"kexec_usec"`
	// Pinged is when it was fed last.
	Pinged Stamp `json:"pinged"`
}

// NAME=VALUE, sorted.
type EnvironmentResult struct {
	Environment []string `json:"environment"`
}
