// Command dynamod-step does single steps of a boot that need more than a line of
// shell and no daemon: checking and remounting file systems, loading modules,
// writing kernel settings, setting the host name, and so on. It is for machines
// whose programs are those of BusyBox; the services that call it are in config/.
//
// Exit codes: 0 done or nothing to do, 1 failed, 2 usage.
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// step is one thing that the program can do.
type step struct {
	name string
	// args is the usage of its arguments, "" for none.
	args string
	min  int
	doc  string
	run  func(s *shell, args []string) error
}

var steps = []step{
	{"bootmisc", "", 0, "make what belongs into /run, /tmp and /var at boot; write the boot into utmp and wtmp", bootmisc},
	{"disk-links", "", 0, "make /dev/disk/by-* where no udev runs, from what blkid says", diskLinks},
	{"fsck", "[DEVICE]", 0, "check the root file system, or one of fstab; reboots when fsck(8) says so", checkFilesystem},
	{"getty", "TTY", 1, "become the getty for a terminal", getty},
	{"hostname", "", 0, "set the host name from /etc/hostname", setHostname},
	{"loopback", "", 0, "bring the network interface lo up", loopback},
	{"machine-id", "", 0, "write a machine ID to /etc that is missing or only in memory", machineID},
	{"modules", "", 0, "load the modules of /etc/modules, modules-load.d and the command line", loadModules},
	{"mounts", "", 0, "say which file systems of fstab are not mounted; fails unless all those are optional", checkMounts},
	{"remount", "", 0, "mount / and /usr with the options of fstab; without a line there, / read-write", remount},
	{"seed-load", "", 0, "mix the saved random seed into the kernel's pool, and replace it", seedLoad},
	{"seed-save", "", 0, "save a random seed for the next boot", seedSave},
	{"sysctl", "", 0, "write the kernel settings of sysctl.d and /etc/sysctl.conf", writeSettings},
}

// version is set by the build (-ldflags -X main.version=…).
var version = "development"

func main() {
	os.Exit(run(os.Args[1:], &shell{root: "/", out: os.Stderr}))
}

func run(args []string, s *shell) int {
	if len(args) == 1 && (args[0] == "--version" || args[0] == "-version") {
		fmt.Fprintln(s.out, "dynamod-step", version)
		return 0
	}
	if len(args) == 1 && (args[0] == "--help" || args[0] == "-h" || args[0] == "help") {
		usage(s)
		return 0
	}
	if len(args) == 0 {
		usage(s)
		return 2
	}
	i := slices.IndexFunc(steps, func(st step) bool { return st.name == args[0] })
	if i < 0 {
		fmt.Fprintf(s.out, "dynamod-step: there is no step %q; --help lists them\n", args[0])
		return 2
	}
	st := steps[i]
	if n := len(args) - 1; n < st.min || n > len(strings.Fields(st.args)) {
		fmt.Fprintf(s.out, "usage: dynamod-step %s\n", strings.TrimSpace(st.name+" "+st.args))
		return 2
	}
	s.step = st.name
	if err := st.run(s, args[1:]); err != nil {
		s.say("%v", err)
		return 1
	}
	return 0
}

func usage(s *shell) {
	fmt.Fprint(s.out, "usage: dynamod-step STEP [ARGUMENT]\n\n")
	for _, st := range steps {
		fmt.Fprintf(s.out, "  %-16s %s\n", strings.TrimSpace(st.name+" "+st.args), st.doc)
	}
}
