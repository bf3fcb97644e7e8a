package main

import "dynamod/init/internal/raw"

var selfSmaps = [...]byte{'/', 'p', 'r', 'o', 'c', '/', 's', 'e', 'l', 'f', '/', 's', 'm', 'a', 'p', 's', 0}

// smaps is room for the program's own mappings, which come first: three, of less than
// 1 kB each. What does not fit stays as it is.
var smaps [4096]byte

// giveBack drops, once after the boot, the pages of the program that it ran through. No
// collection of garbage goes with it: what the collector keeps about memory is more than
// what it would free (docs/pid1.md).
func (r *runner) giveBack() {
	if r.coldAt == 0 || r.now() < r.coldAt {
		return
	}
	r.coldAt = 0
	fd, errno := raw.Open(selfSmaps[:])
	if errno != 0 {
		return // no /proc: nobody sees how much it is either
	}
	n := raw.Read(fd, smaps[:])
	raw.Close(fd)
	raw.DropClean(smaps[:n])
}
