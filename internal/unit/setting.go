package unit

import (
	"fmt"
	"strings"

	"dynamod/internal/unitname"
)

// ID is the index of a setting in the table. It is stable within one process
// and is never written to disk.
type ID uint16

// Kind is the value grammar of a setting; it fixes the Go type of its value.
type Kind uint8

// Merge says what a second assignment of the same setting does.
type Merge uint8

const (
	// Last: the last assignment wins (most scalar settings).
	Last Merge = iota
	// Append: assignments add up; an empty one clears the list.
	Append
	// ByName: like Append, but a later entry with the same name replaces the
	// earlier one (Environment=, rlimits, io limits per device).
	ByName
)

// Effect says who acts on a setting. A setting without effect yet is reported
// by `dynamodctl check`; it is never ignored in silence.
type Effect uint8

const (
	// NotYet: parsed and shown, but nothing acts on it so far.
	NotYet Effect = iota
	// ByLoader: acts while files are loaded (Alias=, DefaultInstance=, …).
	ByLoader
	// ByGraph: becomes an edge (After=, Requires=, Slice=, …).
	ByGraph
	// ByCore: the pure core decides with it.
	ByCore
	// ByWorld: handed to the process, cgroup, socket or mount code.
	ByWorld
	// Shown: information for people and clients (Description=, …).
	Shown
	// Obsolete: systemd itself ignores it; Doc says what replaced it.
	Obsolete
)

// Section is a set of unit-file sections in which a directive may stand.
type Section uint16

const (
	InUnit Section = 1 << iota
	InInstall
	InService
	InSocket
	InMount
	InAutomount
	InSwap
	InTimer
	InPath
	InSlice
	InScope
	// InSupervisor is dynamod's own: [supervisor] files of the native format.
	InSupervisor
	// InBoot is boot.toml, which is about the boot of the machine.
	InBoot

	inNone Section = 0
)

var sectionNames = [...]string{"Unit", "Install", "Service", "Socket", "Mount", "Automount",
	"Swap", "Timer", "Path", "Slice", "Scope", "Supervisor", "Boot"}

// sectionBit is the bit of a section header, inNone for an unknown one.
func sectionBit(name string) Section {
	for i, n := range sectionNames {
		if n == name {
			return 1 << i
		}
	}
	return inNone
}

// Names lists the section headers in s.
func (s Section) Names() []string {
	var out []string
	for i, n := range sectionNames {
		if s&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return out
}

// InExec are the sections that run processes: systemd.exec(5), systemd.kill(5).
const InExec = InService | InSocket | InMount | InSwap

// InCgroup are the sections with resource control: systemd.resource-control(5).
const InCgroup = InExec | InSlice | InScope

// Setting is one row of the table.
type Setting struct {
	ID   ID
	Kind Kind
	// Merge says what a second assignment does.
	Merge Merge
	// Native is the canonical key, dotted as in TOML: "restart.max-restarts".
	Native string
	// NativeAliases are other native spellings that mean the same.
	NativeAliases []string
	// Name is the directive of the unit-file format, "" when there is none.
	Name string
	// Aliases are older names of the directive which systemd still takes;
	// "Service.StartLimitBurst" is one that stands in another section.
	Aliases []string
	// In says in which sections Name may stand.
	In Section
	// Types are unit types it applies to in the native format besides those
	// that In implies.
	Types []unitname.Type
	// DBus and Signature name the property of the systemd1 interface, if any.
	DBus, Signature string
	// Default is the text form of the default for unit files, and for native
	// files too unless NativeDefault is set. "" is the zero value of the kind.
	Default, NativeDefault string
	// Enum lists the accepted words of an enumeration; EnumAliases maps
	// others to them ("permanent" → "always").
	Enum        []string
	EnumAliases map[string]string
	// Min and Max bound integers; both 0 means unbounded.
	Min, Max int64
	// Since is the systemd version that its manual names, "" for older ones,
	// "dynamod" for ours.
	Since string
	// Doc is one sentence for people, without the key's name.
	Doc string
	// Source cites the man page or specification of the rule.
	Source string
	// Effect says who acts on it.
	Effect Effect
	// Why is the reason for an Effect of NotYet, for people: what is missing.
	Why string
	// EmptyIsValue says that an empty assignment is a value of its own and not
	// a return to the default (CapabilityBoundingSet=).
	EmptyIsValue bool
	// Raw keeps '%' specifiers unexpanded (few settings: OnCalendar, …).
	Raw bool

	// into are the rows that an assignment of this one really changes: the
	// list that ConditionPathExists= adds to, the two that TimeoutSec= sets.
	// Such a row has no value of its own.
	into []*Setting
	// with are lists that an empty assignment of this one clears too.
	with []*Setting
	// inverted rows keep "~" with every word, not only with the first one of an
	// assignment that begins with it: which words stood together is not kept.
	inverted bool
	// internal rows collect what other rows set and are written in no file.
	internal bool
	// tag is what this row contributes to the items of its list: the name of
	// the check, the kind of address, the base of the timer.
	tag string

	def, nativeDef any
}

// Into returns the settings that an assignment of s really changes, nil when
// it changes s itself.
func (s *Setting) Into() []*Setting { return s.into }

// Key is the typed handle of a setting: the only way to read one from a Unit.
// The zero Key is not usable; keys are declared in settings_*.go.
type Key[T any] struct{ s *Setting }

// Setting returns the row of the key.
func (k Key[T]) Setting() *Setting { return k.s }

// Of returns the value that holds for u: what was assigned, else the default
// of u's format. Lists come back shared: callers must not write to them.
func (k Key[T]) Of(u *Unit) T {
	if v, ok := u.lookup(k.s.ID); ok {
		return v.(T)
	}
	d := k.s.def
	if u.Format == Native {
		d = k.s.nativeDef
	}
	if d == nil {
		var zero T
		return zero
	}
	return d.(T)
}

// IsSet says whether the setting has a value other than the default of the
// table: a file assigned it, or Build derived it from other settings.
func (k Key[T]) IsSet(u *Unit) bool {
	_, ok := u.lookup(k.s.ID)
	return ok
}

// table is filled by the declarations in settings_*.go, while the package's
// variables are initialised, and never changes after that.
var table []*Setting

// Table returns all rows in declaration order. Callers must not change them.
func Table() []*Setting { return table }

type directive struct {
	in   Section
	name string
}

type nativeKey struct{ table, key string }

// path is how files of the native format and messages name it.
func (k nativeKey) path() string {
	if k.table == "" {
		return k.key
	}
	return k.table + "." + k.key
}

// byDirective and byNative find rows by the names that files use.
var (
	byDirective = map[directive]*Setting{}
	byNative    = map[nativeKey]*Setting{}
	byTag       = map[contribution]*Setting{}
)

// contribution is what one row adds to a list of another: the row of
// ConditionPathExists= is the "PathExists" of the conditions.
type contribution struct {
	into ID
	tag  string
}

// maxSettings bounds the table, so that a builder can keep one slot per row.
const maxSettings = 1024

func declare[T any](k Kind, s Setting) Key[T] {
	s.ID, s.Kind = ID(len(table)), k
	row := &s
	if len(table) >= maxSettings {
		panic("the settings table is full")
	}
	if row.into == nil {
		row.def = mustDefault[T](row, s.Default)
		row.nativeDef = row.def
		if s.NativeDefault != "" {
			row.nativeDef = mustDefault[T](row, s.NativeDefault)
		}
	}
	table = append(table, row)
	register(row)
	return Key[T]{row}
}

func register(s *Setting) {
	if s.Native == "" {
		panic(fmt.Sprintf("setting %q has no canonical key", s.Name))
	}
	put := func(in Section, name string) {
		for bit := InUnit; bit <= InBoot; bit <<= 1 {
			if in&bit == 0 {
				continue
			}
			d := directive{bit, name}
			if byDirective[d] != nil {
				panic("directive declared twice: " + name)
			}
			byDirective[d] = s
		}
	}
	if s.Name != "" {
		put(s.In, s.Name)
	}
	for _, t := range s.into {
		byTag[contribution{t.ID, s.tag}] = s
	}
	for _, a := range s.Aliases {
		if sec, name, ok := strings.Cut(a, "."); ok {
			put(sectionBit(sec), name)
		} else {
			put(s.In, a)
		}
	}
	for _, n := range append([]string{s.Native}, s.NativeAliases...) {
		k := splitNative(n)
		if byNative[k] != nil {
			panic("native key declared twice: " + n)
		}
		byNative[k] = s
	}
}

func splitNative(path string) nativeKey {
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		return nativeKey{path[:i], path[i+1:]}
	}
	return nativeKey{"", path}
}

// mustDefault parses a default of the table; a bad one is a mistake in the
// source and stops every program at once.
func mustDefault[T any](s *Setting, text string) any {
	if text == "" {
		return nil
	}
	c := &ctx{s: s, text: text}
	v, ok := kinds[s.Kind].parse(c, text)
	if !ok || c.err != "" {
		panic(fmt.Sprintf("default %q of %s: %s", text, s.Native, c.err))
	}
	return any(v.(T))
}
