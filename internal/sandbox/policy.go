package sandbox

import (
	"slices"

	"dynamod/internal/sandbox/seccomp"
	"dynamod/internal/unit"
)

// Policy is what holds for the processes of a unit, with everything that one
// setting implies of another (systemd.exec(5)).
type Policy struct {
	// Words of the settings of the same name, never "".
	PrivateTmp, ProtectSystem, ProtectHome, ProtectControlGroups string
	ProtectProc, ProcSubset, PrivateUsers                        string

	PrivateDevices, PrivateNetwork, PrivateIPC, PrivatePIDs                  bool
	ProtectKernelTunables, ProtectKernelModules, ProtectKernelLogs           bool
	ProtectClock, ProtectHostname                                            bool
	NoNewPrivileges, RestrictSUIDSGID, RestrictRealtime                      bool
	LockPersonality, MemoryDenyWriteExecute, RemoveIPC, DynamicUser          bool
	HostnameSpace, CgroupSpace, TimeSpace                                    bool
	NetworkNamespacePath, IPCNamespacePath                                   string
	RootDirectory, RootImage                                                 string
	ReadWritePaths, ReadOnlyPaths, InaccessiblePaths, ExecPaths, NoExecPaths []string
	TemporaryFileSystem                                                      []string
	BindMounts                                                               []unit.BindMount
	MountImages                                                              []string
	MountFlags                                                               string
	MountAPIVFS, BindLogSockets                                              bool
	SystemCallFilter, SystemCallLog, SystemCallArchitectures                 []string
	SystemCallErrorNumber                                                    string
	RestrictNamespaces, RestrictAddressFamilies                              []string

	// DropCapabilities are those that other settings take away, as they are
	// named in CapabilityBoundingSet=.
	DropCapabilities []string
	// MountSpace says that the processes have a mount table of their own.
	MountSpace bool
}

// Of reads the policy of a unit.
func Of(u *unit.Unit) Policy {
	p := Policy{
		PrivateTmp: unit.PrivateTmp.Of(u), ProtectSystem: unit.ProtectSystem.Of(u), ProtectHome: unit.ProtectHome.Of(u),
		ProtectControlGroups: unit.ProtectControlGroups.Of(u), ProtectProc: unit.ProtectProc.Of(u), ProcSubset: unit.ProcSubset.Of(u),
		PrivateUsers: unit.PrivateUsers.Of(u), PrivateDevices: unit.PrivateDevices.Of(u), PrivateNetwork: unit.PrivateNetwork.Of(u),
		PrivateIPC: unit.PrivateIPC.Of(u), PrivatePIDs: unit.PrivatePIDs.Of(u) == "yes",
		ProtectKernelTunables: unit.ProtectKernelTunables.Of(u), ProtectKernelModules: unit.ProtectKernelModules.Of(u),
		ProtectKernelLogs: unit.ProtectKernelLogs.Of(u), ProtectClock: unit.ProtectClock.Of(u), ProtectHostname: unit.ProtectHostname.Of(u),
		NoNewPrivileges: unit.NoNewPrivileges.Of(u), RestrictSUIDSGID: unit.RestrictSUIDSGID.Of(u), RestrictRealtime: unit.RestrictRealtime.Of(u),
		LockPersonality: unit.LockPersonality.Of(u), MemoryDenyWriteExecute: unit.MemoryDenyWriteExecute.Of(u),
		RemoveIPC: unit.RemoveIPC.Of(u), DynamicUser: unit.DynamicUser.Of(u),
		NetworkNamespacePath: unit.NetworkNamespacePath.Of(u), IPCNamespacePath: unit.IPCNamespacePath.Of(u),
		RootDirectory: unit.RootDirectory.Of(u), RootImage: unit.RootImage.Of(u),
		ReadWritePaths: unit.ReadWritePaths.Of(u), ReadOnlyPaths: unit.ReadOnlyPaths.Of(u), InaccessiblePaths: unit.InaccessiblePaths.Of(u),
		ExecPaths: unit.ExecPaths.Of(u), NoExecPaths: unit.NoExecPaths.Of(u), TemporaryFileSystem: unit.TemporaryFileSystem.Of(u),
		BindMounts: unit.BindMounts.Of(u), MountImages: unit.MountImages.Of(u), MountFlags: unit.MountFlags.Of(u),
		SystemCallFilter: unit.SystemCallFilter.Of(u), SystemCallLog: unit.SystemCallLog.Of(u),
		SystemCallArchitectures: unit.SystemCallArchitectures.Of(u), SystemCallErrorNumber: unit.SystemCallErrorNumber.Of(u),
		RestrictNamespaces: unit.RestrictNamespaces.Of(u), RestrictAddressFamilies: unit.RestrictAddressFamilies.Of(u),
	}
	private := unit.PrivateMounts.Of(u)
	p.nativeNamespaces(unit.Namespaces.Of(u), &private)
	if p.PrivateUsers == "yes" {
		p.PrivateUsers = "self"
	}
	p.dynamicUser()
	if p.RootDirectory == "/" {
		p.RootDirectory = ""
	}
	if p.ProtectHostname {
		p.HostnameSpace = true
	}
	// A mount namespace is made for everything that needs one; the network's
	// can be declined.
	network := p.PrivateNetwork || p.NetworkNamespacePath != ""
	p.MountSpace = private == "yes" || network && private != "no" || p.needsMounts()
	api := p.ProtectProc != "default" || p.ProcSubset != "all" || p.ProtectKernelTunables || p.ProtectControlGroups != "no" || p.PrivatePIDs
	switch unit.MountAPIVFS.Of(u) {
	case "yes":
		p.MountAPIVFS = true
	case "no":
		p.MountAPIVFS = api
	default:
		p.MountAPIVFS = api || p.RootImage != ""
	}
	rooted := p.RootDirectory != "" || p.RootImage != ""
	p.BindLogSockets = unit.BindLogSockets.Of(u) == "yes" || unit.BindLogSockets.Of(u) == "" && rooted && (p.MountAPIVFS || p.PrivateDevices)
	p.MountSpace = p.MountSpace || p.BindLogSockets
	for _, x := range []struct {
		on   bool
		caps []string
	}{
		{p.PrivateDevices, []string{"CAP_MKNOD", "CAP_SYS_RAWIO"}}, {p.ProtectKernelModules, []string{"CAP_SYS_MODULE"}},
		{p.ProtectKernelLogs, []string{"CAP_SYSLOG"}}, {p.ProtectClock, []string{"CAP_SYS_TIME", "CAP_WAKE_ALARM"}},
	} {
		if x.on {
			p.DropCapabilities = append(p.DropCapabilities, x.caps...)
		}
	}
	return p
}

func (p *Policy) needsMounts() bool {
	return p.PrivateTmp != "no" || p.ProtectSystem != "no" || p.ProtectHome != "no" || p.ProtectControlGroups != "no" ||
		p.ProtectProc != "default" || p.ProcSubset != "all" || p.PrivateDevices || p.PrivateIPC || p.IPCNamespacePath != "" || p.PrivatePIDs ||
		p.ProtectKernelTunables || p.ProtectKernelModules || p.ProtectKernelLogs ||
		p.RootDirectory != "" || p.RootImage != "" || p.MountFlags != "" ||
		len(p.ReadWritePaths)+len(p.ReadOnlyPaths)+len(p.InaccessiblePaths)+len(p.ExecPaths)+len(p.NoExecPaths) > 0 ||
		len(p.TemporaryFileSystem)+len(p.BindMounts)+len(p.MountImages) > 0
}

// nativeNamespaces are the words of namespace.enable.
func (p *Policy) nativeNamespaces(words []string, private *string) {
	for _, w := range words {
		switch w {
		case "pid":
			p.PrivatePIDs = true
		case "mnt":
			*private = "yes"
		case "net":
			p.PrivateNetwork = true
		case "uts":
			p.HostnameSpace = true
		case "ipc":
			p.PrivateIPC = true
		case "user":
			if p.PrivateUsers == "no" {
				p.PrivateUsers = "self"
			}
		case "cgroup":
			p.CgroupSpace = true
		case "time":
			p.TimeSpace = true
		}
	}
}

// dynamicUser is what DynamicUser= implies: nothing of a user that exists for a
// while may be left behind, nor be able to give more than it had.
func (p *Policy) dynamicUser() {
	if !p.DynamicUser {
		return
	}
	p.RemoveIPC, p.NoNewPrivileges, p.RestrictSUIDSGID = true, true, true
	for _, x := range []struct {
		word       *string
		off, least string
	}{{&p.PrivateTmp, "no", "disconnected"}, {&p.ProtectSystem, "no", "strict"}, {&p.ProtectHome, "no", "read-only"}} {
		if *x.word == x.off {
			*x.word = x.least
		}
	}
}

// Calls are what the unit says about system calls. Of personality and errnos the
// caller knows.
func (p *Policy) Calls() seccomp.Settings {
	return seccomp.Settings{
		Filter: p.SystemCallFilter, ErrorNumber: p.SystemCallErrorNumber, Log: p.SystemCallLog, Architectures: p.SystemCallArchitectures,
		AddressFamilies: p.RestrictAddressFamilies, Namespaces: p.RestrictNamespaces,
		Realtime: p.RestrictRealtime, SUIDSGID: p.RestrictSUIDSGID, LockPersonality: p.LockPersonality,
		WriteExec: p.MemoryDenyWriteExecute, SharedExec: p.MemoryDenyWriteExecute,
		Clock: p.ProtectClock, Modules: p.ProtectKernelModules, Logs: p.ProtectKernelLogs, Hostname: p.ProtectHostname, RawIO: p.PrivateDevices,
	}
}

// NeedsUsers says that a manager without privileges must make a user namespace to
// carry the policy out (systemd.exec(5): "PrivateUsers= is implicitly enabled").
func (p *Policy) NeedsUsers() bool {
	return p.MountSpace || p.PrivateUsers != "no" || p.PrivateNetwork || p.PrivateIPC || p.PrivatePIDs || p.HostnameSpace || p.CgroupSpace ||
		p.TimeSpace || p.NetworkNamespacePath != "" || p.IPCNamespacePath != ""
}

// Restricts says whether kind is among the namespaces that cannot be made.
func (p *Policy) Restricts(kind string) bool {
	if len(p.RestrictNamespaces) == 0 {
		return false
	}
	list, err := seccomp.ForbiddenSpaces(p.RestrictNamespaces)
	return err == nil && slices.Contains(list, kind)
}
