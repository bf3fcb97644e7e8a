package world

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"dynamod/internal/sandbox"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/child"
	"dynamod/svmgr/internal/core"
)

// confine fills in what the process is kept from. Commands with "+" are kept from
// nothing (systemd.service(5), "Command lines").
func (w *World) confine(o *order, g *group, a core.Spawn, id identity) error {
	if a.Exec.Privileged {
		return nil
	}
	p := sandbox.Of(g.u)
	c := &confinement{w: w, o: o, g: g, p: &p, id: id, main: a.Role == core.RoleMain, notes: notes{w, g.u.Name}}
	for _, step := range []func() error{c.capabilities, c.users, c.spaces, c.mounts, c.calls, c.labels} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// confinement is the work on one order.
type confinement struct {
	w     *World
	o     *order
	g     *group
	p     *sandbox.Policy
	id    identity
	main  bool
	notes notes
	// own says that the process begins in a user namespace of its own, which a
	// manager without privileges must make.
	own bool
}

// notes are warnings of a unit, each said once.
type notes struct {
	w    *World
	unit string
}

func (n notes) say(text string) {
	n.w.reg.mu.Lock()
	said := slices.Contains(n.w.reg.warnings[n.unit], text)
	n.w.reg.mu.Unlock()
	if !said {
		n.w.warn(n.unit, text)
	}
}

// capabilities takes away those that other settings name.
func (c *confinement) capabilities() error {
	s := &c.o.spec
	for _, name := range c.p.DropCapabilities {
		bit := uint64(1) << sandbox.CapabilityNumber(name)
		if !s.HasBounding {
			s.HasBounding, s.Bounding = true, ^uint64(0)
		}
		s.Bounding &^= bit
		s.Ambient &^= bit
	}
	s.NoNewPrivs = s.NoNewPrivs || c.p.NoNewPrivileges
	return nil
}

// users makes the user namespace: last of all for a manager that has the privileges
// which the other stages need, first of all for one that has none.
func (c *confinement) users() error {
	privileged := os.Geteuid() == 0
	if c.p.PrivateUsers == "no" && (privileged || !c.p.NeedsUsers()) {
		if !privileged && c.o.spec.HasBounding {
			// Nothing can be taken from a process that has nothing.
			c.o.spec.HasBounding = false
		}
		return nil
	}
	if privileged {
		m := &c.o.spec.Space.Users
		m.Set = true
		m.UIDs, m.GIDs = userMaps(c.p.PrivateUsers, c.id.uid), userMaps(c.p.PrivateUsers, c.id.gid)
		return nil
	}
	switch c.p.PrivateUsers {
	case "identity", "full":
		return at("user-namespace", fmt.Errorf("PrivateUsers=%s maps other users, which takes privileges: %w", c.p.PrivateUsers, unix.EPERM))
	}
	c.own = true
	sys := c.o.sys()
	sys.Cloneflags |= unix.CLONE_NEWUSER
	one := func(id int) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: id, HostID: id, Size: 1}}
	}
	sys.UidMappings, sys.GidMappings = one(os.Geteuid()), one(os.Getegid())
	// The helper is executed under the user's ID: it keeps what it needs as
	// ambient capabilities, and gives them back before the program.
	for i := range sandbox.CapabilityCount() {
		sys.AmbientCaps = append(sys.AmbientCaps, uintptr(i))
	}
	c.o.spec.Space.DropHeld = true
	return nil
}

// userMaps are the maps of PrivateUsers= (systemd.exec(5)).
func userMaps(mode string, id uint32) []child.IDMap {
	switch mode {
	case "identity":
		return []child.IDMap{{Count: 65536}}
	case "full":
		return []child.IDMap{{Count: noID}}
	}
	out := []child.IDMap{{Count: 1}}
	if id != 0 {
		out = append(out, child.IDMap{Inside: id, Outside: id, Count: 1})
	}
	return out
}

// noID is one that no user has: the number of all of them.
const noID = 1<<32 - 1

// spaces are the namespaces of network, IPC, host name, cgroups, time and processes.
func (c *confinement) spaces() error {
	s := &c.o.spec.Space
	join := func(kind uint64, fd int, err error) error {
		if err != nil {
			return at("namespace", err)
		}
		c.o.close = append(c.o.close, fd)
		s.Join = append(s.Join, child.Join{Kind: kind, Aux: uint32(len(c.o.aux))})
		c.o.aux = append(c.o.aux, fd)
		return nil
	}
	if c.p.PrivateNetwork || c.p.NetworkNamespacePath != "" {
		if c.own && c.p.NetworkNamespacePath == "" {
			// It cannot be shared: it belongs to the user namespace of this
			// one process.
			if len(unit.JoinsNamespaceOf.Of(c.g.u)) > 0 {
				return at("namespace", fmt.Errorf("JoinsNamespaceOf= with PrivateNetwork= takes privileges: %w", unix.EPERM))
			}
			s.Unshare |= unix.CLONE_NEWNET
			s.Loopback = true
		} else if fd, err := c.w.netSpace(c.g, c.p.NetworkNamespacePath); join(unix.CLONE_NEWNET, fd, err) != nil {
			return at("namespace", fmt.Errorf("the network namespace: %w", err))
		}
	}
	if c.p.PrivateIPC || c.p.IPCNamespacePath != "" {
		if c.own && c.p.IPCNamespacePath == "" {
			s.Unshare |= unix.CLONE_NEWIPC
		} else if fd, err := c.w.ipcSpace(c.g, c.p.IPCNamespacePath); join(unix.CLONE_NEWIPC, fd, err) != nil {
			return at("namespace", fmt.Errorf("the IPC namespace: %w", err))
		}
	}
	if c.p.HostnameSpace {
		s.Unshare |= unix.CLONE_NEWUTS
	}
	if c.p.TimeSpace {
		s.Unshare |= unix.CLONE_NEWTIME
	}
	if c.privateGroups() || c.p.CgroupSpace {
		s.Unshare |= unix.CLONE_NEWCGROUP
	}
	if c.p.PrivatePIDs {
		if unit.ServiceType.Of(c.g.u) == "forking" {
			return at("namespace", fmt.Errorf("PrivatePIDs= ends all processes with the first one, which Type=forking does not allow: %w", unix.EINVAL))
		}
		c.o.sys().Cloneflags |= unix.CLONE_NEWPID
	}
	return nil
}

// privateGroups says that the cgroup tree is one of the unit's own. It takes the
// unified hierarchy; without it the settings are weaker, as systemd.exec(5) says.
func (c *confinement) privateGroups() bool {
	g := c.p.ProtectControlGroups
	if g != "private" && g != "strict" {
		return false
	}
	if unifiedCgroups() {
		return true
	}
	c.notes.say("ProtectControlGroups=" + g + " takes a unified cgroup hierarchy and is weaker here: the tree is not private")
	return false
}

var unifiedCgroups = sync.OnceValue(func() bool {
	var st unix.Statfs_t
	return unix.Statfs("/sys/fs/cgroup", &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
})

// mounts is what the file system looks like.
func (c *confinement) mounts() error {
	if !c.p.MountSpace {
		return nil
	}
	if err := c.w.prepareViews(); err != nil {
		return at("mounts", err)
	}
	if err := c.imagePolicy(); err != nil {
		return at("mounts", err)
	}
	place := mountPlace{
		hidden: c.w.spaces.hidden, staging: c.w.spaces.staging,
		noRoot:   !c.main && unit.RootDirectoryStartOnly.Of(c.g.u),
		unified:  unifiedCgroups(),
		network:  (c.p.PrivateNetwork || c.p.NetworkNamespacePath != "") && !c.own,
		newProcs: c.p.PrivatePIDs,
		selinux:  selinuxOn(),
	}
	if c.p.PrivateTmp == "yes" {
		var err error
		if place.tmp, place.varTmp, err = c.w.privateTmp(c.g); err != nil {
			return at("mounts", err)
		}
	}
	for _, d := range c.o.spec.Dirs {
		if !slices.Contains(c.o.privates, d.Path) {
			place.dirs = append(place.dirs, d.Path)
		}
		for _, l := range d.Links {
			place.links = append(place.links, [2]string{l, d.Path})
		}
	}
	place.private, place.readOnly = c.o.privates, c.w.readOnlyDirectories(c.g.u)
	if !c.own {
		place.allCredentials = filepath.Dir(c.w.credentialsDir(c.g.u))
	}
	place.credentials = c.o.spec.Credentials.Path
	if c.w.senses.notify != nil {
		place.notify = c.w.senses.notify.path
	}
	view, said, err := planMounts(c.p, place)
	if err != nil {
		return at("mounts", err)
	}
	for _, text := range said {
		c.notes.say(text)
	}
	if view.Image {
		if view.ImageOptions, view.ImageFlags, err = imageOptions(unit.RootImageOptions.Of(c.g.u)); err != nil {
			return at("mounts", err)
		}
	}
	c.o.spec.View = view
	return nil
}

// rootOf is the root directory of a command, "" for that of the host. What is in an
// image is not known before it is mounted.
func (w *World) rootOf(a core.Spawn) string {
	if a.Exec.Privileged || a.Role != core.RoleMain && unit.RootDirectoryStartOnly.Of(a.Unit) {
		return ""
	}
	return unit.RootDirectory.Of(a.Unit)
}

// imagePolicy refuses what a mount by the kernel's own drivers cannot give.
func (c *confinement) imagePolicy() error {
	u := c.g.u
	for _, k := range []unit.Key[string]{unit.RootHash, unit.RootHashSignature, unit.RootVerity} {
		if k.Of(u) != "" {
			return fmt.Errorf("%s=: dm-verity is not supported, and the image is not used unchecked: %w", k.Setting().Name, unix.ENOTSUP)
		}
	}
	for part := range strings.SplitSeq(unit.RootImagePolicy.Of(u), ":") {
		name, uses, ok := strings.Cut(part, "=")
		if c.p.RootImage != "" && ok && name == "root" && !slices.Contains(strings.Split(uses, "+"), "unprotected") {
			return fmt.Errorf("RootImagePolicy=%s asks for a protected image, which is not supported: %w", part, unix.ENOTSUP)
		}
	}
	return nil
}

// imageOptions are those of the root partition.
func imageOptions(items []string) (options string, flags uint64, err error) {
	for _, item := range items {
		if part, rest, ok := strings.Cut(item, ":"); ok {
			if part != "root" {
				return "", 0, fmt.Errorf("RootImageOptions=%s: images with a partition table are not supported: %w", item, unix.ENOTSUP)
			}
			item = rest
		}
		var readOnly bool
		if flags, options, readOnly = splitOptions(item, 0); readOnly {
			flags |= unix.MOUNT_ATTR_RDONLY
		}
	}
	return options, flags, nil
}

// calls are the filters of system calls.
func (c *confinement) calls() error {
	s := c.p.Calls()
	s.ErrnoOf = errnoOf
	s.Personality = uint32(c.o.spec.Personality.N)
	if s.WriteExec && mdweKnown() {
		// The kernel's own check is finer: what was executable may stay so.
		s.WriteExec = false
		c.o.spec.NoWriteExec = true
	}
	programs, said, err := s.Programs(runtime.GOARCH)
	if err != nil {
		return at("seccomp", fmt.Errorf("%w: %w", err, unix.EINVAL))
	}
	for _, text := range said {
		c.notes.say(text)
	}
	if len(programs) == 0 {
		return nil
	}
	for _, p := range programs {
		c.o.spec.Filters = append(c.o.spec.Filters, child.Filter{Name: p.Name, Prog: encodeBPF(p.Code)})
	}
	if os.Geteuid() != 0 && !c.own && !c.o.spec.NoNewPrivs {
		// seccomp(2): without CAP_SYS_ADMIN there is no other way.
		c.o.spec.NoNewPrivs = true
		c.notes.say("NoNewPrivileges= is implied by the filters of system calls, because the manager has no privileges")
	}
	c.fixLimit()
	return nil
}

// fixLimit sets the limit of descriptors explicitly: the helper could not give back
// what its runtime raised, once the filters hold.
func (c *confinement) fixLimit() {
	s := &c.o.spec
	if slices.ContainsFunc(s.Limits, func(l child.Limit) bool { return l.Resource == unix.RLIMIT_NOFILE }) {
		return
	}
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) == nil {
		s.Limits = append(s.Limits, child.Limit{Resource: unix.RLIMIT_NOFILE, Soft: min(1024, l.Max), Hard: l.Max})
	}
}

func encodeBPF(code []bpf.RawInstruction) []byte {
	out := make([]byte, 0, 8*len(code))
	for _, i := range code {
		out = binary.NativeEndian.AppendUint16(out, i.Op)
		out = append(out, i.Jt, i.Jf)
		out = binary.NativeEndian.AppendUint32(out, i.K)
	}
	return out
}

var errnoNames = sync.OnceValue(func() map[string]int {
	// Names that share their number with another one.
	out := map[string]int{"EUCLEAN": int(unix.EUCLEAN), "EWOULDBLOCK": int(unix.EWOULDBLOCK), "EAGAIN": int(unix.EAGAIN), "ENOTSUP": int(unix.ENOTSUP),
		"EOPNOTSUPP": int(unix.EOPNOTSUPP), "EDEADLOCK": int(unix.EDEADLOCK), "EDEADLK": int(unix.EDEADLK), "EBADMSG": int(unix.EBADMSG)}
	for n := 1; n < 4096; n++ {
		if name := unix.ErrnoName(syscall.Errno(n)); name != "" {
			out[name] = n
		}
	}
	return out
})

func errnoOf(name string) (int, bool) {
	n, ok := errnoNames()[name]
	return n, ok
}

// mdweKnown says whether the kernel can refuse writable and executable memory by
// itself (prctl(2), PR_SET_MDWE, since 6.3).
var mdweKnown = sync.OnceValue(func() bool {
	_, err := unix.PrctlRetInt(unix.PR_GET_MDWE, 0, 0, 0, 0)
	return err == nil
})

// labels are what security modules are told. A module that is not there makes the
// setting void (systemd.exec(5), "Mandatory access control").
func (c *confinement) labels() error {
	u := c.g.u
	for _, m := range []struct {
		key            unit.Key[string]
		module         func() bool
		attr, form     string
		elsewhere, not string
	}{
		{unit.SELinuxContext, selinuxOn, "exec", "%s", "", "SELinux"},
		{unit.AppArmorProfile, apparmorOn, "apparmor/exec", "exec %s", "exec", "AppArmor"},
		{unit.SmackProcessLabel, smackOn, "smack/current", "%s", "current", "SMACK"},
	} {
		text, optional := strings.CutPrefix(m.key.Of(u), "-")
		if text == "" {
			continue
		}
		if !m.module() {
			c.notes.say(m.key.Setting().Name + "= has no effect: the kernel does not use " + m.not)
			continue
		}
		attr := m.attr
		if _, err := os.Stat("/proc/self/attr/" + attr); err != nil && m.elsewhere != "" {
			attr = m.elsewhere
		}
		c.o.spec.Labels = append(c.o.spec.Labels, child.Label{Attr: attr, Text: fmt.Sprintf(m.form, text), Optional: optional})
	}
	return nil
}

func mounted(path string, magic int64) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == magic
}

func selinuxOn() bool { return mounted("/sys/fs/selinux", unix.SELINUX_MAGIC) }
func smackOn() bool   { return mounted("/sys/fs/smackfs", unix.SMACK_MAGIC) }

func apparmorOn() bool {
	b, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return err == nil && strings.TrimSpace(string(b)) == "Y"
}
