package world

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/internal/sandbox"
	"dynamod/svmgr/internal/child"
)

// mountPlace is what the plan of a unit's mounts needs to know of the machine and
// of the run.
type mountPlace struct {
	// hidden holds the nodes that are put over what is inaccessible, staging is
	// where a new root is put together.
	hidden, staging string
	// tmp and varTmp are the private directories behind /tmp and /var/tmp.
	tmp, varTmp string
	// dirs are the unit's own directories, which stay writable unless they are
	// in readOnly. Those in a directory of private are all that is seen there.
	dirs, readOnly, private []string
	// links are symbolic links to them: where, and to what.
	links [][2]string
	// credentials is the unit's credentials directory, "" for none, and
	// allCredentials that of all units.
	credentials, allCredentials string
	// notify is the notification socket.
	notify string
	// noRoot says that RootDirectory= is not for this command.
	noRoot bool
	// unified says that /sys/fs/cgroup is cgroup2 itself.
	unified bool
	// network says that the network namespace is not the host's, newProcs that
	// the process is in a PID namespace of its own.
	network, newProcs bool
	// selinux mounts cannot all be nosuid: that would stop transitions.
	selinux bool
}

// Ranks of restrictions: what another setting implies gives way to what is allowed
// by name, and that to what is forbidden by name.
const (
	implied uint8 = iota
	allowed
	forbidden
)

// plan collects mounts.
type plan struct {
	view  child.View
	notes []string
}

func (p *plan) add(m child.Mount) { p.view.Mounts = append(p.view.Mounts, m) }

func (p *plan) attr(rank uint8, readOnly, noExec child.Aspect, optional bool, paths ...string) {
	for _, at := range paths {
		p.add(child.Mount{Kind: child.MountAttr, Path: at, ReadOnly: readOnly, NoExec: noExec, Rank: rank, Optional: optional})
	}
}

func (p *plan) readOnly(paths ...string) {
	p.attr(implied, child.AspectOn, child.AspectKeep, true, paths...)
}
func (p *plan) writable(paths ...string) {
	p.attr(implied, child.AspectOff, child.AspectKeep, true, paths...)
}

func (p *plan) hide(from string, optional bool, paths ...string) {
	for _, at := range paths {
		p.add(child.Mount{Kind: child.MountHide, Path: at, Source: from, Optional: optional})
	}
}

func (p *plan) fs(kind, at, options string, flags uint64, optional bool) {
	p.add(child.Mount{Kind: child.MountFS, Path: at, Source: kind, Options: options, Flags: flags, Optional: optional})
}

func (p *plan) bind(from, at string, optional bool) {
	p.add(child.Mount{Kind: child.MountBind, Source: from, Path: at, Optional: optional})
}

const (
	nothingSpecial = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	apiFlags       = nothingSpecial | unix.MOUNT_ATTR_NOEXEC
)

// planMounts works out what the file system looks like to the processes of a unit.
func planMounts(s *sandbox.Policy, at mountPlace) (child.View, []string, error) {
	p := &plan{}
	if !s.MountSpace {
		return p.view, nil, nil
	}
	v := &p.view
	v.Set = true
	switch s.MountFlags {
	case "slave":
		v.Propagation = unix.MS_SLAVE
	case "private":
		v.Propagation = unix.MS_PRIVATE
	}
	v.NoSuid = s.NoNewPrivileges && !at.selinux
	rooted := (s.RootDirectory != "" || s.RootImage != "") && !at.noRoot
	if rooted {
		v.Root, v.Staging = s.RootDirectory, at.staging
		if s.RootImage != "" {
			v.Root, v.Image = s.RootImage, true
		}
		p.rooted(s, at)
	}
	p.system(s, at)
	p.kernel(s, at)
	if s.PrivateDevices {
		p.devices()
	}
	switch s.PrivateTmp {
	case "yes":
		p.bind(at.tmp, "/tmp", false)
		p.bind(at.varTmp, "/var/tmp", false)
	case "disconnected":
		for _, dir := range []string{"/tmp", "/var/tmp"} {
			p.fs("tmpfs", dir, "mode=1777,size=10%,nr_inodes=1000000", nothingSpecial, false)
		}
	}
	if at.allCredentials != "" {
		// What belongs to other units is none of this one's business.
		p.fs("tmpfs", at.allCredentials, "mode=0755,size=4k", apiFlags, true)
		p.readOnly(at.allCredentials)
	}
	if at.credentials != "" {
		p.bind(at.credentials, at.credentials, false)
		p.attr(forbidden, child.AspectOn, child.AspectKeep, false, at.credentials)
	}
	for _, dir := range at.private {
		p.fs("tmpfs", dir, "mode=0755,size=64k", apiFlags, false)
		p.readOnly(dir)
	}
	for _, dir := range at.dirs {
		p.bind(dir, dir, false)
		if slices.Contains(at.readOnly, dir) {
			p.attr(forbidden, child.AspectOn, child.AspectKeep, false, dir)
		}
	}
	for _, l := range at.links {
		p.add(child.Mount{Kind: child.MountSymlink, Path: l[0], Source: l[1]})
	}
	if err := p.said(s, at.hidden, rooted); err != nil {
		return p.view, nil, err
	}
	if slices.ContainsFunc(v.Mounts, func(m child.Mount) bool {
		return m.Path == "/" && m.Kind != child.MountAttr
	}) {
		v.Staging = at.staging
	}
	return p.view, p.notes, nil
}

// rooted is what a root directory of its own needs to be of use.
func (p *plan) rooted(s *sandbox.Policy, at mountPlace) {
	if s.MountAPIVFS {
		if !at.newProcs {
			p.fs("proc", "/proc", "", apiFlags, false)
		}
		p.bind("/sys", "/sys", false)
		if !s.PrivateDevices {
			p.bind("/dev", "/dev", false)
		}
		p.fs("tmpfs", "/run", "mode=0755", nothingSpecial, false)
		for _, f := range []string{"/etc/os-release", "/usr/lib/os-release"} {
			p.add(child.Mount{Kind: child.MountBind, Source: f, Path: "/run/host/os-release", Optional: true})
		}
		p.attr(forbidden, child.AspectOn, child.AspectKeep, true, "/run/host/os-release")
	}
	if s.BindLogSockets {
		for _, f := range []string{"/run/systemd/journal/socket", "/run/systemd/journal/stdout", "/run/systemd/journal/dev-log"} {
			p.bind(f, f, true)
		}
		p.add(child.Mount{Kind: child.MountNode, Source: "/dev/log", Path: "/dev/log", Optional: true})
	}
	if at.notify != "" {
		p.bind(at.notify, at.notify, true)
	}
}

// system are ProtectSystem= and ProtectHome=.
func (p *plan) system(s *sandbox.Policy, at mountPlace) {
	switch s.ProtectSystem {
	case "strict":
		p.readOnly("/")
		p.writable("/dev", "/proc", "/sys")
	case "full":
		p.readOnly("/etc")
		fallthrough
	case "yes":
		p.readOnly("/usr", "/boot", "/efi")
	}
	homes := []string{"/home", "/root", "/run/user"}
	switch s.ProtectHome {
	case "yes":
		p.hide(at.hidden, true, homes...)
	case "read-only":
		p.readOnly(homes...)
	case "tmpfs":
		for _, h := range homes {
			p.fs("tmpfs", h, "mode=0755", nothingSpecial, true)
		}
		p.readOnly(homes...)
	}
}

// kernel are the settings about what the kernel shows of itself.
func (p *plan) kernel(s *sandbox.Policy, at mountPlace) {
	if at.network {
		// A sysfs shows the network namespace that it was mounted in.
		p.add(child.Mount{Kind: child.MountFS, Path: "/sys", Source: "sysfs", Flags: apiFlags, KeepBelow: true, Optional: true})
	}
	if s.ProtectProc != "default" || s.ProcSubset != "all" || at.newProcs {
		var o []string
		if s.ProtectProc != "default" {
			o = append(o, "hidepid="+s.ProtectProc)
		}
		if s.ProcSubset != "all" {
			o = append(o, "subset="+s.ProcSubset)
		}
		p.fs("proc", "/proc", strings.Join(o, ","), apiFlags, false)
	}
	if s.ProtectKernelTunables {
		p.readOnly("/proc/sys", "/proc/sysrq-trigger", "/proc/latency_stats", "/proc/acpi", "/proc/timer_stats", "/proc/fs", "/proc/irq", "/sys")
		// ProtectControlGroups= is for these.
		p.writable("/sys/fs/cgroup")
		p.hide(at.hidden, true, "/proc/kallsyms", "/proc/kcore")
	}
	if s.ProtectKernelModules {
		p.hide(at.hidden, true, "/usr/lib/modules", "/lib/modules")
	}
	if s.ProtectKernelLogs {
		p.hide(at.hidden, true, "/dev/kmsg", "/proc/kmsg")
	}
	groups := s.ProtectControlGroups
	if (groups == "private" || groups == "strict") && at.unified {
		p.fs("cgroup2", "/sys/fs/cgroup", "", apiFlags, false)
	}
	if groups == "yes" || groups == "strict" {
		p.attr(forbidden, child.AspectOn, child.AspectKeep, true, "/sys/fs/cgroup")
	}
	if s.PrivateIPC || s.IPCNamespacePath != "" {
		// A queue file system shows the IPC namespace that it was mounted in.
		p.fs("mqueue", "/dev/mqueue", "", apiFlags, true)
	}
}

// devices is PrivateDevices=: a /dev with pseudo devices only.
func (p *plan) devices() {
	p.fs("tmpfs", "/dev", "mode=0755,size=4m,nr_inodes=64k", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, false)
	p.attr(implied, child.AspectOn, child.AspectOn, false, "/dev")
	for _, n := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		p.add(child.Mount{Kind: child.MountNode, Source: "/dev/" + n, Path: "/dev/" + n})
	}
	p.add(child.Mount{Kind: child.MountNode, Source: "/dev/log", Path: "/dev/log", Optional: true})
	for _, d := range []string{"pts", "shm", "mqueue", "hugepages"} {
		p.bind("/dev/"+d, "/dev/"+d, true)
		p.attr(implied, child.AspectOff, child.AspectOff, true, "/dev/"+d)
	}
	for _, l := range [...][2]string{{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
		{"stderr", "/proc/self/fd/2"}, {"core", "/proc/kcore"}, {"ptmx", "pts/ptmx"}} {
		p.add(child.Mount{Kind: child.MountSymlink, Source: l[1], Path: "/dev/" + l[0]})
	}
}

// said are the lists of paths.
func (p *plan) said(s *sandbox.Policy, hidden string, rooted bool) error {
	each := func(list []string, f func(at string, optional bool)) {
		for _, item := range list {
			at, optional, ok := insidePath(item, s.RootDirectory, rooted)
			if !ok {
				p.notes = append(p.notes, item+" lies outside of RootDirectory= and cannot be seen there anyway")
				continue
			}
			f(at, optional)
		}
	}
	const keep, on, off = child.AspectKeep, child.AspectOn, child.AspectOff
	each(s.ReadWritePaths, func(at string, o bool) { p.attr(allowed, off, keep, o, at) })
	each(s.ReadOnlyPaths, func(at string, o bool) { p.attr(forbidden, on, keep, o, at) })
	each(s.ExecPaths, func(at string, o bool) { p.attr(allowed, keep, off, o, at) })
	each(s.NoExecPaths, func(at string, o bool) { p.attr(forbidden, keep, on, o, at) })
	each(s.InaccessiblePaths, func(at string, o bool) { p.hide(hidden, o, at) })
	for _, b := range s.BindMounts {
		p.add(child.Mount{Kind: child.MountBind, Source: b.Source, Path: b.Target, Optional: b.IgnoreMissing, Shallow: !b.Recursive})
		if !b.Writable {
			p.attr(forbidden, child.AspectOn, child.AspectKeep, b.IgnoreMissing, b.Target)
		}
	}
	for _, t := range s.TemporaryFileSystem {
		if err := p.temporary(t); err != nil {
			return err
		}
	}
	for _, m := range s.MountImages {
		if err := p.mountImage(m); err != nil {
			return err
		}
	}
	return nil
}

// insidePath takes the marks off an item of a list of paths and says where it is
// seen by the processes: with "+" below their own root, without it below the host's.
func insidePath(item, root string, rooted bool) (at string, optional, ok bool) {
	at, optional = strings.CutPrefix(item, "-")
	at, inside := strings.CutPrefix(at, "+")
	if inside || !rooted || root == "" {
		return at, optional, true
	}
	if at == root {
		return "/", optional, true
	}
	rest, ok := strings.CutPrefix(at, strings.TrimSuffix(root, "/")+"/")
	return "/" + rest, optional, ok
}

// mountWords are the options of mount(8) that are flags of one mount, and those that
// take them back.
var mountWords = map[string]struct{ set, clear uint64 }{
	"nosuid": {set: unix.MOUNT_ATTR_NOSUID}, "suid": {clear: unix.MOUNT_ATTR_NOSUID},
	"nodev": {set: unix.MOUNT_ATTR_NODEV}, "dev": {clear: unix.MOUNT_ATTR_NODEV},
	"noexec": {set: unix.MOUNT_ATTR_NOEXEC}, "exec": {clear: unix.MOUNT_ATTR_NOEXEC},
	"nodiratime": {set: unix.MOUNT_ATTR_NODIRATIME}, "diratime": {clear: unix.MOUNT_ATTR_NODIRATIME},
	"nosymfollow": {set: unix.MOUNT_ATTR_NOSYMFOLLOW}, "symfollow": {clear: unix.MOUNT_ATTR_NOSYMFOLLOW},
	"strictatime": {set: unix.MOUNT_ATTR_STRICTATIME, clear: unix.MOUNT_ATTR__ATIME}, "nostrictatime": {clear: unix.MOUNT_ATTR__ATIME},
	"noatime": {set: unix.MOUNT_ATTR_NOATIME, clear: unix.MOUNT_ATTR__ATIME}, "atime": {clear: unix.MOUNT_ATTR__ATIME},
	"relatime": {clear: unix.MOUNT_ATTR__ATIME}, "norelatime": {},
	"defaults": {}, "rw": {}, "ro": {},
}

// splitOptions tells the flags of a mount from what its file system takes.
func splitOptions(text string, flags uint64) (out uint64, fs string, readOnly bool) {
	var rest []string
	for o := range strings.SplitSeq(text, ",") {
		w, ok := mountWords[o]
		switch {
		case o == "":
		case ok:
			flags = flags&^w.clear | w.set
			if o == "ro" || o == "rw" {
				readOnly = o == "ro"
			}
		default:
			rest = append(rest, o)
		}
	}
	return flags, strings.Join(rest, ","), readOnly
}

// temporary is one item of TemporaryFileSystem=: PATH:OPTIONS.
func (p *plan) temporary(item string) error {
	at, text, _ := strings.Cut(item, ":")
	flags, options, readOnly := splitOptions(text, unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_STRICTATIME)
	if !strings.Contains(","+options, ",mode=") {
		options = strings.TrimSuffix("mode=0755,"+options, ",")
	}
	if at == "" || at[0] != '/' {
		return fmt.Errorf("TemporaryFileSystem=%s: write the whole path, from /: %w", item, unix.EINVAL)
	}
	p.fs("tmpfs", at, options, flags, false)
	if readOnly {
		p.attr(forbidden, child.AspectOn, child.AspectKeep, false, at)
	}
	return nil
}

// mountImage is one item of MountImages=: IMAGE:TARGET:OPTIONS.
func (p *plan) mountImage(item string) error {
	item, optional := strings.CutPrefix(item, "-")
	var parts []string
	for rest, more := item, true; more && len(parts) < 3; {
		var part string
		part, rest, more = cutColon(rest)
		if len(parts) == 2 && more {
			return fmt.Errorf("MountImages=%s: options of single partitions: %w", item, unix.ENOTSUP)
		}
		parts = append(parts, part)
	}
	if len(parts) < 2 || parts[0] == "" || parts[1] == "" {
		return fmt.Errorf("MountImages=%s: write IMAGE:TARGET: %w", item, unix.EINVAL)
	}
	text := ""
	if len(parts) == 3 {
		text = parts[2]
	}
	flags, options, readOnly := splitOptions(text, 0)
	if readOnly {
		flags |= unix.MOUNT_ATTR_RDONLY
	}
	p.add(child.Mount{Kind: child.MountImage, Source: parts[0], Path: parts[1], Options: options, Flags: flags, Optional: optional})
	return nil
}

// cutColon cuts at the first colon that no backslash protects.
func cutColon(s string) (part, rest string, found bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == ':':
			return b.String(), s[i+1:], true
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), "", false
}
