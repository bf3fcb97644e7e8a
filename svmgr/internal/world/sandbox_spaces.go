package world

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"dynamod/internal/unit"
	"dynamod/svmgr/internal/child"
)

// spaces are the namespaces and temporary directories that outlive one process: all
// processes of an activation share them, and so do the units that
// JoinsNamespaceOf= names.
type spaces struct {
	mu  sync.Mutex
	all map[groupKey]*space
	// hidden and staging are made when they are needed first, by hideOnce.
	hideOnce        sync.Once
	hideErr         error
	hidden, staging string
}

// space is what some activations share. Descriptors are -1 until somebody needs
// them.
type space struct {
	users    map[groupKey]bool
	net, ipc int
	tmp      [2]string
}

// spaceFor is the space of an activation: its own, that of a unit it joins, or that
// of one which joins it (systemd.unit(5): the inverse dependency is implied). The
// caller holds spaces.mu.
func (w *World) spaceFor(g *group) *space {
	if s := w.spaces.all[g.groupKey]; s != nil {
		return s
	}
	if w.spaces.all == nil {
		w.spaces.all = map[groupKey]*space{}
	}
	s := w.spaceJoined(g)
	if s == nil {
		s = &space{users: map[groupKey]bool{}, net: -1, ipc: -1}
	}
	s.users[g.groupKey] = true
	w.spaces.all[g.groupKey] = s
	return s
}

func (w *World) spaceJoined(g *group) *space {
	joins := unit.JoinsNamespaceOf.Of(g.u)
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	for key, s := range w.spaces.all {
		if slices.Contains(joins, key.unit) {
			return s
		}
		other := w.reg.groups[key]
		if other != nil && key.unit != g.unit && slices.Contains(unit.JoinsNamespaceOf.Of(other.u), g.unit) {
			return s
		}
	}
	return nil
}

// leaveSpace ends the activation's use of its space; the last user closes and
// removes what is in it.
func (w *World) leaveSpace(g *group) {
	w.spaces.mu.Lock()
	defer w.spaces.mu.Unlock()
	s := w.spaces.all[g.groupKey]
	if s == nil {
		return
	}
	delete(w.spaces.all, g.groupKey)
	if delete(s.users, g.groupKey); len(s.users) > 0 {
		return
	}
	for _, fd := range []int{s.net, s.ipc} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	for _, dir := range s.tmp {
		if dir != "" {
			w.removeTree(g.unit, dir)
		}
	}
}

// netSpace is a descriptor of the network namespace, which is made if need be.
// Path is NetworkNamespacePath=.
func (w *World) netSpace(g *group, path string) (int, error) {
	return w.openSpace(g, "net", unix.CLONE_NEWNET, path, func(s *space) *int { return &s.net })
}

func (w *World) ipcSpace(g *group, path string) (int, error) {
	return w.openSpace(g, "ipc", unix.CLONE_NEWIPC, path, func(s *space) *int { return &s.ipc })
}

// openSpace returns a descriptor of the caller's own.
func (w *World) openSpace(g *group, kind string, flag int, path string, of func(*space) *int) (int, error) {
	w.spaces.mu.Lock()
	defer w.spaces.mu.Unlock()
	fd := of(w.spaceFor(g))
	if *fd < 0 {
		var err error
		switch pid, ok := w.mainPID(g); {
		case ok:
			// The manager was started anew meanwhile: the namespace is the one
			// in which the unit runs.
			path = "/proc/" + strconv.Itoa(pid) + "/ns/" + kind
			fallthrough
		case path != "":
			*fd, err = w.sys.open(path, unix.O_RDONLY)
			if err == nil && !isSpace(*fd, flag) {
				unix.Close(*fd)
				*fd, err = -1, unix.EINVAL
			}
		default:
			*fd, err = newSpace(kind, flag)
		}
		if err != nil {
			*fd = -1
			return -1, err
		}
	}
	return unix.FcntlInt(uintptr(*fd), unix.F_DUPFD_CLOEXEC, 0)
}

// isSpace says whether fd is a namespace of the kind (ioctl_ns(2)).
func isSpace(fd, flag int) bool {
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	return err == nil && kind == flag
}

// newSpace makes a namespace that no process is in yet. A thread goes there and
// comes back; one that cannot come back is given up.
func newSpace(kind string, flag int) (fd int, err error) {
	done := make(chan struct{})
	go func() { // ends after a few system calls
		defer close(done)
		runtime.LockOSThread()
		self := "/proc/thread-self/ns/" + kind
		home, e := unix.Open(self, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if e != nil {
			runtime.UnlockOSThread()
			fd, err = -1, e
			return
		}
		defer unix.Close(home)
		if e := unix.Unshare(flag); e != nil {
			runtime.UnlockOSThread()
			fd, err = -1, e
			return
		}
		fd, err = unix.Open(self, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil && flag == unix.CLONE_NEWNET {
			err = child.Loopback()
		}
		if unix.Setns(home, flag) == nil {
			runtime.UnlockOSThread()
		}
	}()
	<-done
	if err != nil && fd >= 0 {
		unix.Close(fd)
		fd = -1
	}
	return fd, err
}

// privateTmp makes the directories behind /tmp and /var/tmp. Whoever can write to
// /tmp cannot foresee their names, nor look into them.
func (w *World) privateTmp(g *group) (tmp, varTmp string, err error) {
	w.spaces.mu.Lock()
	defer w.spaces.mu.Unlock()
	s := w.spaceFor(g)
	for i, base := range []string{w.cfg.Directories.Tmp, w.cfg.Directories.VarTmp} {
		if s.tmp[i] != "" {
			continue
		}
		if s.tmp[i], err = makePrivate(base, g.invocation, g.unit); err != nil {
			return "", "", fmt.Errorf("a private directory in %s: %w", base, err)
		}
	}
	return s.tmp[0] + "/tmp", s.tmp[1] + "/tmp", nil
}

func makePrivate(base, invocation, unitName string) (string, error) {
	dir := filepath.Join(base, "dynamod-private-"+invocation+"-"+filepath.Base(unitName))
	err := os.Mkdir(dir, 0o700)
	if os.IsExist(err) {
		// It is ours from before a restart of the manager, if nobody else
		// can have made it.
		var st unix.Stat_t
		if e := unix.Lstat(dir, &st); e != nil || st.Mode&(unix.S_IFMT|0o077) != unix.S_IFDIR || int(st.Uid) != os.Geteuid() {
			return "", err
		}
	} else if err != nil {
		return "", err
	}
	inner := dir + "/tmp"
	if err := os.Mkdir(inner, 0o777); err != nil && !os.IsExist(err) {
		_ = os.Remove(dir)
		return "", err
	}
	// The sticky bit, whatever the umask.
	if err := os.Chmod(inner, os.ModeSticky|0o777); err != nil {
		return "", err
	}
	return dir, nil
}

// prepareViews makes what stands for inaccessible files, and the place where new
// roots are put together, once.
func (w *World) prepareViews() error {
	w.spaces.hideOnce.Do(func() {
		base := w.cfg.RuntimeDir
		w.spaces.hidden, w.spaces.staging = base+"/inaccessible", base+"/root"
		w.spaces.hideErr = makeHidden(w.spaces.hidden, w.spaces.staging)
	})
	return w.spaces.hideErr
}

func makeHidden(dir, staging string) error {
	for d, mode := range map[string]os.FileMode{dir: 0o755, staging: 0o755, dir + "/dir": 0} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(d, mode); err != nil {
			return err
		}
	}
	for name, kind := range map[string]uint32{"reg": unix.S_IFREG, "fifo": unix.S_IFIFO, "sock": unix.S_IFSOCK, "chr": unix.S_IFCHR, "blk": unix.S_IFBLK} {
		err := unix.Mknod(dir+"/"+name, kind, 0)
		device := kind == unix.S_IFCHR || kind == unix.S_IFBLK
		if err != nil && err != unix.EEXIST && !(device && err == unix.EPERM) {
			return fmt.Errorf("%s/%s: %w", dir, name, err)
		}
	}
	return nil
}
