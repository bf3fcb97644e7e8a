package bus

import (
	"strings"

	"github.com/godbus/dbus/v5"
)

// Parts are what stands behind the members of a list, by "Interface.Member" with the
// last word of the interface's name.
type Parts struct {
	Methods map[string]func(*Call) error
	Getters map[string]func(object any) (any, error)
	Setters map[string]func(*Call, dbus.Variant) error
}

// FromList makes interfaces of a recorded list: tab-separated lines of interface, kind,
// member, types ("in -> out"), and names of arguments or access ("read,const"). Members
// with nothing behind them are not offered.
func FromList(list string, p Parts) map[string]*Interface {
	by := map[string]*Interface{}
	for line := range strings.Lines(list) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		for len(f) < 5 {
			f = append(f, "")
		}
		short := f[0][strings.LastIndexByte(f[0], '.')+1:]
		i := by[short]
		if i == nil {
			i = &Interface{Name: f[0]}
			by[short] = i
		}
		key := short + "." + f[2]
		switch f[1] {
		case "method":
			if do := p.Methods[key]; do != nil {
				in, out, _ := strings.Cut(f[3], "->")
				m := Method{Name: f[2], Do: do}
				names := strings.Split(f[4], ",")
				m.In, names = Named(strings.TrimSpace(in), names)
				m.Out, _ = Named(strings.TrimSpace(out), names)
				i.Methods = append(i.Methods, m)
			}
		case "property":
			get := p.Getters[key]
			access, emits, _ := strings.Cut(f[4], ",")
			if get == nil || access == "readwrite" && p.Setters[key] == nil {
				continue
			}
			i.Properties = append(i.Properties, Property{Name: f[2], Type: f[3], Get: get, Set: p.Setters[key],
				Emits: map[string]Emits{"true": EmitsTrue, "invalidates": EmitsInvalidates, "const": EmitsConst, "false": EmitsFalse}[emits]})
		case "signal":
			args, _ := Named(f[3], strings.Split(f[4], ","))
			i.Signals = append(i.Signals, Signal{Name: f[2], Args: args})
		}
	}
	return by
}

// Named makes arguments of a signature and the names that belong to them, in order.
func Named(sig string, names []string) ([]Arg, []string) {
	var out []Arg
	for sig != "" {
		n := completeType(sig)
		a := Arg{Type: sig[:n]}
		if len(names) > 0 {
			a.Name, names = names[0], names[1:]
		}
		out, sig = append(out, a), sig[n:]
	}
	return out, names
}

// completeType is the length of the first complete type of a signature.
func completeType(sig string) int {
	switch sig[0] {
	case 'a':
		return 1 + completeType(sig[1:])
	case '(', '{':
		depth := 0
		for i := range len(sig) {
			switch sig[i] {
			case '(', '{':
				depth++
			case ')', '}':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	}
	return 1
}
