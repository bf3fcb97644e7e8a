package api

import (
	_ "embed"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/bus"
	"dynamod/internal/sys/pidfd"
	"dynamod/logind/internal/session"
)

// memberList are the members of login1 as systemd 257 shows them.
//
//go:embed members.tsv
var memberList string

func (s *Server) parts() bus.Parts {
	return bus.Parts{Methods: s.methods(), Getters: s.getters(), Setters: s.setters()}
}

// methods are what stands behind the methods.
func (s *Server) methods() map[string]func(*bus.Call) error {
	m := map[string]func(*bus.Call) error{
		"Manager.CreateSession":          s.createWithPID,
		"Manager.CreateSessionWithPIDFD": s.createWithPIDFD,
		"Manager.ReleaseSession":         s.release,
		"Manager.GetSession": s.withSession(func(c *bus.Call, v *sessionView) error {
			return c.Reply(sessionPath(v.ID))
		}),
		"Manager.GetSessionByPID": s.sessionByPID,
		"Manager.GetUser":         s.withUser(func(c *bus.Call, v *userView) error { return c.Reply(userPath(v.UID)) }),
		"Manager.GetUserByPID":    s.userByPID,
		"Manager.GetSeat": s.withSeat(func(c *bus.Call, v *seatView) error {
			return c.Reply(seatPath(v.ID))
		}),
		"Manager.ListSessions":     s.listSessions,
		"Manager.ListSessionsEx":   s.listSessionsEx,
		"Manager.ListUsers":        s.listUsers,
		"Manager.ListSeats":        s.listSeats,
		"Manager.ListInhibitors":   s.listInhibitors,
		"Manager.Inhibit":          s.inhibit,
		"Manager.LockSession":      s.withSession(s.lockSession("Lock")),
		"Manager.UnlockSession":    s.withSession(s.lockSession("Unlock")),
		"Manager.LockSessions":     s.lockAll("Lock"),
		"Manager.UnlockSessions":   s.lockAll("Unlock"),
		"Manager.TerminateSession": s.withSession(s.terminateSession),
		"Manager.TerminateUser":    s.withUser(s.terminateUser),
		"Manager.TerminateSeat":    s.withSeat(s.terminateSeat),
		"Manager.KillSession": s.withSession(func(c *bus.Call, v *sessionView) error {
			return s.killSession(c, v, c.Args[1].(string), c.Args[2].(int32))
		}),
		"Manager.KillUser":        s.withUser(func(c *bus.Call, v *userView) error { return s.killUser(c, v, c.Args[1].(int32)) }),
		"Manager.ActivateSession": s.withSession(s.activate),
		"Manager.ActivateSessionOnSeat": s.withSession(func(c *bus.Call, v *sessionView) error {
			if seat := c.Args[1].(string); v.Seat != seat {
				return bus.Errorf("org.freedesktop.login1.SessionNotOnSeat", "Session %s not on seat %s", v.ID, seat)
			}
			return s.activate(c, v)
		}),
		"Manager.SetUserLinger": s.setLinger,

		"Session.Lock":      onSession(s.lockSession("Lock")),
		"Session.Unlock":    onSession(s.lockSession("Unlock")),
		"Session.Terminate": onSession(s.terminateSession),
		"Session.Activate":  onSession(s.activate),
		"Session.Kill": onSession(func(c *bus.Call, v *sessionView) error {
			return s.killSession(c, v, c.Args[0].(string), c.Args[1].(int32))
		}),
		"Session.TakeControl":         onSession(s.takeControl),
		"Session.ReleaseControl":      onSession(s.releaseControl),
		"Session.SetType":             onSession(s.setType),
		"Session.SetDisplay":          onSession(s.setDisplay),
		"Session.SetBrightness":       onSession(s.setBrightness),
		"Session.SetTTY":              onSession(s.setTTY),
		"Session.SetClass":            onSession(s.setClass),
		"Session.TakeDevice":          onSession(s.takeDevice),
		"Session.ReleaseDevice":       onSession(s.releaseDevice),
		"Session.PauseDeviceComplete": onSession(s.pauseDeviceComplete),
		"Session.SetIdleHint":         onSession(s.setIdle),
		"Session.SetLockedHint":       onSession(s.setLocked),

		"Seat.Terminate": func(c *bus.Call) error { return s.terminateSeat(c, c.Object.(*seatView)) },
		"Seat.SwitchTo": func(c *bus.Call) error {
			return s.switchTo(c, c.Object.(*seatView), c.Args[0].(uint32))
		},
		"Seat.ActivateSession": func(c *bus.Call) error {
			v, err := s.sessionArg(c, c.Args[0].(string))
			if err != nil {
				return err
			}
			if seat := c.Object.(*seatView); v.Seat != seat.ID {
				return bus.Errorf("org.freedesktop.login1.SessionNotOnSeat", "Session %s not on seat %s", v.ID, seat.ID)
			}
			return s.activate(c, v)
		},
		"Seat.SwitchToNext":     s.neighbour(1),
		"Seat.SwitchToPrevious": s.neighbour(-1),
		"Manager.AttachDevice":  s.attachDevice,
		"Manager.FlushDevices":  s.flushDevices,
		"User.Terminate":        func(c *bus.Call) error { return s.terminateUser(c, c.Object.(*userView)) },
		"User.Kill":             func(c *bus.Call) error { return s.killUser(c, c.Object.(*userView), c.Args[0].(int32)) },
	}
	s.powerMethods(m)
	s.rebootMethods(m)
	return m
}

func onSession(f func(*bus.Call, *sessionView) error) func(*bus.Call) error {
	return func(c *bus.Call) error { return f(c, c.Object.(*sessionView)) }
}

func (s *Server) sessionArg(c *bus.Call, id string) (*sessionView, error) {
	id, err := s.resolve(c, id)
	if err != nil {
		return nil, err
	}
	v, ok := s.viewSession(id)
	if !ok {
		return nil, bus.Errorf(session.ErrNoSession, "No session '%s' known", id)
	}
	return v, nil
}

func (s *Server) withSession(f func(*bus.Call, *sessionView) error) func(*bus.Call) error {
	return func(c *bus.Call) error {
		v, err := s.sessionArg(c, c.Args[0].(string))
		if err != nil {
			return err
		}
		return f(c, v)
	}
}

func (s *Server) withSeat(f func(*bus.Call, *seatView) error) func(*bus.Call) error {
	return func(c *bus.Call) error {
		id, err := s.resolveSeat(c, c.Args[0].(string))
		if err != nil {
			return err
		}
		v, ok := s.viewSeat(id)
		if !ok {
			return bus.Errorf(session.ErrNoSeat, "No seat '%s' known", id)
		}
		return f(c, v)
	}
}

func (s *Server) withUser(f func(*bus.Call, *userView) error) func(*bus.Call) error {
	return func(c *bus.Call) error {
		uid := c.Args[0].(uint32)
		if uid == 1<<32-1 {
			u, err := s.callerUser(c)
			if err != nil {
				return err
			}
			uid = u
		}
		v, ok := s.viewUser(uid)
		if !ok {
			return bus.Errorf("org.freedesktop.login1.NoSuchUser", "User ID %d is not logged in or lingering", uid)
		}
		return f(c, v)
	}
}

// pidArg is the process that a call names; 0 is the caller.
func pidArg(c *bus.Call) (int32, error) {
	pid := c.Args[0].(uint32)
	if pid > 1<<31-1 {
		return 0, bus.Errorf(bus.ErrInvalidArgs, "Process ID %d is not valid", pid)
	}
	if pid == 0 {
		who, err := c.Caller()
		if err != nil {
			return 0, err
		}
		return who.Process()
	}
	return int32(pid), nil
}

func (s *Server) sessionByPID(c *bus.Call) error {
	pid, err := pidArg(c)
	if err != nil {
		return err
	}
	if id := s.sessionOfPID(pid); id != "" {
		return c.Reply(sessionPath(id))
	}
	return bus.Errorf("org.freedesktop.login1.NoSessionForPID", "PID %d does not belong to any known session", pid)
}

func (s *Server) userByPID(c *bus.Call) error {
	pid, err := pidArg(c)
	if err != nil {
		return err
	}
	if uid, ok := s.userOfPID(pid); ok {
		if _, ok := s.viewUser(uid); ok {
			return c.Reply(userPath(uid))
		}
	}
	return bus.Errorf("org.freedesktop.login1.NoUserForPID", "PID %d does not belong to any logged in user or lingering user", pid)
}

// release ends the session that the caller is in; only the caller itself, or root, does
// that.
func (s *Server) release(c *bus.Call) error {
	v, err := s.sessionArg(c, c.Args[0].(string))
	if err != nil {
		return err
	}
	who, err := c.Caller()
	if err != nil {
		return err
	}
	if who.UID != 0 && (who.UID != v.UID || s.sessionOfPID(who.PID) != v.ID || !who.Alive()) {
		return bus.Errorf(bus.ErrAccessDenied, "Session '%s' is not the caller's", v.ID)
	}
	s.handle(session.Ended{ID: v.ID})
	return nil
}

func (s *Server) listSessions(c *bus.Call) error {
	type row struct {
		ID   string
		UID  uint32
		Name string
		Seat string
		Path dbus.ObjectPath
	}
	rows := []row{}
	s.mu.Lock()
	for _, x := range s.all() {
		rows = append(rows, row{x.ID, x.UID, x.User, x.Seat, sessionPath(x.ID)})
	}
	s.mu.Unlock()
	return c.Reply(rows)
}

func (s *Server) listSessionsEx(c *bus.Call) error {
	type row struct {
		ID         string
		UID        uint32
		Name, Seat string
		Leader     uint32
		Class, TTY string
		Idle       bool
		Since      uint64
		Path       dbus.ObjectPath
	}
	rows := []row{}
	s.mu.Lock()
	for _, x := range s.all() {
		rows = append(rows, row{x.ID, x.UID, x.User, x.Seat, uint32(x.Leader), x.Class, x.TTY, x.Idle, uint64(x.IdleSince.Mono), sessionPath(x.ID)})
	}
	s.mu.Unlock()
	return c.Reply(rows)
}

func (s *Server) listUsers(c *bus.Call) error {
	type row struct {
		UID  uint32
		Name string
		Path dbus.ObjectPath
	}
	rows := []row{}
	s.mu.Lock()
	for uid, u := range s.core.Users {
		rows = append(rows, row{uid, u.Name, userPath(uid)})
	}
	s.mu.Unlock()
	return c.Reply(rows)
}

func (s *Server) listSeats(c *bus.Call) error {
	rows := []named{}
	s.mu.Lock()
	for id := range s.core.Seats {
		rows = append(rows, named{id, seatPath(id)})
	}
	s.mu.Unlock()
	return c.Reply(rows)
}

func (s *Server) listInhibitors(c *bus.Call) error {
	type row struct {
		What, Who, Why, Mode string
		UID, PID             uint32
	}
	rows := []row{}
	s.mu.Lock()
	for _, i := range s.core.Inhibitors {
		rows = append(rows, row{strings.Join(i.What, ":"), i.Who, i.Why, i.Mode, i.UID, uint32(i.PID)})
	}
	s.mu.Unlock()
	return c.Reply(rows)
}

// authorize lets root, the owner, or those whom polkit lets do something, and then does
// it.
func (s *Server) authorize(c *bus.Call, uid uint32, action string, do func() error) error {
	who, err := c.Caller()
	if err != nil {
		return err
	}
	if who.UID == 0 || who.UID == uid {
		return do()
	}
	return bus.Later(func() error {
		if err := c.Authorize(action, nil); err != nil {
			return err
		}
		return do()
	})
}

// nobody is a uid that no caller has.
const nobody = 1<<32 - 1

func (s *Server) lockSession(signal string) func(*bus.Call, *sessionView) error {
	return func(c *bus.Call, v *sessionView) error {
		if !canLock(&v.Session) {
			return bus.Errorf(bus.ErrNotSupported, "Session does not support lock screen")
		}
		return s.authorize(c, v.UID, "org.freedesktop.login1.lock-sessions", func() error {
			s.service.Emit(string(sessionPath(v.ID)), ifacePrefix+"Session", signal)
			return nil
		})
	}
}

func (s *Server) lockAll(signal string) func(*bus.Call) error {
	return func(c *bus.Call) error {
		return s.authorize(c, nobody, "org.freedesktop.login1.lock-sessions", func() error {
			s.mu.Lock()
			all := s.core.Sorted(func(x *session.Session) bool { return canLock(x) && x.Stage == session.Running })
			s.mu.Unlock()
			for _, x := range all {
				s.service.Emit(string(sessionPath(x.ID)), ifacePrefix+"Session", signal)
			}
			return nil
		})
	}
}

const manage = "org.freedesktop.login1.manage"

func (s *Server) terminateSession(c *bus.Call, v *sessionView) error {
	return s.authorize(c, v.UID, manage, func() error {
		s.handle(session.Terminate{ID: v.ID})
		return nil
	})
}

func (s *Server) terminateUser(c *bus.Call, v *userView) error {
	return s.authorize(c, v.UID, manage, func() error {
		for _, x := range v.sessions {
			s.handle(session.Terminate{ID: x.ID})
		}
		return nil
	})
}

func (s *Server) terminateSeat(c *bus.Call, v *seatView) error {
	return s.authorize(c, nobody, manage, func() error {
		for _, x := range v.sessions {
			s.handle(session.Terminate{ID: x.ID})
		}
		return nil
	})
}

func checkSignal(sig int32) error {
	if sig < 0 || sig > 64 {
		return bus.Errorf(bus.ErrInvalidArgs, "Invalid signal %d", sig)
	}
	return nil
}

// killSession signals the leader by its descriptor, never by number, or all of a scope.
func (s *Server) killSession(c *bus.Call, v *sessionView, whom string, sig int32) error {
	if err := checkSignal(sig); err != nil {
		return err
	}
	switch whom {
	case "", "all", "leader":
	default:
		return bus.Errorf(bus.ErrInvalidArgs, "Invalid kill parameter '%s'", whom)
	}
	return s.authorize(c, v.UID, manage, func() error {
		if whom == "leader" {
			s.mu.Lock()
			defer s.mu.Unlock()
			h := s.held[v.ID]
			if h == nil || h.leader == nil {
				return bus.Errorf(session.ErrNoSession, "Session '%s' has no leader any more", v.ID)
			}
			return pidfd.Signal(int(h.leader.Fd()), sig)
		}
		if v.Scope() == "" {
			return bus.Errorf(bus.ErrNotSupported, "Session '%s' has no scope", v.ID)
		}
		return s.units.Kill(c.Context(), v.Scope(), sig)
	})
}

func (s *Server) killUser(c *bus.Call, v *userView, sig int32) error {
	if err := checkSignal(sig); err != nil {
		return err
	}
	return s.authorize(c, v.UID, manage, func() error {
		for _, x := range v.sessions {
			err := s.units.Kill(c.Context(), "session-"+x.ID+".scope", sig)
			if err != nil && !errors.Is(err, ErrNoUnit) {
				return err
			}
		}
		err := s.units.Kill(c.Context(), "user@"+strconv.FormatUint(uint64(v.UID), 10)+".service", sig)
		if errors.Is(err, ErrNoUnit) {
			return nil
		}
		return err
	})
}

// mine lets only root and the owner of a session on.
func mine(c *bus.Call, v *sessionView) error {
	who, err := c.Caller()
	if err != nil {
		return err
	}
	if who.UID != 0 && who.UID != v.UID {
		return bus.Errorf(bus.ErrAccessDenied, "Only owner of session may do that")
	}
	return nil
}

func (s *Server) setIdle(c *bus.Call, v *sessionView) error {
	if err := mine(c, v); err != nil {
		return err
	}
	if !v.Graphical() {
		return bus.Errorf(bus.ErrNotSupported, "Idle hint control is not supported on non-graphical and non-user sessions.")
	}
	s.handle(session.SetIdle{ID: v.ID, Idle: c.Args[0].(bool)})
	return nil
}

func (s *Server) setLocked(c *bus.Call, v *sessionView) error {
	if err := mine(c, v); err != nil {
		return err
	}
	if !canLock(&v.Session) {
		return bus.Errorf(bus.ErrNotSupported, "Session does not support lock screen")
	}
	s.handle(session.SetLocked{ID: v.ID, Locked: c.Args[0].(bool)})
	return nil
}

// takeControl makes the caller's connection the one that has the session's devices; only
// root takes it from another.
func (s *Server) takeControl(c *bus.Call, v *sessionView) error {
	if err := mine(c, v); err != nil {
		return err
	}
	who, err := c.Caller()
	if err != nil {
		return err
	}
	force := c.Args[0].(bool)
	if force && who.UID != 0 {
		return bus.Errorf(bus.ErrAccessDenied, "Only root takes control by force")
	}
	// In one step: a failure of this session's terminal is nobody else's.
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return bus.Errorf(bus.ErrFailed, "logind is about to end")
	}
	s.vtFailed = nil
	s.locked(session.TakeControl{ID: v.ID, Client: c.Sender(), Force: force})
	x, failure := s.core.Sessions[v.ID], s.vtFailed
	has := x != nil && x.Controller == c.Sender()
	if has && failure != nil {
		s.locked(session.ReleaseControl{ID: v.ID, Client: c.Sender()})
	}
	s.mu.Unlock()
	if has {
		c.Follow()
	}
	s.flush()
	switch {
	case !has:
		return bus.Errorf(session.ErrBusy, "Session is controlled by somebody else")
	case failure != nil:
		return bus.Errorf(bus.ErrFailed, "The session's terminal cannot be had: %v", failure)
	}
	return nil
}

func (s *Server) releaseControl(c *bus.Call, v *sessionView) error {
	if v.Controller != c.Sender() || c.Sender() == "" {
		return bus.Errorf("org.freedesktop.login1.NotInControl", "You are not in control of this session")
	}
	s.handle(session.ReleaseControl{ID: v.ID, Client: c.Sender()})
	return nil
}

// activate brings a session to the front; the terminal that shows then tells the core.
func (s *Server) activate(c *bus.Call, v *sessionView) error {
	return s.authorize(c, nobody, "org.freedesktop.login1.chvt", func() error {
		if v.Seat == "" {
			return bus.Errorf(bus.ErrNotSupported, "Operation not supported")
		}
		return s.bring(c, v.ID)
	})
}

func (s *Server) switchTo(c *bus.Call, v *seatView, vt uint32) error {
	return s.authorize(c, nobody, "org.freedesktop.login1.chvt", func() error {
		if vt < 1 || vt > 63 || !v.VTs {
			return bus.Errorf(bus.ErrInvalidArgs, "Invalid argument")
		}
		return s.terminals.Show(vt)
	})
}

func (s *Server) setLinger(c *bus.Call) error {
	uid, enable := c.Args[0].(uint32), c.Args[1].(bool)
	who, err := c.Caller()
	if err != nil {
		return err
	}
	action := "org.freedesktop.login1.set-user-linger"
	if uid == nobody {
		uid = who.UID
	}
	if uid == who.UID {
		action = "org.freedesktop.login1.set-self-linger"
	}
	u, err := s.account(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return err
	}
	if !u.Listed || strings.ContainsAny(u.Name, "/\x00") || u.Name == "." || u.Name == ".." {
		return bus.Errorf("org.freedesktop.login1.NoSuchUser", "No user %d known", uid)
	}
	return bus.Later(func() error {
		if err := c.Authorize(action, nil); err != nil {
			return err
		}
		file := filepath.Join(s.lingerDir(), u.Name)
		if enable {
			if err := os.MkdirAll(s.lingerDir(), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(file, nil, 0o644); err != nil {
				return err
			}
		} else if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		s.handle(session.SetLinger{UID: u.UID, GID: u.GID, Name: u.Name, Linger: enable})
		return nil
	})
}
