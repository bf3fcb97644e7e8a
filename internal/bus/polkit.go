package bus

import (
	"context"
	"errors"
	"time"

	"github.com/godbus/dbus/v5"
)

// polkit's name, path and interface (polkit(8), its D-Bus reference).
const (
	polkitName  = "org.freedesktop.PolicyKit1"
	polkitPath  = "/org/freedesktop/PolicyKit1/Authority"
	polkitIface = "org.freedesktop.PolicyKit1.Authority"
)

// polkitTimeout is how long somebody may think about a password.
const polkitTimeout = 120 * time.Second

type polkitSubject struct {
	Kind    string
	Details map[string]dbus.Variant
}

type polkitResult struct {
	Authorized, Challenge bool
	Details               map[string]string
}

// Authorize asks whether the caller may do what a polkit action stands for. Root
// always may. Without polkit nobody else may. It waits, perhaps for a person: use
// it in a Later. The error has the name that clients know.
func (c *Call) Authorize(action string, details map[string]string) error {
	return c.authorize(action, details, c.Interactive())
}

// AuthorizeAsking is Authorize for methods that have an argument "interactive", which
// old clients set instead of the message's flag.
func (c *Call) AuthorizeAsking(action string, interactive bool) error {
	return c.authorize(action, nil, interactive || c.Interactive())
}

func (c *Call) authorize(action string, details map[string]string, interactive bool) error {
	who, err := c.Caller()
	if err != nil {
		return err
	}
	if who.UID == 0 {
		return nil
	}
	r, err := c.polkit(who, action, details, interactive)
	switch {
	case err != nil:
		return err
	case r.Authorized:
		return nil
	case r.Challenge: // also of one who wanted to be asked, and has no agent that asks
		return Errorf(ErrInteractiveRequired, "Interactive authentication required.")
	}
	return Errorf(ErrAccessDenied, "Access denied: %s is not allowed to user %d", action, who.UID)
}

// Can says what Authorize would: "yes", "no", or "challenge" when somebody would be
// asked.
func (c *Call) Can(action string) (string, error) {
	who, err := c.Caller()
	if err != nil {
		return "", err
	}
	if who.UID == 0 {
		return "yes", nil
	}
	r, err := c.polkit(who, action, nil, false)
	switch {
	case err != nil && NameOf(err) == ErrAccessDenied:
		return "no", nil
	case err != nil:
		return "", err
	case r.Authorized:
		return "yes", nil
	case r.Challenge:
		return "challenge", nil
	}
	return "no", nil
}

func (c *Call) polkit(who *Caller, action string, details map[string]string, interactive bool) (polkitResult, error) {
	var r polkitResult
	// The bus name stands for the process that owns it, without a race; a peer
	// of a private socket is on no bus.
	subject := polkitSubject{"system-bus-name", map[string]dbus.Variant{"name": dbus.MakeVariant(who.Sender)}}
	conn := c.conn
	if who.Sender == "" {
		start, err := startTime(who.PID)
		if err != nil || !who.Alive() {
			return r, Errorf(ErrAccessDenied, "the caller is gone")
		}
		subject = polkitSubject{"unix-process", map[string]dbus.Variant{"pid": dbus.MakeVariant(uint32(who.PID)),
			"start-time": dbus.MakeVariant(start), "uid": dbus.MakeVariant(int32(who.UID))}}
		if conn = c.conn.service.onBus(); conn == nil {
			return r, Errorf(ErrAccessDenied, "polkit cannot be asked: there is no message bus")
		}
	}
	if details == nil {
		details = map[string]string{}
	}
	var flags uint32
	if interactive {
		flags = 1
	}
	ctx, cancel := context.WithTimeout(c.Context(), polkitTimeout)
	defer cancel()
	m, err := conn.call(ctx, polkitName, polkitPath, polkitIface, "CheckAuthorization", subject, action, details, flags, "")
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return r, Errorf(ErrTimeout, "nobody answered polkit's question in time")
		}
		if NameOf(err) == ErrServiceUnknown {
			return r, Errorf(ErrAccessDenied, "Access denied: polkit is not there to be asked about %s", action)
		}
		return r, Errorf(ErrAccessDenied, "Access denied: polkit says of %s: %v", action, err)
	}
	defer m.closeFDs()
	if err := dbus.Store(m.Body, &r); err != nil {
		return r, Errorf(ErrFailed, "polkit's answer is not one: %v", err)
	}
	return r, nil
}

// onBus is the connection to the bus, nil while there is none.
func (s *Service) onBus() *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.onBus {
			return c
		}
	}
	return nil
}
