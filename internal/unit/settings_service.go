package unit

import "dynamod/internal/unitname"

// The [Service] section without its processes' environment. systemd.service(5).

var ServiceType = enum(Setting{Native: "service.type", Name: "Type", Default: "simple",
	Enum:  []string{"simple", "exec", "forking", "oneshot", "dbus", "notify", "notify-reload", "idle", "target"},
	Types: []unitname.Type{unitname.Target},
	In:    InService, DBus: "Type", Signature: "s", Since: "", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "How the service tells that it is up; target, in the native format only, is a group without a process."})

var ExitType = enum(Setting{Native: "service.exit-type", Name: "ExitType", Default: "main", Enum: []string{"main", "cgroup"},
	In: InService, DBus: "ExitType", Signature: "s", Since: "250", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "Whether the service ends with its main process or with the last process of its cgroup."})

var RemainAfterExit = boolean(Setting{Native: "service.remain-after-exit", Name: "RemainAfterExit",
	In: InService, DBus: "RemainAfterExit", Signature: "b", Since: "", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "Keeps the service active when all its processes have ended; native oneshots do so by default."})

var GuessMainPID = boolean(Setting{Native: "service.guess-main-pid", Name: "GuessMainPID", Default: "yes",
	In: InService, DBus: "GuessMainPID", Signature: "b", Since: "", Effect: ByWorld, Source: "systemd.service(5)",
	Doc: "Looks for the main process of a forking service that has no PID file."})

var PIDFile = path(Setting{Native: "service.pid-file", NativeAliases: []string{"readiness.pid-file"}, Name: "PIDFile", tag: "relative",
	In: InService, DBus: "PIDFile", Signature: "s", Since: "", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "The file in which a forking service leaves its main process ID; relative paths are below /run."})

var BusName = str(Setting{Native: "service.bus-name", NativeAliases: []string{"readiness.bus-name"}, Name: "BusName",
	In: InService, DBus: "BusName", Signature: "s", Since: "", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "The D-Bus name that the service takes; with Type=dbus it is up when it has it."})

var ExecCondition = execs(Setting{Native: "service.exec-condition", Name: "ExecCondition",
	In: InService, DBus: "ExecCondition", Signature: "a(sasbttttuii)", Since: "243", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "Commands run first: an exit status of 1 to 254 skips the start, 255 or a signal fails it."})

var ExecStartPre = execs(Setting{Native: "service.exec-start-pre", NativeAliases: []string{"socket.exec-start-pre"}, Name: "ExecStartPre",
	In: InService | InSocket, DBus: "ExecStartPre", Signature: "a(sasbttttuii)", Since: "", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "Commands run one after another before the main process; a failure fails the start."})

var ExecStart = execs(Setting{Native: "service.exec", NativeAliases: []string{"service.exec-start"}, Name: "ExecStart",
	In: InService, DBus: "ExecStart", Signature: "a(sasbttttuii)", Since: "", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "The command that is the service; oneshots may have several, run in order."})

var ExecStartPost = execs(Setting{Native: "service.exec-start-post", NativeAliases: []string{"socket.exec-start-post"}, Name: "ExecStartPost",
	In: InService | InSocket, DBus: "ExecStartPost", Signature: "a(sasbttttuii)", Since: "", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "Commands run when the service is ready, before units ordered after it start."})

var ExecReload = execs(Setting{Native: "service.exec-reload", Name: "ExecReload",
	In: InService, DBus: "ExecReload", Signature: "a(sasbttttuii)", Since: "", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "Commands that make the service read its configuration again."})

var ExecStop = execs(Setting{Native: "shutdown.stop-exec", NativeAliases: []string{"service.exec-stop"}, Name: "ExecStop",
	In: InService, DBus: "ExecStop", Signature: "a(sasbttttuii)", Since: "", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "Commands that stop a service which has started; what is left then gets the stop signal."})

var ExecStopPost = execs(Setting{Native: "service.exec-stop-post", NativeAliases: []string{"socket.exec-stop-post"}, Name: "ExecStopPost",
	In: InService | InSocket, DBus: "ExecStopPost", Signature: "a(sasbttttuii)", Since: "", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "Commands run after the service has ended in any way, with $SERVICE_RESULT and $EXIT_STATUS set."})

var RestartSec = duration(Setting{Native: "restart.delay", Name: "RestartSec", Default: "100ms", NativeDefault: "1s",
	In: InService, DBus: "RestartUSec", Signature: "t", Since: "", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "How long to wait before an automatic restart."})

var RestartSteps = integer(Setting{Native: "restart.steps", Name: "RestartSteps", Max: 1<<32 - 1,
	In: InService, DBus: "RestartSteps", Signature: "u", Since: "254", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "In how many steps the restart delay grows from RestartSec= to RestartMaxDelaySec=; 0 keeps it constant."})

var RestartMaxDelaySec = duration(Setting{Native: "restart.steps-max-delay", Name: "RestartMaxDelaySec", Default: "infinity",
	In: InService, DBus: "RestartMaxDelayUSec", Signature: "t", Since: "254", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "The delay that RestartSteps= grows to; infinity turns growth off."})

var TimeoutStartSec = duration(Setting{Native: "service.timeout-start", NativeAliases: []string{"readiness.timeout", "service.start-timeout"}, Name: "TimeoutStartSec",
	Default: "1min 30s", NativeDefault: "30s", tag: "zero-forever",
	In: InService, DBus: "TimeoutStartUSec", Signature: "t", Since: "188", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "How long the start may take, from the first command to readiness; infinity for oneshots that do not set it."})

var TimeoutStopSec = duration(Setting{Native: "shutdown.stop-timeout", NativeAliases: []string{"service.timeout-stop", "service.stop-timeout"}, Name: "TimeoutStopSec",
	Default: "1min 30s", NativeDefault: "10s", tag: "zero-forever",
	In: InService | InScope, DBus: "TimeoutStopUSec", Signature: "t", Since: "188", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "How long each stop command, and the end of the processes after the stop signal, may take before they are killed."})

var TimeoutSec = duration(Setting{Native: "service.timeout", Name: "TimeoutSec", tag: "zero-forever", into: []*Setting{TimeoutStartSec.s, TimeoutStopSec.s},
	In: InService, Since: "", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "Sets the start and the stop timeout in one line."})

var TimeoutAbortSec = duration(Setting{Native: "shutdown.abort-timeout", Name: "TimeoutAbortSec", tag: "zero-forever",
	In: InService, DBus: "TimeoutAbortUSec", Signature: "t", Since: "243", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "How long processes may take to dump core after a watchdog abort; unset, the stop timeout holds."})

var timeoutModes = []string{"terminate", "abort", "kill"}

var TimeoutStartFailureMode = enum(Setting{Native: "service.timeout-start-failure-mode", Name: "TimeoutStartFailureMode", Default: "terminate", Enum: timeoutModes,
	In: InService, DBus: "TimeoutStartFailureMode", Signature: "s", Since: "246", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "Whether a service that missed its start timeout is stopped, aborted or killed."})

var TimeoutStopFailureMode = enum(Setting{Native: "shutdown.timeout-failure-mode", Name: "TimeoutStopFailureMode", Default: "terminate", Enum: timeoutModes,
	In: InService, DBus: "TimeoutStopFailureMode", Signature: "s", Since: "246", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "Whether a service whose stop commands timed out is stopped, aborted or killed."})

var RuntimeMaxSec = duration(Setting{Native: "service.runtime-max", Name: "RuntimeMaxSec", Default: "infinity",
	In: InService | InScope, DBus: "RuntimeMaxUSec", Signature: "t", Since: "229", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "How long the unit may be active before it is ended and counts as failed."})

var RuntimeRandomizedExtraSec = duration(Setting{Native: "service.runtime-randomized-extra", Name: "RuntimeRandomizedExtraSec",
	In: InService | InScope, DBus: "RuntimeRandomizedExtraUSec", Signature: "t", Since: "250", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "A random time up to this long that is added to RuntimeMaxSec=."})

var WatchdogSec = duration(Setting{Native: "watchdog.interval", Name: "WatchdogSec", tag: "watchdog",
	In: InService, DBus: "WatchdogUSec", Signature: "t", Since: "", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "How often the service must send WATCHDOG=1; silence for longer is a failure. 0 turns it off."})

var Restart = enum(Setting{Native: "restart.policy", Name: "Restart", Default: "no", NativeDefault: "always",
	Enum:        []string{"no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always"},
	EnumAliases: map[string]string{"permanent": "always", "transient": "on-failure", "temporary": "no", "never": "no"},
	In:          InService, DBus: "Restart", Signature: "s", Since: "", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "Which ends of the service lead to an automatic restart; permanent, transient and temporary mean always, on-failure and no."})

var RestartMode = enum(Setting{Native: "restart.mode", Name: "RestartMode", Default: "normal", Enum: []string{"normal", "direct", "debug"},
	In: InService, DBus: "RestartMode", Signature: "s", Since: "254", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "Whether a restart passes through the failed or inactive state, so that dependents notice, or goes to activating directly."})

var SuccessExitStatus = exitSet(Setting{Native: "restart.success-exit", NativeAliases: []string{"service.success-exit-status"}, Name: "SuccessExitStatus",
	In: InService, DBus: "SuccessExitStatus", Signature: "(aiai)", Since: "189", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "Exit codes and signals that count as success besides 0, SIGHUP, SIGINT, SIGTERM and SIGPIPE."})

var RestartPreventExitStatus = exitSet(Setting{Native: "restart.prevent-exit", Name: "RestartPreventExitStatus",
	In: InService, DBus: "RestartPreventExitStatus", Signature: "(aiai)", Since: "189", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "Exit codes and signals after which the service is never restarted."})

var RestartForceExitStatus = exitSet(Setting{Native: "restart.force-exit", Name: "RestartForceExitStatus",
	In: InService, DBus: "RestartForceExitStatus", Signature: "(aiai)", Since: "215", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "Exit codes and signals after which the service is always restarted."})

var PermissionsStartOnly = boolean(Setting{Native: "service.permissions-start-only", Name: "PermissionsStartOnly",
	In: InService, Since: "1", Effect: Obsolete, Source: "systemd.service(5)",
	Doc: "Obsolete: use the prefix + or ! on the commands that need privileges."})

var RootDirectoryStartOnly = boolean(Setting{Native: "service.root-directory-start-only", Name: "RootDirectoryStartOnly",
	In: InService, DBus: "RootDirectoryStartOnly", Signature: "b", Since: "", Effect: ByWorld, Source: "systemd.service(5)",
	Doc: "Applies RootDirectory= to ExecStart= only."})

var NonBlocking = boolean(Setting{Native: "service.non-blocking", Name: "NonBlocking",
	In: InService, DBus: "NonBlocking", Signature: "b", Since: "", Effect: ByWorld, Source: "systemd.service(5)",
	Doc: "Sets O_NONBLOCK on the descriptors passed by socket activation."})

var NotifyAccess = enum(Setting{Native: "service.notify-access", Name: "NotifyAccess", Default: "none", Enum: []string{"none", "main", "exec", "all"},
	In: InService, DBus: "NotifyAccess", Signature: "s", Since: "", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "Which processes of the service may send notifications; main when the type or a watchdog needs them."})

var FileDescriptorStoreMax = integer(Setting{Native: "service.fd-store-max", Name: "FileDescriptorStoreMax", Max: 1<<32 - 1,
	In: InService, DBus: "FileDescriptorStoreMax", Signature: "u", Since: "219", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "How many descriptors the service may leave with the manager for its next start."})

var FileDescriptorStorePreserve = toggle(Setting{Native: "service.fd-store-preserve", Name: "FileDescriptorStorePreserve", Default: "restart", Enum: []string{"no", "yes", "restart"},
	In: InService, DBus: "FileDescriptorStorePreserve", Signature: "s", Since: "254", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "Whether stored descriptors outlive a restart only, or a stop too."})

var Sockets = unitList(Setting{Native: "service.sockets", Name: "Sockets",
	In: InService, Since: "", Effect: ByGraph, Source: "systemd.service(5)",
	Doc: "Socket units whose descriptors the service is given when it starts."})

var OOMPolicy = enum(Setting{Native: "service.oom-policy", Name: "OOMPolicy", Enum: []string{"continue", "stop", "kill"}, Default: "stop",
	In: InService | InScope, DBus: "OOMPolicy", Signature: "s", Since: "243", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "What happens to the service when the kernel killed one of its processes for lack of memory."})

var OpenFile = lines(Setting{Native: "service.open-file", Name: "OpenFile",
	In: InService, DBus: "OpenFile", Signature: "a(sst)", Since: "253", Effect: ByWorld, Source: "systemd.service(5)",
	Doc: "Files or sockets opened for the service: PATH:NAME:OPTIONS."})

var ReloadSignal = signal(Setting{Native: "service.reload-signal", Name: "ReloadSignal", Default: "SIGHUP",
	In: InService, DBus: "ReloadSignal", Signature: "i", Since: "253", Effect: ByCore, Source: "systemd.service(5)",
	Doc: "The signal that asks a notify-reload service to read its configuration again."})

var USBFunctionDescriptors = path(Setting{Native: "service.usb-function-descriptors", Name: "USBFunctionDescriptors",
	In: InService, DBus: "USBFunctionDescriptors", Signature: "s", Since: "227", Effect: NotYet, Why: "sockets for USB functions are refused (ListenUSBFunction=), for nothing here has such hardware to test with", Source: "systemd.service(5)",
	Doc: "The file with the USB FunctionFS descriptors that is written to ep0."})

var USBFunctionStrings = path(Setting{Native: "service.usb-function-strings", Name: "USBFunctionStrings",
	In: InService, DBus: "USBFunctionStrings", Signature: "s", Since: "227", Effect: NotYet, Why: "sockets for USB functions are refused (ListenUSBFunction=), for nothing here has such hardware to test with", Source: "systemd.service(5)",
	Doc: "The file with the USB FunctionFS strings that is written to ep0."})
