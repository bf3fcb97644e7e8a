package child

// View is the file system as the process sees it. The plan is the manager's; paths
// are worked out here, where the mounts are made, because only here it is known
// what a symbolic link means.
type View struct {
	// Set asks for a mount namespace.
	Set bool
	// Root becomes the root directory, "" for the one there is.
	Root string
	// Image says that Root is a file or block device with a file system in it,
	// which is mounted with the options of mount(8).
	Image        bool
	ImageOptions string
	ImageFlags   uint64 // MOUNT_ATTR_…
	// Staging is an empty directory on which a new root is put together. It is
	// used when Root is set or when something is mounted on "/".
	Staging string
	// Propagation is what holds in the end: 0 for shared, or MS_SLAVE,
	// MS_PRIVATE. Nothing ever propagates back to the host.
	Propagation uint64
	// NoSuid applies nosuid to all of it.
	NoSuid bool
	Mounts []Mount
}

// Kinds of mounts.
const (
	// MountBind shows Source, a path of the host, at Path.
	MountBind uint8 = iota
	// MountFS is a new file system of type Source with Options.
	MountFS
	// MountNode is the like of Source: a device node, a symbolic link, or else
	// a bind mount.
	MountNode
	// MountSymlink is a symbolic link to Source.
	MountSymlink
	// MountHide puts something of the same type over Path that cannot be used.
	// Source is the directory that holds dir, reg, chr, blk, fifo and sock.
	MountHide
	// MountAttr says what can be done at Path and below it.
	MountAttr
	// MountImage is the file system in Source, a file or block device; Options
	// are those of mount(8).
	MountImage
)

// Aspect is one restriction of a part of the tree.
type Aspect uint8

const (
	// AspectKeep leaves it as it is around the part.
	AspectKeep Aspect = iota
	// AspectOn restricts.
	AspectOn
	// AspectOff is what the host has.
	AspectOff
)

// Mount is one thing to do to the view.
type Mount struct {
	Kind uint8
	// Path is where, below the new root; with its symbolic links.
	Path    string
	Source  string
	Options string
	// Flags are MOUNT_ATTR_… for a new file system.
	Flags uint64
	// Optional does nothing when what must exist does not: Path for MountHide,
	// MountAttr and MountFS, Source for the others.
	Optional bool
	// Shallow binds without the mounts below.
	Shallow bool
	// KeepBelow moves the mounts below Path onto the new file system.
	KeepBelow bool
	// ReadOnly and NoExec are what MountAttr changes. Of two for the same path,
	// the higher Rank wins.
	ReadOnly, NoExec Aspect
	Rank             uint8
}

// Space is what of the system the process shares with others.
type Space struct {
	// Unshare are the CLONE_NEW… flags of namespaces that are made here, apart
	// from the mount namespace, which View asks for.
	Unshare uint64
	// Join are namespaces that are there already.
	Join []Join
	// Loopback brings the loopback device up.
	Loopback bool
	// DropHeld says that the process was born in a user namespace of its own,
	// with all its capabilities as ambient ones, which the program must not get.
	DropHeld bool
	// Users, if set, is a user namespace entered last of all.
	Users Users
}

// Join is a namespace of the given CLONE_NEW… kind behind Spec.Aux descriptor
// number Aux.
type Join struct {
	Kind uint64
	Aux  uint32
}

// Users is a user namespace.
type Users struct {
	Set        bool
	UIDs, GIDs []IDMap
}

// IDMap is one line of uid_map (user_namespaces(7)).
type IDMap struct{ Inside, Outside, Count uint32 }

// Filter is one seccomp program: struct sock_filter after struct sock_filter, in
// the byte order of the machine. Name is what a failure is about.
type Filter struct {
	Name string
	Prog []byte
}

// Label is what a security module calls the program: Text is written to the file
// Attr of /proc/thread-self/attr.
type Label struct {
	Attr, Text string
	// Optional goes on when it fails.
	Optional bool
}

func (s *Spec) walkSandbox(c *codec) {
	v := &s.View
	c.flag(&v.Set)
	c.str(&v.Root)
	c.flag(&v.Image)
	c.str(&v.ImageOptions)
	c.u64(&v.ImageFlags)
	c.str(&v.Staging)
	c.u64(&v.Propagation)
	c.flag(&v.NoSuid)
	list(c, &v.Mounts, (*codec).mount)
	p := &s.Space
	c.u64(&p.Unshare)
	list(c, &p.Join, func(c *codec, j *Join) { c.u64(&j.Kind); c.u32(&j.Aux) })
	c.flag(&p.Loopback)
	c.flag(&p.DropHeld)
	c.flag(&p.Users.Set)
	list(c, &p.Users.UIDs, (*codec).idMap)
	list(c, &p.Users.GIDs, (*codec).idMap)
	c.u32(&s.Aux)
	list(c, &s.Filters, func(c *codec, f *Filter) { c.str(&f.Name); c.bytes(&f.Prog) })
	c.flag(&s.NoWriteExec)
	list(c, &s.Labels, func(c *codec, l *Label) { c.str(&l.Attr); c.str(&l.Text); c.flag(&l.Optional) })
}

func (c *codec) idMap(m *IDMap) { c.u32(&m.Inside); c.u32(&m.Outside); c.u32(&m.Count) }

func (c *codec) mount(m *Mount) {
	c.u8(&m.Kind)
	c.str(&m.Path)
	c.str(&m.Source)
	c.str(&m.Options)
	c.u64(&m.Flags)
	c.flag(&m.Optional)
	c.flag(&m.Shallow)
	c.flag(&m.KeepBelow)
	c.u8((*uint8)(&m.ReadOnly))
	c.u8((*uint8)(&m.NoExec))
	c.u8(&m.Rank)
}

func (c *codec) bytes(b *[]byte) {
	var s string
	if c.writing {
		s = string(*b)
	}
	c.str(&s)
	if !c.writing && s != "" {
		*b = []byte(s)
	}
}
