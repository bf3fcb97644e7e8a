package sandbox

import "dynamod/internal/unit"

func of(first interface{ Setting() *unit.Setting }, more ...interface{ Setting() *unit.Setting }) []*unit.Setting {
	out := []*unit.Setting{first.Setting()}
	for _, k := range more {
		out = append(out, k.Setting())
	}
	return out
}

// rateTable is everything that is judged. The weights are ours: about 100 for what
// decides whether a service that was taken over owns the machine, 40 for a way to
// data or rights of others, 20 for a part of the kernel that few services need, 10
// for what helps only with something else.
var rateTable = []rateRow{
	{of(unit.User, unit.DynamicUser), 120, "processes are root", "DynamicUser=yes, or User= with a user of its own",
		unless(func(s *subject) bool { return !s.root })},
	{of(unit.SupplementaryGroups), 10, "processes are members of further groups", "take away the groups that are not needed",
		unless(func(s *subject) bool { return len(unit.SupplementaryGroups.Of(s.u)) == 0 })},
	{of(unit.NoNewPrivileges), 60, "set-user-ID programs give new privileges", "NoNewPrivileges=yes",
		unless(func(s *subject) bool { return s.p.NoNewPrivileges })},
	{of(unit.AmbientCapabilities), 20, "processes begin with capabilities", "take away the capabilities that are not needed",
		unless(func(s *subject) bool { return s.ambient == 0 })},
	{of(unit.ExecStart), 20, "a command with + runs outside of the sandbox", "take the + away",
		unless(func(s *subject) bool { return !s.outside() })},

	capRow(70, "administering the system", "sys_admin"),
	capRow(40, "reading and changing the files of everybody", "dac_override", "dac_read_search", "chown", "fowner", "fsetid"),
	capRow(40, "becoming other users, and giving capabilities away", "setuid", "setgid", "setpcap", "setfcap"),
	capRow(40, "looking into other processes", "sys_ptrace"),
	capRow(35, "changing network interfaces, routes and firewalls", "net_admin"),
	capRow(30, "loading kernel modules", "sys_module"),
	capRow(30, "touching hardware directly", "sys_rawio"),
	capRow(25, "changing access rules of the kernel", "mac_override", "mac_admin"),
	capRow(25, "programs in the kernel, and its performance counters", "bpf", "perfmon"),
	capRow(20, "making device nodes", "mknod"),
	capRow(15, "ports below 1024, broadcasts and raw packets", "net_bind_service", "net_broadcast", "net_raw"),
	capRow(15, "setting clocks and alarms", "sys_time", "wake_alarm"),
	capRow(10, "signals to processes of others", "kill"),
	capRow(10, "rebooting", "sys_boot"),
	capRow(10, "priorities and limits of resources", "sys_nice", "sys_resource", "ipc_lock"),
	capRow(10, "the kernel's log and the audit", "syslog", "audit_control", "audit_read", "audit_write"),
	capRow(10, "changing the root directory, and files that cannot be changed", "sys_chroot", "linux_immutable", "checkpoint_restore"),
	capRow(10, "leases, accounting, terminals, IPC objects and suspend", "lease", "sys_pacct", "sys_tty_config", "ipc_owner", "block_suspend"),

	{of(unit.ProtectSystem, unit.RootDirectory, unit.RootImage), 60, "the operating system can be changed", "ProtectSystem=strict, with ReadWritePaths= or StateDirectory= for what it writes",
		func(s *subject) int {
			if s.p.RootDirectory != "" || s.p.RootImage != "" {
				return 2
			}
			return map[string]int{"no": 10, "yes": 7, "full": 5, "strict": 0}[s.p.ProtectSystem]
		}},
	{of(unit.ProtectHome), 50, "home directories are within reach", "ProtectHome=yes (or tmpfs, read-only)",
		byWord(func(s *subject) string { return s.p.ProtectHome }, map[string]int{"read-only": 5, "tmpfs": 1, "yes": 0})},
	{of(unit.PrivateTmp), 40, "/tmp and /var/tmp are shared with all", "PrivateTmp=yes (or disconnected)",
		byWord(func(s *subject) string { return s.p.PrivateTmp }, map[string]int{"yes": 0, "disconnected": 0})},
	{of(unit.PrivateMounts), 10, "mounts of the service reach all others", "PrivateMounts=yes",
		unless(func(s *subject) bool { return s.p.MountSpace && s.p.MountFlags != "shared" })},
	{of(unit.NoExecPaths, unit.ExecPaths), 20, "programs can be run from every place", "NoExecPaths=/ with ExecPaths= for its programs and libraries",
		unless(func(s *subject) bool { return len(s.p.NoExecPaths) > 0 })},
	{of(unit.PrivateDevices), 40, "/dev shows all devices", "PrivateDevices=yes",
		unless(func(s *subject) bool { return s.p.PrivateDevices })},
	{of(unit.DevicePolicy, unit.DeviceAllow), 40, "devices can be opened", "DevicePolicy=closed, with DeviceAllow= for those it needs", (*subject).devices},
	{of(unit.UMask), 10, "new files can be read by others", "UMask=0077", (*subject).umask},

	{of(unit.PrivateNetwork, unit.NetworkNamespacePath), 50, "the machine's network is within reach", "PrivateNetwork=yes",
		unless(func(s *subject) bool { return s.p.PrivateNetwork || s.p.NetworkNamespacePath != "" })},
	{of(unit.IPAddressDeny, unit.IPAddressAllow), 30, "every address can be talked to", "IPAddressDeny=any, with IPAddressAllow= for its peers", (*subject).peers},
	{of(unit.SocketBindDeny, unit.SocketBindAllow), 10, "every port can be listened on", "SocketBindDeny=any, with SocketBindAllow= for its ports",
		unless(func(s *subject) bool { return s.p.PrivateNetwork || len(unit.SocketBindDeny.Of(s.u)) > 0 })},
	{of(unit.RestrictNetworkInterfaces), 10, "every network interface can be used", "RestrictNetworkInterfaces= with those it needs",
		unless(func(s *subject) bool { return s.p.PrivateNetwork || len(unit.RestrictNetworkInterfaces.Of(s.u)) > 0 })},
	familyRow(20, "network packets can be made and read raw", "AF_PACKET"),
	familyRow(15, "Internet sockets can be opened", "AF_INET", "AF_INET6"),
	familyRow(10, "the kernel can be asked by netlink", "AF_NETLINK"),
	familyRow(5, "local sockets can be opened", "AF_UNIX"),
	familyRow(25, "rare kinds of sockets can be opened", otherFamilies()...),

	{of(unit.PrivateUsers), 40, "users of the machine are users in the service", "PrivateUsers=yes",
		byWord(func(s *subject) string { return s.p.PrivateUsers }, map[string]int{"self": 0, "identity": 5, "full": 7})},
	{of(unit.PrivatePIDs), 20, "all processes are seen", "PrivatePIDs=yes",
		unless(func(s *subject) bool { return s.p.PrivatePIDs })},
	{of(unit.PrivateIPC, unit.IPCNamespacePath), 15, "IPC objects are shared with all", "PrivateIPC=yes",
		unless(func(s *subject) bool { return s.p.PrivateIPC || s.p.IPCNamespacePath != "" })},
	{of(unit.RemoveIPC), 10, "IPC objects outlive the service", "RemoveIPC=yes",
		unless(func(s *subject) bool { return s.p.PrivateIPC || s.p.RemoveIPC && !s.root })},
	{of(unit.KeyringMode), 5, "kernel keys are shared with other services of the user", "KeyringMode=private",
		unless(func(s *subject) bool { return unit.KeyringMode.Of(s.u) == "private" || !unit.KeyringMode.IsSet(s.u) })},
	{of(unit.ProtectProc), 20, "/proc shows processes of others", "ProtectProc=invisible",
		byWord(func(s *subject) string { return s.p.ProtectProc }, map[string]int{"noaccess": 4, "invisible": 0, "ptraceable": 0})},
	{of(unit.ProcSubset), 10, "/proc shows more than processes", "ProcSubset=pid",
		unless(func(s *subject) bool { return s.p.ProcSubset == "pid" })},
	{of(unit.ProtectKernelTunables), 40, "kernel settings can be changed", "ProtectKernelTunables=yes",
		unless(func(s *subject) bool { return s.p.ProtectKernelTunables })},
	{of(unit.ProtectKernelModules), 30, "kernel modules can be read and loaded", "ProtectKernelModules=yes",
		unless(func(s *subject) bool { return s.p.ProtectKernelModules })},
	{of(unit.ProtectKernelLogs), 20, "the kernel's log can be read and emptied", "ProtectKernelLogs=yes",
		unless(func(s *subject) bool { return s.p.ProtectKernelLogs })},
	{of(unit.ProtectControlGroups), 25, "the cgroup tree can be changed", "ProtectControlGroups=yes",
		byWord(func(s *subject) string { return s.p.ProtectControlGroups }, map[string]int{"yes": 0, "private": 0, "strict": 0})},
	{of(unit.Delegate), 5, "a part of the cgroup tree is its own", "Delegate=no",
		unless(func(s *subject) bool { return len(unit.Delegate.Of(s.u)) == 0 || unit.Delegate.Of(s.u)[0] == "no" })},
	{of(unit.ProtectClock), 15, "clocks can be set", "ProtectClock=yes",
		unless(func(s *subject) bool { return s.p.ProtectClock })},
	{of(unit.ProtectHostname), 10, "the host name can be changed", "ProtectHostname=yes",
		unless(func(s *subject) bool { return s.p.ProtectHostname })},
	{of(unit.AppArmorProfile, unit.SELinuxContext, unit.SmackProcessLabel), 15, "no profile of a security module", "AppArmorProfile= (or SELinuxContext=, SmackProcessLabel=)",
		unless(func(s *subject) bool {
			return unit.AppArmorProfile.Of(s.u) != "" || unit.SELinuxContext.Of(s.u) != "" || unit.SmackProcessLabel.Of(s.u) != ""
		})},

	{of(unit.SystemCallFilter), 30, "system calls are not limited to a list", "SystemCallFilter=@system-service",
		unless(func(s *subject) bool { return !s.deny })},
	callRow(25, "@mount", nil), callRow(20, "@module", func(p *Policy) bool { return p.ProtectKernelModules }),
	callRow(20, "@raw-io", func(p *Policy) bool { return p.PrivateDevices }), callRow(20, "@reboot", nil), callRow(20, "@debug", nil),
	callRow(20, "@privileged", nil), callRow(10, "@swap", nil), callRow(10, "@resources", nil), callRow(10, "@cpu-emulation", nil),
	callRow(10, "@obsolete", nil), callRow(10, "@clock", func(p *Policy) bool { return p.ProtectClock }),
	{of(unit.SystemCallArchitectures), 20, "system calls of other architectures", "SystemCallArchitectures=native", (*subject).architectures},
	{of(unit.RestrictNamespaces), 40, "namespaces can be made", "RestrictNamespaces=yes", (*subject).spaces},
	{of(unit.RestrictSUIDSGID), 30, "set-user-ID files can be made", "RestrictSUIDSGID=yes",
		unless(func(s *subject) bool { return s.p.RestrictSUIDSGID })},
	{of(unit.MemoryDenyWriteExecute), 30, "memory can be written and then executed", "MemoryDenyWriteExecute=yes, unless it compiles code while it runs",
		unless(func(s *subject) bool { return s.p.MemoryDenyWriteExecute })},
	{of(unit.RestrictRealtime), 10, "real-time scheduling can starve the machine", "RestrictRealtime=yes",
		unless(func(s *subject) bool { return s.p.RestrictRealtime })},
	{of(unit.LockPersonality), 10, "the execution domain can be changed", "LockPersonality=yes",
		unless(func(s *subject) bool { return s.p.LockPersonality })},
	{of(unit.RestrictFileSystems), 10, "every type of file system can be opened", "RestrictFileSystems=@basic-api @temporary and what it needs",
		unless(func(s *subject) bool { return len(unit.RestrictFileSystems.Of(s.u)) > 0 })},
}

func capRow(weight int, what string, names ...string) rateRow {
	mend := "CapabilityBoundingSet= without"
	for _, n := range names {
		mend += " CAP_" + upper(n)
	}
	return rateRow{of(unit.CapabilityBoundingSet), weight, what, mend, capability(names...)}
}

func upper(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

func familyRow(weight int, what string, names ...string) rateRow {
	mend := "RestrictAddressFamilies= without"
	if len(names) > 2 {
		mend = "RestrictAddressFamilies= with those it needs"
	} else {
		for _, n := range names {
			mend += " " + n
		}
	}
	return rateRow{of(unit.RestrictAddressFamilies), weight, what, mend, family(names...)}
}

func callRow(weight int, name string, alsoBy func(*Policy) bool) rateRow {
	return rateRow{of(unit.SystemCallFilter), weight, "system calls of " + name, "SystemCallFilter=~" + name, group(name, alsoBy)}
}

// unrated are the settings of the sandbox that nothing can be said about without
// knowing the service, by their native keys, each with the reason.
var unrated = map[string]string{
	"service.user.group":               "which group is the right one is not known here",
	"sandbox.secure-bits":              "they matter to programs that change users, and close nothing for others",
	"sandbox.system-call-error-number": "says how a call is refused, not which",
	"sandbox.system-call-log":          "logs, and forbids nothing",
	"sandbox.personality":              "what uname reports protects nothing",
	"sandbox.root-image-options":       "says how the root image is mounted",
	"sandbox.root-image-policy":        "says how the root image is mounted",
	"sandbox.root-hash":                "protects the image, not the machine from the service",
	"sandbox.root-hash-signature":      "protects the image, not the machine from the service",
	"sandbox.root-verity":              "protects the image, not the machine from the service",
	"sandbox.root-ephemeral":           "whether changes of the root last is about the service's own files",
	"sandbox.extension-directories":    "adds files",
	"sandbox.extension-images":         "adds files",
	"sandbox.extension-image-policy":   "adds files",
	"sandbox.mount-images":             "adds files",
	"sandbox.mount-image-policy":       "adds files",
	"sandbox.mount-apivfs":             "follows from others",
	"sandbox.bind-log-sockets":         "the log is for everybody",
	"sandbox.mount-flags":              "judged with PrivateMounts=",
	"sandbox.bind-mounts":              "what a path of the host gives away depends on the path",
	"sandbox.bind-paths":               "what a path of the host gives away depends on the path",
	"sandbox.bind-read-only-paths":     "what a path of the host gives away depends on the path",
	"sandbox.read-write-paths":         "what a path gives away depends on the path",
	"sandbox.read-only-paths":          "what a path hides depends on the path",
	"sandbox.inaccessible-paths":       "what a path hides depends on the path",
	"sandbox.temporary-file-system":    "what a path hides depends on the path",
	"namespace.enable":                 "counts as the settings that it stands for: PrivatePIDs=, PrivateNetwork= and so on",
}
