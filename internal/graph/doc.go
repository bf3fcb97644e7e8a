// Package graph knows how units hang together: the edges between them, where
// each edge comes from, the ordering cycles, and what a request does to all of
// them (a transaction).
//
// It owns the implicit and default dependencies of every unit type, the
// expansion of a request over dependencies, the merging of jobs per unit, the
// checks against jobs that are installed already, the breaking of ordering
// cycles, and the rule which of two jobs waits for the other.
//
// It refuses to run anything or to remember what runs: the present state comes
// in through Present, and a Plan is only a proposal that the core installs.
//
// # Edges
//
// A unit has one sorted list of edges, one edge for each other unit, with the
// relations of both directions as bits. What a unit's files say, what its type
// implies and the defaults are made by an emitter that looks at one unit
// (rules*.go): Build runs it over all units, Add and Remove over one and its
// neighbours, Origins again to explain. Units that are only named are
// placeholders (Unit is nil, Load is NotFound); slices and devices exist without
// a file, and so do -.mount and -.slice.
//
// Default dependencies are only made on units that exist: a system without
// sysinit.target needs no order after it. Native units get none of them but
// "ends before shutdown.target", and that too only if there is one; a native
// file that writes [dependencies] default = true gets what a unit file gets.
// Membership in a supervisor is not an edge.
//
// # Transactions
//
// Plan expands the requested job into wishes (a unit and a job type), with links
// that say who wished what and whether it matters to him. Wishes that cannot be
// had fail those to whom they matter; start and stop of one unit are decided by
// what the anchor requires; what would change nothing is left out together with
// what only it had wished; ordering cycles lose a job that nothing requires
// (C-13). What remains of the wishes on a unit merges into its job.
//
// The rules are those of systemd.unit(5) and systemctl(1) where these are
// precise, and else those recorded from systemd 257; testdata/README says how.
package graph
