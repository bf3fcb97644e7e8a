package unit

// The [Unit] section: what it is called, what it depends on, how its jobs and
// failures are treated. systemd.unit(5).

var Description = str(Setting{Native: "unit.description", NativeAliases: []string{"service.description"}, Name: "Description",
	In: InUnit, DBus: "Description", Signature: "s", Since: "201", Effect: Shown, Source: "systemd.unit(5)",
	Doc: "A short title for people, shown in status and boot messages."})

var Documentation = words(Setting{Native: "unit.documentation", Name: "Documentation",
	In: InUnit, DBus: "Documentation", Signature: "as", Since: "201", Effect: Shown, Source: "systemd.unit(5)",
	Doc: "URIs (http, https, file, info, man) where the unit is explained."})

var SourcePath = path(Setting{Native: "unit.source-path", Name: "SourcePath",
	In: InUnit, DBus: "SourcePath", Signature: "s", Since: "201", Effect: Shown, Source: "systemd.unit(5)",
	Doc: "The file that a generator made this unit from."})

var Requires = unitList(Setting{Native: "dependencies.requires", Name: "Requires", Aliases: []string{"RequiresOverridable"},
	In: InUnit, DBus: "Requires", Signature: "as", Since: "201", Effect: ByGraph, Source: "systemd.unit(5)",
	Doc: "Units started with this one; if one ordered before it fails to start, this one is not started, and an explicit stop of one stops this one. In the native format it orders too."})

var Requisite = unitList(Setting{Native: "dependencies.requisite", Name: "Requisite", Aliases: []string{"RequisiteOverridable"},
	In: InUnit, DBus: "Requisite", Signature: "as", Since: "201", Effect: ByGraph, Source: "systemd.unit(5)",
	Doc: "Units that must already be active: they are not started, and this unit's start fails at once without them."})

var Wants = unitList(Setting{Native: "dependencies.wants", Name: "Wants",
	In: InUnit, DBus: "Wants", Signature: "as", Since: "201", Effect: ByGraph, Source: "systemd.unit(5)",
	Doc: "Units started with this one whose failure does not matter to it. In the native format it orders too."})

var BindsTo = unitList(Setting{Native: "dependencies.binds-to", Name: "BindsTo", Aliases: []string{"BindTo"},
	In: InUnit, DBus: "BindsTo", Signature: "as", Since: "201", Effect: ByGraph, Source: "systemd.unit(5)",
	Doc: "Like requires, and this unit is also stopped when one of these becomes inactive for any reason."})

var Upholds = unitList(Setting{Native: "dependencies.upholds", Name: "Upholds",
	In: InUnit, DBus: "Upholds", Signature: "as", Since: "249", Effect: ByGraph, Source: "systemd.unit(5)",
	Doc: "Units that are started again whenever they are found inactive or failed while this one is up."})

var Conflicts = unitList(Setting{Native: "dependencies.conflicts", Name: "Conflicts",
	In: InUnit, DBus: "Conflicts", Signature: "as", Since: "201", Effect: ByGraph, Source: "systemd.unit(5)",
	Doc: "Units that cannot run together with this one: starting one stops the other."})

var Before = unitList(Setting{Native: "dependencies.before", Name: "Before",
	In: InUnit, DBus: "Before", Signature: "as", Since: "201", Effect: ByGraph, Source: "systemd.unit(5)",
	Doc: "Units whose start waits until this one is up, and which stop before it."})

var After = unitList(Setting{Native: "dependencies.after", Name: "After",
	In: InUnit, DBus: "After", Signature: "as", Since: "201", Effect: ByGraph, Source: "systemd.unit(5)",
	Doc: "Units that this one waits for before it starts, and which stop after it."})

var OnSuccess = unitList(Setting{Native: "dependencies.on-success", Name: "OnSuccess",
	In: InUnit, DBus: "OnSuccess", Signature: "as", Since: "249", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "Units started when this one becomes inactive after success."})

var OnFailure = unitList(Setting{Native: "dependencies.on-failure", Name: "OnFailure",
	In: InUnit, DBus: "OnFailure", Signature: "as", Since: "201", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "Units started when this one enters the failed state."})

var PropagatesReloadTo = unitList(Setting{Native: "dependencies.propagates-reload-to", Name: "PropagatesReloadTo", Aliases: []string{"PropagateReloadTo"},
	In: InUnit, DBus: "PropagatesReloadTo", Signature: "as", Since: "201", Effect: ByGraph, Source: "systemd.unit(5)",
	Doc: "Units that are reloaded together with this one."})

var ReloadPropagatedFrom = unitList(Setting{Native: "dependencies.reload-propagated-from", Name: "ReloadPropagatedFrom", Aliases: []string{"PropagateReloadFrom"},
	In: InUnit, DBus: "ReloadPropagatedFrom", Signature: "as", Since: "201", Effect: ByGraph, Source: "systemd.unit(5)",
	Doc: "Units whose reload reloads this one too."})

var PropagatesStopTo = unitList(Setting{Native: "dependencies.propagates-stop-to", Name: "PropagatesStopTo",
	In: InUnit, DBus: "PropagatesStopTo", Signature: "as", Since: "249", Effect: ByGraph, Source: "systemd.unit(5)",
	Doc: "Units that are stopped together with this one."})

var StopPropagatedFrom = unitList(Setting{Native: "dependencies.stop-propagated-from", Name: "StopPropagatedFrom",
	In: InUnit, DBus: "StopPropagatedFrom", Signature: "as", Since: "249", Effect: ByGraph, Source: "systemd.unit(5)",
	Doc: "Units whose stop stops this one too."})

var PartOf = unitList(Setting{Native: "dependencies.part-of", Name: "PartOf",
	In: InUnit, DBus: "PartOf", Signature: "as", Since: "201", Effect: ByGraph, Source: "systemd.unit(5)",
	Doc: "Units whose explicit stop or restart is passed on to this one."})

var JoinsNamespaceOf = unitList(Setting{Native: "dependencies.joins-namespace-of", Name: "JoinsNamespaceOf",
	In: InUnit, DBus: "JoinsNamespaceOf", Signature: "as", Since: "209", Effect: ByGraph, Source: "systemd.unit(5)",
	Doc: "Units whose private network, IPC and /tmp this one shares."})

var RequiresMountsFor = paths(Setting{Native: "dependencies.requires-mounts-for", Name: "RequiresMountsFor",
	In: InUnit, DBus: "RequiresMountsFor", Signature: "as", Since: "201", Effect: ByGraph, Source: "systemd.unit(5)",
	Doc: "Paths whose mounts this unit requires and is ordered after."})

var WantsMountsFor = paths(Setting{Native: "dependencies.wants-mounts-for", Name: "WantsMountsFor",
	In: InUnit, DBus: "WantsMountsFor", Signature: "as", Since: "256", Effect: ByGraph, Source: "systemd.unit(5)",
	Doc: "Paths whose mounts this unit wants and is ordered after."})

var DefaultDependencies = boolean(Setting{Native: "dependencies.default", Name: "DefaultDependencies", Default: "yes",
	In: InUnit, DBus: "DefaultDependencies", Signature: "b", Since: "201", Effect: ByGraph, Source: "systemd.unit(5)",
	Doc: "Adds the implicit dependencies of the unit's type, such as the one on basic.target and on shutdown."})

var StopWhenUnneeded = boolean(Setting{Native: "unit.stop-when-unneeded", Name: "StopWhenUnneeded",
	In: InUnit, DBus: "StopWhenUnneeded", Signature: "b", Since: "201", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "Stops the unit when no active unit requires, wants, binds to or upholds it any longer."})

var RefuseManualStart = boolean(Setting{Native: "unit.refuse-manual-start", Name: "RefuseManualStart",
	In: InUnit, DBus: "RefuseManualStart", Signature: "b", Since: "201", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "Lets only dependencies start the unit, not people."})

var RefuseManualStop = boolean(Setting{Native: "unit.refuse-manual-stop", Name: "RefuseManualStop",
	In: InUnit, DBus: "RefuseManualStop", Signature: "b", Since: "201", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "Lets only dependencies stop the unit, not people."})

var AllowIsolate = boolean(Setting{Native: "unit.allow-isolate", Name: "AllowIsolate",
	In: InUnit, DBus: "AllowIsolate", Signature: "b", Since: "201", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "Permits the isolate command on this unit."})

var IgnoreOnIsolate = boolean(Setting{Native: "unit.ignore-on-isolate", Name: "IgnoreOnIsolate",
	In: InUnit, DBus: "IgnoreOnIsolate", Signature: "b", Since: "201", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "Keeps the unit running when another is isolated (systemd's default is yes for devices, mounts, scopes, slices and swaps)."})

var SurviveFinalKillSignal = boolean(Setting{Native: "unit.survive-final-kill-signal", Name: "SurviveFinalKillSignal",
	In: InUnit, DBus: "SurviveFinalKillSignal", Signature: "b", Since: "255", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "Spares the unit's processes from the last kill of a soft reboot."})

// jobModes are the modes of systemctl(1), --job-mode=.
var jobModes = []string{"fail", "replace", "replace-irreversibly", "isolate", "flush", "ignore-dependencies", "ignore-requirements"}

var OnFailureJobMode = toggle(Setting{Native: "dependencies.on-failure-job-mode", Name: "OnFailureJobMode", Default: "replace",
	Aliases: []string{"OnFailureIsolate"}, Enum: jobModes, EnumAliases: onFailureIsolate,
	In: InUnit, DBus: "OnFailureJobMode", Signature: "s", Since: "209", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "The mode in which the units of OnFailure= are started (OnFailureIsolate=yes means isolate)."})

// onFailureIsolate are the values of the older OnFailureIsolate=.
var onFailureIsolate = map[string]string{"yes": "isolate", "true": "isolate", "1": "isolate", "on": "isolate",
	"no": "replace", "false": "replace", "0": "replace", "off": "replace"}

var OnSuccessJobMode = enum(Setting{Native: "dependencies.on-success-job-mode", Name: "OnSuccessJobMode", Default: "fail", Enum: jobModes,
	In: InUnit, DBus: "OnSuccessJobMode", Signature: "s", Since: "209", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "The mode in which the units of OnSuccess= are started."})

var JobTimeoutSec = duration(Setting{Native: "unit.job-timeout", Name: "JobTimeoutSec", Default: "infinity", tag: "zero-forever",
	In: InUnit, DBus: "JobTimeoutUSec", Signature: "t", Since: "201", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "How long a job of this unit may wait and run, from the moment it is queued, before it is cancelled."})

var JobRunningTimeoutSec = duration(Setting{Native: "unit.job-running-timeout", Name: "JobRunningTimeoutSec", Default: "infinity", tag: "zero-forever",
	In: InUnit, DBus: "JobRunningTimeoutUSec", Signature: "t", Since: "201", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "How long a job of this unit may run, from the moment it leaves the queue (systemd: device units have the start timeout here)."})

// emergencyActions are those of systemd.unit(5), FailureAction=, and our
// "emergency".
var emergencyActions = []string{"none", "reboot", "reboot-force", "reboot-immediate", "poweroff", "poweroff-force",
	"poweroff-immediate", "exit", "exit-force", "soft-reboot", "soft-reboot-force", "kexec", "kexec-force",
	"halt", "halt-force", "halt-immediate", "emergency"}

var JobTimeoutAction = enum(Setting{Native: "unit.job-timeout-action", Name: "JobTimeoutAction", Default: "none", Enum: emergencyActions,
	In: InUnit, DBus: "JobTimeoutAction", Signature: "s", Since: "240", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "What the system does when a job of this unit times out."})

var JobTimeoutRebootArgument = str(Setting{Native: "unit.job-timeout-reboot-argument", Name: "JobTimeoutRebootArgument",
	In: InUnit, DBus: "JobTimeoutRebootArgument", Signature: "s", Since: "240", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "The argument of the reboot system call when JobTimeoutAction= reboots."})

var StartLimitIntervalSec = duration(Setting{Native: "unit.start-limit-interval", Name: "StartLimitIntervalSec", Default: "10s", NativeDefault: "0",
	Aliases: []string{"StartLimitInterval", "Service.StartLimitInterval"},
	In:      InUnit, DBus: "StartLimitIntervalUSec", Signature: "t", Since: "229", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "The window in which starts are counted against StartLimitBurst=; 0 turns the limit off. Native services count restarts instead (restart.max-restarts)."})

var StartLimitBurst = integer(Setting{Native: "unit.start-limit-burst", Name: "StartLimitBurst", Default: "5", Aliases: []string{"Service.StartLimitBurst"},
	Min: 0, Max: 1<<32 - 1, In: InUnit, DBus: "StartLimitBurst", Signature: "u", Since: "229", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "How many starts are allowed in StartLimitIntervalSec=; further ones are refused."})

var StartLimitAction = enum(Setting{Native: "unit.start-limit-action", Name: "StartLimitAction", Default: "none", Enum: emergencyActions, Aliases: []string{"Service.StartLimitAction"},
	In: InUnit, DBus: "StartLimitAction", Signature: "s", Since: "229", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "What the system does when the start limit is hit."})

var FailureAction = enum(Setting{Native: "unit.failure-action", NativeAliases: []string{"service.failure-action"}, Name: "FailureAction", Default: "none",
	Enum: emergencyActions, Aliases: []string{"Service.FailureAction"},
	In: InUnit, DBus: "FailureAction", Signature: "s", Since: "236", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "What the system does when the unit enters the failed state."})

var SuccessAction = enum(Setting{Native: "unit.success-action", NativeAliases: []string{"service.success-action"}, Name: "SuccessAction", Default: "none", Enum: emergencyActions,
	In: InUnit, DBus: "SuccessAction", Signature: "s", Since: "236", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "What the system does when the unit ends with success."})

var FailureActionExitStatus = integer(Setting{Native: "unit.failure-action-exit-status", Name: "FailureActionExitStatus", Min: 0, Max: 255,
	In: InUnit, DBus: "FailureActionExitStatus", Signature: "i", Since: "240", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "The exit status of the manager or container when FailureAction= exits."})

var SuccessActionExitStatus = integer(Setting{Native: "unit.success-action-exit-status", Name: "SuccessActionExitStatus", Min: 0, Max: 255,
	In: InUnit, DBus: "SuccessActionExitStatus", Signature: "i", Since: "240", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "The exit status of the manager or container when SuccessAction= exits."})

var RebootArgument = str(Setting{Native: "unit.reboot-argument", Name: "RebootArgument", Aliases: []string{"Service.RebootArgument"},
	In: InUnit, DBus: "RebootArgument", Signature: "s", Since: "229", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "The argument of the reboot system call when a failure or success action reboots."})

var CollectMode = enum(Setting{Native: "unit.collect-mode", Name: "CollectMode", Default: "inactive", Enum: []string{"inactive", "inactive-or-failed"},
	In: InUnit, DBus: "CollectMode", Signature: "s", Since: "236", Effect: ByCore, Source: "systemd.unit(5)",
	Doc: "Whether a failed unit is forgotten like an inactive one, or kept until it is reset."})
