package api

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"dynamod/internal/bus"
	"dynamod/internal/sys/accounts"
	"dynamod/internal/sys/pidfd"
	"dynamod/logind/internal/session"
)

// ended says that a process behind a pidfd has ended: the descriptor is readable then
// (pidfd_open(2)).
func ended(leader *os.File) bool {
	p := []unix.PollFd{{Fd: int32(leader.Fd()), Events: unix.POLLIN}}
	n, err := unix.Poll(p, 0)
	return err == nil && n > 0
}

// pidOf is the number of the process behind a pidfd (proc_pid_fdinfo(5)).
func pidOf(fd int) (int32, error) {
	data, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "Pid:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 32)
			if err != nil || n <= 0 {
				return 0, errors.New("the process has ended")
			}
			return int32(n), nil
		}
	}
	return 0, errors.New("this is no pidfd")
}

// audit is the audit session of a process, which gives its session its name.
func audit(pid int32) uint32 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/sessionid", pid))
	if err != nil {
		return math.MaxUint32
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 32)
	if err != nil {
		return math.MaxUint32
	}
	return uint32(n)
}

func (s *Server) createWithPIDFD(c *bus.Call) error {
	if flags := c.Args[13].(uint64); flags != 0 {
		return bus.Errorf(bus.ErrInvalidArgs, "Flags must be zero, not %#x", flags)
	}
	// Its own descriptor is closed with the call; it goes on in ours.
	fd, err := unix.FcntlInt(uintptr(c.Args[1].(dbus.UnixFD)), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return err
	}
	return s.create(c, fd, c.Args[14])
}

func (s *Server) createWithPID(c *bus.Call) error {
	who, err := c.Caller()
	if err != nil {
		return err
	}
	fd := -1
	if pid := c.Args[1].(uint32); pid == 0 {
		fd, err = unix.FcntlInt(uintptr(who.PIDFD), unix.F_DUPFD_CLOEXEC, 3)
	} else if pid > math.MaxInt32 {
		return bus.Errorf(bus.ErrInvalidArgs, "Leader PID is not valid")
	} else {
		fd, err = pidfd.Open(int(pid))
	}
	if err != nil {
		return err
	}
	return s.create(c, fd, c.Args[13])
}

// create makes a session for the process behind a pidfd, which it owns from now on.
func (s *Server) create(c *bus.Call, fd int, props any) error {
	leader := os.NewFile(uintptr(fd), "leader")
	fail := func(err error) error { leader.Close(); return err }
	who, err := c.Caller()
	if err != nil {
		return fail(err)
	}
	if who.UID != 0 {
		return fail(bus.Errorf(bus.ErrAccessDenied, "Only root makes sessions"))
	}
	pid, err := pidOf(fd)
	if err != nil {
		return fail(bus.Errorf(bus.ErrInvalidArgs, "Leader: %v", err))
	}
	properties, err := scopeProperties(props)
	if err != nil {
		return fail(err)
	}
	str := func(k int) string { return c.Args[k].(string) }
	x := session.Session{UID: c.Args[0].(uint32), Leader: pid, Audit: audit(pid), Service: str(2), Type: str(3), Class: str(4), Desktop: str(5),
		Seat: str(6), VTNr: c.Args[7].(uint32), TTY: str(8), Display: str(9), Remote: c.Args[10].(bool), RemoteUser: str(11), RemoteHost: str(12)}
	for k := 2; k <= 12; k++ {
		if t, ok := c.Args[k].(string); ok && (len(t) > 4096 || strings.ContainsFunc(t, func(r rune) bool { return r < ' ' || r == 0x7f })) {
			return fail(bus.Errorf(bus.ErrInvalidArgs, "Argument %d is too long or has control characters", k+1))
		}
	}
	user, err := s.account(strconv.FormatUint(uint64(x.UID), 10))
	if err != nil {
		return fail(err)
	}
	gid := user.GID
	x.User = user.Name
	if !user.Listed { // a user of a directory service
		x.User, gid = strconv.FormatUint(uint64(x.UID), 10), x.UID
	}
	manager := x.Class == "manager" || x.Class == "manager-early"
	// Of su, sudo and the like pam_systemd then goes on without a session of its own (seen
	// with systemd 257, which never says that one exists). The manager of a user is there.
	cgroup := s.opts.Cgroup(pid)
	_, inSlice := userIn(cgroup)
	if s.sessionIn(pid, cgroup) != "" || inSlice && !manager {
		return fail(bus.Errorf("org.freedesktop.login1.SessionBusy", "Already running in a session or user slice"))
	}
	return bus.Later(func() error {
		id, writer, err := s.newSession(c, x, gid, leader, properties)
		if err != nil {
			return err
		}
		defer writer.Close()
		return s.replySession(c, id, writer)
	})
}

// account finds a user by name or number.
func (s *Server) account(who string) (accounts.User, error) {
	return accounts.Files{PasswdFile: filepath.Join(s.opts.Root, "etc/passwd"), GroupFile: filepath.Join(s.opts.Root, "etc/group")}.User(who)
}

// newSession asks the core for a session, which has leader and FIFO from its first
// moment, and waits until it is there.
func (s *Server) newSession(c *bus.Call, x session.Session, gid uint32, leader *os.File, properties map[string]string) (string, *os.File, error) {
	h := &held{leader: leader, properties: properties}
	ch := make(chan answer, 1)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		leader.Close()
		return "", nil, bus.Errorf(bus.ErrFailed, "logind is about to end")
	}
	s.request++
	r := s.request
	s.waiting[r] = ch
	s.arriving = h
	s.locked(session.Create{Request: r, GID: gid, Session: x})
	unused := s.arriving != nil
	s.arriving = nil
	s.mu.Unlock()
	if unused { // it was refused
		h.close()
	}
	s.flush()
	var a answer
	select {
	case a = <-ch:
	case <-c.Context().Done():
		// Who asked is gone; the session ends with its leader.
		return "", nil, c.Context().Err()
	}
	if a.err != nil {
		return "", nil, a.err
	}
	w, err := os.OpenFile(s.fifoPath(a.grant.Session), os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		s.handle(session.Ended{ID: a.grant.Session})
		return "", nil, fmt.Errorf("open the session's FIFO: %w", err)
	}
	s.followFIFO(a.grant.Session)
	return a.grant.Session, w, nil
}

// hold gives a new session its descriptors and follows its leader; s.mu is held.
func (s *Server) hold(id string) {
	h := s.arriving
	s.arriving = nil
	if h == nil {
		h = &held{}
	}
	s.held[id] = h
	path := s.fifoPath(id)
	if !h.keep {
		s.remove(path)
	}
	if err := unix.Mkfifo(path, 0o600); err != nil && !(h.keep && errors.Is(err, os.ErrExist)) {
		s.log.Error("a session has no FIFO", "session", id, "err", err)
	} else if f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0); err != nil {
		s.log.Error("a session has no FIFO", "session", id, "err", err)
	} else {
		h.fifo = f
	}
	if h.leader == nil {
		return
	}
	follow, err := pollable(h.leader)
	if err != nil {
		s.log.Error("the leader of a session is not followed", "session", id, "err", err)
		return
	}
	h.follow = follow
	s.later(func() { // ends with the leader, or when h is closed
		raw, err := follow.SyscallConn()
		if err == nil {
			err = raw.Read(func(fd uintptr) bool {
				p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
				n, err := unix.Poll(p, 0)
				return err == nil && n > 0
			})
		}
		if err == nil {
			s.handle(session.Ended{ID: id})
		}
	})
}

// pollable is a second descriptor of a pidfd that Go's poller takes.
func pollable(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "leader"), nil
}

// followFIFO hears that nobody holds a session's FIFO any more.
func (s *Server) followFIFO(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held[id]
	if h == nil || h.fifo == nil || h.followed {
		return
	}
	h.followed = true
	f := h.fifo
	s.later(func() { // ends with the last writer, or when h is closed
		buf := make([]byte, 64)
		for {
			if _, err := f.Read(buf); err != nil {
				if !errors.Is(err, os.ErrClosed) {
					s.handle(session.Ended{ID: id})
				}
				return
			}
		}
	})
}

func (s *Server) replySession(c *bus.Call, id string, fifo *os.File) error {
	s.mu.Lock()
	x := s.core.Sessions[id]
	if x == nil {
		s.mu.Unlock()
		return bus.Errorf(session.ErrNoSession, "No session '%s' known", id)
	}
	uid, seat, vt := x.UID, x.Seat, x.VTNr
	s.mu.Unlock()
	return c.Reply(id, sessionPath(id), s.runtimeDir(uid), dbus.UnixFD(fifo.Fd()), uid, seat, vt, false)
}

// scopeProperties are what pam_systemd passes on of the user's record (pam_systemd(8)).
func scopeProperties(v any) (map[string]string, error) {
	var list []struct {
		Name  string
		Value dbus.Variant
	}
	if err := dbus.Store([]any{v}, &list); err != nil {
		return nil, bus.Errorf(bus.ErrInvalidArgs, "Properties: %v", err)
	}
	out := map[string]string{}
	for _, p := range list {
		n, ok := p.Value.Value().(uint64)
		text := strconv.FormatUint(n, 10)
		if n == math.MaxUint64 {
			text = "infinity"
		}
		switch {
		case !ok:
			return nil, bus.Errorf(bus.ErrInvalidArgs, "Property %s has type %s, not t", p.Name, p.Value.Signature())
		case p.Name == "MemoryMax", p.Name == "TasksMax", p.Name == "CPUWeight", p.Name == "IOWeight":
			out[p.Name] = text
		case p.Name == "RuntimeMaxUSec":
			if n != math.MaxUint64 {
				text += "us"
			}
			out["RuntimeMaxSec"] = text
		default:
			return nil, bus.Errorf(bus.ErrInvalidArgs, "A session cannot have property %s", p.Name)
		}
	}
	return out, nil
}
