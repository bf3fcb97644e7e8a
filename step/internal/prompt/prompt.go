// Package prompt decides which getty serves a terminal and with which arguments:
// agetty(8) of util-linux, or the one of BusyBox.
package prompt

import (
	"fmt"
	"strings"
)

// Command is the program, by its path, and all of its arguments.
type Command struct {
	Path string
	Args []string
}

// For works out the command for a terminal, named below /dev. find gives the path
// of a program, "" when it is not installed, with symlinks followed in real. term
// is $TERM for serial lines, "" for the usual one.
func For(tty, term string, find func(name string) (path, real string)) (Command, error) {
	if tty == "" || tty[0] == '/' || tty[0] == '-' || strings.Contains(tty, "..") {
		return Command{}, fmt.Errorf("%q is no terminal below /dev", tty)
	}
	virtual := isVirtual(tty)
	if term == "" {
		term = "vt220"
		if virtual {
			term = "linux"
		}
	}
	if path, _ := find("agetty"); path != "" {
		args := []string{"agetty", "--noclear"}
		if !virtual {
			// The speed that the kernel's console set is right; the others are
			// tried at a break.
			args = append(args, "--keep-baud", tty, "115200,57600,38400,9600", term)
		} else {
			args = append(args, tty, term)
		}
		return Command{path, args}, nil
	}
	path, real := find("getty")
	args := []string{"getty"}
	if path == "" || !strings.HasPrefix(base(real), "busybox") {
		// A getty of somebody else has options that are not known here.
		if path, _ = find("busybox"); path == "" {
			return Command{}, fmt.Errorf("neither agetty (util-linux) nor busybox is installed; nothing can serve %s", tty)
		}
		args = []string{"busybox", "getty"}
	}
	if !virtual {
		args = append(args, "-L") // no carrier detect: most lines have three wires
	}
	// 0 leaves the speed as it is.
	return Command{path, append(args, "0", tty, term)}, nil
}

// isVirtual: tty1, tty2, … are the kernel's own terminals.
func isVirtual(tty string) bool {
	n, ok := strings.CutPrefix(tty, "tty")
	return ok && n != "" && strings.Trim(n, "0123456789") == ""
}

func base(p string) string { return p[strings.LastIndexByte(p, '/')+1:] }
