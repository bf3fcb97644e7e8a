package translate

// The structures of the interface, by what they are; their fields give their D-Bus
// types.

// Command is a(sasbttttuii): a command line and its last run.
type Command struct {
	Path                             string
	Argv                             []string
	IgnoreFailure                    bool
	Start, StartMono, Exit, ExitMono uint64
	PID                              uint32
	Code, Status                     int32
}

// CommandEx is a(sasasttttuii), with all prefixes as words.
type CommandEx struct {
	Path                             string
	Argv                             []string
	Flags                            []string
	Start, StartMono, Exit, ExitMono uint64
	PID                              uint32
	Code, Status                     int32
}

// Check is a(sbbsi), one condition and what came of it: 0 for not tried.
type Check struct {
	Name            string
	Trigger, Negate bool
	Arg             string
	Result          int32
}

// Pair is a(ss), Triple is (sss).
type (
	Pair   struct{ A, B string }
	Triple struct{ A, B, C string }
)

// Exits is (aiai): codes and signals.
type Exits struct{ Codes, Signals []int32 }

// Filter is (bas): an allow list, or a deny list.
type Filter struct {
	Allow bool
	Words []string
}

// Link is (sst): a directory of a unit, the link that leads to it, flags.
type Link struct {
	Directory, Link string
	Flags           uint64
}

// Bind is a(ssbt), one bind mount with its flags of mount(2).
type Bind struct {
	Source, Target string
	IgnoreMissing  bool
	Flags          uint64
}

// Elapse is a(sst), a calendar timer; After is a(stt), a monotonic one.
type (
	Elapse struct {
		Base, Spec string
		Next       uint64
	}
	After struct {
		Base       string
		Span, Next uint64
	}
)

// Path and number, text and flag, ignored or not: the small ones.
type (
	Amount struct { // a(st)
		Path  string
		Value uint64
	}
	Marked struct { // a(sb)
		Text string
		Flag bool
	}
	MarkedText struct { // (bs), a(bs)
		Flag bool
		Text string
	}
	Flagged struct { // a(sst)
		A, B  string
		Flags uint64
	}
	Secret struct { // a(say)
		ID   string
		Data []byte
	}
	Network struct { // a(iayu)
		Family  int32
		Address []byte
		Prefix  uint32
	}
	Binding struct { // a(iiqq)
		Family, Protocol int32
		Count, Port      uint16
	}
	Set struct { // a(iiss)
		Source, Family int32
		Table, Set     string
	}
	Image struct { // a(sba(ss))
		Source  string
		Ignore  bool
		Options []Pair
	}
	MountedImage struct { // a(ssba(ss))
		Source, Target string
		Ignore         bool
		Options        []Pair
	}
)

// zero has the empty value of each type that properties of settings have.
var zero = map[string]any{
	"b": false, "s": "", "i": int32(0), "u": uint32(0), "x": int64(0), "q": uint16(0), "t": uint64(0),
	"as": []string{}, "ay": []byte{}, "aay": [][]byte{}, "(aiai)": Exits{[]int32{}, []int32{}}, "(bas)": Filter{false, []string{}},
	"(bs)": MarkedText{}, "a(bs)": []MarkedText{}, "a(ss)": []Pair{}, "a(sb)": []Marked{}, "a(st)": []Amount{}, "a(sst)": []Flagged{},
	"a(stt)": []After{}, "a(say)": []Secret{}, "a(iayu)": []Network{}, "a(iiqq)": []Binding{}, "a(iiss)": []Set{}, "a(ssbt)": []Bind{},
	"a(sbbsi)": []Check{}, "a(sasbttttuii)": []Command{}, "a(sasasttttuii)": []CommandEx{}, "a(sba(ss))": []Image{}, "a(ssba(ss))": []MountedImage{},
}
