package check

import (
	"os"
	"strconv"
	"strings"
)

// peakMemory is the most memory this process ever had in RAM, in bytes, and 0
// where /proc does not tell (proc(5), VmHWM). getrusage(2) would count what
// the parent had before exec.
func peakMemory() uint64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}
