// Package timerslack says how late the kernel may wake up a thread and the processes that it
// starts (prctl(2), PR_SET_TIMERSLACK).
package timerslack

import "golang.org/x/sys/unix"

// Kinds of slack, in ns.
const (
	// Lazy is for Go programs. While one works, its scheduler has a thread that looks at it
	// each 20 µs at first: on one processor each of these looks interrupts the work
	// (docs/pid1.md, What a boot costs). What such a program waits for by the clock may be so
	// much later.
	Lazy = 1_000_000
	// Kernel is what the kernel gives the first process of a machine.
	Kernel = 50_000
)

// Own is the slack of this thread, -1 if the kernel does not say.
func Own() int {
	ns, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return -1
	}
	return ns
}

// While calls f while this thread, which the caller has locked, has another slack. What f
// starts has that one, also as what it falls back to. Where it cannot be set it is not.
func While(ns int, f func()) {
	if own := Own(); own > 0 && unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(ns), 0, 0, 0) == nil {
		defer unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(own), 0, 0, 0)
	}
	f()
}
