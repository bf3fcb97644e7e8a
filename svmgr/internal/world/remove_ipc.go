package world

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/internal/sandbox"
	"dynamod/internal/unit"
)

// removeIPC removes what the unit's user left of System V and POSIX IPC when the
// last unit of that user has stopped (systemd.exec(5), RemoveIPC=). Nothing of
// root's is ever removed.
func (w *World) removeIPC(g *group) {
	p := sandbox.Of(g.u)
	if !p.RemoveIPC || w.cfg.User || os.Geteuid() != 0 {
		return
	}
	id, err := w.identify(g.u)
	if err != nil || !id.change && !p.DynamicUser {
		return
	}
	if id.uid == 0 && id.gid == 0 || w.identityInUse(g, id) {
		return
	}
	uid, gid := id.uid, id.gid
	if unit.User.Of(g.u) == "" && !p.DynamicUser {
		uid = 0 // Group= alone: only what belongs to the group
	}
	owned := func(u, g uint32) bool { return uid != 0 && u == uid || gid != 0 && g == gid }
	for _, err := range []error{
		removeSysV("/proc/sysvipc/shm", unix.SYS_SHMCTL, owned),
		removeSysV("/proc/sysvipc/msg", unix.SYS_MSGCTL, owned),
		removeSysV("/proc/sysvipc/sem", unix.SYS_SEMCTL, owned),
		removeFiles("/dev/shm", owned), removeFiles("/dev/mqueue", owned),
	} {
		if err != nil {
			w.log.Warn("IPC objects of the unit's user cannot be removed", "unit", g.unit, "err", err)
		}
	}
}

// identityInUse says that another unit that has not ended runs as the same user.
func (w *World) identityInUse(g *group, id identity) bool {
	w.reg.mu.Lock()
	var others []*unit.Unit
	for _, o := range w.reg.groups {
		if o != g && len(o.live) > 0 {
			others = append(others, o.u)
		}
	}
	w.reg.mu.Unlock()
	for _, u := range others {
		if other, err := w.identify(u); err == nil && (other.uid == id.uid || other.gid == id.gid) {
			return true
		}
	}
	return false
}

// removeSysV reads a table of /proc/sysvipc (proc(5)): the second column is the
// number; owner and group are in columns that the header names.
func removeSysV(table string, call uintptr, owned func(uid, gid uint32) bool) error {
	text, err := os.ReadFile(table)
	if errors.Is(err, os.ErrNotExist) {
		return nil // a kernel without it
	}
	if err != nil {
		return err
	}
	var uidAt, gidAt, idAt int
	for i, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if i == 0 {
			for n, name := range f {
				switch name {
				case "uid":
					uidAt = n
				case "gid":
					gidAt = n
				case "shmid", "msqid", "semid":
					idAt = n
				}
			}
			continue
		}
		if len(f) <= max(uidAt, gidAt, idAt) {
			continue
		}
		uid, e1 := strconv.ParseUint(f[uidAt], 10, 32)
		gid, e2 := strconv.ParseUint(f[gidAt], 10, 32)
		id, e3 := strconv.ParseUint(f[idAt], 10, 31)
		if e1 != nil || e2 != nil || e3 != nil || !owned(uint32(uid), uint32(gid)) {
			continue
		}
		// IPC_RMID is 0, and no argument after it matters.
		if _, _, no := unix.Syscall6(call, uintptr(id), 0, 0, 0, 0, 0); no != 0 && no != unix.EINVAL && no != unix.EIDRM {
			return fmt.Errorf("%s %d: %w", table, id, no)
		}
	}
	return nil
}

// removeFiles removes files of the owner right below dir.
func removeFiles(dir string, owned func(uid, gid uint32) bool) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		p := filepath.Join(dir, e.Name())
		var st unix.Stat_t
		if unix.Lstat(p, &st) != nil || !owned(st.Uid, st.Gid) {
			continue
		}
		if err := os.RemoveAll(p); err != nil {
			return err
		}
	}
	return nil
}
