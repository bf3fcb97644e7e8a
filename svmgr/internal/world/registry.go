package world

import (
	"os"
	"slices"
	"strings"
	"sync"

	"dynamod/internal/unit"
	"dynamod/svmgr/internal/child"
	"dynamod/svmgr/internal/core"
)

// process is one run that has, or had, a process of its own.
type process struct {
	// arming is held while the watches of pidfd and status are set.
	arming sync.Mutex
	run    core.RunID
	role   core.Role
	stage  core.Stage
	group  *group
	pid    int
	pidfd  int
	// status is the read end of the child's report, -1 when it is settled.
	status int
	report []byte
	// told says that SpawnDone or SpawnFailed was posted; failed that it was
	// the latter, after which the exit status of the helper is no news.
	told, failed bool
	failure      *child.StageError // of failed
	// adopted processes were not spawned by this world.
	adopted           bool
	statusTag, pidTag uint64
	// start is when it began (proc_pid_stat(5)), outPipe and errPipe are the
	// inodes of its output: what a ledger has of it.
	start            uint64
	outPipe, errPipe uint64
	// command is which of the unit's command lines it runs, nil for none that is
	// remembered.
	command *CommandRun
	// lingers says that it is dead and its status is waited for: its parent is not
	// us.
	lingers bool
}

// armed waits until all watches of the process are set.
func (p *process) armed() {
	p.arming.Lock()
	defer p.arming.Unlock()
}

// groupKey names one activation of a unit.
type groupKey struct {
	unit string
	inc  core.RunID
}

// group is one incarnation of a unit: its cgroup and its live runs.
type group struct {
	groupKey
	u *unit.Unit
	// limited has the limits that were put into force since, nil for those of u.
	limited *unit.Unit
	// dir is the cgroup's directory, "" until it is made (or without cgroups);
	// rel is its path as /proc/PID/cgroup shows it.
	dir, rel string
	// wds are the inotify watches of its files.
	wds []int32
	// pending counts spawns and joins that are queued or under way, or have failed and
	// that is not told yet, and ends of processes that are not told yet. live are the
	// processes of spawns; told says that CgroupEmpty was posted since the last spawn.
	pending int
	live    map[core.RunID]*process
	told    bool
	killed  bool
	// removed says that the core is done with it, leaked that its cgroup
	// could not be removed then.
	removed, leaked bool
	oomSeen         uint64
	// sessions are the session IDs of all its processes so far: what is
	// left to find them by when there are no cgroups.
	sessions map[int]struct{}
	strays   int
	// invocation is $INVOCATION_ID of the activation.
	invocation string
}

// registry maps processes and cgroups to runs and units.
//
// forking is held for reading from before a fork until the new process is
// registered. Who meets an unknown process takes it for writing once: after
// that, a process that is still unknown is none of ours.
type registry struct {
	forking sync.RWMutex

	mu      sync.Mutex
	byRun   map[core.RunID]*process
	byPID   map[int]*process
	groups  map[groupKey]*group
	current map[string]*group
	byPath  map[string]*group
	tags    map[uint64]func(events uint32)
	nextTag uint64
	// warnings are what is left behind of units, by unit.
	warnings map[string][]string
	// warnedGone are those of them that are gone, the oldest first.
	warnedGone []string
	joining    joining
}

func (r *registry) init() {
	r.byRun = map[core.RunID]*process{}
	r.byPID = map[int]*process{}
	r.groups = map[groupKey]*group{}
	r.current = map[string]*group{}
	r.byPath = map[string]*group{}
	r.tags = map[uint64]func(uint32){}
	r.warnings = map[string][]string{}
}

// owner says whose a process is. Run is 0 for a process of the cgroup that is not
// the run's own.
type owner struct {
	Unit        string
	Incarnation core.RunID
	Run         core.RunID
	Role        core.Role
}

// runOf finds the owner of a process by its number, or else by its cgroup. The
// caller knows that the process lives, or that it was not reaped yet.
func (w *World) runOf(pid int) (owner, bool) {
	if o, ok := w.ownerByPID(pid); ok {
		return o, true
	}
	// It may be one that was forked a moment ago.
	w.reg.forking.Lock()
	o, ok := w.ownerByPID(pid)
	w.reg.forking.Unlock()
	if ok {
		return o, true
	}
	if w.cg.root == "" {
		return w.ownerBySession(pid)
	}
	path, err := cgroupOf(pid)
	if err != nil {
		return owner{}, false
	}
	return w.ownerOfCgroup(path)
}

func (w *World) ownerByPID(pid int) (owner, bool) {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	p := w.reg.byPID[pid]
	if p == nil {
		return owner{}, false
	}
	return owner{p.group.unit, p.group.inc, p.run, p.role}, true
}

// ownerOfCgroup finds the incarnation that a cgroup path, as /proc shows it, lies
// in.
func (w *World) ownerOfCgroup(path string) (owner, bool) {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	for p := path; p != "" && p != "/"; p = parentPath(p) {
		if g := w.reg.byPath[p]; g != nil {
			return owner{Unit: g.unit, Incarnation: g.inc}, true
		}
	}
	return owner{}, false
}

func parentPath(p string) string {
	for i := len(p) - 1; i > 0; i-- {
		if p[i] == '/' {
			return p[:i]
		}
	}
	return ""
}

// pidOf is the process of a run that lives.
func (w *World) pidOf(run core.RunID) (pid, pidfd int, ok bool) {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	p := w.reg.byRun[run]
	if p == nil {
		return 0, -1, false
	}
	return p.pid, p.pidfd, true
}

// PID is the process ID of a live run, for clients that want to see it.
func (w *World) PID(run core.RunID) (int, bool) {
	pid, _, ok := w.pidOf(run)
	return pid, ok
}

// RunOf is runOf for other packages.
func (w *World) RunOf(pid int) (unit string, incarnation, run core.RunID, ok bool) {
	o, ok := w.runOf(pid)
	return o.Unit, o.Incarnation, o.Run, ok
}

// CgroupOf is the directory of the unit's present cgroup, "" for none.
func (w *World) CgroupOf(unit string) string {
	w.reg.mu.Lock()
	if g := w.reg.current[unit]; g != nil {
		defer w.reg.mu.Unlock()
		return g.dir // "" until the group is made
	}
	w.reg.mu.Unlock()
	dir, _ := w.sharedGroup(unit)
	return dir
}

// sharedGroup is the group of what no run made: a slice, which is there as soon as
// something lies in it, and the scope of the manager itself.
func (w *World) sharedGroup(unit string) (dir, rel string) {
	if w.cg.root == "" {
		return "", ""
	}
	var names []string
	switch {
	case strings.HasSuffix(unit, ".slice"):
		names = append(w.subtree(), slicesDownTo(unit)...)
	case unit == managerGroup:
		names = []string{managerGroup}
	default:
		return "", ""
	}
	below := ""
	for _, n := range names {
		below += "/" + n
	}
	if info, err := os.Stat(w.cg.root + below); err != nil || !info.IsDir() {
		return "", ""
	}
	if rel = w.cg.base + below; rel == "" {
		rel = "/"
	}
	return w.cg.root + below, rel
}

// RunOfUnit is the present activation of a unit: its cgroup as /proc/PID/cgroup has
// it, its invocation id, and when its main process began, in clock ticks since boot
// (proc_pid_stat(5)).
func (w *World) RunOfUnit(unit string) (group, invocation string, mainStart uint64) {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	g := w.reg.current[unit]
	if g == nil {
		_, group = w.sharedGroup(unit)
		return group, "", 0
	}
	for _, p := range g.live {
		if p.role == core.RoleMain {
			mainStart = p.start
		}
	}
	return g.rel, g.invocation, mainStart
}

// Warnings are what was left behind of a unit, such as a cgroup that could not be
// removed.
func (w *World) Warnings(unit string) []string {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	return append([]string(nil), w.reg.warnings[unit]...)
}

const maxWarnings = 16

// maxWarningsOfGone bounds the units that are gone whose warnings are kept: who waited for
// the last job of one is told of them after it.
const maxWarningsOfGone = 64

// forgetWarnings is for a unit that is gone; mu is held.
func (r *registry) forgetWarnings(unit string) {
	if r.warnings[unit] == nil {
		return
	}
	r.warnedGone = append(slices.DeleteFunc(r.warnedGone, func(name string) bool { return name == unit }), unit)
	if len(r.warnedGone) > maxWarningsOfGone {
		oldest := r.warnedGone[0]
		r.warnedGone = slices.Delete(r.warnedGone, 0, 1)
		if r.current[oldest] == nil { // else there is one of that name again
			delete(r.warnings, oldest)
		}
	}
}

func (w *World) warn(unit, text string) {
	w.reg.mu.Lock()
	list := append(w.reg.warnings[unit], text)
	if len(list) > maxWarnings {
		list = list[len(list)-maxWarnings:]
	}
	w.reg.warnings[unit] = list
	w.reg.mu.Unlock()
	if w.cfg.Happened != nil {
		w.cfg.Happened()
	}
	w.log.Warn(text, "unit", unit)
}

// Stale says that an event which waited in a queue is no longer true and shall
// not reach the core: a cgroup that was empty has got a new process meanwhile.
// The loop asks right before Step.
func (w *World) Stale(ev core.Event) bool {
	e, ok := ev.(core.CgroupEmpty)
	if !ok {
		return false
	}
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	g := w.reg.groups[groupKey{e.Unit, e.Incarnation}]
	return g != nil && !g.told
}

// watchFD calls f with the epoll events of fd, in the watcher's goroutine, until
// unwatchFD. f must not block. The tag is stored before the first call of f.
func (w *World) watchFD(fd int, events uint32, tag *uint64, f func(events uint32)) error {
	w.reg.mu.Lock()
	w.reg.nextTag++
	t := w.reg.nextTag
	*tag = t
	w.reg.tags[t] = f
	w.reg.mu.Unlock()
	if err := w.sys.watch(w.watch, fd, events, t); err != nil {
		w.reg.mu.Lock()
		delete(w.reg.tags, t)
		w.reg.mu.Unlock()
		return err
	}
	return nil
}

// unwatchFD ends a watch; it comes before the descriptor is closed. Events that
// were fetched already are dropped, because tags are never used again.
func (w *World) unwatchFD(fd int, tag uint64) {
	w.reg.mu.Lock()
	_, ok := w.reg.tags[tag]
	delete(w.reg.tags, tag)
	w.reg.mu.Unlock()
	if ok {
		_ = w.watch.Remove(fd)
	}
}
