package world

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"dynamod/internal/unit"
	"dynamod/internal/unitname"
	"dynamod/svmgr/internal/child"
)

// The numbers of dynamic users (systemd.exec(5), DynamicUser=).
const (
	dynamicFirst = 61184
	dynamicLast  = 65519
)

// dynamicUsers are the users that exist while a unit does. Who has which number is
// kept in files below the runtime directory, one for each number with the name in
// it: they outlive a restart of the manager, and are gone after a boot.
//
// No name service knows these users: programs see their number, and getpwuid(3)
// finds nothing. $USER, $LOGNAME and $HOME are set.
type dynamicUsers struct{ mu sync.Mutex }

func (w *World) dynamicDir() string { return w.cfg.RuntimeDir + "/dynamic-users" }

// dynamicName is the name of the unit's dynamic user: that of User=, else the unit's
// own when it is fit for a user, else one made of a hash.
func dynamicName(u *unit.Unit) string {
	if n := unit.User.Of(u); n != "" {
		return n
	}
	name := strings.TrimSuffix(u.Name, "."+unitname.Service.String())
	if validUser(name) {
		return name
	}
	h := fnv.New64a()
	h.Write([]byte(u.Name))
	return fmt.Sprintf("_du%016x", h.Sum64())
}

func validUser(n string) bool {
	for i := range len(n) {
		c := n[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || i > 0 && (c >= '0' && c <= '9' || c == '-')) {
			return false
		}
	}
	return n != "" && len(n) <= 31
}

// dynamicIdentity finds or makes the unit's dynamic user. A user of that name which
// exists already is used instead; then dynamic is false.
func (w *World) dynamicIdentity(u *unit.Unit) (identity, error) {
	name := dynamicName(u)
	if a, err := w.accounts.User(name); err == nil {
		if !a.Listed {
			return identity{}, fmt.Errorf("DynamicUser= with the number %s: write a name: %w", name, unix.EINVAL)
		}
		return identity{name: name}, nil
	} else if !errors.Is(err, unix.ESRCH) {
		return identity{}, err
	}
	if os.Geteuid() != 0 {
		return identity{}, fmt.Errorf("DynamicUser= takes a manager with privileges: %w", unix.EPERM)
	}
	w.dynamic.mu.Lock()
	defer w.dynamic.mu.Unlock()
	uid, err := w.claimUser(u, name)
	if err != nil {
		return identity{}, fmt.Errorf("a dynamic user %s: %w", name, err)
	}
	return identity{name: name, uid: uid, gid: uid, home: "/", shell: "/usr/sbin/nologin", groups: []uint32{uid}, named: true, dynamic: true}, nil
}

// claimUser returns the number of the name: the one it has, else one that owns its
// directories already, else a free one.
func (w *World) claimUser(u *unit.Unit, name string) (uint32, error) {
	dir := w.dynamicDir()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	taken := map[uint32]bool{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		n, err := strconv.ParseUint(e.Name(), 10, 32)
		if err != nil {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err == nil && string(b) == name {
			return uint32(n), nil
		}
		taken[uint32(n)] = true
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	const count = dynamicLast - dynamicFirst + 1
	candidates := w.ownersOf(u)
	for i := range uint32(count) {
		candidates = append(candidates, dynamicFirst+(h.Sum32()+i)%count)
	}
	for _, uid := range candidates {
		if uid < dynamicFirst || uid > dynamicLast || taken[uid] {
			continue
		}
		a, err := w.accounts.User(strconv.Itoa(int(uid)))
		if err != nil {
			return 0, err
		}
		has, err := w.accounts.HasGroup(uid)
		if err != nil {
			return 0, err
		}
		if a.Listed || has {
			continue
		}
		// Whole or not at all: the file is what says that the number is taken.
		file := filepath.Join(dir, strconv.Itoa(int(uid)))
		if err := os.WriteFile(file+".new", []byte(name), 0o644); err != nil {
			return 0, err
		}
		if err := os.Rename(file+".new", file); err != nil {
			return 0, err
		}
		return uid, nil
	}
	return 0, fmt.Errorf("all of %d to %d are taken: %w", dynamicFirst, dynamicLast, unix.EUSERS)
}

// ownersOf are the owners of the directories that the unit left when it ran last.
func (w *World) ownersOf(u *unit.Unit) (out []uint32) {
	for _, k := range directoryKinds {
		if !k.private {
			continue
		}
		for _, item := range k.names.Of(u) {
			var st unix.Stat_t
			name, _, ok := splitDirectory(item)
			if ok && unix.Lstat(k.base(&w.cfg.Directories)+"/private/"+name, &st) == nil {
				out = append(out, st.Uid)
			}
		}
	}
	return out
}

// release gives the number back when no unit uses the name any more.
func (d *dynamicUsers) release(w *World, g *group) {
	if !unit.DynamicUser.Of(g.u) {
		return
	}
	name := dynamicName(g.u)
	w.reg.mu.Lock()
	for _, o := range w.reg.groups {
		if o != g && unit.DynamicUser.Of(o.u) && dynamicName(o.u) == name {
			w.reg.mu.Unlock()
			return
		}
	}
	w.reg.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	files, _ := filepath.Glob(w.dynamicDir() + "/*")
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && string(b) == name {
			_ = os.Remove(f)
		}
	}
}

// private makes the directory in which those of dynamic users lie; nobody else can
// come through it.
func (o *order) private(base, stage string) {
	dir := base + "/private"
	for _, p := range o.privates {
		if p == dir {
			return
		}
	}
	o.privates = append(o.privates, dir)
	o.spec.Dirs = append(o.spec.Dirs, child.Dir{Stage: stage, Path: dir, Mode: 0o700})
}

// settlePrivate moves a directory that was made before DynamicUser= was turned on or
// off to where it belongs now.
func settlePrivate(base, name string, private, could bool) error {
	if !could {
		return nil
	}
	plain, hidden := base+"/"+name, base+"/private/"+name
	st, err := os.Lstat(plain)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case private && st.IsDir():
		if err := os.MkdirAll(filepath.Dir(hidden), 0o700); err != nil {
			return err
		}
		return os.Rename(plain, hidden) // an old one there must be empty
	case !private && st.Mode()&fs.ModeSymlink != 0:
		if to, err := os.Readlink(plain); err != nil || to != hidden {
			return err
		}
		if err := os.Remove(plain); err != nil {
			return err
		}
		return os.Rename(hidden, plain)
	}
	return nil
}

// DynamicUsers are the names of those that there are, by number.
func (w *World) DynamicUsers() (map[uint32]string, error) {
	w.dynamic.mu.Lock()
	defer w.dynamic.mu.Unlock()
	out := map[uint32]string{}
	entries, err := os.ReadDir(w.dynamicDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		n, err := strconv.ParseUint(e.Name(), 10, 32)
		if err != nil {
			continue
		}
		if name, err := os.ReadFile(filepath.Join(w.dynamicDir(), e.Name())); err == nil {
			out[uint32(n)] = string(name)
		}
	}
	return out, nil
}
