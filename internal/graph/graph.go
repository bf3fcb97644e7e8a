package graph

import (
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// Graph is all units and what they have to do with each other. It is read by
// one goroutine; Add and Remove change it, and Plan uses scratch space in it.
type Graph struct {
	mode   ManagerMode
	names  []string
	units  []*unit.Unit
	byName map[string]Index
	kinds  []unitname.Type
	traits []traits
	edges  [][]Edge
	// mounts finds the mount unit of a mount point.
	mounts map[string]Index
	// below are the paths that units asked mounts for, by unit: only those need
	// another look when a mount point appears.
	below map[Index][]pathNeed
	// kept are the names of safe mode, nil outside of it.
	kept map[string]bool
	// free are the indices of removed units.
	free []Index
	// born are the units that intern made since Add began: they need their own
	// implicit dependencies, whatever index they got.
	born []Index

	planner planner
}

// Len is the number of indices in use, placeholders included.
func (g *Graph) Len() int { return len(g.names) }

// Name is the primary name of the unit.
func (g *Graph) Name(i Index) string { return g.names[i] }

// Unit is nil for the placeholder of a unit that is named but does not exist.
func (g *Graph) Unit(i Index) *unit.Unit { return g.units[i] }

// Lookup finds a unit or placeholder by name or alias.
func (g *Graph) Lookup(name string) (Index, bool) {
	i, ok := g.byName[name]
	return i, ok
}

// Edges is everything that unit i has to do with others, sorted by To, each
// other unit once. It is shared: callers must not write to it, and it is valid
// until the next Add or Remove.
func (g *Graph) Edges(i Index) []Edge { return g.edges[i] }

// Load is NotFound for placeholders.
func (g *Graph) Load(i Index) unit.LoadState {
	if u := g.units[i]; u != nil {
		return u.Load
	}
	return unit.NotFound
}
