package graph

import (
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// traits are the yes-or-no facts about a unit that planning needs.
type traits uint16

const (
	refusesStart traits = 1 << iota
	refusesStop
	allowsIsolate
	ignoresIsolate
	// noStart and noStop: no such job exists for the unit at all.
	noStart
	noStop
	reloads
)

func (t traits) has(x traits) bool { return t&x != 0 }

// CanStart, CanStop, CanReload and CanIsolate are the D-Bus properties of the
// same names.
func (g *Graph) CanStart(i Index) bool {
	_, _, bad := g.unaddable(i, Start)
	return !bad && !g.traits[i].has(refusesStart)
}

func (g *Graph) CanStop(i Index) bool { return !g.traits[i].has(noStop | refusesStop) }

func (g *Graph) CanReload(i Index) bool { return g.traits[i].has(reloads) }

func (g *Graph) CanIsolate(i Index) bool { return g.CanStart(i) && g.traits[i].has(allowsIsolate) }

// traitsOf reads them from the unit; nil is a placeholder.
func traitsOf(u *unit.Unit) traits {
	if u == nil {
		return 0
	}
	var t traits
	if unit.RefuseManualStart.Of(u) {
		t |= refusesStart
	}
	if unit.RefuseManualStop.Of(u) {
		t |= refusesStop
	}
	if unit.AllowIsolate.Of(u) {
		t |= allowsIsolate
	}
	// systemd.unit(5), "IgnoreOnIsolate=".
	ignores := unit.IgnoreOnIsolate.Of(u)
	if !unit.IgnoreOnIsolate.IsSet(u) {
		switch u.Type {
		case unitname.Slice, unitname.Scope, unitname.Device, unitname.Swap,
			unitname.Mount, unitname.Automount:
			ignores = true
		}
	}
	if ignores {
		t |= ignoresIsolate
	}
	if u.Type == unitname.Device {
		t |= noStop // a device goes when it is unplugged
	}
	switch u.Type {
	case unitname.Service:
		if len(unit.ExecReload.Of(u)) > 0 || unit.ServiceType.Of(u) == "notify-reload" {
			t |= reloads
		}
	case unitname.Mount:
		t |= reloads // a remount
	}
	return t
}
