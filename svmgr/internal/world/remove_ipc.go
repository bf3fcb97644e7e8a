package world

import (
	"os"

	"dynamod/internal/sandbox"
	"dynamod/internal/sys/ipcobject"
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
	if err := ipcobject.Remove("/", owned, ipcobject.Used); err != nil {
		w.log.Warn("IPC objects of the unit's user cannot be removed", "unit", g.unit, "err", err)
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
