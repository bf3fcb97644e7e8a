package session

import (
	"cmp"
	"maps"
	"slices"
)

// DeviceID is the number of a character device.
type DeviceID struct{ Major, Minor uint32 }

// DeviceKind says how a device is taken away from who has it open.
type DeviceKind int

const (
	// DRM devices are muted by dropping master, which can be set again.
	DRM DeviceKind = iota
	// Input and Hidraw devices are revoked for good, and opened anew.
	Input
	Hidraw
)

// Device is one whose descriptor the controller of a session has.
type Device struct {
	ID   DeviceID
	Kind DeviceKind
	// Live says that the descriptor works.
	Live bool
	// asked says that the controller was asked to pause it, and has not answered.
	asked bool
}

// maxDevices bounds what one session takes.
const maxDevices = 256

// Attached is a device of the machine, as udev assigns it to a seat.
type Attached struct {
	// Path is that below /sys, Seat the seat's name.
	Path, Seat string
	// Master says that a seat with it is there (tag master-of-seat).
	Master bool
	// Node is its character device, 0:0 for none.
	Node DeviceID
}

// ValidSeat says that a word may be the name of a seat (sd-login(3): "seat" and then
// letters, digits, - and _).
func ValidSeat(name string) bool {
	if len(name) > 255 || len(name) < 5 || name[:4] != "seat" {
		return false
	}
	for _, r := range name[4:] {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_') {
			return false
		}
	}
	return true
}

// Shared is a device that udev has just let somebody use: who, it has read in the file of
// the seat, and wrote it a moment later. Node is its file.
type Shared struct{ Seat, Node string }

// Devices are those that a session has taken, by number.
func (s *Session) Devices() []Device {
	var out []Device
	for _, d := range s.devices {
		out = append(out, *d)
	}
	slices.SortFunc(out, func(a, b Device) int {
		return cmp.Or(cmp.Compare(a.ID.Major, b.ID.Major), cmp.Compare(a.ID.Minor, b.ID.Minor))
	})
	return out
}

// attached takes in what udev says of a device.
func (c *Core) attached(e Attached) {
	if !ValidSeat(e.Seat) {
		c.detached(Detached{Path: e.Path})
		return
	}
	was, there := c.machine[e.Path]
	c.machine[e.Path] = e
	if there && was.Seat != e.Seat {
		c.takeAway(was.Node)
		c.refreshSeat(was.Seat)
	}
	c.refreshSeat(e.Seat)
}

// detached takes in that a device is gone.
func (c *Core) detached(e Detached) {
	c.takeAway(e.Node)
	was, there := c.machine[e.Path]
	if !there {
		return
	}
	delete(c.machine, e.Path)
	c.takeAway(was.Node)
	c.refreshSeat(was.Seat)
}

// shared sees to it that who has a device is who has its seat now: the seat may have
// changed hands while udev was at it. Whom somebody else lets use the device stays.
func (c *Core) shared(e Shared) {
	to := int64(-1)
	if seat := c.Seats[e.Seat]; seat != nil {
		to = seat.owner
	}
	from := slices.DeleteFunc(slices.Clone(c.owners), func(uid int64) bool { return uid == to })
	c.do(Correct{e.Node, from, to})
}

// maxOwners bounds those that are remembered: udev is at a device for moments only.
const maxOwners = 16

// takeAway ends what sessions have of a device.
func (c *Core) takeAway(node DeviceID) {
	if node == (DeviceID{}) {
		return
	}
	for _, s := range c.Sorted(func(s *Session) bool { return s.devices[node] != nil }) {
		c.pause(s, s.devices[node], "gone")
		c.drop(s, s.devices[node])
		c.changed(ASession, s.ID)
		c.switched(s.Seat)
	}
}

// refreshSeat makes a seat appear with its first master, and vanish with its last;
// seat0 always is there.
func (c *Core) refreshSeat(id string) {
	masters := 0
	for _, a := range c.machine {
		if a.Seat == id && a.Master {
			masters++
		}
	}
	seat := c.Seats[id]
	switch {
	case seat == nil && masters > 0:
		c.Seats[id] = &Seat{ID: id, Graphical: true, owner: -1}
		c.do(Appeared{ASeat, id})
		c.activate(id) // sessions of before a restart of logind, or of before udev's
	case seat == nil:
	case id != seat0 && masters == 0:
		for _, s := range c.OnSeat(id) {
			c.ended(s.ID, true)
		}
		delete(c.Seats, id)
		c.do(Vanished{ASeat, id})
	case seat.Graphical != (masters > 0):
		seat.Graphical = masters > 0
		c.changed(ASeat, id, "CanGraphical")
	}
}

func (c *Core) takeDevice(e TakeDevice) {
	s := c.controlled(e.ID, e.Client)
	refuse := func(name, format string, args ...any) { c.refuse(e.Request, name, format, args...) }
	switch {
	case s == nil:
		refuse(ErrNotInControl, "You are not in control of this session")
		return
	case s.Seat == "" || s.Seat != e.Seat:
		refuse("System.Error.ENODEV", "The device is not one of the session's seat")
		return
	case s.devices[e.Device] != nil:
		refuse("org.freedesktop.login1.DeviceIsTaken", "Device already taken")
		return
	case len(s.devices) >= maxDevices:
		refuse(errLimits, "A session takes at most %d devices", maxDevices)
		return
	}
	d := &Device{ID: e.Device, Kind: e.Kind, Live: c.inFront(s)}
	if s.devices == nil {
		s.devices = map[DeviceID]*Device{}
	}
	s.devices[d.ID] = d
	c.do(Took{s.ID, d.ID, d.Live}, Grant{Request: e.Request, Session: s.ID})
	c.changed(ASession, s.ID)
}

// restoreDevices takes over descriptors that were kept. Whether they work is not known:
// in the background they are muted now; in front, screens are made to work again, and
// input is believed to.
func (c *Core) restoreDevices(s *Session, list []Device) {
	for _, d := range list {
		if len(s.devices) >= maxDevices || s.devices[d.ID] != nil {
			continue
		}
		if s.devices == nil {
			s.devices = map[DeviceID]*Device{}
		}
		kept := &Device{ID: d.ID, Kind: d.Kind, Live: c.inFront(s)}
		s.devices[d.ID] = kept
		c.do(Kept{s.ID, d.ID, kept.Live})
	}
}

// inFront says that the devices of a session may work.
func (c *Core) inFront(s *Session) bool {
	seat := c.Seats[s.Seat]
	return seat != nil && seat.Active == s.ID && !seat.leaving && s.Stage != Closing
}

// taken is a device that the client has taken, nil after a refusal.
func (c *Core) taken(request uint64, id, client string, device DeviceID) (*Session, *Device) {
	s := c.controlled(id, client)
	if s == nil {
		c.refuse(request, ErrNotInControl, "You are not in control of this session")
		return nil, nil
	}
	d := s.devices[device]
	if d == nil {
		c.refuse(request, "org.freedesktop.login1.DeviceNotTaken", "Device not taken")
	}
	return s, d
}

func (c *Core) releaseDevice(e ReleaseDevice) {
	if s, d := c.taken(e.Request, e.ID, e.Client, e.Device); d != nil {
		c.drop(s, d)
		c.do(Grant{Request: e.Request, Session: s.ID})
		c.changed(ASession, s.ID)
		c.switched(s.Seat)
	}
}

func (c *Core) pauseComplete(e PauseComplete) {
	s, d := c.taken(e.Request, e.ID, e.Client, e.Device)
	if d == nil {
		return
	}
	c.do(Grant{Request: e.Request, Session: s.ID})
	if d.asked {
		d.asked = false
		d.Live = false
		c.do(Mute{s.ID, d.ID})
		c.switched(s.Seat)
	}
}

// pause mutes a device and tells its controller how: force or gone.
func (c *Core) pause(s *Session, d *Device, how string) {
	if d.Live || d.asked || how == "gone" {
		if d.Live {
			c.do(Mute{s.ID, d.ID})
		}
		d.Live, d.asked = false, false
		c.do(Paused{s.ID, s.Controller, d.ID, how})
	}
}

// drop forgets a device that was taken.
func (c *Core) drop(s *Session, d *Device) {
	delete(s.devices, d.ID)
	c.do(Drop{s.ID, d.ID})
}

func (c *Core) dropAll(s *Session) {
	for _, d := range s.Devices() {
		c.drop(s, s.devices[d.ID])
	}
}

// muteAll and wakeAll are for a session that leaves the front, or comes to it.
func (c *Core) muteAll(s *Session) {
	for _, d := range s.Devices() {
		c.pause(s, s.devices[d.ID], "force")
	}
}

func (c *Core) wakeAll(s *Session) {
	for _, id := range s.Devices() {
		if d := s.devices[id.ID]; !d.Live {
			d.Live = true
			c.do(Resume{s.ID, s.Controller, d.ID})
		}
	}
}

// Asleep says that a device which was to work does not: it could not be woken. It is
// tried again when the session comes to the front the next time. ID is the session's.
func (c *Core) Asleep(id string, device DeviceID) {
	if s := c.Sessions[id]; s != nil && s.devices[device] != nil {
		s.devices[device].Live = false
	}
}

// Live says whether a device that a session has taken works.
func (c *Core) Live(id string, device DeviceID) bool {
	s := c.Sessions[id]
	return s != nil && s.devices[device] != nil && s.devices[device].Live
}

// switchTo brings a session to the front of its seat: with terminals, the kernel tells
// when it is there; without, who is there now is asked to pause, and has PauseDelay.
func (c *Core) switchTo(e Switch) {
	s := c.Sessions[e.ID]
	if s == nil || s.Stage == Closing || c.Seats[s.Seat] == nil {
		c.refuse(e.Request, ErrNoSession, "No session '%s' on a seat", e.ID)
		return
	}
	seat := c.Seats[s.Seat]
	switch {
	case seat.VTs && s.VTNr == 0:
		c.refuse(e.Request, "org.freedesktop.DBus.Error.NotSupported", "The session has no terminal")
		return
	case seat.VTs:
		c.do(ShowVT{e.Request, s.VTNr})
		return
	}
	c.do(Grant{Request: e.Request, Session: s.ID})
	seat.next = ""
	if seat.Active == s.ID {
		// Who was asked to pause stays.
		for _, d := range s.devices {
			d.asked = false
		}
		c.wakeAll(s)
		return
	}
	seat.next, seat.until = s.ID, c.now.Mono+c.Limits.PauseDelay
	if was := c.Sessions[seat.Active]; was != nil {
		for _, id := range was.Devices() {
			if d := was.devices[id.ID]; d.Live && !d.asked {
				d.asked = true
				c.do(Paused{was.ID, was.Controller, d.ID, "pause"})
			}
		}
	}
	c.switched(seat.ID)
}

// switched completes a switch for which nobody is waited any more.
func (c *Core) switched(id string) {
	seat := c.Seats[id]
	if seat == nil || seat.next == "" {
		return
	}
	if was := c.Sessions[seat.Active]; was != nil && c.now.Mono < seat.until {
		for _, d := range was.devices {
			if d.asked {
				return
			}
		}
	}
	next := seat.next
	seat.next = ""
	if s := c.Sessions[next]; s != nil && s.Stage != Closing {
		c.front(seat, s)
	}
}

// front makes a session, or nobody, the active one of a seat.
func (c *Core) front(seat *Seat, next *Session) {
	was := c.Sessions[seat.Active]
	id := ""
	if next != nil {
		id = next.ID
	}
	if seat.Active == id {
		if next != nil && c.inFront(next) && seat.next == "" {
			c.wakeAll(next)
		}
		return
	}
	if was != nil {
		c.muteAll(was) // told before Active changes
	}
	before := seat.Active
	seat.Active = id
	c.changeAccess(seat)
	if next != nil && c.inFront(next) {
		c.wakeAll(next)
	}
	for _, sid := range []string{before, id} {
		if s := c.Sessions[sid]; s != nil {
			c.changed(ASession, sid, "Active", "State")
			c.changed(AUser, uidText(s.UID), "State")
		}
	}
	c.changed(ASeat, seat.ID, "ActiveSession")
}

// changeAccess hands the devices of a seat that are for whoever sits there (tag uaccess)
// from one user to the other.
func (c *Core) changeAccess(seat *Seat) {
	to := int64(-1)
	if s := c.Sessions[seat.Active]; s != nil {
		to = int64(s.UID)
	}
	if to != seat.owner {
		from := seat.owner
		seat.owner = to
		if to >= 0 {
			c.owners = append(slices.DeleteFunc(c.owners, func(uid int64) bool { return uid == to }), to)
			c.owners = slices.Delete(c.owners, 0, max(0, len(c.owners)-maxOwners))
		}
		c.do(Access{seat.ID, from, to})
	}
}

// vtLeaving is the question of the kernel whether the terminal in front may go: what
// its session has open is muted before the answer.
func (c *Core) vtLeaving() {
	seat := c.Seats[seat0]
	if !seat.VTs {
		return
	}
	seat.leaving = true
	if s := c.Sessions[seat.Active]; s != nil {
		c.muteAll(s)
	}
	c.do(LeaveVT{seat.VT})
}

// vtShown takes in which terminal is in front, said at each change.
func (c *Core) vtShown(vt uint32) {
	seat := c.Seats[seat0]
	if !seat.VTs {
		return
	}
	seat.leaving = false
	// At the start of logind nobody has switched to it.
	switched := seat.VT != vt && seat.VT != 0
	seat.VT = vt
	c.activate(seat0)
	if switched && seat.Active == "" && c.prompts(vt) {
		c.do(Prompt{vt})
	}
}

// prompts says that a login prompt belongs on a terminal nobody uses (logind.conf(5),
// NAutoVTs= and ReserveVT=).
func (c *Core) prompts(vt uint32) bool {
	if vt == 0 || vt > c.Limits.AutoVTs && vt != c.Limits.ReserveVT {
		return false
	}
	for _, s := range c.OnSeat(seat0) {
		if s.VTNr == vt {
			return false
		}
	}
	return true
}

// takeControl gives a session to a client of the bus.
func (c *Core) takeControl(e TakeControl) {
	s := c.Sessions[e.ID]
	if s == nil || s.Stage == Closing || e.Client == "" || s.Controller == e.Client || s.Controller != "" && !e.Force {
		return
	}
	if s.Controller != "" {
		c.dropAll(s) // the terminal stays as it is
	} else if c.hasVT(s) && !c.drawn(s) {
		c.do(TakeVT{s.VTNr, s.UID})
	}
	s.Controller = e.Client
	c.changed(ASession, s.ID)
	c.switched(s.Seat)
}

func (c *Core) hasVT(s *Session) bool {
	seat := c.Seats[s.Seat]
	return seat != nil && seat.VTs && s.VTNr > 0
}

// drawn says that another session on the same terminal is controlled: a greeter and who
// logs in there.
func (c *Core) drawn(s *Session) bool {
	return slices.ContainsFunc(c.OnSeat(s.Seat), func(o *Session) bool { return o != s && o.VTNr == s.VTNr && o.Controller != "" })
}

// uncontrol takes from the controller of a session what it has.
func (c *Core) uncontrol(s *Session) {
	if s.Controller == "" {
		return
	}
	c.dropAll(s)
	s.Controller = ""
	if c.hasVT(s) {
		if !c.drawn(s) {
			c.do(GiveVT{s.VTNr})
		}
	}
	c.switched(s.Seat)
}

// SeatIDs are the names of all seats, sorted.
func (c *Core) SeatIDs() []string { return slices.Sorted(maps.Keys(c.Seats)) }

// Neighbour is the session that is step places from the active one, in the order of
// terminals; "" for none. Without an active one, that is the first or the last.
func (c *Core) Neighbour(seat string, step int) string {
	var on []*Session
	for _, s := range c.OnSeat(seat) {
		if s.Stage != Closing && !s.manager() && (c.hasVT(s) || c.Seats[seat] != nil && !c.Seats[seat].VTs) {
			on = append(on, s)
		}
	}
	if len(on) == 0 {
		return ""
	}
	slices.SortStableFunc(on, func(a, b *Session) int { return cmp.Compare(a.VTNr, b.VTNr) })
	k := slices.IndexFunc(on, func(s *Session) bool { return s.ID == c.Seats[seat].Active })
	switch {
	case k < 0 && step > 0:
		return on[0].ID
	case k < 0:
		return on[len(on)-1].ID
	}
	return on[((k+step)%len(on)+len(on))%len(on)].ID
}

// setTTY and setClass change what was not known when a session was made.
func (c *Core) setTTY(e SetTTY) {
	if s := c.controlled(e.ID, e.Client); s != nil && s.TTY != e.TTY {
		s.TTY = e.TTY
		c.changed(ASession, s.ID, "TTY")
	}
}

func (c *Core) setClass(e SetClass) {
	s := c.Sessions[e.ID]
	switch {
	case s == nil || s.Stage != Running:
		c.refuse(e.Request, ErrNoSession, "No session '%s' known", e.ID)
	case e.Class != "user" || s.Class != "user-incomplete" && s.Class != "user":
		c.refuse(e.Request, errInvalid, "Class may only be set to 'user'")
	default:
		if s.Class != e.Class {
			s.Class = e.Class
			if u := c.Users[s.UID]; u != nil {
				c.beginUser(u) // the manager, which user-incomplete does not have
			}
			c.changed(ASession, s.ID, "Class")
			c.changed(AUser, uidText(s.UID), "Display")
		}
		c.do(Grant{Request: e.Request, Session: s.ID})
	}
}
