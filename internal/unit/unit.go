package unit

import (
	"slices"

	"dynamod/internal/diag"
	"dynamod/internal/unitname"
)

// Format is the syntax a unit was written in; it decides the defaults.
type Format uint8

const (
	// UnitFile is systemd's format, also used for transient and fstab units.
	UnitFile Format = iota
	// Native is dynamod's TOML.
	Native
)

// LoadState is what became of loading a unit, as systemd names it.
type LoadState uint8

const (
	Loaded LoadState = iota
	NotFound
	Masked
	// BadSetting: the file was read, but what it asks for cannot be run.
	BadSetting
	// LoadError: the file could not be read at all.
	LoadError
	// Merged: the name is an alias; the real unit has it in Aliases.
	Merged
)

func (l LoadState) String() string {
	return [...]string{"loaded", "not-found", "masked", "bad-setting", "error", "merged"}[l]
}

// Unit is one loaded unit. It is immutable once Build has returned it.
type Unit struct {
	// Name is the full name with suffix; Aliases are the other names.
	Name    string
	Aliases []string
	Type    unitname.Type
	Format  Format
	Load    LoadState
	// Path is the main file, "" for generated, perpetual and missing units;
	// DropIns are the drop-in files in the order they were applied.
	Path    string
	DropIns []string
	// Shadows is the unit file that a native file of the same name hides.
	Shadows string
	// Perpetual units (-.slice, -.mount, init.scope) exist always and cannot
	// be stopped.
	Perpetual bool

	vals    []entry // sorted by id
	origins []origin
	files   []string // what origin.file counts in
	source  *keptSource
}

// entry is one value. Its origins are u.origins[from:to]: one for a scalar,
// one per item for a list, none for what Build derived from other settings.
type entry struct {
	id       ID
	implied  bool
	from, to uint32
	val      any
}

// origin is a diag.Pos without its own copy of the path: 100,000 units have
// a million of them.
type origin struct {
	line, col int32
	file      uint32
}

func (u *Unit) find(id ID) (int, bool) {
	return slices.BinarySearchFunc(u.vals, id, func(e entry, id ID) int { return int(e.id) - int(id) })
}

func (u *Unit) lookup(id ID) (any, bool) {
	if i, ok := u.find(id); ok {
		return u.vals[i].val, true
	}
	return nil, false
}

func (u *Unit) positions(e entry) []diag.Pos {
	if e.from == e.to {
		return nil
	}
	out := make([]diag.Pos, 0, e.to-e.from)
	for _, o := range u.origins[e.from:e.to] {
		out = append(out, diag.Pos{File: u.files[o.file], Line: o.line, Col: o.col})
	}
	return out
}

// Assigned is one setting of a unit with its value and where it came from: one
// position for scalars, one per surviving item for lists. Implied values have
// none: Build derived them (Type=dbus from BusName=, …).
type Assigned struct {
	Setting *Setting
	Value   any
	Origin  []diag.Pos
	Implied bool
}

// Assigned lists what the unit's files set, in table order.
func (u *Unit) Assigned() []Assigned {
	out := make([]Assigned, len(u.vals))
	for i, e := range u.vals {
		out[i] = Assigned{table[e.id], e.val, u.positions(e), e.implied}
	}
	return out
}

// Origin returns where the value of s was set, nil when it is the default.
func (u *Unit) Origin(s *Setting) []diag.Pos {
	if i, ok := u.find(s.ID); ok {
		return u.positions(u.vals[i])
	}
	return nil
}

// Value returns the value of s that holds for u, nil for an unset setting
// whose default is the zero value of its kind.
func (u *Unit) Value(s *Setting) any {
	if v, ok := u.lookup(s.ID); ok {
		return v
	}
	if u.Format == Native {
		return s.nativeDef
	}
	return s.def
}
