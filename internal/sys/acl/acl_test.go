package acl

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func nobody(uint32) bool { return false }

func TestChange(t *testing.T) {
	base := fromMode(0o660)
	one, two := uint32(1000), uint32(1001)
	with := change(base, nobody, &one)
	want := []entry{{userObj, 6, noID}, {user, 6, 1000}, {groupObj, 6, noID}, {mask, 6, noID}, {other, 0, noID}}
	if !reflect.DeepEqual(with, want) {
		t.Errorf("%v", with)
	}
	if again := change(with, nobody, &one); !reflect.DeepEqual(again, want) {
		t.Errorf("given twice: %v", again)
	}
	next := change(with, func(u uint32) bool { return u == one }, &two)
	if next[1] != (entry{user, 6, 1001}) || len(next) != 5 {
		t.Errorf("handed over: %v", next)
	}
	if back := change(next, func(uint32) bool { return true }, nil); !reflect.DeepEqual(back, base) {
		t.Errorf("taken away: %v, want %v", back, base)
	}
	// Somebody's own entry stays, and the group gets no more than it had.
	other := change(fromMode(0o600), nobody, &two)
	other = change(other, nobody, &one)
	other = change(other, func(u uint32) bool { return u == one }, nil)
	if len(other) != 5 || other[1].id != 1001 || other[2] != (entry{groupObj, 0, noID}) {
		t.Errorf("%v", other)
	}
}

func FuzzParse(f *testing.F) {
	one := uint32(7)
	f.Add(format(change(fromMode(0o640), nobody, &one)))
	f.Add([]byte{2, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if list, err := parse(b); err == nil && string(format(list)) != string(b) {
			t.Errorf("%x is read as %v", b, list)
		}
	})
}

// The kernel takes what is written, and lets a user in or not accordingly.
func TestGive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{path, filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		if fi, err := os.Stat(d); err == nil && fi.IsDir() {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	reads := func() bool {
		c := exec.Command("setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", "cat", path)
		out, err := c.CombinedOutput()
		if err != nil && !strings.Contains(string(out), "denied") {
			t.Fatalf("setpriv (util-linux): %v %s", err, out)
		}
		return err == nil
	}
	if reads() {
		t.Fatal("anybody reads the file")
	}
	who := uint32(54321)
	if err := Give(fd, nobody, &who); err != nil {
		t.Fatal(err)
	}
	if !reads() {
		t.Error("the user cannot read")
	}
	if err := Give(fd, func(u uint32) bool { return u == who }, nil); err != nil {
		t.Fatal(err)
	}
	if reads() {
		t.Error("the user still reads")
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Mode&0o777 != 0o640 {
		t.Errorf("the mode is %o, %v", st.Mode&0o777, err)
	}
	if _, err := unix.Getxattr(path, attribute, make([]byte, 100)); err != unix.ENODATA {
		t.Errorf("a list is left: %v", err)
	}
}
