package capacity

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTasks(t *testing.T) {
	for _, c := range []struct {
		pidMax, threads, group string
		want                   uint64
		bad                    bool
	}{
		{"4194304\n", "31447\n", "", 31447, false},
		{"32768\n", "31447\n", "max\n", 31447, false},
		{"32768\n", "131447\n", "200\n", 200, false},
		{"32768\n", "131447\n", "", 32768, false},
		{"many\n", "131447\n", "", 0, true},
		{"", "131447\n", "200\n", 0, true},
	} {
		root := t.TempDir()
		for name, text := range map[string]string{"proc/sys/kernel/pid_max": c.pidMax, "proc/sys/kernel/threads-max": c.threads, "sys/fs/cgroup/pids.max": c.group} {
			if text == "" {
				continue
			}
			if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := Tasks(root); n != c.want || (err != nil) != c.bad {
			t.Errorf("%+v: %d, %v", c, n, err)
		}
	}
	if n, err := Tasks("/"); n < 300 || err != nil {
		t.Errorf("here: %d, %v", n, err)
	}
	if n, err := Memory(); n < 1<<20 || err != nil {
		t.Errorf("memory here: %d, %v", n, err)
	}
}
