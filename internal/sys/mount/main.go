package mount

import (
	"fmt"
	"os"
	"strings"
)

// The exit codes of mount(8).
const (
	exitUsage = 1
	exitFail  = 32
)

// Main is the four programs in one: args are "mount WHAT WHERE [-s] [-w] [-t TYPE]
// [-o OPTIONS]", "umount WHERE [-c] [-l] [-f]", "swapon [-o OPTIONS] WHAT" or
// "swapoff WHAT", as the manager would give them to the programs. It returns the
// exit code, as mount(8) has them.
func Main(args []string) int {
	if err := run(args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		if _, ok := err.(usageError); ok {
			return exitUsage
		}
		return exitFail
	}
	return 0
}

type usageError string

func (e usageError) Error() string { return string(e) }

// IsTool says whether args are for Main.
func IsTool(args []string) bool {
	if len(args) == 0 {
		return false
	}
	switch args[0] {
	case "mount", "umount", "swapon", "swapoff":
		return true
	}
	return false
}

func run(args []string) error {
	if !IsTool(args) {
		return usageError("mount, umount, swapon or swapoff?")
	}
	var rest []string
	given := map[string]string{}
	for i := 1; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "-t" || a == "-o":
			if i++; i == len(args) {
				return usageError(a + " needs a value")
			}
			given[a] = args[i]
		case a == "--fixpgsz": // of swapon(8): the signature's page size is the kernel's
		case strings.HasPrefix(a, "-"):
			given[a] = "yes"
		default:
			rest = append(rest, a)
		}
	}
	want := 1
	if args[0] == "mount" {
		want = 2
	}
	if len(rest) != want {
		return usageError(fmt.Sprintf("%s: %d operands instead of %d", args[0], len(rest), want))
	}
	switch args[0] {
	case "mount":
		return Mount(Request{What: rest[0], Where: rest[1], Type: given["-t"], Options: given["-o"], Sloppy: given["-s"] != "", ReadWriteOnly: given["-w"] != ""})
	case "umount":
		return Unmount(rest[0], given["-l"] != "", given["-f"] != "")
	case "swapon":
		return SwapOn(rest[0], given["-o"])
	}
	return SwapOff(rest[0])
}
