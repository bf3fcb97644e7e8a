package disk

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func plant(t *testing.T, root, p, text string) {
	t.Helper()
	at := filepath.Join(root, p)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// list is all that is in a directory.
func list(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestWrite(t *testing.T) {
	d := Disk{t.TempDir()}
	plant(t, d.Root, "etc/a", "old")
	plant(t, d.Root, "etc/.#a.dynamod", "left by a crash")
	for _, p := range []string{"etc/a", "etc/new/dir/b"} {
		if err := d.Write(p, "new\n"); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(d.At(p))
		if text, e := d.Read(p); err != nil || e != nil || text != "new\n" || st.Mode() != 0o644 {
			t.Errorf("%s: %q %v, %v %v", p, text, st.Mode(), err, e)
		}
	}
	if got := list(t, d.At("etc")); got != "a new" {
		t.Errorf("left in etc: %s", got)
	}
	if err := d.Put("etc/a", ""); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := d.Remove("etc/a"); err != nil {
			t.Error(err)
		}
	}
	if text, err := d.Read("etc/a"); text != "" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

// The file that links lead to is the one that is read, replaced and removed, also when it
// is not there yet; links never lead out of the tree.
func TestLinks(t *testing.T) {
	d := Disk{t.TempDir()}
	plant(t, d.Root, "etc/default/x", "")
	for at, to := range map[string]string{"etc/vconsole.conf": "default/keyboard", "etc/default/locale": "../locale.conf", "etc/abs": "/etc/two", "etc/two": "three",
		"etc/out": "../../../../../../up", "etc/loop": "loop"} {
		if err := os.Symlink(to, d.At(at)); err != nil {
			t.Fatal(err)
		}
	}
	for p, real := range map[string]string{"etc/vconsole.conf": "etc/default/keyboard", "etc/default/locale": "etc/locale.conf", "etc/abs": "etc/three", "etc/out": "up"} {
		if err := d.Write(p, p); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(d.At(real))
		if text, e := d.Read(p); err != nil || e != nil || string(b) != p || text != p {
			t.Errorf("%s: %q, %v; %q, %v", p, b, err, text, e)
		}
		if _, err := os.Readlink(d.At(p)); err != nil {
			t.Errorf("%s is no link any more", p)
		}
		if err := d.Remove(p); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(d.At(real)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", real, err)
		}
		if _, err := os.Readlink(d.At(p)); err != nil {
			t.Errorf("%s is gone with its file", p)
		}
	}
	if err := d.Write("etc/loop", "x"); !errors.Is(err, unix.ELOOP) {
		t.Errorf("a loop of links: %v", err)
	}
	if err := d.Link("etc/two", "../zone"); err != nil {
		t.Error(err)
	}
	if to, err := os.Readlink(d.At("etc/two")); to != "../zone" || err != nil {
		t.Errorf("%q, %v", to, err)
	}
}

func TestReadRefuses(t *testing.T) {
	d := Disk{t.TempDir()}
	plant(t, d.Root, "long", strings.Repeat("x", MaxRead+1))
	plant(t, d.Root, "most", strings.Repeat("x", MaxRead))
	if err := unix.Mkfifo(d.At("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"long", "fifo", "."} {
		if text, err := d.Read(p); err == nil || text != "" {
			t.Errorf("%s: %d bytes, %v", p, len(text), err)
		}
	}
	for p, n := range map[string]int{"most": MaxRead, "most/x": 0, "none": 0} {
		if text, err := d.Read(p); err != nil || len(text) != n {
			t.Errorf("%s: %d bytes, %v", p, len(text), err)
		}
	}
}

// mounted is run in a mount namespace of its own: a file system that is full, or read-only, and has
// a file already.
var _ = testkit.Register("mounted", func(args []string) {
	kind, dir := args[0], args[1]
	die := func(err error) {
		if err != nil {
			fmt.Println("helper:", err)
			os.Exit(1)
		}
	}
	die(unix.Mount("none", dir, "tmpfs", 0, "size=16k"))
	d := Disk{dir}
	die(d.Write("a", "old"))
	want := unix.ENOSPC
	content := strings.Repeat("x", 32<<10)
	if kind == "readonly" {
		want, content = unix.EROFS, "new"
		die(unix.Mount("none", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	}
	if err := d.Write("a", content); !errors.Is(err, want) {
		fmt.Println("write:", err)
	}
	if kind == "readonly" {
		if err := d.Remove("a"); !errors.Is(err, want) {
			fmt.Println("remove:", err)
		}
		if err := d.Link("a", "b"); !errors.Is(err, want) {
			fmt.Println("link:", err)
		}
	}
	entries, err := os.ReadDir(dir)
	die(err)
	if text, err := d.Read("a"); text != "old" || err != nil || len(entries) != 1 {
		fmt.Printf("after it: %q, %v, %v\n", text, err, entries)
	}
	fmt.Println("done")
})

// A full disk and a read-only one are told; the old content stays, and nothing beside it.
func TestNoRoom(t *testing.T) {
	for _, kind := range []string{"full", "readonly"} {
		argv := testkit.Command(t, "mounted", kind, t.TempDir())
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != "done\n" {
			t.Errorf("%s: %v\n%s", kind, err, out)
		}
	}
}

// writer replaces a file by long texts of one letter each until it is killed.
var _ = testkit.Register("writer", func(args []string) {
	d := Disk{args[0]}
	for i := 0; ; i++ {
		if err := d.Write("etc/file", strings.Repeat(string(rune('a'+i%26)), 20000)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(i)
	}
})

// Whenever the writer is killed, the file is whole, and the next one writes as ever.
func TestKilled(t *testing.T) {
	d := Disk{t.TempDir()}
	for round := range 12 {
		argv := testkit.Command(t, "writer", d.Root)
		cmd := exec.Command(argv[0], argv[1:]...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewScanner(out)
		for range round + 1 { // somewhere in the next write
			if !in.Scan() {
				t.Fatal("the writer has ended")
			}
		}
		cmd.Process.Kill()
		cmd.Wait()
		text, err := d.Read("etc/file")
		if err != nil || len(text) != 20000 || strings.Trim(text, text[:1]) != "" {
			t.Fatalf("round %d: %d bytes, %v", round, len(text), err)
		}
	}
	if err := d.Write("etc/file", "x"); err != nil {
		t.Error(err)
	}
	if got := list(t, d.At("etc")); got != "file" {
		t.Errorf("left beside it: %s", got)
	}
}
