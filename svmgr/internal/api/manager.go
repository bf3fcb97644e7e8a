package api

import (
	"io/fs"

	"dynamod/internal/diag"
	"dynamod/internal/ipc"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// Manager is what surrounds the core, as far as clients need it: loop, world,
// loader and log. All methods may be called from several goroutines at once, never
// on the loop's goroutine and never within Query.
//
// A method that cannot do what it is asked, now or yet, returns an *ipc.Error of
// the kind NotSupported that says what is missing (Unsupported makes one).
type Manager interface {
	Loop
	World
	Config

	// Info says who this is. It is asked for often and must be cheap.
	Info() Info
	// Reexec replaces the manager by its new program soon after the answer
	// was sent; services go on. An error means that nothing was changed.
	Reexec() error
	// PrepareShutdown remembers the argument and exit code of a shutdown that
	// the core is asked for next, or says why this manager cannot do it. With
	// Force and an init it begins at once, without the core: done.
	PrepareShutdown(ipc.ShutdownArgs) (done bool, err error)
	// Environment are the variables that services get, as NAME=VALUE, sorted.
	Environment() []string
	// SetEnvironment takes variables away, by name or by name and value, and adds
	// others, for the services that start from now on.
	SetEnvironment(unset, set []string) error
	// Own is what the manager itself goes by, but for what the core knows; SetOwn
	// changes it, all that is named or nothing.
	Own() (ipc.ManagerResult, error)
	SetOwn(ipc.ManagerArgs) error
	// BootHealth is how this boot stands, but for what the core knows.
	BootHealth() ipc.BootHealthResult
	// Lines reads the log. Lines are oldest first.
	Lines(LogQuery) LogPage
}

// Loop is the way to the core (loop.Loop has these, but for Post, which must
// return only when the core has taken the event).
type Loop interface {
	// Query runs f between two events and waits for it; false means that the
	// loop has ended.
	Query(f func(*core.Core)) bool
	// Ask puts a request to the core; its one Reply comes on the channel. It
	// returns when the core has taken the request.
	Ask(request func(core.RequestID) core.Event) <-chan core.Reply
	// Post hands over an event and returns when the core has taken it and its
	// actions are under way; false means that the loop has ended.
	Post(core.Event) bool
	// Now reads the clocks. It and Steps alone are also called within Query.
	Now() core.Time
	// Steps is a number that moves before anything of what happens can be seen: with each
	// event, and with each call of Happened, which is for what no event goes with. It is
	// never 0 while requests are answered.
	Steps() uint64
	Happened()
}

// World is what is known of processes. None of it asks the core.
type World interface {
	// PID is the process of a run, 0 if there is none.
	PID(core.RunID) int32
	// UnitOfPID is the unit in whose cgroup the process is, "" for none. With
	// a pidfd ≥ 0 the process must be that one.
	UnitOfPID(pid int32, pidfd int) string
	// Commands are the newest runs of the unit's command lines since its last start.
	Commands(unit string) []ipc.CommandRun
	// LastExit is how the main process of the unit ended the last time.
	LastExit(unit string) (ipc.Exit, bool)
	// RunOf is the unit's present run: the path of its cgroup as /proc/PID/cgroup has
	// it, the id of the run in hexadecimal digits, and when its main process was
	// begun. All are empty for what does not run.
	RunOf(unit string) (group, invocation string, mainStart ipc.Stamp)
	// Cgroup is the unit's group as seen from the root of the hierarchy, ""
	// if it has none.
	Cgroup(unit string) string
	// Processes are those of the unit's group, by pid. Role may be "": main,
	// control and health are filled in from PID.
	Processes(unit string) []ipc.Process
	// Usage measures the unit; false if there is nothing to measure.
	Usage(unit string) (ipc.Usage, bool)
	// Spent is what the unit had used in all when it ended the last time.
	Spent(unit string) (ipc.Usage, bool)
	// LiveMount mounts into a run that has mounts of its own; EXDEV says that it has
	// none. MountFailed says that the last one into the unit failed.
	LiveMount(run core.RunID, a ipc.MountArgs) error
	MountFailed(unit string) bool
	// Traffic is what the unit's sockets have sent and received; false if that is not
	// counted (IPAccounting=).
	Traffic(unit string) (ipc.Traffic, bool)
	// DynamicUsers are the users of DynamicUser=yes that there are, by number.
	DynamicUsers() ([]ipc.DynamicUser, error)
	// Stored are the descriptors in the unit's store.
	Stored(unit string) []ipc.StoredFD
	// Warnings are such as "the old cgroup could not be removed".
	Warnings(unit string) []string
	// Hold takes hold of processes that the scope of this name is made of when it
	// starts next; LetGo gives them up. Attach moves processes into the group of a
	// unit that runs, or into one below it.
	Hold(unit string, pids []int32) error
	LetGo(unit string)
	Attach(unit, subgroup string, pids []int32) error
	// WhenGone calls f once the process is no more, on a goroutine of its own. pidfd, if
	// not -1, is the caller's and refers to the process.
	WhenGone(pid int32, pidfd int, f func()) error
	// Clean removes what the unit has left behind, in the words of ipc.CleanArgs. It
	// waits for it.
	Clean(u *unit.Unit, what []string) error
	// Notify takes a notification (sd_notify(3)) as if pid had sent it.
	Notify(unit string, pid int32, state string) error
}

// Config is the configuration on disk. These may read files.
type Config interface {
	// Load reads the unit of this name (a full name, perhaps an alias or an
	// instance) and what must come with it, and gives it to nobody. No units
	// and no error means that there is no such unit.
	Load(name string) ([]*unit.Unit, []diag.Diag, error)
	// FileState says whether the unit is enabled, disabled, static, …, and
	// whether one of its files changed since it was loaded.
	FileState(*unit.Unit) (enabled string, changed bool)
	// FileProof is FileState, and the paths that it rests on, none if that cannot be said:
	// as long as the content of read is the same, of directories the names in them, and met
	// are there or not as they were, the answer is the same.
	FileProof(*unit.Unit) (enabled string, changed bool, read, met []string)
	// Read reads the whole configuration: that on disk, or that of a former
	// generation (0 is the one before the present). Nothing is changed. Of the
	// units made, which were loaded on demand, those that have files come with it.
	Read(made MadeUnits) (*Generation, error)
	ReadFormer(generation uint64, made MadeUnits) (*Generation, error)
	// Keep is called when the core has taken a generation: it becomes the
	// present one, the one before is kept for rollback. It returns the new
	// number; an error does not undo anything.
	Keep(*Generation) (uint64, error)
	// Needed are the instances and slices that exist only because u, or one of them,
	// names them, without those that are known and what is behind those.
	Needed(u *unit.Unit, known func(name string) bool) []*unit.Unit
	// Build makes a unit of a transient one's settings and of the drop-ins for its
	// name. It is not given to
	// the core and not written to disk.
	Build(name string, settings []ipc.Setting) (*unit.Unit, []diag.Diag, error)
	// SetProperty changes settings of a unit: a drop-in is written (to /run
	// if runtime), limits are applied to its cgroup. It returns the unit as it
	// is then, which is given to the core.
	SetProperty(name string, settings []ipc.Setting, runtime bool) (*unit.Unit, []diag.Diag, error)
}

// Generation is one complete configuration.
type Generation struct {
	Number uint64
	Set    *unit.Set
	// OnDemand are those of Set that are there only because they were made.
	OnDemand []string
	Diags    []diag.Diag
	// Files are what it was loaded from, as it was then; Keep takes them.
	Files fs.FS
	// Rejected says that it must not come into force, for Diags.
	Rejected bool
}

// Info is what a manager says of itself.
type Info struct {
	Version string
	PID     int32
	// Mode is system, user, container or standalone.
	Mode       string
	Generation uint64
	// Started is when this manager (not this program: a re-execution does not
	// count) began.
	Started core.Time
	// Moments are those of the boot.
	Moments ipc.Moments
	// BootTarget is the unit that the boot starts.
	BootTarget string
}

// LogQuery chooses lines of log.
type LogQuery struct {
	// Match says whether lines of this unit are wanted; "" is the manager.
	Match func(unit string) bool
	// After is the cursor behind which to begin; Newest, if not 0 and After
	// is "", how many of the newest lines to begin with.
	After  string
	Newest int
	// Since and Until bound the time (µs since the epoch, 0: unbounded),
	// Priority the syslog level (0: all).
	Since, Until int64
	Priority     int
	// Max is how many lines to return at most.
	Max int
}

// LogPage is what was found. More says that Max cut it short; Lost is how many
// lines the ring has dropped.
type LogPage struct {
	Lines []ipc.LogLine
	Lost  uint64
	More  bool
}

// Unsupported is the error of what this manager cannot do; missing says why.
func Unsupported(missing string) error { return ipc.Errorf("NotSupported", "%s", missing) }
