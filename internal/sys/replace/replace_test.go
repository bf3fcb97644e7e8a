package replace

import (
	"os"
	"path/filepath"
	"testing"
)

// A file is the old one or the new one, and nothing is left beside it, full disk or not.
func TestFile(t *testing.T) {
	at := filepath.Join(t.TempDir(), "f")
	for _, text := range []string{"first", "second"} {
		if err := File(at, text); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(at); err != nil || string(got) != text {
			t.Errorf("%q, %v; want %q", got, err, text)
		}
	}
	if err := os.Symlink("/dev/full", filepath.Join(filepath.Dir(at), ".#f")); err != nil {
		t.Fatal(err)
	}
	if err := File(at, "third"); err == nil {
		t.Error("a full disk is no error")
	}
	list, err := os.ReadDir(filepath.Dir(at))
	if got, e := os.ReadFile(at); err != nil || e != nil || len(list) != 1 || string(got) != "second" {
		t.Errorf("%v, %v, %q: the old file is not the only one", err, list, got)
	}
}
