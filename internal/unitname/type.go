package unitname

import "fmt"

// Type is the type of a unit, which is the suffix of its name
// (systemd.unit(5), "Description"). The zero value is Invalid.
type Type uint8

// The unit types.
const (
	Invalid Type = iota
	Service
	Socket
	Target
	Timer
	Path
	Mount
	Automount
	Swap
	Slice
	Scope
	Device

	typeEnd // one past the last type
)

var typeNames = [typeEnd]string{
	Invalid:   "invalid",
	Service:   "service",
	Socket:    "socket",
	Target:    "target",
	Timer:     "timer",
	Path:      "path",
	Mount:     "mount",
	Automount: "automount",
	Swap:      "swap",
	Slice:     "slice",
	Scope:     "scope",
	Device:    "device",
}

// String is the suffix without its dot, for example "service".
func (t Type) String() string {
	if t >= typeEnd {
		return fmt.Sprintf("Type(%d)", uint8(t))
	}
	return typeNames[t]
}

// ParseType reads a suffix without its dot. Case matters, as in
// systemd-escape --suffix=.
func ParseType(s string) (Type, error) {
	for t := Invalid + 1; t < typeEnd; t++ {
		if typeNames[t] == s {
			return t, nil
		}
	}
	return Invalid, fmt.Errorf("unknown unit type %q", s)
}

// Types lists every valid type in a fixed order.
func Types() []Type {
	all := make([]Type, 0, typeEnd-1)
	for t := Invalid + 1; t < typeEnd; t++ {
		all = append(all, t)
	}
	return all
}
