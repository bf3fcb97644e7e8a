package api

import (
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/bus"
	"dynamod/internal/bus/label"
	"dynamod/logind/internal/session"
)

// Objects are found as copies: what a client reads is of one moment.
type (
	// named is an id and its path: (so).
	named struct {
		ID   string
		Path dbus.ObjectPath
	}
	// owner is a user's number and path: (uo).
	owner struct {
		UID  uint32
		Path dbus.ObjectPath
	}
	sessionView struct {
		session.Session
		active bool
		state  string
	}
	seatView struct {
		session.Seat
		sessions []named
		idle     idle
	}
	userView struct {
		session.User
		state    string
		display  named
		sessions []named
		idle     idle
	}
	managerView struct {
		inhibited  map[string]string
		inhibitors int
		sessions   int
		idle       idle
		pending    *session.Transition
		scheduled  schedule
		lid        session.Lid
		wall       string
		wallOn     bool
	}
	// schedule is a kind and a time: (st).
	schedule struct {
		Kind string
		At   uint64
	}
	idle struct {
		hint  bool
		since session.Now
	}
)

var noSession = named{"", "/"}

func names(list []*session.Session) []named {
	out := []named{}
	for _, x := range list {
		out = append(out, named{x.ID, sessionPath(x.ID)})
	}
	return out
}

// idleOf is the hint of several sessions together: idle when all that can be are.
// Without any, nobody is there to be idle, and the hint is false.
func idleOf(list []*session.Session) idle {
	var i idle
	i.hint = true
	n := 0
	for _, x := range list {
		if x.Stage == session.Closing || !x.CanIdle() {
			continue
		}
		n++
		if x.Idle {
			if i.hint && x.IdleSince.Mono > i.since.Mono {
				i.since = x.IdleSince
			}
		} else {
			i.hint, i.since = false, session.Now{}
		}
	}
	if n == 0 {
		return idle{}
	}
	return i
}

func (s *Server) viewSession(id string) (*sessionView, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.core.Sessions[id]
	if x == nil {
		return nil, false
	}
	return &sessionView{*x, x.Stage != session.Closing && s.core.IsActive(x), s.core.State(x)}, true
}

func (s *Server) viewSeat(id string) (*seatView, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.core.Seats[id]
	if x == nil {
		return nil, false
	}
	on := s.core.OnSeat(id)
	return &seatView{*x, names(on), idleOf(on)}, true
}

func (s *Server) viewUser(uid uint32) (*userView, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.core.Users[uid]
	if u == nil {
		return nil, false
	}
	v := &userView{*u, s.core.UserState(u), noSession, names(newest(s.core.Of(uid))), idleOf(s.core.Of(uid))}
	if d := s.core.DisplayOf(uid); d != nil {
		v.display = named{d.ID, sessionPath(d.ID)}
	}
	return v, true
}

func (s *Server) viewManager() *managerView {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := &managerView{map[string]string{}, len(s.core.Inhibitors), len(s.core.Sessions), idleOf(s.all()), nil, schedule{"", math.MaxUint64}, s.core.Lid, s.wall, s.wallOn}
	if n := s.core.Scheduled; n != nil {
		v.scheduled = schedule{n.Kind, uint64(n.At)}
	}
	for _, m := range []string{"block", "block-weak", "delay"} {
		v.inhibited[m] = s.core.Inhibited(m)
	}
	if s.core.Pending != nil {
		t := *s.core.Pending
		v.pending = &t
	}
	return v
}

// all are all sessions; s.mu is held.
func (s *Server) all() []*session.Session {
	return s.core.Sorted(func(*session.Session) bool { return true })
}

// tree is the table of objects.
func (s *Server) tree() *bus.Tree {
	by := bus.FromList(memberList, s.parts())
	manager, sess, seat, user := by["Manager"], by["Session"], by["Seat"], by["User"]
	one := func(i *bus.Interface) []*bus.Interface { return []*bus.Interface{i} }
	return bus.NewTree(
		&bus.Node{Path: managerPath, Find: func(*bus.Call, string) (any, []*bus.Interface, error) {
			return s.viewManager(), one(manager), nil
		}},
		&bus.Node{Path: managerPath + "/session/*", Find: func(c *bus.Call, name string) (any, []*bus.Interface, error) {
			id, ok := label.Unescape(name)
			if !ok {
				return nil, nil, bus.Errorf(bus.ErrUnknownObject, "Unknown object '%s'.", name)
			}
			id, err := s.resolve(c, id)
			if err != nil {
				return nil, nil, err
			}
			v, ok := s.viewSession(id)
			if !ok {
				return nil, nil, bus.Errorf(bus.ErrUnknownObject, "Unknown object '%s'.", sessionPath(id))
			}
			return v, one(sess), nil
		}, Names: s.names(func() (out []string) {
			for id := range s.core.Sessions {
				out = append(out, label.Escape(id))
			}
			return
		})},
		&bus.Node{Path: managerPath + "/seat/*", Find: func(c *bus.Call, name string) (any, []*bus.Interface, error) {
			id, _ := label.Unescape(name)
			id, err := s.resolveSeat(c, id)
			if err != nil {
				return nil, nil, err
			}
			v, ok := s.viewSeat(id)
			if !ok {
				return nil, nil, bus.Errorf(bus.ErrUnknownObject, "Unknown object '%s'.", name)
			}
			return v, one(seat), nil
		}, Names: s.names(func() (out []string) {
			for id := range s.core.Seats {
				out = append(out, label.Escape(id))
			}
			return
		})},
		&bus.Node{Path: managerPath + "/user/*", Find: func(c *bus.Call, name string) (any, []*bus.Interface, error) {
			var uid uint32
			if name == "self" && c != nil {
				u, err := s.callerUser(c)
				if err != nil {
					return nil, nil, err
				}
				uid = u
			} else {
				n, err := strconv.ParseUint(trimUnderscore(name), 10, 32)
				if err != nil || string(userPath(uint32(n))) != managerPath+"/user/"+name {
					return nil, nil, bus.Errorf(bus.ErrUnknownObject, "Unknown object '%s'.", name)
				}
				uid = uint32(n)
			}
			v, ok := s.viewUser(uid)
			if !ok {
				return nil, nil, bus.Errorf(bus.ErrUnknownObject, "Unknown object '%s'.", name)
			}
			return v, one(user), nil
		}, Names: s.names(func() (out []string) {
			for uid := range s.core.Users {
				out = append(out, "_"+strconv.FormatUint(uint64(uid), 10))
			}
			return
		})},
	)
}

func (s *Server) names(f func() []string) func() []string {
	return func() []string {
		s.mu.Lock()
		defer s.mu.Unlock()
		return f()
	}
}

func trimUnderscore(name string) string {
	if name != "" && name[0] == '_' {
		return name[1:]
	}
	return ""
}

// resolve turns self, auto and "" into the id of the caller's session: self is the one
// it runs in, auto is that or the display session of its user.
func (s *Server) resolve(c *bus.Call, id string) (string, error) {
	if id != "self" && id != "auto" && id != "" || c == nil {
		return id, nil
	}
	who, err := c.Caller()
	if err != nil {
		return "", err
	}
	if found := s.sessionOfPID(who.PID); found != "" && who.Alive() {
		return found, nil
	}
	if id == "auto" {
		// Like sd-login(3): the user by the slice that the caller is in.
		if uid, ok := s.userOfPID(who.PID); ok && who.Alive() {
			if v, ok := s.viewUser(uid); ok && v.display.ID != "" {
				return v.display.ID, nil
			}
		}
	}
	return "", bus.Errorf("org.freedesktop.login1.NoSessionForPID", "Caller does not belong to any known session")
}

func (s *Server) resolveSeat(c *bus.Call, id string) (string, error) {
	if id != "self" && id != "auto" && id != "" || c == nil {
		return id, nil
	}
	sid, err := s.resolve(c, id)
	if err != nil {
		return "", err
	}
	v, ok := s.viewSession(sid)
	if !ok || v.Seat == "" {
		return "", bus.Errorf(session.ErrNoSeat, "Session '%s' has no seat.", sid)
	}
	return v.Seat, nil
}

func (s *Server) callerUser(c *bus.Call) (uint32, error) {
	who, err := c.Caller()
	if err != nil {
		return 0, err
	}
	if uid, ok := s.userOfPID(who.PID); ok && who.Alive() {
		return uid, nil
	}
	return 0, bus.Errorf("org.freedesktop.login1.NoUserForPID", "Caller does not belong to any logged in or lingering user")
}

// lingers says that a user has a file in linger/.
func (s *Server) lingers(name string) bool {
	_, err := os.Stat(filepath.Join(s.lingerDir(), name))
	return err == nil
}
