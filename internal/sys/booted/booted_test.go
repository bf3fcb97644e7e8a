package booted

import (
	"os"
	"path/filepath"
	"testing"
)

// They are made once, and what is there stays; a system without /run is told of each.
func TestMake(t *testing.T) {
	root := t.TempDir()
	if failed := Make(root); len(failed) != len(dirs) {
		t.Errorf("without /run %d errors; want %d", len(failed), len(dirs))
	}
	if err := os.MkdirAll(filepath.Join(root, "run/systemd/system/x"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if failed := Make(root); failed != nil {
			t.Error(failed)
		}
	}
	for dir, want := range map[string]os.FileMode{"run/systemd/system": 0o700, "run/systemd/system/x": 0o700, "run/systemd/seats": 0o755, "run/dynamod": 0o755} {
		if st, err := os.Stat(filepath.Join(root, dir)); err != nil || st.Mode() != os.ModeDir|want {
			t.Errorf("%s: %v, %v", dir, st, err)
		}
	}
}
