package api

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"dynamod/internal/bus"
	"dynamod/logind/internal/device"
	"dynamod/logind/internal/session"
)

// Node is a device that a session may take.
type Node interface {
	Open() (*os.File, error)
	// Mute makes all descriptors of the file useless, Wake gives one that works: the
	// same, or a new one.
	Mute(*os.File) error
	Wake(*os.File) (*os.File, error)
	// Screen says that it has to be woken after Open.
	Screen() bool
}

// Hardware is what seats have.
type Hardware interface {
	// Find looks a device up by its number; device.ErrNoDevice is none that a session
	// may take.
	Find(id session.DeviceID) (n Node, kind session.DeviceKind, seat string, err error)
	// Access moves the devices for whoever sits at a seat from one user to the other
	// (device.Machine).
	Access(seat string, from, to int64) error
	// Correct moves one device to one user from those before (device.Machine).
	Correct(node string, from []int64, to int64) error
	// Follow tells of devices that come and go, what is there first, until stop.
	Follow(tell func(session.Event)) (stop func(), err error)
	// Assign makes the device of a path below /sys one of a seat, for good; Flush
	// forgets all that was assigned.
	Assign(path, seat string) error
	Flush() error
	// Sleeps are the ways to sleep that there are now, Sleep is one of them.
	Sleeps() []string
	Sleep(verb string) error
	// RemoveIPC removes a user's IPC objects.
	RemoveIPC(uid uint32) error
	// External says that there is power from outside.
	External() bool
}

// Terminals are the virtual terminals (device.Terminals).
type Terminals interface {
	Take(vt, uid uint32) error
	Give(vt uint32) error
	Leave(vt uint32) error
	Show(vt uint32) error
	Shown() (uint32, error)
	Busy(vt uint32) (bool, error)
	Reserve(vt uint32) error
	Close()
}

// machine is the real hardware.
type machine struct {
	m   *device.Machine
	log *slog.Logger
}

func (h machine) Find(id session.DeviceID) (Node, session.DeviceKind, string, error) {
	n, err := h.m.Find(id)
	return n, n.Kind, n.Seat, err
}
func (h machine) Access(seat string, from, to int64) error { return h.m.Access(seat, from, to) }
func (h machine) Correct(node string, from []int64, to int64) error {
	return h.m.Correct(node, from, to)
}
func (h machine) Assign(path, seat string) error { return h.m.Assign(path, seat) }
func (h machine) Flush() error                   { return h.m.Flush() }
func (h machine) Sleeps() []string               { return h.m.Sleeps() }
func (h machine) Sleep(verb string) error        { return h.m.Sleep(verb) }
func (h machine) RemoveIPC(uid uint32) error     { return h.m.RemoveIPC(uid) }
func (h machine) External() bool                 { return h.m.External() }
func (h machine) Follow(tell func(session.Event)) (func(), error) {
	f, err := h.m.Follow(h.log, tell)
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() { defer close(done); f.Run() }() // ends with stop
	return func() { f.Close(); <-done }, nil
}

// handle names a device that a session has taken.
type handle struct {
	session string
	id      session.DeviceID
}

// taken is a device that is open.
type taken struct {
	node Node
	file *os.File
}

// deviceAct carries out what the core says of devices and terminals; s.mu is held.
func (s *Server) deviceAct(a session.Action) {
	switch a := a.(type) {
	case session.Took:
		t := s.taking
		s.taking = nil
		h := handle{a.ID, a.Device}
		s.taken[h] = t
		if !a.Live {
			s.mute(t)
		} else if t.node.Screen() {
			s.wake(h, t)
		}
		s.keep(h, t.file)
	case session.Kept:
		h := handle{a.ID, a.Device}
		t := s.restored[h]
		delete(s.restored, h)
		s.taken[h] = t
		if !a.Live {
			s.mute(t)
		} else if t.node.Screen() {
			s.wake(h, t)
		}
	case session.Mute:
		if t := s.taken[handle{a.ID, a.Device}]; t != nil {
			s.mute(t)
		}
	case session.Resume:
		h := handle{a.ID, a.Device}
		t := s.taken[h]
		if t == nil || !s.wake(h, t) {
			return // it stays paused for its controller
		}
		fd, err := unix.FcntlInt(t.file.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			s.log.Error("a device is not resumed", "err", err)
			return
		}
		// After the session is told to be active (org.freedesktop.login1(5)).
		s.tellAfter(func() {
			s.service.EmitTo(a.Client, string(sessionPath(a.ID)), ifacePrefix+"Session", "ResumeDevice", a.Device.Major, a.Device.Minor, dbus.UnixFD(fd))
			unix.Close(fd)
		})
	case session.Drop:
		h := handle{a.ID, a.Device}
		if t := s.taken[h]; t != nil {
			s.mute(t) // its holder may keep the descriptor
			t.file.Close()
			delete(s.taken, h)
			s.unkeep(h)
		}
	case session.Paused:
		tell := func() {
			s.service.EmitTo(a.Client, string(sessionPath(a.ID)), ifacePrefix+"Session", "PauseDevice", a.Device.Major, a.Device.Minor, a.How)
		}
		if s.owed > 0 { // its ResumeDevice may be among what is not told yet
			s.tellAfter(tell)
		} else {
			tell()
		}
	case session.ShowVT:
		s.answer(a.Request, answer{err: s.terminals.Show(a.VT)})
	case session.TakeVT:
		if s.vtFailed = s.terminals.Take(a.VT, a.UID); s.vtFailed != nil {
			s.log.Error("a terminal is not a session's alone", "vt", a.VT, "err", s.vtFailed)
		}
	case session.GiveVT:
		s.quietly("give a terminal back", s.terminals.Give(a.VT))
	case session.LeaveVT:
		s.quietly("leave a terminal", s.terminals.Leave(a.VT))
	case session.Prompt:
		s.later(func() { s.prompt(a.VT) })
	case session.RemoveIPC:
		s.later(func() { s.quietly("remove the IPC objects of a user", s.hardware.RemoveIPC(a.UID)) })
	case session.SaveSchedule:
		s.saveSchedule()
	case session.Announce:
		s.announce(a)
	case session.Logins:
		s.openLogins(a.Open)
	case session.LockAll:
		s.lockScreens()
	case session.Note:
		s.log.Info("a key, the lid or idleness", "setting", a.Setting, "result", a.Text)
	case session.Access:
		// The seat's file first: udev looks there when a device comes meanwhile.
		if seat := s.core.Seats[a.Seat]; seat != nil {
			s.writeSeat(seat)
		}
		s.quietly("change the access to devices", s.hardware.Access(a.Seat, a.From, a.To))
	case session.Correct:
		s.quietly("put the access to a device right", s.hardware.Correct(a.Node, a.From, a.To))
	}
}

func (s *Server) mute(t *taken) {
	if err := t.node.Mute(t.file); err != nil {
		s.log.Error("a device is not muted", "err", err)
	}
}

func (s *Server) wake(h handle, t *taken) bool {
	f, err := t.node.Wake(t.file)
	if err != nil {
		s.log.Error("a device does not come back", "session", h.session, "major", h.id.Major, "minor", h.id.Minor, "err", err)
		s.core.Asleep(h.session, h.id)
		return false
	}
	if f != t.file {
		t.file.Close()
		t.file = f
		s.unkeep(h)
		s.keep(h, f)
	}
	return true
}

// prompt starts a login prompt on a terminal that nobody uses.
func (s *Server) prompt(vt uint32) {
	busy, err := s.terminals.Busy(vt)
	if err != nil {
		s.log.Warn("whether a terminal is in use is not known", "vt", vt, "err", err)
	}
	if busy {
		return
	}
	s.quietly("start a login prompt", s.units.Start(s.ctx, fmt.Sprintf("autovt@tty%d.service", vt)))
}

// leaving hears the kernel ask whether the terminal in front may go.
func (s *Server) leaving() {
	s.shown()
	s.handle(session.VTLeaving{})
}

// shown hears that another terminal is in front.
func (s *Server) shown() {
	if vt, err := s.terminals.Shown(); err == nil {
		s.handle(session.VTShown{VT: vt})
	} else {
		s.log.Warn("the terminal in front is not known", "err", err)
	}
}

func deviceArg(c *bus.Call) session.DeviceID {
	return session.DeviceID{Major: c.Args[0].(uint32), Minor: c.Args[1].(uint32)}
}

func (s *Server) takeDevice(c *bus.Call, v *sessionView) error {
	if err := inControl(c, v, "You are not in control of this session"); err != nil {
		return err
	}
	id := deviceArg(c)
	node, kind, seat, err := s.hardware.Find(id)
	if errors.Is(err, device.ErrNoDevice) {
		return bus.Errorf("System.Error.ENODEV", "No such device %d:%d", id.Major, id.Minor)
	}
	if err != nil {
		return err
	}
	if seat != v.Seat { // before it is opened
		return bus.Errorf("System.Error.ENODEV", "The device is not one of the session's seat")
	}
	f, err := node.Open()
	if err != nil {
		return bus.Errorf(bus.ErrFailed, "%v", err)
	}
	t := &taken{node, f}
	ch := make(chan answer, 1)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		f.Close()
		return bus.Errorf(bus.ErrFailed, "logind is about to end")
	}
	s.request++
	s.waiting[s.request] = ch
	s.taking = t
	s.locked(session.TakeDevice{Request: s.request, ID: v.ID, Client: c.Sender(), Device: id, Kind: kind, Seat: seat})
	refused := s.taking != nil
	s.taking = nil
	fd, live := -1, s.core.Live(v.ID, id)
	if !refused {
		fd, err = unix.FcntlInt(t.file.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	}
	s.mu.Unlock()
	s.flush()
	a := <-ch
	switch {
	case refused:
		// What was opened is not given to anybody; a screen must not stay ours.
		s.mute(t)
		f.Close()
		return a.err
	case err != nil:
		s.handle(session.ReleaseDevice{ID: v.ID, Client: c.Sender(), Device: id})
		return err
	}
	defer unix.Close(fd)
	return c.Reply(dbus.UnixFD(fd), !live)
}

func (s *Server) releaseDevice(c *bus.Call, v *sessionView) error {
	_, err := s.ask(c.Context(), func(r uint64) session.Event {
		return session.ReleaseDevice{Request: r, ID: v.ID, Client: c.Sender(), Device: deviceArg(c)}
	})
	return err
}

func (s *Server) pauseDeviceComplete(c *bus.Call, v *sessionView) error {
	_, err := s.ask(c.Context(), func(r uint64) session.Event {
		return session.PauseComplete{Request: r, ID: v.ID, Client: c.Sender(), Device: deviceArg(c)}
	})
	return err
}

// isTerminal says that a terminal below /dev may have the name: tty and letters or digits,
// or hvc or pts/ and a number. Nothing else is ever opened for one.
func isTerminal(name string) bool {
	const digits, letters = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	if rest, ok := strings.CutPrefix(name, "tty"); ok {
		return strings.Trim(rest, digits+letters) == ""
	}
	for _, before := range []string{"hvc", "pts/"} {
		if rest, ok := strings.CutPrefix(name, before); ok {
			return rest != "" && strings.Trim(rest, digits) == ""
		}
	}
	return false
}

// terminalOf is the name below /dev of the terminal that a descriptor is of. What /proc
// says of it is a path where it was opened, which may be a place of its owner's making:
// the file of that name here must be the same one.
func terminalOf(fd int, root string) (string, bool) {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return "", false
	}
	name, ok := strings.CutPrefix(path, "/dev/")
	if !ok || !isTerminal(name) {
		return "", false
	}
	var given, here unix.Stat_t
	if unix.Fstat(fd, &given) != nil || unix.Lstat(filepath.Join(root, "/dev", name), &here) != nil ||
		given.Mode&unix.S_IFMT != unix.S_IFCHR || here.Mode&unix.S_IFMT != unix.S_IFCHR || given.Rdev != here.Rdev || given.Ino != here.Ino || given.Dev != here.Dev {
		return "", false
	}
	_, err = unix.IoctlGetTermios(fd, unix.TCGETS)
	return name, err == nil
}

// setTTY takes the terminal of a session from a descriptor of it.
func (s *Server) setTTY(c *bus.Call, v *sessionView) error {
	if err := inControl(c, v, "You must be in control of this session to set tty"); err != nil {
		return err
	}
	name, ok := terminalOf(int(c.Args[0].(dbus.UnixFD)), s.opts.Root)
	if !ok {
		return bus.Errorf(bus.ErrInvalidArgs, "The descriptor is none of a terminal")
	}
	s.handle(session.SetTTY{ID: v.ID, Client: c.Sender(), TTY: name})
	return nil
}

// neighbour switches to the next session of a seat in the order of terminals, or the one
// before.
func (s *Server) neighbour(step int) func(*bus.Call) error {
	return func(c *bus.Call) error {
		v := c.Object.(*seatView)
		return s.authorize(c, nobody, "org.freedesktop.login1.chvt", func() error {
			s.mu.Lock()
			id := s.core.Neighbour(v.ID, step)
			s.mu.Unlock()
			if id == "" {
				return nil // nobody is there
			}
			return s.bring(c, id)
		})
	}
}

// bring brings a session to the front of its seat.
func (s *Server) bring(c *bus.Call, id string) error {
	_, err := s.ask(c.Context(), func(r uint64) session.Event { return session.Switch{Request: r, ID: id} })
	return err
}

func (s *Server) attachDevice(c *bus.Call) error {
	seat, path := c.Args[0].(string), c.Args[1].(string)
	if !session.ValidSeat(seat) {
		return bus.Errorf(bus.ErrInvalidArgs, "Seat name %s is not valid", seat)
	}
	if rest, ok := strings.CutPrefix(path, "/sys/"); !ok || filepath.Clean(path) != path || !filepath.IsLocal(rest) {
		return bus.Errorf(bus.ErrInvalidArgs, "Path %s is not in /sys", path)
	}
	return bus.Later(func() error {
		if err := c.AuthorizeAsking("org.freedesktop.login1.attach-device", c.Args[2].(bool)); err != nil {
			return err
		}
		err := s.hardware.Assign(strings.TrimPrefix(path, "/sys"), seat)
		if errors.Is(err, device.ErrNoPath) { // in systemd 257's words
			return bus.Errorf("System.Error.ENODEV", "Failed to open device '%s': No such device", path)
		}
		if errors.Is(err, device.ErrNoDevice) {
			return bus.Errorf("System.Error.ENODEV", "%s is no device that can be assigned to a seat", path)
		}
		return err
	})
}

func (s *Server) flushDevices(c *bus.Call) error {
	return bus.Later(func() error {
		if err := c.AuthorizeAsking("org.freedesktop.login1.flush-devices", c.Args[0].(bool)); err != nil {
			return err
		}
		return s.hardware.Flush()
	})
}
