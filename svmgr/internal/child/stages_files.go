package child

import (
	"golang.org/x/sys/unix"
)

func readFile(path string) (string, error) {
	fd, err := openFile(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var out []byte
	var buf [4096]byte
	for {
		n, err := unix.Read(fd, buf[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return "", err
		}
		if n == 0 {
			return string(out), nil
		}
		if out = append(out, buf[:n]...); len(out) > maxCredential {
			return "", unix.EFBIG
		}
	}
}

func writeFile(path, text string) error {
	fd, err := openFile(path, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for {
		_, err = unix.Write(fd, []byte(text))
		if err != unix.EINTR {
			return err
		}
	}
}

func (st *state) directories() error {
	for _, d := range st.spec.Dirs {
		st.at = d.Stage
		if err := d.make(); err != nil {
			return st.about(d.Path, err)
		}
	}
	return nil
}

// make creates the directory, or corrects mode and owner of one that is there
// (systemd.exec(5), RuntimeDirectory=).
func (d *Dir) make() error {
	parent, name, err := openParent(d.Path)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	if err := unix.Mkdirat(parent, name, d.Mode&0o7777); err != nil && err != unix.EEXIST {
		return err
	}
	// O_NOFOLLOW on the last part as well: a user who owns the parent must not be
	// able to have the owner of another directory changed.
	fd, err := unix.Openat(parent, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var now unix.Stat_t
	if err := unix.Fstat(fd, &now); err != nil {
		return err
	}
	self := "/proc/self/fd/" + itoa(fd)
	if d.Chown && (now.Uid != d.UID || now.Gid != d.GID) {
		if err := unix.Chown(self, int(d.UID), int(d.GID)); err != nil {
			return err
		}
		if err := chownBelow(fd, d.UID, d.GID, 0); err != nil {
			return err
		}
	}
	if now.Mode&0o7777 != d.Mode&0o7777 {
		if err := unix.Chmod(self, d.Mode&0o7777); err != nil {
			return err
		}
	}
	for _, l := range d.Links {
		if err := linkTo(d.Path, l); err != nil {
			return err
		}
	}
	return nil
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

const maxDepth = 64

// chownBelow gives the content of a directory that changes its owner to the new
// one, without following symbolic links.
func chownBelow(fd int, uid, gid uint32, depth int) error {
	if depth > maxDepth {
		return unix.ELOOP
	}
	names, err := list1(fd)
	if err != nil {
		return err
	}
	for _, n := range names {
		var s unix.Stat_t
		if err := unix.Fstatat(fd, n, &s, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		if err := unix.Fchownat(fd, n, int(uid), int(gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		if s.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		sub, err := unix.Openat(fd, n, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		err = chownBelow(sub, uid, gid, depth+1)
		unix.Close(sub)
		if err != nil {
			return err
		}
	}
	return nil
}

func list1(fd int) ([]string, error) {
	dir, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	var names []string
	var buf [4096]byte
	for {
		n, err := unix.ReadDirent(dir, buf[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return names, err
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

// openParent opens what lies above p and makes what is missing, with mode 0755 whatever
// the umask.
func openParent(p string) (fd int, last string, err error) {
	old := unix.Umask(0o022)
	defer unix.Umask(old)
	return OpenParent(p, true)
}

// linkTo makes a symbolic link; something that is there stays.
func linkTo(target, p string) error {
	parent, name, err := openParent(p)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	if err := unix.Symlinkat(target, parent, name); err != unix.EEXIST {
		return err
	}
	return nil
}

// maxCredential bounds one credential and all of them together, as systemd's
// manual does (1 MB).
const maxCredential = 1 << 20

func (st *state) credentials() error {
	c := st.spec.Credentials
	if c.Path == "" {
		return nil
	}
	// An unprivileged manager must be able to write while it fills it.
	d := Dir{Path: c.Path, Mode: 0o700, UID: c.UID, GID: c.GID, Chown: true}
	if err := d.make(); err != nil {
		return st.about(c.Path, err)
	}
	total := 0
	for _, k := range c.Items {
		data := k.Data
		if k.Path != "" {
			s, err := readFile(k.Path)
			if err != nil && k.Optional {
				continue
			}
			if err != nil {
				return st.about(k.Path, err)
			}
			data = []byte(s)
		}
		if total += len(data); total > maxCredential {
			return st.about(k.ID, unix.E2BIG)
		}
		p := c.Path + "/" + k.ID
		// Replaced, not rewritten: a process that holds the old one keeps it.
		tmp := p + ".new"
		// The directory is the service's: what a process of it has put here, such as
		// a FIFO, is never opened.
		_ = unix.Unlink(tmp)
		fd, err := openFile(tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW)
		if err != nil {
			return st.about(p, err)
		}
		if err = unix.Fchmod(fd, 0o400); err == nil {
			err = unix.Fchown(fd, int(c.UID), int(c.GID))
		}
		if err == nil {
			err = writeAll(fd, data)
		}
		unix.Close(fd)
		if err == nil {
			err = unix.Rename(tmp, p)
		}
		if err != nil {
			return st.about(p, err)
		}
	}
	return st.about(c.Path, unix.Chmod(c.Path, 0o500))
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
