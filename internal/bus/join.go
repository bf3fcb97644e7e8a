package bus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/godbus/dbus/v5"
)

// The bus daemon's own name, path and interface.
const (
	busName = "org.freedesktop.DBus"
	busPath = "/org/freedesktop/DBus"
)

// Bus says which message bus to join, and as whom.
type Bus struct {
	// Address is the path of its socket (/run/dbus/system_bus_socket).
	Address string
	// Names are the well-known names to own. A name that somebody else has is
	// an error: two of us would answer by turns.
	Names []string
	// Heard gets the signals that are sent to us, and those of Follow. It may be called by
	// several goroutines at a time.
	Heard func(*dbus.Message)
	// Met is called when the bus has greeted us and names are not owned yet: nobody can
	// have asked for anything. Joined is called when they are, Left when the bus is lost.
	Met    func(*Client)
	Joined func(*Client)
	Left   func(error)
	// Wake, if not nil, ends a wait for the next try.
	Wake <-chan struct{}
}

// Client calls others on the bus that was joined. It fails once the bus is lost.
type Client struct{ c *conn }

// retry is the longest wait between two tries to join; it begins with retryFirst
// and doubles.
const (
	retryFirst = 100 * time.Millisecond
	retryLast  = 5 * time.Second
)

// Join keeps the Service on the bus until it is closed: it joins when the bus
// appears and again when it has restarted. Private sockets are not concerned.
func (s *Service) Join(b Bus) {
	if !s.begin() {
		return
	}
	defer s.ended.Done()
	wait, said := retryFirst, ""
	for {
		begun := time.Now()
		err := s.joinOnce(b)
		if s.ctx.Err() != nil {
			return
		}
		if time.Since(begun) > retryLast {
			wait = retryFirst
		}
		if text := err.Error(); text != said {
			said = text
			s.log.Info("the bus is not joined", "address", b.Address, "err", err)
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
			wait = min(2*wait, retryLast)
		case <-b.Wake:
			wait = retryFirst
		case <-s.ctx.Done():
		}
		t.Stop()
	}
}

func (s *Service) joinOnce(b Bus) error {
	var d net.Dialer
	raw, err := d.DialContext(s.ctx, "unix", b.Address)
	if err != nil {
		return err
	}
	nc := raw.(*net.UnixConn)
	defer nc.Close()
	if err := authenticate(nc); err != nil {
		return err
	}
	socket, err := quieten(nc)
	if err != nil {
		return err
	}
	defer socket.Close()
	c := s.newConn(newStream(socket))
	c.onBus = true
	c.heard = b.Heard
	// The greeting waits for answers, which the connection must read meanwhile.
	greeted := make(chan error, 1)
	go func() { // ends when c does, at the latest
		err := c.greet(b)
		if err != nil {
			c.close(err)
		} else {
			c.add()
			if b.Joined != nil {
				b.Joined(&Client{c})
			}
		}
		greeted <- err
	}()
	s.ended.Add(1)
	go func() { // ends with the stream
		defer s.ended.Done()
		c.writeLoop()
	}()
	stop := context.AfterFunc(s.ctx, func() { c.close(errClosed) })
	err = c.run()
	stop()
	e := <-greeted
	s.remove(c) // it may have been added after its end
	s.callers.clear()
	if e != nil {
		return e
	}
	if b.Left != nil {
		b.Left(err)
	}
	return fmt.Errorf("the bus is lost: %w", err)
}

const joinTimeout = 10 * time.Second

// greet says Hello and asks for names.
func (c *conn) greet(b Bus) error {
	ctx, cancel := context.WithTimeout(c.ctx, joinTimeout)
	defer cancel()
	ask := func(member string, args ...any) (*message, error) {
		m, err := c.call(ctx, busName, busPath, busName, member, args...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", member, err)
		}
		return m, nil
	}
	m, err := ask("Hello")
	if err != nil {
		return err
	}
	if err := dbus.Store(m.Body, &c.unique); err != nil {
		return fmt.Errorf("greet the bus: %w", err)
	}
	if b.Met != nil {
		b.Met(&Client{c})
	}
	for _, name := range b.Names {
		const doNotQueue = 4
		m, err := ask("RequestName", name, uint32(doNotQueue))
		if err != nil {
			return err
		}
		if got, _ := m.Body[0].(uint32); len(m.Body) != 1 || got != 1 && got != 4 { // primary owner, already owner
			return fmt.Errorf("the name %s belongs to somebody else", name)
		}
	}
	return nil
}

func methodCall(dest, path, iface, member string, args ...any) *dbus.Message {
	m := &dbus.Message{Type: dbus.TypeMethodCall, Body: args, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: dbus.MakeVariant(dest), dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath(path)),
		dbus.FieldInterface: dbus.MakeVariant(iface), dbus.FieldMember: dbus.MakeVariant(member)}}
	if len(args) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(args...))
	}
	return m
}

// failure is the error that an answer is, nil for any other.
func (m *message) failure() error {
	if m.Type != dbus.TypeError {
		return nil
	}
	name, _ := m.Headers[dbus.FieldErrorName].Value().(string)
	text := name
	if len(m.Body) > 0 {
		if t, ok := m.Body[0].(string); ok {
			text = t
		}
	}
	return &Error{name, text}
}

// call calls a method and waits for the answer.
func (c *conn) call(ctx context.Context, dest, path, iface, member string, args ...any) (*message, error) {
	reply := make(chan *message, 1)
	serial, err := c.send(methodCall(dest, path, iface, member, args...), reply)
	if err != nil {
		return nil, err
	}
	select {
	case m, ok := <-reply:
		if !ok {
			return nil, errors.New("the connection ended before the answer")
		}
		if err := m.failure(); err != nil {
			m.closeFDs()
			return nil, err
		}
		return m, nil
	case <-ctx.Done():
		c.forget(serial)
		select { // it may have come in between
		case m, ok := <-reply:
			if ok {
				m.closeFDs()
			}
		default:
		}
		return nil, ctx.Err()
	}
}

// Call calls a method of somebody on the bus and stores the answer. Descriptors in
// it are closed.
func (k *Client) Call(ctx context.Context, dest, path, iface, member string, args []any, results ...any) error {
	m, err := k.c.call(ctx, dest, path, iface, member, args...)
	if err != nil {
		return err
	}
	defer m.closeFDs()
	if len(results) == 0 {
		return nil
	}
	if err := dbus.Store(m.Body, results...); err != nil {
		return fmt.Errorf("%s.%s: %w", iface, member, err)
	}
	return nil
}

// Unique is our own unique name.
func (k *Client) Unique() string { return k.c.unique }
