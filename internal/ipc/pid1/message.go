package pid1

import "dynamod/internal/ipc/frame"

// Limits. A frame that keeps them fits into MaxFrame bytes; whoever receives
// skips larger ones.
const (
	MaxFrame = 2048
	// MaxName bounds unit names and names of descriptors (FDNAME of sd_notify(3)).
	MaxName = 255
	// MaxText bounds a line for the kernel log.
	MaxText = 1024
	// MaxArgument bounds the argument of reboot(2).
	MaxArgument = 255
	// MaxSignal bounds a signal's name.
	MaxSignal = 16
	// MaxFDs is how many descriptors may come with one frame.
	MaxFDs = 64
	// Version is what Hello says.
	Version = 1
)

// Kind is what a message says. The comment gives its direction: s is svmgr, i is
// init.
type Kind uint8

const (
	// Heartbeat, s→i every 5 s; HeartbeatAck, i→s, with ID and InReplyTo 0.
	Heartbeat Kind = iota + 1
	HeartbeatAck
	// RequestShutdown, s→i, when services are stopped: Shutdown, Urgency, Text
	// (the argument of reboot(2)).
	RequestShutdown
	// ShutdownSignal, i→s: PID 1 got the signal named by Text; svmgr shall
	// begin the ordered stop that belongs to it.
	ShutdownSignal
	// LogToKmsg, s→i: a line, Text, for the kernel log at Level.
	LogToKmsg

	// The rest is ours; the first dynamod does not know it.

	// Hello, s→i, is the first frame of a manager: Count is its Version. Init
	// answers with one Kept for each name it holds descriptors under, one
	// Exited for each child of the former manager that it reaped, and HelloDone.
	Hello
	// Kept, i→s: Count descriptors of Unit under Name come along. Init keeps
	// its own copies until Withdraw.
	Kept
	// Exited, i→s: Exit. Also sent later, for every adopted process.
	Exited
	// HelloDone, i→s: Lost exit records had to be dropped.
	HelloDone
	// Deposit, s→i: Count descriptors to keep for Unit under Name come along.
	// A second one under the same name adds to the first.
	Deposit
	// Deposited, i→s, answers: Result, and Count slots are still free.
	Deposited
	// Withdraw, s→i: close what is kept for Unit under Name, "" for all names.
	Withdraw
	// BootDone, s→i: the boot transaction ended; Flag says degraded.
	BootDone
	// Gate, s→i: Flag says whether the services that gate the hardware
	// watchdog live; while it is false init does not feed it.
	Gate
	// Watchdog, s→i: set the hardware watchdog's time named by Setting to Usec, or
	// its governor to Text; with AskWatchdog only ask. Each is answered by WatchdogIs.
	Watchdog
	// WatchdogIs, i→s, answers: Dog, Name (its device, "" for none that is open), Text
	// (its governor), and Count, the errno(3) of the setting, 0 if it holds: without
	// hardware RuntimeWatchdog and Governor do not, and PreTimeout holds once the hardware
	// is armed, if that can warn.
	WatchdogIs
	// BootPolicy, s→i: what the configuration says of a boot that takes too long: it has
	// failed Usec after the start of init, 0 for never, and Action is what follows. The
	// kernel command line goes before it; it means nothing once there is a verdict.
	BootPolicy
	// BootLate, i→s: the boot has failed, because its time was over; Action follows.
	BootLate
	numKinds
)

// Shutdown is how the machine ends; the zero value is none, so that a message
// that lost it cannot power anything off.
type Shutdown uint8

const (
	Poweroff Shutdown = iota + 1
	Reboot
	Halt
	Kexec
	SoftReboot
)

var shutdownWords = [...]string{Poweroff: "Poweroff", Reboot: "Reboot", Halt: "Halt", Kexec: "Kexec", SoftReboot: "SoftReboot"}

func (s Shutdown) String() string { return word(shutdownWords[:], int(s)) }

// BootAction is what a failed boot leads to; the zero value is none of them, so that a
// message that lost it says nothing.
type BootAction uint8

const (
	BootNone BootAction = iota + 1
	BootReboot
	BootEmergency
)

var bootActionWords = [...]string{BootNone: "none", BootReboot: "reboot", BootEmergency: "emergency"}

func (a BootAction) String() string { return word(bootActionWords[:], int(a)) }

// ParseBootAction finds an action by its word; 0 is not one.
func ParseBootAction(s string) BootAction {
	for i, w := range bootActionWords {
		if w != "" && w == s {
			return BootAction(i)
		}
	}
	return 0
}

// MaxBootUsec bounds the time for a boot: ten years, which no sum with a clock overflows.
const MaxBootUsec = 10 * 366 * 24 * 3600 * 1e6

// Urgency is how much of init's part is skipped.
type Urgency uint8

const (
	// Orderly ends what is left, unmounts, then goes down.
	Orderly Urgency = iota
	// Force kills what is left at once.
	Force
	// Immediate only syncs.
	Immediate
)

// Result answers a Deposit.
type Result uint8

const (
	// OK: init keeps them.
	OK Result = iota + 1
	// Full: the table has no room; the descriptors were closed.
	Full
	// Mismatch: fewer descriptors came than the frame said; they were closed.
	Mismatch
)

var resultWords = [...]string{OK: "ok", Full: "full", Mismatch: "mismatch"}

func (r Result) String() string { return word(resultWords[:], int(r)) }

func word(words []string, i int) string {
	if i < len(words) && words[i] != "" {
		return words[i]
	}
	return "?"
}

// Setting is what a Watchdog sets.
type Setting uint8

const (
	AskWatchdog Setting = iota
	// RuntimeWatchdog is the time without a sign of life after which the hardware
	// resets the machine, 0 for never; PreTimeout is how long before that the kernel
	// warns, as Governor says. RebootWatchdog and KexecWatchdog are its times for the
	// end of the machine.
	RuntimeWatchdog
	PreTimeout
	Governor
	RebootWatchdog
	KexecWatchdog
)

// Dog is the state of the hardware watchdog, in microseconds. Pinged is when it was fed
// last, by CLOCK_BOOTTIME, 0 for never.
type Dog struct{ Runtime, Pre, Reboot, Kexec, Pinged uint64 }

// MaxGovernor bounds the name of a governor: those of the kernel are short.
const MaxGovernor = 20

// Exit is the end of a process that PID 1 reaped.
type Exit struct {
	PID int32
	// Start is field 22 of /proc/PID/stat, read before the process was
	// reaped: it tells two processes of one pid apart. 0 is not known.
	Start  uint64
	Code   int32
	Signal int32
	Core   bool
	// At is CLOCK_BOOTTIME in nanoseconds.
	At uint64
}

// Message is any message; which fields count depends on Kind. The texts of a
// decoded one are parts of the payload.
type Message struct {
	ID        uint64
	InReplyTo uint64
	Form      frame.Form
	Kind      Kind

	Unit, Name, Text []byte
	Count            uint32
	Lost             uint64
	Level            uint8
	Flag             bool
	Shutdown         Shutdown
	Urgency          Urgency
	Result           Result
	Exit             Exit
	Setting          Setting
	Usec             uint64
	Action           BootAction
	Dog              Dog
}

// shape is how a message looks on the wire: its variant's name, its envelope's
// kind, and its fields, of which the first few must be there.
type shape struct {
	name     string
	form     frame.Form
	required int
	fields   []string
}

var shapes = [numKinds]shape{
	Heartbeat:       {"Heartbeat", frame.Request, 0, nil},
	HeartbeatAck:    {"HeartbeatAck", frame.Response, 0, nil},
	RequestShutdown: {"RequestShutdown", frame.Request, 1, []string{"kind", "urgency", "argument"}},
	ShutdownSignal:  {"ShutdownSignal", frame.Event, 1, []string{"signal"}},
	LogToKmsg:       {"LogToKmsg", frame.Request, 2, []string{"level", "message"}},
	Hello:           {"Hello", frame.Request, 1, []string{"version"}},
	Kept:            {"Kept", frame.Event, 3, []string{"unit", "name", "count"}},
	Exited:          {"Exited", frame.Event, 6, []string{"pid", "start", "code", "signal", "core", "at"}},
	HelloDone:       {"HelloDone", frame.Response, 1, []string{"lost"}},
	Deposit:         {"Deposit", frame.Request, 3, []string{"unit", "name", "count"}},
	Deposited:       {"Deposited", frame.Response, 2, []string{"result", "free"}},
	Withdraw:        {"Withdraw", frame.Request, 2, []string{"unit", "name"}},
	BootDone:        {"BootDone", frame.Request, 1, []string{"degraded"}},
	Gate:            {"Gate", frame.Request, 1, []string{"open"}},
	Watchdog:        {"Watchdog", frame.Request, 3, []string{"setting", "usec", "governor"}},
	WatchdogIs:      {"WatchdogIs", frame.Response, 8, []string{"runtime", "pre", "reboot", "kexec", "pinged", "device", "governor", "errno"}},
	BootPolicy:      {"BootPolicy", frame.Request, 2, []string{"deadline", "action"}},
	BootLate:        {"BootLate", frame.Event, 1, []string{"action"}},
}

func (k Kind) String() string {
	if k > 0 && k < numKinds {
		return shapes[k].name
	}
	return "?"
}

// errUnknown is boxed once: converting at each return would be cheap, but this
// way no reader has to wonder whether it allocates.
var (
	errUnknown error = frame.Unknown
	errTooLong error = frame.TooLong
	errNoRoom  error = frame.NoRoom
)
