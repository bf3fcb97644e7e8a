package device

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// What a user has left goes, also where it is not his to say so; what others have, and
// what somebody is attached to, stays.
func TestRemoveIPC(t *testing.T) {
	const uid = 54329
	root := t.TempDir()
	tree(t, root, map[string]string{"dev/shm/mine": "", "dev/shm/dir/inner": "", "dev/shm/root": "", "outside/kept": "", "dev/shm/link": "-> ../../outside"})
	if err := os.Symlink("/proc", filepath.Join(root, "proc")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mine", "dir", "link"} {
		if err := os.Lchown(filepath.Join(root, "dev/shm", name), uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	segment := func(owner uint32) int {
		id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, unix.IPC_CREAT|0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.SysvShmCtl(id, unix.IPC_RMID, nil) })
		var d unix.SysvShmDesc
		if _, err := unix.SysvShmCtl(id, unix.IPC_STAT, &d); err != nil {
			t.Fatal(err)
		}
		d.Perm.Uid = owner
		if _, err := unix.SysvShmCtl(id, unix.IPC_SET, &d); err != nil {
			t.Fatal(err)
		}
		return id
	}
	gone, used, others := segment(uid), segment(uid), segment(0)
	mem, err := unix.SysvShmAttach(used, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.SysvShmDetach(mem)
	if err := New(root).RemoveIPC(uid); err != nil {
		t.Fatal(err)
	}
	there := func(id int) bool {
		var d unix.SysvShmDesc
		_, err := unix.SysvShmCtl(id, unix.IPC_STAT, &d)
		return err == nil
	}
	if there(gone) || !there(used) || !there(others) {
		t.Errorf("segments: of the user %v, in use %v, of root %v", there(gone), there(used), there(others))
	}
	for name, want := range map[string]bool{"dev/shm/mine": false, "dev/shm/dir": false, "dev/shm/link": false, "dev/shm/root": true, "outside/kept": true} {
		if _, err := os.Lstat(filepath.Join(root, name)); want != !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
