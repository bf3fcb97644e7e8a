package api

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"

	"dynamod/internal/bus"
	"dynamod/logind/internal/session"
)

// Store keeps descriptors for the logind that comes after this one (sd_notify(3),
// FDSTORE=1).
type Store interface {
	Keep(name string, f *os.File) error
	Forget(name string) error
}

// keptName is the name under which the descriptor of a device is kept.
func (h handle) keptName() string {
	return "session-" + h.session + "-device-" + strconv.FormatUint(uint64(h.id.Major), 10) + "-" + strconv.FormatUint(uint64(h.id.Minor), 10)
}

// parseKept is the reverse of keptName.
func parseKept(name string) (handle, bool) {
	rest, ok1 := strings.CutPrefix(name, "session-")
	id, numbers, ok2 := strings.Cut(rest, "-device-")
	a, b, ok3 := strings.Cut(numbers, "-")
	major, err1 := strconv.ParseUint(a, 10, 32)
	minor, err2 := strconv.ParseUint(b, 10, 32)
	h := handle{id, session.DeviceID{Major: uint32(major), Minor: uint32(minor)}}
	return h, ok1 && ok2 && ok3 && id != "" && err1 == nil && err2 == nil && h.keptName() == name
}

func (s *Server) keep(h handle, f *os.File) {
	if s.opts.Store != nil {
		s.quietly("keep a device over a restart", s.opts.Store.Keep(h.keptName(), f))
	}
}

func (s *Server) unkeep(h handle) {
	if s.opts.Store != nil {
		s.quietly("keep a device no longer", s.opts.Store.Forget(h.keptName()))
	}
}

// keptOf opens what was kept of a session's devices; they wait in s.restored for the core.
func (s *Server) keptOf(id string) []session.Device {
	var out []session.Device
	for name, f := range s.opts.Kept {
		h, ok := parseKept(name)
		if !ok || h.session != id {
			continue
		}
		node, kind, seat, err := s.hardware.Find(h.id)
		if err != nil || seat == "" {
			continue // it was unplugged meanwhile
		}
		delete(s.opts.Kept, name)
		s.restored[h] = &taken{node, f}
		out = append(out, session.Device{ID: h.id, Kind: kind})
	}
	return out
}

// dropKept lets go of what nobody has taken over.
func (s *Server) dropKept() {
	for name, f := range s.opts.Kept {
		s.log.Info("a descriptor that was kept belongs to nobody", "name", name)
		f.Close()
		if s.opts.Store != nil {
			s.quietly("keep a device no longer", s.opts.Store.Forget(name))
		}
	}
	for h, t := range s.restored {
		s.mute(t)
		t.file.Close()
		s.unkeep(h)
	}
	s.opts.Kept, s.restored = nil, nil
}

// patience bounds a question to the bus.
const patience = 10 * time.Second

// Met sees whether those who have control of sessions are on the bus that was met: the
// names of another bus, or of one that was started anew, are others'. It comes before
// anybody there can ask for control, so that nobody loses what was just given.
func (s *Server) Met(c *bus.Client) {
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	const dbusName, dbusPath = "org.freedesktop.DBus", "/org/freedesktop/DBus"
	var id string
	if err := c.Call(ctx, dbusName, dbusPath, dbusName, "GetId", nil, &id); err != nil {
		s.quietly("ask the bus who it is", err)
	}
	s.mu.Lock()
	same := id != "" && id == s.bus
	s.bus = id
	var names []string
	for _, x := range s.all() {
		if x.Controller != "" {
			names = append(names, x.Controller)
		}
	}
	s.mu.Unlock()
	for _, n := range names {
		has := false
		if same {
			c.Follow(n)
			if err := c.Call(ctx, dbusName, dbusPath, dbusName, "NameHasOwner", []any{n}, &has); err != nil {
				s.quietly("ask the bus for the controller of a session", err)
			}
		}
		if !has {
			s.handle(session.ClientGone{Client: n})
		}
	}
}
