package sdnotify

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Ready, Reloading … are the states that services send most. Reloading() is a
// function: it carries the time.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
	Watchdog = "WATCHDOG=1"
)

// Reloading is the message that begins a reload of a Type=notify-reload service:
// it carries the moment, so that the manager can tell it from an older one.
func Reloading() string {
	var ts unix.Timespec
	// Safe to ignore: CLOCK_MONOTONIC exists on every Linux (clock_gettime(2)).
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", ts.Nano()/1000)
}

// Notify sends state, lines of KEY=VALUE, to the manager named by $NOTIFY_SOCKET.
// It returns false and no error when there is no such manager.
func Notify(state string) (bool, error) { return NotifyWithFDs(state) }

// NotifyWithFDs sends descriptors along, as FDSTORE=1 wants. They stay open here.
func NotifyWithFDs(state string, fds ...int) (bool, error) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return false, nil
	}
	if err := (Datagram{Socket: path, State: state, FDs: fds}).Send(); err != nil {
		return false, err
	}
	return true, nil
}

// Barrier returns when the manager has taken all that this process sent before, or
// with os.ErrDeadlineExceeded. A timeout below 0 waits for ever.
func Barrier(timeout time.Duration) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("notify barrier: pipe2: %w", err)
	}
	defer unix.Close(p[0])
	err := Datagram{Socket: path, State: "BARRIER=1", FDs: p[1:]}.Send()
	unix.Close(p[1])
	if err != nil {
		return err
	}
	end := time.Now().Add(timeout)
	for {
		ms := -1
		if timeout >= 0 {
			ms = int(min(max(0, (time.Until(end)+time.Millisecond-1)/time.Millisecond), 1<<30))
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(p[0])}}, ms)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("notify barrier: poll: %w", err)
		case n > 0:
			return nil // POLLHUP: every copy of the write end is closed
		case timeout >= 0 && !time.Now().Before(end):
			return fmt.Errorf("notify barrier: %w", os.ErrDeadlineExceeded)
		}
	}
}

// WatchdogEnabled returns the period within which the manager expects
// WATCHDOG=1 from this process, 0 when it expects none. Send at twice that rate.
func WatchdogEnabled() (time.Duration, error) {
	text := os.Getenv("WATCHDOG_USEC")
	if text == "" {
		return 0, nil
	}
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" {
		n, err := strconv.Atoi(pid)
		if err != nil || n <= 0 {
			return 0, fmt.Errorf("WATCHDOG_PID=%q is no process", pid)
		}
		if n != os.Getpid() {
			return 0, nil // meant for a process above us
		}
	}
	d, ok := micros(text)
	if !ok || d <= 0 || d == Forever {
		return 0, fmt.Errorf("WATCHDOG_USEC=%q is no period", text)
	}
	return d, nil
}

// listenStart is the first passed descriptor (SD_LISTEN_FDS_START).
const listenStart = 3

// maxListenFDs bounds what $LISTEN_FDS may claim.
const maxListenFDs = 1 << 16

// ListenFDs returns the descriptors passed to this process, in order, close-on-exec;
// Name() is what $LISTEN_FDNAMES says or "unknown". It removes the variables, so
// that children do not believe them; a second call returns none.
func ListenFDs() ([]*os.File, error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	for _, v := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if err := os.Unsetenv(v); err != nil {
			return nil, err
		}
	}
	if pid == "" || count == "" {
		return nil, nil
	}
	if n, err := strconv.Atoi(pid); err != nil {
		return nil, fmt.Errorf("LISTEN_PID=%q is no process", pid)
	} else if n != os.Getpid() {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > maxListenFDs {
		return nil, fmt.Errorf("LISTEN_FDS=%q is no count", count)
	}
	var label []string
	if names != "" {
		label = strings.Split(names, ":")
	}
	var out []*os.File
	for i := range n {
		fd := listenStart + i
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return nil, fmt.Errorf("passed descriptor %d: %w", fd, err)
		}
		name := "unknown"
		if i < len(label) && label[i] != "" {
			name = label[i]
		}
		out = append(out, os.NewFile(uintptr(fd), name))
	}
	return out, nil
}

// Datagram is one datagram to be sent. The zero PID, UID and GID leave it to the
// kernel to say who sends.
type Datagram struct {
	// Socket is a path, or a name with '@' for the abstract namespace.
	Socket string
	State  string
	// PID speaks for another process; the kernel allows it with CAP_SYS_ADMIN.
	PID int
	FDs []int
}

// ErrSocketKind says that $NOTIFY_SOCKET is neither a path nor an abstract name.
var ErrSocketKind = errors.New("not a unix socket")

// Send sends it; it waits while the manager's queue is full.
func (m Datagram) Send() error {
	fail := func(err error) error { return fmt.Errorf("notify %s: %w", m.Socket, err) }
	if len(m.Socket) < 2 || m.Socket[0] != '/' && m.Socket[0] != '@' {
		return fail(ErrSocketKind)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(fd)
	var oob []byte
	if len(m.FDs) > 0 {
		oob = unix.UnixRights(m.FDs...)
	}
	if m.PID != 0 && m.PID != os.Getpid() {
		oob = append(oob, unix.UnixCredentials(&unix.Ucred{Pid: int32(m.PID), Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())})...)
	}
	for {
		err = unix.Sendmsg(fd, []byte(m.State), oob, &unix.SockaddrUnix{Name: m.Socket}, unix.MSG_NOSIGNAL)
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return fail(err)
		}
	}
}
