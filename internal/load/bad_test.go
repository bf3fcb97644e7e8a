package load

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"dynamod/internal/unit"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// badTree is testdata/bad with what cannot be kept in a repository.
func badTree(t *testing.T) fstest.MapFS {
	m := mapFS(
		etc+"loop-a.service", "-> /opt/loop-b", "opt/loop-b", "-> loop-c", "opt/loop-c", "-> loop-b",
		etc+"self.service", "-> self.service", etc+"masks-itself.service", "-> ../../../etc/systemd/system/masks-itself.service",
		etc+"masked.service", "-> /dev/null", etc+"empty.service", "",
		etc+"directory.service", "/", etc+"fifo.service", "|", etc+"away.service", "-> /nowhere/x.service",
		etc+"good.service.d/dir.conf", "/", etc+"good.service.d/gone.conf", "-> /nowhere", etc+"good.service.d/loop.conf", "-> loop.conf",
		etc+"alias-of-other-type.socket", "-> good.service", etc+"dangling.service", "-> not-there.service",
		etc+"good.service.wants/no-link.service", "svc", etc+"good.service.wants/not a unit", "-> ../good.service",
		usr+"long-line.service", "[Service]\nExecStart=/bin/true\nEnvironment=A="+strings.Repeat("x", 1<<20)+"\nRestart=no\n",
		usr+"huge.service", "[Service]\nExecStart=/bin/true\n"+strings.Repeat("# filler\n", 1<<19),
		svcs+"big.toml", strings.Repeat("# filler\n", 1<<19), svcs+"loop.toml", "-> loop.toml",
		"run/systemd/system", "-> system",
	)
	root := "testdata/bad"
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		rel, _ := filepath.Rel(root, p)
		m[filepath.ToSlash(rel)] = &fstest.MapFile{Data: data, Mode: 0o644}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestBadFiles(t *testing.T) {
	set, ds := Load(Config{FS: badTree(t), Fstab: "/etc/fstab"})
	var b bytes.Buffer
	for _, d := range ds {
		s := d.String()
		if len(s) > 600 {
			t.Errorf("a diagnostic of %d bytes: %.100s", len(s), s)
		}
		fmt.Fprintln(&b, s)
	}
	fmt.Fprintln(&b)
	for _, u := range set.Units {
		fmt.Fprintf(&b, "%s: %s\n", u.Name, u.Load)
	}
	const golden = "testdata/bad.golden"
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("differs from %s (go test -update): got\n%s", golden, b.String())
	}
	for _, n := range []string{"good.service", "good-native.service", "good.mount"} {
		if u := must(t, set, n); u.Load != unit.Loaded {
			t.Errorf("%s is %s; want loaded", n, u.Load)
		}
	}
	if !strings.Contains(unit.Description.Of(must(t, set, "good.service")), "good file") {
		t.Error("good.service has lost its Description")
	}
}

// TestOnDisk loads from a real directory, with links that lead out of it.
func TestOnDisk(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, name string) {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	secret := filepath.Join(t.TempDir(), "secret.service")
	if err := os.WriteFile(secret, []byte(say("secret")), 0o644); err != nil {
		t.Fatal(err)
	}
	write(usr+"good.service", say("good"))
	write(usr+"tpl@.service", say("%i"))
	write("opt/inside.service", say("inside"))
	write(etc+"unreadable.service", say("x"))
	link("/opt/inside.service", etc+"abs.service")
	link(strings.Repeat("../", 40)+"opt/inside.service", etc+"up.service")
	link(secret, etc+"out.service")
	link("loop", etc+"loop.service")
	link("loop.service", etc+"loop")
	link("usr/lib", "lib")
	if os.Geteuid() != 0 {
		if err := os.Chmod(filepath.Join(dir, etc+"unreadable.service"), 0); err != nil {
			t.Fatal(err)
		}
	}
	l := New(Config{FS: os.DirFS(dir)})
	for name, want := range map[string]string{"good": "good", "abs": "inside", "up": "inside", "out": "", "loop": "", "tpl@a": "a"} {
		u, _ := l.One(name + ".service")
		if got := unit.Description.Of(u); got != want {
			t.Errorf("%s.service = %q (%s); want %q", name, got, u.Load, want)
		}
	}
	if u, _ := l.One("unreadable.service"); os.Geteuid() != 0 && u.Load != unit.LoadError {
		t.Errorf("unreadable.service is %s; want error", u.Load)
	}
}
