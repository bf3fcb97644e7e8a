package session

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Names of errors (org.freedesktop.login1(5)).
const (
	ErrNoSession    = "org.freedesktop.login1.NoSuchSession"
	ErrNoSeat       = "org.freedesktop.login1.NoSuchSeat"
	ErrDenied       = "org.freedesktop.DBus.Error.AccessDenied"
	ErrProgress     = "org.freedesktop.login1.OperationInProgress"
	errInvalid      = "org.freedesktop.DBus.Error.InvalidArgs"
	errLimits       = "org.freedesktop.DBus.Error.LimitsExceeded"
	ErrBusy         = "System.Error.EBUSY"
	ErrNotInControl = "org.freedesktop.login1.NotInControl"
	errNotAllowed   = "org.freedesktop.DBus.Error.AccessDenied"
)

// The words of type= and class= of pam_systemd(8) in systemd 257.
var (
	types   = []string{"unspecified", "tty", "x11", "wayland", "mir", "web"}
	classes = []string{"user", "user-early", "user-incomplete", "greeter", "lock-screen",
		"background", "background-light", "manager", "manager-early"}
)

// Handle takes in what happened and says what to do.
func (c *Core) Handle(now Now, e Event) []Action {
	c.now, c.out = now, nil
	switch e := e.(type) {
	case Create:
		c.create(e)
	case Restore:
		c.restore(e)
	case Opened:
		c.opened(e)
	case UserOpened:
		c.userOpened(e)
	case UserClosed:
		c.userClosed(e.UID)
	case Ended:
		c.ended(e.ID, false)
	case Terminate:
		c.ended(e.ID, true)
	case Emptied:
		if s := c.Sessions[e.ID]; s != nil && s.scoped {
			s.scoped = false
			c.ended(e.ID, false)
		}
	case VTShown:
		c.vtShown(e.VT)
	case SetIdle:
		if s := c.Sessions[e.ID]; s != nil && s.Idle != e.Idle {
			s.Idle, s.IdleSince = e.Idle, now
			idle := []string{"IdleHint", "IdleSinceHint", "IdleSinceHintMonotonic"}
			c.changed(ASession, s.ID, idle...)
			c.changed(AUser, uidText(s.UID), idle...)
			c.seatChanged(s.Seat, idle...)
			c.changed(AManager, "", idle...)
		}
	case SetLocked:
		if s := c.Sessions[e.ID]; s != nil && s.Locked != e.Locked {
			s.Locked = e.Locked
			c.changed(ASession, s.ID, "LockedHint")
		}
	case SetLinger:
		c.setLinger(e)
	case TakeControl:
		c.takeControl(e)
	case ReleaseControl:
		c.releaseControl(e.ID, e.Client)
	case ClientGone:
		for _, s := range c.Sorted(func(s *Session) bool { return s.Controller == e.Client }) {
			c.releaseControl(s.ID, e.Client)
		}
	case Attached:
		c.attached(e)
	case Detached:
		c.detached(e)
	case Shared:
		c.shared(e)
	case TakeDevice:
		c.takeDevice(e)
	case ReleaseDevice:
		c.releaseDevice(e)
	case PauseComplete:
		c.pauseComplete(e)
	case Switch:
		c.switchTo(e)
	case VTLeaving:
		c.vtLeaving()
	case SetType:
		if s := c.controlled(e.ID, e.Client); s != nil && IsType(e.Type) && s.Type != e.Type {
			s.Type = e.Type
			c.typeChanged(s)
		}
	case SetTTY:
		c.setTTY(e)
	case SetClass:
		c.setClass(e)
	case SetDisplay:
		if s := c.controlled(e.ID, e.Client); s != nil && s.Graphical() && s.Display != e.Display {
			s.Display = e.Display
			c.changed(ASession, s.ID, "Display")
		}
	case Inhibit:
		c.inhibit(e)
	case InhibitorGone:
		c.inhibitorGone(e.ID)
	case Power:
		c.power(e)
	case PowerDone:
		c.powerDone()
	case Schedule:
		c.schedule(e)
	case CancelSchedule:
		c.cancelSchedule(e)
	case Key:
		c.key(e)
	case Attention:
		c.attention(e.Seat)
	case Lid:
		c.setLid(e)
	case Sleeps:
		c.Sleeps = e.Verbs
	case Tick:
		c.tick()
	default:
		panic(fmt.Sprintf("unknown event %T", e))
	}
	return c.out
}

func (c *Core) do(a ...Action) { c.out = append(c.out, a...) }

func (c *Core) changed(k Kind, id string, names ...string) {
	c.do(Changed{k, id, names})
}

// seatChanged is changed for a seat that may be gone, or none.
func (c *Core) seatChanged(id string, names ...string) {
	if c.Seats[id] != nil {
		c.changed(ASeat, id, names...)
	}
}

func uidText(uid uint32) string { return strconv.FormatUint(uint64(uid), 10) }

func (c *Core) refuse(request uint64, name, format string, args ...any) {
	c.do(Refuse{request, name, fmt.Sprintf(format, args...)})
}

// terminalVT is the number of the virtual terminal that a terminal is, 0 for another.
// pam_systemd names only the terminal when somebody logs in at one (recorded).
func terminalVT(tty string) uint32 {
	digits, ok := strings.CutPrefix(strings.TrimPrefix(tty, "/dev/"), "tty")
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || n < 1 || n > maxVT || strconv.FormatUint(n, 10) != digits {
		return 0
	}
	return uint32(n)
}

// maxVT is the last virtual terminal (MAX_NR_CONSOLES, linux/vt.h).
const maxVT = 63

func (c *Core) create(e Create) {
	s := e.Session
	refuse := func(name, format string, args ...any) { c.refuse(e.Request, name, format, args...) }
	if s.Type == "" {
		s.Type = "unspecified"
	}
	if s.Class == "" {
		s.Class = "user"
		if s.Type == "unspecified" {
			s.Class = "background"
		}
	}
	if vt := terminalVT(s.TTY); vt > 0 && c.Seats[seat0] != nil && c.Seats[seat0].VTs {
		switch {
		case s.Seat != "" && s.Seat != seat0:
			refuse(errInvalid, "TTY %s is virtual console but seat %s is not seat0", s.TTY, s.Seat)
			return
		case s.VTNr != 0 && s.VTNr != vt:
			refuse(errInvalid, "Specified TTY and VT number do not match")
			return
		}
		s.Seat, s.VTNr = seat0, vt
	}
	seat := c.Seats[s.Seat]
	switch {
	case !slices.Contains(types, s.Type):
		refuse(errInvalid, "Invalid session type %s", s.Type)
		return
	case !slices.Contains(classes, s.Class):
		refuse(errInvalid, "Invalid session class %s", s.Class)
		return
	case s.Leader <= 0:
		refuse(errInvalid, "Leader PID is not set or invalid")
		return
	case s.Seat != "" && seat == nil:
		refuse(ErrNoSeat, "No seat '%s' known", s.Seat)
		return
	case len(c.Sessions) >= c.Limits.Sessions:
		refuse(errLimits, "Maximum number of sessions (%d) reached, refusing further sessions.", c.Limits.Sessions)
		return
	}
	if seat == nil && s.VTNr > 0 {
		refuse(errInvalid, "A VT number is given, but no seat")
		return
	}
	if seat != nil {
		switch {
		case seat.VTs && s.VTNr > maxVT:
			refuse(errInvalid, "VT number out of range")
			return
		case !seat.VTs && s.VTNr > 0:
			refuse(errInvalid, "Seat has no VTs but VT number not 0")
			return
		case seat.VTs && s.VTNr == 0 && !s.manager() && s.Type != "unspecified":
			refuse(errInvalid, "Seat has VTs but VT number is 0")
			return
		}
		for _, o := range c.OnSeat(s.Seat) {
			if s.VTNr > 0 && o.VTNr == s.VTNr && o.Stage != Closing && o.Class != "greeter" {
				refuse(ErrBusy, "Already occupied by a session")
				return
			}
		}
	}
	s.ID = c.freeID(s.Audit)
	s.Created, s.Stage, s.request = c.now, Opening, e.Request
	s.Controller, s.Idle, s.Locked, s.Original, s.devices = "", false, false, s.Type, nil
	s.IdleSince = c.now
	c.Sessions[s.ID] = &s
	u := c.Users[s.UID]
	if u == nil {
		u = &User{UID: s.UID, GID: e.GID, Name: s.User, Since: c.now}
		c.Users[s.UID] = u
		c.do(Appeared{AUser, uidText(s.UID)})
	}
	u.StopAt = 0
	c.activate(s.Seat)
	c.do(Appeared{ASession, s.ID})
	c.changed(ASession, s.ID)
	c.seatChanged(s.Seat, "Sessions")
	if s.manager() {
		// It is the user's manager itself that asks: everything it needs is under
		// way, and waiting for it would wait for ourselves.
		c.grant(&s)
		return
	}
	u.Pinned = true
	c.beginUser(u)
	if u.Ready && !u.Stopping {
		c.open(&s)
	}
	c.changed(AUser, uidText(s.UID), "Sessions", "State", "Display")
}

// restore takes over a session that runs: its user's units and its scope are there. Its
// controller is believed to be there too, until ClientGone says otherwise.
func (c *Core) restore(e Restore) {
	s := e.Session
	if c.Sessions[s.ID] != nil {
		return
	}
	if s.Original == "" {
		s.Original = s.Type
	}
	if s.Controller == "" {
		s.Type = s.Original
	}
	s.Stage, s.scoped, s.IdleSince, s.devices = Running, s.HasScope(), c.now, nil
	c.Sessions[s.ID] = &s
	u := c.Users[s.UID]
	if u == nil {
		u = &User{UID: s.UID, GID: e.GID, Name: s.User, Since: s.Created, Started: true, Ready: true}
		c.Users[s.UID] = u
		c.do(Appeared{AUser, uidText(s.UID)})
	}
	u.Pinned = u.Pinned || s.pins()
	if u.Ready {
		u.Managed = u.Managed || s.WantsManager()
	} else {
		c.beginUser(u) // somebody else came before: the answer to that may be without a manager
	}
	c.do(Appeared{ASession, s.ID})
	if s.Controller != "" && c.hasVT(&s) && !c.drawn(&s) {
		c.do(TakeVT{s.VTNr, s.UID})
	}
	c.activate(s.Seat)
	if s.Controller != "" {
		c.restoreDevices(&s, e.Devices)
	}
	c.changed(AUser, uidText(s.UID))
	c.collect(u)
}

// beginUser starts a user's units, now or after they have stopped: the manager when
// somebody wants one, which may be later than the rest.
func (c *Core) beginUser(u *User) {
	managed := u.Linger || slices.ContainsFunc(c.Of(u.UID), (*Session).WantsManager)
	if u.Stopping || u.Started && (u.Managed || !managed) {
		return
	}
	u.Started, u.Managed, u.Ready = true, managed, false
	c.do(OpenUser{u.UID, managed})
}

// freeID is the audit session's number, or "c" and a number where there is none or
// where it is taken.
func (c *Core) freeID(audit uint32) string {
	if audit != 0 && audit != 1<<32-1 {
		if id := uidText(audit); c.Sessions[id] == nil {
			return id
		}
	}
	for {
		c.counter++
		if id := "c" + strconv.FormatUint(c.counter, 10); c.Sessions[id] == nil {
			return id
		}
	}
}

func (c *Core) grant(s *Session) {
	s.Stage = Running
	c.do(Grant{Request: s.request, Session: s.ID})
	s.request = 0
	c.changed(ASession, s.ID, "State", "Active")
	c.changed(AUser, uidText(s.UID), "State", "Display", "Sessions")
}

func (c *Core) userOpened(e UserOpened) {
	uid := e.UID
	u := c.Users[uid]
	if u == nil || !u.Started || u.Ready || e.Manager != u.Managed { // a later answer is under way
		return
	}
	u.Ready = true
	for _, s := range c.Of(uid) {
		if s.Stage == Opening && !s.opening {
			c.open(s)
		}
	}
	c.changed(AUser, uidText(uid), "State")
	c.collect(u)
}

func (c *Core) opened(e Opened) {
	s := c.Sessions[e.ID]
	if s == nil || !s.opening {
		return
	}
	s.opening, s.scoped = false, e.Error == "" && s.HasScope()
	if s.Stage == Closing { // it ended meanwhile
		if s.scoped {
			c.do(StopScope{s.ID})
		} else {
			c.remove(s)
		}
		return
	}
	if e.Error != "" {
		c.refuse(s.request, "org.freedesktop.DBus.Error.Failed", "%s", e.Error)
		s.request = 0
		c.ended(s.ID, true)
		return
	}
	c.grant(s)
}

// open orders what a session itself needs.
func (c *Core) open(s *Session) {
	s.opening = true
	c.do(Open{s.ID, s.Scope()})
}

// ended begins the end of a session. With kill, what is in its scope goes too.
func (c *Core) ended(id string, kill bool) {
	s := c.Sessions[id]
	if s == nil {
		return
	}
	if s.Stage != Closing {
		if s.request != 0 {
			c.refuse(s.request, "org.freedesktop.DBus.Error.Failed", "The session ended before it was there")
			s.request = 0
		}
		s.Stage = Closing
		c.uncontrol(s)
		c.do(Forget{id})
		if !kill && s.scoped {
			c.do(Abandon{id})
		}
		c.changed(ASession, id, "State", "Active")
		c.activate(s.Seat)
	}
	switch {
	case s.opening && s.HasScope(): // Opened decides
	case !s.scoped:
		c.remove(s)
	case kill:
		c.do(StopScope{id})
	}
	if u := c.Users[s.UID]; u != nil {
		c.collect(u)
		c.changed(AUser, uidText(s.UID), "State", "Display", "Sessions")
	}
}

// remove forgets a session of which nothing is left.
func (c *Core) remove(s *Session) {
	if c.Sessions[s.ID] != s {
		return
	}
	delete(c.Sessions, s.ID)
	c.do(Vanished{ASession, s.ID})
	c.activate(s.Seat)
	c.seatChanged(s.Seat, "Sessions")
	if u := c.Users[s.UID]; u != nil {
		c.changed(AUser, uidText(s.UID), "State", "Display", "Sessions")
		c.collect(u)
	}
}

// collect sees whether a user has a reason to stay.
func (c *Core) collect(u *User) {
	if u.Linger || slices.ContainsFunc(c.Of(u.UID), (*Session).pins) {
		u.StopAt = 0
		return
	}
	switch {
	case u.Stopping || u.Started && !u.Ready: // told when that is done
	case !u.Started:
		if len(c.Of(u.UID)) == 0 {
			delete(c.Users, u.UID)
			c.do(Vanished{AUser, uidText(u.UID)})
			// Not before: what was left running at logout may go on, and needs them.
			if c.Limits.RemoveIPC && u.UID >= firstUser && u.UID != nobodyID {
				c.do(RemoveIPC{u.UID})
			}
		}
	case u.StopAt == 0:
		u.StopAt = c.now.Mono + c.Limits.UserStopDelay
	}
}

func (c *Core) userClosed(uid uint32) {
	u := c.Users[uid]
	if u == nil || !u.Stopping {
		return
	}
	u.Stopping, u.Started, u.Managed, u.Ready = false, false, false, false
	if u.Linger || slices.ContainsFunc(c.Of(uid), (*Session).pins) {
		c.beginUser(u) // somebody came while it was closing
		return
	}
	// What was left running at logout may go on (KillUserProcesses=no).
	for _, s := range c.Of(uid) {
		if s.manager() {
			c.ended(s.ID, true)
		}
	}
	if c.Users[uid] == u {
		c.collect(u)
	}
}

// firstUser is the first number of a person (login.defs(5), UID_MIN), nobodyID that of
// nobody; objects of system users are their services'.
const (
	firstUser = 1000
	nobodyID  = 65534
)

func (c *Core) setLinger(e SetLinger) {
	u := c.Users[e.UID]
	if u == nil {
		if !e.Linger {
			return
		}
		u = &User{UID: e.UID, GID: e.GID, Name: e.Name, Since: c.now}
		c.Users[e.UID] = u
		c.do(Appeared{AUser, uidText(e.UID)})
	}
	u.Linger = e.Linger
	if e.Linger {
		c.beginUser(u)
	}
	c.collect(u)
	if c.Users[e.UID] == u {
		c.changed(AUser, uidText(e.UID), "Linger", "State")
	}
}

func (c *Core) releaseControl(id, client string) {
	if s := c.Sessions[id]; s != nil && s.Controller == client && client != "" {
		c.uncontrol(s)
		c.changed(ASession, id)
		if s.Type != s.Original {
			s.Type = s.Original
			c.typeChanged(s)
		}
	}
}

// controlled is the session if the client has control of it, else nil.
func (c *Core) controlled(id, client string) *Session {
	if s := c.Sessions[id]; s != nil && client != "" && s.Controller == client {
		return s
	}
	return nil
}

// typeChanged tells of a new type, which may make another session stand for the user.
func (c *Core) typeChanged(s *Session) {
	c.changed(ASession, s.ID, "Type")
	c.changed(AUser, uidText(s.UID), "Display")
}

// IsType says that a word is the type of a session.
func IsType(word string) bool { return slices.Contains(types, word) }

// activate chooses the active session of a seat: with terminals, the one on the
// terminal in front; without, the one that is, as long as it lasts, then the one that
// is to follow it, then the oldest.
func (c *Core) activate(id string) {
	seat := c.Seats[id]
	if seat == nil {
		return
	}
	var next *Session
	for _, s := range c.OnSeat(id) {
		switch {
		case s.Stage == Closing || s.manager():
		case seat.VTs && s.VTNr != seat.VT || seat.VTs && s.VTNr == 0:
		case !seat.VTs && next != nil && next.ID == seat.Active: // it stays
		case next == nil, !seat.VTs && (s.ID == seat.Active || s.ID == seat.next), seat.VTs:
			next = s // the newest on a terminal: a login after its greeter
		}
	}
	if next == nil || next.ID == seat.next {
		seat.next = ""
	}
	c.front(seat, next)
}

// Deadline is when Tick is due, in microseconds since boot; 0 for never.
func (c *Core) Deadline() int64 {
	var d int64
	at := func(t int64) {
		if t != 0 && (d == 0 || t < d) {
			d = t
		}
	}
	for _, u := range c.Users {
		if !u.Stopping {
			at(u.StopAt)
		}
	}
	if t := c.Pending; t != nil && !t.running {
		at(t.until)
	}
	for _, seat := range c.Seats {
		if seat.next != "" {
			at(seat.until)
		}
	}
	for _, since := range c.pressed {
		at(since + longPress)
	}
	if c.Lid.Closed && c.now.Mono < c.holdoff {
		at(c.holdoff)
	}
	at(c.scheduleDeadline())
	at(c.idleDue())
	for _, s := range c.Sessions {
		at(c.stopDue(s))
	}
	return d
}

func (c *Core) tick() {
	var due []*User
	for _, u := range c.Users {
		if u.StopAt != 0 && u.StopAt <= c.now.Mono && !u.Stopping {
			due = append(due, u)
		}
	}
	slices.SortFunc(due, func(a, b *User) int { return int(int64(a.UID) - int64(b.UID)) })
	for _, u := range due {
		u.StopAt, u.Stopping = 0, true
		c.do(CloseUser{u.UID})
		c.changed(AUser, uidText(u.UID), "State")
	}
	for _, id := range c.SeatIDs() {
		c.switched(id)
	}
	c.keysTick()
	if c.holdoff != 0 && c.now.Mono >= c.holdoff {
		c.holdoff = 0
		c.lid()
	}
	c.scheduleTick()
	c.idleTick()
	c.powerTick()
}
