package unit

// The [Mount], [Automount] and [Swap] sections. systemd.mount(5),
// systemd.automount(5), systemd.swap(5).

var What = str(Setting{Native: "mount.what", NativeAliases: []string{"swap.what"}, Name: "What",
	In: InMount | InSwap, DBus: "What", Signature: "s", Since: "", Effect: ByGraph, Source: "systemd.mount(5)",
	Doc: "The device, file or other source that is mounted or swapped on."})

var Where = path(Setting{Native: "mount.where", NativeAliases: []string{"automount.where"}, Name: "Where",
	In: InMount | InAutomount, DBus: "Where", Signature: "s", Since: "220", Effect: ByGraph, Source: "systemd.mount(5)",
	Doc: "The mount point; the unit's name must be its escaped form."})

var MountType = str(Setting{Native: "mount.type", Name: "Type",
	In: InMount, DBus: "Type", Signature: "s", Since: "", Effect: ByGraph, Source: "systemd.mount(5)",
	Doc: "The file system type."})

var MountOptions = str(Setting{Native: "mount.options", NativeAliases: []string{"swap.options"}, Name: "Options",
	In: InMount | InSwap, DBus: "Options", Signature: "s", Since: "", Effect: ByGraph, Source: "systemd.mount(5)",
	Doc: "Mount or swap options separated by commas."})

var SloppyOptions = boolean(Setting{Native: "mount.sloppy-options", Name: "SloppyOptions",
	In: InMount, DBus: "SloppyOptions", Signature: "b", Since: "215", Effect: ByWorld, Source: "systemd.mount(5)",
	Doc: "Tolerates mount options that the file system does not know."})

var LazyUnmount = boolean(Setting{Native: "mount.lazy-unmount", Name: "LazyUnmount",
	In: InMount, DBus: "LazyUnmount", Signature: "b", Since: "232", Effect: ByWorld, Source: "systemd.mount(5)",
	Doc: "Detaches the file system at once and cleans up when nobody uses it any longer."})

var ForceUnmount = boolean(Setting{Native: "mount.force-unmount", Name: "ForceUnmount",
	In: InMount, DBus: "ForceUnmount", Signature: "b", Since: "232", Effect: ByWorld, Source: "systemd.mount(5)",
	Doc: "Unmounts by force, for network file systems whose server is gone."})

var ReadWriteOnly = boolean(Setting{Native: "mount.read-write-only", Name: "ReadWriteOnly",
	In: InMount, DBus: "ReadWriteOnly", Signature: "b", Since: "246", Effect: ByWorld, Source: "systemd.mount(5)",
	Doc: "Fails instead of falling back to a read-only mount."})

var MountTimeoutSec = duration(Setting{Native: "mount.timeout", Name: "TimeoutSec", Default: "1min 30s", tag: "zero-forever",
	In: InMount, DBus: "TimeoutUSec", Signature: "t", Since: "", Effect: ByCore, Source: "systemd.mount(5)",
	Doc: "How long the mount or unmount command may take."})

var ExtraOptions = str(Setting{Native: "automount.extra-options", Name: "ExtraOptions",
	In: InAutomount, DBus: "ExtraOptions", Signature: "s", Since: "250", Effect: ByWorld, Source: "systemd.automount(5)",
	Doc: "Options of the autofs mount itself."})

var TimeoutIdleSec = duration(Setting{Native: "automount.timeout-idle", Name: "TimeoutIdleSec",
	In: InAutomount, DBus: "TimeoutIdleUSec", Signature: "t", Since: "220", Effect: ByWorld, Source: "systemd.automount(5)",
	Doc: "How long an unused mount stays; 0 means for ever."})

var SwapPriority = integer(Setting{Native: "swap.priority", Name: "Priority", Default: "-1", Min: -1, Max: 32767,
	In: InSwap, DBus: "Priority", Signature: "i", Since: "", Effect: ByWorld, Source: "systemd.swap(5)",
	Doc: "The priority of the swap area, higher first."})

var SwapTimeoutSec = duration(Setting{Native: "swap.timeout", Name: "TimeoutSec", Default: "1min 30s", tag: "zero-forever",
	In: InSwap, DBus: "TimeoutUSec", Signature: "t", Since: "", Effect: ByCore, Source: "systemd.swap(5)",
	Doc: "How long the swapon or swapoff command may take."})
