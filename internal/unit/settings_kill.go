package unit

// How processes are stopped. systemd.kill(5).

const killSections = InExec | InScope

var KillMode = enum(Setting{Native: "shutdown.kill-mode", Name: "KillMode", Default: "control-group", Enum: []string{"control-group", "mixed", "process", "none"},
	In: killSections, DBus: "KillMode", Signature: "s", Since: "187", Effect: ByCore, Source: "systemd.kill(5)",
	Doc: "Which processes get the stop signal and the final kill: the whole cgroup, or the main process alone."})

var KillSignal = signal(Setting{Native: "shutdown.stop-signal", NativeAliases: []string{"shutdown.kill-signal"}, Name: "KillSignal", Default: "SIGTERM",
	In: killSections, DBus: "KillSignal", Signature: "i", Since: "187", Effect: ByCore, Source: "systemd.kill(5)",
	Doc: "The signal that asks the processes to end."})

var RestartKillSignal = signal(Setting{Native: "shutdown.restart-signal", Name: "RestartKillSignal",
	In: killSections, DBus: "RestartKillSignal", Signature: "i", Since: "244", Effect: ByCore, Source: "systemd.kill(5)",
	Doc: "The signal used instead of the stop signal when the stop is part of a restart."})

var SendSIGHUP = boolean(Setting{Native: "shutdown.send-sighup", Name: "SendSIGHUP",
	In: killSections, DBus: "SendSIGHUP", Signature: "b", Since: "207", Effect: ByCore, Source: "systemd.kill(5)",
	Doc: "Sends SIGHUP right after the stop signal, for shells that do not end otherwise."})

var SendSIGKILL = boolean(Setting{Native: "shutdown.send-sigkill", Name: "SendSIGKILL", Default: "yes",
	In: killSections, DBus: "SendSIGKILL", Signature: "b", Since: "187", Effect: ByCore, Source: "systemd.kill(5)",
	Doc: "Kills what has not ended when the stop timeout passes."})

var FinalKillSignal = signal(Setting{Native: "shutdown.final-signal", Name: "FinalKillSignal", Default: "SIGKILL",
	In: killSections, DBus: "FinalKillSignal", Signature: "i", Since: "240", Effect: ByCore, Source: "systemd.kill(5)",
	Doc: "The signal of the last resort after the stop timeout."})

var WatchdogSignal = signal(Setting{Native: "watchdog.signal", Name: "WatchdogSignal", Default: "SIGABRT",
	In: killSections, DBus: "WatchdogSignal", Signature: "i", Since: "240", Effect: ByCore, Source: "systemd.kill(5)",
	Doc: "The signal sent when the watchdog interval passes in silence."})
