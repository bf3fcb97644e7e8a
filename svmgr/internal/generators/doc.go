// Package generators runs the programs of systemd.generator(7) and
// systemd.environment-generator(7). It finds them, gives them their directories and
// environment, runs them with a time limit, and says what became of each. What they
// write is read by internal/load like any other directory; this package looks into none
// of it.
//
// Nothing that a generator does can hurt more than its own output: each runs under
// internal/sys/confine, its messages are cut, and the directories are emptied before.
package generators
