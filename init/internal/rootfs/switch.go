package rootfs

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// newRoot is where the root file system is mounted before it becomes /.
const newRoot = "/newroot"

// Mount finds the root file system and mounts it. After that Switch goes over to it.
func Mount(c *Config, say Say) error {
	if err := os.Mkdir(newRoot, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	if c.Live != nil {
		return c.Live.mount(c, say)
	}
	d, err := find(c.Root, c.Wait, say)
	if err != nil {
		return err
	}
	pause(c.Delay, say)
	types := c.Type
	if types == "" {
		types = d.system.Type
	}
	if types == "" {
		return errors.New(d.file() + " has no file system that PID 1 knows; rootfstype= says which it is")
	}
	for fstype := range strings.SplitSeq(types, ",") {
		if err = unix.Mount(d.file(), newRoot, fstype, c.Flags, c.Data); err == nil {
			say(6, "the root file system is "+fstype+" on "+d.file())
			return nil
		}
		err = errors.New("mount " + d.file() + " as " + fstype + ": " + why(err, fstype))
	}
	return err
}

func why(err error, fstype string) string {
	switch err {
	case unix.ENODEV:
		return "this kernel has no " + fstype + " without a module, and the initramfs does not bring it"
	case unix.EINVAL:
		return err.Error() + ": it is damaged, of another type, or an option of rootflags= is wrong (the kernel's log says more)"
	}
	return err.Error()
}

// inits are what may lie on a root file system.
var inits = []string{"/sbin/dynamod-init", "/usr/sbin/dynamod-init", "/sbin/init"}

// initOf is the program that will be run. Nothing of the initramfs may go before it is
// known to be there.
func initOf(c *Config) (string, error) {
	list := inits
	if c.Init != "" {
		list = []string{c.Init}
	}
	for _, p := range list {
		if executable(newRoot, p) {
			return p, nil
		}
	}
	return "", errors.New("the root file system has no program " + strings.Join(list, " or ") + "; is it the right one?")
}

// executable follows links inside the new root, not the initramfs.
func executable(root, path string) bool {
	top, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(top)
	fd, err := unix.Openat2(top, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Mode&0o111 != 0
}

// Switch makes what Mount has mounted the root directory and starts init there. It
// comes back only with an error: before gone is true, with everything as it was.
func Switch(c *Config, say Say) (gone bool, err error) {
	program, err := initOf(c)
	if err != nil {
		return false, err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs("/", &fs); err != nil || !inMemory(fs.Type) {
		return false, errors.New("/ is no initramfs")
	}
	old, err := os.OpenRoot("/")
	if err != nil {
		return false, err
	}
	var here unix.Stat_t
	if err := unix.Stat("/", &here); err != nil {
		return false, err
	}
	for _, dir := range []string{"/dev", "/proc", "/sys", "/run"} {
		if err := unix.Mount(dir, newRoot+dir, "", unix.MS_MOVE, ""); err != nil {
			// init mounts its own; on a root that lacks the directory it says so.
			say(4, "move "+dir+" to the root file system: "+err.Error())
			_ = unix.Unmount(dir, unix.MNT_DETACH)
		}
	}
	if err := unix.Chdir(newRoot); err != nil {
		return true, err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return true, errors.New("move the root file system to /: " + err.Error())
	}
	if err := unix.Chroot("."); err != nil {
		return true, err
	}
	if err := unix.Chdir("/"); err != nil {
		return true, err
	}
	empty(old, ".", here.Dev, 0)
	old.Close()
	return true, errors.New("run " + program + ": " + unix.Exec(program, []string{program}, []string{"HOME=/", "TERM=linux"}).Error())
}

func inMemory(fstype int64) bool { return fstype == unix.RAMFS_MAGIC || fstype == unix.TMPFS_MAGIC }

// InMemory says whether / is an initramfs.
func InMemory() bool {
	var fs unix.Statfs_t
	return unix.Statfs("/", &fs) == nil && inMemory(fs.Type)
}

// empty frees the memory of the initramfs: what lies on its device, and nothing else.
func empty(root *os.Root, dir string, dev uint64, depth int) {
	f, err := root.Open(dir)
	if err != nil || depth > 32 {
		return
	}
	names, _ := f.Readdirnames(-1)
	f.Close()
	for _, n := range names {
		p := dir + "/" + n
		st, err := root.Lstat(p)
		if err != nil {
			continue
		}
		if st.IsDir() {
			if at, err := root.Open(p); err == nil {
				var there unix.Stat_t
				same := unix.Fstat(int(at.Fd()), &there) == nil && there.Dev == dev
				at.Close()
				if !same {
					continue
				}
			}
			empty(root, p, dev, depth+1)
		}
		_ = root.Remove(p)
	}
}
