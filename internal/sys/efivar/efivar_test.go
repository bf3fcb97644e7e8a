package efivar

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// guarded are files that a kernel keeps from being changed: as efivarfs does, it makes a
// new file immutable, and a write to such a file fails.
type guarded struct {
	set  map[string]uint32
	bare bool
}

func (g *guarded) Get(f *os.File) (uint32, error) {
	if g.bare {
		return 0, errors.ErrUnsupported
	}
	return g.set[f.Name()], nil
}

func (g *guarded) Set(f *os.File, flags uint32) error {
	mode := os.FileMode(0o644)
	if flags&immutable != 0 {
		mode = 0o444
	}
	g.set[f.Name()] = flags
	return os.Chmod(f.Name(), mode)
}

// A variable that the kernel protects is changed and protected again, and one that has
// the value is not written.
func TestImmutable(t *testing.T) {
	root := t.TempDir()
	const name = "LoaderEntryOneShot"
	path := filepath.Join(root, Dir, name+"-"+Loader)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	g := &guarded{set: map[string]uint32{}}
	v := Variables{filepath.Join(root, Dir), g}
	now := func() string { return v.Text(name, Loader) }
	if err := v.SetText(name, Loader, "auto-a"); err != nil {
		t.Fatal(err)
	}
	g.set[path] = immutable | 0x40
	var was []uint32
	v.flags = watching{g, &was}
	if err := v.SetText(name, Loader, "auto-b"); err != nil || now() != "auto-b" {
		t.Fatalf("%v, %q", err, now())
	}
	if !slices.Equal(was, []uint32{0x40, immutable | 0x40}) {
		t.Errorf("the flags were set to %#x", was)
	}
	if err := v.SetText(name, Loader, "auto-b"); err != nil || len(was) != 2 {
		t.Errorf("%v; an equal value was written: %#x", err, was)
	}
	if err := v.Drop(name, Loader); err != nil || now() != "" || len(was) != 3 {
		t.Errorf("%v, %q, %#x", err, now(), was)
	}
	g.bare = true
	if err := v.SetText(name, Loader, "auto-c"); err != nil || now() != "auto-c" {
		t.Errorf("a file system without flags: %v", err)
	}
	if err := v.SetText(name, Loader, "auto-d"); err != nil || now() != "auto-d" {
		t.Errorf("a file system without flags: %v", err)
	}
}

// watching notes which flags are set, and checks that they are off while a file changes.
type watching struct {
	*guarded
	was *[]uint32
}

func (w watching) Set(f *os.File, flags uint32) error {
	*w.was = append(*w.was, flags)
	return w.guarded.Set(f, flags)
}
