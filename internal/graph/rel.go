package graph

import (
	"math/bits"
	"strings"
)

// Index is the number of a unit in a Graph. It stays valid as long as the Graph
// lives, because units are only ever appended.
type Index int32

// None is the Index of no unit.
const None Index = -1

// Rel is a set of relations that one unit has to another. Every relation has
// an inverse, and both ends of an edge are stored: if a has Requires to b, then
// b has RequiredBy to a.
type Rel uint32

// The pairs are neighbours, so that Inverse is a swap of neighbouring bits.
const (
	Requires Rel = 1 << iota
	RequiredBy
	Requisite
	RequisiteOf
	Wants
	WantedBy
	BindsTo
	BoundBy
	Upholds
	UpheldBy
	PartOf
	ConsistsOf
	Conflicts
	ConflictedBy
	Before
	After
	OnFailure
	OnFailureOf
	OnSuccess
	OnSuccessOf
	Triggers
	TriggeredBy
	PropagatesReloadTo
	ReloadPropagatedFrom
	PropagatesStopTo
	StopPropagatedFrom
	JoinsNamespaceOf
	NamespaceJoinedBy
	InSlice
	SliceOf
	// Names is no dependency: the one asks for the other, in its files or by what it
	// is. Who is asked for has to be there (View.InUse of the core).
	Names
	NamedBy
)

// Dependencies is all of a Rel but who asked for it.
const Dependencies = ^(Names | NamedBy)

const (
	forwardBits Rel = 0x55555555
	inverseBits Rel = 0xaaaaaaaa
)

var relNames = [...]string{
	"Requires", "RequiredBy", "Requisite", "RequisiteOf", "Wants", "WantedBy",
	"BindsTo", "BoundBy", "Upholds", "UpheldBy", "PartOf", "ConsistsOf",
	"Conflicts", "ConflictedBy", "Before", "After", "OnFailure", "OnFailureOf",
	"OnSuccess", "OnSuccessOf", "Triggers", "TriggeredBy",
	"PropagatesReloadTo", "ReloadPropagatedFrom",
	"PropagatesStopTo", "StopPropagatedFrom",
	"JoinsNamespaceOf", "NamespaceJoinedBy", "Slice", "SliceOf", "Names", "NamedBy",
}

// Inverse is the same set as seen from the other end of the edge.
func (r Rel) Inverse() Rel {
	return r&forwardBits<<1 | r&inverseBits>>1
}

// Has says whether r contains any relation of s.
func (r Rel) Has(s Rel) bool { return r&s != 0 }

// String gives the names of the D-Bus properties, joined by "+".
func (r Rel) String() string {
	if r == 0 {
		return "none"
	}
	var names []string
	for rest := r; rest != 0; rest &= rest - 1 {
		if i := bits.TrailingZeros32(uint32(rest)); i < len(relNames) {
			names = append(names, relNames[i])
		} else {
			names = append(names, "invalid")
		}
	}
	return strings.Join(names, "+")
}

// Edge is everything that a unit has to do with one other unit.
type Edge struct {
	To  Index
	Rel Rel
}
