package world

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/cgroup"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
	"dynamod/svmgr/internal/core"
)

// cgroups is where the groups of the units lie.
type cgroups struct {
	// root is the delegated directory, "" without cgroups; base is what
	// /proc/PID/cgroup shows for it, without a slash at the end.
	root, base string
	available  []string

	mu sync.Mutex
	// on are the controllers that were enabled for what lies in a directory.
	on map[string][]string
	// said are the lacks that were reported, once each.
	said map[string]bool
	// timely are the slices by directory whose limits change when the boot ends.
	timely map[string]*unit.Unit
	// disabled are the controllers that are not enabled below a directory
	// (DisableControllers=).
	disabled map[string][]string
}

// Sub-groups of a service, made when they are needed. They keep what a hook leaves
// behind apart from the service itself.
const (
	hooksGroup  = "hooks"
	healthGroup = "health"
	// managerGroup is where the manager itself goes, because a group with
	// processes cannot hand controllers down (cgroups(7)).
	managerGroup = "init.scope"
)

func cgroupOf(pid int) (string, error) { return cgroup.Of(pid) }

// prepareCgroups finds out what there is, and says once what is missing.
func (w *World) prepareCgroups() {
	w.cg.on, w.cg.said = map[string][]string{}, map[string]bool{}
	w.cg.timely, w.cg.disabled = map[string]*unit.Unit{}, map[string][]string{}
	root := strings.TrimSuffix(w.cfg.CgroupRoot, "/")
	if root == "" {
		return // who configured it so has said why
	}
	if !cgroup.Valid(root) {
		w.log.Warn("the cgroup directory is not one of cgroup2: processes are kept together by their sessions, and limits on resources are not available", "dir", root)
		return
	}
	base, err := shownAs(root)
	if err != nil {
		w.log.Error("the cgroup directory cannot be used", "dir", root, "err", err)
		return
	}
	w.cg.root, w.cg.base = root, base
	w.cg.available, _ = cgroup.Controllers(root)
	var missing []string
	for _, c := range []string{"cpu", "cpuset", "io", "memory", "pids"} {
		if !slices.Contains(w.cg.available, c) {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		w.log.Warn("cgroup controllers are missing: units that need them cannot have the limits", "dir", root, "missing", strings.Join(missing, " "))
	}
	if own, err := cgroup.Of(0); err == nil && own == pathOr(base, "/") {
		dir := root + "/" + managerGroup
		_, err := cgroup.Make(dir)
		if err == nil {
			err = cgroup.Write(dir, "cgroup.procs", strconv.Itoa(os.Getpid()))
		}
		if err != nil {
			w.log.Error("the manager cannot leave the root of its cgroups", "err", err)
		}
	}
}

func pathOr(p, other string) string {
	if p == "" {
		return other
	}
	return p
}

// shownAs is the path by which /proc/PID/cgroup shows the group dir: its place in
// the mount, below the mount's own root (proc_pid_mountinfo(5)).
func shownAs(dir string) (string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	best, shown := "", ""
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		sep := slices.Index(f, "-")
		if sep < 6 || sep+1 >= len(f) || f[sep+1] != "cgroup2" {
			continue
		}
		root, at := f[3], f[4]
		if (dir == at || strings.HasPrefix(dir, strings.TrimSuffix(at, "/")+"/")) && len(at) > len(best) {
			best, shown = at, path.Join(root, strings.TrimPrefix(dir, at))
		}
	}
	if best == "" {
		return "", fmt.Errorf("%s lies in no cgroup2 mount: %w", dir, unix.ENOENT)
	}
	return strings.TrimSuffix(shown, "/"), nil
}

// placeOf is the slices above a unit's group, outermost first, and its name.
func (w *World) placeOf(u *unit.Unit) (sliceNames []string, name string) {
	slice, name := unit.Slice.Of(u), u.Name
	if slice == "" && u.Format == unit.Native {
		// Native services have a place of their own, by their bare names.
		return append(w.subtree(), "dynamod"), strings.TrimSuffix(name, ".service")
	}
	if slice == "" {
		top := "system"
		if w.cfg.User {
			top = "app"
		}
		slice = top + ".slice"
		if n, err := unitname.Parse(name); err == nil && n.Instance != "" {
			slice = top + "-" + unitname.Escape(n.Prefix) + ".slice"
		}
	}
	return append(w.subtree(), slicesDownTo(slice)...), name
}

// subtree is what comes before the slices.
func (w *World) subtree() []string {
	if w.cfg.Subtree == "" {
		return nil
	}
	return []string{w.cfg.Subtree}
}

// slicesDownTo is a slice and those above it, outermost first, without the root.
func slicesDownTo(slice string) (names []string) {
	for slice != "" && slice != unitname.RootSlice {
		names = append(names, slice)
		slice, _ = unitname.SliceParent(slice)
	}
	slices.Reverse(names)
	return names
}

// makeGroup makes the group of an incarnation, under a fresh name when the old one
// cannot be removed, with its controllers and limits.
func (w *World) makeGroup(g *group, fresh bool) error {
	parents, name := w.placeOf(g.u)
	limits, err := w.limitsAt(g.u, !w.between.Load())
	if err != nil {
		return at("cgroup-limits", err)
	}
	w.cg.mu.Lock()
	defer w.cg.mu.Unlock()
	need := w.controllersFor(g.u, limits)
	dir, made, err := w.makeLeaf(parents, name, need)
	if err == nil && !made && fresh {
		dir, err = w.freshGroup(g.unit, dir)
	}
	if err != nil {
		return at("cgroup", err)
	}
	if err := w.applyLimits(dir, g.unit, limits); err != nil {
		return at("cgroup-limits", err)
	}
	if err := w.showPressure(dir, g.u); err != nil {
		return at("cgroup", err)
	}
	if err := w.delegate(dir, g.u); err != nil {
		return at("cgroup-delegate", err)
	}
	if os.Geteuid() != 0 {
		err = w.unguarded(g.u, "the manager has no privileges")
	} else {
		err = w.guard(dir, g.u, append([]string{unitname.RootSlice}, parents...))
	}
	if err != nil {
		return err
	}
	w.reg.mu.Lock()
	g.dir, g.rel = dir, w.cg.base+strings.TrimPrefix(dir, w.cg.root)
	w.reg.byPath[g.rel] = g
	w.reg.mu.Unlock()
	w.ledger.made(w, g)
	w.watchGroup(g)
	return nil
}

// makeLeaf makes the directory of a unit and those of the slices above it that are not
// there yet, and hands controllers down before anyone enters.
func (w *World) makeLeaf(parents []string, name string, need []string) (dir string, made bool, err error) {
	above := strings.Join(append([]string{w.cg.root}, parents...), "/")
	leaf := above + "/" + name
	// Mostly they are there, and have what is needed.
	if made, err = cgroup.Make(leaf); !errors.Is(err, unix.ENOENT) {
		w.enableDown(above, need)
		return leaf, made, err
	}
	dir = w.cg.root
	for _, p := range parents {
		w.enable(dir, need)
		dir += "/" + p
		made, err := cgroup.Make(dir)
		if err != nil {
			return "", false, err
		}
		if made {
			delete(w.cg.on, dir)
			w.limitSlice(dir, p)
		}
	}
	w.enable(dir, need)
	made, err = cgroup.Make(leaf)
	return leaf, made, err
}

// freshGroup replaces a group that is there already. One that still holds
// processes stays as it is, and the next generation gets a new name: a start never
// waits for what a former one left behind, nor mixes with it.
func (w *World) freshGroup(unitName, dir string) (string, error) {
	for gen := 0; gen < maxGenerations; gen++ {
		p := dir
		if gen > 0 {
			p = fmt.Sprintf("%s.gen%d", dir, gen)
		}
		err := cgroup.Remove(p)
		if err != nil && !errors.Is(err, unix.EBUSY) {
			return "", err
		}
		if err == nil {
			w.disown(p)
			_, err = cgroup.Make(p)
			return p, err
		}
		if gen == 0 {
			w.warn(unitName, "the cgroup "+p+" still holds processes of a former start and was left behind")
		}
	}
	return "", fmt.Errorf("no free name for %s: %w", dir, unix.EBUSY)
}

// disown tells an incarnation that is still known that its group is gone: the
// kernel sends no event for that.
func (w *World) disown(dir string) {
	rel := w.cg.base + strings.TrimPrefix(dir, w.cg.root)
	w.reg.mu.Lock()
	old := w.reg.byPath[rel]
	if old != nil {
		delete(w.reg.byPath, rel)
		old.dir, old.leaked = "", false
	}
	w.reg.mu.Unlock()
	if old != nil {
		w.unwatchGroup(old)
		w.pool.do(old.unit, func() { w.checkEmpty(old) })
	}
}

const maxGenerations = 1000

// controllersFor are those that the unit's group must have. Memory and pids are
// on where they exist, for status and for OOM reports, unless the unit does without.
func (w *World) controllersFor(u *unit.Unit, limits []limit) []string {
	var need []string
	if unit.MemoryAccounting.Of(u) {
		need = append(need, "memory")
	}
	if unit.TasksAccounting.Of(u) {
		need = append(need, "pids")
	}
	if unit.IOAccounting.Of(u) {
		need = append(need, "io")
	}
	for _, l := range limits {
		if l.controller != "" && !slices.Contains(need, l.controller) {
			need = append(need, l.controller)
		}
	}
	handed, _ := unit.DelegatedControllers(u)
	for _, c := range handed {
		if !slices.Contains(need, c) {
			need = append(need, c)
		}
	}
	return need
}

// enable hands controllers to what lies in dir, which holds no processes yet or is
// the root. A controller that cannot be had is missed where it is needed.
func (w *World) enable(dir string, need []string) {
	for _, c := range need {
		if slices.Contains(w.cg.on[dir], c) || !slices.Contains(w.cg.available, c) || w.isDisabled(dir, c) {
			continue
		}
		if err := cgroup.Enable(dir, c); err != nil {
			if key := c + dir; !w.cg.said[key] {
				w.cg.said[key] = true
				w.log.Warn("a cgroup controller cannot be enabled", "controller", c, "dir", dir, "err", err)
			}
			continue
		}
		w.cg.on[dir] = append(w.cg.on[dir], c)
	}
}

// forgetDir is for the directory of a slice that is gone. The caller holds cg.mu.
func (w *World) forgetDir(dir string) {
	delete(w.cg.on, dir)
	delete(w.cg.timely, dir)
	delete(w.cg.disabled, dir)
	for _, c := range w.cg.available {
		delete(w.cg.said, c+dir)
	}
}

// isDisabled says that a slice at dir or above it does not let a controller be used below
// it (systemd.resource-control(5), DisableControllers=).
func (w *World) isDisabled(dir, controller string) bool {
	for at, list := range w.cg.disabled {
		if slices.Contains(list, controller) && (dir == at || strings.HasPrefix(dir, at+"/")) {
			return true
		}
	}
	return false
}

// enableDown enables controllers in every directory from the root to dir.
func (w *World) enableDown(dir string, need []string) {
	w.enable(w.cg.root, need)
	for i := len(w.cg.root) + 1; i < len(dir); i++ {
		if dir[i] == '/' {
			w.enable(dir[:i], need)
		}
	}
	if dir != w.cg.root {
		w.enable(dir, need)
	}
}

// delegate gives a part of the tree to the unit's user (systemd.resource-control(5),
// Delegate=).
func (w *World) delegate(dir string, u *unit.Unit) error {
	if !delegated(u) || unit.User.Of(u) == "" {
		return nil
	}
	id, err := w.identify(u)
	if err != nil {
		return err
	}
	for _, f := range []string{"", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads"} {
		if err := os.Chown(dir+f, int(id.uid), int(id.gid)); err != nil {
			return err
		}
	}
	return nil
}

func delegated(u *unit.Unit) bool {
	_, yes := unit.DelegatedControllers(u)
	return yes
}

// enterable makes the group that the new process shall be born in and opens it,
// -1 without cgroups. rel is the path that the process will see.
func (w *World) enterable(g *group, a core.Spawn) (fd int, rel string, err error) {
	if w.cg.root == "" {
		return -1, "", w.unguarded(g.u, "there are none")
	}
	isNew := g.dir == "" && a.Fresh
	if g.dir == "" {
		if err := w.makeGroup(g, a.Fresh); err != nil {
			return -1, "", err
		}
	}
	sub := ""
	switch {
	case g.u.Type != unitname.Service:
	case a.Role == core.RoleControl:
		sub = hooksGroup
	case a.Role == core.RoleHealth:
		sub = healthGroup
	default:
		if !isNew { // else no hook has run in it
			if err := clearHooks(g.dir + "/" + hooksGroup); err != nil {
				return -1, "", at(hooksGroup, err)
			}
		}
		if sub, err = w.delegateSubgroup(g); err != nil {
			return -1, "", at("cgroup", err)
		}
	}
	dir, rel := g.dir, g.rel
	if sub != "" {
		dir, rel = dir+"/"+sub, rel+"/"+sub
	}
	if sub == hooksGroup || sub == healthGroup {
		if _, err := cgroup.Make(dir); err != nil {
			return -1, "", at("cgroup", err)
		}
	}
	fd, err = cgroup.Dir(dir)
	return fd, rel, at("cgroup", err)
}

// delegateSubgroup makes the group below a delegated one that its processes are in, and
// that is its user's too (systemd.resource-control(5), DelegateSubgroup=); "" for none.
func (w *World) delegateSubgroup(g *group) (string, error) {
	sub := unit.DelegateSubgroup.Of(g.u)
	if sub == "" || !delegated(g.u) {
		return "", nil
	}
	made, err := cgroup.Make(g.dir + "/" + sub)
	if err == nil && made {
		err = w.delegate(g.dir+"/"+sub, g.u)
	}
	return sub, err
}

// clearHooks ends what a start hook left behind, so that the main process is alone
// (systemd.service(5), ExecStartPre=).
func clearHooks(dir string) error {
	if pop, err := cgroup.Populated(dir); err != nil || !pop {
		return err
	}
	if err := cgroup.Kill(dir); err != nil {
		return err
	}
	fd, err := unix.Open(dir+"/cgroup.events", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for range hookPatience {
		// The file must be read before each poll: what changed since counts.
		if pop, err := cgroup.Populated(dir); err != nil || !pop {
			return err
		}
		var b [256]byte
		_, _ = unix.Pread(fd, b[:], 0)
		if pop, err := cgroup.Populated(dir); err != nil || !pop {
			return err
		}
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}, 100)
	}
	return fmt.Errorf("processes in %s survive SIGKILL: %w", dir, unix.EBUSY)
}

// hookPatience is how often 100 ms are waited for killed hooks.
const hookPatience = 50
