package device

import (
	"errors"
	"log/slog"
	"os"
	"strconv"

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
}

// Follow opens udev's socket. Run tells of what is there, and then of every change.
func (m *Machine) Follow(log *slog.Logger, tell func(session.Event)) (*Follower, error) {
	ears, err := uevent.Listen(uevent.Udev)
	if err != nil {
		return nil, err
	}
	return &Follower{m: m, log: log, tell: tell, ears: ears, known: map[string]bool{}}, nil
}

// Close ends Run.
func (f *Follower) Close() { f.ears.Close() }

// Run follows until Close.
func (f *Follower) Run() {
	f.Scan()
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
	for path := range f.known {
		if !found[path] {
			f.tell(session.Detached{Path: path})
		}
	}
	f.known = found
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
