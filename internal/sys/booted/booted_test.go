package booted

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// They are made once, for all to read, and what is there stays; a system without /run is
// told of each, and one that has a file in the place of one of that.
func TestMake(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077))
	root := t.TempDir()
	if failed := Make(root); len(failed) != len(dirs) {
		t.Errorf("without /run %d errors; want %d", len(failed), len(dirs))
	}
	if err := os.MkdirAll(filepath.Join(root, "run/systemd/system/x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(root, "run/systemd/system"), 0o711); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if failed := Make(root); failed != nil {
			t.Error(failed)
		}
	}
	for dir, want := range map[string]os.FileMode{"run/systemd/system": 0o711, "run/systemd/system/x": 0o700, "run/systemd/seats": 0o755, "run/dynamod": 0o755} {
		if st, err := os.Stat(filepath.Join(root, dir)); err != nil || st.Mode() != os.ModeDir|want {
			t.Errorf("%s: %v, %v", dir, st, err)
		}
	}
	if err := os.Remove(filepath.Join(root, "run/systemd/seats")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "run/systemd/seats"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if failed := Make(root); len(failed) != 1 {
		t.Errorf("with a file instead: %v", failed)
	}
}
