// Package pidfd handles processes by descriptor, so that a recycled number
// never hits the wrong one (pidfd_open(2), waitid(2)).
package pidfd

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Status is how a process ended: Signal is 0 when it exited by itself.
type Status struct {
	PID          int
	Code, Signal int32
	Core         bool
}

// Open returns a descriptor for the process; it is close-on-exec.
func Open(pid int) (int, error) {
	for {
		fd, err := unix.PidfdOpen(pid, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return -1, fmt.Errorf("pidfd_open %d: %w", pid, err)
		}
		return fd, nil
	}
}

// Signal sends sig to the process behind fd.
func Signal(fd int, sig int32) error {
	for {
		err := unix.PidfdSendSignal(fd, unix.Signal(sig), nil, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("pidfd_send_signal %d: %w", fd, err)
		}
		return nil
	}
}

// Wait returns when the process behind fd has ended, be it a child or not (poll(2)). It
// keeps a thread.
func Wait(fd int) error {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(p, -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("poll pidfd %d: %w", fd, err)
		}
		return nil
	}
}

// Queue sends a signal with a value, as sigqueue(3) does.
func Queue(fd int, sig, value int32) error {
	var info [128]byte // siginfo_t of sigaction(2): number, errno, code, then pid, uid and value, aligned as a pointer is
	put := func(at uintptr, n int32) { *(*int32)(unsafe.Pointer(&info[at])) = n }
	const siQueue = -1 // SI_QUEUE, asm-generic/siginfo.h
	rest := 3 * unsafe.Sizeof(sig)
	if unsafe.Sizeof(uintptr(0)) == 8 {
		rest = 16
	}
	put(0, sig)
	put(8, siQueue)
	put(rest, int32(unix.Getpid()))
	put(rest+4, int32(unix.Getuid()))
	put(rest+8, value)
	for {
		err := unix.PidfdSendSignal(fd, unix.Signal(sig), (*unix.Siginfo)(unsafe.Pointer(&info)), 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("pidfd_send_signal %d: %w", fd, err)
		}
		return nil
	}
}

// siginfo is what waitid(2) fills in, in the kernel's layout for 64-bit
// machines and for 32-bit ones, which differ in the padding only.
type siginfo struct {
	signo, errno, code int32
	_                  [unsafe.Sizeof(uintptr(0))/4 - 1]int32
	pid                int32
	uid                uint32
	status             int32
	_                  [128 - 4*(3+unsafe.Sizeof(uintptr(0))/4-1+3)]byte
}

const (
	cldExited = 1
	cldDumped = 3
)

func (s *siginfo) result() Status {
	st := Status{PID: int(s.pid)}
	if s.code == cldExited {
		st.Code = s.status
	} else {
		st.Signal, st.Core = s.status, s.code == cldDumped
	}
	return st
}

func waitid(idType, id, options int) (*siginfo, error) {
	var info siginfo
	for {
		err := unix.Waitid(idType, id, (*unix.Siginfo)(unsafe.Pointer(&info)), options, nil)
		if err == unix.EINTR {
			continue
		}
		return &info, err
	}
}

// Reap takes the status of our child behind fd. It does not wait: ok is false
// while the process lives. The error is ECHILD for a process that is not ours.
func Reap(fd int) (st Status, ok bool, err error) {
	info, err := waitid(unix.P_PIDFD, fd, unix.WEXITED|unix.WNOHANG)
	if err != nil {
		return st, false, fmt.Errorf("waitid pidfd %d: %w", fd, err)
	}
	if info.pid == 0 {
		return st, false, nil
	}
	return info.result(), true, nil
}

// Look is Reap without reaping: the status can be asked for again.
func Look(fd int) (st Status, ok bool, err error) {
	info, err := waitid(unix.P_PIDFD, fd, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT)
	if err != nil {
		return st, false, fmt.Errorf("waitid pidfd %d: %w", fd, err)
	}
	if info.pid == 0 {
		return st, false, nil
	}
	return info.result(), true, nil
}

// Info asks how a process ended that is not our child (PIDFD_GET_INFO of
// ioctl_pidfd(2)). ok is false while its parent has not reaped it; the error is
// ENOTSUP on kernels before 6.15, which do not tell.
func Info(fd int) (st Status, ok bool, err error) {
	const infoExit = 1 << 3 // PIDFD_INFO_EXIT
	info := unix.PidfdInfo{Mask: infoExit}
	switch err := unix.IoctlPidfdInfo(fd, &info); {
	case err == unix.ESRCH:
		return st, false, nil
	case err != nil:
		return st, false, fmt.Errorf("pidfd_info %d: %w", fd, unix.ENOTSUP)
	case info.Mask&infoExit == 0:
		// Not reaped yet, or a kernel that does not know the question.
		if info.Supported_mask != 0 && info.Supported_mask&infoExit == 0 {
			return st, false, fmt.Errorf("pidfd_info %d: %w", fd, unix.ENOTSUP)
		}
		return st, false, nil
	}
	return StatusOf(int(info.Pid), int(info.Exit_code)), true, nil
}

// StatusOf takes a status apart as wait(2) encodes it.
func StatusOf(pid, encoded int) Status {
	ws := unix.WaitStatus(encoded)
	if ws.Signaled() {
		return Status{PID: pid, Signal: int32(ws.Signal()), Core: ws.CoreDump()}
	}
	return Status{PID: pid, Code: int32(ws.ExitStatus())}
}

// Copy duplicates descriptor n of the process behind fd (pidfd_getfd(2)); it is
// close-on-exec.
func Copy(fd, n int) (int, error) {
	c, err := unix.PidfdGetfd(fd, n, 0)
	if err != nil {
		return -1, fmt.Errorf("pidfd_getfd %d of %d: %w", n, fd, err)
	}
	return c, nil
}

// Peek returns the number of some child that has ended and was not reaped, 0
// when there is none.
func Peek() (int, error) {
	info, err := waitid(unix.P_ALL, 0, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT)
	if err == unix.ECHILD {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("waitid: %w", err)
	}
	return int(info.pid), nil
}

// ReapPID takes the status of the child pid, which Peek has named: as it is a
// zombie and we are its only reaper, its number is still its own.
func ReapPID(pid int) (Status, error) {
	info, err := waitid(unix.P_PID, pid, unix.WEXITED|unix.WNOHANG)
	if err != nil {
		return Status{}, fmt.Errorf("waitid %d: %w", pid, err)
	}
	return info.result(), nil
}
