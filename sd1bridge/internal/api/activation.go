package api

import (
	"context"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/bus"
	"dynamod/internal/ipc"
	"dynamod/sd1bridge/internal/translate"
)

// The bus daemon's wish to have a service started (dbus-daemon(1),
// --systemd-activation).
const (
	busName        = "org.freedesktop.DBus"
	busPath        = "/org/freedesktop/DBus"
	activatorIface = prefix + "Activator"
)

// onBus is what there is while a bus is joined.
type onBus struct {
	mu     sync.Mutex
	client *bus.Client
	// wanted are the names that services take to say that they are ready.
	wanted map[string]string // the unit that wants it
}

// Joined tells the manager which of the wanted names have owners.
func (s *Server) Joined(k *bus.Client) {
	s.names.mu.Lock()
	s.names.client = k
	var wanted []string
	for n := range s.names.wanted {
		k.Follow(n)
		wanted = append(wanted, n)
	}
	s.names.mu.Unlock()
	go func() { // ends with its questions, which have a deadline
		for _, n := range wanted {
			s.lookUp(k, n)
		}
	}()
}

// Left forgets the bus. Names that its services had are lost with it.
func (s *Server) Left(error) {
	s.names.mu.Lock()
	s.names.client = nil
	var wanted []string
	for n := range s.names.wanted {
		wanted = append(wanted, n)
	}
	s.names.mu.Unlock()
	s.mu.Lock()
	clear(s.subscribers)
	s.heardBy()
	s.mu.Unlock()
	go func() { // ends with its reports, which have a deadline
		s.forget("")
		for _, n := range wanted {
			s.owned(n, false, 0)
		}
	}()
}

// want notes that a unit waits for a bus name.
func (s *Server) want(name, unit string) {
	s.names.mu.Lock()
	s.names.wanted[name] = unit
	k := s.names.client
	if k != nil {
		k.Follow(name)
	}
	s.names.mu.Unlock()
	if k != nil {
		go s.lookUp(k, name) // ends with its questions, which have a deadline
	}
}

// unwant notes that a unit waits for no name any more.
func (s *Server) unwant(unit string) {
	s.names.mu.Lock()
	defer s.names.mu.Unlock()
	for n, u := range s.names.wanted {
		if u == unit {
			delete(s.names.wanted, n)
			if s.names.client != nil {
				s.names.client.Unfollow(n)
			}
		}
	}
}

// lookUp asks the bus who owns a name, and tells the manager if somebody does.
func (s *Server) lookUp(k *bus.Client, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var pid uint32
	if err := k.Call(ctx, busName, busPath, busName, "GetConnectionUnixProcessID", []any{name}, &pid); err != nil {
		return // it has no owner: NameOwnerChanged, which is listened for already, says when it gets one
	}
	s.owned(name, true, int32(pid))
}

func (s *Server) owned(name string, owned bool, pid int32) {
	if err := s.ask(nil, ipc.VerbBusName, &ipc.BusNameArgs{Name: name, Owned: owned, PID: pid}, nil); err != nil {
		s.log.Warn("the manager was not told of a bus name", "name", name, "owned", owned, "err", err)
	}
}

// Heard gets the signals of the bus. Only the bus daemon itself is believed.
func (s *Server) Heard(m *dbus.Message) {
	member, _ := m.Headers[dbus.FieldMember].Value().(string)
	sender, _ := m.Headers[dbus.FieldSender].Value().(string)
	if sender != busName {
		return
	}
	switch member {
	case "NameOwnerChanged":
		if len(m.Body) != 3 {
			return
		}
		name, _ := m.Body[0].(string)
		now, _ := m.Body[2].(string)
		if name == "" {
			return
		}
		if name[0] == ':' {
			if now == "" {
				s.Gone(name)
			}
			return
		}
		s.names.mu.Lock()
		_, wanted := s.names.wanted[name]
		k := s.names.client
		s.names.mu.Unlock()
		switch {
		case !wanted:
		case now == "":
			go s.owned(name, false, 0) // ends with its report, which has a deadline
		case k != nil:
			go s.lookUp(k, name) // ends with its questions, which have a deadline
		}
	case "ActivationRequest":
		if iface, _ := m.Headers[dbus.FieldInterface].Value().(string); iface != activatorIface || len(m.Body) != 1 {
			return
		}
		if unit, ok := m.Body[0].(string); ok {
			select {
			case s.activations <- struct{}{}:
				go func() { // ends with the job of the unit, or after activationPatience
					defer func() { <-s.activations }()
					s.activate(unit)
				}()
			default:
				s.activationFailed(unit, bus.Errorf(bus.ErrLimitsExceeded, "Too many activations are under way."))
			}
		}
	}
}

// Bounds of activations: how many at a time, and how long one may take before its
// callers are left to the bus daemon's own timeout.
const (
	maxActivations     = 256
	activationPatience = 5 * time.Minute
)

// activate starts the unit of a bus name and says at once when that cannot be: its
// callers wait for nothing else. That it succeeded shows by the name being owned.
func (s *Server) activate(unit string) {
	ctx, cancel := context.WithTimeout(context.Background(), activationPatience)
	defer cancel()
	err := validName(unit)
	if err == nil {
		err = s.manual(nil, ipc.VerbStart, unit)
	}
	if err == nil {
		var r ipc.JobResult
		err = named(s.up.Call(ctx, ipc.VerbStart, &ipc.JobArgs{Unit: unit, Wait: true}, &r))
		if err == nil && r.Result != "" && r.Result != "done" {
			err = bus.Errorf("org.freedesktop.DBus.Error.Spawn.ChildExited", "Unit %s failed to start: %s", unit, r.Result)
		}
	}
	if err != nil {
		s.activationFailed(unit, s.asSystemd(err, ipc.VerbStart, unit))
	}
}

func (s *Server) activationFailed(unit string, err error) {
	s.log.Warn("a service could not be activated", "unit", unit, "err", err)
	s.bus.EmitTo(busName, translate.ManagerPath, activatorIface, "ActivationFailure", unit, bus.NameOf(err), err.Error())
}
