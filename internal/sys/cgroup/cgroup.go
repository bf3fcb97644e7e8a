// Package cgroup reads and writes the files of a cgroup2 tree (cgroups(7) and
// the kernel's admin-guide/cgroup-v2). It knows directories, not units.
package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Write puts value into a control file of the group dir.
func Write(dir, file, value string) error {
	p := dir + "/" + file
	fd, err := open(p, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for {
		_, err = unix.Write(fd, []byte(value))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", p, err)
		}
		return nil
	}
}

// Read returns the content of a control file.
func Read(dir, file string) (string, error) {
	p := dir + "/" + file
	fd, err := open(p, unix.O_RDONLY)
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
			return "", fmt.Errorf("read %s: %w", p, err)
		}
		if n <= 0 {
			return string(out), nil
		}
		out = append(out, buf[:n]...)
	}
}

func open(p string, how int) (int, error) {
	for {
		fd, err := unix.Open(p, how|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return -1, fmt.Errorf("open %s: %w", p, err)
		}
		return fd, nil
	}
}

// Dir opens the group itself, for clone3(2).
func Dir(dir string) (int, error) { return open(dir, unix.O_RDONLY|unix.O_DIRECTORY) }

// Valid says whether dir is a group of a cgroup2 tree.
func Valid(dir string) bool {
	var st unix.Statfs_t
	return dir != "" && unix.Statfs(dir, &st) == nil && int64(st.Type) == unix.CGROUP2_SUPER_MAGIC
}

// Make creates the group; made is false when it was there.
func Make(dir string) (made bool, err error) {
	err = unix.Mkdir(dir, 0o755)
	if err == unix.EEXIST {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("mkdir %s: %w", dir, err)
	}
	return true, nil
}

// Event reads one key of a flat-keyed file such as cgroup.events.
func Event(dir, file, key string) (uint64, error) {
	s, err := Read(dir, file)
	if err != nil {
		return 0, err
	}
	v, _ := Lookup(s, key)
	return v, nil
}

// Lookup finds a key in the text of a flat-keyed file.
func Lookup(text, key string) (uint64, bool) {
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " "); ok && k == key {
			n, err := strconv.ParseUint(v, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// Populated says whether a process lives in the group or below it. A group
// that does not exist is empty.
func Populated(dir string) (bool, error) {
	n, err := Event(dir, "cgroup.events", "populated")
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return false, nil
	}
	return n != 0, err
}

// Procs lists the processes of the group itself.
func Procs(dir string) ([]int, error) {
	s, err := Read(dir, "cgroup.procs")
	if err != nil {
		return nil, err
	}
	var out []int
	for line := range strings.Lines(s) {
		if n, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && n > 0 {
			out = append(out, n)
		}
	}
	return out, nil
}

// AllProcs lists the processes of the group and of all below it.
func AllProcs(dir string) ([]int, error) {
	out, err := Procs(dir)
	if err != nil {
		return nil, err
	}
	children, err := Children(dir)
	if err != nil {
		return nil, err
	}
	for _, c := range children {
		more, err := AllProcs(dir + "/" + c)
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
			return out, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// Children lists the names of the sub-groups; a group that does not exist has none.
func Children(dir string) ([]string, error) {
	ents, err := os.ReadDir(dir)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range ents {
		if e.IsDir() {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// Kill ends every process of the group and of those below it, at once.
func Kill(dir string) error { return Write(dir, "cgroup.kill", "1") }

// Freeze stops or continues every process of the group and below.
func Freeze(dir string, on bool) error {
	v := "0"
	if on {
		v = "1"
	}
	return Write(dir, "cgroup.freeze", v)
}

// Remove removes the group with its empty sub-groups, deepest first.
func Remove(dir string) error {
	children, err := Children(dir)
	if err != nil {
		return err
	}
	for _, c := range children {
		if err := Remove(dir + "/" + c); err != nil {
			return err
		}
	}
	err = unix.Rmdir(dir)
	if err != nil && err != unix.ENOENT {
		return fmt.Errorf("rmdir %s: %w", dir, err)
	}
	return nil
}

// Controllers are those that can be used in the group.
func Controllers(dir string) ([]string, error) {
	s, err := Read(dir, "cgroup.controllers")
	return strings.Fields(s), err
}

// Enabled are the controllers that the sub-groups of dir have.
func Enabled(dir string) ([]string, error) {
	s, err := Read(dir, "cgroup.subtree_control")
	return strings.Fields(s), err
}

// Enable gives the sub-groups of dir a controller. It fails with EBUSY when
// processes live in dir itself (cgroups(7), "no internal processes").
func Enable(dir, controller string) error {
	return Write(dir, "cgroup.subtree_control", "+"+controller)
}

// Of returns the cgroup2 path of a process, as /proc shows it.
func Of(pid int) (string, error) {
	p := "self"
	if pid != 0 {
		p = strconv.Itoa(pid)
	}
	s, err := Read("/proc/"+p, "cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(s) {
		if rest, ok := strings.CutPrefix(line, "0::"); ok {
			rest = strings.TrimSuffix(rest, "\n")
			return strings.TrimSuffix(rest, " (deleted)"), nil
		}
	}
	return "", fmt.Errorf("read /proc/%s/cgroup: %w", p, unix.ENOENT)
}

// Path makes the directory below the mount point root of a path that Of gave.
func Path(root, p string) string { return filepath.Join(root, p) }
