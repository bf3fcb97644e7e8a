package world

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/mountinfo"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
	"dynamod/svmgr/internal/core"
)

// kernelTables follows the kernel's mount and swap tables, which are the truth about
// mount and swap units. The kernel says that a table changed, not what: so it is
// read again, at most so often that reading takes a fiftieth of a processor.
type kernelTables struct {
	mounts, swaps *os.File // swaps is nil for a kernel without

	mu sync.Mutex
	// mountsDirty and swapsDirty say that a file must be read again.
	mountsDirty, swapsDirty bool

	table mountinfo.Table
	// inUse are the swap units that were told to be up, by what the kernel calls
	// the swap.
	inUse map[string]swapInUse
	// owed are units whose run has ended: they are told what is true now, whether
	// it changed or not.
	owed []owedWord
	// swapUnits are the units that swapped something on, by the kernel's name.
	swapUnits map[string]string
	// kick says that a table is dirty, urgent that a unit waits for a word.
	kick, urgent chan struct{}
	// reads counts how often a table was read, for tests and benchmarks.
	reads uint64
}

type swapInUse struct {
	mountinfo.Swap
	units []string
}

type owedWord struct {
	unit  string
	stage core.Stage
	// failed says that the run did not succeed.
	failed bool
}

const (
	minTablePause = 10 * time.Millisecond
	maxTablePause = time.Second
	// tableShare is what part of the time may be spent reading.
	tableShare = 50
)

// startTables begins to follow; the first reading is told like every change.
func (w *World) startTables() error {
	t := &w.senses.tables
	t.inUse, t.swapUnits = map[string]swapInUse{}, map[string]string{}
	t.kick, t.urgent = make(chan struct{}, 1), make(chan struct{}, 1)
	var err error
	if t.mounts, err = w.openTable("/proc/self/mountinfo"); err != nil {
		return fmt.Errorf("follow the mount table: %w", err)
	}
	if t.swaps, err = w.openTable("/proc/swaps"); err != nil {
		if !errors.Is(err, unix.ENOENT) { // a kernel without swap
			return fmt.Errorf("follow the swap table: %w", err)
		}
		t.swaps = nil
	}
	w.start(func() { w.watchTable(t.mounts, func() { t.dirty(true, false) }) }) // ends with the file
	if t.swaps != nil {
		w.start(func() { w.watchTable(t.swaps, func() { t.dirty(false, true) }) }) // ends with the file
	}
	w.start(func() { w.followTables(w.senses.ctx) }) // ends with the context
	return nil
}

// openTable opens a file of /proc for the runtime's own poller. It must not be in the
// watcher's set: to ask one epoll set about another takes the event of such a file
// away, because it is over as soon as somebody was told (seen on Linux 6.18).
func (w *World) openTable(path string) (*os.File, error) {
	fd, err := w.sys.open(path, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// watchTable calls changed at first and whenever the kernel says so, until the file is
// closed.
func (w *World) watchTable(f *os.File, changed func()) {
	raw, err := f.SyscallConn()
	if err == nil {
		err = raw.Read(func(uintptr) bool {
			changed()
			return false
		})
	}
	if w.senses.ctx.Err() == nil {
		w.log.Error("changes by others are not seen any more", "file", f.Name(), "err", err)
	}
}

func (t *kernelTables) dirty(mounts, swaps bool) {
	t.mu.Lock()
	t.mountsDirty = t.mountsDirty || mounts
	t.swapsDirty = t.swapsDirty || swaps
	t.mu.Unlock()
	token(t.kick)
}

func token(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default: // one says it all
	}
}

// tableRunEnded is called when a helper of a mount or swap unit has ended and that
// was reported: the table's word about the unit comes next.
func (w *World) tableRunEnded(name string, stage core.Stage, failed bool) {
	t := &w.senses.tables
	t.mu.Lock()
	t.owed = append(t.owed, owedWord{name, stage, failed})
	t.mountsDirty, t.swapsDirty = true, t.swaps != nil
	t.mu.Unlock()
	token(t.urgent)
}

func (w *World) followTables(ctx context.Context) {
	t := &w.senses.tables
	pause := time.NewTimer(0)
	defer pause.Stop()
	now := false
	for {
		if !now {
			select {
			case <-ctx.Done():
				return
			case <-t.kick:
			case <-t.urgent:
			}
		}
		began := time.Now()
		w.readTables()
		pause.Reset(min(max(tableShare*time.Since(began), minTablePause), maxTablePause))
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
			now = false
		case <-t.urgent: // a unit waits for its word
			now = true
		}
	}
}

// readTables reads what changed and tells it.
func (w *World) readTables() {
	t := &w.senses.tables
	t.mu.Lock()
	mounts, swaps, owed := t.mountsDirty, t.swapsDirty, t.owed
	t.mountsDirty, t.swapsDirty, t.owed = false, false, nil
	t.mu.Unlock()
	var out []core.Event
	var places []mountinfo.Point
	if mounts {
		data, err := readAgain(t.mounts)
		if err != nil {
			w.log.Error("the mount table cannot be read: mounts by others are not seen", "err", err)
		} else {
			t.mu.Lock()
			t.reads++
			bad := t.table.Bad
			places = t.table.Update(data)
			if t.table.Bad > bad {
				w.log.Warn("lines of the mount table cannot be read", "lines", t.table.Bad-bad)
			}
			t.mu.Unlock()
			for _, p := range places {
				if ev, ok := w.mountWord(p); ok {
					out = append(out, ev)
				}
			}
		}
	}
	if swaps {
		data, err := readAgain(t.swaps)
		if err != nil {
			w.log.Error("the swap table cannot be read: swaps by others are not seen", "err", err)
		} else {
			out = append(out, w.swapWords(data)...)
		}
	}
	for _, o := range owed {
		if ev, ok := w.owedWord(o); ok {
			out = append(out, ev)
		}
	}
	for _, ev := range out {
		w.post(ev)
	}
	for _, p := range places {
		w.automountPlace(p)
	}
	for _, o := range owed {
		w.automountRunEnded(o)
	}
}

// readAgain reads a file of /proc from its beginning.
func readAgain(f *os.File) ([]byte, error) {
	return io.ReadAll(io.NewSectionReader(f, 0, 1<<40))
}

// mountWord is the event about one place. Those that are no unit are told only if
// the manager follows what others mount.
func (w *World) mountWord(p mountinfo.Point) (core.MountChanged, bool) {
	name, err := unitname.FromPath(p.Path, unitname.Mount)
	if err != nil {
		return core.MountChanged{}, false // longer than a unit's name can be
	}
	if !w.cfg.Foreign && !w.defined(name) {
		return core.MountChanged{}, false
	}
	ev := core.MountChanged{Unit: name, Mounted: p.Mounted}
	if p.Mounted {
		ev.What, ev.Where, ev.FSType, ev.Options = p.Top.Source, p.Path, p.Top.Type, p.Top.Options
		if ev.What == "" {
			ev.What = "none"
		}
	}
	return ev, true
}

func (w *World) defined(name string) bool { return w.cfg.UnitOf != nil && w.cfg.UnitOf(name) != nil }

// swapWords compares the table of swaps with what was told. A swap is known to the
// kernel by its real path and may be a unit's under another (/dev/disk/by-…): each
// unit that means it is told.
func (w *World) swapWords(data []byte) (out []core.Event) {
	t := &w.senses.tables
	list, bad := mountinfo.Swaps(data)
	if bad > 0 {
		w.log.Warn("lines of the swap table cannot be read", "lines", bad)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reads++
	now := map[string]bool{}
	for _, s := range list {
		if s.Deleted {
			continue
		}
		now[s.Path] = true
		old, had := t.inUse[s.Path]
		units := t.unitsOfSwap(w, s.Path)
		for _, name := range units {
			if had && old.Swap == s && slices.Contains(old.units, name) {
				continue
			}
			out = append(out, core.MountChanged{Unit: name, Mounted: true, What: s.Path, Options: "pri=" + fmt.Sprint(s.Priority)})
		}
		t.inUse[s.Path] = swapInUse{s, units}
	}
	var gone []string
	for path := range t.inUse {
		if !now[path] {
			gone = append(gone, path)
		}
	}
	slices.Sort(gone)
	for _, path := range gone {
		for _, name := range t.inUse[path].units {
			out = append(out, core.MountChanged{Unit: name})
		}
		delete(t.inUse, path)
	}
	return out
}

// unitsOfSwap are the units that stand for a swap: that of its path, if it may become
// one, and those that name it otherwise.
func (t *kernelTables) unitsOfSwap(w *World, path string) (out []string) {
	if name, err := unitname.FromPath(path, unitname.Swap); err == nil && (w.cfg.Foreign || w.defined(name)) {
		out = append(out, name)
	}
	more := []*unit.Unit{}
	if w.cfg.Swaps != nil {
		more = w.cfg.Swaps()
	}
	for _, u := range more {
		if slices.Contains(out, u.Name) {
			continue
		}
		if real, err := filepath.EvalSymlinks(unit.What.Of(u)); err == nil && real == path {
			out = append(out, u.Name)
		}
	}
	for name, what := range t.swapUnits {
		if real, err := filepath.EvalSymlinks(what); err == nil && real == path && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// owedWord is what is true of a unit whose run has ended.
func (w *World) owedWord(o owedWord) (core.MountChanged, bool) {
	t := &w.senses.tables
	t.mu.Lock()
	defer t.mu.Unlock()
	switch o.stage {
	case core.StageSwapOn, core.StageSwapOff:
		ev := core.MountChanged{Unit: o.unit}
		for path, s := range t.inUse {
			if slices.Contains(s.units, o.unit) {
				ev.Mounted, ev.What, ev.Options = true, path, "pri="+fmt.Sprint(s.Priority)
			}
		}
		return ev, true
	}
	where, err := unitname.ToPath(o.unit)
	if err != nil {
		return core.MountChanged{}, false
	}
	ev := core.MountChanged{Unit: o.unit}
	if p := t.table.At(where); p.Mounted {
		ev = core.MountChanged{Unit: o.unit, Mounted: true, What: p.Top.Source, Where: p.Path, FSType: p.Top.Type, Options: p.Top.Options}
	}
	return ev, true
}

// isMounted asks the table as it was read last.
func (t *kernelTables) isMounted(where string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.table.At(where).Mounted
}

// closeTables ends the watching goroutines; it comes after the context's end.
func (w *World) closeTables() {
	for _, f := range [...]*os.File{w.senses.tables.mounts, w.senses.tables.swaps} {
		if f != nil {
			f.Close()
		}
	}
}

// KernelState is what the kernel's tables hold now, as unit names, for
// core.Config.Mounted: a manager that begins must not mount again what is there.
func KernelState(swaps []*unit.Unit) []string {
	var out []string
	var table mountinfo.Table
	if data, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		table.Update(data)
	}
	for _, p := range table.All() {
		if name, err := unitname.FromPath(p.Path, unitname.Mount); err == nil && p.Mounted {
			out = append(out, name)
		}
	}
	data, err := os.ReadFile("/proc/swaps")
	if err != nil {
		return out
	}
	list, _ := mountinfo.Swaps(data)
	for _, s := range list {
		if name, err := unitname.FromPath(s.Path, unitname.Swap); err == nil {
			out = append(out, name)
		}
		for _, u := range swaps {
			if real, err := filepath.EvalSymlinks(unit.What.Of(u)); err == nil && real == s.Path {
				out = append(out, u.Name)
			}
		}
	}
	return out
}
