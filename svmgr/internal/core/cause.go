package core

import (
	"fmt"
	"strings"
)

// CauseKind is why a unit is in its state. The set is closed: every kind has
// words for what happened, what the manager did and what to do.
type CauseKind uint8

const (
	NoCause CauseKind = iota
	ByRequest
	ByBoot
	ByDependency
	ByStopOfDependency
	ByConflict
	ByBindsTo
	ByRecovery
	ByTimer
	BySocket
	ByPath
	ByAutomount
	ByDevice
	ByUpholds
	ByOnFailure
	ByUnneeded
	BySupervisor
	ByRestartPolicy
	ByReload
	ByShutdown
	MainExited
	MainKilled
	MainDumped
	CleanExit
	CommandFailed
	SpawnFailure
	StartTimeout
	StopTimeout
	ReadinessTimeout
	RuntimeMax
	WatchdogTimeout
	OutOfMemory
	HealthFailed
	ProtocolError
	ConditionUnmet
	AssertFailed
	ProbeLost
	DependencyFailed
	DependencyMissing
	StartLimitHit
	BudgetExhausted
	SupervisorGaveUp
	Unkillable
	LostByKernel
	AppearedInKernel
	ListenFailed
	ManagerLostTrack
	TriggerLimitHit
	NotLoadable
	OrderingCycle
	ProbeFailed
	numCauses
)

type causeWords struct{ name, what, did, mend string }

var causeTable = [numCauses]causeWords{
	NoCause:            {"none", "nothing has happened yet", "", ""},
	ByRequest:          {"request", "it was asked for", "", ""},
	ByBoot:             {"boot", "it is part of the boot", "", ""},
	ByDependency:       {"dependency", "%u needs it", "", ""},
	ByStopOfDependency: {"dependency-stopped", "%u, which it needs, was stopped", "it was stopped with it", ""},
	ByConflict:         {"conflict", "it conflicts with %u", "it was stopped in favour of it", ""},
	ByBindsTo:          {"binds-to", "%u, to which it is bound, went away", "it was stopped", "it starts again when %u is back"},
	ByRecovery:         {"binds-to-recovery", "%u, to which it is bound, is back", "it was started again", ""},
	ByTimer:            {"timer", "the timer %u elapsed", "", ""},
	BySocket:           {"socket", "there was traffic on %u", "", ""},
	ByPath:             {"path", "%u saw a change", "", ""},
	ByAutomount:        {"automount", "somebody opened the mount point of %u", "", ""},
	ByDevice:           {"device", "the device %u wants it", "", ""},
	ByUpholds:          {"upholds", "%u upholds it", "", ""},
	ByOnFailure:        {"on-failure", "%u ended and names it in OnFailure= or OnSuccess=", "", ""},
	ByUnneeded:         {"unneeded", "nothing needs it any more", "it was stopped", ""},
	BySupervisor:       {"supervisor", "its supervisor %u restarts the group", "", ""},
	ByRestartPolicy:    {"restart-policy", "its restart policy asks for it", "", ""},
	ByReload:           {"reload", "its file was removed", "it was stopped", ""},
	ByShutdown:         {"shutdown", "the system is going down", "", ""},
	MainExited:         {"exit-code", "the main process exited with code %c", "%r", "look at its log: dynamodctl logs %n"},
	MainKilled:         {"signal", "the main process was killed by %s", "%r", "look at its log: dynamodctl logs %n"},
	MainDumped:         {"core-dump", "the main process crashed with %s and dumped core", "%r", "look at the core dump and its log"},
	CleanExit:          {"clean-exit", "the main process ended cleanly", "%r", ""},
	CommandFailed:      {"command-failed", "its %d command ended with %c%s", "the step was given up", "run the command by hand, or look at its log: dynamodctl logs %n"},
	SpawnFailure:       {"spawn-failed", "its process could not be started: %d: %e", "nothing was run", "%m"},
	StartTimeout:       {"start-timeout", "it was not up within its start timeout", "its processes were ended", "raise TimeoutStartSec= or find out what it waits for"},
	StopTimeout:        {"stop-timeout", "it did not stop within its stop timeout", "its processes were killed", "raise TimeoutStopSec= or make it obey its stop signal"},
	ReadinessTimeout:   {"readiness-timeout", "it did not report readiness (%d) in time", "its processes were ended", "check that it really speaks this readiness protocol, or raise the timeout"},
	RuntimeMax:         {"runtime-max", "it ran longer than RuntimeMaxSec=", "it was stopped", ""},
	WatchdogTimeout:    {"watchdog", "it missed its watchdog", "it was ended with the watchdog signal", "it hung, or WatchdogSec= is too short"},
	OutOfMemory:        {"oom-kill", "the kernel killed one of its processes for lack of memory", "%r", "raise its memory limit, or find its leak"},
	HealthFailed:       {"health", "its health check failed: %d", "%r", ""},
	ProtocolError:      {"protocol", "it ended before it was ready, though cleanly", "the start failed", "its type promises a readiness report or a main process: check type and PIDFile="},
	ConditionUnmet:     {"condition", "its condition %d does not hold", "it was skipped; dependents go on", ""},
	AssertFailed:       {"assert", "its assertion %d does not hold", "the start failed", ""},
	ProbeLost:          {"probe-lost", "its conditions could not be evaluated in time", "the start failed", "see the manager's log"},
	DependencyFailed:   {"dependency-failed", "%u, which it requires, did not start", "it was not started", "mend %u: dynamodctl why %u"},
	DependencyMissing:  {"dependency-missing", "%u, which it requires, does not exist", "it was not started", "install %u or remove the dependency, then dynamodctl reload"},
	StartLimitHit:      {"start-limit-hit", "it was started too often in too short a time", "further starts are refused for a while", "mend the reason of its exits, then dynamodctl reset %n"},
	BudgetExhausted:    {"restart-budget-exhausted", "it used up its automatic restarts", "it is not restarted any more", "mend the reason of its exits, then dynamodctl reset %n"},
	SupervisorGaveUp:   {"supervisor-gave-up", "its supervisor %u used up its restarts", "the failure went up to the parent", "mend what keeps crashing there: dynamodctl tree"},
	Unkillable:         {"unkillable", "processes of it survive SIGKILL", "it was left behind", "they hang in the kernel (device, NFS): only their end or a reboot helps"},
	LostByKernel:       {"kernel", "it went away in the kernel's table", "", ""},
	AppearedInKernel:   {"kernel", "it appeared in the kernel's table", "", ""},
	ListenFailed:       {"resources", "its sockets could not be opened: %e", "nothing was started", "is another program using the address?"},
	ManagerLostTrack:   {"manager-restart", "it ended while the manager was away", "%r", ""},
	TriggerLimitHit:    {"trigger-limit-hit", "it was triggered too often in too short a time", "it was stopped", "the triggered service does not consume what woke it"},
	NotLoadable:        {"not-loadable", "its files cannot be used: %d", "it was not started", "dynamodctl check names the lines"},
	OrderingCycle:      {"ordering-cycle", "it is part of an ordering cycle: %d", "its job was dropped", "remove one After= or Before= of the cycle"},
	ProbeFailed:        {"probe-failed", "a check before its start failed: %d", "nothing was run", "mend that, then dynamodctl start %n"},
}

// String is the stable word for machines, systemd's Result word where there is one.
func (k CauseKind) String() string {
	if k < numCauses {
		return causeTable[k].name
	}
	return "cause(?)"
}

// Cause is a reason with its particulars. It is small, comparable and has no
// formatted text: Sentence renders it when somebody wants to read it.
type Cause struct {
	Kind CauseKind
	// Unit is the other unit involved.
	Unit string `json:",omitempty"`
	// Code, Signal and Errno are of the process or call that failed.
	Code   int32 `json:",omitempty"`
	Signal int32 `json:",omitempty"`
	Errno  int32 `json:",omitempty"`
	// Detail is a stage, a condition, a path of a cycle.
	Detail string `json:",omitempty"`
	// Decision is what the restart policy decided, "" if it was not asked.
	Decision string `json:",omitempty"`
}

// Sentence tells unit's operator what happened, what the manager did and what
// would mend it.
func (c Cause) Sentence(name string) string {
	if c.Kind >= numCauses {
		return ""
	}
	w := causeTable[c.Kind]
	fill := func(s string) string {
		if !strings.Contains(s, "%") {
			return s
		}
		decision := c.Decision
		if decision == "" {
			decision = "it was not restarted"
		}
		sig := ""
		if c.Signal != 0 {
			sig = signalName(c.Signal)
		}
		code := ""
		if c.Code != 0 || c.Signal == 0 {
			code = fmt.Sprint(c.Code)
		}
		return strings.NewReplacer("%m", setupAdvice(c.Detail, c.Errno), "%u", orIt(c.Unit), "%n", name, "%c", code, "%s", sig,
			"%e", errnoName(c.Errno), "%d", c.Detail, "%r", decision).Replace(s)
	}
	parts := []string{fill(w.what)}
	if w.did != "" {
		parts = append(parts, fill(w.did))
	}
	s := strings.Join(parts, "; ")
	if mend := fill(w.mend); mend != "" {
		s += ". " + mend
	}
	return s
}

// setupAdvice is what to look at when a stage of the set-up of a process fails;
// the stages are those of svmgr/internal/child.
func setupAdvice(stage string, errno int32) string {
	const noEnt, noExec, access, noMem, again, mFile = 2, 8, 13, 12, 11, 24
	switch {
	case errno == noMem || errno == again || errno == mFile:
		return "the system has run out of something: look at limits and memory, then start it again"
	case stage == "exec" && errno == noEnt:
		return "the program, or the interpreter in its first line, does not exist: check the path"
	case stage == "exec" && errno == access:
		return "its user may not execute the program, or may not enter the directory it is in"
	case stage == "exec" && errno == noExec:
		return "the program is no executable of this machine, or a script without #! in its first line"
	case stage == "exec":
		return "check the program"
	case stage == "user", stage == "group", stage == "groups":
		return "check that the user and the groups exist"
	case stage == "working-directory":
		return "check that the working directory exists and that its user may enter it"
	case stage == "environment":
		return "check the environment file"
	case strings.HasPrefix(stage, "std"), stage == "tty":
		return "check where its standard input and output shall go"
	}
	return "its log and the manager's log say more"
}

func orIt(u string) string {
	if u == "" {
		return "another unit"
	}
	return u
}

// signalNames are the numbers of Linux on amd64, arm64 and riscv (signal(7)).
var signalNames = [...]string{1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 5: "TRAP", 6: "ABRT",
	7: "BUS", 8: "FPE", 9: "KILL", 10: "USR1", 11: "SEGV", 12: "USR2", 13: "PIPE", 14: "ALRM",
	15: "TERM", 16: "STKFLT", 17: "CHLD", 18: "CONT", 19: "STOP", 20: "TSTP", 21: "TTIN",
	22: "TTOU", 23: "URG", 24: "XCPU", 25: "XFSZ", 26: "VTALRM", 27: "PROF", 28: "WINCH",
	29: "IO", 30: "PWR", 31: "SYS"}

const (
	sigHUP  = 1
	sigINT  = 2
	sigABRT = 6
	sigKILL = 9
	sigPIPE = 13
	sigTERM = 15
	sigCONT = 18
)

func signalName(n int32) string {
	if n > 0 && int(n) < len(signalNames) {
		return "SIG" + signalNames[n]
	}
	return fmt.Sprintf("signal %d", n)
}

// errnoNames holds those that spawning, listening and mounting really give.
var errnoNames = map[int32]string{1: "EPERM", 2: "ENOENT", 3: "ESRCH", 5: "EIO", 6: "ENXIO", 7: "E2BIG",
	8: "ENOEXEC", 11: "EAGAIN", 12: "ENOMEM", 13: "EACCES", 14: "EFAULT", 16: "EBUSY",
	17: "EEXIST", 19: "ENODEV", 20: "ENOTDIR", 21: "EISDIR", 22: "EINVAL", 23: "ENFILE",
	24: "EMFILE", 26: "ETXTBSY", 28: "ENOSPC", 30: "EROFS", 36: "ENAMETOOLONG", 38: "ENOSYS",
	40: "ELOOP", 95: "EOPNOTSUPP", 97: "EAFNOSUPPORT", 98: "EADDRINUSE",
	99: "EADDRNOTAVAIL", 110: "ETIMEDOUT"}

func errnoName(n int32) string {
	if s, ok := errnoNames[n]; ok {
		return s
	}
	return fmt.Sprintf("errno %d", n)
}
