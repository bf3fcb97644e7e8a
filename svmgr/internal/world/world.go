// Package world acts: it carries out the core's Actions on a real system and
// turns what happens there into the core's Events. It owns processes, cgroups,
// descriptors, watches and probes. It refuses to decide: no restart, no order, no
// unit state lives here.
//
// Perform is called by one goroutine, the loop's, and never blocks: what takes
// time is done by the world's own goroutines, each of which ends when Close is
// called or its run is over, and reports through post.
//
// Three kinds of goroutines live here. The watcher (watch loop, reap.go) waits in
// one epoll set for the ends of processes, set-up reports and cgroup events; it
// is the only reaper. The output reader (stdio_reader.go) has a set of its own, so
// that a flood of output delays nothing else. The workers (strand.go) carry out
// actions: those of one unit in order, those of different units side by side.
package world

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"

	"dynamod/internal/sys/accounts"
	"dynamod/internal/sys/epoll"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/child"
	"dynamod/svmgr/internal/core"
)

// Config is what a World needs to know of where it lives.
type Config struct {
	// User is a user manager: no privileges, XDG directories.
	User bool
	// RuntimeDir holds the notify socket and runtime state (/run/dynamod).
	RuntimeDir string
	// CgroupRoot is the delegated cgroup2 directory that the manager owns, ""
	// when there is none: then process groups must do.
	CgroupRoot string
	// Subtree is a group below CgroupRoot in which all units lie, "" for none:
	// managers that share a root do not meet.
	Subtree string
	// Child is the program and first arguments that run child.Main.
	Child []string
	// PAMChild is the same with libpam, for units with PAMName=; none means that no
	// sessions of PAM are opened.
	PAMChild []string
	// Subreaper says that this process is PID 1 or a child subreaper, so that
	// orphans of its services become its children and must be reaped.
	Subreaper bool
	// UnitOf finds the unit of a slice, whose limits are applied to its group;
	// nil means that slices have none. It is called by workers.
	UnitOf func(name string) *unit.Unit
	// Leaves is called before the group of a unit is removed, with its directory; nil
	// is for nobody who asks what it has used. It is called by workers.
	Leaves func(unit, dir string)
	// Gone is called after all that was done for a unit which the core has forgotten; nil
	// is for nobody who remembers something of it. It is called by workers.
	Gone func(unit string)
	// Environment are variables that every process gets (locale, proxies); PATH
	// is there in any case. The manager's own environment never leaks.
	Environment []string
	// Directories are where RuntimeDirectory= and its kind are made; an empty
	// one means the usual place of the system or the user.
	Directories Directories
	// Instance loads the unit of one connection of an Accept=yes socket, from the
	// template of its service and an instance name. It is called by workers.
	Instance func(socket *unit.Unit, instance string) (*unit.Unit, error)
	// Foreign makes units of what others mount, swap on and plug in. Without it
	// only units that UnitOf finds are followed.
	Foreign bool
	// Swaps are the swap units that are loaded: the kernel knows a swap by
	// another name than its unit may. Load finds a unit that is not loaded yet,
	// nil for none. Both are called by the world's goroutines and may be nil.
	Swaps func() []*unit.Unit
	Load  func(name string) *unit.Unit
	// Plugged are the device units that a former manager knew.
	Plugged []string
	// DeviceRoot is a directory with sys, dev and udev instead of /sys, /dev and
	// /run/udev, "" for the machine's.
	DeviceRoot string
	// Localtime is the file that gives the machine its time zone (localtime(5)); ""
	// means that the zone never changes.
	Localtime string
	// StampDir keeps when Persistent= timers elapsed; "" keeps nothing.
	StampDir string
	// Record is the file in which processes and groups are written down, so that
	// TakeOver can find them after the manager was killed; "" for none.
	Record string
	// Booted says that a former manager has finished the boot.
	Booted bool
	// Keeper keeps descriptors for the next manager; nil for nobody. Kept are those
	// that it held for this one, which the world takes over.
	Keeper Keeper
	Kept   []Kept
	// Replaces says that this program was executed in place of a former one, whose
	// processes are still children of this process: TakeOver must follow. Parts are
	// what its Leave returned.
	Replaces bool
	Parts    []Part
	// Ends are the processes of a former manager that an init above has reaped. With
	// EndsTold it goes on telling (EndedElsewhere).
	Ends     []Ended
	EndsTold bool
	// Happened is called when something that can be asked of a unit has changed and no
	// event tells of it; nil is for nobody. It is called by any goroutine.
	Happened func()
	// Log takes the world's own messages.
	Log *slog.Logger
	// Output takes the lines of services; nil drops them with a count.
	Output OutputSink
}

// OutputSink takes the standard output and error of services, a line at a time.
type OutputSink interface {
	// Line must not block and must keep neither the line nor its text.
	Line(*Line)
}

// World is the acting half of the manager.
type World struct {
	cfg  Config
	post func(core.Event)
	log  *slog.Logger
	sys  kernel
	hook hooks

	watch *epoll.Poll
	out   *output
	pool  pool
	cg    cgroups
	ev    groupEvents
	null  int // /dev/null, for streams
	spare spare

	accounts  accounts.Files
	nofile    child.Limit
	privilege privilege
	// noPrograms says that all processes begin as the helper; see fork.
	noPrograms atomic.Bool
	// ignored are the signals that whoever started the manager had it ignore.
	ignored uint64
	// preserve are units whose runtime directories outlive a restart, atRest those of
	// them that are down (removeAtRest), ineffective those that were warned about; reg.mu guards
	// all three.
	preserve, atRest map[string]*unit.Unit
	ineffective      map[string]bool

	reg    registry
	ledger *ledger // nil without Config.Record
	ends   lastEnds
	// commands are guarded by reg.mu.
	commands commandRuns
	kept     keeping
	// between is the time between boot and shutdown: Startup…= limits do not hold.
	between atomic.Bool
	// instances are those that the core has, while TakeOver opens sockets again.
	instances []string
	// tookOver says that a former manager was killed.
	tookOver bool
	errands  errands

	senses     senses
	liveMounts liveMounts

	spaces  spaces
	dynamic dynamicUsers

	closing sync.Once
	done    sync.WaitGroup
}

// hooks are what other parts of the world add to spawning and reaping. They are
// set in New, before any goroutine runs.
type hooks struct {
	// beforeReap is called by the watcher before processes are reaped, while
	// their numbers still name them: datagrams that they sent must be mapped
	// to them first.
	beforeReap func()
	// pass gives the descriptors and variables of socket activation and of the
	// descriptor store for a run ($LISTEN_FDS). The spawn closes them.
	pass func(a core.Spawn) (passed, error)
	// env gives further variables ($NOTIFY_SOCKET, …) and descriptors of a run
	// (the readiness descriptor).
	env func(a core.Spawn) (passed, error)
	// ended says that the run is over; its process was reaped.
	ended func(run core.RunID)
	// perform is asked first for actions that this file does not know.
	perform func(a core.Action) bool
	// closed ends what the other parts keep running.
	closed []func()
}

// passed are descriptors for a process: at is the number each one shall have, -1
// for the next free one from 3. Names, where given, become $LISTEN_FDNAMES.
type passed struct {
	fds []passedFD
	env []string
	// connection, if set, is what StandardInput=socket and its kind mean.
	connection *int
	// given is the name of a kept connection that goes to the process for good.
	given string
}

type passedFD struct {
	fd   int
	at   int
	name string
	// variable, if set, tells the process the number.
	variable string
	// keep says that the descriptor goes on belonging to somebody else; all
	// others are closed after the fork.
	keep bool
	// listen counts it into $LISTEN_FDS.
	listen bool
}

// New prepares the runtime directory, the notify socket and the cgroup root. post
// is called from the world's goroutines; it may block when the loop is behind.
func New(cfg Config, post func(core.Event)) (*World, error) {
	if len(cfg.Child) == 0 {
		return nil, fmt.Errorf("world: no child helper configured")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &World{liveMounts: liveMounts{}, cfg: cfg, post: post, log: cfg.Log, sys: realKernel, accounts: accounts.System, ignored: child.Ignored(), privilege: ownPrivilege(),
		preserve: map[string]*unit.Unit{}, atRest: map[string]*unit.Unit{}, ineffective: map[string]bool{}}
	w.pool.did = cfg.Happened
	w.between.Store(cfg.Booted)
	w.takeKept(cfg.Kept)
	w.cfg.Directories.defaults(cfg.User)
	if !cfg.User {
		w.nofile = descriptorLimit()
	}
	w.reg.init()
	null, err := w.sys.open("/dev/null", syscall.O_RDWR)
	if err != nil {
		return nil, fmt.Errorf("open /dev/null: %w", err)
	}
	w.null = null
	if err := w.spare.fill(); err != nil {
		return nil, fmt.Errorf("open /dev/null: %w", err)
	}
	if w.watch, err = epoll.New(); err != nil {
		return nil, err
	}
	if w.out, err = newOutput(w); err != nil {
		return nil, err
	}
	w.prepareCgroups()
	if cfg.Record != "" {
		w.ledger = &ledger{path: cfg.Record}
	}
	if err := w.startGroupEvents(); err != nil {
		return nil, err
	}
	if err := w.startErrands(); err != nil {
		return nil, err
	}
	if err := w.startSenses(); err != nil {
		return nil, err
	}
	w.start(w.watchLoop)
	w.start(w.out.loop)
	if cfg.Subreaper && !cfg.Replaces {
		w.startOrphans()
	}
	return w, nil
}

// start runs one of the world's goroutines, which Close waits for.
func (w *World) start(f func()) {
	w.done.Add(1)
	go func() {
		defer w.done.Done()
		f()
	}()
}

// Perform carries out one action.
func (w *World) Perform(a core.Action) {
	switch a := a.(type) {
	case core.Spawn:
		w.senses.ready.expect(w, a)
		w.performSpawn(a)
	case core.Signal:
		w.performSignal(a)
	case core.KillCgroup:
		w.performKill(a)
	case core.RemoveCgroup:
		w.performRemove(a)
	case core.Reconfigure:
		if w.cg.root != "" {
			w.pool.do(a.To.Name, func() {
				if err := w.reconfigure(a.From, a.To); err != nil {
					w.warn(a.To.Name, "limits that its files have now are not in force: "+err.Error())
				}
			})
		}
	case core.Freeze:
		w.performFreeze(a.Unit, true)
	case core.Thaw:
		w.performFreeze(a.Unit, false)
	default:
		if p, ok := a.(core.Publish); ok {
			w.performPublish(p)
			if p.What == core.StartupFinished {
				w.timePasses(true)
			}
			if p.What == core.UnitRemoved {
				w.LetGo(p.Unit)
				w.pool.do(p.Unit, func() { w.forgetUnit(p.Unit) }) // after what is still to be done for it
			}
		}
		if w.hook.perform != nil {
			w.hook.perform(a)
		}
	}
}

// Leave ends the world's goroutines for a program that is executed in place of this
// one and reads on, and returns the lines that have begun. What was begun is finished,
// so that every process is held and every connection kept; what waits is left to the
// new program. Nothing is closed: the execution does that. Nothing may follow.
func (w *World) Leave() []Part {
	w.endGoroutines()
	return w.out.parts()
}

// Close ends the world's goroutines. Processes go on.
func (w *World) Close() {
	w.closing.Do(func() {
		w.endGoroutines()
		w.closeDescriptors()
		w.closeAll()
		w.ledger.close()
	})
}

func (w *World) endGoroutines() {
	for _, f := range w.hook.closed {
		f()
	}
	w.pool.close()
	w.watch.Close()
	w.out.close()
	w.done.Wait()
}
