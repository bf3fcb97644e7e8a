package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

// Standard interfaces of the D-Bus specification.
const (
	ifacePeer       = "org.freedesktop.DBus.Peer"
	ifaceIntrospect = "org.freedesktop.DBus.Introspectable"
	ifaceProperties = "org.freedesktop.DBus.Properties"
)

// Bounds of one connection.
const (
	maxWaitingCalls = 4096 // read but not begun
	maxLater        = 1024 // begun and not answered
)

// Service answers for a Tree on all its connections.
type Service struct {
	tree     *Tree
	log      *slog.Logger
	callers  callers
	activity activity
	ctx      context.Context
	cancel   context.CancelFunc

	// telling is held by the one Flush at a time: what was read is told before somebody
	// reads again.
	telling sync.Mutex

	mu    sync.Mutex
	conns map[*conn]bool
	// unasked says that nobody on the bus wants signals; see Unasked.
	unasked bool
	// changed are properties whose change was not told yet, in order, and at is where
	// each stands.
	changed []change
	at      map[place]int
	ended   sync.WaitGroup
}

// NewService serves nothing yet: see Listen and Join.
func NewService(tree *Tree, log *slog.Logger) *Service {
	s := &Service{tree: tree, log: log, conns: map[*conn]bool{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.callers.known = map[string]*Caller{}
	s.activity.made = time.Now()
	return s
}

// closeGrace is how long Close lets calls that have begun go on, and clients read the
// answers. What takes longer, perhaps because others do not answer, is left.
const closeGrace = time.Second

// Close ends all connections and waits for what they do.
func (s *Service) Close() {
	ctx, cancel := context.WithTimeout(s.ctx, closeGrace)
	defer cancel()
	_ = s.drained(ctx) // what is left then gets no answer
	s.mu.Lock()
	open := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	for _, c := range open {
		c.written(ctx)
	}
	s.cancel()
	s.mu.Lock()
	for c := range s.conns {
		c.close(errClosed)
	}
	s.mu.Unlock()
	s.ended.Wait()
}

// Context ends when Close begins.
func (s *Service) Context() context.Context { return s.ctx }

var errClosed = errors.New("the service has ended")

// conn is one connection: a peer on a private socket, or a message bus.
type conn struct {
	*stream
	service *Service
	onBus   bool
	// unique is our name on the bus; peer is who is at the other end of a
	// private socket.
	unique string
	peer   *Caller
	ctx    context.Context
	cancel context.CancelFunc
	calls  *queue
	later  sync.WaitGroup
	slots  chan struct{}
	// heard gets the signals of a bus, nil for nobody.
	heard   func(*dbus.Message)
	follows follows
}

func (s *Service) newConn(st *stream) *conn {
	c := &conn{stream: st, service: s, calls: newQueue(), slots: make(chan struct{}, maxLater)}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	return c
}

// run serves until the connection ends and returns why it did.
func (c *conn) run() error {
	s := c.service
	defer c.cancel()
	done := make(chan struct{})
	go func() { // ends when calls is closed and empty
		defer close(done)
		for m := c.calls.take(); m != nil; m = c.calls.take() {
			c.handle(m)
		}
	}()
	err := c.readLoop()
	c.forsake()
	c.calls.close()
	c.close(err)
	c.cancel()
	s.remove(c)
	<-done
	c.later.Wait()
	return err
}

func (s *Service) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// add makes the connection one that gets signals.
func (c *conn) add() {
	c.service.mu.Lock()
	defer c.service.mu.Unlock()
	if c.service.ctx.Err() != nil {
		c.close(errClosed)
	}
	c.service.conns[c] = true
}

// readLoop sorts what comes: answers to who waits, signals to who listens, calls
// into the queue. It never waits for a call, because calls wait for answers.
func (c *conn) readLoop() error {
	for {
		m, err := c.read()
		if err != nil {
			return err
		}
		switch m.Type {
		case dbus.TypeMethodCall:
			c.service.activity.begin()
			if !c.calls.put(m) {
				c.service.activity.end()
				(&Call{conn: c, msg: m}).fail(Errorf(ErrLimitsExceeded, "too many calls wait already"))
				m.closeFDs()
			}
			// The call first: to look for more, where mostly nothing is, can wait.
			runtime.Gosched()
			continue
		case dbus.TypeMethodReply, dbus.TypeError:
			if c.answered(m) {
				continue
			}
		case dbus.TypeSignal:
			c.signal(m.Message)
		}
		m.closeFDs()
	}
}

// handle carries out one call.
func (c *conn) handle(m *message) {
	call := &Call{conn: c, msg: m, Args: m.Body}
	header := func(f dbus.HeaderField) string {
		switch v := m.Headers[f].Value().(type) {
		case string:
			return v
		case dbus.ObjectPath:
			return string(v)
		}
		return ""
	}
	call.Path, call.Interface, call.Member = header(dbus.FieldPath), header(dbus.FieldInterface), header(dbus.FieldMember)
	err := c.service.dispatch(call)
	var l later
	if errors.As(err, &l) {
		select {
		case c.slots <- struct{}{}:
		default:
			call.fail(Errorf(ErrLimitsExceeded, "too many calls are under way already"))
			m.closeFDs()
			c.service.activity.end()
			return
		}
		c.later.Add(1)
		go func() { // ends when f does, at the latest after the call's Context
			defer c.later.Done()
			defer c.service.activity.end()
			defer m.closeFDs()
			defer func() { <-c.slots }()
			finish(call, l.f())
		}()
		return
	}
	finish(call, err)
	m.closeFDs()
	c.service.activity.end()
}

func finish(call *Call, err error) {
	switch {
	case err != nil && !call.done:
		call.fail(err)
	case err == nil && !call.done:
		_ = call.Reply()
	}
}

// dispatch finds object, interface and method, checks the arguments and begins.
func (s *Service) dispatch(c *Call) error {
	if c.Interface == ifacePeer {
		return s.peerCall(c)
	}
	object, interfaces, err := s.tree.find(c, c.Path)
	if err != nil {
		children, there := s.tree.children(c.Path)
		if there && c.Member == "Introspect" && (c.Interface == ifaceIntrospect || c.Interface == "") {
			return s.introspect(c, nil, children)
		}
		return err
	}
	c.Object = object
	switch c.Interface {
	case ifaceIntrospect:
		if c.Member == "Introspect" {
			children, _ := s.tree.children(c.Path)
			return s.introspect(c, interfaces, children)
		}
		return unknownMethod(c)
	case ifaceProperties:
		return s.properties(c, interfaces)
	}
	for _, i := range interfaces {
		if c.Interface != "" && i.Name != c.Interface {
			continue
		}
		for k := range i.Methods {
			m := &i.Methods[k]
			if m.Name != c.Member {
				continue
			}
			c.Interface = i.Name
			if err := c.expect(types(m.In), types(m.Out)); err != nil {
				return err
			}
			return m.Do(c)
		}
	}
	return unknownMethod(c)
}

func unknownMethod(c *Call) error {
	return Errorf(ErrUnknownMethod, "Unknown method %s or interface %s.", c.Member, c.Interface)
}

// expect checks the arguments' signature against a method's.
func (c *Call) expect(in, out string) error {
	sig, _ := c.msg.Headers[dbus.FieldSignature].Value().(dbus.Signature)
	if got := sig.String(); got != in {
		return Errorf(ErrInvalidArgs, "Invalid arguments '%s' to call %s.%s(), expecting '%s'.", got, c.Interface, c.Member, in)
	}
	c.out = out
	return nil
}

func (s *Service) peerCall(c *Call) error {
	switch c.Member {
	case "Ping":
		if err := c.expect("", ""); err != nil {
			return err
		}
		return c.Reply()
	case "GetMachineId":
		if err := c.expect("", "s"); err != nil {
			return err
		}
		id, err := os.ReadFile("/etc/machine-id")
		if err != nil {
			return fmt.Errorf("read machine id: %w", err)
		}
		return c.Reply(strings.TrimSpace(string(id)))
	}
	return unknownMethod(c)
}

var standard = []*Interface{
	{Name: ifacePeer, Methods: []Method{{Name: "Ping"}, {Name: "GetMachineId", Out: []Arg{{"machine_uuid", "s"}}}}},
	{Name: ifaceIntrospect, Methods: []Method{{Name: "Introspect", Out: []Arg{{"xml_data", "s"}}}}},
	{Name: ifaceProperties, Methods: []Method{
		{Name: "Get", In: []Arg{{"interface_name", "s"}, {"property_name", "s"}}, Out: []Arg{{"value", "v"}}},
		{Name: "GetAll", In: []Arg{{"interface_name", "s"}}, Out: []Arg{{"props", "a{sv}"}}},
		{Name: "Set", In: []Arg{{"interface_name", "s"}, {"property_name", "s"}, {"value", "v"}}}},
		Signals: []Signal{{Name: "PropertiesChanged", Args: []Arg{{"interface_name", "s"}, {"changed_properties", "a{sv}"}, {"invalidated_properties", "as"}}}}},
}

func (s *Service) introspect(c *Call, interfaces []*Interface, children []string) error {
	if err := c.expect("", "s"); err != nil {
		return err
	}
	text, err := introspect(append(slices.Clone(standard), interfaces...), children)
	if err != nil {
		return err
	}
	return c.Reply(text)
}

// hungUp says that a connection ended as connections do.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) || errors.Is(err, errClosed) || strings.Contains(err.Error(), "connection reset") ||
		strings.Contains(err.Error(), "use of closed")
}
