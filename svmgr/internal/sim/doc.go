// Package sim proves the core: it runs whole histories of a machine — boot,
// crashes, operators, kills of the manager, shutdown — against a fake world in
// virtual time, and an observer that knows nothing of the core's inside checks
// invariants a–i of the design after every Step.
//
// A seed makes a Scenario (units as text, built through unit.Build) and a
// stream of decisions. Everything that reaches the core is an Entry of a
// trace; a trace with its scenario replays without the seed, so a failing
// history shrinks to a few lines of text (see Shrink and testdata/regress).
//
// It owns the fake world, the observer, the shrinker and the coverage counts.
// It refuses real time, real processes, goroutines and the core's own fields.
package sim
