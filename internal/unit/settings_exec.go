package unit

// What a process of a unit is given: identity, environment, descriptors,
// scheduling, directories, credentials. systemd.exec(5). Isolation is in
// settings_sandbox.go.

var (
	WorkingDirectory = path(execRow("service.workdir", "WorkingDirectory", "s", "", "The directory the processes start in; ~ is the user's home, and - before it tolerates a missing one.").
				words("~", "-").also("service.working-directory").by(ByWorld))
	ExecSearchPath = words(execRow("service.exec-search-path", "ExecSearchPath", "as", "250", "The directories in which programs without a path are looked for.").tagged("colon").by(ByWorld))

	User                = name(execRow("service.user.user", "User", "s", "", "The user, by name or number, that the processes run as.").by(ByWorld))
	Group               = name(execRow("service.user.group", "Group", "s", "", "The group, by name or number, that the processes run in.").by(ByWorld))
	SupplementaryGroups = words(execRow("service.user.supplementary-groups", "SupplementaryGroups", "as", "", "Further groups of the processes.").by(ByWorld))
	DynamicUser         = boolean(execRow("service.user.dynamic", "DynamicUser", "b", "232", "Makes up a user and group that exist while the unit runs.").by(ByWorld))
	SetLoginEnvironment = toggle(execRow("service.user.set-login-environment", "SetLoginEnvironment", "b", "255", "Sets $HOME, $LOGNAME and $SHELL for the user; by default when User= is set.").words("yes", "no").by(ByWorld))
	PAMName             = str(execRow("service.user.pam-name", "PAMName", "s", "", "The PAM service under which a session is opened for the processes.").by(ByWorld))

	Nice                     = integer(execRow("service.nice", "Nice", "i", "", "The nice level of the processes, lower first.").within(-20, 19).by(ByWorld))
	OOMScoreAdjust           = integer(execRow("service.oom-score-adjust", "OOMScoreAdjust", "i", "", "How much the kernel prefers (1000) or spares (-1000) the processes when memory runs out.").within(-1000, 1000).by(ByWorld))
	CoredumpFilter           = words(execRow("service.coredump-filter", "CoredumpFilter", "t", "246", "The kinds of memory that go into core dumps.").by(ByWorld))
	IOSchedulingClass        = integer(execRow("service.io-scheduling-class", "IOSchedulingClass", "i", "", "The I/O scheduling class of the processes.").words("none", "realtime", "best-effort", "idle").within(0, 3).by(ByWorld))
	IOSchedulingPriority     = integer(execRow("service.io-scheduling-priority", "IOSchedulingPriority", "i", "", "The priority within the I/O scheduling class, 0 first.").within(0, 7).deflt("4").by(ByWorld))
	CPUSchedulingPolicy      = enum(execRow("service.cpu-scheduling-policy", "CPUSchedulingPolicy", "i", "", "The CPU scheduling policy of the processes.").words("other", "batch", "idle", "fifo", "rr", "ext").deflt("other").by(ByWorld))
	CPUSchedulingPriority    = integer(execRow("service.cpu-scheduling-priority", "CPUSchedulingPriority", "i", "", "The priority under a real-time policy, 99 first.").within(0, 99).by(ByWorld))
	CPUSchedulingResetOnFork = boolean(execRow("service.cpu-scheduling-reset-on-fork", "CPUSchedulingResetOnFork", "b", "", "Keeps raised scheduling from child processes.").by(ByWorld))
	CPUAffinity              = words(execRow("service.cpu-affinity", "CPUAffinity", "ay", "", "The processors, as numbers and ranges, that the processes may run on; numa takes those of NUMAMask=.").by(ByWorld))
	NUMAPolicy               = enum(execRow("service.numa-policy", "NUMAPolicy", "i", "243", "The NUMA memory policy of the processes.").words("default", "preferred", "bind", "interleave", "local").deflt("default").by(ByWorld))
	NUMAMask                 = words(execRow("service.numa-mask", "NUMAMask", "ay", "243", "The NUMA nodes that the policy is about; all takes every node.").by(ByWorld))
	TimerSlackNSec           = duration(execRow("service.timer-slack", "TimerSlackNSec", "t", "", "How late the kernel may wake the processes; a bare number is nanoseconds.").tagged("nsec").by(ByWorld))
	MemoryKSM                = toggle(execRow("service.memory-ksm", "MemoryKSM", "b", "254", "Lets the kernel merge equal memory pages of the processes.").words("yes", "no").by(ByWorld))
	UMask                    = mode(execRow("service.umask", "UMask", "u", "", "The file mode creation mask of the processes.").deflt("0022").by(ByWorld))
	KeyringMode              = enum(execRow("service.keyring-mode", "KeyringMode", "s", "235", "The kernel session keyring: the manager's own, a new one, or a new one with the user's keyring linked in.").words("inherit", "private", "shared").deflt("private").by(ByWorld))
	IgnoreSIGPIPE            = boolean(execRow("service.ignore-sigpipe", "IgnoreSIGPIPE", "b", "", "Makes the processes ignore SIGPIPE.").deflt("yes").nativeDeflt("no").by(ByWorld))
	Environment              = environment(execRow("service.environment", "Environment", "as", "", "Variables set for the processes; later ones replace earlier ones of the same name.").by(ByWorld))
	EnvironmentFile          = lines(execRow("service.environment-file", "EnvironmentFile", "", "", "A file of NAME=VALUE lines read right before the start; - before it tolerates a missing one.").dbus("EnvironmentFiles", "a(sb)").by(ByWorld))
	PassEnvironment          = words(execRow("service.pass-environment", "PassEnvironment", "as", "228", "Variables of the manager that are passed on.").by(ByWorld))
	UnsetEnvironment         = words(execRow("service.unset-environment", "UnsetEnvironment", "as", "235", "Variables, or NAME=VALUE pairs, removed last.").by(ByWorld))
	StandardInput            = str(execRow("service.standard-input", "StandardInput", "s", "", "Where standard input comes from: null, tty, tty-force, tty-fail, data, file:PATH, socket or fd:NAME.").deflt("null").by(ByWorld))
	StandardOutput           = str(execRow("service.standard-output", "StandardOutput", "s", "", "Where standard output goes: inherit, null, tty, journal, kmsg, journal+console, kmsg+console, file:PATH, append:PATH, truncate:PATH, socket or fd:NAME.").deflt("journal").by(ByWorld))
	StandardError            = str(execRow("service.standard-error", "StandardError", "s", "", "Where standard error goes; takes what StandardOutput= takes.").deflt("inherit").by(ByWorld))
	StandardInputText        = lines(execRow("service.standard-input-text", "StandardInputText", "", "236", "Lines of text for StandardInput=data.").by(ByWorld))
	StandardInputData        = lines(execRow("service.standard-input-data", "StandardInputData", "ay", "236", "Base64 data for StandardInput=data.").by(ByWorld))
	TTYPath                  = path(execRow("service.tty-path", "TTYPath", "s", "", "The terminal that the tty forms of standard input and output use.").deflt("/dev/console").by(ByWorld))
	TTYReset                 = boolean(execRow("service.tty-reset", "TTYReset", "b", "", "Resets the terminal before and after the processes run.").by(ByWorld))
	TTYVHangup               = boolean(execRow("service.tty-vhangup", "TTYVHangup", "b", "", "Disconnects everyone from the terminal before and after the processes run.").by(ByWorld))
	TTYVTDisallocate         = boolean(execRow("service.tty-vt-disallocate", "TTYVTDisallocate", "b", "", "Clears the virtual terminal and its scrollback before and after the processes run.").by(ByWorld))
	TTYRows                  = integer(execRow("service.tty-rows", "TTYRows", "q", "250", "The height of the terminal in lines.").within(0, 65535).by(ByWorld))
	TTYColumns               = integer(execRow("service.tty-columns", "TTYColumns", "q", "250", "The width of the terminal in characters.").within(0, 65535).by(ByWorld))
	UtmpIdentifier           = str(execRow("service.utmp-identifier", "UtmpIdentifier", "s", "", "The four characters that identify the processes in utmp and wtmp.").idle("the manager writes no records into utmp and wtmp, nor does systemd as Debian 13 builds it (-UTMP)"))
	UtmpMode                 = enum(execRow("service.utmp-mode", "UtmpMode", "s", "225", "The kind of utmp entry that is written.").words("init", "login", "user").deflt("init").idle("the manager writes no records into utmp and wtmp, nor does systemd as Debian 13 builds it (-UTMP)"))
	SyslogIdentifier         = str(execRow("logging.identifier", "SyslogIdentifier", "s", "", "The name before each log line; by default that of the unit.").by(ByWorld))
	SyslogFacility           = integer(execRow("logging.facility", "SyslogFacility", "i", "", "The syslog facility of log lines.").words(syslogFacilities...).within(0, 23).deflt("daemon").by(ByWorld))
	SyslogLevel              = integer(execRow("logging.level", "SyslogLevel", "i", "", "The level of log lines that have none of their own.").words(syslogLevels...).within(0, 7).deflt("info").by(ByWorld))
	SyslogLevelPrefix        = boolean(execRow("logging.level-prefix", "SyslogLevelPrefix", "b", "", "Takes a level such as <3> from the start of each line.").deflt("yes").by(ByWorld))
	LogLevelMax              = integer(execRow("logging.level-max", "LogLevelMax", "i", "236", "Drops log lines that are less important than this.").words(syslogLevels...).within(0, 7).deflt("debug").by(ByWorld))
	LogRateLimitIntervalSec  = duration(execRow("logging.rate-limit-interval", "LogRateLimitIntervalSec", "", "240", "The window of the unit's own log rate limit.").dbus("LogRateLimitIntervalUSec", "t").by(ByWorld))
	LogRateLimitBurst        = integer(execRow("logging.rate-limit-burst", "LogRateLimitBurst", "u", "240", "How many log lines the window allows.").within(0, 1<<32-1).by(ByWorld))
	LogExtraFields           = words(execRow("logging.extra-fields", "LogExtraFields", "aay", "236", "FIELD=VALUE pairs added to every line of log.").by(ByWorld))
	LogFilterPatterns        = lines(Setting{Native: "logging.filter-patterns", Name: "LogFilterPatterns", In: InExec, DBus: "LogFilterPatterns", Signature: "a(bs)", Raw: true, Effect: ByWorld, Source: "systemd.exec(5)",
		Doc: "Regular expressions (RE2) that log lines must match, or with ~ before them must not."})
	LogNamespace               = str(execRow("logging.namespace", "LogNamespace", "s", "245", "The journal namespace that the unit logs to.").idle("it is for a log daemon with several journals, and there is none yet"))
	RuntimeDirectory           = words(execRow("service.runtime-directory", "RuntimeDirectory", "as", "211", "Directories below /run made for the unit and removed with it.").by(ByWorld))
	RuntimeDirectoryMode       = mode(execRow("service.runtime-directory-mode", "RuntimeDirectoryMode", "u", "234", "The mode of those directories.").deflt("0755").by(ByWorld))
	RuntimeDirectoryPreserve   = toggle(execRow("service.runtime-directory-preserve", "RuntimeDirectoryPreserve", "s", "235", "Whether the runtime directories outlive a stop (yes), a restart only (restart), or neither.").words("no", "yes", "restart").deflt("no").by(ByWorld))
	StateDirectory             = words(execRow("service.state-directory", "StateDirectory", "as", "211", "Directories below /var/lib made for the unit.").by(ByWorld))
	StateDirectoryMode         = mode(execRow("service.state-directory-mode", "StateDirectoryMode", "u", "234", "The mode of the state directories.").deflt("0755").by(ByWorld))
	CacheDirectory             = words(execRow("service.cache-directory", "CacheDirectory", "as", "211", "Directories below /var/cache made for the unit.").by(ByWorld))
	CacheDirectoryMode         = mode(execRow("service.cache-directory-mode", "CacheDirectoryMode", "u", "234", "The mode of the cache directories.").deflt("0755").by(ByWorld))
	LogsDirectory              = words(execRow("service.logs-directory", "LogsDirectory", "as", "211", "Directories below /var/log made for the unit.").by(ByWorld))
	LogsDirectoryMode          = mode(execRow("service.logs-directory-mode", "LogsDirectoryMode", "u", "234", "The mode of the log directories.").deflt("0755").by(ByWorld))
	ConfigurationDirectory     = words(execRow("service.configuration-directory", "ConfigurationDirectory", "as", "211", "Directories below /etc made for the unit.").by(ByWorld))
	ConfigurationDirectoryMode = mode(execRow("service.configuration-directory-mode", "ConfigurationDirectoryMode", "u", "234", "The mode of the configuration directories.").deflt("0755").by(ByWorld))
	TimeoutCleanSec            = duration(execRow("service.timeout-clean", "TimeoutCleanSec", "", "244", "How long cleaning the unit's directories may take.").dbus("TimeoutCleanUSec", "t").deflt("infinity").idle("`clean` removes directories without a limit of time"))
	SetCredential              = lines(execRow("credentials.set", "SetCredential", "a(say)", "247", "A credential written in the unit: ID:VALUE.").byName().by(ByWorld))
	SetCredentialEncrypted     = lines(execRow("credentials.set-encrypted", "SetCredentialEncrypted", "a(say)", "247", "An encrypted credential written in the unit: ID:BASE64.").byName().by(ByWorld))
	LoadCredential             = words(execRow("credentials.load", "LoadCredential", "a(ss)", "247", "Credentials read from files, directories or sockets: ID:PATH.").byName().by(ByWorld))
	LoadCredentialEncrypted    = words(execRow("credentials.load-encrypted", "LoadCredentialEncrypted", "a(ss)", "247", "Encrypted credentials read from files, directories or sockets: ID:PATH.").byName().by(ByWorld))
	ImportCredential           = words(execRow("credentials.import", "ImportCredential", "as", "254", "Patterns of the system's credentials that are passed on, perhaps renamed: GLOB:PREFIX.").by(ByWorld))
)

var syslogLevels = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}

var syslogFacilities = []string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron",
	"authpriv", "ftp", "12", "13", "14", "15", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}

func limitRow(native, name, unit, doc string) Key[Rlimit] {
	return rlimit(execRow("limits."+native, name, "t", "", doc+" A single number sets the soft and the hard limit.").tagged(unit).by(ByWorld))
}

var (
	LimitCPU        = limitRow("cpu", "LimitCPU", "sec", "CPU time in seconds.")
	LimitFSIZE      = limitRow("fsize", "LimitFSIZE", "bytes", "The size of files that are written.")
	LimitDATA       = limitRow("data", "LimitDATA", "bytes", "The size of the data segment.")
	LimitSTACK      = limitRow("stack", "LimitSTACK", "bytes", "The size of the stack.")
	LimitCORE       = limitRow("core", "LimitCORE", "bytes", "The size of core dumps.")
	LimitRSS        = limitRow("rss", "LimitRSS", "bytes", "The resident set size, which Linux does not enforce.")
	LimitNOFILE     = limitRow("nofile", "LimitNOFILE", "count", "The number of open descriptors.")
	LimitAS         = limitRow("as", "LimitAS", "bytes", "The size of the address space.")
	LimitNPROC      = limitRow("nproc", "LimitNPROC", "count", "The number of processes of the user.")
	LimitMEMLOCK    = limitRow("memlock", "LimitMEMLOCK", "bytes", "The amount of locked memory.")
	LimitLOCKS      = limitRow("locks", "LimitLOCKS", "count", "The number of file locks.")
	LimitSIGPENDING = limitRow("sigpending", "LimitSIGPENDING", "count", "The number of queued signals.")
	LimitMSGQUEUE   = limitRow("msgqueue", "LimitMSGQUEUE", "bytes", "The size of POSIX message queues.")
	LimitNICE       = limitRow("nice", "LimitNICE", "nice", "How far the nice level may be lowered; a sign makes it a nice level.")
	LimitRTPRIO     = limitRow("rtprio", "LimitRTPRIO", "count", "The highest real-time priority.")
	LimitRTTIME     = limitRow("rttime", "LimitRTTIME", "usec", "Real-time CPU time without a system call, in microseconds.")
)
