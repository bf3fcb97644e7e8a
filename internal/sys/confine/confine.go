// Package confine runs one program so that nothing of it stays: in a process that is a
// child subreaper, and, where it was started in namespaces of its own, in a file system
// that is read-only but for what was named, with an empty /tmp.
//
// It is for programs that the manager must run and cannot trust to end: generators. The
// process reports how the program ended through descriptor 3, because its own end may be
// noticed by others first.
package confine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Tool is the first argument that means this package.
const Tool = "confine"

// statusFD is where Main reports.
const statusFD = 3

// maxFile bounds each file that the program writes.
const maxFile = 16 << 20

// Command is the program with arguments, run by helper (which calls Main). With
// namespaces the file system is read-only but for the writable directories. The
// caller reads the status from the returned file with Status, and starts the command
// with the other one as its first extra file.
func Command(helper []string, namespaces bool, writable []string, program []string) *exec.Cmd {
	args := append(slices.Clone(helper[1:]), Tool)
	if namespaces {
		args = append(args, "--read-only")
	}
	for _, d := range writable {
		args = append(args, "--writable="+d)
	}
	args = append(append(args, "--"), program...)
	cmd := exec.Command(helper[0], args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL}
	if namespaces {
		// No pid namespace: what sees that it is in one believes to be in a
		// container. systemd-getty-generator then makes no serial consoles.
		cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
	}
	return cmd
}

// Status reads a report: how the program ended; ok is false when there is none, because
// the helper was killed.
func Status(b []byte) (st syscall.WaitStatus, setup string, ok bool) {
	switch {
	case len(b) == 5 && b[0] == 'S':
		return syscall.WaitStatus(binary.NativeEndian.Uint32(b[1:])), "", true
	case len(b) > 1 && b[0] == 'E':
		return 0, string(b[1:]), true
	}
	return 0, "", false
}

// Main is the helper. Its end is the end of all that the program left.
func Main(args []string) int {
	unix.CloseOnExec(statusFD)
	readOnly := false
	var writable []string
	for len(args) > 0 && args[0] != "--" {
		if d, ok := strings.CutPrefix(args[0], "--writable="); ok {
			writable = append(writable, d)
		}
		readOnly = readOnly || args[0] == "--read-only"
		args = args[1:]
	}
	if len(args) < 2 {
		return report('E', []byte("no program"))
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGTERM)
	st, err := run(readOnly, writable, args[1:], stop)
	killAll()
	if err != nil {
		return report('E', []byte(err.Error()))
	}
	return report('S', binary.NativeEndian.AppendUint32(nil, uint32(st)))
}

func report(kind byte, text []byte) int {
	if _, err := unix.Write(statusFD, append([]byte{kind}, text...)); err != nil {
		return 2
	}
	return 0
}

func run(readOnly bool, writable, program []string, stop <-chan os.Signal) (syscall.WaitStatus, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("become a subreaper: %w", err)
	}
	if readOnly {
		if err := restrict(writable); err != nil {
			return 0, err
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: maxFile, Max: maxFile}); err != nil {
		return 0, fmt.Errorf("limit the size of files: %w", err)
	}
	p, err := os.StartProcess(program[0], program, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Env: os.Environ(),
		Sys: &syscall.SysProcAttr{Setpgid: true}})
	if err != nil {
		return 0, err
	}
	type end struct {
		st  *os.ProcessState
		err error
	}
	over := make(chan end, 1)
	go func() { // ends with the program
		st, err := p.Wait()
		over <- end{st, err}
	}()
	select {
	case e := <-over:
		if e.err != nil {
			return 0, e.err
		}
		return e.st.Sys().(syscall.WaitStatus), nil
	case <-stop:
		return 0, errors.New("it was stopped")
	}
}

// restrict makes the file system read-only (mount_setattr(2)) but for the directories,
// and gives it an empty /tmp.
func restrict(writable []string) error {
	for _, d := range writable {
		if err := unix.Mount(d, d, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("keep %s writable: %w", d, err)
		}
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return fmt.Errorf("make the file system read-only: %w", err)
	}
	// A read-only /sys is a sign of a container: systemd-fstab-generator ignores devices
	// then. Where it is no mount of its own it is what the manager has (EINVAL).
	if err := unix.MountSetattr(unix.AT_FDCWD, "/sys", 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}); err != nil && err != unix.EINVAL && err != unix.ENOENT && err != unix.EPERM {
		return fmt.Errorf("keep /sys writable: %w", err)
	}
	for _, d := range writable {
		if err := unix.MountSetattr(unix.AT_FDCWD, d, 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}); err != nil {
			return fmt.Errorf("keep %s writable: %w", d, err)
		}
	}
	if err := unix.Mount("tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777,size=10%"); err != nil {
		return fmt.Errorf("make a private /tmp: %w", err)
	}
	return nil
}

// killAll ends every descendant: what is left becomes a child of this process, because
// it is a subreaper. It gives up when they fork faster than they can be killed.
func killAll() {
	deadline := time.Now().Add(5 * time.Second)
	for time.Now().Before(deadline) {
		kids := children()
		if len(kids) == 0 {
			return
		}
		for _, pid := range kids {
			_ = unix.Kill(pid, unix.SIGKILL) // ours and not reaped: the number is right
		}
		for {
			pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
			if err == unix.EINTR {
				continue
			}
			if err != nil || pid <= 0 {
				break
			}
		}
		time.Sleep(time.Millisecond)
	}
}

func children() (out []int) {
	tasks, err := os.ReadDir("/proc/thread-self/../")
	if err != nil {
		return nil
	}
	for _, t := range tasks {
		b, err := os.ReadFile("/proc/self/task/" + t.Name() + "/children")
		if err != nil {
			continue
		}
		for f := range strings.FieldsSeq(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil {
				out = append(out, pid)
			}
		}
	}
	return out
}
