package graph

import (
	"slices"
	"strings"

	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// mountPoint is the path that a mount or automount stands for.
func mountPoint(u *unit.Unit) string {
	if w := unit.Where.Of(u); w != "" {
		return w
	}
	p, err := unitname.ToPath(u.Name)
	if err != nil {
		return ""
	}
	return p
}

func (e *emitter) mountsFor(key unit.Key[[]string], rel Rel) {
	e.key = refTo(key.Setting())
	for k, p := range key.Of(e.u) {
		e.item = int32(k)
		e.below(p, rel, ruleMountsFor)
	}
}

// below makes the unit depend on every mount unit on the way to path. A mount
// that has no file was made by somebody else: the unit is ordered after it, but
// cannot require it (recorded: -.mount).
func (e *emitter) below(path string, rel Rel, r rule) {
	path = strings.TrimLeft(path, "-+!")
	if !strings.HasPrefix(path, "/") {
		return
	}
	if need := (pathNeed{path, rel.Has(Requires)}); !slices.Contains(e.g.below[e.i], need) {
		e.g.below[e.i] = append(e.g.below[e.i], need)
	}
	at := func(prefix string) {
		i, ok := e.g.mounts[prefix]
		if !ok || i == e.i {
			return
		}
		if m := e.g.units[i]; m.Path != "" && m.Load == unit.Loaded {
			e.add(i, rel|After, r)
		} else {
			e.add(i, After, r)
		}
	}
	at("/")
	for k := 1; k <= len(path); k++ {
		if k == len(path) || path[k] == '/' {
			if k > 1 && path[k-1] != '/' {
				at(path[:k])
			}
		}
	}
}

// pathNeed is a path that a unit needs mounts for: it requires them, or only wants them.
type pathNeed struct {
	path     string
	required bool
}

// MountsFor are the paths that unit i needs mounts for, those that were implied as
// well: what it requires and what it wants (systemd.unit(5), RequiresMountsFor=).
func (g *Graph) MountsFor(i Index) (requires, wants []string) {
	for _, p := range g.below[i] {
		if p.required {
			requires = append(requires, p.path)
		} else {
			wants = append(wants, p.path)
		}
	}
	return requires, wants
}

// belowMount are the units that asked for a path at or below a mount point, in
// order.
func (g *Graph) belowMount(point string) []Index {
	var out []Index
	for i, paths := range g.below {
		for _, p := range paths {
			if rest, ok := strings.CutPrefix(p.path, point); ok && (rest == "" || rest[0] == '/' || point == "/") {
				out = append(out, i)
				break
			}
		}
	}
	slices.Sort(out)
	return out
}

func parentDir(path string) string {
	if k := strings.LastIndexByte(path, '/'); k > 0 {
		return path[:k]
	}
	return "/"
}

func (e *emitter) mount() {
	u := e.u
	where := mountPoint(u)
	if where == "/" {
		return
	}
	e.below(parentDir(where), Requires, ruleMountParent)
	what, opts := unit.What.Of(u), unit.MountOptions.Of(u)
	switch {
	case strings.HasPrefix(what, "/dev/"):
		rel := Requires | StopPropagatedFrom | After
		if v, ok := option(opts, "x-systemd.device-bound"); ok {
			rel = BindsTo | After
			if v == "no" || v == "false" || v == "0" || v == "off" {
				rel = Requires | After
			}
		}
		e.device(what, rel)
	case strings.HasPrefix(what, "/") && hasOption(opts, "bind", "rbind", "loop"):
		e.below(what, Requires, ruleMountsFor)
	}
	if hasOption(opts, "usrquota", "grpquota", "quota", "usrjquota", "grpjquota") && !networkMount(u) {
		e.known("systemd-quotacheck.service", Wants|Before, ruleQuota)
		e.known("quotaon.service", Wants|Before, ruleQuota)
	}
}

func (e *emitter) device(path string, rel Rel) {
	if name, err := unitname.FromPath(path, unitname.Device); err == nil {
		e.add(e.g.internIf(name, e.grow), e.onDevice(rel), ruleBackingDevice)
		// systemd.special(7), "blockdev@.target".
		name = "blockdev@" + strings.TrimSuffix(name, ".device") + ".target"
		e.add(e.g.internIf(name, e.grow), After, ruleBackingDevice)
	}
}

// onDevice weakens what depends on a device in a user manager, which may see
// no devices (recorded).
func (e *emitter) onDevice(rel Rel) Rel {
	if e.g.mode == User {
		return Wants | After
	}
	return rel
}

func (e *emitter) automount() {
	e.activates("", ".mount")
	if where := mountPoint(e.u); where != "" && where != "/" {
		e.below(parentDir(where), Requires, ruleMountParent)
	}
}

func (e *emitter) swap() {
	what := unit.What.Of(e.u)
	if strings.HasPrefix(what, "/dev/") {
		e.device(what, Requires|After)
	} else if e.g.mode == System {
		e.known("systemd-remount-fs.service", After, ruleMountsFor)
	}
	e.below(what, Requires, ruleMountsFor)
}

// mountDefaults: systemd.mount(5), "Default Dependencies".
func (e *emitter) mountDefaults() {
	if e.g.mode == User {
		return
	}
	u, r := e.u, ruleDefault
	e.known("umount.target", Conflicts|Before, r)
	opts := unit.MountOptions.Of(u)
	free := hasOption(opts, "nofail", "x-systemd.wanted-by", "x-systemd.required-by")
	if networkMount(u) {
		e.known("remote-fs-pre.target", After, r)
		e.known("network.target", After, r)
		e.known("network-online.target", After|Wants, r)
		if !free {
			e.known("remote-fs.target", Before, r)
		}
		return
	}
	e.known("local-fs-pre.target", After, r)
	if !free {
		e.known("local-fs.target", Before, r)
	}
	if unit.MountType.Of(u) == "tmpfs" {
		e.known("swap.target", After, r)
	}
}

// networkFS are the file system types that need the network. The manual does
// not list them; these are the network file systems of Linux and of the FUSE
// helpers in Debian.
var networkFS = map[string]bool{
	"afs": true, "ceph": true, "cifs": true, "smb3": true, "smbfs": true, "sshfs": true,
	"ncpfs": true, "ncp": true, "nfs": true, "nfs4": true, "gfs": true, "gfs2": true,
	"glusterfs": true, "pvfs2": true, "ocfs2": true, "lustre": true, "davfs": true,
	"9p": false,
}

func networkMount(u *unit.Unit) bool {
	t := strings.TrimPrefix(unit.MountType.Of(u), "fuse.")
	return networkFS[t] || hasOption(unit.MountOptions.Of(u), "_netdev")
}

// option finds "name" or "name=value" in a mount option string.
func option(opts, name string) (value string, ok bool) {
	for o := range strings.SplitSeq(opts, ",") {
		k, v, _ := strings.Cut(o, "=")
		if k == name {
			return v, true
		}
	}
	return "", false
}

func hasOption(opts string, names ...string) bool {
	for _, n := range names {
		if _, ok := option(opts, n); ok {
			return true
		}
	}
	return false
}
