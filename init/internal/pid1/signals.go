package pid1

import ipc "dynamod/internal/ipc/pid1"

// Numbers of signals. SIGRTMIN is what user space calls it (kill -s RTMIN+3): the C
// libraries keep the first two of the kernel's for themselves.
const (
	sigHUP   = 1
	sigINT   = 2
	sigABRT  = 6
	sigKILL  = 9
	sigUSR1  = 10
	sigUSR2  = 12
	sigTERM  = 15
	sigWINCH = 28
	sigPWR   = 30
	sigRTMIN = 34
	// MaxSignal is the largest signal.
	MaxSignal = 64
)

// Meaning is what a signal to PID 1 says. Ok is false for those that say nothing.
type Meaning struct {
	In   Input
	Kind ipc.Shutdown
	// Name is how the manager is told.
	Name string
}

// Means looks a signal up. TERM, INT, USR1, USR2 and HUP are dynamod's own, with
// SIGINT for what the kernel makes of Ctrl-Alt-Del; the real-time signals are those
// of systemd(1). In a container INT ends like TERM, because that is what the
// keyboard of `docker run -it` sends, and there is no emergency shell.
func Means(signal int, container bool) (m Meaning, ok bool) {
	switch signal {
	case sigTERM:
		return Meaning{InStop, ipc.Poweroff, "SIGTERM"}, true
	case sigINT:
		if container {
			return Meaning{InStop, ipc.Poweroff, "SIGINT"}, true
		}
		return Meaning{InStop, ipc.Reboot, "SIGINT"}, true
	case sigUSR1:
		return Meaning{InStop, ipc.Reboot, "SIGUSR1"}, true
	case sigUSR2:
		return Meaning{In: InEmergency, Name: "SIGUSR2"}, !container
	case sigHUP, sigWINCH, sigPWR:
		return Meaning{In: InForward, Name: signalName(signal)}, true
	}
	n := signal - sigRTMIN
	if n < 0 || n >= len(realtime) || realtime[n] == 0 {
		return Meaning{}, false
	}
	m = Meaning{Name: realtimeNames[n]}
	switch {
	case n >= 20 || n <= 2:
		m.In = InForward
	case n >= 13:
		m.In, m.Kind = InForce, ipc.Shutdown(realtime[n])
	default:
		m.In, m.Kind = InStop, ipc.Shutdown(realtime[n])
	}
	return m, true
}

// forward marks a real-time signal that is the manager's business.
const forward = 0xff

var realtime = [31]uint8{
	0: forward, 1: forward, 2: forward,
	3: uint8(ipc.Halt), 4: uint8(ipc.Poweroff), 5: uint8(ipc.Reboot), 6: uint8(ipc.Kexec), 7: uint8(ipc.SoftReboot),
	13: uint8(ipc.Halt), 14: uint8(ipc.Poweroff), 15: uint8(ipc.Reboot), 16: uint8(ipc.Kexec), 17: uint8(ipc.SoftReboot),
	20: forward, 21: forward, 22: forward, 23: forward, 24: forward, 25: forward, 26: forward, 27: forward, 28: forward, 29: forward,
}

var realtimeNames = [31]string{"SIGRTMIN+0", "SIGRTMIN+1", "SIGRTMIN+2", "SIGRTMIN+3", "SIGRTMIN+4", "SIGRTMIN+5", "SIGRTMIN+6",
	"SIGRTMIN+7", "SIGRTMIN+8", "SIGRTMIN+9", "SIGRTMIN+10", "SIGRTMIN+11", "SIGRTMIN+12", "SIGRTMIN+13", "SIGRTMIN+14",
	"SIGRTMIN+15", "SIGRTMIN+16", "SIGRTMIN+17", "SIGRTMIN+18", "SIGRTMIN+19", "SIGRTMIN+20", "SIGRTMIN+21", "SIGRTMIN+22",
	"SIGRTMIN+23", "SIGRTMIN+24", "SIGRTMIN+25", "SIGRTMIN+26", "SIGRTMIN+27", "SIGRTMIN+28", "SIGRTMIN+29", "SIGRTMIN+30"}

func signalName(signal int) string {
	switch signal {
	case sigHUP:
		return "SIGHUP"
	case sigWINCH:
		return "SIGWINCH"
	case sigPWR:
		return "SIGPWR"
	}
	return "?"
}
