package world

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/virt"
)

// machine is where conditions look: files below root and what only system calls
// tell. Tests put other things in their place.
type machine struct {
	// root is "/"; it must implement fs.ReadLinkFS.
	root fs.FS
	// runtimeDir is the manager's own, cgroupRoot its cgroup2 directory or "".
	runtimeDir, cgroupRoot string

	release, arch func() string
	hostname      func() string
	// readOnly is about the file system, mountPoint about the path itself.
	readOnly   func(path string) (bool, error)
	mountPoint func(path string) (bool, error)
	// device is the number of the device that a path's file system is on.
	device func(path string) (major, minor uint32, err error)
	cpus   func() (int, error)
	cpuid  func(leaf, sub uint32) ([4]uint32, bool)
	// uids are real and effective, gids real, effective and supplementary.
	uids, gids func() []int
	// bounding says whether a capability is in the bounding set.
	bounding func(capability int) (bool, error)
	environ  func(string) (string, bool)
	audit    func() bool
	virt     func() virt.Found
}

// thisMachine is the real one.
func thisMachine(runtimeDir, cgroupRoot string) *machine {
	m := &machine{root: os.DirFS("/"), runtimeDir: runtimeDir, cgroupRoot: cgroupRoot, cpuid: virt.CPUID, environ: os.LookupEnv}
	uname := sync.OnceValue(func() (u unix.Utsname) {
		_ = unix.Uname(&u) // fails only with a bad pointer (uname(2))
		return u
	})
	m.release = func() string { u := uname(); return unix.ByteSliceToString(u.Release[:]) }
	m.arch = func() string { u := uname(); return unix.ByteSliceToString(u.Machine[:]) }
	m.hostname = func() string { h, _ := os.Hostname(); return h }
	m.readOnly = func(path string) (bool, error) {
		var st unix.Statfs_t
		if err := statfs(path, &st); err != nil {
			return false, err
		}
		return st.Flags&unix.ST_RDONLY != 0, nil
	}
	m.mountPoint = mountPoint
	m.device = func(path string) (uint32, uint32, error) {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			return 0, 0, &fs.PathError{Op: "stat", Path: path, Err: err}
		}
		return unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), nil
	}
	m.cpus = func() (int, error) {
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(os.Getpid(), &set); err != nil {
			return 0, fmt.Errorf("sched_getaffinity: %w", err)
		}
		return set.Count(), nil
	}
	m.uids = func() []int { return []int{os.Getuid(), os.Geteuid()} }
	m.gids = func() []int {
		groups, _ := os.Getgroups()
		return append(groups, os.Getgid(), os.Getegid())
	}
	m.bounding = func(n int) (bool, error) {
		r, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0)
		if err == unix.EINVAL {
			return false, nil // a capability that this kernel does not have
		}
		return r == 1, err
	}
	m.audit = func() bool {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
		if err != nil {
			return false
		}
		unix.Close(fd)
		return true
	}
	m.virt = sync.OnceValue(func() virt.Found {
		return virt.Detect(virt.Machine{Root: m.root, CPUID: virt.CPUID, Environ: os.Getenv})
	})
	return m
}

func statfs(path string, st *unix.Statfs_t) error {
	for {
		err := unix.Statfs(path, st)
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return &fs.PathError{Op: "statfs", Path: path, Err: err}
		}
	}
}

// mountPoint follows symlinks. Linux 5.8 tells it (statx(2), STATX_ATTR_MOUNT_ROOT).
func mountPoint(path string) (bool, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, unix.STATX_TYPE, &st); err != nil {
		return false, &fs.PathError{Op: "statx", Path: path, Err: err}
	}
	if st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return false, errors.New("this kernel does not tell mount points (statx(2))")
	}
	return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}

// rel is an absolute path as fs.FS wants it.
func rel(path string) string {
	if path = strings.Trim(path, "/"); path == "" {
		return "."
	}
	return path
}

// text is a file's content without blanks around it, "" when it cannot be read.
func (m *machine) text(path string) string {
	b, err := fs.ReadFile(m.root, rel(path))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (m *machine) exists(path string) bool {
	_, err := fs.Stat(m.root, rel(path))
	return err == nil
}

// there is exists for what must say why not: absent is an answer, "no permission"
// and "not a directory" are too, since to a unit the path is not there.
func there(err error) (bool, error) {
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP), errors.Is(err, fs.ErrInvalid):
		return false, nil
	}
	return false, err
}

// account finds the number of a user or group in /etc/passwd or /etc/group.
func (m *machine) account(file, name string) (int, bool) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return int(n), true
	}
	for line := range strings.Lines(m.text(file)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) >= 3 && f[0] == name {
			n, err := strconv.ParseUint(f[2], 10, 32)
			return int(n), err == nil
		}
	}
	return 0, false
}

// kernelWords are the words of the kernel's command line; a container has its own
// (systemd.unit(5), ConditionKernelCommandLine=).
func (m *machine) kernelWords() []string {
	if m.virt().Container != "" {
		return strings.FieldsFunc(m.text("/proc/1/cmdline"), func(r rune) bool { return r == 0 })
	}
	return words(m.text("/proc/cmdline"))
}

// kernelSwitch is a boolean of the command line; set is false when it is not there.
func (m *machine) kernelSwitch(name string) (value, set bool) {
	for _, w := range m.kernelWords() {
		k, v, assigned := strings.Cut(w, "=")
		if k != name {
			continue
		}
		if !assigned {
			value, set = true, true
		} else if b, ok := truth(v); ok {
			value, set = b, true
		}
	}
	return value, set
}
