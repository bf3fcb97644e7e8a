package api

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"dynamod/internal/bus/label"
	"dynamod/logind/internal/session"
)

// Object paths and interfaces (org.freedesktop.login1(5)).
const (
	managerPath  = "/org/freedesktop/login1"
	ifacePrefix  = "org.freedesktop.login1."
	managerIface = ifacePrefix + "Manager"
)

func sessionPath(id string) dbus.ObjectPath {
	return dbus.ObjectPath(managerPath + "/session/" + label.Escape(id))
}
func seatPath(id string) dbus.ObjectPath {
	return dbus.ObjectPath(managerPath + "/seat/" + label.Escape(id))
}
func userPath(uid uint32) dbus.ObjectPath {
	return dbus.ObjectPath(managerPath + "/user/_" + strconv.FormatUint(uint64(uid), 10))
}

func uidOf(text string) uint32 {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		panic(fmt.Sprintf("the core names user %q", text))
	}
	return uint32(n)
}

// appeared tells clients of something new. Its file is there before.
func (s *Server) appeared(a session.Appeared) {
	switch a.Kind {
	case session.ASession:
		s.hold(a.ID)
		s.writeSession(s.core.Sessions[a.ID])
		s.service.Emit(managerPath, managerIface, "SessionNew", a.ID, sessionPath(a.ID))
	case session.AUser:
		uid := uidOf(a.ID)
		s.writeUser(s.core.Users[uid])
		s.service.Emit(managerPath, managerIface, "UserNew", uid, userPath(uid))
	case session.ASeat:
		if seat := s.core.Seats[a.ID]; seat != nil {
			s.writeSeat(seat)
		}
		s.service.Emit(managerPath, managerIface, "SeatNew", a.ID, seatPath(a.ID))
	}
}

func (s *Server) vanished(a session.Vanished) {
	switch a.Kind {
	case session.ASession:
		s.remove(s.run("sessions", a.ID), s.fifoPath(a.ID))
		s.service.Emit(managerPath, managerIface, "SessionRemoved", a.ID, sessionPath(a.ID))
	case session.AUser:
		uid := uidOf(a.ID)
		s.remove(s.run("users", a.ID))
		s.service.Emit(managerPath, managerIface, "UserRemoved", uid, userPath(uid))
	case session.ASeat:
		s.remove(s.run("seats", a.ID))
		s.service.Emit(managerPath, managerIface, "SeatRemoved", a.ID, seatPath(a.ID))
	}
}

// changed writes the object's file anew and notes the properties for Flush.
func (s *Server) changed(a session.Changed) {
	path, iface := managerPath, managerIface
	switch a.Kind {
	case session.ASession:
		x := s.core.Sessions[a.ID]
		if x == nil {
			return
		}
		s.writeSession(x)
		path, iface = string(sessionPath(a.ID)), ifacePrefix+"Session"
	case session.AUser:
		u := s.core.Users[uidOf(a.ID)]
		if u == nil {
			return
		}
		s.writeUser(u)
		path, iface = string(userPath(u.UID)), ifacePrefix+"User"
	case session.ASeat:
		seat := s.core.Seats[a.ID]
		if seat == nil {
			return // it has gone with the same event
		}
		s.writeSeat(seat)
		for _, x := range s.core.OnSeat(a.ID) {
			s.writeSession(x)
			s.writeUser(s.core.Users[x.UID])
		}
		path, iface = string(seatPath(a.ID)), ifacePrefix+"Seat"
	}
	if len(a.Names) > 0 {
		s.service.Changed(path, iface, a.Names...)
	}
}

// sessionOfPID is the session that a process is in, by its cgroup; a session whose
// leader has not been moved yet is found by that. "" is none.
func (s *Server) sessionOfPID(pid int32) string { return s.sessionIn(pid, s.opts.Cgroup(pid)) }

func (s *Server) sessionIn(pid int32, cgroup string) string {
	id, uid := scopeIn(cgroup)
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.core.Sessions[id]; x != nil && x.UID == uid {
		return id
	}
	for _, x := range s.core.Sessions {
		if x.Leader == pid && x.Stage != session.Closing {
			return x.ID
		}
	}
	return ""
}

// scopeIn is the session whose scope is in the path, and the user below whose slice it is:
// directly below, for a user makes groups of any name further down.
func scopeIn(cgroup string) (id string, uid uint32) {
	parts := strings.Split(cgroup, "/")
	for k, part := range parts {
		n, ok := userOfSlice(part)
		if !ok {
			continue
		}
		if k+1 < len(parts) {
			if rest, ok := strings.CutPrefix(parts[k+1], "session-"); ok && strings.HasSuffix(rest, ".scope") {
				return strings.TrimSuffix(rest, ".scope"), n
			}
		}
		break
	}
	return "", 0
}

func userOfSlice(part string) (uint32, bool) {
	rest, ok := strings.CutPrefix(part, "user-")
	if !ok || !strings.HasSuffix(rest, ".slice") {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(rest, ".slice"), 10, 32)
	return uint32(n), err == nil
}

// userOfPID is the user below whose slice a process is.
func (s *Server) userOfPID(pid int32) (uint32, bool) { return userIn(s.opts.Cgroup(pid)) }

func userIn(cgroup string) (uint32, bool) {
	for part := range strings.SplitSeq(cgroup, "/") {
		if n, ok := userOfSlice(part); ok {
			return n, true
		}
	}
	return 0, false
}

// belowFirst gives the groups of processes as seen from the group that PID 1 began in: in a
// container without a cgroup namespace the kernel's paths begin with the container's own
// place, which may be below the slice of a user of the machine outside. A process elsewhere is in none.
func belowFirst(cgroup func(pid int32) string) func(pid int32) string {
	// PID 1, or the manager in its place, may have gone to init.scope
	// (org.freedesktop.systemd1(5)).
	top := strings.TrimSuffix(strings.TrimSuffix(cgroup(1), "/init.scope"), "/")
	return func(pid int32) string {
		rest, ok := strings.CutPrefix(cgroup(pid), top)
		if !ok || rest != "" && rest[0] != '/' {
			return ""
		}
		return rest
	}
}

// cgroupOf is the group of a process in the unified hierarchy, "" for none
// (cgroups(7)).
func cgroupOf(pid int32) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSuffix(rest, "\n")
		}
	}
	return ""
}

// followVT tells the core which terminal is in front, now and at every change: the
// kernel says it by POLLPRI on this file.
func (s *Server) followVT() {
	f, err := os.Open(filepath.Join(s.opts.Root, "sys/class/tty/tty0/active"))
	if err != nil {
		return // no terminals
	}
	stop, wake, err := os.Pipe()
	if err != nil {
		s.log.Error("terminals are not followed", "err", err)
		f.Close()
		return
	}
	s.later(func() { <-s.ctx.Done(); wake.Close() })
	s.later(func() { // ends when the pipe is closed, at the end of s.ctx
		defer stop.Close()
		defer f.Close()
		buf := make([]byte, 64)
		for {
			// Reading arms the poll.
			if _, err := f.ReadAt(buf, 0); err != nil && !errors.Is(err, io.EOF) {
				s.log.Warn("the terminal in front is not known", "err", err)
			}
			s.shown()
			p := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLPRI}, {Fd: int32(stop.Fd()), Events: unix.POLLIN}}
			for {
				if _, err = unix.Poll(p, -1); err != unix.EINTR {
					break
				}
			}
			if err != nil || p[1].Revents != 0 {
				return
			}
		}
	})
}

// readLinger lets the users stay that have a file in linger/.
func (s *Server) readLinger() {
	entries, err := os.ReadDir(s.lingerDir())
	if err != nil {
		return // nobody lingers
	}
	for _, e := range entries {
		u, err := s.account(e.Name())
		if err != nil || !u.Listed {
			s.log.Warn("a user who lingers is not known", "user", e.Name())
			continue
		}
		s.handle(session.SetLinger{UID: u.UID, GID: u.GID, Name: u.Name, Linger: true})
	}
}

func (s *Server) lingerDir() string { return filepath.Join(s.opts.Root, "var/lib/systemd/linger") }
