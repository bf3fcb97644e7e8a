package unit

// What only dynamod has: the native tables [service], [restart], [readiness],
// [health], [probe], [watchdog], [boot], [logging] and [namespace]. Where the
// original dynamod had the key, it means the same.

const anyType = InUnit

var ServiceName = str(Setting{Native: "service.name", In: anyType, Since: "dynamod", Effect: ByLoader, Source: "the original dynamod",
	Doc: "The unit's name; a bare name is a service."})

var SupervisedBy = str(Setting{Native: "service.supervisor", Default: RootSupervisor, In: anyType, Since: "dynamod", Effect: ByCore, Source: "the original dynamod",
	Doc: "The supervisor that the service belongs to; an unknown one is reported and root takes its place."})

var StartMode = enum(Setting{Native: "service.start", NativeAliases: []string{"start"}, Default: "manual", NativeDefault: "boot", Enum: []string{"boot", "manual", "ignore"},
	In: anyType, Since: "dynamod", Effect: ByLoader, Source: "dynamod",
	Doc: "Whether the unit starts at boot, on demand, or is left alone altogether. Unit files start when they are enabled."})

var Disabled = boolean(Setting{Native: "service.disabled", NativeAliases: []string{"disabled"}, In: anyType, Since: "dynamod", Effect: ByLoader, Source: "dynamod",
	Doc: "Turns off everything that would start the unit by itself; people and dependencies still can."})

var Protected = boolean(Setting{Native: "service.protected", NativeAliases: []string{"protected"}, In: anyType, Since: "dynamod", Effect: ByCore, Source: "dynamod",
	Doc: "Spares the unit from bulk commands, and asks for --force before it is stopped."})

var MaxRestarts = integer(Setting{Native: "restart.max-restarts", NativeDefault: "5", Max: 1<<32 - 1, In: InService, Since: "dynamod", Effect: ByCore, Source: "the original dynamod",
	Doc: "How many automatic restarts are allowed in max-restart-window; 0 means any number."})

var MaxRestartWindow = duration(Setting{Native: "restart.max-restart-window", Default: "60s", In: InService, Since: "dynamod", Effect: ByCore, Source: "the original dynamod",
	Doc: "The sliding window in which automatic restarts are counted."})

var RestartDelayMax = duration(Setting{Native: "restart.delay-max", NativeDefault: "60s", In: InService, Since: "dynamod", Effect: ByCore, Source: "dynamod",
	Doc: "The delay doubles with every restart in a row up to this; 0 keeps it constant."})

var OnExhausted = enum(Setting{Native: "restart.on-exhausted", Default: "fail", Enum: []string{"fail", "dormant", "escalate", "reboot"},
	In: InService, Since: "dynamod", Effect: ByCore, Source: "dynamod",
	Doc: "What happens when the restarts are used up: the unit fails, sleeps and tries again later, hands the failure to its supervisor, or the system reboots."})

var GiveUp = boolean(Setting{Native: "restart.give-up", Default: "yes", In: InService, Since: "dynamod", Effect: ByCore, Source: "dynamod",
	Doc: "Whether a dormant unit fails for good after five sleeps, or goes on trying for ever."})

var DormantDelay = duration(Setting{Native: "restart.dormant-delay", Default: "5min", In: InService, Since: "dynamod", Effect: ByCore, Source: "dynamod",
	Doc: "The first sleep of a dormant unit; it doubles each time up to one hour."})

var StableAfter = duration(Setting{Native: "restart.stable-after", NativeAliases: []string{"service.stable-after", "readiness.stable-after"}, Default: "10s",
	In: InService, Since: "dynamod", Effect: ByCore, Source: "dynamod",
	Doc: "How long the unit must be active without a restart before it counts as stable and its restart count starts anew."})

var RestartMinMemory = size(Setting{Native: "restart.min-available-memory", In: InService, Since: "dynamod", Effect: ByWorld, Source: "dynamod",
	Doc: "Puts an automatic restart off while the machine, or a slice above the unit, has less memory available than this."})

var LastChanceExec = execs(Setting{Native: "restart.last-chance.exec", NativeAliases: []string{"restart.last-chance"}, In: InService, Since: "dynamod", Effect: ByCore, Source: "dynamod",
	Doc: "A command asked once before the unit gives up: success grants one more restart."})

var readinessTypes = []string{"none", "notify", "fd", "s6", "tcp-port", "http", "exec", "path", "pidfile", "dbus", "stable"}

var ReadinessType = enum(Setting{Native: "readiness.type", Default: "none", Enum: readinessTypes,
	EnumAliases: map[string]string{"tcp": "tcp-port", "sd-notify": "notify"},
	In:          InService, Since: "dynamod", Effect: ByCore, Source: "the original dynamod",
	Doc: "How the service tells that it is ready; none means as soon as its process runs."})

var ReadinessPort = integer(Setting{Native: "readiness.port", Min: 1, Max: 65535, In: InService, Since: "dynamod", Effect: ByWorld, Source: "the original dynamod",
	Doc: "The TCP port of 127.0.0.1 that must accept a connection."})

var ReadinessExec = execs(Setting{Native: "readiness.check-exec", In: InService, Since: "dynamod", Effect: ByCore, Source: "the original dynamod",
	Doc: "A command run again and again until it succeeds."})

var ReadinessURL = str(Setting{Native: "readiness.url", NativeAliases: []string{"readiness.endpoint"}, In: InService, Since: "dynamod", Effect: ByWorld, Source: "dynamod",
	Doc: "The http URL that must answer with a status below 400."})

var ReadinessPath = path(Setting{Native: "readiness.path", In: InService, Since: "dynamod", Effect: ByWorld, Source: "dynamod",
	Doc: "The path that must exist."})

var ReadinessFD = integer(Setting{Native: "readiness.fd", NativeAliases: []string{"readiness.notification-fd"}, Default: "3", Min: 3, Max: 1023, In: InService, Since: "dynamod", Effect: ByWorld, Source: "dynamod",
	Doc: "The descriptor on which an s6 service writes its newline."})

var ReadinessInterval = duration(Setting{Native: "readiness.interval", Default: "500ms", In: InService, Since: "dynamod", Effect: ByWorld, Source: "dynamod",
	Doc: "The pause between two looks at a port, URL, path or check command."})

var HealthType = enum(Setting{Native: "health.type", Default: "none", Enum: []string{"none", "tcp", "http", "exec", "path"}, In: InService, Since: "dynamod", Effect: ByCore, Source: "dynamod",
	Doc: "How the running service is checked."})

var HealthEndpoint = str(Setting{Native: "health.endpoint", NativeAliases: []string{"health.url"}, In: InService, Since: "dynamod", Effect: ByWorld, Source: "dynamod",
	Doc: "HOST:PORT of a tcp check, or the URL of an http check."})

var HealthExec = execs(Setting{Native: "health.exec", In: InService, Since: "dynamod", Effect: ByCore, Source: "dynamod",
	Doc: "The command of an exec check."})

var HealthPath = path(Setting{Native: "health.path", In: InService, Since: "dynamod", Effect: ByWorld, Source: "dynamod",
	Doc: "The path that must go on existing."})

var HealthInterval = duration(Setting{Native: "health.interval", Default: "10s", In: InService, Since: "dynamod", Effect: ByCore, Source: "dynamod",
	Doc: "The time between two checks."})

var HealthTimeout = duration(Setting{Native: "health.timeout", Default: "5s", In: InService, Since: "dynamod", Effect: ByCore, Source: "dynamod",
	Doc: "How long one check may take."})

var HealthRetries = integer(Setting{Native: "health.retries", Default: "3", Min: 1, Max: 1000, In: InService, Since: "dynamod", Effect: ByCore, Source: "dynamod",
	Doc: "How many checks in a row must fail before the service counts as unhealthy."})

var OnUnhealthy = enum(Setting{Native: "health.on-unhealthy", Default: "restart", Enum: []string{"restart", "log", "fail"}, In: InService, Since: "dynamod", Effect: ByCore, Source: "dynamod",
	Doc: "What happens to an unhealthy service."})

var ProbeChecks = words(Setting{Native: "probe.checks", Enum: []string{"binary", "executable", "dependencies", "memory", "identity", "mounts", "limits", "all", "none"}, In: InService, Since: "dynamod", Effect: ByCore, Source: "dynamod",
	Doc: "The checks made before the unit is started; each that fails blocks the start and is named."})

var ProbeMinMemory = size(Setting{Native: "probe.min-available-memory", Default: "8M", In: InService, Since: "dynamod", Effect: ByWorld, Source: "dynamod",
	Doc: "The memory that the check of memory asks for; naming it asks for the check."})

var ProbeAssertUID = integer(Setting{Native: "probe.assert-uid", Default: "-1", Min: -1, Max: 1<<32 - 2, In: InService, Since: "dynamod", Effect: ByWorld, Source: "dynamod",
	Doc: "The user ID that the manager must run as (check of identity); -1 asks for none."})

var WatchdogGate = boolean(Setting{Native: "watchdog.gate-hardware", In: InService, Since: "dynamod", Effect: ByWorld, Source: "dynamod",
	Doc: "Feeds the hardware watchdog only while this service keeps sending WATCHDOG=1."})

var BootSuccess = boolean(Setting{Native: "boot.success", In: anyType, Since: "dynamod", Effect: ByCore, Source: "dynamod",
	Doc: "Makes the unit one of those that must be up for the boot to count as a success."})

var BootGrace = duration(Setting{Native: "boot.grace", Default: "30s", In: anyType, Since: "dynamod", Effect: ByCore, Source: "dynamod",
	Doc: "How long without a break the unit must be up for that; without it the grace of boot.toml holds."})

var BootDeadline = duration(Setting{Native: "boot.deadline", Default: "infinity", In: anyType, Since: "dynamod", Effect: ByWorld, Source: "dynamod",
	Doc: "How long after the start of PID 1 the unit may take before the boot counts as failed: of all such units and boot.toml the earliest holds. It needs boot.success."})

var BootDeadlineAction = enum(Setting{Native: "boot.deadline-action", Default: "none", Enum: bootActions, In: anyType, Since: "dynamod", Effect: ByWorld, Source: "dynamod",
	Doc: "What PID 1 does when this deadline passes."})

var SafeMode = boolean(Setting{Native: "boot.safe-mode", In: anyType, Since: "dynamod", Effect: ByGraph, Source: "dynamod",
	Doc: "Starts the unit in safe mode too."})

var Log = str(Setting{Native: "logging.target", NativeAliases: []string{"service.log", "log"}, Default: "logd", In: InExec, Since: "dynamod", Effect: ByWorld, Source: "dynamod",
	Doc: "Where the output goes: logd, ring, null, console, file:PATH or pipe:SERVICE."})

var LogBufferLines = integer(Setting{Native: "logging.buffer-lines", Default: "1000", Max: 1_000_000, In: InExec, Since: "dynamod", Effect: ByWorld, Source: "dynamod",
	Doc: "How many lines of output are kept in memory; all units together have 8192 lines and 4 MiB."})

var Namespaces = words(Setting{Native: "namespace.enable", Enum: []string{"pid", "mnt", "net", "uts", "ipc", "user", "cgroup", "time"},
	EnumAliases: map[string]string{"mount": "mnt", "network": "net"},
	In:          InExec, Since: "dynamod", Effect: ByWorld, Source: "the original dynamod",
	Doc: "The namespaces that the service gets for itself."})
