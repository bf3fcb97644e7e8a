package bus

import (
	"errors"
	"fmt"
	"net"
	"os"
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
	sock    *os.File
	raw     syscall.RawConn // of sock
	in, out *watch
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
		if q.in, err = q.watch(unix.EPOLLIN); err == nil {
			q.out, err = q.watch(0)
		}
	}
	if err != nil {
		q.Close()
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
	if err := q.out.set(q.raw, unix.EPOLLOUT); err != nil {
		return err
	}
	defer q.out.set(q.raw, 0) // it fails if the socket is closed
	return q.out.until(q.raw, f)
}

// SetWriteDeadline is when a Write that waits fails.
func (q *quiet) SetWriteDeadline(t time.Time) error { return q.out.SetReadDeadline(t) }

// Close ends what reads and writes.
func (q *quiet) Close() error {
	for _, w := range []*watch{q.in, q.out} {
		if w != nil {
			w.Close()
		}
	}
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

// set is another event to watch for, or none.
func (w *watch) set(socket syscall.RawConn, event uint32) error {
	mine, err := w.SyscallConn()
	if err != nil {
		return err
	}
	var failed [2]error
	err = mine.Control(func(ep uintptr) {
		failed[0] = socket.Control(func(fd uintptr) {
			failed[1] = unix.EpollCtl(int(ep), unix.EPOLL_CTL_MOD, int(fd), &unix.EpollEvent{Events: event})
		})
	})
	return errors.Join(err, failed[0], failed[1])
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
