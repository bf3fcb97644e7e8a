package world

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/cgroup"
	"dynamod/internal/sys/pidfd"
	"dynamod/svmgr/internal/core"
)

// Processes that others have started come into a unit's group in two ways: a scope is
// made of them, or they are attached to a unit that runs. Without cgroups neither can
// be: nothing else tells what they do from then on.

// held is a process that waits for its scope.
type held struct{ pid, fd int }

// joining are the processes that wait for their scopes to start, by unit; reg.mu
// guards it. A request makes the entry, the start or the end of the unit takes it.
type joining map[string][]held

var errNoGroups = fmt.Errorf("processes of others can be kept together only by cgroups, and there are none: %w", unix.EOPNOTSUPP)

// Hold takes hold of processes for the scope that starts next under this name. All of
// them must live; none is held otherwise.
func (w *World) Hold(name string, pids []int32) error {
	list, err := w.hold(pids)
	if err != nil {
		return err
	}
	w.LetGo(name)
	w.reg.mu.Lock()
	if w.reg.joining == nil {
		w.reg.joining = joining{}
	}
	w.reg.joining[name] = list
	w.reg.mu.Unlock()
	return nil
}

// LetGo forgets what is held for a scope that did not start.
func (w *World) LetGo(name string) { release(w.takeHeld(name)) }

func (w *World) takeHeld(name string) []held {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	list := w.reg.joining[name]
	delete(w.reg.joining, name)
	return list
}

func release(list []held) {
	for _, h := range list {
		unix.Close(h.fd)
	}
}

func (w *World) hold(pids []int32) (list []held, err error) {
	if w.cg.root == "" {
		return nil, errNoGroups
	}
	defer func() {
		if err != nil {
			release(list)
			list = nil
		}
	}()
	for _, pid := range pids {
		if pid <= 1 || int(pid) == os.Getpid() {
			return list, fmt.Errorf("process %d cannot be moved: %w", pid, unix.EINVAL)
		}
		fd, err := pidfd.Open(int(pid))
		if err != nil {
			return list, fmt.Errorf("process %d: %w", pid, err)
		}
		list = append(list, held{int(pid), fd})
	}
	return list, nil
}

// move moves processes into the group dir. Those that have ended meanwhile are passed
// over; all others are tried, whatever becomes of one.
func (w *World) move(dir string, list []held) (errs error) {
	for _, h := range list {
		// The handle does not keep the number from being used again, so it is
		// asked right before: a number is not given anew within microseconds.
		if pidfd.Signal(h.fd, 0) != nil {
			continue
		}
		err := w.spare.do(func() error { return cgroup.Write(dir, "cgroup.procs", strconv.Itoa(h.pid)) })
		if err != nil && !errors.Is(err, unix.ESRCH) {
			errs = errors.Join(errs, fmt.Errorf("move process %d: %w", h.pid, err))
		}
	}
	return errs
}

// join makes the group of a scope, moves the processes in that wait for it, and says
// whether there are any. It runs in the unit's strand: what is asked for later finds
// the group.
func (w *World) join(a core.Adopt) {
	list := w.takeHeld(a.Unit)
	defer release(list)
	key := groupKey{a.Unit, a.Incarnation}
	w.reg.mu.Lock()
	g := w.reg.groups[key] // of a former manager, which did not live to tell
	if g == nil {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		g = &group{groupKey: key, u: a.Def, live: map[core.RunID]*process{}, sessions: map[int]struct{}{}, invocation: hex.EncodeToString(b[:])}
		w.reg.groups[key] = g
	}
	w.reg.current[a.Unit] = g
	g.pending++
	g.told = false
	w.reg.mu.Unlock()
	found, err := w.joinGroup(g, list)
	if err != nil {
		w.log.Error("processes do not come into their scope", "unit", a.Unit, "err", err)
	}
	w.post(core.MainPID{Unit: a.Unit, Incarnation: a.Incarnation, Run: a.Run, Found: found})
	w.toldOne(g)
	w.checkEmpty(g)
}

func (w *World) joinGroup(g *group, list []held) (found bool, err error) {
	if w.cg.root == "" {
		return false, errNoGroups
	}
	if g.dir == "" {
		if err := w.makeGroup(g, true); err != nil {
			return false, err
		}
	}
	dir := g.dir
	sub, err := w.delegateSubgroup(g)
	if err != nil {
		return false, err
	}
	if sub != "" {
		dir += "/" + sub
	}
	err = w.move(dir, list)
	found, readErr := w.populatedDir(g.dir)
	return found && readErr == nil, errors.Join(err, readErr)
}

// Attach moves processes into the group of a unit that runs, or into one below it,
// which is made if need be (org.freedesktop.systemd1(5), AttachProcessesToUnit).
func (w *World) Attach(name, sub string, pids []int32) error {
	sub = strings.Trim(sub, "/")
	if sub != "" {
		for part := range strings.SplitSeq(sub, "/") {
			if part == "" || part == "." || part == ".." || len(part) > 255 || strings.HasPrefix(part, "cgroup.") || strings.ContainsRune(part, 0) {
				return fmt.Errorf("%q is no place below a group: %w", printable(sub), unix.EINVAL)
			}
		}
	}
	list, err := w.hold(pids)
	if err != nil {
		return err
	}
	defer release(list)
	done := make(chan error, 1)
	// In the strand: the group must not be removed meanwhile.
	w.pool.do(name, func() {
		w.reg.mu.Lock()
		g := w.reg.current[name]
		dir := ""
		if g != nil {
			dir = g.dir
		}
		w.reg.mu.Unlock()
		if dir == "" {
			done <- fmt.Errorf("%s has no group: %w", name, unix.ENOENT)
			return
		}
		for part := range strings.SplitSeq(sub, "/") {
			if part == "" {
				break
			}
			dir += "/" + part
			if _, err := cgroup.Make(dir); err != nil {
				done <- err
				return
			}
		}
		w.reg.mu.Lock()
		g.told = false
		w.reg.mu.Unlock()
		err := w.move(dir, list)
		w.checkEmpty(g)
		done <- err
	})
	select {
	case err := <-done:
		return err
	case <-w.senses.ctx.Done():
		return errors.New("the manager ends")
	}
}
