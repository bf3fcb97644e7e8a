package translate

import (
	"slices"
	"strconv"
	"strings"
)

// namespaces are the bits of clone(2) for the words of RestrictNamespaces=.
var namespaces = map[string]uint64{"cgroup": 0x02000000, "ipc": 0x08000000, "net": 0x40000000, "mnt": 0x00020000,
	"pid": 0x20000000, "user": 0x10000000, "uts": 0x04000000, "time": 0x00000080}

const allNamespaces = 0x7e020080

// namespaceMask are the namespaces that stay allowed.
func namespaceMask(v []string) uint64 {
	if len(v) == 0 {
		return allNamespaces
	}
	set := uint64(0)
	for i, w := range v {
		rest, deny := strings.CutPrefix(w, "~")
		if i == 0 && deny {
			set = allNamespaces
		}
		switch rest {
		case "yes":
			set = 0
		case "no":
			set = allNamespaces
		}
		if deny {
			set &^= namespaces[rest]
		} else {
			set |= namespaces[rest]
		}
	}
	return set
}

// dumped are the bits of /proc/PID/coredump_filter (core(5)).
var dumped = []string{"private-anonymous", "shared-anonymous", "private-file-backed", "shared-file-backed", "elf-headers",
	"private-huge", "shared-huge", "private-dax", "shared-dax"}

func coredumpMask(v []string) uint64 {
	set := uint64(0)
	for _, w := range v {
		switch k := slices.Index(dumped, w); {
		case k >= 0:
			set |= 1 << k
		case w == "all":
			set |= 1<<len(dumped) - 1
		case w == "default":
			set |= 0x33
		default:
			if n, err := strconv.ParseUint(w, 16, 64); err == nil {
				set |= n
			}
		}
	}
	return set
}

// secureBits are those of capabilities(7).
var secureBits = map[string]int32{"noroot": 1, "noroot-locked": 2, "no-setuid-fixup": 4, "no-setuid-fixup-locked": 8,
	"keep-caps": 16, "keep-caps-locked": 32}

// errnos are those that system call filters are given in practice (errno(3)); others
// are written as numbers.
var errnos = map[string]int64{"EPERM": 1, "ENOENT": 2, "EIO": 5, "EBADF": 9, "EAGAIN": 11, "ENOMEM": 12, "EACCES": 13, "EFAULT": 14,
	"EBUSY": 16, "EEXIST": 17, "ENODEV": 19, "EINVAL": 22, "ENOSYS": 38, "EOPNOTSUPP": 95, "EUCLEAN": 117}
