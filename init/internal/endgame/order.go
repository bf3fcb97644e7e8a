package endgame

import (
	"strings"

	"dynamod/internal/sys/mountinfo"
)

// virtual are file systems with nothing behind them that could be lost.
var virtual = map[string]bool{
	"autofs": true, "binfmt_misc": true, "bpf": true, "cgroup": true, "cgroup2": true, "configfs": true, "debugfs": true,
	"devpts": true, "devtmpfs": true, "efivarfs": true, "fusectl": true, "hugetlbfs": true, "mqueue": true, "nsfs": true,
	"proc": true, "pstore": true, "ramfs": true, "rootfs": true, "rpc_pipefs": true, "securityfs": true, "selinuxfs": true,
	"sysfs": true, "tmpfs": true, "tracefs": true,
}

// remote are file systems whose server may have gone.
var remote = map[string]bool{
	"nfs": true, "nfs4": true, "cifs": true, "smb3": true, "ceph": true, "9p": true, "afs": true, "glusterfs": true,
}

func isRemote(e *mountinfo.Entry) bool {
	return remote[e.Type] || e.Type == "fuse" || strings.HasPrefix(e.Type, "fuse.")
}

// stays says that a mount is left alone: the kernel's own places, which hold nothing.
// Elsewhere even a tmpfs goes, for it may keep what lies below it busy.
func stays(e *mountinfo.Entry) bool {
	switch e.Point {
	case "/":
		return true
	case "/proc", "/sys", "/dev", "/run":
		return virtual[e.Type]
	}
	for _, top := range []string{"/proc/", "/sys/", "/dev/"} {
		if strings.HasPrefix(e.Point, top) {
			return virtual[e.Type]
		}
	}
	return false
}

// order is what is to be unmounted, the latest mount first: what was mounted later may
// lie on what was mounted before, never the other way about.
func order(table []mountinfo.Entry) []mountinfo.Entry {
	var out []mountinfo.Entry
	for i := len(table) - 1; i >= 0; i-- {
		if !stays(&table[i]) {
			out = append(out, table[i])
		}
	}
	return out
}

// readOnly is what could not be unmounted and has to become read-only, the root file
// system last.
func readOnly(table []mountinfo.Entry) []mountinfo.Entry {
	var out []mountinfo.Entry
	for i := len(table) - 1; i >= 0; i-- {
		e := &table[i]
		if !virtual[e.Type] && writable(e.Super) {
			out = append(out, *e)
		}
	}
	return out
}

func writable(options string) bool { return options == "rw" || strings.HasPrefix(options, "rw,") }

// parse reads /proc/self/mountinfo.
func parse(data []byte) []mountinfo.Entry {
	var out []mountinfo.Entry
	for line := range strings.Lines(string(data)) {
		if e, ok := mountinfo.Parse([]byte(strings.TrimSuffix(line, "\n"))); ok {
			out = append(out, e)
		}
	}
	return out
}
