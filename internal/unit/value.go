package unit

import (
	"math"
	"time"

	"dynamod/internal/calendar"
)

// Forever is the Duration of "infinity": no limit.
const Forever = time.Duration(math.MaxInt64)

// Quantity is a size, count or weight that may also be unlimited or relative.
type Quantity struct {
	// N is bytes, tasks or a weight; when Permille is true it is tenths of a
	// percent of the machine's total.
	N        uint64
	Permille bool
	Infinite bool
}

// Share is the quantity where total is the machine's; not for one that is infinite.
func (q Quantity) Share(total uint64) uint64 {
	if !q.Permille {
		return q.N
	}
	return total/1000*q.N + total%1000*q.N/1000 // which does not overflow
}

// Exec is one command line.
type Exec struct {
	// Path is what is executed, Argv what it is given (Argv[0] included).
	Path string
	Argv []string
	// IgnoreFailure is '-', NoEnvExpand ':', Privileged '+', NoSetuid '!',
	// AmbientOnly '!!', Shell '|' (systemd.service(5), "Command lines").
	IgnoreFailure, NoEnvExpand, Privileged, NoSetuid, AmbientOnly, Shell bool
}

// Condition is one Condition…= or Assert…= line.
type Condition struct {
	// Check is the name without its prefix: "PathExists", "Virtualization".
	Check string
	// Arg is the parameter with specifiers expanded, without the marks.
	Arg string
	// Trigger is '|': one of all the triggering ones must hold. Negate is '!'.
	Trigger, Negate bool
}

// Listen is one Listen…= line of a socket.
type Listen struct {
	// Kind is the directive without "Listen": Stream, Datagram,
	// SequentialPacket, FIFO, Special, Netlink, MessageQueue, USBFunction.
	Kind string
	// Address is as systemd.socket(5) writes it.
	Address string
}

// Calendar is one OnCalendar= line.
type Calendar struct {
	Text string
	Spec calendar.Spec
}

// Monotonic is one On…Sec= line of a timer.
type Monotonic struct {
	// Base is the directive: OnActiveSec, OnBootSec, OnStartupSec,
	// OnUnitActiveSec, OnUnitInactiveSec.
	Base string
	Span time.Duration
}

// PathWatch is one Path…= line of a path unit.
type PathWatch struct {
	// Kind is PathExists, PathExistsGlob, PathChanged, PathModified or
	// DirectoryNotEmpty.
	Kind string
	Path string
}

// ExitSet is a set of exit codes and signals, as SuccessExitStatus= takes it.
type ExitSet struct {
	Codes   []uint8
	Signals []int32
}

// HasCode says whether code is in the set.
func (e ExitSet) HasCode(code int) bool {
	for _, c := range e.Codes {
		if int(c) == code {
			return true
		}
	}
	return false
}

// HasSignal says whether the death signal sig is in the set.
func (e ExitSet) HasSignal(sig int) bool {
	for _, s := range e.Signals {
		if int(s) == sig {
			return true
		}
	}
	return false
}

// Rlimit is one Limit…= line. The numbers are in the unit of setrlimit(2);
// math.MaxUint64 is infinity.
type Rlimit struct{ Soft, Hard uint64 }

// BindMount is one entry of BindPaths= or namespace.bind-mounts.
type BindMount struct {
	Source, Target string
	Writable       bool
	// IgnoreMissing is the '-' prefix.
	IgnoreMissing bool
	// Recursive is rbind (the default) as against norbind.
	Recursive bool
}
