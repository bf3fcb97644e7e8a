package unit

// Supervisor files. dynamod contract 1.7.

var SupervisorName = str(Setting{Native: "supervisor.name", In: InSupervisor, Since: "dynamod", Effect: ByCore, Source: "the original dynamod",
	Doc: "The supervisor's name, in one namespace with the services."})

var SupervisorParent = str(Setting{Native: "supervisor.parent", Default: RootSupervisor, In: InSupervisor, Since: "dynamod", Effect: ByCore, Source: "the original dynamod",
	Doc: "The supervisor above this one."})

var SupervisorStrategy = enum(Setting{Native: "supervisor.strategy", Default: "one-for-one", Enum: []string{"one-for-one", "one-for-all", "rest-for-one"},
	In: InSupervisor, Since: "dynamod", Effect: ByCore, Source: "the original dynamod",
	Doc: "Which members are restarted when one dies: that one, all, or that one and those started after it."})

var SupervisorMaxRestarts = integer(Setting{Native: "supervisor.max-restarts", Default: "10", Max: 1<<32 - 1, In: InSupervisor, Since: "dynamod", Effect: ByCore, Source: "the original dynamod",
	Doc: "How many restarts in the window the supervisor stands before it fails upwards (restart.max-restarts in its file)."})

var SupervisorWindow = duration(Setting{Native: "supervisor.max-restart-window", Default: "300s", In: InSupervisor, Since: "dynamod", Effect: ByCore, Source: "the original dynamod",
	Doc: "The sliding window in which restarts are counted (restart.max-restart-window in its file)."})
