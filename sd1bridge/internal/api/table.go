// Package api is org.freedesktop.systemd1 as D-Bus clients see it: objects, members,
// who may do what, and signals. What the interface has is the list members.tsv, facts
// recorded by introspection of systemd 257; what stands behind each member is in the
// tables of this package. A member without anything behind it is not offered, and
// Missing names it.
package api

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/bus"
	"dynamod/internal/unit"
	"dynamod/sd1bridge/internal/translate"
)

//go:embed members.tsv
var membersFile string

//go:embed order.txt
var orderFile string

// order are the properties of an interface in the order in which systemd 257 answers
// GetAll, as `systemctl show --all` printed them; those that print nothing when they
// are empty are not all in it.
func order(iface string) []string {
	for line := range strings.Lines(orderFile) {
		if f := strings.Fields(line); f[0] == iface {
			return f[1:]
		}
	}
	return nil
}

const prefix = "org.freedesktop.systemd1."

// member is one line of members.tsv.
type member struct{ iface, kind, name, types, access string }

func members() []member {
	var out []member
	for line := range strings.Lines(membersFile) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		m := member{strings.TrimPrefix(f[0], prefix), f[1], f[2], f[3], ""}
		if len(f) > 4 {
			m.access = f[4]
		}
		out = append(out, m)
	}
	return out
}

// tables are the interfaces by their last name.
type tables struct {
	by map[string]*bus.Interface
	// missing are the members that nothing stands behind: "Unit.Markers".
	missing []string
}

// build makes the interfaces of the list and of what the server has for it.
func (s *Server) build() *tables {
	t := &tables{by: map[string]*bus.Interface{}}
	for _, m := range members() {
		i := t.by[m.iface]
		if i == nil {
			i = &bus.Interface{Name: prefix + m.iface}
			t.by[m.iface] = i
		}
		key := m.iface + "." + m.name
		switch m.kind {
		case "method":
			do := s.method(m.iface, m.name)
			if do == nil {
				t.missing = append(t.missing, key)
				continue
			}
			in, out, _ := strings.Cut(m.types, " -> ")
			names := strings.Split(m.access, ",")
			meth := bus.Method{Name: m.name, Do: s.guarded(m.name, do)}
			meth.In, names = bus.Named(in, names)
			meth.Out, _ = bus.Named(out, names)
			i.Methods = append(i.Methods, meth)
		case "property":
			p := bus.Property{Name: m.name, Type: m.types}
			rw, emits, _ := strings.Cut(m.access, ",")
			p.Emits = map[string]bus.Emits{"true": bus.EmitsTrue, "invalidates": bus.EmitsInvalidates, "const": bus.EmitsConst, "false": bus.EmitsFalse}[emits]
			p.Get = s.getter(m)
			if rw == "readwrite" {
				if p.Set = s.setter(m.name); p.Set == nil {
					p.Get = nil
				}
			}
			if p.Get == nil {
				t.missing = append(t.missing, key)
				continue
			}
			i.Properties = append(i.Properties, p)
		case "signal":
			g := bus.Signal{Name: m.name}
			g.Args, _ = bus.Named(m.types, strings.Split(m.access, ","))
			i.Signals = append(i.Signals, g)
		}
	}
	for name, i := range t.by {
		rank := map[string]int{}
		for k, p := range order(name) {
			rank[p] = k + 1
		}
		slices.SortStableFunc(i.Properties, func(a, b bus.Property) int {
			ra, rb := rank[a.Name], rank[b.Name]
			switch {
			case ra == 0 && rb == 0:
				return strings.Compare(a.Name, b.Name)
			case ra == 0:
				return 1
			case rb == 0:
				return -1
			}
			return ra - rb
		})
	}
	slices.Sort(t.missing)
	return t
}

// settingOf finds the row of the settings table behind a property.
func settingOf(iface, name string) *unit.Setting {
	for _, s := range unit.Table() {
		if s.DBus == name && s.Effect != unit.Obsolete && slices.Contains(s.In.Names(), iface) && s.Into() == nil {
			return s
		}
	}
	for _, s := range unit.Table() {
		if s.DBus == name && slices.Contains(s.In.Names(), iface) {
			if into := s.Into(); len(into) > 0 {
				return into[0]
			}
			return s
		}
	}
	return nil
}

// getter is what answers for a property, nil for nothing.
func (s *Server) getter(m member) func(any) (any, error) {
	switch m.iface {
	case "Manager":
		if get := bootProperties[m.name]; get != nil {
			return func(o any) (any, error) { return get(o.(*managerObject)), nil }
		}
		if get := ownProperties[m.name]; get != nil {
			return func(o any) (any, error) {
				r, err := o.(*managerObject).own()
				if err != nil {
					return nil, err
				}
				return get(r), nil
			}
		}
		if get := managerProperties[m.name]; get != nil {
			return func(any) (any, error) { return get(s) }
		}
		return nil
	case "Job":
		if get := jobProperties[m.name]; get != nil {
			return func(o any) (any, error) { return get(o.(*jobObject)), nil }
		}
		return nil
	}
	get := unitProperty(m)
	if get == nil {
		return nil
	}
	return func(o any) (any, error) {
		u, err := o.(*unitObject).get(efforts[m.name])
		if err != nil {
			return nil, err
		}
		v, ok := get(u, s)
		if !ok {
			return nil, bus.Errorf(bus.ErrFailed, "The value of %s cannot be told.", m.name)
		}
		return v, nil
	}
}

type unitGetter = func(*translate.Unit, *Server) (any, bool)

// unitProperty finds the value of a unit's property: what is known of its run, a
// setting, or something derived from one.
func unitProperty(m member) unitGetter {
	for _, key := range []string{m.iface + "." + m.name, "*." + m.name} {
		if f := unitProperties[key]; f != nil {
			return func(u *translate.Unit, s *Server) (any, bool) { return f(u, s), true }
		}
	}
	if f := timestamps(m.name); f != nil {
		return f
	}
	row := settingOf(m.iface, m.name)
	sig := m.types
	switch {
	case row == nil:
	case sig == "a(sasbttttuii)":
		return func(u *translate.Unit, _ *Server) (any, bool) { return u.Commands(row), true }
	case sig == "a(sbbsi)":
		kind := strings.TrimSuffix(m.name, "s")
		return func(u *translate.Unit, _ *Server) (any, bool) { return u.Checks(row, kind), true }
	case sig == "a(sst)" && m.iface == "Timer":
		return func(u *translate.Unit, _ *Server) (any, bool) { return u.Calendars(row), true }
	case sig == "a(stt)":
		row = unit.Monotonics.Setting()
		return func(u *translate.Unit, _ *Server) (any, bool) { return u.Monotonics(row), true }
	default:
		if relation(m.name) {
			return func(u *translate.Unit, _ *Server) (any, bool) { return u.Related(m.name), true }
		}
		return func(u *translate.Unit, s *Server) (any, bool) {
			return translate.Setting(u.Model, row, sig, s.machine)
		}
	}
	if m.iface == "Unit" && sig == "as" && relation(m.name) {
		return func(u *translate.Unit, _ *Server) (any, bool) { return u.Related(m.name), true }
	}
	if base, ok := strings.CutSuffix(m.name, "Ex"); ok && sig == "a(sasasttttuii)" {
		if row := settingOf(m.iface, base); row != nil {
			return func(u *translate.Unit, _ *Server) (any, bool) { return u.CommandsEx(row), true }
		}
	}
	if base, ok := strings.CutSuffix(m.name, "Soft"); ok && strings.HasPrefix(base, "Limit") {
		if row := settingOf(m.iface, base); row != nil {
			return func(u *translate.Unit, s *Server) (any, bool) {
				if l, ok := u.Model.Value(row).(unit.Rlimit); ok {
					return l.Soft, true
				}
				if l, ok := s.machine.Limits[strings.TrimPrefix(base, "Limit")]; ok {
					return l[0], true
				}
				return uint64(1<<64 - 1), true
			}
		}
	}
	// PrivateTmp, PrivateUsers, ProtectControlGroups: the old booleans beside the
	// newer words.
	if row := settingOf(m.iface, m.name+"Ex"); row != nil && sig == "b" {
		return func(u *translate.Unit, s *Server) (any, bool) { return translate.Setting(u.Model, row, "b", s.machine) }
	}
	return nil
}

// relation says whether a property of units is one of their relations, which the
// manager's graph has with everything that was implied.
func relation(name string) bool {
	return slices.Contains([]string{"Requires", "RequiredBy", "Requisite", "RequisiteOf", "Wants", "WantedBy", "BindsTo", "BoundBy", "Upholds", "UpheldBy",
		"PartOf", "ConsistsOf", "Conflicts", "ConflictedBy", "Before", "After", "OnFailure", "OnFailureOf", "OnSuccess", "OnSuccessOf", "Triggers", "TriggeredBy",
		"PropagatesReloadTo", "ReloadPropagatedFrom", "PropagatesStopTo", "StopPropagatedFrom", "JoinsNamespaceOf", "SliceOf"}, name)
}

// Missing are the members of systemd 257 that are not offered, sorted.
func (s *Server) Missing() []string { return s.tables.missing }

func path(p string) dbus.ObjectPath { return dbus.ObjectPath(p) }
