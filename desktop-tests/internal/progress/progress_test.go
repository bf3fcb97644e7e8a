package progress

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// A step is told once, and nothing once the terminal is somebody else's.
func TestHush(t *testing.T) {
	name := filepath.Join(t.TempDir(), "told")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := New(f, "vm")
	p.At("booting")
	p.At("booting")
	p.Hush()
	p.At("ended")
	p.Close()
	if got, err := os.ReadFile(name); err != nil || !regexp.MustCompile(`^vm: +\d+s booting\n$`).Match(got) {
		t.Errorf("%q, %v", got, err)
	}
}
