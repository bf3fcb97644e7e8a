package bus

import (
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// endpoint is a connected unix socket, as a stream uses it: *net.UnixConn is one.
type endpoint interface {
	syscall.Conn
	SetWriteDeadline(time.Time) error
	Close() error
}

// quiet is a socket that is watched for what comes and, only while something waits to be
// written, for room to write. Go's poller watches for both all the time: a program that
// answers would be woken up once more each time that the other end has read an answer.
type quiet struct {
	sock *os.File
	raw  syscall.RawConn // of sock
	in   *watch

	mu       sync.Mutex
	deadline time.Time // for writing
	out      *watch    // while a Write waits
	closed   bool
}

// quieten takes a socket out of Go's poller; nc is closed in any case.
func quieten(nc *net.UnixConn) (*quiet, error) {
	defer nc.Close()
	raw, err := nc.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, failed := -1, error(nil)
	err = raw.Control(func(theirs uintptr) {
		if fd, failed = unix.FcntlInt(theirs, unix.F_DUPFD_CLOEXEC, 3); failed == nil {
			// A file that says that it may wait is not put into the poller. What reads and
			// writes here says at each call that it does not wait.
			failed = unix.SetNonblock(fd, false)
		}
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return nil, fmt.Errorf("duplicate the socket: %w", err)
	}
	q := &quiet{sock: os.NewFile(uintptr(fd), "socket")}
	if q.raw, err = q.sock.SyscallConn(); err == nil {
		q.in, err = q.watch(unix.EPOLLIN)
	}
	if err != nil {
		q.sock.Close()
		return nil, err
	}
	return q, nil
}

// SyscallConn is the socket itself.
func (q *quiet) SyscallConn() (syscall.RawConn, error) { return q, nil }

// Control runs f on the socket, which is open meanwhile.
func (q *quiet) Control(f func(fd uintptr)) error { return q.raw.Control(f) }

// Read runs f when something may have come, until it returns true.
func (q *quiet) Read(f func(fd uintptr) bool) error { return q.in.until(q.raw, f) }

// Write runs f when there may be room, until it returns true. One Write runs at a time.
func (q *quiet) Write(f func(fd uintptr) bool) error {
	done := false
	if err := q.raw.Control(func(fd uintptr) { done = f(fd) }); err != nil || done {
		return err
	}
	out, err := q.watch(unix.EPOLLOUT)
	if err != nil {
		return err
	}
	defer out.Close()
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return os.ErrClosed
	}
	q.out = out
	err = out.SetReadDeadline(q.deadline)
	q.mu.Unlock()
	if err != nil {
		return err
	}
	return out.until(q.raw, f)
}

// SetWriteDeadline is for the Writes that begin from now on.
func (q *quiet) SetWriteDeadline(t time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.deadline = t
	return nil
}

// Close ends what reads and writes.
func (q *quiet) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if q.out != nil {
		q.out.Close()
	}
	q.in.Close()
	return q.sock.Close()
}

// watch is an epoll instance with one event of one socket (epoll(7)). It can be read when
// that event is there, and is in Go's poller for that.
type watch struct{ *os.File }

func (q *quiet) watch(event uint32) (*watch, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("watch the socket: %w", err)
	}
	failed := unix.SetNonblock(ep, true) // as Go's poller wants it
	err = q.raw.Control(func(fd uintptr) {
		if failed == nil {
			failed = unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, int(fd), &unix.EpollEvent{Events: event})
		}
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		unix.Close(ep)
		return nil, fmt.Errorf("watch the socket: %w", err)
	}
	return &watch{os.NewFile(uintptr(ep), "watch")}, nil
}

// until runs f on the socket until it returns true, after the first time whenever the event
// has come.
func (w *watch) until(socket syscall.RawConn, f func(fd uintptr) bool) error {
	mine, err := w.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = mine.Read(func(uintptr) bool {
		done := false
		failed = socket.Control(func(fd uintptr) { done = f(fd) })
		return done || failed != nil
	})
	if err == nil {
		err = failed
	}
	return err
}
