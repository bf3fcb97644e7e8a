//go:build !plantedbug

package core

// plantedBug breaks invariant h when the build tag plantedbug is set, so that a
// test can show that the simulator finds it.
const plantedBug = false
