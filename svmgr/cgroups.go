package main

import (
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// wOK asks access(2) for write permission.
const wOK = 2

// cgroupRoot is the cgroup2 directory that this manager may use: its own group, in
// which it must be able to make others. "" when there is none; what is missing is
// said once.
func cgroupRoot(log *slog.Logger) string {
	mount := ""
	if data, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		mount = cgroup2Mount(string(data))
	}
	if mount == "" {
		log.Warn("no cgroup2 file system is mounted: services are tracked by session and process only, without limits")
		return ""
	}
	own := ""
	if data, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		for line := range strings.Lines(string(data)) {
			if rest, ok := strings.CutPrefix(line, "0::"); ok {
				own = strings.TrimSpace(rest)
			}
		}
	}
	dir := filepath.Join(mount, own)
	if syscall.Access(dir, wOK) != nil || syscall.Access(filepath.Join(dir, "cgroup.procs"), wOK) != nil {
		log.Warn("the manager's own cgroup is not writable: services are tracked by session and process only, without limits", "cgroup", dir)
		return ""
	}
	return dir
}

// subtree is the group that holds all units of a standalone manager: others like it
// may run in the same cgroup, and each knows its own by the runtime directory.
func subtree(s settings) string {
	if s.mode != standalone {
		return ""
	}
	h := fnv.New32a()
	h.Write([]byte(s.runtimeDir))
	return fmt.Sprintf("standalone-%08x", h.Sum32())
}

// cgroup2Mount finds the mount point in /proc/self/mountinfo (proc_pid_mountinfo(5)):
// the file system type is the first field after the separator.
func cgroup2Mount(mountinfo string) string {
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if ok && strings.HasPrefix(after, "cgroup2 ") && len(fields) >= 5 {
			return unescapeMount(fields[4])
		}
	}
	return ""
}

// unescapeMount undoes the octal escapes of mountinfo.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
