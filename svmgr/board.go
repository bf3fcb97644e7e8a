package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"dynamod/internal/board"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// notices puts on the board (package board) what becomes of units, so that it can be
// read when this manager answers nobody. It costs nothing while nothing happens: memory
// and processor time are as they were when the unit changed, or when much had happened
// and the machine came to rest.
type notices struct {
	m     *manager
	board *board.Writer
	log   *slog.Logger

	mu    sync.Mutex
	dirty map[string]struct{}
	all   bool
	// then is called when all is written.
	then []func()
	kick chan struct{}
}

// boardPath is where the board of a manager is.
func boardPath(s settings) string {
	if s.mode == system || s.mode == container {
		return board.Path
	}
	return filepath.Join(s.runtimeDir, board.Name)
}

// newNotices makes the board. Without one the manager does its work all the same.
func newNotices(m *manager, path string, units int) *notices {
	n := &notices{m: m, log: m.log, dirty: map[string]struct{}{}, kick: make(chan struct{}, 1)}
	w, err := board.Create(path, 2*units, int32(os.Getpid()), m.info.Started.Wall/1000)
	if err != nil {
		n.log.Warn("units cannot be read from shared memory", "board", path, "err", err)
		return n
	}
	n.board = w
	return n
}

// changed takes note of a unit; it does not wait.
func (n *notices) changed(p core.Publish) {
	switch p.What {
	case core.UnitChanged, core.UnitNew, core.UnitRemoved, core.StatusChanged:
	default:
		return
	}
	if n.board == nil {
		return
	}
	n.mu.Lock()
	n.dirty[p.Unit] = struct{}{} // at most all units
	n.mu.Unlock()
	n.hurry()
}

// anew has everything written again, and calls then afterwards. Without a board that is
// at once; once the manager ends it is never.
func (n *notices) anew(then func()) {
	if n.board == nil {
		then()
		return
	}
	n.mu.Lock()
	n.all, n.then = true, append(n.then, then)
	n.mu.Unlock()
	n.hurry()
}

func (n *notices) hurry() {
	select {
	case n.kick <- struct{}{}:
	default:
	}
}

// run writes until ctx ends, and then says that the manager has ended.
func (n *notices) run(ctx context.Context) {
	if n.board == nil {
		return
	}
	defer n.board.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.kick:
		}
		select { // a unit that starts changes a few times
		case <-ctx.Done():
			return
		case <-time.After(boardDelay):
		}
		n.mu.Lock()
		dirty, all, then := n.dirty, n.all, n.then
		n.dirty, n.all, n.then = map[string]struct{}{}, false, nil
		n.mu.Unlock()
		n.write(dirty, all)
		for _, f := range then {
			f()
		}
	}
}

// boardDelay is how much older than the truth the board may be.
const boardDelay = 100 * time.Millisecond

// atOnce bounds how many units are looked at in one turn of the loop.
const atOnce = 256

// write looks at units and puts them on the board.
func (n *notices) write(dirty map[string]struct{}, all bool) {
	if all {
		n.m.Query(func(c *core.Core) {
			c.View().Units(func(u core.UnitView) bool { dirty[u.Name] = struct{}{}; return true })
		})
	}
	names := make([]string, 0, len(dirty))
	for name := range dirty {
		names = append(names, name)
	}
	for part := range slices.Chunk(names, atOnce) {
		var units []core.UnitView
		var gone []string
		if !n.m.Query(func(c *core.Core) {
			for _, name := range part {
				if u, ok := c.View().Unit(name); ok && u.Name == name && u.Unit != nil {
					units = append(units, u)
				} else {
					gone = append(gone, name)
				}
			}
		}) {
			return
		}
		for _, name := range gone {
			n.board.Drop(name)
		}
		for k := range units {
			if err := n.board.Put(n.record(&units[k])); err != nil {
				n.log.Warn("the board has no room for all units", "err", err)
			}
		}
	}
}

// record is a unit as the board shows it.
func (n *notices) record(u *core.UnitView) board.Record {
	r := board.Record{Name: u.Name, State: u.State.String(), Sub: u.Sub.String(), Cause: u.Cause.Kind.String(), Weight: 100,
		PID: n.m.PID(u.Main), Restarts: u.Restarts, Since: u.Since.Wall / 1000, Memory: board.Unknown, CPU: board.Unknown}
	if unit.CPUWeight.IsSet(u.Unit) {
		r.Weight = uint32(unit.CPUWeight.Of(u.Unit))
	}
	// Two files, and not all that there are: this is done for every change but those
	// that are soon followed by the next.
	if u.State == core.Starting {
		return r
	}
	if dir := n.m.world.CgroupOf(u.Name); dir != "" {
		if m := cgroupNumber(dir, "memory.current"); m >= 0 {
			r.Memory = uint64(m)
		}
		if c := cgroupKeyed(dir, "cpu.stat", "usage_usec"); c >= 0 {
			r.CPU = uint64(c)
		}
	}
	return r
}
