// Package capacity tells how much the machine has of what settings give shares of
// (systemd.resource-control(5)).
package capacity

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Memory is the physical memory in bytes.
func Memory() (uint64, error) {
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err != nil {
		return 0, fmt.Errorf("sysinfo: %w", err)
	}
	return si.Totalram * uint64(si.Unit), nil
}

// Tasks is how many processes and threads there can be below root, the directory of the
// file system: the least of kernel.pid_max, kernel.threads-max and pids.max of the root
// cgroup, which only a container's has (systemd-system.conf(5), DefaultTasksMax=).
func Tasks(root string) (uint64, error) {
	least := ^uint64(0)
	for _, f := range []string{"proc/sys/kernel/pid_max", "proc/sys/kernel/threads-max", "sys/fs/cgroup/pids.max"} {
		b, err := os.ReadFile(filepath.Join(root, f))
		text := strings.TrimSpace(string(b))
		if strings.HasPrefix(f, "sys/") && (err != nil || text == "max") {
			continue
		}
		if err != nil {
			return 0, err
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", f, err)
		}
		least = min(least, n)
	}
	return least, nil
}
