package world

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/cgroup"
	"dynamod/internal/sys/epoll"
	"dynamod/svmgr/internal/core"
)

// groupEvents tells of changes in cgroup.events and memory.events: both files
// raise IN_MODIFY (cgroup-v2, "Core Interface Files").
type groupEvents struct {
	fd  int
	tag uint64
	// watches maps inotify watches to groups; reg.mu guards it.
	watches map[int32]watched
}

type watched struct {
	g      *group
	memory bool
}

func (w *World) startGroupEvents() error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return err
	}
	w.ev = groupEvents{fd: fd, watches: map[int32]watched{}}
	return w.watchFD(fd, epoll.In, &w.ev.tag, func(uint32) { w.readGroupEvents() })
}

// watchGroup begins to follow a new group.
func (w *World) watchGroup(g *group) {
	add := func(file string, memory bool) {
		// Under the lock, so that no event of the watch is read before it is
		// known.
		w.reg.mu.Lock()
		defer w.reg.mu.Unlock()
		wd, err := unix.InotifyAddWatch(w.ev.fd, g.dir+"/"+file, unix.IN_MODIFY)
		switch {
		case err == unix.ENOENT && memory: // the controller is missing
		case err != nil:
			w.log.Error("a cgroup cannot be watched", "dir", g.dir, "err", err)
		default:
			w.ev.watches[int32(wd)] = watched{g, memory}
			g.wds = append(g.wds, int32(wd))
		}
	}
	add("cgroup.events", false)
	add("memory.events", true)
}

// unwatchGroup ends that. The kernel keeps the watch of a cgroup file when the
// group is removed, so it would leak.
func (w *World) unwatchGroup(g *group) {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	for _, wd := range g.wds {
		delete(w.ev.watches, wd)
		_, _ = unix.InotifyRmWatch(w.ev.fd, uint32(wd))
	}
	g.wds = nil
}

func (w *World) readGroupEvents() {
	var buf [64 * unix.SizeofInotifyEvent]byte
	for {
		n, err := unix.Read(w.ev.fd, buf[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return
		}
		for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
			wd := int32(binary.NativeEndian.Uint32(b))
			mask := binary.NativeEndian.Uint32(b[4:])
			b = b[unix.SizeofInotifyEvent+int(binary.NativeEndian.Uint32(b[12:])):]
			if mask&unix.IN_Q_OVERFLOW != 0 {
				w.checkAllGroups()
				continue
			}
			w.reg.mu.Lock()
			x, ok := w.ev.watches[wd]
			w.reg.mu.Unlock()
			switch {
			case !ok || mask&unix.IN_IGNORED != 0:
			case x.memory:
				w.checkOOM(x.g)
			default:
				w.checkEmpty(x.g)
			}
		}
	}
}

// checkAllGroups is for the case that events were lost.
func (w *World) checkAllGroups() {
	w.reg.mu.Lock()
	all := make([]*group, 0, len(w.reg.groups))
	for _, g := range w.reg.groups {
		all = append(all, g)
	}
	w.reg.mu.Unlock()
	for _, g := range all {
		w.checkOOM(g)
		w.checkEmpty(g)
	}
}

// checkOOM reports kills by the kernel that were not reported yet.
func (w *World) checkOOM(g *group) {
	w.reg.mu.Lock()
	dir := g.dir
	w.reg.mu.Unlock()
	if dir == "" {
		return
	}
	var n uint64
	err := w.spare.do(func() (err error) { n, err = cgroup.Event(dir, "memory.events", "oom_kill"); return err })
	if err != nil {
		return
	}
	w.reg.mu.Lock()
	tell := n > g.oomSeen
	g.oomSeen = max(g.oomSeen, n)
	w.reg.mu.Unlock()
	if tell {
		w.post(core.OOMKilled{Unit: g.unit, Incarnation: g.inc})
	}
}

// askAgain looks once more in a while whether an incarnation is empty, because now
// the kernel would not say.
func (w *World) askAgain(g *group) {
	time.AfterFunc(time.Second, func() { w.pool.do(g.unit, func() { w.checkEmpty(g) }) })
}

func (w *World) populatedDir(dir string) (pop bool, err error) {
	err = w.spare.do(func() (err error) { pop, err = cgroup.Populated(dir); return err })
	return pop, err
}

func (w *World) childrenOf(dir string) (names []string, err error) {
	err = w.spare.do(func() (err error) { names, err = cgroup.Children(dir); return err })
	return names, err
}

// checkEmpty reports, once after each spawn, that no process of the incarnation is
// left. It is asked whenever that may have become true.
func (w *World) checkEmpty(g *group) {
	if !w.mayBeEmpty(g) {
		return
	}
	if left := w.populated(g); left {
		return
	}
	w.reg.mu.Lock()
	tell := g.pending == 0 && len(g.live) == 0 && !g.told && !g.removed
	if tell {
		g.told = true
	}
	leaked := g.leaked
	w.reg.mu.Unlock()
	switch {
	case tell:
		w.checkOOM(g) // as in over
		w.post(core.CgroupEmpty{Unit: g.unit, Incarnation: g.inc})
	case leaked:
		w.pool.do(g.unit, func() { w.removeLeaked(g) })
	}
}

// toldOne says that something pending is told: that the group is empty comes after what made
// it so, whoever looks meanwhile. checkEmpty comes next.
func (w *World) toldOne(g *group) {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	g.pending--
}

func (w *World) mayBeEmpty(g *group) bool {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	return g.pending == 0 && len(g.live) == 0 && (!g.told && !g.removed || g.leaked)
}

// populated says whether processes of the incarnation live. After the final kill,
// what is left in hooks and health alone does not count: it is a warning, and the
// service itself is gone.
func (w *World) populated(g *group) bool {
	w.reg.mu.Lock()
	dir, killed := g.dir, g.killed
	w.reg.mu.Unlock()
	if dir == "" {
		return w.cg.root == "" && w.watchStrays(g)
	}
	pop, err := w.populatedDir(dir)
	if err != nil {
		w.log.Error("a cgroup cannot be read", "dir", dir, "err", err)
		w.askAgain(g)
		return true
	}
	if !pop || !killed {
		return pop
	}
	var own []int
	if err := w.spare.do(func() (err error) { own, err = cgroup.Procs(dir); return err }); err != nil || len(own) > 0 {
		return true
	}
	children, err := w.childrenOf(dir)
	if err != nil {
		return true
	}
	for _, c := range children {
		if c == hooksGroup || c == healthGroup {
			continue
		}
		if pop, err := w.populatedDir(dir + "/" + c); pop || err != nil {
			return true
		}
	}
	w.warn(g.unit, "processes of hooks or health checks in "+dir+" survive SIGKILL")
	return false
}
