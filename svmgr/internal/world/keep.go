package world

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/pidfd"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// Keeper holds descriptors for the manager that comes after this one, should it be
// killed. Its methods do not wait for anybody.
type Keeper interface {
	// Keep deposits copies of descriptors for a unit under a name, in this order,
	// behind what is kept under the name already.
	Keep(unit, name string, fds ...int) error
	// Drop closes what is kept for the unit under the name.
	Drop(unit, name string)
}

// Kept are descriptors that a keeper held for this manager.
type Kept struct {
	Unit, Name string
	FDs        []int
}

// Ended is the end of a process that somebody else has reaped. Start is field 22 of
// /proc/PID/stat, 0 where it is not known.
type Ended struct {
	PID          int
	Start        uint64
	Code, Signal int32
	Core         bool
}

func (e *Ended) status() pidfd.Status {
	return pidfd.Status{PID: e.PID, Code: e.Code, Signal: e.Signal, Core: e.Core}
}

// The names of what is kept. They say all there is to know, so that nothing else
// must survive for a successor to make use of them.
const (
	keptNotify = "notify" // the notification socket, unit ""
	// keptOut, keptErr + RUN: the reading end of a pipe for standard output or
	// error; keptReady + RUN that of a readiness pipe.
	keptOut   = "out/"
	keptErr   = "err/"
	keptReady = "ready/"
	// keptListen + KIND/ADDRESS: a socket of a socket unit.
	keptListen = "listen/"
	// keptStored + NUMBER/FLAG/LABEL: one of the unit's descriptor store; the
	// flag is p if it is polled for hang-ups.
	keptStored = "store/"
	// keptConn + SOCKET: a connection of that socket unit which waits for the
	// process of this instance.
	keptConn = "conn/"
)

// keeping is what this world has left with its keeper, and what it got from it.
type keeping struct {
	mu sync.Mutex
	// found are the descriptors of a former manager that nobody asked for yet, by
	// unit, then name.
	found map[string]map[string][]int
	// refused are the units that were warned.
	refused map[string]bool
	// stored numbers descriptors of the store, so that they come back in order.
	stored uint64
}

// takeKept sorts what the keeper gave back.
func (w *World) takeKept(list []Kept) {
	k := &w.kept
	k.refused, k.found = map[string]bool{}, map[string]map[string][]int{}
	for _, e := range list {
		if k.found[e.Unit] == nil {
			k.found[e.Unit] = map[string][]int{}
		}
		k.found[e.Unit][e.Name] = append(k.found[e.Unit][e.Name], e.FDs...)
		if n, ok := strings.CutPrefix(e.Name, keptStored); ok {
			n, _, _ = strings.Cut(n, "/")
			if n, err := strconv.ParseUint(n, 10, 64); err == nil {
				k.stored = max(k.stored, n)
			}
		}
	}
}

// keep leaves copies with the keeper. What it does not take is lost if the manager
// is killed, no more: a warning of the unit.
func (w *World) keep(unit, name string, fds ...int) {
	if w.cfg.Keeper == nil {
		return
	}
	if err := w.cfg.Keeper.Keep(unit, name, fds...); err != nil {
		w.NotKept(unit, name, err)
	}
}

func (w *World) dropKept(unit, name string) {
	if w.cfg.Keeper != nil {
		w.cfg.Keeper.Drop(unit, name)
	}
}

// NotKept says that the keeper does not have what it was given.
func (w *World) NotKept(unit, name string, why error) {
	k := &w.kept
	k.mu.Lock()
	said := k.refused[unit]
	k.refused[unit] = true
	k.mu.Unlock()
	if said {
		return
	}
	what := "output"
	switch kind, _, _ := strings.Cut(name, "/"); kind + "/" {
	case keptReady:
		what = "its readiness pipe"
	case keptListen:
		what = "its sockets"
	case keptStored:
		what = "stored descriptors"
	case keptConn:
		what = "a connection"
	}
	text := fmt.Sprintf("%s would be lost if the manager were killed: %v", what, why)
	if unit == "" {
		w.log.Warn(text)
		return
	}
	w.warn(unit, text)
}

// keptFor takes what was kept for a unit under a name; the caller owns it.
func (w *World) keptFor(unit, name string) []int {
	k := &w.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	fds := k.found[unit][name]
	delete(k.found[unit], name)
	return fds
}

// keptNames lists the units and names that begin with prefix and were not taken.
func (w *World) keptNames(prefix string) (out []Kept) {
	k := &w.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	for u, names := range k.found {
		for n := range names {
			if strings.HasPrefix(n, prefix) {
				out = append(out, Kept{Unit: u, Name: n})
			}
		}
	}
	slices.SortFunc(out, func(a, b Kept) int {
		if c := strings.Compare(a.Unit, b.Unit); c != 0 {
			return c
		}
		if c := len(a.Name) - len(b.Name); c != 0 && strings.HasPrefix(a.Name, keptStored) {
			return c // numbers
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

// dropRest closes what nobody has use for: what became of it ended before it could
// be taken back from the keeper.
func (w *World) dropRest() {
	for _, e := range w.keptNames("") {
		for _, fd := range w.keptFor(e.Unit, e.Name) {
			unix.Close(fd)
		}
		w.dropKept(e.Unit, e.Name)
	}
}

// keepOutputs leaves the pipes of a process with the keeper before it may write.
func (w *World) keepOutputs(g *group, run core.RunID, outputs []outputPipe) {
	for _, o := range outputs {
		w.keep(g.unit, outputName(run, o.stderr), o.fd)
	}
}

func outputName(run core.RunID, stderr bool) string {
	prefix := keptOut
	if stderr {
		prefix = keptErr
	}
	return prefix + strconv.FormatUint(uint64(run), 10)
}

func readyName(run core.RunID) string { return keptReady + strconv.FormatUint(uint64(run), 10) }

// runOfName is the run in such a name.
func runOfName(name string) core.RunID {
	_, n, _ := strings.Cut(name, "/")
	run, _ := strconv.ParseUint(n, 10, 64) // a name of somebody else's making is run 0
	return core.RunID(run)
}

// outputsAgain goes on reading the pipes that were kept. It returns their inodes, of
// which there is no need to look for another way.
func (w *World) outputsAgain() map[uint64]bool {
	have := map[uint64]bool{}
	for _, prefix := range []string{keptOut, keptErr} {
		for _, e := range w.keptNames(prefix) {
			for _, fd := range w.keptFor(e.Unit, e.Name) {
				var st unix.Stat_t
				if unix.Fstat(fd, &st) == nil {
					have[st.Ino] = true
				}
				w.out.add(fd, e.Unit, runOfName(e.Name), prefix == keptErr, nil)
			}
		}
	}
	return have
}

// readyAgain gives the readiness pipes back to those that live.
func (w *World) readyAgain(said map[core.RunID]bool) {
	for _, e := range w.keptNames(keptReady) {
		run := runOfName(e.Name)
		w.reg.mu.Lock()
		p := w.reg.byRun[run]
		w.reg.mu.Unlock()
		if p == nil || p.group.unit != e.Unit {
			continue // dropRest closes it
		}
		fds := w.keptFor(e.Unit, e.Name)
		w.senses.ready.again(p.group.u, run, fds[0], said[run])
	}
}

// storeAgain fills the descriptor stores of units that are known still.
func (w *World) storeAgain(unitOf func(string) *unit.Unit) {
	for _, e := range w.keptNames(keptStored) {
		if unitOf(e.Unit) == nil {
			continue
		}
		f := strings.SplitN(e.Name, "/", 4)
		if len(f) != 4 {
			continue
		}
		for _, fd := range w.keptFor(e.Unit, e.Name) {
			w.store(e.Unit, &storedFD{fd: fd, name: f[3], kept: e.Name}, f[2] == "p")
		}
	}
}

// connectionsAgain finds the connections that waited for a process. Of an instance
// that the core does not know it is told again.
func (w *World) connectionsAgain(unitOf func(string) *unit.Unit, atRest func(string) bool) (told []core.Event) {
	t := &w.senses.sockets
	for _, e := range w.keptNames(keptConn) {
		socket := strings.TrimPrefix(e.Name, keptConn)
		s := unitOf(socket)
		if s == nil {
			continue
		}
		u := unitOf(e.Unit)
		fresh := u == nil || atRest(e.Unit)
		if fresh {
			i := strings.IndexByte(e.Unit, '@')
			if i < 0 || w.cfg.Instance == nil {
				continue
			}
			var err error
			if u, err = w.cfg.Instance(s, strings.TrimSuffix(e.Unit[i+1:], ".service")); err != nil {
				w.log.Error("a connection is closed: its instance cannot be loaded any more", "unit", e.Unit, "err", err)
				continue
			}
		}
		fd := w.keptFor(e.Unit, e.Name)[0]
		peer, _ := unix.Getpeername(fd) // nil for one that is gone: then there is no address
		c := &connection{fd: fd, addr: addrOf(peer), socket: socket}
		t.mu.Lock()
		t.conns[e.Unit] = c
		t.mu.Unlock()
		if fresh {
			told = append(told, core.Accepted{Socket: socket, Instance: u, Source: sourceOf(c)})
		}
	}
	return told
}
