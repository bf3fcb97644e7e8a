// Package getty works out which consoles get a login prompt, as
// systemd-getty-generator(8) describes. It knows names only; whether a console
// is there, and what serves it, is for others to say.
package getty

import (
	"slices"
	"strings"
)

// Machine is what the kernel says.
type Machine struct {
	// Active is /sys/class/tty/console/active: the consoles of the kernel.
	Active string
	// Cmdline is /proc/cmdline. Its console= words count when Active says nothing.
	Cmdline string
	// VirtualTerminals says that /sys/class/tty/tty0 exists.
	VirtualTerminals bool
}

// Console is one login prompt.
type Console struct {
	// TTY is the name below /dev.
	TTY string
	// Virtual is a virtual terminal, as against a serial line or a hypervisor's.
	Virtual bool
}

// FirstVT is the virtual terminal that gets a prompt; others are started by hand
// or by logind.
const FirstVT = "tty1"

// maxConsoles bounds what a strange command line can ask for.
const maxConsoles = 32

// Consoles lists the prompts, the virtual one first, then in the kernel's order.
func Consoles(m Machine) []Console {
	words := strings.Fields(m.Cmdline)
	for i := len(words) - 1; i >= 0; i-- {
		// kernel-command-line(7).
		if v, ok := strings.CutPrefix(words[i], "systemd.getty_auto="); ok {
			if slices.Contains([]string{"0", "no", "false", "off", "n", "f"}, strings.ToLower(v)) {
				return nil
			}
			break
		}
	}
	names := strings.Fields(m.Active)
	if len(names) == 0 {
		for _, w := range words {
			if v, ok := strings.CutPrefix(w, "console="); ok {
				v, _, _ = strings.Cut(v, ",")
				names = append(names, v)
			}
		}
	}
	var out []Console
	add := func(c Console) {
		if len(out) < maxConsoles && !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	if m.VirtualTerminals {
		add(Console{FirstVT, true})
	}
	for _, n := range names {
		switch {
		case virtual(n):
			add(Console{FirstVT, true})
		case valid(n):
			add(Console{n, false})
		}
	}
	return out
}

// virtual: "tty0", the terminal in front, and its numbered kin.
func virtual(name string) bool {
	n, ok := strings.CutPrefix(name, "tty")
	return ok && n != "" && strings.Trim(n, "0123456789") == ""
}

// valid refuses what is no name of a terminal: the null console and the consoles
// that only write (netcon, pstore) have none to log in on.
func valid(name string) bool {
	switch {
	case name == "ttynull" || name == "null" || strings.HasPrefix(name, "netcon") || strings.HasPrefix(name, "pstore"):
		return false
	case name == "" || len(name) > 64 || name[0] == '/' || strings.Contains(name, ".."):
		return false
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_./", c) >= 0) {
			return false
		}
	}
	return true
}
