package unit

// What the processes of a unit cannot see or do. systemd.exec(5), "Paths",
// "Capabilities", "Security", "Mandatory access control", "Sandboxing",
// "System call filtering".

var (
	RootDirectory        = path(execRow("sandbox.root-directory", "RootDirectory", "s", "", "The directory that becomes the root of the processes.").by(ByWorld))
	RootImage            = path(execRow("sandbox.root-image", "RootImage", "s", "233", "The disk image that becomes the root of the processes.").by(ByWorld))
	RootImageOptions     = words(execRow("sandbox.root-image-options", "RootImageOptions", "a(ss)", "247", "Mount options of the image's partitions: PARTITION:OPTIONS.").by(ByWorld))
	RootImagePolicy      = str(execRow("sandbox.root-image-policy", "RootImagePolicy", "s", "254", "Which partitions of the root image are used, and how they must be protected.").by(ByWorld))
	RootEphemeral        = boolean(execRow("sandbox.root-ephemeral", "RootEphemeral", "b", "254", "Works on a copy of the root directory or image that is thrown away.").idle("a copy of the root directory or image for each start is not built yet"))
	RootHash             = str(execRow("sandbox.root-hash", "RootHash", "ay", "246", "The dm-verity root hash of the image, in hexadecimal or as a file.").by(ByWorld))
	RootHashSignature    = str(execRow("sandbox.root-hash-signature", "RootHashSignature", "ay", "246", "The signature of the root hash, as base64:… or as a file.").by(ByWorld))
	RootVerity           = path(execRow("sandbox.root-verity", "RootVerity", "s", "246", "The file with the dm-verity data of the image.").by(ByWorld))
	ExtensionDirectories = paths(execRow("sandbox.extension-directories", "ExtensionDirectories", "as", "251", "Directories laid over /usr and /opt as system extensions.").idle("an overlay of /usr and /opt in the view of the unit is not built yet"))
	ExtensionImages      = words(execRow("sandbox.extension-images", "ExtensionImages", "a(sba(ss))", "248", "Disk images laid over /usr and /opt as system extensions.").idle("an overlay of /usr and /opt in the view of the unit is not built yet"))
	ExtensionImagePolicy = str(execRow("sandbox.extension-image-policy", "ExtensionImagePolicy", "s", "254", "Which partitions of extension images are used.").idle("an overlay of /usr and /opt in the view of the unit is not built yet"))
	MountImages          = words(execRow("sandbox.mount-images", "MountImages", "a(ssba(ss))", "247", "Disk images mounted for the processes: IMAGE:TARGET.").by(ByWorld))
	MountImagePolicy     = str(execRow("sandbox.mount-image-policy", "MountImagePolicy", "s", "254", "Which partitions of mounted images are used.").idle("images are mounted as a whole, without a search for partitions"))
	MountAPIVFS          = toggle(execRow("sandbox.mount-apivfs", "MountAPIVFS", "b", "233", "Mounts /proc, /sys, /dev and /run below the new root.").words("yes", "no").by(ByWorld))
	BindLogSockets       = toggle(execRow("sandbox.bind-log-sockets", "BindLogSockets", "b", "257", "Makes the log sockets available below the new root.").words("yes", "no").by(ByWorld))
	MountFlags           = enum(execRow("sandbox.mount-flags", "MountFlags", "t", "", "Whether later mounts pass between the host and the processes.").words("shared", "slave", "private").by(ByWorld))

	// BindMounts are BindPaths=, BindReadOnlyPaths= and namespace.bind-mounts
	// in the order of the files.
	BindMounts = bindMounts(Setting{Native: "sandbox.bind-mounts", NativeAliases: []string{"namespace.bind-mounts"}, In: InExec, DBus: "BindPaths", Signature: "a(ssbt)", Since: "dynamod",
		Source: "the original dynamod", Doc: "Paths of the host shown at other places to the processes: {source, target, writable, ignore-missing, recursive}."}.by(ByWorld))
	BindPaths         = bindMounts(execRow("sandbox.bind-paths", "BindPaths", "a(ssbt)", "233", "Paths of the host shown to the processes: SOURCE:TARGET:OPTION.").tagged("rw").addsTo(BindMounts.s).by(ByWorld))
	BindReadOnlyPaths = bindMounts(execRow("sandbox.bind-read-only-paths", "BindReadOnlyPaths", "a(ssbt)", "233", "Like bind-paths, but read-only.").addsTo(BindMounts.s).by(ByWorld))

	ReadWritePaths      = paths(execRow("sandbox.read-write-paths", "ReadWritePaths", "as", "231", "Paths that stay writable below a read-only tree.").older("ReadWriteDirectories").by(ByWorld))
	ReadOnlyPaths       = paths(execRow("sandbox.read-only-paths", "ReadOnlyPaths", "as", "231", "Paths that are read-only for the processes.").older("ReadOnlyDirectories").by(ByWorld))
	InaccessiblePaths   = paths(execRow("sandbox.inaccessible-paths", "InaccessiblePaths", "as", "231", "Paths that are hidden from the processes.").older("InaccessibleDirectories").by(ByWorld))
	ExecPaths           = paths(execRow("sandbox.exec-paths", "ExecPaths", "as", "231", "Paths below which programs can be run, against no-exec-paths.").by(ByWorld))
	NoExecPaths         = paths(execRow("sandbox.no-exec-paths", "NoExecPaths", "as", "231", "Paths below which no program can be run.").by(ByWorld))
	TemporaryFileSystem = words(execRow("sandbox.temporary-file-system", "TemporaryFileSystem", "a(ss)", "238", "Places where an empty tmpfs is mounted: PATH:OPTIONS.").by(ByWorld))

	PrivateTmp           = toggle(execRow("sandbox.private-tmp", "PrivateTmp", "", "", "Gives the processes a /tmp and /var/tmp of their own.").words("no", "yes", "disconnected").deflt("no").dbus("PrivateTmpEx", "s").also("namespace.private-tmp").by(ByWorld))
	PrivateDevices       = boolean(execRow("sandbox.private-devices", "PrivateDevices", "b", "209", "Gives the processes a /dev with pseudo devices only.").by(ByWorld))
	PrivateNetwork       = boolean(execRow("sandbox.private-network", "PrivateNetwork", "b", "", "Gives the processes a network with a loopback device only.").by(ByWorld))
	PrivateUsers         = toggle(execRow("sandbox.private-users", "PrivateUsers", "", "232", "Gives the processes a user namespace, with root and themselves (yes, self), the first 65536 users (identity) or all users (full) mapped.").words("no", "yes", "self", "identity", "full").deflt("no").dbus("PrivateUsersEx", "s").by(ByWorld))
	PrivateMounts        = toggle(execRow("sandbox.private-mounts", "PrivateMounts", "b", "239", "Gives the processes a mount table of their own.").words("yes", "no").by(ByWorld))
	PrivateIPC           = boolean(execRow("sandbox.private-ipc", "PrivateIPC", "b", "248", "Gives the processes System V IPC objects and message queues of their own.").by(ByWorld))
	PrivatePIDs          = toggle(execRow("sandbox.private-pids", "PrivatePIDs", "s", "257", "Gives the processes a process table of their own.").words("no", "yes").deflt("no").by(ByWorld))
	NetworkNamespacePath = path(execRow("sandbox.network-namespace-path", "NetworkNamespacePath", "s", "242", "The network namespace that the processes join.").by(ByWorld))
	IPCNamespacePath     = path(execRow("sandbox.ipc-namespace-path", "IPCNamespacePath", "s", "248", "The IPC namespace that the processes join.").by(ByWorld))

	ProtectSystem         = toggle(execRow("sandbox.protect-system", "ProtectSystem", "s", "214", "Makes /usr and /boot (yes), /etc too (full), or the whole tree (strict) read-only.").words("no", "yes", "full", "strict").deflt("no").also("namespace.protect-system").by(ByWorld))
	ProtectHome           = toggle(execRow("sandbox.protect-home", "ProtectHome", "s", "214", "Hides the home directories, makes them read-only, or puts an empty tmpfs over them.").words("no", "yes", "read-only", "tmpfs").deflt("no").by(ByWorld))
	ProtectProc           = enum(execRow("sandbox.protect-proc", "ProtectProc", "s", "247", "Which processes of other users are seen in /proc.").words("default", "noaccess", "invisible", "ptraceable").deflt("default").by(ByWorld))
	ProcSubset            = enum(execRow("sandbox.proc-subset", "ProcSubset", "s", "247", "Whether /proc shows processes only.").words("all", "pid").deflt("all").by(ByWorld))
	ProtectKernelTunables = boolean(execRow("sandbox.protect-kernel-tunables", "ProtectKernelTunables", "b", "232", "Makes kernel settings in /proc and /sys read-only.").by(ByWorld))
	ProtectKernelModules  = boolean(execRow("sandbox.protect-kernel-modules", "ProtectKernelModules", "b", "232", "Forbids loading and unloading kernel modules.").by(ByWorld))
	ProtectKernelLogs     = boolean(execRow("sandbox.protect-kernel-logs", "ProtectKernelLogs", "b", "244", "Forbids access to the kernel log.").by(ByWorld))
	ProtectClock          = boolean(execRow("sandbox.protect-clock", "ProtectClock", "b", "245", "Forbids setting the clocks.").by(ByWorld))
	ProtectControlGroups  = toggle(execRow("sandbox.protect-control-groups", "ProtectControlGroups", "", "232", "Makes the cgroup tree read-only, or private.").words("no", "yes", "private", "strict").deflt("no").dbus("ProtectControlGroupsEx", "s").by(ByWorld))
	ProtectHostname       = boolean(execRow("sandbox.protect-hostname", "ProtectHostname", "b", "242", "Forbids changing the host name.").by(ByWorld))

	CapabilityBoundingSet = words(execRow("sandbox.capability-bounding-set", "CapabilityBoundingSet", "t", "", "The capabilities that the processes can ever have; with ~ first, those they cannot; empty, none.").emptyIsValue().by(ByWorld).inverts())
	AmbientCapabilities   = words(execRow("sandbox.ambient-capabilities", "AmbientCapabilities", "t", "229", "The capabilities that the processes have without being root.").by(ByWorld).inverts())
	SecureBits            = words(execRow("sandbox.secure-bits", "SecureBits", "i", "", "The secure bits of the processes.").words("keep-caps", "keep-caps-locked", "no-setuid-fixup", "no-setuid-fixup-locked", "noroot", "noroot-locked").by(ByWorld))
	NoNewPrivileges       = boolean(execRow("sandbox.no-new-privileges", "NoNewPrivileges", "b", "187", "Keeps setuid programs and file capabilities from giving new privileges.").by(ByWorld))

	SystemCallFilter        = words(execRow("sandbox.system-call-filter", "SystemCallFilter", "(bas)", "187", "The system calls and @groups that are allowed; with ~ first, forbidden; NAME:ERRNO gives an answer of its own.").inverts().by(ByWorld))
	SystemCallLog           = words(execRow("sandbox.system-call-log", "SystemCallLog", "(bas)", "247", "The system calls that are logged; with ~ first, those that are not.").inverts().by(ByWorld))
	SystemCallArchitectures = words(execRow("sandbox.system-call-architectures", "SystemCallArchitectures", "as", "209", "The architectures whose system calls are allowed besides the native one.").by(ByWorld))
	SystemCallErrorNumber   = str(execRow("sandbox.system-call-error-number", "SystemCallErrorNumber", "i", "209", "The error that a forbidden system call returns; kill ends the process, which is the default.").deflt("kill").by(ByWorld))
	RestrictNamespaces      = words(execRow("sandbox.restrict-namespaces", "RestrictNamespaces", "t", "233", "Forbids namespaces: yes for all, or the kinds that stay allowed; with ~ first, those that are forbidden.").inverts().by(ByWorld))
	RestrictRealtime        = boolean(execRow("sandbox.restrict-realtime", "RestrictRealtime", "b", "231", "Forbids real-time scheduling.").by(ByWorld))
	RestrictSUIDSGID        = boolean(execRow("sandbox.restrict-suid-sgid", "RestrictSUIDSGID", "b", "242", "Forbids setting the set-user-ID and set-group-ID bits.").by(ByWorld))
	RestrictAddressFamilies = words(execRow("sandbox.restrict-address-families", "RestrictAddressFamilies", "(bas)", "211", "The socket address families that are allowed; with ~ first, forbidden; none forbids all.").inverts().by(ByWorld))
	RestrictFileSystems     = words(execRow("sandbox.restrict-file-systems", "RestrictFileSystems", "(bas)", "250", "The file system types that may be opened; with ~ first, those that may not.").inverts().by(ByWorld))
	LockPersonality         = boolean(execRow("sandbox.lock-personality", "LockPersonality", "b", "235", "Forbids changing the execution domain.").by(ByWorld))
	MemoryDenyWriteExecute  = boolean(execRow("sandbox.memory-deny-write-execute", "MemoryDenyWriteExecute", "b", "231", "Forbids memory that is writable and executable.").by(ByWorld))
	Personality             = enum(execRow("sandbox.personality", "Personality", "s", "209", "The architecture that uname reports.").words("x86", "x86-64", "arm64", "arm64-be", "arm", "arm-be", "alpha", "arc", "arc-be", "cris", "ia64", "loongarch64", "m68k", "mips", "mips-le", "mips64", "mips64-le", "nios2", "parisc", "parisc64", "ppc", "ppc-le", "ppc64", "ppc64-le", "riscv32", "riscv64", "s390", "s390x", "sh", "sh64", "sparc", "sparc64", "tilegx").by(ByWorld))
	RemoveIPC               = boolean(execRow("sandbox.remove-ipc", "RemoveIPC", "b", "232", "Removes the IPC objects of the user when the unit stops.").by(ByWorld))

	SELinuxContext    = str(execRow("sandbox.selinux-context", "SELinuxContext", "(bs)", "209", "The SELinux context of the processes; - before it tolerates failure.").by(ByWorld))
	AppArmorProfile   = str(execRow("sandbox.apparmor-profile", "AppArmorProfile", "(bs)", "210", "The AppArmor profile of the processes; - before it tolerates a missing one.").by(ByWorld))
	SmackProcessLabel = str(execRow("sandbox.smack-process-label", "SmackProcessLabel", "(bs)", "218", "The SMACK label of the processes; - before it tolerates failure.").by(ByWorld))
)
