package main

import "dynamod/init/internal/raw"

var selfMaps = [...]byte{'/', 'p', 'r', 'o', 'c', '/', 's', 'e', 'l', 'f', '/', 'm', 'a', 'p', 's', 0}

// giveBack drops, once after the boot, the pages of the program that it ran through. No
// collection of garbage goes with it: what the collector keeps about memory is more than
// what it would free (docs/pid1.md).
func (r *runner) giveBack() {
	if r.coldAt == 0 || r.now() < r.coldAt {
		return
	}
	r.coldAt = 0
	fd, errno := raw.Open(selfMaps[:])
	if errno != 0 {
		return // no /proc: nobody sees how much it is either
	}
	var maps [1024]byte // the program's own mappings come first
	n := raw.Read(fd, maps[:])
	raw.Close(fd)
	raw.DropClean(maps[:n])
}
