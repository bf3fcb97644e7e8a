// Package pid1 decides what PID 1 does between the end of early boot and the last
// reboot(2): the life of the manager, the descriptors kept for it, the exits it has
// not seen, the signals, the order of a shutdown, the verdict on the boot and when
// the hardware watchdog is fed. docs/pid1.md has its table, and a test compares.
//
// It is a function of its events. It owns no clock, no file and no process, has all
// its storage from the start, and allocates nothing afterwards (a test counts):
// PID 1 must not be able to run out of memory on the way to a reboot.
//
// The shell around it calls Step with what happened, carries out Orders at once
// and in order, sends what Next gives, and calls Step with DeadlinePassed when
// Deadline is due.
package pid1
