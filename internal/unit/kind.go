package unit

import (
	"slices"
	"time"
)

// The kinds of values and the Go types behind them.
const (
	// BoolKind is bool.
	BoolKind Kind = iota
	// StringKind is string.
	StringKind
	// NameKind is string: a user, group or similar, a number in TOML too.
	NameKind
	// PathKind is string: an absolute path, with "-" or "~" where the row
	// allows it.
	PathKind
	// IntKind is int64.
	IntKind
	// WeightKind is int64: 1…10000, 0 for "idle".
	WeightKind
	// DurationKind is time.Duration.
	DurationKind
	// SizeKind is Quantity.
	SizeKind
	// PercentKind is int64 in hundredths of a percent.
	PercentKind
	// ModeKind is uint32, an octal file mode.
	ModeKind
	// SignalKind is int32.
	SignalKind
	// EnumKind is string, one of the row's words.
	EnumKind
	// SwitchKind is string: an enumeration that also takes booleans.
	SwitchKind
	// RlimitKind is Rlimit.
	RlimitKind
	// ExitSetKind is ExitSet.
	ExitSetKind
	// UnitKind is string, the full name of one unit.
	UnitKind
	// UnitsKind is []string of unit names.
	UnitsKind
	// WordsKind is []string, split at blanks and unquoted.
	WordsKind
	// LinesKind is []string, one item per assignment.
	LinesKind
	// PathsKind is []string of absolute paths with their prefixes.
	PathsKind
	// EnvironmentKind is []string of NAME=VALUE.
	EnvironmentKind
	// ExecsKind is []Exec.
	ExecsKind
	// ConditionsKind is []Condition.
	ConditionsKind
	// ListensKind is []Listen.
	ListensKind
	// CalendarsKind is []Calendar.
	CalendarsKind
	// MonotonicsKind is []Monotonic.
	MonotonicsKind
	// WatchesKind is []PathWatch.
	WatchesKind
	// BindMountsKind is []BindMount.
	BindMountsKind

	kindEnd
)

// String is the word for people: "duration", "list of units".
func (k Kind) String() string { return kinds[k].word }

// IsList says whether values of the kind are lists with one origin per item.
func (k Kind) IsList() bool { return kinds[k].join != nil }

func boolean(s Setting) Key[bool]           { return declare[bool](BoolKind, s) }
func str(s Setting) Key[string]             { return declare[string](StringKind, s) }
func name(s Setting) Key[string]            { return declare[string](NameKind, s) }
func path(s Setting) Key[string]            { return declare[string](PathKind, s) }
func integer(s Setting) Key[int64]          { return declare[int64](IntKind, s) }
func weight(s Setting) Key[int64]           { return declare[int64](WeightKind, s) }
func duration(s Setting) Key[time.Duration] { return declare[time.Duration](DurationKind, s) }
func size(s Setting) Key[Quantity]          { return declare[Quantity](SizeKind, s) }
func percent(s Setting) Key[int64]          { return declare[int64](PercentKind, s) }
func mode(s Setting) Key[uint32]            { return declare[uint32](ModeKind, s) }
func signal(s Setting) Key[int32]           { return declare[int32](SignalKind, s) }
func enum(s Setting) Key[string]            { return declare[string](EnumKind, s) }
func toggle(s Setting) Key[string]          { return declare[string](SwitchKind, s) }
func rlimit(s Setting) Key[Rlimit]          { return declare[Rlimit](RlimitKind, s) }
func exitSet(s Setting) Key[ExitSet]        { return appending[ExitSet](ExitSetKind, s) }
func unitName(s Setting) Key[string]        { return declare[string](UnitKind, s) }
func unitList(s Setting) Key[[]string]      { return appending[[]string](UnitsKind, s) }
func words(s Setting) Key[[]string]         { return appending[[]string](WordsKind, s) }
func lines(s Setting) Key[[]string]         { return appending[[]string](LinesKind, s) }
func paths(s Setting) Key[[]string]         { return appending[[]string](PathsKind, s) }
func execs(s Setting) Key[[]Exec]           { return appending[[]Exec](ExecsKind, s) }
func conditions(s Setting) Key[[]Condition] { return appending[[]Condition](ConditionsKind, s) }
func listens(s Setting) Key[[]Listen]       { return appending[[]Listen](ListensKind, s) }
func calendars(s Setting) Key[[]Calendar]   { return appending[[]Calendar](CalendarsKind, s) }
func monotonics(s Setting) Key[[]Monotonic] { return appending[[]Monotonic](MonotonicsKind, s) }
func watches(s Setting) Key[[]PathWatch]    { return appending[[]PathWatch](WatchesKind, s) }
func bindMounts(s Setting) Key[[]BindMount] { return appending[[]BindMount](BindMountsKind, s) }
func environment(s Setting) Key[[]string] {
	s.Merge = ByName
	return declare[[]string](EnvironmentKind, s)
}

func appending[T any](k Kind, s Setting) Key[T] {
	if s.Merge == Last {
		s.Merge = Append
	}
	return declare[T](k, s)
}

// kindRow is what the package can do with one kind.
type kindRow struct {
	word string
	// toml are the syntactic types that the kind accepts in the native
	// format, and want names them in a hint.
	toml []ValueKind
	want string
	// parse reads a right-hand side. For lists it leaves the offset of each
	// item in c.offs. It reports what is wrong through c and says whether
	// there is a value to keep; nil and true means an empty list.
	parse func(c *ctx, text string) (any, bool)
	// items reads a TOML array; nil for kinds that take none.
	items func(c *ctx, items []string) (any, bool)
	// join, size and take are the list operations: concatenation, length,
	// and the items at the given ascending indices.
	join func(a, b any) any
	size func(v any) int
	take func(v any, at []int) any
	// text writes the value in unit-file grammar, one string per item.
	text func(s *Setting, v any) []string
}

func joinSlices[E any](a, b any) any { return append(a.([]E), b.([]E)...) }

func sizeSlice[E any](v any) int { return len(v.([]E)) }

func takeSlice[E any](v any, at []int) any {
	in := v.([]E)
	out := make([]E, 0, len(at))
	for _, i := range at {
		out = append(out, in[i])
	}
	return out
}

func list[E any](k kindRow, item func(s *Setting, e E) string) kindRow {
	k.join, k.size, k.take = joinSlices[E], sizeSlice[E], takeSlice[E]
	if k.toml == nil {
		k.toml, k.want = []ValueKind{ArrayValue, StringValue}, "an array of strings"
	}
	k.text = func(s *Setting, v any) []string {
		in := v.([]E)
		out := make([]string, len(in))
		for i, e := range in {
			out[i] = item(s, e)
		}
		return out
	}
	return k
}

func scalar[T any](k kindRow, text func(s *Setting, v T) string) kindRow {
	k.text = func(s *Setting, v any) []string { return []string{text(s, v.(T))} }
	return k
}

func (k *kindRow) takes(v ValueKind) bool { return slices.Contains(k.toml, v) }
