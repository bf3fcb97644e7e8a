package utmp

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// The machine's own who(1) must be able to read what is written.
func TestWhoReadsIt(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	rec := BootTime(runtime.GOARCH, "6.12.1-test", at)
	if rec == nil {
		t.Fatalf("no layout for %s", runtime.GOARCH)
	}
	name := filepath.Join(t.TempDir(), "utmp")
	if err := os.WriteFile(name, rec, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("who", "-b", name)
	cmd.Env = []string{"TZ=UTC", "LC_ALL=C"}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "system boot") || !strings.Contains(string(out), "Mar  4 05:06") {
		t.Errorf("who -b: %q, %v", out, err)
	}
}

func TestSizes(t *testing.T) {
	for arch, want := range map[string]int{"amd64": 384, "arm64": 400, "riscv64": 400, "s390x": 0, "mips": 0} {
		if got := len(BootTime(arch, "r", time.Unix(1, 0))); got != want {
			t.Errorf("%s: %d bytes; want %d", arch, got, want)
		}
	}
}
