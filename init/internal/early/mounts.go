package early

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// need is what the failure of a step means.
type need uint8

const (
	// may: the step is for those who need it.
	may need = iota
	// must: no machine runs without it.
	must
	// found: it is done where the kernel has the place for it.
	found
)

const (
	nodev  = unix.MS_NODEV
	noexec = unix.MS_NOEXEC
	nosuid = unix.MS_NOSUID
	all    = nodev | noexec | nosuid
)

// mount is a row of the table.
type mount struct {
	point, fstype string
	flags         uintptr
	data          string
	// plain is the data for kernels that do not know all of data.
	plain string
	need  need
	// instead is the type for kernels without fstype.
	instead string
}

// mounts are made in this order.
var mounts = []mount{
	{point: "/proc", fstype: "proc", flags: all, need: must},
	{point: "/sys", fstype: "sysfs", flags: all, need: must},
	{point: "/dev", fstype: "devtmpfs", flags: nosuid, data: "mode=0755", need: must, instead: "tmpfs"},
	{point: "/dev/pts", fstype: "devpts", flags: nosuid | noexec, data: "mode=0620,gid=5,ptmxmode=000", need: may},
	{point: "/dev/shm", fstype: "tmpfs", flags: nosuid | nodev, data: "mode=1777", need: may},
	{point: "/run", fstype: "tmpfs", flags: nosuid | nodev, data: "mode=0755,size=20%,nr_inodes=800k", need: must},
	{point: "/sys/fs/cgroup", fstype: "cgroup2", flags: all, data: "nsdelegate,memory_recursiveprot", need: must},
	{point: "/sys/kernel/security", fstype: "securityfs", flags: all, need: found},
	{point: "/sys/firmware/efi/efivars", fstype: "efivarfs", flags: all, need: found},
	{point: "/sys/fs/pstore", fstype: "pstore", flags: all, need: found},
	{point: "/sys/fs/bpf", fstype: "bpf", flags: all, data: "mode=0700", need: found},
	{point: "/sys/kernel/debug", fstype: "debugfs", flags: all, need: found},
	{point: "/sys/kernel/tracing", fstype: "tracefs", flags: all, need: found},
	{point: "/sys/kernel/config", fstype: "configfs", flags: all, need: found},
	{point: "/sys/fs/fuse/connections", fstype: "fusectl", flags: all, need: found},
	{point: "/dev/mqueue", fstype: "mqueue", flags: all, need: may},
	{point: "/dev/hugepages", fstype: "hugetlbfs", flags: nosuid | nodev, data: "mode=1770", need: may},
}

// initramfs are the mounts that finding a root file system needs.
const initramfs = 6

// Mounts makes the file systems of the kernel appear. For an initramfs those that the
// root file system does not need are left to PID 1 on that. The error is the first
// Must that failed; the rest is done nevertheless.
func Mounts(forInitramfs bool, say Say) error {
	list := mounts
	if forInitramfs {
		list = list[:initramfs]
	}
	var failed error
	for i := range list {
		m := &list[i]
		err := m.attach()
		switch {
		case err == nil:
		case m.need == must:
			if failed == nil {
				failed = err
			}
		case m.need == found || errors.Is(err, unix.ENODEV):
			// The kernel is without it.
		default:
			say(4, err.Error())
		}
	}
	if forInitramfs {
		return failed // what is shared cannot be moved (mount(2))
	}
	if err := unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		say(4, "make mounts shared: "+err.Error())
	}
	return failed
}

func (m *mount) attach() error {
	if Mounted(m.point) {
		return nil
	}
	fail := func(err error) error { return errors.New("mount " + m.fstype + " at " + m.point + ": " + err.Error()) }
	if m.need != found {
		if err := os.Mkdir(m.point, 0o755); err != nil && !os.IsExist(err) {
			return fail(err)
		}
	}
	err := unix.Mount(m.fstype, m.point, m.fstype, m.flags, m.data)
	if err == unix.EINVAL && m.data != "" {
		err = unix.Mount(m.fstype, m.point, m.fstype, m.flags, m.plain)
	}
	if err == unix.ENODEV && m.instead != "" {
		if err = unix.Mount(m.instead, m.point, m.instead, m.flags, m.data); err == nil {
			return basicDevices()
		}
	}
	switch err {
	case nil, unix.EBUSY: // EBUSY: the same file system is there already (mount(2))
		return nil
	case unix.ENODEV:
		return unix.ENODEV
	}
	return fail(err)
}

// Mounted says whether something is mounted at a place.
func Mounted(point string) bool {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, point, unix.AT_NO_AUTOMOUNT|unix.AT_SYMLINK_NOFOLLOW, unix.STATX_INO, &st); err != nil {
		return false
	}
	if st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
	}
	var here, above unix.Stat_t // Linux before 5.8
	return unix.Lstat(point, &here) == nil && unix.Lstat(filepath.Dir(point), &above) == nil && here.Dev != above.Dev
}

// basicDevices are what programs cannot do without where the kernel has no devtmpfs.
func basicDevices() error {
	for _, d := range []struct {
		name         string
		mode         uint32
		major, minor uint32
	}{
		{"null", 0o666, 1, 3}, {"zero", 0o666, 1, 5}, {"full", 0o666, 1, 7}, {"random", 0o666, 1, 8}, {"urandom", 0o666, 1, 9},
		{"kmsg", 0o600, 1, 11}, {"tty", 0o666, 5, 0}, {"console", 0o600, 5, 1}, {"ptmx", 0o666, 5, 2}, {"tty0", 0o600, 4, 0},
	} {
		old := unix.Umask(0)
		err := unix.Mknod("/dev/"+d.name, unix.S_IFCHR|d.mode, int(unix.Mkdev(d.major, d.minor)))
		unix.Umask(old)
		if err != nil && err != unix.EEXIST {
			return errors.New("make /dev/" + d.name + ": " + err.Error())
		}
	}
	return nil
}
