package session

import (
	"cmp"
	"slices"
)

// Now is a moment: microseconds since the epoch and since boot.
type Now struct{ Wall, Mono int64 }

// Limits bound what clients can make us hold (logind.conf(5): SessionsMax=,
// InhibitorsMax=), and say how long we wait, in microseconds.
type Limits struct {
	Sessions, Inhibitors int
	// PerUser bounds the inhibitors of one user other than root.
	PerUser int
	// InhibitDelay is InhibitDelayMaxSec=, UserStopDelay is UserStopDelaySec=.
	InhibitDelay, UserStopDelay int64
	// RemoveIPC is RemoveIPC=.
	RemoveIPC bool
	// PauseDelay is how long a controller has to pause its devices on a seat without
	// terminals.
	PauseDelay int64
	// AutoVTs and ReserveVT are NAutoVTs= and ReserveVT=.
	AutoVTs, ReserveVT uint32
}

// Stage is how far a session has come.
type Stage int

const (
	// Opening sessions wait for their units.
	Opening Stage = iota
	// Running sessions have been told to their creator.
	Running
	// Closing sessions have ended; processes of their scope may be left.
	Closing
)

// Session is one session.
type Session struct {
	ID      string
	UID     uint32
	User    string
	Leader  int32
	Audit   uint32
	Created Now
	Stage   Stage

	Service, Type, Class, Desktop        string
	Seat                                 string // "" is none
	VTNr                                 uint32
	TTY, Display, RemoteUser, RemoteHost string
	Remote                               bool

	// Controller is the bus name of the one that has taken control, "" for none.
	Controller string
	// Original is the type that it was made with: a controller changes Type, which
	// falls back when it goes.
	Original  string
	Idle      bool
	IdleSince Now
	Locked    bool

	devices map[DeviceID]*Device
	request uint64
	// opening says that Open was ordered and not answered, scoped that the scope is there.
	opening, scoped bool
}

// HasScope says that processes of the session get a scope of their own (seen with
// systemd 257: all but those of the user's manager do).
func (s *Session) HasScope() bool { return !s.manager() }

// WantsManager says that the user's manager is started for it (pam_systemd(8), class=; seen
// with systemd 257: a session without a home yet has none).
func (s *Session) WantsManager() bool {
	return s.HasScope() && s.Class != "background-light" && s.Class != "user-incomplete"
}

// display says that the session can stand for its user (seen with systemd 257: a lock screen
// and a session without a home yet cannot).
func (s *Session) display() bool {
	return s.Class == "user" || s.Class == "user-early" || s.Class == "greeter"
}

func (s *Session) manager() bool { return s.Class == "manager" || s.Class == "manager-early" }

// pins says that the session keeps its user here: a user's manager must not keep itself.
func (s *Session) pins() bool { return !s.manager() && s.Stage != Closing }

// Scope is the name of the session's scope unit, "" without one.
func (s *Session) Scope() string {
	if !s.HasScope() {
		return ""
	}
	return "session-" + s.ID + ".scope"
}

// Graphical says that the type is one of a graphical session.
func (s *Session) Graphical() bool { return s.Type == "x11" || s.Type == "wayland" || s.Type == "mir" }

// User is somebody who has a session, or lingers.
type User struct {
	UID, GID uint32
	Name     string
	Since    Now
	Linger   bool
	// Started says that the user's units were asked for, Stopping that they were
	// asked to stop; Ready that they are there.
	Started, Ready, Stopping bool
	// Managed says that the manager is one of the units.
	Managed bool
	// Pinned says that there was a session that keeps the user here, since the first one.
	Pinned bool
	// StopAt is when the units are stopped, in microseconds since boot, 0 for never.
	StopAt int64
}

// Seat is one seat.
type Seat struct {
	ID string
	// VTs says that it has virtual terminals (seat0 only), VT which of them shows.
	VTs bool
	VT  uint32
	// Graphical says that there is a screen.
	Graphical bool
	// Active is the id of the active session, "" for none.
	Active string

	// leaving says that the kernel was told that the terminal in front may go.
	leaving bool
	// next is the session that is about to be the active one, at until at the latest.
	next  string
	until int64
	// owner is the user who has the devices of the seat, -1 for nobody.
	owner int64
}

// Core is the state of everything. Its maps are read by the shell and changed by
// Handle only.
type Core struct {
	Limits     Limits
	Sessions   map[string]*Session
	Users      map[uint32]*User
	Seats      map[string]*Seat
	Inhibitors map[uint64]*Inhibitor
	// Pending is the power transition that waits for delays or runs; nil for none.
	Pending *Transition
	// Scheduled is the shutdown to come, nil for none.
	Scheduled *Scheduled
	// Handling is what keys, lid and idleness do; Sleeps how the machine can sleep.
	Handling Handling
	Sleeps   []string
	Lid      Lid

	closed  bool             // logins are refused
	pressed map[string]int64 // since when keys are down
	// holdoff is until when the lid is not looked at, idleFrom from when idleness
	// counts, both since boot.
	holdoff, idleFrom int64
	machine           map[string]Attached
	// owners are the users who had the devices of a seat last, the newest at the end.
	owners    []int64
	counter   uint64 // of sessions without audit id
	inhibited uint64 // last id of an inhibitor
	out       []Action
	now       Now
}

// seat0 is the seat that always exists, and the only one with terminals.
const seat0 = "seat0"

// New has seat0, which always exists.
func New(l Limits, vts bool) *Core {
	return &Core{Limits: l, Sessions: map[string]*Session{}, Users: map[uint32]*User{}, Inhibitors: map[uint64]*Inhibitor{},
		Seats: map[string]*Seat{seat0: {ID: seat0, VTs: vts, owner: -1}}, machine: map[string]Attached{}, pressed: map[string]int64{}}
}

// Sorted are the sessions that pass, the oldest first.
func (c *Core) Sorted(pass func(*Session) bool) []*Session {
	var out []*Session
	for _, s := range c.Sessions {
		if pass(s) {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b *Session) int {
		return cmp.Or(cmp.Compare(a.Created.Mono, b.Created.Mono), cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// Of are a user's sessions, OnSeat those of a seat.
func (c *Core) Of(uid uint32) []*Session {
	return c.Sorted(func(s *Session) bool { return s.UID == uid })
}

func (c *Core) OnSeat(seat string) []*Session {
	return c.Sorted(func(s *Session) bool { return seat != "" && s.Seat == seat })
}

// IsActive says that a session is the one in front on its seat; without a seat it
// always is (sd_session_is_active(3)).
func (c *Core) IsActive(s *Session) bool {
	if s.Seat == "" {
		return true
	}
	seat := c.Seats[s.Seat]
	return seat != nil && seat.Active == s.ID
}

// State is opening, online, active or closing (sd_session_get_state(3)).
func (c *Core) State(s *Session) string {
	switch {
	case s.Stage == Closing:
		return "closing"
	case s.Stage == Opening:
		return "opening"
	case c.IsActive(s):
		return "active"
	}
	return "online"
}

// UserState is offline, lingering, opening, online, active or closing
// (sd_uid_get_state(3)).
func (c *Core) UserState(u *User) string {
	if u.Stopping {
		return "closing"
	}
	if u.Started && !u.Ready {
		return "opening"
	}
	closing, online := false, false
	for _, s := range c.Of(u.UID) {
		switch {
		case s.manager():
		case s.Stage == Closing:
			closing = true
		case c.IsActive(s):
			return "active"
		default:
			online = true
		}
	}
	switch {
	case online:
		return "online"
	case closing:
		return "closing"
	case u.Linger:
		return "lingering"
	case !u.Pinned && slices.ContainsFunc(c.Of(u.UID), func(s *Session) bool { return s.Stage == Running }):
		return "online" // a manager that somebody has started, and nothing else
	}
	return "closing"
}

// DisplayOf is the session that stands for its user where one must be chosen: one
// that is graphical before one that is not, with a seat before without; nil for none.
func (c *Core) DisplayOf(uid uint32) *Session {
	var best *Session
	rank := func(s *Session) int {
		r := 0
		for k, yes := range []bool{s.TTY != "" || s.Seat != "", s.Graphical()} {
			if yes {
				r |= 1 << k
			}
		}
		return r
	}
	for _, s := range c.Of(uid) {
		if s.display() && s.Stage != Closing && (best == nil || rank(s) > rank(best)) {
			best = s
		}
	}
	return best
}
