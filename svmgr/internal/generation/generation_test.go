package generation_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"

	"dynamod/internal/load"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/generation"
)

// machine is a tree with everything that the loader meets: links that leave the
// search path, masks, drop-ins, native files, a broken file and one it never reads.
var machine = fstest.MapFS{
	"etc/systemd/system/web.service":                               {Data: []byte("[Service]\nExecStart=/bin/web\n")},
	"etc/systemd/system/web.service.d/50-more.conf":                {Data: []byte("[Service]\nNice=5\n")},
	"etc/systemd/system/alias.service":                             {Data: []byte("/usr/lib/systemd/system/far.service"), Mode: fs.ModeSymlink},
	"etc/systemd/system/multi-user.target.wants/web.service":       {Data: []byte("../web.service"), Mode: fs.ModeSymlink},
	"etc/systemd/system/gone.service":                              {Data: []byte("/dev/null"), Mode: fs.ModeSymlink},
	"etc/systemd/system/dangling.service":                          {Data: []byte("/opt/not/there.service"), Mode: fs.ModeSymlink},
	"etc/systemd/system/linked.service":                            {Data: []byte("/opt/linked.service"), Mode: fs.ModeSymlink},
	"opt/linked.service":                                           {Data: []byte("[Service]\nExecStart=/bin/linked\n")},
	"usr/lib/systemd/system/far.service":                           {Data: []byte("[Service]\nExecStart=/bin/far\n")},
	"usr/lib/systemd/system/multi-user.target":                     {Data: []byte("[Unit]\nDescription=all\n")},
	"usr/lib/systemd/system/get@.service":                          {Data: []byte("[Service]\nExecStart=/bin/get %i\n")},
	"usr/lib/systemd/system/README":                                {Data: []byte("never read")},
	"usr/lib/systemd/system/broken.service":                        {Data: []byte("[Service]\nRestart=perhaps\nnonsense\n")},
	"usr/lib/systemd/system/multi-user.target.wants/get@1.service": {Data: []byte("../get@.service"), Mode: fs.ModeSymlink},
	"lib":                          {Data: []byte("usr/lib"), Mode: fs.ModeSymlink},
	"etc/dynamod/services/db.toml": {Data: []byte("[service]\nexec-start = \"/bin/db\"\n")},
	"etc/fstab":                    {Data: []byte("/dev/sda1 /data ext4 nofail 0 2\n")},
}

// text is all that a load gives.
func text(t *testing.T, fsys fs.FS) string {
	t.Helper()
	set, ds := load.Load(load.Config{FS: fsys, Fstab: "/etc/fstab"})
	var b bytes.Buffer
	for _, u := range set.Units {
		b.WriteString(unit.Canonical(u) + "\n")
	}
	for _, d := range ds {
		b.WriteString(d.String() + "\n")
	}
	return b.String()
}

func record(t *testing.T, fsys fs.FS) *generation.Image {
	t.Helper()
	r := generation.Record(fsys)
	if got, want := text(t, r), text(t, fsys); got != want {
		t.Fatalf("the loader sees something else through a recorder:\n%s\nwant:\n%s", got, want)
	}
	return r.Image()
}

func TestImageLoadsAsTheFilesDid(t *testing.T) {
	want := text(t, machine)
	im := record(t, machine)
	if got := text(t, im); got != want {
		t.Errorf("loaded from the image:\n%s\nwant:\n%s", got, want)
	}
	s := generation.Open(t.TempDir())
	n, err := s.Add(im)
	if n != 1 || err != nil {
		t.Fatalf("Add = %d, %v; want 1", n, err)
	}
	kept, err := s.Image(1)
	if err != nil {
		t.Fatal(err)
	}
	if got := text(t, kept); got != want {
		t.Errorf("loaded from the archive:\n%s\nwant:\n%s", got, want)
	}
	file := filepath.Join(t.TempDir(), "inforce.tar")
	if err := generation.WriteFile(file, kept); err != nil {
		t.Fatal(err)
	}
	again, err := generation.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.Add(again); n != 1 || err != nil {
		t.Errorf("Add of what was read back = %d, %v; want the same generation 1", n, err)
	}
}

// TestWhatWasNotReadIsNoEmptyFile: an empty unit file masks a unit, so a file that
// nobody read must not look like one.
func TestWhatWasNotReadIsNoEmptyFile(t *testing.T) {
	im := record(t, machine)
	const name = "usr/lib/systemd/system/README"
	if data, err := fs.ReadFile(im, name); err == nil {
		t.Errorf("ReadFile(%s) = %q; want an error, because it was never read", name, data)
	}
	if _, err := fs.ReadDir(im, "opt"); err == nil {
		t.Error("ReadDir(opt) works; want an error, because it was never listed")
	}
}

func TestStore(t *testing.T) {
	dir := t.TempDir()
	s := generation.Open(filepath.Join(dir, "made", "when", "needed"))
	version := func(text string) *generation.Image {
		return record(t, fstest.MapFS{"etc/systemd/system/a.service": {Data: []byte("[Service]\nExecStart=/bin/" + text + "\n")}})
	}
	if ns, err := s.Numbers(); len(ns) != 0 || err != nil {
		t.Errorf("Numbers() = %v, %v; want none", ns, err)
	}
	for k := range generation.Keep + 3 {
		n, err := s.Add(version(string(rune('a' + k))))
		if n != uint64(k+1) || err != nil {
			t.Fatalf("Add = %d, %v; want %d", n, err, k+1)
		}
	}
	ns, err := s.Numbers()
	if err != nil || len(ns) != generation.Keep || ns[0] != 4 || ns[len(ns)-1] != generation.Keep+3 || !slices.IsSorted(ns) {
		t.Errorf("Numbers() = %v, %v; want 4 to %d", ns, err, generation.Keep+3)
	}
	if _, err := s.Image(1); !os.IsNotExist(err) {
		if err == nil {
			t.Error("generation 1 is still there")
		}
	}
	if n, err := s.Add(version("a")); n != generation.Keep+4 || err != nil {
		t.Errorf("a former content is a new generation: Add = %d, %v; want %d", n, err, generation.Keep+4)
	}
}

// TestFailureChangesNothing: a directory that cannot be written costs the keeping
// and nothing that was kept.
func TestFailureChangesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s := generation.Open(filepath.Join(dir, "file"))
	if n, err := s.Add(record(t, machine)); err == nil {
		t.Errorf("Add below a file = %d; want an error", n)
	}
}

func TestDamagedArchives(t *testing.T) {
	im := record(t, machine)
	dir := t.TempDir()
	s := generation.Open(dir)
	if _, err := s.Add(im); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "1.tar.gz")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"empty": {}, "half": whole[:len(whole)/2], "rubbish": []byte("rubbish")} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Image(1); err == nil {
			t.Errorf("%s: Image gives no error", name)
		}
		// It does not hinder the next one either.
		if n, err := s.Add(im); n != 2 || err != nil {
			t.Errorf("%s: Add = %d, %v; want 2", name, n, err)
		}
		os.Remove(filepath.Join(dir, "2.tar.gz"))
	}
}

// FuzzRead: whatever reads as an image is written and read again as the same.
func FuzzRead(f *testing.F) {
	// Small, because the fuzzer minimizes what it finds byte by byte.
	r := generation.Record(fstest.MapFS{"a/b": {Data: []byte("text")}, "l": {Data: []byte("a"), Mode: fs.ModeSymlink}})
	fs.ReadFile(r, "a/b")
	fs.Lstat(r, "l")
	var b bytes.Buffer
	if err := generation.Write(&b, r.Image()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		im, err := generation.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		var one, two bytes.Buffer
		if err := generation.Write(&one, im); err != nil {
			return // names that tar cannot take back
		}
		again, err := generation.Read(bytes.NewReader(one.Bytes()))
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if err := generation.Write(&two, again); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
			t.Errorf("read and written again it differs (%v)", err)
		}
	})
}
