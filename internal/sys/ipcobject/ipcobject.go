// Package ipcobject removes what users leave of System V and POSIX IPC.
package ipcobject

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

// Use says what is done with shared memory that somebody is attached to.
type Use bool

const (
	Unused Use = false // it stays: programs that were left running go on
	Used   Use = true  // it is removed too, and ends with the last who is attached
)

// tables are those of proc_sysvipc(5), and the call that removes. IPC_RMID is 0, and no
// argument after it matters.
var tables = []struct {
	file string
	call uintptr
}{{"shm", unix.SYS_SHMCTL}, {"msg", unix.SYS_MSGCTL}, {"sem", unix.SYS_SEMCTL}}

// Remove removes the System V objects of the kernel, and the files of POSIX ones below
// root, whose owner and group owned approves of. It goes on after what cannot be removed.
func Remove(root string, owned func(uid, gid uint32) bool, use Use) error {
	var wrong []error
	for _, t := range tables {
		wrong = append(wrong, removeSysV(filepath.Join(root, "proc/sysvipc", t.file), t.call, owned, use))
	}
	for _, dir := range []string{"dev/shm", "dev/mqueue"} {
		wrong = append(wrong, removeFiles(filepath.Join(root, dir), owned))
	}
	return errors.Join(wrong...)
}

// removeSysV reads a table by the columns that its header names.
func removeSysV(table string, call uintptr, owned func(uid, gid uint32) bool, use Use) error {
	text, err := os.ReadFile(table)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a kernel without it
	}
	if err != nil {
		return err
	}
	var wrong []error
	at := map[string]int{}
	for i, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if i == 0 {
			for n, name := range f {
				if name == "shmid" || name == "msqid" || name == "semid" {
					name = "id"
				}
				at[name] = n
			}
			continue
		}
		number := func(name string, bits int) (uint64, bool) {
			n, there := at[name]
			if !there || n >= len(f) {
				return 0, false
			}
			v, err := strconv.ParseUint(f[n], 10, bits)
			return v, err == nil
		}
		uid, ok1 := number("uid", 32)
		gid, ok2 := number("gid", 32)
		id, ok3 := number("id", 31)
		if !ok1 || !ok2 || !ok3 || !owned(uint32(uid), uint32(gid)) {
			continue
		}
		if n, counted := number("nattch", 64); counted && n > 0 && use == Unused {
			continue
		}
		if _, _, no := unix.Syscall6(call, uintptr(id), 0, 0, 0, 0, 0); no != 0 && no != unix.EINVAL && no != unix.EIDRM { // gone meanwhile
			wrong = append(wrong, fmt.Errorf("%s %d: %w", table, id, no))
		}
	}
	return errors.Join(wrong...)
}

// removeFiles removes what is owned in a directory that is anybody's. Nothing outside is
// reached, whatever links there are.
func removeFiles(dir string, owned func(uid, gid uint32) bool) error {
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
		if st, ok := info.Sys().(*syscall.Stat_t); ok && owned(st.Uid, st.Gid) {
			wrong = append(wrong, root.RemoveAll(e.Name()))
		}
	}
	return errors.Join(wrong...)
}
