package unit

// Settings of boot.toml, which is about the boot of the machine and not about one unit. In
// the file the tables are called [boot] and [boot.generation]. features.md section 6.

var MachineBootSuccess = unitList(Setting{Native: "machine-boot.success", In: InBoot, Since: "dynamod", Effect: ByCore, Source: "dynamod",
	Doc: "Units that must be up for the boot to count as a success, besides those with boot.success (boot.success in boot.toml)."})

var MachineBootGrace = duration(Setting{Native: "machine-boot.grace", Default: "30s", In: InBoot, Since: "dynamod", Effect: ByCore, Source: "dynamod",
	Doc: "How long without a break each of them must be up, unless it has a boot.grace of its own (boot.grace in boot.toml)."})

var MachineBootDeadline = duration(Setting{Native: "machine-boot.deadline", In: InBoot, Since: "dynamod", Effect: ByWorld, Source: "dynamod",
	Doc: "How long after its start PID 1 waits for the success before the boot has failed; infinity waits for ever. Without it PID 1 has its own 5 minutes, and the kernel command line goes before it (boot.deadline in boot.toml)."})

var MachineBootDeadlineAction = enum(Setting{Native: "machine-boot.deadline-action", Default: "none", Enum: bootActions, In: InBoot, Since: "dynamod", Effect: ByWorld, Source: "dynamod",
	Doc: "What PID 1 does when the boot has failed (boot.deadline-action in boot.toml)."})

var MachineBootAttempts = integer(Setting{Native: "machine-boot.attempts", Default: "3", Max: 1000, In: InBoot, Since: "dynamod", Effect: ByWorld, Source: "dynamod",
	Doc: "After how many failed boots in a row the next one takes a rung of the ladder: the last good configuration, safe mode, the emergency shell; 0 is never (boot.attempts in boot.toml)."})

var MachineBootSafeMode = unitList(Setting{Native: "machine-boot.safe-mode", In: InBoot, Since: "dynamod", Effect: ByGraph, Source: "dynamod",
	Doc: "Units that start in safe mode too, besides those with boot.safe-mode (boot.safe-mode in boot.toml)."})

var MachineBootOnSuccess = execs(Setting{Native: "machine-boot.on-success", In: InBoot, Since: "dynamod", Effect: ByWorld, Source: "dynamod",
	Doc: "Commands that run once, one after another, when the boot is a success (boot.on-success in boot.toml)."})

var MachineBootIDFrom = str(Setting{Native: "machine-boot.generation.id-from", In: InBoot, Since: "dynamod", Effect: ByWorld, Source: "FortrOS",
	Doc: "What the generation of the system is called: an option of the kernel command line, or with a leading / a file whose first line says it (boot.generation.id-from in boot.toml)."})

var MachineBootStatusFile = str(Setting{Native: "machine-boot.generation.status-file", In: InBoot, Since: "dynamod", Effect: ByWorld, Source: "FortrOS",
	Doc: "The file that says how the boot of this generation went: pending, ok or failed; {id} in its path is the generation (boot.generation.status-file in boot.toml)."})
