package world

import (
	"context"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// pathUnits are the path units that are watched (systemd.path(5)).
type pathUnits struct {
	mu     sync.Mutex
	cancel map[string]context.CancelFunc
	// existed says of each path of a unit whether it was there when the unit
	// was told last: a change of that is seen although nobody watched.
	existed map[string][]bool
}

// changedMask are the events of PathChanged=; PathModified= adds writes.
const changedMask = unix.IN_CLOSE_WRITE | unix.IN_ATTRIB | unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM |
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF

var pathMasks = map[string]uint32{
	"PathExists":        unix.IN_ATTRIB,
	"PathExistsGlob":    unix.IN_ATTRIB,
	"DirectoryNotEmpty": unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_ATTRIB,
	"PathChanged":       changedMask,
	"PathModified":      changedMask | unix.IN_MODIFY,
}

// watchPaths tells once that a watch fired or holds.
func (w *World) watchPaths(u *unit.Unit) {
	p := &w.senses.pathUnits
	ctx, cancel := context.WithCancel(w.senses.ctx)
	p.mu.Lock()
	if old := p.cancel[u.Name]; old != nil {
		old()
	}
	p.cancel[u.Name] = cancel
	p.mu.Unlock()
	w.start(func() { // ends when it has told, at Unwatch or at Close
		defer cancel()
		w.waitForPaths(ctx, u)
	})
}

func (w *World) unwatchPaths(name string) {
	p := &w.senses.pathUnits
	p.mu.Lock()
	defer p.mu.Unlock()
	if cancel := p.cancel[name]; cancel != nil {
		cancel()
		delete(p.cancel, name)
	}
}

func (w *World) waitForPaths(ctx context.Context, u *unit.Unit) {
	watches := unit.Watches.Of(u)
	touched := make(chan struct{}, 1)
	specs := make([]*pathSpec, len(watches))
	for i, pw := range watches {
		if unit.MakeDirectory.Of(u) && pw.Kind != "PathExists" && pw.Kind != "PathExistsGlob" {
			if err := os.MkdirAll(pw.Path, os.FileMode(unit.DirectoryMode.Of(u))); err != nil {
				w.log.Warn("cannot make a watched directory", "unit", u.Name, "err", err)
			}
		}
		specs[i] = w.senses.paths.add(pw.Path, pathMasks[pw.Kind], touched)
		defer w.senses.paths.remove(specs[i])
	}
	first := true
	for {
		at := w.pathFired(u.Name, watches, specs, first)
		if ctx.Err() != nil {
			return
		}
		if at >= 0 {
			w.senses.pathUnits.remember(w, u.Name, watches)
			w.post(core.PathChanged{Unit: u.Name, Watch: at})
			return
		}
		if first {
			w.senses.pathUnits.remember(w, u.Name, watches)
		}
		first = false
		select {
		case <-touched:
		case <-ctx.Done():
			return
		}
	}
}

// pathFired is the first watch that holds or was hit, -1 for none.
func (w *World) pathFired(name string, watches []unit.PathWatch, specs []*pathSpec, first bool) int {
	m := w.senses.machine
	p := &w.senses.pathUnits
	p.mu.Lock()
	existed := slices.Clone(p.existed[name])
	p.mu.Unlock()
	for i, pw := range watches {
		ok := false
		var err error
		switch pw.Kind {
		case "PathExists":
			ok, err = m.pathExists(pw.Path)
		case "PathExistsGlob":
			ok, err = m.pathExistsGlob(pw.Path)
		case "DirectoryNotEmpty":
			ok, err = m.directoryNotEmpty(pw.Path)
		default:
			ok = w.senses.paths.takeHit(specs[i])
			if first && len(existed) == len(watches) {
				now, _ := m.pathExists(pw.Path)
				ok = ok || now != existed[i]
			}
		}
		if err != nil {
			w.log.Warn("a watched path cannot be checked", "unit", name, "path", pw.Path, "err", err)
		}
		if ok {
			return i
		}
	}
	return -1
}

func (p *pathUnits) remember(w *World, name string, watches []unit.PathWatch) {
	now := make([]bool, len(watches))
	for i, pw := range watches {
		now[i], _ = w.senses.machine.pathExists(pw.Path)
	}
	p.mu.Lock()
	p.existed[name] = now
	p.mu.Unlock()
}
