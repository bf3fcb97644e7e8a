package ipc

import (
	"fmt"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// peerOf asks the kernel who connected. The identity is that of the moment of
// connect(2): a process that drops its rights later, or hands the socket on, is
// still who it was (unix(7)).
func peerOf(c *net.UnixConn) (Peer, error) {
	p := Peer{PIDFD: -1}
	raw, err := c.SyscallConn()
	if err != nil {
		return p, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			failed = fmt.Errorf("read peer credentials: %w", err)
			return
		}
		p.PID, p.UID, p.GID = cred.Pid, cred.Uid, cred.Gid
		p.Groups = peerGroups(int(fd))
		// Linux 6.5 and later; elsewhere the number alone must do. The kernel
		// opens it with CLOEXEC.
		if pidfd, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PEERPIDFD); err == nil {
			p.PIDFD = pidfd
		}
	})
	if err == nil {
		err = failed
	}
	return p, err
}

// peerGroups gives the supplementary groups, none if the kernel does not tell.
func peerGroups(fd int) []uint32 {
	groups := make([]uint32, 64)
	for range 3 {
		size := uint32(len(groups) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch errno {
		case 0:
			return groups[:size/4]
		case unix.ERANGE: // size now says how much is needed
			groups = make([]uint32, size/4)
		default:
			return nil
		}
	}
	return nil
}

// halfClosed says that the peer will send nothing more but still reads: a socket
// whose peer has closed it altogether reports a hang-up (unix(7), poll(2)).
func halfClosed(nc net.Conn) bool {
	u, ok := nc.(*net.UnixConn)
	if !ok {
		return false
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return false
	}
	half := false
	raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(fds, 0)
		half = err == nil && n == 1 && fds[0].Revents&unix.POLLRDHUP != 0 && fds[0].Revents&(unix.POLLHUP|unix.POLLERR) == 0
	})
	return half
}

func (p *Peer) close() {
	if p.PIDFD >= 0 {
		unix.Close(p.PIDFD)
	}
}
