package unit

import (
	"slices"
	"strconv"
	"strings"

	"dynamod/internal/diag"
)

// signalNames are the Linux signals of signal(7) by number, without "SIG".
var signalNames = [...]string{1: "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE",
	"KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP",
	"TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS"}

var signalAliases = map[string]int32{"IOT": 6, "POLL": 29, "CLD": 17, "RTMIN": rtMin, "RTMAX": rtMax}

// The real-time signals that the C library leaves to programs.
const rtMin, rtMax = 34, 64

// ReadSignal reads a signal by number or name, with or without "SIG", in any
// one case; "RTMIN+3" and "RTMAX-1" too.
func ReadSignal(text string) (int32, bool) {
	if n, err := strconv.ParseUint(text, 10, 8); err == nil {
		return int32(n), n >= 1 && n <= rtMax
	}
	if len(text) > 16 {
		return 0, false
	}
	up := strings.ToUpper(text)
	if up != text && strings.ToLower(text) != text {
		return 0, false
	}
	up = strings.TrimPrefix(up, "SIG")
	if i := slices.Index(signalNames[:], up); i > 0 {
		return int32(i), true
	}
	if n, ok := signalAliases[up]; ok {
		return n, true
	}
	base, sign := int32(rtMin), int32(1)
	rest, ok := strings.CutPrefix(up, "RTMIN+")
	if !ok {
		base, sign = rtMax, -1
		if rest, ok = strings.CutPrefix(up, "RTMAX-"); !ok {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(rest, 10, 8)
	if err != nil || n > rtMax-rtMin {
		return 0, false
	}
	return base + sign*int32(n), true
}

// SignalName is the name of a signal with its "SIG".
func SignalName(n int32) string {
	switch {
	case n > 0 && int(n) < len(signalNames):
		return "SIG" + signalNames[n]
	case n == rtMin:
		return "SIGRTMIN"
	case n == rtMax:
		return "SIGRTMAX"
	case n > rtMin && n < rtMax:
		return "SIGRTMIN+" + strconv.Itoa(int(n-rtMin))
	}
	return strconv.Itoa(int(n))
}

func parseSignal(c *ctx, text string) (any, bool) {
	if n, ok := ReadSignal(text); ok {
		return n, true
	}
	hint := "write a name like SIGTERM or RTMIN+3, or a number from 1 to 64"
	if s := diag.Suggest(strings.TrimPrefix(strings.ToUpper(text), "SIG"), signalNames[1:]); s != "" {
		hint = "did you mean SIG" + s + "?"
	}
	c.bad(0, hint, "not a signal")
	return nil, false
}

func signalText(_ *Setting, n int32) string { return SignalName(n) }

// exitNames are the exit codes with a name: those of the C library, of LSB and
// of systemd (systemd.exec(5), "PROCESS EXIT CODES"), and of sysexits.h.
var exitNames = map[string]uint8{
	"SUCCESS": 0, "FAILURE": 1,
	"INVALIDARGUMENT": 2, "NOTIMPLEMENTED": 3, "NOPERMISSION": 4, "NOTINSTALLED": 5,
	"NOTCONFIGURED": 6, "NOTRUNNING": 7,
	"USAGE": 64, "DATAERR": 65, "NOINPUT": 66, "NOUSER": 67, "NOHOST": 68, "UNAVAILABLE": 69,
	"SOFTWARE": 70, "OSERR": 71, "OSFILE": 72, "CANTCREAT": 73, "IOERR": 74, "TEMPFAIL": 75,
	"PROTOCOL": 76, "NOPERM": 77, "CONFIG": 78,
	"CHDIR": 200, "NICE": 201, "FDS": 202, "EXEC": 203, "MEMORY": 204, "LIMITS": 205,
	"OOM_ADJUST": 206, "SIGNAL_MASK": 207, "STDIN": 208, "STDOUT": 209, "CHROOT": 210,
	"IOPRIO": 211, "TIMERSLACK": 212, "SECUREBITS": 213, "SETSCHEDULER": 214,
	"CPUAFFINITY": 215, "GROUP": 216, "USER": 217, "CAPABILITIES": 218, "CGROUP": 219,
	"SETSID": 220, "CONFIRM": 221, "STDERR": 222, "PAM": 224, "NETWORK": 225,
	"NAMESPACE": 226, "NO_NEW_PRIVILEGES": 227, "SECCOMP": 228, "SELINUX_CONTEXT": 229,
	"PERSONALITY": 230, "APPARMOR_PROFILE": 231, "ADDRESS_FAMILIES": 232,
	"RUNTIME_DIRECTORY": 233, "CHOWN": 235, "SMACK_PROCESS_LABEL": 236, "KEYRING": 237,
	"STATE_DIRECTORY": 238, "CACHE_DIRECTORY": 239, "LOGS_DIRECTORY": 240,
	"CONFIGURATION_DIRECTORY": 241, "NUMA_POLICY": 242, "CREDENTIALS": 243, "BPF": 245,
	"KSM": 246, "EXCEPTION": 255,
}

func exitCode(text string) (uint8, bool) {
	if n, err := strconv.ParseUint(text, 10, 8); err == nil {
		return uint8(n), true
	}
	n, ok := exitNames[strings.TrimPrefix(text, "EXIT_")]
	if !ok {
		n, ok = exitNames[strings.TrimPrefix(text, "EX_")]
	}
	return n, ok
}

// addExit reads one word of an exit set.
func (c *ctx) addExit(e *ExitSet, text string, off int) {
	if n, ok := exitCode(text); ok {
		if !e.HasCode(int(n)) {
			e.Codes = append(e.Codes, n)
		}
		return
	}
	if n, ok := ReadSignal(text); ok && (text[0] < '0' || text[0] > '9') {
		if !e.HasSignal(int(n)) {
			e.Signals = append(e.Signals, n)
		}
		return
	}
	c.bad(off, "write an exit code from 0 to 255, its name such as TEMPFAIL, or a signal such as SIGUSR1",
		"%q is neither an exit status nor a signal", text)
}

func parseExitSet(c *ctx, text string) (any, bool) {
	var e ExitSet
	whole := c.splitWords(text, keepEscapes, func(w word) bool {
		c.addExit(&e, w.text, w.off)
		return true
	})
	c.offs = append(c.offs[:0], 0)
	return e, whole && len(e.Codes)+len(e.Signals) > 0
}

func exitItems(c *ctx, items []string) (any, bool) {
	var e ExitSet
	for i, it := range items {
		c.addExit(&e, it, i)
	}
	c.offs = append(c.offs[:0], 0)
	return e, len(e.Codes)+len(e.Signals) > 0
}

func joinExits(a, b any) any {
	x, y := a.(ExitSet), b.(ExitSet)
	x.Codes, x.Signals = slices.Clip(x.Codes), slices.Clip(x.Signals)
	for _, n := range y.Codes {
		if !x.HasCode(int(n)) {
			x.Codes = append(x.Codes, n)
		}
	}
	for _, n := range y.Signals {
		if !x.HasSignal(int(n)) {
			x.Signals = append(x.Signals, n)
		}
	}
	return x
}

func exitText(_ *Setting, v any) []string {
	e := v.(ExitSet)
	var out []string
	for _, n := range slices.Sorted(slices.Values(e.Codes)) {
		out = append(out, strconv.Itoa(int(n)))
	}
	for _, n := range slices.Sorted(slices.Values(e.Signals)) {
		out = append(out, SignalName(n))
	}
	return out
}
