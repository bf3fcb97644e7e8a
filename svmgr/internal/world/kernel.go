package world

import (
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/epoll"
	"dynamod/internal/sys/timerslack"
	"dynamod/svmgr/internal/child"
)

// kernel are the system calls that fail when the machine runs out of something.
// Tests replace them to make that happen.
type kernel struct {
	fork func(path string, argv []string, attr *syscall.ProcAttr) (pid int, err error)
	pipe func() (r, w int, err error)
	// pair is a pair of connected sockets.
	pair  func() (a, b int, err error)
	memfd func(name string) (int, error)
	// program is a file in memory that can be run.
	program func() (int, error)
	open    func(path string, flags int) (int, error)
	watch   func(p *epoll.Poll, fd int, events uint32, tag uint64) error
}

var realKernel = kernel{
	fork: forkEager,
	pipe: func() (int, int, error) {
		var p [2]int
		err := unix.Pipe2(p[:], unix.O_CLOEXEC)
		return p[0], p[1], err
	},
	pair: func() (int, int, error) {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		return p[0], p[1], err
	},
	watch:   (*epoll.Poll).Add,
	memfd:   func(name string) (int, error) { return unix.MemfdCreate(name, unix.MFD_CLOEXEC) },
	program: child.ProgramFile,
	open: func(path string, flags int) (int, error) {
		for {
			fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
			if err != unix.EINTR {
				return fd, err
			}
		}
	},
}

// forkEager starts a process whose timers are as exact as under another init, though PID 1
// has given the manager lazy ones. A manager that has another slack has it from somebody
// else, for its services as well.
func forkEager(path string, argv []string, attr *syscall.ProcAttr) (pid int, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if timerslack.Own() != timerslack.Lazy {
		return syscall.ForkExec(path, argv, attr)
	}
	timerslack.While(timerslack.Kernel, func() { pid, err = syscall.ForkExec(path, argv, attr) })
	return pid, err
}

// neverWait makes a pipe or socket of the manager non-blocking. It has no other flag to
// be kept, which saves the question (fcntl(2), F_SETFL).
func neverWait(fd int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_NONBLOCK)
	return err
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
