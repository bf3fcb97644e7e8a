package uevent

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Group is a multicast group of the socket.
type Group uint32

const (
	Kernel Group = 1
	Udev   Group = 2
)

// Listener receives from both groups.
type Listener struct {
	fd   int
	file *os.File
	buf  []byte
}

// ErrLost means that messages were dropped because nobody read them in time: what is
// known must be looked up again.
var ErrLost = errors.New("messages about devices were lost")

// Listen opens the socket.
func Listen(groups ...Group) (*Listener, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("listen for devices: %w", err)
	}
	var mask uint32
	for _, g := range groups {
		mask |= uint32(g)
	}
	// A machine that starts sends thousands at once. It needs a privilege.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: mask})
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen for devices: %w", err)
	}
	return &Listener{fd: fd, file: os.NewFile(uintptr(fd), "uevent"), buf: make([]byte, MaxMessage)}, nil
}

// Next waits for a message of root's (or of the kernel). os.ErrClosed is the end,
// ErrLost a gap; other senders and rubbish are passed over and counted in dropped.
func (l *Listener) Next() (e Event, from Group, dropped int, err error) {
	raw, err := l.file.SyscallConn()
	if err != nil {
		return e, 0, 0, err
	}
	for {
		var n, oobn, flags int
		var sa unix.Sockaddr
		var oob [64]byte
		var fail error
		if err := raw.Read(func(uintptr) bool {
			n, oobn, flags, sa, fail = unix.Recvmsg(l.fd, l.buf, oob[:], 0)
			return fail != unix.EAGAIN
		}); err != nil {
			return e, 0, dropped, os.ErrClosed // the only error of a socket's poller
		}
		switch {
		case fail == unix.EINTR:
			continue
		case fail == unix.ENOBUFS:
			return e, 0, dropped, ErrLost
		case fail != nil:
			return e, 0, dropped, fmt.Errorf("receive about devices: %w", fail)
		}
		nl, ok := sa.(*unix.SockaddrNetlink)
		if !ok || flags&unix.MSG_TRUNC != 0 || !fromRoot(oob[:oobn]) {
			dropped++
			continue
		}
		from = Udev
		parse := ParseUdev
		if nl.Groups == uint32(Kernel) {
			// Only the kernel has the number 0.
			if nl.Pid != 0 {
				dropped++
				continue
			}
			from, parse = Kernel, ParseKernel
		}
		if e, err = parse(l.buf[:n]); err != nil {
			dropped++
			continue
		}
		return e, from, dropped, nil
	}
}

func fromRoot(oob []byte) bool {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return false
	}
	for i := range msgs {
		if cred, err := unix.ParseUnixCredentials(&msgs[i]); err == nil {
			return cred.Uid == 0
		}
	}
	return false
}

// Close ends Next.
func (l *Listener) Close() { l.file.Close() }
