// Package raw has the system calls of PID 1's steady state, without a single
// allocation: the versions of the standard library and of x/sys turn names, socket
// addresses and errors into objects. A test counts. Errors are bare numbers, for
// PID 1 to tell apart; it refuses to decide anything.
package raw

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// MaxFDs is how many descriptors one Recv or Send can carry.
const MaxFDs = 64

// control is room for one SCM_RIGHTS message with MaxFDs descriptors, aligned as
// the kernel wants it.
type control struct {
	hdr unix.Cmsghdr
	fds [MaxFDs]int32
}

// Recv reads from a non-blocking stream socket. Descriptors that come along are
// close-on-exec. When PID 1 cannot have more descriptors, the kernel drops some and
// n says how many there are; what was announced tells that they are too few.
func Recv(fd int, p []byte, fds *[MaxFDs]int32) (n, nfds int, errno unix.Errno) {
	var c control
	iov := unix.Iovec{Base: &p[0]}
	iov.SetLen(len(p))
	var msg unix.Msghdr
	msg.Iov = &iov
	msg.Iovlen = 1
	msg.Control = (*byte)(unsafe.Pointer(&c))
	msg.SetControllen(int(unsafe.Sizeof(c)))
	for {
		r, _, e := unix.Syscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&msg)), unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
			return 0, 0, e
		}
		n = int(r)
		break
	}
	if int(msg.Controllen) >= unix.SizeofCmsghdr && c.hdr.Level == unix.SOL_SOCKET && c.hdr.Type == unix.SCM_RIGHTS {
		nfds = min(max(int(c.hdr.Len)-unix.SizeofCmsghdr, 0)/4, MaxFDs)
		copy(fds[:], c.fds[:nfds])
	}
	return n, nfds, 0
}

// Send writes to a non-blocking stream socket, descriptors with the first byte.
func Send(fd int, p []byte, fds []int32) (n int, errno unix.Errno) {
	var c control
	iov := unix.Iovec{Base: &p[0]}
	iov.SetLen(len(p))
	var msg unix.Msghdr
	msg.Iov = &iov
	msg.Iovlen = 1
	if len(fds) > 0 {
		c.hdr.Level, c.hdr.Type = unix.SOL_SOCKET, unix.SCM_RIGHTS
		c.hdr.SetLen(unix.CmsgLen(4 * len(fds)))
		copy(c.fds[:], fds)
		msg.Control = (*byte)(unsafe.Pointer(&c))
		msg.SetControllen(unix.CmsgSpace(4 * len(fds)))
	}
	for {
		r, _, e := unix.Syscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&msg)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
			return 0, e
		}
		return int(r), 0
	}
}

// Write writes p and tells only whether it worked: it is for logs, which nobody can
// be told about.
func Write(fd int, p []byte) bool {
	if len(p) == 0 {
		return true
	}
	for {
		_, _, e := unix.Syscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		if e != unix.EINTR {
			return e == 0
		}
	}
}

// Read reads into p; n is 0 on any error.
func Read(fd int, p []byte) (n int) {
	for {
		r, _, e := unix.Syscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch e {
		case unix.EINTR:
		case 0:
			return int(r)
		default:
			return 0
		}
	}
}

// Open opens the file whose name is path up to and with a zero byte, read only.
func Open(path []byte) (fd int, errno unix.Errno) {
	at := unix.AT_FDCWD
	for {
		r, _, e := unix.Syscall6(unix.SYS_OPENAT, uintptr(at), uintptr(unsafe.Pointer(&path[0])), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOCTTY, 0, 0, 0)
		if e == unix.EINTR {
			continue
		}
		return int(r), e
	}
}

// Close closes fd. close(2) is never repeated: on Linux the number is free even when
// it was interrupted.
func Close(fd int) { unix.Syscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// Kill is kill(2).
func Kill(pid int, signal int32) unix.Errno {
	_, _, e := unix.RawSyscall(unix.SYS_KILL, uintptr(pid), uintptr(signal), 0)
	return e
}

// Now is a clock in nanoseconds.
func Now(clock int32) int64 {
	var ts unix.Timespec
	unix.ClockGettime(clock, &ts)
	return ts.Nano()
}
