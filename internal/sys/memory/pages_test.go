package memory

import (
	"os"
	"strings"
	"testing"
)

// What the kernel says of this process: THP_enabled (proc_pid_status(5)).
func TestSmallPages(t *testing.T) {
	if err := SmallPages(); err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(status), "\nTHP_enabled:\t0\n") {
		t.Errorf("huge pages are still made:\n%s", status)
	}
}
