package bus

import (
	"fmt"
	"slices"

	"github.com/godbus/dbus/v5"
)

// properties is org.freedesktop.DBus.Properties. GetAll of the empty interface is
// the union of all interfaces of the object, which command-line clients ask for;
// Get of a property in the empty interface is not known.
func (s *Service) properties(c *Call, interfaces []*Interface) error {
	switch c.Member {
	case "Get":
		if err := c.expect("ss", "v"); err != nil {
			return err
		}
		p, err := property(interfaces, c.Args[0].(string), c.Args[1].(string))
		if err != nil {
			return err
		}
		v, err := p.value(c.Object)
		if err != nil {
			return err
		}
		return c.Reply(v)
	case "GetAll":
		if err := c.expect("s", "a{sv}"); err != nil {
			return err
		}
		name := c.Args[0].(string)
		known := name == "" || slices.ContainsFunc(standard, func(i *Interface) bool { return i.Name == name })
		most := 0
		for _, i := range interfaces {
			most += len(i.Properties)
		}
		all := make([]entry, 0, most)
		seen := make(map[string]bool, most)
		for _, i := range interfaces {
			if name != "" && i.Name != name {
				continue
			}
			known = true
			for k := range i.Properties {
				p := &i.Properties[k]
				if p.Hidden || seen[p.Name] {
					continue
				}
				seen[p.Name] = true
				v, err := p.value(c.Object)
				if err != nil {
					return err
				}
				all = append(all, entry{p.Name, v})
			}
		}
		if !known {
			return Errorf(ErrUnknownInterface, "Unknown interface '%s'.", name)
		}
		return c.reply(all)
	case "Set":
		if err := c.expect("ssv", ""); err != nil {
			return err
		}
		p, err := property(interfaces, c.Args[0].(string), c.Args[1].(string))
		if err != nil {
			return err
		}
		if p.Set == nil {
			return Errorf(ErrPropertyReadOnly, "Property '%s' is not writable.", p.Name)
		}
		v := c.Args[2].(dbus.Variant)
		if got := v.Signature().String(); got != p.Type {
			return Errorf(ErrInvalidArgs, "Incorrect signature '%s' for property '%s', expecting '%s'.", got, p.Name, p.Type)
		}
		return p.Set(c, v)
	}
	return unknownMethod(c)
}

// entry is {sv} of a dictionary whose order is kept: that of the table, in which
// clients print properties. godbus writes the entries of maps in any order; a structure
// of the same two types is the same bytes (D-Bus specification, "Marshaling").
type entry struct {
	Name  string
	Value dbus.Variant
}

func property(interfaces []*Interface, iface, name string) (*Property, error) {
	for _, i := range interfaces {
		if i.Name != iface {
			continue
		}
		for k := range i.Properties {
			if i.Properties[k].Name == name {
				return &i.Properties[k], nil
			}
		}
		return nil, Errorf(ErrUnknownProperty, "Unknown interface %s or property %s.", iface, name)
	}
	if iface == "" {
		return nil, Errorf(ErrUnknownProperty, "Unknown interface '' or property '%s'.", name)
	}
	return nil, Errorf(ErrUnknownInterface, "Unknown interface '%s'.", iface)
}

// value reads a property. A value that is not of the property's type is a mistake
// of the table.
func (p *Property) value(object any) (dbus.Variant, error) {
	v, err := p.Get(object)
	if err != nil {
		return dbus.Variant{}, err
	}
	sig := signature(v)
	if got := sig.String(); got != p.Type {
		panic(fmt.Sprintf("property %s has a value of signature %q; want %q", p.Name, got, p.Type))
	}
	return dbus.MakeVariantWithSignature(v, sig), nil
}

// place is one object's interface, change what is to be told of it.
type place struct{ path, iface string }

type change struct {
	place
	names []string
}

// Changed notes that properties have changed. They are told by the next Flush, with
// the values that they have then: several changes in between are one signal. No
// names means all that are not constant. Nothing is noted while nobody listens: who
// comes later reads.
func (s *Service) Changed(path, iface string, names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.listening() {
		return
	}
	at := place{path, iface}
	k, known := s.at[at]
	if !known {
		if s.at == nil {
			s.at = map[place]int{}
		}
		s.at[at] = len(s.changed)
		s.changed = append(s.changed, change{at, names})
		return
	}
	c := &s.changed[k]
	if len(c.names) == 0 || len(names) == 0 {
		c.names = nil
		return
	}
	for _, n := range names {
		if !slices.Contains(c.names, n) {
			c.names = append(slices.Clip(c.names), n)
		}
	}
}

// Unasked says whether nobody on the bus has asked for signals. Those of Changed and Emit
// are kept from it then, and go to private peers alone.
func (s *Service) Unasked(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unasked = yes
}

// Listening says whether anybody would get a signal: whoever works out what to tell need
// not if nobody would.
func (s *Service) Listening() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listening()
}

// listening is Listening for who holds mu.
func (s *Service) listening() bool {
	for c := range s.conns {
		if !c.onBus || !s.unasked {
			return true
		}
	}
	return false
}

// Flush sends PropertiesChanged for what has changed since the last one. When it returns,
// all that was changed before it was called has been sent, by this one or by another.
func (s *Service) Flush() {
	s.telling.Lock()
	defer s.telling.Unlock()
	s.mu.Lock()
	todo := s.changed
	s.changed, s.at = nil, nil
	heard := s.listening()
	s.mu.Unlock()
	if !heard {
		return // who comes later reads
	}
	// An object is found once for changes of it that follow each other, as those of its
	// interfaces do: it may ask elsewhere for what it tells, and keep that.
	var last string
	var object any
	var interfaces []*Interface
	for _, ch := range todo {
		if ch.path != last {
			var err error
			last = ch.path
			if object, interfaces, err = s.tree.find(nil, ch.path); err != nil {
				interfaces = nil // it is gone, which was told otherwise
			}
		}
		for _, i := range interfaces {
			if i.Name == ch.iface {
				s.tell(ch, i, object)
			}
		}
	}
}

func (s *Service) tell(ch change, i *Interface, object any) {
	values := map[string]dbus.Variant{}
	invalid := []string{}
	for k := range i.Properties {
		p := &i.Properties[k]
		if len(ch.names) > 0 && !slices.Contains(ch.names, p.Name) {
			continue
		}
		switch p.Emits {
		case EmitsTrue:
			v, err := p.value(object)
			if err != nil {
				s.log.Debug("a changed property cannot be read", "path", ch.path, "property", p.Name, "err", err)
				invalid = append(invalid, p.Name)
				continue
			}
			values[p.Name] = v
		case EmitsInvalidates:
			invalid = append(invalid, p.Name)
		}
	}
	if len(values)+len(invalid) > 0 {
		s.Emit(ch.path, ifaceProperties, "PropertiesChanged", ch.iface, values, invalid)
	}
}

// Emit sends a signal to everybody who listens: to all private peers, and to the bus unless
// it is Unasked.
func (s *Service) Emit(path, iface, member string, body ...any) {
	s.mu.Lock()
	heard := s.listening()
	s.mu.Unlock()
	if heard {
		s.emit(audience{}, path, iface, member, body)
	}
}

// Announce is Emit for what the bus gets in any case.
func (s *Service) Announce(path, iface, member string, body ...any) {
	s.emit(audience{all: true}, path, iface, member, body)
}

// EmitTo sends a signal to one client of the bus.
func (s *Service) EmitTo(destination, path, iface, member string, body ...any) {
	s.emit(audience{client: destination}, path, iface, member, body)
}

// audience is who gets a signal: one client of the bus, or whoever listens, or all.
type audience struct {
	client string
	all    bool
}

func (s *Service) emit(to audience, path, iface, member string, body []any) {
	destination := to.client
	m := &dbus.Message{Type: dbus.TypeSignal, Flags: dbus.FlagNoReplyExpected, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath(path)), dbus.FieldInterface: dbus.MakeVariant(iface), dbus.FieldMember: dbus.MakeVariant(member)}}
	var encoded Encoded
	if len(body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariantWithSignature(dbus.SignatureOf(body...), sigSignature)
	}
	if destination != "" {
		m.Body = body // it may have descriptors in it
	} else if len(body) > 0 {
		var err error
		if encoded, err = Encode(body...); err != nil { // once for all connections
			s.log.Warn("a signal was not sent", "member", member, "err", err)
			return
		}
	}
	if destination != "" {
		m.Headers[dbus.FieldDestination] = dbus.MakeVariant(destination)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if destination != "" && !c.onBus || destination == "" && c.onBus && s.unasked && !to.all {
			continue
		}
		if _, err := c.sendEncoded(m, encoded.data, nil); err != nil && !hungUp(err) {
			s.log.Warn("a signal was not sent", "member", member, "err", err)
		}
	}
}
