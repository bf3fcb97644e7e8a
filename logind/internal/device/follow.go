package device

import (
	"errors"
	"log/slog"
	"os"
	"strconv"
	"sync"

	"dynamod/internal/sys/uevent"
	"dynamod/logind/internal/session"
)

// Follower hears of the devices of seats.
type Follower struct {
	m     *Machine
	log   *slog.Logger
	tell  func(session.Event)
	ears  *uevent.Listener
	known map[string]bool

	work sync.WaitGroup
	mu   sync.Mutex
	// boxes are the devices whose keys and switches are heard, lid what was told last.
	// attending says that Ctrl+Alt+Shift+Esc is heard.
	boxes     map[string]*switchBox
	lid       session.Lid
	attending bool
}

func newFollower(m *Machine, log *slog.Logger, tell func(session.Event)) *Follower {
	return &Follower{m: m, log: log, tell: tell, known: map[string]bool{}, boxes: map[string]*switchBox{}, lid: session.Lid{Displays: -1}}
}

// Follow opens udev's socket, and tells of what is there. Run then tells of every change.
func (m *Machine) Follow(log *slog.Logger, tell func(session.Event)) (*Follower, error) {
	ears, err := uevent.Listen(uevent.Udev)
	if err != nil {
		return nil, err
	}
	f := newFollower(m, log, tell)
	f.ears = ears
	m.mu.Lock()
	f.attending = m.attend
	m.follower = f
	m.mu.Unlock()
	f.Scan()
	return f, nil
}

// Close ends Run, and all that it has begun. Call it once Run has been called.
func (f *Follower) Close() { f.ears.Close() }

// Run follows until Close.
func (f *Follower) Run() {
	defer func() {
		for _, b := range f.boxes {
			b.file.Close()
		}
		f.work.Wait()
	}()
	for {
		e, _, dropped, err := f.ears.Next()
		if dropped > 0 {
			f.log.Warn("messages that are not about devices, or not from root, were dropped", "count", dropped)
		}
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case errors.Is(err, uevent.ErrLost):
			f.log.Warn("messages about devices were lost: looking at all of them again")
			f.Scan()
			f.shared()
		case err != nil:
			f.log.Error("devices are not followed any more", "err", err)
			return
		default:
			f.Event(e)
		}
	}
}

// Scan looks at all devices of the database; those that are known and not there are gone.
func (f *Follower) Scan() {
	found := map[string]bool{}
	err := f.m.db.Tagged(seatTag, func(path string, dev uevent.Device) {
		if dev.Has(seatTag) {
			found[path] = true
			f.tell(attached(path, &dev))
		}
	})
	if err != nil {
		f.log.Error("the devices of seats are not known", "err", err)
	}
	switches := map[string]bool{}
	err = f.m.db.Tagged(powerTag, func(path string, dev uevent.Device) {
		if dev.Has(powerTag) {
			switches[path] = true
			f.listen(path, &dev)
		}
	})
	if err != nil {
		f.log.Error("the keys of the machine are not known", "err", err)
	}
	for path := range f.boxes {
		if !switches[path] {
			f.forget(path)
		}
	}
	f.around()
	for path := range f.known {
		if !found[path] {
			f.tell(session.Detached{Path: path})
		}
	}
	f.known = found
}

// shared tells of everything that udev may have let somebody use meanwhile.
func (f *Follower) shared() {
	err := f.m.db.Tagged(uaccessTag, func(_ string, dev uevent.Device) {
		if node := f.m.shared(&dev); node != "" {
			f.tell(session.Shared{Seat: seatOf(&dev), Node: node})
		}
	})
	if err != nil {
		f.log.Error("the devices for who sits at a seat are not known", "err", err)
	}
}

// Event takes one message of udev.
func (f *Follower) Event(e uevent.Event) {
	dev := e.Device()
	if old := e.Props["DEVPATH_OLD"]; e.Action == "move" && f.known[old] {
		delete(f.known, old)
		f.tell(session.Detached{Path: old})
	}
	switch {
	case e.Action == "remove":
		f.forget(e.DevPath)
	case dev.Has(powerTag):
		f.listen(e.DevPath, &dev)
	}
	if sub := e.Props["SUBSYSTEM"]; sub == "power_supply" || sub == "drm" || dev.Has(powerTag) {
		f.around()
	}
	if node := f.m.shared(&dev); node != "" && e.Action != "remove" {
		f.tell(session.Shared{Seat: seatOf(&dev), Node: node})
	}
	switch {
	case e.Action == "remove":
		delete(f.known, e.DevPath)
		f.tell(session.Detached{Path: e.DevPath, Node: nodeOf(&dev)})
	case dev.Has(seatTag):
		f.known[e.DevPath] = true
		f.tell(attached(e.DevPath, &dev))
	case f.known[e.DevPath]:
		delete(f.known, e.DevPath)
		f.tell(session.Detached{Path: e.DevPath})
	}
}

func attached(path string, dev *uevent.Device) session.Attached {
	return session.Attached{Path: path, Seat: seatOf(dev), Master: dev.Has(masterTag), Node: nodeOf(dev)}
}

// nodeOf is the number of a device's character device, 0:0 for none.
func nodeOf(dev *uevent.Device) session.DeviceID {
	major, err1 := strconv.ParseUint(dev.Props["MAJOR"], 10, 32)
	minor, err2 := strconv.ParseUint(dev.Props["MINOR"], 10, 32)
	if err1 != nil || err2 != nil || dev.Props["SUBSYSTEM"] == "block" {
		return session.DeviceID{}
	}
	return session.DeviceID{Major: uint32(major), Minor: uint32(minor)}
}
