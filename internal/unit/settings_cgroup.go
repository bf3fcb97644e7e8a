package unit

// Resource control. systemd.resource-control(5).

var (
	Slice = unitName(cgroupRow("cgroup.slice", "Slice", "s", "208", "The slice of the cgroup tree that the unit lies in.").by(ByGraph).tagged("slice"))

	CPUAccounting     = boolean(cgroupRow("cgroup.cpu-accounting", "CPUAccounting", "b", "208", "Measures the CPU time of the unit.").deflt("yes").idle("the kernel measures the CPU time of every group in any case, and it is always shown"))
	CPUWeight         = weight(cgroupRow("cgroup.cpu-weight", "CPUWeight", "t", "232", "The share of CPU time among siblings, 1 to 10000 (100 by default), or idle.").words("idle").by(ByWorld))
	StartupCPUWeight  = weight(cgroupRow("cgroup.startup-cpu-weight", "StartupCPUWeight", "t", "232", "The CPU weight during boot and shutdown.").words("idle").by(ByWorld))
	CPUQuota          = percent(cgroupRow("cgroup.cpu-quota", "CPUQuota", "", "213", "The CPU time that the unit may use, in percent of one processor.").dbus("CPUQuotaPerSecUSec", "t").by(ByWorld))
	CPUQuotaPeriodSec = duration(cgroupRow("cgroup.cpu-quota-period", "CPUQuotaPeriodSec", "", "242", "The period over which the CPU quota is measured.").dbus("CPUQuotaPeriodUSec", "t").deflt("100ms").by(ByWorld))
	CPUMax            = str(Setting{Native: "cgroup.cpu-max", In: InCgroup, Since: "dynamod", Source: "the original dynamod", Doc: "What is written to cpu.max as it is: QUOTA PERIOD in microseconds."}.by(ByWorld))

	AllowedCPUs               = words(cgroupRow("cgroup.allowed-cpus", "AllowedCPUs", "ay", "244", "The processors that the unit may use, as numbers and ranges.").also("cgroup.cpuset").by(ByWorld))
	StartupAllowedCPUs        = words(cgroupRow("cgroup.startup-allowed-cpus", "StartupAllowedCPUs", "ay", "244", "The processors that the unit may use during boot and shutdown.").by(ByWorld))
	AllowedMemoryNodes        = words(cgroupRow("cgroup.allowed-memory-nodes", "AllowedMemoryNodes", "ay", "244", "The NUMA nodes that the unit may use, as numbers and ranges.").by(ByWorld))
	StartupAllowedMemoryNodes = words(cgroupRow("cgroup.startup-allowed-memory-nodes", "StartupAllowedMemoryNodes", "ay", "244", "The NUMA nodes that the unit may use during boot and shutdown.").by(ByWorld))

	MemoryAccounting        = boolean(cgroupRow("cgroup.memory-accounting", "MemoryAccounting", "b", "208", "Measures the memory of the unit.").deflt("yes").by(ByWorld))
	MemoryMin               = size(cgroupRow("cgroup.memory-min", "MemoryMin", "t", "240", "Memory that is never reclaimed from the unit.").by(ByWorld))
	DefaultMemoryMin        = size(cgroupRow("cgroup.default-memory-min", "DefaultMemoryMin", "t", "", "The memory-min of units below this one.").by(ByWorld))
	MemoryLow               = size(cgroupRow("cgroup.memory-low", "MemoryLow", "t", "240", "Memory that is reclaimed from the unit only when nothing else is left.").by(ByWorld))
	StartupMemoryLow        = size(cgroupRow("cgroup.startup-memory-low", "StartupMemoryLow", "t", "240", "The memory-low during boot and shutdown.").by(ByWorld))
	DefaultMemoryLow        = size(cgroupRow("cgroup.default-memory-low", "DefaultMemoryLow", "t", "", "The memory-low of units below this one.").by(ByWorld))
	DefaultStartupMemoryLow = size(cgroupRow("cgroup.default-startup-memory-low", "DefaultStartupMemoryLow", "t", "240", "The memory-low of units below this one during boot and shutdown.").by(ByWorld))
	MemoryHigh              = size(cgroupRow("cgroup.memory-high", "MemoryHigh", "t", "231", "Memory above which the unit is slowed down and reclaimed from.").deflt("infinity").by(ByWorld))
	StartupMemoryHigh       = size(cgroupRow("cgroup.startup-memory-high", "StartupMemoryHigh", "t", "231", "The memory-high during boot and shutdown.").deflt("infinity").by(ByWorld))
	MemoryMax               = size(cgroupRow("cgroup.memory-max", "MemoryMax", "t", "231", "Memory that the unit cannot exceed; the kernel kills in it instead.").deflt("infinity").by(ByWorld))
	StartupMemoryMax        = size(cgroupRow("cgroup.startup-memory-max", "StartupMemoryMax", "t", "231", "The memory-max during boot and shutdown.").deflt("infinity").by(ByWorld))
	MemorySwapMax           = size(cgroupRow("cgroup.memory-swap-max", "MemorySwapMax", "t", "232", "Swap that the unit cannot exceed.").deflt("infinity").by(ByWorld))
	StartupMemorySwapMax    = size(cgroupRow("cgroup.startup-memory-swap-max", "StartupMemorySwapMax", "t", "232", "The memory-swap-max during boot and shutdown.").deflt("infinity").by(ByWorld))
	MemoryZSwapMax          = size(cgroupRow("cgroup.memory-zswap-max", "MemoryZSwapMax", "t", "253", "Compressed swap that the unit cannot exceed.").deflt("infinity").by(ByWorld))
	StartupMemoryZSwapMax   = size(cgroupRow("cgroup.startup-memory-zswap-max", "StartupMemoryZSwapMax", "t", "253", "The memory-zswap-max during boot and shutdown.").deflt("infinity").by(ByWorld))
	MemoryZSwapWriteback    = boolean(cgroupRow("cgroup.memory-zswap-writeback", "MemoryZSwapWriteback", "b", "256", "Lets compressed swap be written to the swap device.").deflt("yes").by(ByWorld))

	MemoryPressureWatch        = toggle(cgroupRow("cgroup.memory-pressure-watch", "MemoryPressureWatch", "s", "254", "Tells the processes about memory pressure through $MEMORY_PRESSURE_WATCH.").words("auto", "yes", "no", "skip").deflt("auto").by(ByWorld))
	MemoryPressureThresholdSec = duration(cgroupRow("cgroup.memory-pressure-threshold", "MemoryPressureThresholdSec", "", "254", "How long allocations must be delayed within two seconds to count as pressure.").dbus("MemoryPressureThresholdUSec", "t").deflt("200ms").by(ByWorld))

	TasksAccounting = boolean(cgroupRow("cgroup.tasks-accounting", "TasksAccounting", "b", "227", "Counts the processes and threads of the unit.").deflt("yes").by(ByWorld))
	TasksMax        = size(cgroupRow("cgroup.pids-max", "TasksMax", "t", "227", "The number of processes and threads that the unit cannot exceed.").also("cgroup.tasks-max").by(ByWorld))

	IOAccounting             = boolean(cgroupRow("cgroup.io-accounting", "IOAccounting", "b", "230", "Measures the I/O of the unit.").by(ByWorld))
	IOWeight                 = weight(cgroupRow("cgroup.io-weight", "IOWeight", "t", "230", "The share of I/O among siblings, 1 to 10000 (100 by default).").by(ByWorld))
	StartupIOWeight          = weight(cgroupRow("cgroup.startup-io-weight", "StartupIOWeight", "t", "230", "The I/O weight during boot and shutdown.").by(ByWorld))
	IODeviceWeight           = lines(cgroupRow("cgroup.io-device-weight", "IODeviceWeight", "a(st)", "230", "The I/O weight on one device: DEVICE WEIGHT.").byName().by(ByWorld))
	IOReadBandwidthMax       = lines(cgroupRow("cgroup.io-read-bandwidth-max", "IOReadBandwidthMax", "a(st)", "230", "Bytes per second that may be read from a device: DEVICE BYTES.").byName().by(ByWorld))
	IOWriteBandwidthMax      = lines(cgroupRow("cgroup.io-write-bandwidth-max", "IOWriteBandwidthMax", "a(st)", "230", "Bytes per second that may be written to a device: DEVICE BYTES.").byName().by(ByWorld))
	IOReadIOPSMax            = lines(cgroupRow("cgroup.io-read-iops-max", "IOReadIOPSMax", "a(st)", "230", "Reads per second on a device: DEVICE NUMBER.").byName().by(ByWorld))
	IOWriteIOPSMax           = lines(cgroupRow("cgroup.io-write-iops-max", "IOWriteIOPSMax", "a(st)", "230", "Writes per second on a device: DEVICE NUMBER.").byName().by(ByWorld))
	IODeviceLatencyTargetSec = lines(cgroupRow("cgroup.io-device-latency-target", "IODeviceLatencyTargetSec", "", "240", "The I/O latency that the unit is to have on a device: DEVICE DURATION.").dbus("IODeviceLatencyTargetUSec", "a(st)").byName().by(ByWorld))

	IPAccounting              = boolean(cgroupRow("cgroup.ip-accounting", "IPAccounting", "b", "235", "Counts the IP packets and bytes of the unit.").by(ByWorld))
	IPAddressAllow            = words(cgroupRow("cgroup.ip-address-allow", "IPAddressAllow", "a(iayu)", "235", "Networks that the unit may talk to, before ip-address-deny.").by(ByWorld))
	IPAddressDeny             = words(cgroupRow("cgroup.ip-address-deny", "IPAddressDeny", "a(iayu)", "235", "Networks that the unit may not talk to; any is all.").by(ByWorld))
	IPIngressFilterPath       = paths(cgroupRow("cgroup.ip-ingress-filter-path", "IPIngressFilterPath", "as", "243", "Pinned BPF programs that filter incoming packets.").by(ByWorld))
	IPEgressFilterPath        = paths(cgroupRow("cgroup.ip-egress-filter-path", "IPEgressFilterPath", "as", "243", "Pinned BPF programs that filter outgoing packets.").by(ByWorld))
	SocketBindAllow           = lines(cgroupRow("cgroup.socket-bind-allow", "SocketBindAllow", "a(iiqq)", "249", "Addresses that the unit may bind sockets to: FAMILY:PROTOCOL:PORTS.").by(ByWorld))
	SocketBindDeny            = lines(cgroupRow("cgroup.socket-bind-deny", "SocketBindDeny", "a(iiqq)", "249", "Addresses that the unit may not bind sockets to: FAMILY:PROTOCOL:PORTS.").by(ByWorld))
	RestrictNetworkInterfaces = words(cgroupRow("cgroup.restrict-network-interfaces", "RestrictNetworkInterfaces", "(bas)", "250", "Network interfaces that the unit may use; with ~ first, those it may not.").inverts().by(ByWorld))
	BPFProgram                = words(cgroupRow("cgroup.bpf-program", "BPFProgram", "a(ss)", "249", "Pinned BPF programs attached to the cgroup: TYPE:PATH.").by(ByWorld))
	NFTSet                    = words(cgroupRow("cgroup.nft-set", "NFTSet", "a(iiss)", "255", "Sets of nftables that the unit's cgroup, user or group is put into: SOURCE:FAMILY:TABLE:SET.").idle("the manager does not speak the netlink of nftables"))

	DeviceAllow  = lines(cgroupRow("cgroup.device-allow", "DeviceAllow", "a(ss)", "208", "Devices that the unit may use: DEVICE rwm.").byName().by(ByWorld))
	DevicePolicy = enum(cgroupRow("cgroup.device-policy", "DevicePolicy", "s", "208", "Whether other devices are allowed: all, only the standard pseudo devices, or none.").words("auto", "closed", "strict").deflt("auto").by(ByWorld))

	Delegate           = words(cgroupRow("cgroup.delegate", "Delegate", "b", "218", "Hands the unit's part of the cgroup tree over to it: yes, no, or the controllers.").emptyIsValue().by(ByWorld))
	DelegateSubgroup   = str(cgroupRow("cgroup.delegate-subgroup", "DelegateSubgroup", "s", "254", "The sub-group of a delegated cgroup in which the processes start.").by(ByWorld))
	DisableControllers = words(cgroupRow("cgroup.disable-controllers", "DisableControllers", "as", "240", "Controllers that are not used below the unit.").by(ByWorld))

	ManagedOOMSwap                      = enum(cgroupRow("cgroup.managed-oom-swap", "ManagedOOMSwap", "s", "247", "Lets an out-of-memory daemon kill below the unit when swap runs out.").words("auto", "kill").deflt("auto").idle("an out-of-memory daemon is told of units by an interface of systemd's own (io.systemd.oom), which dynamod does not have; the kernel's killer and OOMPolicy= work"))
	ManagedOOMMemoryPressure            = enum(cgroupRow("cgroup.managed-oom-memory-pressure", "ManagedOOMMemoryPressure", "s", "247", "Lets an out-of-memory daemon kill below the unit under memory pressure.").words("auto", "kill").deflt("auto").idle("an out-of-memory daemon is told of units by an interface of systemd's own (io.systemd.oom), which dynamod does not have; the kernel's killer and OOMPolicy= work"))
	ManagedOOMMemoryPressureLimit       = size(cgroupRow("cgroup.managed-oom-memory-pressure-limit", "ManagedOOMMemoryPressureLimit", "u", "247", "The memory pressure, in percent, that counts as too much.").idle("an out-of-memory daemon is told of units by an interface of systemd's own (io.systemd.oom), which dynamod does not have; the kernel's killer and OOMPolicy= work"))
	ManagedOOMMemoryPressureDurationSec = duration(cgroupRow("cgroup.managed-oom-memory-pressure-duration", "ManagedOOMMemoryPressureDurationSec", "", "257", "How long the pressure must last.").dbus("ManagedOOMMemoryPressureDurationUSec", "t").idle("an out-of-memory daemon is told of units by an interface of systemd's own (io.systemd.oom), which dynamod does not have; the kernel's killer and OOMPolicy= work"))
	ManagedOOMPreference                = enum(cgroupRow("cgroup.managed-oom-preference", "ManagedOOMPreference", "s", "248", "Whether an out-of-memory daemon spares the unit.").words("none", "avoid", "omit").deflt("none").idle("an out-of-memory daemon is told of units by an interface of systemd's own (io.systemd.oom), which dynamod does not have; the kernel's killer and OOMPolicy= work"))

	CoredumpReceive = boolean(cgroupRow("cgroup.coredump-receive", "CoredumpReceive", "b", "255", "Sends core dumps of containers in the unit to them.").idle("core dumps are the kernel's (core_pattern); handing them into containers is done by systemd-coredump, which is not part of this"))

	CPUShares             = words(cgroupRow("cgroup.cpu-shares", "CPUShares", "t", "", "").obsolete("cgroup v1 is gone, use CPUWeight="))
	StartupCPUShares      = words(cgroupRow("cgroup.startup-cpu-shares", "StartupCPUShares", "t", "", "").obsolete("cgroup v1 is gone, use StartupCPUWeight="))
	MemoryLimit           = words(cgroupRow("cgroup.memory-limit", "MemoryLimit", "t", "", "").obsolete("cgroup v1 is gone, use MemoryMax="))
	BlockIOAccounting     = words(cgroupRow("cgroup.block-io-accounting", "BlockIOAccounting", "b", "", "").obsolete("cgroup v1 is gone, use IOAccounting="))
	BlockIOWeight         = words(cgroupRow("cgroup.block-io-weight", "BlockIOWeight", "t", "", "").obsolete("cgroup v1 is gone, use IOWeight="))
	StartupBlockIOWeight  = words(cgroupRow("cgroup.startup-block-io-weight", "StartupBlockIOWeight", "t", "", "").obsolete("cgroup v1 is gone, use StartupIOWeight="))
	BlockIODeviceWeight   = words(cgroupRow("cgroup.block-io-device-weight", "BlockIODeviceWeight", "a(st)", "", "").obsolete("cgroup v1 is gone, use IODeviceWeight="))
	BlockIOReadBandwidth  = words(cgroupRow("cgroup.block-io-read-bandwidth", "BlockIOReadBandwidth", "a(st)", "", "").obsolete("cgroup v1 is gone, use IOReadBandwidthMax="))
	BlockIOWriteBandwidth = words(cgroupRow("cgroup.block-io-write-bandwidth", "BlockIOWriteBandwidth", "a(st)", "", "").obsolete("cgroup v1 is gone, use IOWriteBandwidthMax="))
)
