// Package proc reads what /proc tells of processes (proc(5)).
package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Stat is a part of /proc/PID/stat.
type Stat struct {
	State   byte
	Parent  int
	Group   int
	Session int
	// Start is when the process began, in clock ticks since boot: with its
	// number it names a process for ever.
	Start uint64
	// Kernel says that it is a thread of the kernel's.
	Kernel bool
	// Exit is the status of a zombie as wait(2) encodes it; 0 for those who may
	// not trace the process.
	Exit int
}

// StatOf reads /proc/PID/stat.
func StatOf(pid int) (Stat, error) {
	// Not os.ReadFile, which asks the poller about a file that never waits: this is
	// done for each process that starts.
	path := "/proc/" + strconv.Itoa(pid) + "/stat"
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Stat{}, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var buf [2048]byte // 52 numbers and a name (proc_pid_stat(5))
	n, err := unix.Read(fd, buf[:])
	if err != nil {
		return Stat{}, &os.PathError{Op: "read", Path: path, Err: err}
	}
	b := buf[:n]
	s, ok := parseStat(b)
	if !ok {
		return s, fmt.Errorf("read /proc/%d/stat: %w", pid, unix.EBADMSG)
	}
	return s, nil
}

// parseStat: the name is in parentheses and may hold anything, parentheses too.
func parseStat(b []byte) (s Stat, ok bool) {
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return s, false
	}
	n := 0
	var err [6]error
	for f := range bytes.FieldsSeq(b[i+1:]) {
		switch n {
		case 0:
			s.State = f[0]
		case 1:
			s.Parent, err[0] = strconv.Atoi(string(f))
		case 2:
			s.Group, err[1] = strconv.Atoi(string(f))
		case 3:
			s.Session, err[2] = strconv.Atoi(string(f))
		case 6:
			var flags uint64
			flags, err[5] = strconv.ParseUint(string(f), 10, 32)
			const kthread = 0x00200000 // PF_KTHREAD, include/linux/sched.h
			s.Kernel = flags&kthread != 0
		case 19:
			s.Start, err[3] = strconv.ParseUint(string(f), 10, 64)
		case 49:
			s.Exit, err[4] = strconv.Atoi(string(f))
		}
		n++
	}
	return s, n >= 20 && err == [6]error{}
}

// All lists all processes that /proc shows.
func All() []int {
	d, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	var out []int
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			out = append(out, pid)
		}
	}
	return out
}

// Children lists the child processes of this one.
func Children() []int {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil
	}
	var out []int
	for _, t := range tasks {
		b, err := os.ReadFile("/proc/self/task/" + t.Name() + "/children")
		if err != nil {
			// A kernel without CONFIG_PROC_CHILDREN, or a thread that ended.
			continue
		}
		for _, f := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil {
				out = append(out, pid)
			}
		}
	}
	return out
}
