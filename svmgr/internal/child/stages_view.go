package child

import (
	"slices"

	"golang.org/x/sys/unix"
)

// viewer makes the view. Its descriptors are closed by the exec at the latest.
type viewer struct {
	*state
	// top is the path of the new root as it is seen now, "" in place; root is
	// opened on it.
	top  string
	root int
	// links is /proc/self/fd.
	links int
	// below are the mounts at the start, for KeepBelow.
	before []mountPoint
}

// resolveInRoot keeps a path, and every symbolic link in it, below the new root:
// a service that owns a directory must not be able to turn a mount elsewhere.
const resolveInRoot = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS

// view makes the mount namespace (mount_namespaces(7)) and what is in it.
func (st *state) view() error {
	v := &st.spec.View
	if !v.Set {
		return nil
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	// Mounts of the host come in, none goes out.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return st.about("/", err)
	}
	w := &viewer{state: st}
	if err := w.open(); err != nil {
		return err
	}
	if err := w.stage(v); err != nil {
		return err
	}
	list, err := w.place(v.Mounts)
	if err != nil {
		return err
	}
	steps, areas := arrange(list)
	for i := range steps {
		if err := w.apply(&steps[i]); err != nil {
			return st.about(steps[i].at, err)
		}
	}
	if err := w.restrict(areas); err != nil {
		return err
	}
	return w.enter(v)
}

func (w *viewer) open() (err error) {
	if w.links, err = unix.Open("/proc/self/fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return w.about("/proc", err)
	}
	text, err := readFile("/proc/thread-self/mountinfo")
	if err != nil {
		return w.about("/proc/thread-self/mountinfo", err)
	}
	w.before = mountPoints(text)
	return nil
}

// place works out where each mount goes, and opens what it takes from the host
// while the host can be seen.
func (w *viewer) place(mounts []Mount) ([]placed, error) {
	var out []placed
	mounts = slices.Clone(mounts)
	slices.SortStableFunc(mounts, func(a, b Mount) int { return empty(a) - empty(b) })
	for _, m := range mounts {
		clean, ok := cleanPath(m.Path)
		if !ok {
			return nil, w.about(m.Path, unix.EINVAL)
		}
		p := placed{Mount: m, handle: -1}
		p.Path = clean
		var err error
		if err = w.locate(&p, clean, out); err != nil {
			return nil, w.about(m.Path, err)
		}
		if ok, err = w.source(&p); err != nil {
			return nil, w.about(m.Source, err)
		}
		if ok {
			out = append(out, p)
		}
	}
	// What is missing may still be in something that is mounted above it.
	kept := out[:0]
	for _, p := range out {
		if !p.found && !madeAbove(out, p.at) {
			switch {
			case p.Kind == MountFS && p.Optional, p.Kind == MountAttr && p.Optional, p.Kind == MountHide && p.Optional:
				continue
			case p.Kind == MountAttr, p.Kind == MountHide:
				return nil, w.about(p.Path, unix.ENOENT)
			}
		}
		kept = append(kept, p)
	}
	return kept, nil
}

// empty sorts the empty file systems before all others.
func empty(m Mount) int {
	if m.Kind == MountFS && m.Source == "tmpfs" {
		return 0
	}
	return 1
}

// locate works out where p goes.
func (w *viewer) locate(p *placed, clean string, before []placed) (err error) {
	if p.Kind == MountSymlink || p.Kind == MountNode {
		// The last part is what will be there, not what it points to now.
		dir, name := parentOf(clean)
		if p.at, _, err = w.resolve(dir); err != nil {
			return err
		}
		if p.at == "/" {
			p.at = ""
		}
		p.at += "/" + name
		return nil
	}
	if p.at, p.found, err = w.resolve(clean); err != nil {
		return err
	}
	for _, m := range before {
		// In an empty file system there are no symbolic links to follow.
		if m.Kind == MountFS && m.Source == "tmpfs" && below(clean, m.Path) {
			top := m.at
			if top == "/" {
				top = ""
			}
			if m.Path == "/" {
				p.at = top + clean
			} else {
				p.at = top + clean[len(m.Path):]
			}
		}
	}
	return nil
}

// madeAbove says that something is certain to be mounted at the path or above it.
func madeAbove(list []placed, at string) bool {
	for _, p := range list {
		switch p.Kind {
		case MountAttr, MountHide:
		case MountFS:
			if below(at, p.at) || at == p.at && !p.Optional {
				return true
			}
		default:
			if below(at, p.at) || at == p.at {
				return true
			}
		}
	}
	return false
}

// nameOf is the path of what is open as fd.
func (w *viewer) nameOf(fd int) (string, error) {
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(w.links, itoa(fd), buf[:])
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// resolve follows the symbolic links in path. What is missing at its end stays as
// it is written.
func (w *viewer) resolve(path string) (at string, found bool, err error) {
	rest := ""
	for p := path; ; {
		fd, err := unix.Openat2(w.root, p, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: resolveInRoot})
		if err == nil {
			name, err := w.nameOf(fd)
			unix.Close(fd)
			if err != nil {
				return "", false, err
			}
			if len(name) < len(w.top) || name[:len(w.top)] != w.top {
				return "", false, unix.EXDEV
			}
			name = name[len(w.top):]
			if rest == "" && name == "" {
				return "/", true, nil
			}
			if name == "/" {
				name = ""
			}
			return name + rest, rest == "", nil
		}
		if err == unix.EAGAIN { // somebody renames right now
			continue
		}
		if err != unix.ENOENT && err != unix.ENOTDIR || p == "/" {
			return "", false, err
		}
		dir, last := parentOf(p)
		p, rest = dir, "/"+last+rest
	}
}

// source opens what p takes from the host. It says false when there is nothing to
// be done.
func (w *viewer) source(p *placed) (bool, error) {
	switch p.Kind {
	case MountAttr, MountHide, MountFS, MountSymlink:
		return true, nil
	case MountNode, MountBind:
	case MountImage:
		return true, nil
	default:
		return false, unix.EINVAL
	}
	missing := func(err error) (bool, error) {
		if p.Optional && (err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ENXIO) {
			return false, nil
		}
		return false, err
	}
	if p.Kind == MountNode {
		var s unix.Stat_t
		if err := unix.Lstat(p.Source, &s); err != nil {
			return missing(err)
		}
		if s.Mode&unix.S_IFMT == unix.S_IFLNK {
			var buf [unix.PathMax]byte
			n, err := unix.Readlink(p.Source, buf[:])
			if err != nil {
				return missing(err)
			}
			p.Kind, p.Source = MountSymlink, string(buf[:n])
			return true, nil
		}
	}
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if !p.Shallow {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, p.Source, flags)
	if err != nil {
		return missing(err)
	}
	p.handle = fd
	return true, nil
}

// stage puts the new root on the staging directory, if there is a new one.
func (w *viewer) stage(v *View) error {
	if v.Staging == "" {
		w.top = ""
		fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		w.root = fd
		return w.about("/", err)
	}
	root := v.Root
	if root == "" {
		root = "/"
	}
	var tree int
	var err error
	if v.Image {
		tree, err = image(root, v.ImageOptions, v.ImageFlags)
	} else {
		tree, err = unix.OpenTree(unix.AT_FDCWD, root, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	}
	if err != nil {
		return w.about(root, err)
	}
	err = unix.MoveMount(tree, "", unix.AT_FDCWD, v.Staging, unix.MOVE_MOUNT_F_EMPTY_PATH)
	unix.Close(tree)
	if err != nil {
		return w.about(v.Staging, err)
	}
	w.top = v.Staging
	return w.reopen()
}

func (w *viewer) reopen() error {
	fd, err := unix.Open(w.top, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return w.about(w.top, err)
	}
	if w.root > 0 {
		unix.Close(w.root)
	}
	w.root = fd
	return nil
}

// at opens a path of the new root that has no symbolic links.
func (w *viewer) openAt(path string) (int, error) {
	return openInside(w.root, path)
}

func openInside(root int, path string) (int, error) {
	for {
		fd, err := unix.Openat2(root, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: resolveInRoot | unix.RESOLVE_NO_SYMLINKS})
		if err != unix.EAGAIN && err != unix.EINTR {
			return fd, err
		}
	}
}

func (w *viewer) apply(p *placed) error {
	switch p.Kind {
	case MountAttr:
		return w.self(p)
	case MountHide:
		return w.hide(p)
	case MountSymlink:
		return w.symlink(p)
	case MountNode:
		return w.node(p)
	}
	tree := p.handle
	var err error
	dir := true
	var kept []keptMount
	switch p.Kind {
	case MountFS:
		if p.KeepBelow {
			if kept, err = w.keepBelow(p.at); err != nil {
				return err
			}
		}
		tree, err = newFS(p.Source, p.Options, p.Flags)
	case MountImage:
		tree, err = image(p.Source, p.Options, p.Flags)
	default:
		dir, err = isDir(tree)
	}
	if err != nil {
		return err
	}
	if err := w.attach(tree, p.at, dir); err != nil {
		return err
	}
	if p.at == "/" {
		if err := w.reopen(); err != nil {
			return err
		}
	}
	for _, k := range kept {
		// A directory that the new file system does not have shows nothing.
		to, err := w.openAt(k.at)
		if err == nil {
			err = unix.MoveMount(k.tree, "", to, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
			unix.Close(to)
		}
		unix.Close(k.tree)
		if err != nil && err != unix.ENOENT {
			return err
		}
	}
	return nil
}

// attach mounts tree at path, which is made if need be, and closes it.
func (w *viewer) attach(tree int, path string, dir bool) error {
	defer unix.Close(tree)
	to, err := w.openAt(path)
	if err == unix.ENOENT {
		if err = w.makePoint(path, dir); err == nil {
			to, err = w.openAt(path)
		}
	}
	if err != nil {
		return err
	}
	defer unix.Close(to)
	return unix.MoveMount(tree, "", to, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// makePoint makes an empty directory or file, and the directories above it.
func (w *viewer) makePoint(path string, dir bool) error {
	if path == "/" {
		return unix.ENOENT
	}
	above, name := parentOf(path)
	fd, err := w.openAt(above)
	if err == unix.ENOENT {
		if err = w.makePoint(above, true); err == nil {
			fd, err = w.openAt(above)
		}
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	old := unix.Umask(0o022)
	defer unix.Umask(old)
	if dir {
		err = unix.Mkdirat(fd, name, 0o755)
	} else {
		err = unix.Mknodat(fd, name, unix.S_IFREG|0o644, 0)
	}
	if err == unix.EEXIST {
		return nil
	}
	return err
}

// self makes a mount point of path by binding it to itself, so that it can have
// restrictions of its own.
func (w *viewer) self(p *placed) error {
	from, err := w.openAt(p.at)
	if err == unix.ENOENT && (p.found || p.Optional) {
		return nil // what was mounted above has nothing there
	}
	if err != nil {
		return err
	}
	defer unix.Close(from)
	var x unix.Statx_t
	if err := unix.Statx(from, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, 0, &x); err == nil && x.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		return nil // it is one
	}
	tree, err := unix.OpenTree(from, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE|unix.AT_EMPTY_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	return unix.MoveMount(tree, "", from, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// hide puts a node of the same type, without any permission, over the path.
func (w *viewer) hide(p *placed) error {
	to, err := w.openAt(p.at)
	if err == unix.ENOENT {
		return nil // seen at the start, and gone with what was mounted above
	}
	if err != nil {
		return err
	}
	defer unix.Close(to)
	var s unix.Stat_t
	if err := unix.Fstat(to, &s); err != nil {
		return err
	}
	name := "/reg"
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		name = "/dir"
	case unix.S_IFCHR:
		name = "/chr"
	case unix.S_IFBLK:
		name = "/blk"
	case unix.S_IFIFO:
		name = "/fifo"
	case unix.S_IFSOCK:
		name = "/sock"
	}
	const flags = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC
	tree, err := unix.OpenTree(unix.AT_FDCWD, p.Source+name, flags)
	if err == unix.ENOENT && name != "/dir" {
		// Without privileges no device nodes can be made.
		tree, err = unix.OpenTree(unix.AT_FDCWD, p.Source+"/reg", flags)
	}
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	if err := setAttr(tree, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC, 0); err != nil {
		return err
	}
	return unix.MoveMount(tree, "", to, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

func (w *viewer) symlink(p *placed) error {
	dir, name := parentOf(p.at)
	fd, err := w.openAt(dir)
	if err == unix.ENOENT {
		if err = w.makePoint(dir, true); err == nil {
			fd, err = w.openAt(dir)
		}
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err = unix.Symlinkat(p.Source, fd, name); err == unix.EEXIST {
		return nil
	}
	return err
}

// node makes the like of a device node. Where none can be made, in a user
// namespace, the one of the host is bound.
func (w *viewer) node(p *placed) error {
	var s unix.Stat_t
	if err := unix.Fstat(p.handle, &s); err != nil {
		return err
	}
	if t := s.Mode & unix.S_IFMT; t == unix.S_IFCHR || t == unix.S_IFBLK {
		dir, name := parentOf(p.at)
		fd, err := w.openAt(dir)
		if err != nil {
			return err
		}
		old := unix.Umask(0)
		err = unix.Mknodat(fd, name, s.Mode, int(s.Rdev))
		unix.Umask(old)
		if err == nil {
			err = unix.Fchownat(fd, name, int(s.Uid), int(s.Gid), unix.AT_SYMLINK_NOFOLLOW)
		}
		unix.Close(fd)
		if err != unix.EPERM {
			unix.Close(p.handle)
			return err
		}
	}
	return w.attach(p.handle, p.at, s.Mode&unix.S_IFMT == unix.S_IFDIR)
}

func isDir(fd int) (bool, error) {
	var s unix.Stat_t
	err := unix.Fstat(fd, &s)
	return s.Mode&unix.S_IFMT == unix.S_IFDIR, err
}

type keptMount struct {
	at   string
	tree int
}

// keepBelow takes hold of the mounts right below path, each with its own.
func (w *viewer) keepBelow(path string) ([]keptMount, error) {
	var out []keptMount
next:
	for _, m := range w.before {
		if !below(m.at, path) {
			continue
		}
		for _, k := range out {
			if m.at == k.at || below(m.at, k.at) {
				continue next
			}
		}
		fd, err := w.openAt(m.at)
		if err != nil {
			continue // covered by another mount, so unseen
		}
		tree, err := unix.OpenTree(fd, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE|unix.AT_EMPTY_PATH)
		unix.Close(fd)
		if err != nil {
			return nil, err
		}
		out = append(out, keptMount{m.at, tree})
	}
	return out, nil
}

// newFS makes a file system that is mounted nowhere yet (fsopen(2)).
func newFS(kind, options string, flags uint64) (int, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	for options != "" {
		var o string
		if i := index(options, ','); i >= 0 {
			o, options = options[:i], options[i+1:]
		} else {
			o, options = options, ""
		}
		if o == "" {
			continue
		}
		if i := index(o, '='); i >= 0 {
			err = unix.FsconfigSetString(fs, o[:i], o[i+1:])
		} else {
			err = unix.FsconfigSetFlag(fs, o)
		}
		if err != nil {
			return -1, err
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, int(flags))
}

func setAttr(fd int, set, clear uint64) error {
	return unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: set, Attr_clr: clear})
}

// restrict applies the areas to every mount that can be seen. It sets flags only
// and clears none: what the host has read-only stays so.
func (w *viewer) restrict(areas []area) error {
	any := false
	for _, a := range areas {
		any = any || a.readOnly || a.noExec
	}
	if !any {
		return nil
	}
	text, err := readFile("/proc/thread-self/mountinfo")
	if err != nil {
		return w.about("/proc/thread-self/mountinfo", err)
	}
	for _, m := range mountPoints(text) {
		at := m.at
		if w.top != "" {
			if at != w.top && !below(at, w.top) {
				continue
			}
			if at = at[len(w.top):]; at == "" {
				at = "/"
			}
		}
		a := areaOf(areas, at)
		var set uint64
		if a.readOnly {
			set |= unix.MOUNT_ATTR_RDONLY
		}
		if a.noExec {
			set |= unix.MOUNT_ATTR_NOEXEC
		}
		if set == 0 {
			continue
		}
		fd, err := w.openAt(at)
		if err != nil {
			continue // covered by another mount
		}
		var x unix.Statx_t
		err = unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID, &x)
		// A mount whose root cannot be asked, such as a dead FUSE, is tried.
		if err == nil && x.Mnt_id != m.id {
			unix.Close(fd)
			continue // the one on top of it has a line of its own
		}
		err = setAttr(fd, set, 0)
		unix.Close(fd)
		if err != nil {
			return w.about(at, err)
		}
	}
	return nil
}

// enter makes the new root the root, and settles how mounts propagate.
func (w *viewer) enter(v *View) error {
	if w.top != "" {
		if err := unix.Fchdir(w.root); err != nil {
			return w.about(w.top, err)
		}
		// The old root ends up on top of the new one, and is let go at once
		// (pivot_root(2), "pivot_root(".", ".")").
		if err := unix.PivotRoot(".", "."); err != nil {
			return w.about(w.top, err)
		}
		if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
			return w.about("/", err)
		}
		if err := unix.Chdir("/"); err != nil {
			return w.about("/", err)
		}
	}
	if v.NoSuid {
		err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID})
		if err != nil {
			return w.about("/", err)
		}
	}
	mode := uintptr(v.Propagation)
	if mode == 0 {
		mode = unix.MS_SHARED
	}
	if mode == unix.MS_SLAVE {
		return nil
	}
	return w.about("/", unix.Mount("", "/", "", unix.MS_REC|mode, ""))
}
