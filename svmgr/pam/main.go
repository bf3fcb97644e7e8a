//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command dynamod-pam is dynamod-child for units with PAMName= (systemd.exec(5)): it opens a
// session of PAM before it becomes the unit's program. It is a program of its own because
// modules of PAM are C libraries: it is linked dynamically, against the C library and
// nothing else, and opens libpam when it runs. It links no C at build time (purego).
//
// A second process of it, "keep", stays as long as the unit's process lives, and closes the
// session then: it has what modules have left open, like the pipe of pam_systemd.
package main

import (
	"fmt"
	"os"
	"runtime"

	"dynamod/svmgr/internal/child"
)

// The first thread is the process to the kernel, where modules change things that belong
// to a thread: loginuid, keyrings. Only what is locked this early stays on it.
func init() { runtime.LockOSThread() }

func main() {
	if args := os.Args[1:]; len(args) == 4 && args[0] == keepWord {
		if err := keep(child.PAM{Service: args[1], User: args[2], TTY: args[3]}); err != nil {
			fmt.Fprintln(os.Stderr, "dynamod-pam:", err)
			os.Exit(1)
		}
		return
	}
	child.MainWith(open)
}
