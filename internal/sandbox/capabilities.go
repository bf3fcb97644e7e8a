package sandbox

import (
	"fmt"
	"slices"
	"strings"

	"dynamod/internal/unit"
)

// capabilityNames are in the order of their numbers (capabilities(7),
// linux/capability.h).
var capabilityNames = []string{"chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid",
	"setpcap", "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
	"sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice", "sys_resource",
	"sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap", "mac_override", "mac_admin",
	"syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf", "checkpoint_restore"}

// CapabilityCount is how many capabilities are known by name; their numbers begin at 0.
func CapabilityCount() int { return len(capabilityNames) }

// CapabilityName is the name of capability n, which must be one.
func CapabilityName(n int) string { return "CAP_" + strings.ToUpper(capabilityNames[n]) }

// CapabilityNumber is the number of a capability, with or without "CAP_" and in any
// case; -1 for one that nobody knows.
func CapabilityNumber(name string) int {
	return slices.Index(capabilityNames, strings.TrimPrefix(strings.ToLower(name), "cap_"))
}

// Capabilities merges the assignments of a capability setting: each adds its
// capabilities, or with ~ first takes them away; the first one starts from none,
// or with ~ from all. unset is the answer where nothing is assigned. The error names
// a capability that nobody knows.
func Capabilities(u *unit.Unit, k unit.Key[[]string], unset uint64) (uint64, error) {
	if !k.IsSet(u) {
		return unset, nil
	}
	words := k.Of(u)
	from := u.Origin(k.Setting())
	set := uint64(0)
	inverted := false
	for i, word := range words {
		// "~" holds for its whole assignment: that is one place in a file.
		if i == 0 || len(from) != len(words) || from[i].File != from[i-1].File || from[i].Line != from[i-1].Line {
			inverted = strings.HasPrefix(word, "~")
		}
		if i == 0 && inverted {
			set = ^uint64(0)
		}
		word = strings.TrimPrefix(word, "~")
		if word == "" {
			continue
		}
		n := CapabilityNumber(word)
		if n < 0 {
			return 0, fmt.Errorf("there is no capability %q", word)
		}
		if inverted {
			set &^= 1 << n
		} else {
			set |= 1 << n
		}
	}
	return set, nil
}
