package device

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// sysv are the tables of System V IPC (proc_sysvipc(5)): their file, the columns of
// number and owner, the one that counts who is attached (0 for none), and the call that
// removes.
var sysv = []struct {
	file                string
	id, owner, attached int
	remove              func(id int) error
}{
	{"shm", 1, 7, 6, func(id int) error { _, err := unix.SysvShmCtl(id, unix.IPC_RMID, nil); return err }},
	{"sem", 1, 4, 0, func(id int) error { return rmid(unix.SYS_SEMCTL, uintptr(id), 0, unix.IPC_RMID) }},
	{"msg", 1, 7, 0, func(id int) error { return rmid(unix.SYS_MSGCTL, uintptr(id), unix.IPC_RMID, 0) }},
}

func rmid(call, a, b, c uintptr) error {
	if _, _, e := unix.Syscall(call, a, b, c); e != 0 {
		return e
	}
	return nil
}

// RemoveIPC removes a user's System V objects and the files of POSIX ones. What somebody
// is attached to stays: programs that were left running go on.
func (m *Machine) RemoveIPC(uid uint32) error {
	var wrong []error
	for _, t := range sysv {
		data, err := os.ReadFile(filepath.Join(m.root, "proc/sysvipc", t.file))
		if err != nil {
			continue // a kernel without it
		}
		for k, line := range strings.Split(string(data), "\n") {
			f := strings.Fields(line)
			if k == 0 || len(f) <= max(t.id, t.owner, t.attached) || f[t.owner] != strconv.FormatUint(uint64(uid), 10) || t.attached > 0 && f[t.attached] != "0" {
				continue
			}
			id, err := strconv.Atoi(f[t.id])
			if err == nil {
				err = t.remove(id)
			}
			if err != nil && err != unix.EIDRM && err != unix.EINVAL { // gone meanwhile
				wrong = append(wrong, fmt.Errorf("%s %s: %w", t.file, f[t.id], err))
			}
		}
	}
	for _, dir := range []string{"dev/shm", "dev/mqueue"} {
		wrong = append(wrong, removeOwned(filepath.Join(m.root, dir), uid))
	}
	return errors.Join(wrong...)
}

// removeOwned removes what a user owns in a directory that is anybody's. Nothing outside
// is reached, whatever links there are.
func removeOwned(dir string, uid uint32) error {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	list, err := fs.ReadDir(root.FS(), ".")
	wrong := []error{err}
	for _, e := range list {
		info, err := root.Lstat(e.Name())
		if err != nil {
			continue // gone meanwhile
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid == uid {
			wrong = append(wrong, root.RemoveAll(e.Name()))
		}
	}
	return errors.Join(wrong...)
}
