// It has one thread that matters. Without this, Go's runtime reads all mounts at each
// start, to find out how many processors the cgroup may use.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command dynamod-child sets up one process of a unit and becomes its program. It
// is started by dynamod-svmgr and by nobody else. It is a program of its own, and
// not the manager under another name, because it runs for every process: what
// the manager links would be initialised each time, which costs more than all of
// its work (measured: 2.3 ms against 1.2 ms).
//
// Called with the arguments of mount(8), umount(8), swapon(8) or swapoff(8) it is that
// program, for machines that have none; called with "confine" it runs a generator.
package main

import (
	"os"

	"dynamod/internal/sys/confine"
	"dynamod/internal/sys/mount"
	"dynamod/svmgr/internal/child"
)

func main() {
	switch args := os.Args[1:]; {
	case mount.IsTool(args):
		os.Exit(mount.Main(args))
	case len(args) > 0 && args[0] == confine.Tool:
		os.Exit(confine.Main(args[1:]))
	}
	child.Main()
}
