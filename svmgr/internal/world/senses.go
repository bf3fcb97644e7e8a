package world

import (
	"context"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/epoll"
	"dynamod/internal/unitname"
	"dynamod/svmgr/internal/core"
)

// senses is how the world learns what spawning and reaping do not tell: notifications,
// readiness, conditions, sockets, paths, main processes.
type senses struct {
	machine   *machine
	notify    *notifySocket
	paths     *pathWatcher
	store     fdStore
	ready     readyPipes
	sockets   socketTable
	pathUnits pathUnits
	tables    kernelTables
	automount automounts

	// ctx ends at Close; probes are cancelled by CancelProbe too.
	ctx    context.Context
	stop   context.CancelFunc
	mu     sync.Mutex
	probes map[core.RunID]context.CancelFunc
}

// startSenses is the part of New that belongs to them.
func (w *World) startSenses() error {
	s := &w.senses
	s.machine = thisMachine(w.cfg.RuntimeDir, w.cfg.CgroupRoot)
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.probes = map[core.RunID]context.CancelFunc{}
	s.store.init()
	s.ready.init()
	s.sockets.init()
	s.pathUnits.cancel, s.pathUnits.existed = map[string]context.CancelFunc{}, map[string][]bool{}
	var err error
	if s.paths, err = newPathWatcher(w); err != nil {
		s.stop()
		return err
	}
	if err := w.startNotify(); err != nil {
		s.stop()
		s.paths.close()
		return err
	}
	s.automount.init()
	if err := w.startTables(); err != nil {
		s.stop()
		w.closeTables()
		s.paths.close()
		s.notify.close()
		return err
	}
	w.startClockWatch()
	if w.cfg.Foreign {
		w.startDevices()
	}
	w.start(s.paths.loop) // ends when closeSenses closes its descriptor
	w.hook.beforeReap = w.drainNotify
	w.hook.pass = w.passedFor
	w.hook.env = w.environmentFor
	w.hook.ended = func(run core.RunID) { s.ready.ended(w, run) }
	w.hook.perform = w.sense
	w.hook.closed = append(w.hook.closed, w.closeSenses)
	return nil
}

func (w *World) closeSenses() {
	w.closeAutomounts()
	w.senses.stop()
	w.closeTables()
	w.senses.paths.close()
}

// closeDescriptors comes last in Close, when no goroutine is left.
func (w *World) closeDescriptors() {
	w.senses.automount.releaseAll(w)
	w.senses.notify.close()
	w.senses.store.closeAll()
	w.senses.ready.closeAll()
	w.senses.sockets.closeAll()
}

// sense carries out the actions that are not about processes.
func (w *World) sense(a core.Action) bool {
	switch a := a.(type) {
	case core.Probe:
		w.performProbe(a)
	case core.CancelProbe:
		w.cancelProbe(a.Run)
	case core.Adopt:
		w.performAdopt(a)
	case core.Listen:
		if a.Unit.Type == unitname.Automount {
			w.openAutomount(a)
		} else {
			w.performListen(a)
		}
	case core.Unlisten:
		if strings.HasSuffix(a.Unit, ".automount") {
			w.closeAutomount(a.Unit)
		} else {
			w.performUnlisten(a)
		}
	case core.Watch:
		w.performWatch(a)
	case core.Unwatch:
		w.performUnwatch(a)
	case core.Deposit:
		w.deposit(a)
	case core.Withdraw:
		w.withdraw(a)
	case core.Stamp:
		w.stamp(a)
	default:
		return false
	}
	return true
}

// Handled tells the world that the loop has given ev to the core and carried out
// the actions that came of it. Without it no barrier is answered and descriptors
// that the core refused stay open.
func (w *World) Handled(ev core.Event) {
	switch ev := ev.(type) {
	case core.Notified:
		w.notificationHandled(ev)
	case core.Exited:
		w.ledger.forget(ev.Run)
	case core.SpawnFailed:
		w.ledger.forget(ev.Run)
	case core.ShutdownRequested:
		w.timePasses(false)
	}
	w.removeAtRest()
}

// probe runs f in a goroutine that ends with f; f must come to an end when its
// context is cancelled.
func (w *World) probe(run core.RunID, f func(context.Context)) {
	s := &w.senses
	ctx, cancel := context.WithCancel(s.ctx)
	s.mu.Lock()
	s.probes[run] = cancel
	s.mu.Unlock()
	w.start(func() {
		defer w.forgetProbe(run)
		f(ctx)
	})
}

func (w *World) cancelProbe(run core.RunID) {
	if cancel := w.takeProbe(run); cancel != nil {
		cancel()
	}
	w.senses.ready.cancel(w, run)
}

func (w *World) takeProbe(run core.RunID) context.CancelFunc {
	s := &w.senses
	s.mu.Lock()
	defer s.mu.Unlock()
	cancel := s.probes[run]
	delete(s.probes, run)
	return cancel
}

func (w *World) forgetProbe(run core.RunID) {
	if cancel := w.takeProbe(run); cancel != nil {
		cancel()
	}
}

// eye is a descriptor in the watcher's set.
type eye struct {
	fd  int
	tag uint64
	on  bool
}

func (w *World) open(e *eye, fd int, events uint32, f func(events uint32)) error {
	e.fd = fd
	err := w.watchFD(fd, events, &e.tag, f)
	e.on = err == nil
	return err
}

// shut ends the watch; the descriptor stays open.
func (w *World) shut(e *eye) {
	if e.on {
		e.on = false
		w.unwatchFD(e.fd, e.tag)
	}
}

// onHangup is what descriptors are watched for whose data belong to others.
const onHangup = epoll.Closed

func (w *World) performWatch(a core.Watch) {
	switch a.What {
	case core.WatchSocket:
		w.watchSocket(a.Unit)
	case core.WatchPaths:
		w.watchPaths(a.Unit)
	case core.WatchAutomount:
		w.watchAutomount(a.Unit)
	default:
		// Bus names are told by the daemon that speaks D-Bus.
		w.log.Debug("watched by others", "unit", a.Unit.Name)
	}
}

func (w *World) performUnwatch(a core.Unwatch) {
	switch a.What {
	case core.WatchSocket:
		w.unwatchSocket(a.Unit)
	case core.WatchPaths:
		w.unwatchPaths(a.Unit)
	case core.WatchAutomount:
		w.unwatchAutomount(a.Unit)
	}
}

// environmentFor is what every process gets.
func (w *World) environmentFor(a core.Spawn) (passed, error) {
	if core.NotifyAccessOf(a.Unit) == "none" {
		return passed{}, nil
	}
	return passed{env: []string{"NOTIFY_SOCKET=" + w.senses.notify.path}}, nil
}

// passedFor is what goes along with a main process: its sockets or its connection,
// then what it has stored, then its readiness descriptor.
func (w *World) passedFor(a core.Spawn) (passed, error) {
	var out passed
	var err error
	if a.PassFDs {
		if err = w.senses.sockets.give(a, &out); err == nil {
			err = settleBlocking(a.Unit, out.fds)
		}
		if err == nil {
			err = w.senses.store.give(a.Unit.Name, &out)
		}
	}
	if err == nil {
		err = w.openFiles(a, &out)
	}
	if err == nil {
		err = w.senses.ready.give(a, &out)
	}
	if err != nil {
		for _, f := range out.fds {
			if !f.keep {
				unix.Close(f.fd)
			}
		}
		return passed{}, err
	}
	return out, nil
}

// isMain says that a run is the one that readiness and sockets are about.
func isMain(a core.Spawn) bool { return a.Role == core.RoleMain && a.Stage == core.StageStart }
