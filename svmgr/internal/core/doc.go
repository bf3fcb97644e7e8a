// Package core decides; it never does. No I/O, clock, goroutines, locks or
// logging: an Event goes in, Actions come out, and the same events give the
// same actions. docs/states.md holds its state × input tables in prose; a test
// keeps them equal to the tables here.
//
// It owns unit states, jobs, deadlines, supervisors and the reasons for all of
// them. It refuses to know pids, file descriptors, paths of cgroups and the
// wire: a RunID stands for one attempt to run one process, a unit name for the
// rest, and the world maps both.
package core
