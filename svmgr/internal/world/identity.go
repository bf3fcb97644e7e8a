package world

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"dynamod/internal/unit"
	"dynamod/svmgr/internal/child"
)

// identity is whom a unit's processes run as.
type identity struct {
	name        string
	uid, gid    uint32
	home, shell string
	groups      []uint32
	// named says that User= is set; change that identities must be changed
	// at all.
	named, change bool
	// dynamic is a user that exists while the unit does.
	dynamic bool
}

// identify looks the unit's user and groups up. Its errors name the stage "user"
// or "group".
func (w *World) identify(u *unit.Unit) (identity, error) {
	user, group, more := unit.User.Of(u), unit.Group.Of(u), unit.SupplementaryGroups.Of(u)
	id := identity{name: "root", uid: uint32(os.Geteuid()), gid: uint32(os.Getegid()), home: "/root", shell: "/bin/sh"}
	if unit.DynamicUser.Of(u) {
		made, err := w.dynamicIdentity(u)
		if err != nil {
			return id, at("user", err)
		}
		if made.dynamic {
			id, user = made, ""
			if group == made.name {
				group = ""
			}
		} else {
			user = made.name
		}
	}
	if user != "" {
		a, err := w.accounts.User(user)
		if err != nil {
			return id, at("user", err)
		}
		id = identity{name: a.Name, uid: a.UID, gid: a.GID, home: a.Home, shell: a.Shell, named: true}
		if !a.Listed && group == "" {
			// It must not keep the manager's own group.
			return id, at("group", fmt.Errorf("user %s has no entry, so Group= must say its group: %w", user, unix.ESRCH))
		}
		if a.Listed {
			if id.groups, err = w.accounts.GroupsOf(a.Name, a.GID); err != nil {
				return id, at("groups", err)
			}
		}
	}
	if group != "" {
		gid, err := w.accounts.Group(group)
		if err != nil {
			return id, at("group", err)
		}
		id.gid = gid
	}
	if user != "" && !slices.Contains(id.groups, id.gid) {
		id.groups = append([]uint32{id.gid}, id.groups...)
	}
	for _, g := range more {
		gid, err := w.accounts.Group(g)
		if err != nil {
			return id, at("groups", err)
		}
		if !slices.Contains(id.groups, gid) {
			id.groups = append(id.groups, gid)
		}
	}
	id.change = id.dynamic || user != "" || group != "" || len(more) > 0
	if os.Geteuid() != 0 && len(more) == 0 && int(id.uid) == os.Geteuid() && int(id.gid) == os.Getegid() {
		id.change = false // it is what we are: nothing that needs a privilege
	}
	return id, nil
}

// applyPAM has a session of PAM opened (PAMName=). The manager of a user opens none: modules
// need privileges.
func (w *World) applyPAM(o *order, u *unit.Unit, id identity, e unit.Exec) {
	service := unit.PAMName.Of(u)
	if service == "" || w.cfg.User || e.Privileged || e.NoSetuid || !id.named {
		return
	}
	if len(w.cfg.PAMChild) == 0 {
		w.warn(u.Name, "PAMName= has no effect: dynamod-pam is not installed beside dynamod-child, so no session of PAM is opened")
		return
	}
	o.spec.PAM = child.PAM{Service: service, User: id.name, TTY: o.spec.TTY.Path}
}

// applyIdentity fills in what the child changes.
func (o *order) applyIdentity(id identity, e unit.Exec) {
	if !id.change || e.Privileged || e.NoSetuid {
		return
	}
	o.spec.Ids = child.Ids{
		SetGroups: true, Groups: id.groups,
		SetGID: true, GID: id.gid,
		SetUID: id.named, UID: id.uid,
	}
}
