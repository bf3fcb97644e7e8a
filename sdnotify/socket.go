package sdnotify

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// MaxFDs is how many descriptors one datagram can carry (SCM_MAX_FD, unix(7)).
const MaxFDs = 253

// Socket is the manager's end.
type Socket struct {
	file *os.File
	conn syscall.RawConn
	// closed tells an error that Close caused from others: package os has no
	// exported value for it.
	closed atomic.Bool
	// buf and oob are of the one goroutine that receives.
	buf, oob []byte
}

// Received is a datagram with the kernel's word for who sent it. Whoever gets it
// owns its descriptors.
type Received struct {
	Data []byte
	// PID, UID and GID are the sender's, as the kernel checked them.
	PID      int
	UID, GID uint32
	// PIDFD holds on to the sender, -1 where the kernel gives none (before 6.5).
	PIDFD int
	// FDs came along; they are close-on-exec.
	FDs []int
	// Truncated says that the datagram was longer than MaxMessage: Data is cut.
	Truncated bool
	// Lost says that some descriptors did not come through (EMFILE).
	Lost bool
}

// Close closes the descriptors of r that have not been taken out of it.
func (r *Received) Close() {
	for _, fd := range r.FDs {
		unix.Close(fd)
	}
	r.FDs = nil
	if r.PIDFD >= 0 {
		unix.Close(r.PIDFD)
		r.PIDFD = -1
	}
}

// Listen makes the socket at path. Everybody may send to it: services run as many
// users, and the manager checks the credentials of each datagram. An old socket
// there is removed; anything else is an error.
func Listen(path string) (*Socket, error) {
	st, err := os.Lstat(path)
	switch {
	case err == nil && st.Mode().Type() == fs.ModeSocket:
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("listen for notifications: %w", err)
		}
	case err == nil:
		return nil, fmt.Errorf("listen for notifications: %s is there and no socket", path)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("listen for notifications: %w", err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("listen for notifications: socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen for notifications: bind %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen for notifications: %w", err)
	}
	return NewSocket(fd)
}

// NewSocket takes over a bound datagram socket, such as one that outlived a former
// manager.
func NewSocket(fd int) (*Socket, error) {
	fail := func(what string, err error) (*Socket, error) {
		unix.Close(fd)
		return nil, fmt.Errorf("notification socket: %s: %w", what, err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return fail("set non-blocking", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return fail("SO_PASSCRED", err)
	}
	// Linux 6.5 has it; without it the pid alone must do.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSPIDFD, 1)
	// A burst of watchdog pings must not block their senders; where it is not
	// allowed the default must do.
	const queue = 8 << 20
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, queue) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, queue)
	}
	f := os.NewFile(uintptr(fd), "notify")
	conn, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("notification socket: %w", err)
	}
	return &Socket{file: f, conn: conn, buf: make([]byte, MaxMessage+1),
		oob: make([]byte, unix.CmsgSpace(unix.SizeofUcred)+unix.CmsgSpace(4*MaxFDs)+unix.CmsgSpace(4))}, nil
}

// File is the socket's descriptor, to be kept over an exec of the manager. The
// Socket owns it.
func (s *Socket) File() *os.File { return s.file }

// Close makes a waiting Receive return net.ErrClosed. The path stays: another
// manager may be listening there by now.
func (s *Socket) Close() error {
	s.closed.Store(true)
	return s.file.Close()
}

// Receive waits for the next datagram. Senders without credentials (which the
// kernel does not let happen) are skipped. Receive and TryReceive must be called by
// one goroutine at a time.
func (s *Socket) Receive() (*Received, error) {
	for {
		var r *Received
		var rerr error
		err := s.conn.Read(func(fd uintptr) bool {
			r, rerr = s.receive(int(fd))
			return rerr != unix.EAGAIN
		})
		switch {
		case err != nil && s.closed.Load():
			return nil, net.ErrClosed
		case err != nil:
			return nil, fmt.Errorf("receive notification: %w", err)
		case rerr != nil:
			return nil, fmt.Errorf("receive notification: %w", rerr)
		case r != nil:
			return r, nil
		}
	}
}

// TryReceive does not wait: it returns nil when there is no datagram.
func (s *Socket) TryReceive() (*Received, error) {
	for {
		var r *Received
		var rerr error
		if err := s.conn.Control(func(fd uintptr) { r, rerr = s.receive(int(fd)) }); err != nil {
			return nil, fmt.Errorf("receive notification: %w", err)
		}
		switch {
		case rerr == unix.EAGAIN:
			return nil, nil
		case rerr != nil:
			return nil, fmt.Errorf("receive notification: %w", rerr)
		case r != nil:
			return r, nil
		}
	}
}

// receive takes one datagram, nil for one without credentials.
func (s *Socket) receive(fd int) (*Received, error) {
	for {
		n, oobn, flags, _, err := unix.Recvmsg(fd, s.buf, s.oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		r := &Received{
			Data: slices.Clone(s.buf[:min(n, MaxMessage)]), PIDFD: -1,
			Truncated: flags&unix.MSG_TRUNC != 0 || n > MaxMessage,
			Lost:      flags&unix.MSG_CTRUNC != 0,
		}
		if !r.control(s.oob[:oobn]) {
			r.Close()
			return nil, nil
		}
		return r, nil
	}
}

// control takes the ancillary data apart; it says whether credentials are there.
func (r *Received) control(oob []byte) bool {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return false
	}
	known := false
	for i := range msgs {
		m := &msgs[i]
		if m.Header.Level != unix.SOL_SOCKET {
			continue
		}
		switch m.Header.Type {
		case unix.SCM_CREDENTIALS:
			if c, err := unix.ParseUnixCredentials(m); err == nil {
				r.PID, r.UID, r.GID = int(c.Pid), c.Uid, c.Gid
				known = true
			}
		case unix.SCM_RIGHTS:
			if fds, err := unix.ParseUnixRights(m); err == nil {
				r.FDs = append(r.FDs, fds...)
			}
		case unix.SCM_PIDFD:
			m.Header.Type = unix.SCM_RIGHTS // the same layout: one int
			if fds, err := unix.ParseUnixRights(m); err == nil && len(fds) == 1 && fds[0] >= 0 {
				if r.PIDFD >= 0 {
					unix.Close(r.PIDFD)
				}
				r.PIDFD = fds[0]
			}
		}
	}
	return known
}
