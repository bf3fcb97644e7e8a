package witness

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// look asks what a loader would ask of a small tree.
func look(t *testing.T, w *FS) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{".", "units", "units/a.service.d"} {
		_, err := fs.ReadDir(w, dir)
		must(err)
	}
	for _, file := range []string{"units/a.service", "elsewhere/read"} {
		_, err := fs.ReadFile(w, file)
		must(err)
	}
	_, err := w.ReadLink("units/link.service")
	must(err)
	for _, there := range []string{"units/unread.service", "elsewhere"} {
		_, err = w.Lstat(there)
		must(err)
	}
	for _, none := range []string{"elsewhere/none", "units/none.service", "none/none"} {
		if _, err := w.Lstat(none); err == nil {
			t.Fatalf("%s is there", none)
		}
	}
}

func TestHolds(t *testing.T) {
	for name, c := range map[string]struct {
		change func(dir string) error
		holds  bool
	}{
		"nothing":                        {func(string) error { return nil }, true},
		"a file that was read":           {func(d string) error { return os.WriteFile(d+"/units/a.service", []byte("b"), 0o644) }, false},
		"a file elsewhere that was read": {func(d string) error { return os.WriteFile(d+"/elsewhere/read", []byte("b"), 0o644) }, false},
		"a file that was not read":       {func(d string) error { return os.WriteFile(d+"/units/unread.service", []byte("b"), 0o644) }, true},
		"another file elsewhere":         {func(d string) error { return os.WriteFile(d+"/elsewhere/new", nil, 0o644) }, true},
		"a new file":                     {func(d string) error { return os.WriteFile(d+"/units/new.service", nil, 0o644) }, false},
		"one that was missed elsewhere":  {func(d string) error { return os.WriteFile(d+"/elsewhere/none", nil, 0o644) }, false},
		"one that was missed where nothing was": {func(d string) error {
			if err := os.Mkdir(d+"/none", 0o755); err != nil {
				return err
			}
			return os.WriteFile(d+"/none/none", nil, 0o644)
		}, false},
		"another directory in its place": {func(d string) error {
			if err := os.Rename(d+"/elsewhere", d+"/former"); err != nil {
				return err
			}
			if err := os.Mkdir(d+"/elsewhere", 0o755); err != nil {
				return err
			}
			return os.WriteFile(d+"/elsewhere/read", []byte("a"), 0o644)
		}, false},
		"a new drop-in":  {func(d string) error { return os.WriteFile(d+"/units/a.service.d/x.conf", nil, 0o644) }, false},
		"a removed file": {func(d string) error { return os.Remove(d + "/units/unread.service") }, false},
		"the same again": {func(d string) error {
			if err := os.WriteFile(d+"/new", []byte("a"), 0o644); err != nil {
				return err
			}
			return os.Rename(d+"/new", d+"/units/a.service")
		}, false},
		"another link": {func(d string) error {
			if err := os.Symlink("unread.service", d+"/new"); err != nil {
				return err
			}
			return os.Rename(d+"/new", d+"/units/link.service")
		}, false},
	} {
		both(t, name, func(t *testing.T, watched bool) {
			dir := t.TempDir()
			for _, d := range []string{"units/a.service.d", "elsewhere"} {
				if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, f := range []string{"units/a.service", "units/unread.service", "elsewhere/read"} {
				if err := os.WriteFile(filepath.Join(dir, f), []byte("a"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Symlink("a.service", filepath.Join(dir, "units/link.service")); err != nil {
				t.Fatal(err)
			}
			begin := func() *FS {
				w := New(os.DirFS(dir))
				w.now = later
				if watched {
					if err := w.Watch(dir); err != nil {
						t.Fatal(err)
					}
					t.Cleanup(w.Close)
				}
				return w
			}
			own, told := begin(), begin()
			look(t, own)
			read, met := own.Seen()
			for _, name := range met {
				told.Look(name, false)
				if !told.Saw(name, false) || told.Saw(name, true) {
					t.Errorf("%s was met, and not read", name)
				}
			}
			for _, name := range read {
				told.Look(name, true)
				if !told.Saw(name, false) || !told.Saw(name, true) {
					t.Errorf("%s was read", name)
				}
			}
			for _, w := range []*FS{own, told} {
				for range 2 {
					if !w.Holds() {
						t.Fatal("nothing has changed, and it does not hold")
					}
				}
				if w.watch != nil && !w.quiet() {
					t.Error("nothing was reported, and all would be compared again")
				}
			}
			if err := c.change(dir); err != nil {
				t.Fatal(err)
			}
			if own.Holds() != c.holds || told.Holds() != c.holds {
				t.Errorf("it holds for who asked: %v, for who was told of it: %v", own.Holds(), told.Holds())
			}
		})
	}
}

// TestWatchedTwice: a directory is watched for itself and for what is awaited in it,
// whichever comes first.
func TestWatchedTwice(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	dirStamp := stamp{mode: fs.ModeDir | 0o755, inode: 1}
	for name, seen := range map[string][]map[string]stamp{
		"itself first":  {{"d": dirStamp}, {"d": dirStamp, "d/none": {}}},
		"awaited first": {{"d/none": {}}, {"d": dirStamp, "d/none": {}}},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := newWatch(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer h.close()
			for _, s := range seen {
				if err := h.cover(s); err != nil {
					t.Fatal(err)
				}
			}
			none := filepath.Join(dir, "d/none")
			if err := os.WriteFile(none, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if !h.reported() {
				t.Error("what was awaited came, and nothing is reported")
			}
			if err := os.Remove(none); err != nil {
				t.Fatal(err)
			}
			h.reported()
			if err := os.Chmod(filepath.Join(dir, "d"), 0o700); err != nil {
				t.Fatal(err)
			}
			if !h.reported() {
				t.Error("the directory itself changed, and nothing is reported")
			}
			if err := os.Chmod(filepath.Join(dir, "d"), 0o755); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// both tries something with and without reports of the kernel, between which compareEvery
// never passes.
func both(t *testing.T, name string, f func(t *testing.T, watched bool)) {
	t.Run(name, func(t *testing.T) {
		t.Run("compared", func(t *testing.T) { f(t, false) })
		t.Run("watched", func(t *testing.T) { f(t, true) })
	})
}

// later is when all that was just made is old enough to be sure of.
func later() time.Time { return hence }

var hence = time.Now().Add(time.Hour)

// What was changed a moment ago may change again without showing it, and so may what
// was changed in the future, by a clock that was set back since.
func TestDoubt(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a")
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	for after, holds := range map[time.Duration]bool{0: false, fresh - 1: false, fresh: true, time.Hour: true, -time.Hour: false} {
		w := New(os.DirFS(dir))
		w.now = func() time.Time { return time.Unix(0, stampOf(info).changed).Add(after) }
		if _, err := fs.ReadFile(w, "a"); err != nil {
			t.Fatal(err)
		}
		if w.Holds() != holds {
			t.Errorf("read %v after its change: it holds %v", after, w.Holds())
		}
		if read, met := w.Seen(); (len(read) == 1) != holds || len(met) != 0 {
			t.Errorf("read %v after its change: it rests on %q and %q", after, read, met)
		}
	}
}
