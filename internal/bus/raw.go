package bus

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Neither of these calls waits for the other end, so that Go's scheduler is not told of
// them. It would wake up the thread that looks after calls which take long, once for each
// message of a program that was at rest: that takes longer than the call.

// receive reads what has come, and control messages (recvmsg(2)). Descriptors are closed
// on exec.
func receive(fd uintptr, p, oob []byte) (n, oobn, flags int, err error) {
	iov := unix.Iovec{Base: &p[0]}
	iov.SetLen(len(p))
	h := unix.Msghdr{Iov: &iov, Control: &oob[0]}
	h.SetIovlen(1)
	h.SetControllen(len(oob))
	for {
		r, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&h)), unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		switch errno {
		case 0:
			return int(r), int(h.Controllen), int(h.Flags), nil
		case unix.EINTR:
		default:
			return 0, 0, 0, errno
		}
	}
}

// transmit writes what there is room for (send(2)).
func transmit(fd uintptr, p []byte) (int, error) {
	for {
		r, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			return int(r), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}
