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

// transmit writes what there is room for of two parts (sendmsg(2)), of which the first is
// not empty, and with them control messages, if there are any.
func transmit(fd uintptr, head, body, oob []byte) (int, error) {
	var iov [2]unix.Iovec
	h := unix.Msghdr{Iov: &iov[0]}
	n := 0
	for _, b := range [2][]byte{head, body} {
		if len(b) > 0 {
			iov[n].Base = &b[0]
			iov[n].SetLen(len(b))
			n++
		}
	}
	h.SetIovlen(n)
	if len(oob) > 0 {
		h.Control = &oob[0]
		h.SetControllen(len(oob))
	}
	for {
		r, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&h)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch errno {
		case 0:
			return int(r), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}
