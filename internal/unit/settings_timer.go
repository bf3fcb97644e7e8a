package unit

// The [Timer] section. systemd.timer(5).

var OnCalendar = calendars(Setting{Native: "timer.on-calendar", Name: "OnCalendar", Raw: true, with: []*Setting{Monotonics.s},
	In: InTimer, DBus: "TimersCalendar", Signature: "a(sst)", Since: "197", Effect: ByCore, Source: "systemd.timer(5)",
	Doc: "Calendar events at which the unit is started; an empty one clears all events and spans."})

// Monotonics are all On…Sec= lines of a timer in the order of the file.
var Monotonics = monotonics(Setting{Native: "timer.spans", In: InTimer, DBus: "TimersMonotonic", Signature: "a(stt)", Since: "1",
	Effect: ByCore, Source: "systemd.timer(5)", Doc: "All monotonic spans of the timer; set through the keys for each base.", Raw: true, internal: true})

func monotonicRow(native, name, since, doc string) Key[[]Monotonic] {
	return monotonics(Setting{Native: native, Name: name, tag: name, Raw: true, In: InTimer, DBus: "TimersMonotonic", Signature: "a(stt)",
		Since: since, Effect: ByCore, Source: "systemd.timer(5)", Doc: doc,
		into: []*Setting{Monotonics.s}, with: []*Setting{OnCalendar.s}})
}

var OnActiveSec = monotonicRow("timer.on-active", "OnActiveSec", "", "A time after the timer itself was started at which the unit is started.")

var OnBootSec = monotonicRow("timer.on-boot", "OnBootSec", "", "A time after boot at which the unit is started.")

var OnStartupSec = monotonicRow("timer.on-startup", "OnStartupSec", "", "A time after the manager's start at which the unit is started.")

var OnUnitActiveSec = monotonicRow("timer.on-unit-active", "OnUnitActiveSec", "", "A time after the unit was last started at which it is started again.")

var OnUnitInactiveSec = monotonicRow("timer.on-unit-inactive", "OnUnitInactiveSec", "", "A time after the unit last ended at which it is started again.")

var OnClockChange = boolean(Setting{Native: "timer.on-clock-change", Name: "OnClockChange",
	In: InTimer, DBus: "OnClockChange", Signature: "b", Since: "242", Effect: ByCore, Source: "systemd.timer(5)",
	Doc: "Starts the unit when the wall clock jumps against the monotonic clock."})

var OnTimezoneChange = boolean(Setting{Native: "timer.on-timezone-change", Name: "OnTimezoneChange",
	In: InTimer, DBus: "OnTimezoneChange", Signature: "b", Since: "242", Effect: ByCore, Source: "systemd.timer(5)",
	Doc: "Starts the unit when the local time zone changes."})

var AccuracySec = duration(Setting{Native: "timer.accuracy", Name: "AccuracySec", Default: "1min",
	In: InTimer, DBus: "AccuracyUSec", Signature: "t", Since: "209", Effect: ByCore, Source: "systemd.timer(5)",
	Doc: "The window in which the timer may elapse late, so that wakeups coincide."})

var RandomizedDelaySec = duration(Setting{Native: "timer.randomized-delay", NativeAliases: []string{"timer.jitter"}, Name: "RandomizedDelaySec",
	In: InTimer, DBus: "RandomizedDelayUSec", Signature: "t", Since: "229", Effect: ByCore, Source: "systemd.timer(5)",
	Doc: "A random time up to this long that delays each elapse."})

var FixedRandomDelay = boolean(Setting{Native: "timer.fixed-random-delay", Name: "FixedRandomDelay",
	In: InTimer, DBus: "FixedRandomDelay", Signature: "b", Since: "247", Effect: ByCore, Source: "systemd.timer(5)",
	Doc: "Makes the random delay the same at every elapse on one machine."})

var DeferReactivation = boolean(Setting{Native: "timer.defer-reactivation", Name: "DeferReactivation",
	In: InTimer, DBus: "DeferReactivation", Signature: "b", Since: "257", Effect: ByCore, Source: "systemd.timer(5)",
	Doc: "Lets an elapse pass when the unit is still running from the one before."})

var Persistent = boolean(Setting{Native: "timer.persistent", Name: "Persistent",
	In: InTimer, DBus: "Persistent", Signature: "b", Since: "212", Effect: ByCore, Source: "systemd.timer(5)",
	Doc: "Remembers the last run on disk and catches up once on a calendar event missed while the machine was off."})

var WakeSystem = boolean(Setting{Native: "timer.wake-system", Name: "WakeSystem",
	In: InTimer, DBus: "WakeSystem", Signature: "b", Since: "212", Effect: ByCore, Source: "systemd.timer(5)",
	Doc: "Wakes the machine from suspend when the timer elapses."})

var RemainAfterElapse = boolean(Setting{Native: "timer.remain-after-elapse", Name: "RemainAfterElapse", Default: "yes",
	In: InTimer, DBus: "RemainAfterElapse", Signature: "b", Since: "229", Effect: ByCore, Source: "systemd.timer(5)",
	Doc: "Keeps a timer loaded that will not elapse again."})

var TimerUnit = unitName(Setting{Native: "timer.unit", Name: "Unit",
	In: InTimer, DBus: "Unit", Signature: "s", Since: "", Effect: ByGraph, Source: "systemd.timer(5)",
	Doc: "The unit to start; by default the service of the same name."})
