package bus

import (
	"fmt"

	"github.com/godbus/dbus/v5"
)

// Interface is one interface as it stands in the table: what is on the bus is a
// list that can be read.
type Interface struct {
	Name       string
	Methods    []Method
	Properties []Property
	Signals    []Signal
}

// Arg is an argument of a method or signal.
type Arg struct{ Name, Type string }

// Method is one method. In and Out are its arguments in order.
type Method struct {
	Name    string
	In, Out []Arg
	// Do carries it out. It runs on the connection's goroutine, in the order of
	// the calls, and must not block for long: what takes time returns a Later.
	Do func(*Call) error
	// Flags are shown by introspection.
	Flags Flags
}

// Flags of members, as introspection shows them (annotations of the D-Bus
// specification and of sd-bus-vtable(3)).
type Flags uint8

const (
	// Deprecated members still work.
	Deprecated Flags = 1 << iota
	// NoReply methods are called without waiting.
	NoReply
	// Privileged members are for root or for those whom polkit lets.
	Privileged
)

// Emits says what a change of a property does (org.freedesktop.DBus.Property.
// EmitsChangedSignal of the specification).
type Emits uint8

const (
	EmitsTrue Emits = iota
	EmitsInvalidates
	EmitsConst
	EmitsFalse
)

func (e Emits) String() string {
	return [...]string{"true", "invalidates", "const", "false"}[e]
}

// Property is one property of signature Type. Get returns a Go value of exactly
// that type, for the object that was found.
type Property struct {
	Name, Type string
	Emits      Emits
	Get        func(object any) (any, error)
	// Set, if not nil, makes it writable. The value has the right type.
	Set   func(*Call, dbus.Variant) error
	Flags Flags
	// Hidden properties are answered by Get only (sd-bus-vtable(3)).
	Hidden bool
}

// Signal is a signal that objects of the interface send.
type Signal struct {
	Name  string
	Args  []Arg
	Flags Flags
}

// types joins the types of arguments.
func types(args []Arg) string {
	s := ""
	for _, a := range args {
		s += a.Type
	}
	return s
}

// check panics on a table that cannot be right: that is a mistake of the program.
func (i *Interface) check() {
	seen := map[string]bool{}
	once := func(kind, name string) {
		if seen[kind+name] || name == "" {
			panic(fmt.Sprintf("%s: %s %q stands twice or has no name", i.Name, kind, name))
		}
		seen[kind+name] = true
	}
	valid := func(where, sig string) {
		if _, err := dbus.ParseSignature(sig); err != nil {
			panic(fmt.Sprintf("%s.%s: signature %q: %v", i.Name, where, sig, err))
		}
	}
	for _, m := range i.Methods {
		once("method", m.Name)
		valid(m.Name, types(m.In))
		valid(m.Name, types(m.Out))
		if m.Do == nil {
			panic(fmt.Sprintf("%s.%s does nothing", i.Name, m.Name))
		}
	}
	for _, p := range i.Properties {
		once("property", p.Name)
		valid(p.Name, p.Type)
		if p.Get == nil {
			panic(fmt.Sprintf("%s.%s has no value", i.Name, p.Name))
		}
	}
	for _, s := range i.Signals {
		once("signal", s.Name)
		valid(s.Name, types(s.Args))
	}
}
