package pid1

import "dynamod/internal/ipc/frame"

// room is what a frame needs besides its texts: envelope, variant, field names
// and numbers of the widest message (a test measures it).
const room = 208

// Append appends m as a frame to dst, which must have room for it: MaxFrame is
// always enough. When it fails dst is as it was.
func Append(dst []byte, m *Message) ([]byte, error) {
	if m.Kind == 0 || m.Kind >= numKinds {
		return dst, errUnknown
	}
	if len(m.Unit) > MaxName || len(m.Name) > MaxName || len(m.Text) > textLimit(m.Kind) {
		return dst, errTooLong
	}
	if cap(dst)-len(dst) < room+len(m.Unit)+len(m.Name)+len(m.Text) {
		return dst, errNoRoom
	}
	at := len(dst)
	s := &shapes[m.Kind]
	out := frame.BeginMessage(dst, &frame.Envelope{ID: m.ID, Form: s.form, InReplyTo: m.InReplyTo})
	if len(s.fields) == 0 {
		out = frame.AppendStr(out, s.name)
		return frame.End(out, at)
	}
	n := len(s.fields)
	if m.Kind == RequestShutdown {
		// What the original does not know is left out when it says nothing:
		// then the frame is the original's, byte for byte.
		if n = 1; m.Urgency != Orderly {
			n = 2
		}
		if len(m.Text) > 0 {
			n = 3
		}
	}
	out = frame.AppendStr(frame.AppendMap(out, 1), s.name)
	out = frame.AppendMap(out, n)
	for i := range n {
		out = frame.AppendStr(out, s.fields[i])
		var ok bool
		if out, ok = appendField(out, m, i); !ok {
			return dst, errUnknown
		}
	}
	return frame.End(out, at)
}

// appendField appends field i of the message's shape.
func appendField(out []byte, m *Message, i int) ([]byte, bool) {
	switch m.Kind {
	case RequestShutdown:
		switch i {
		case 0:
			if m.Shutdown == 0 || int(m.Shutdown) >= len(shutdownWords) {
				return out, false
			}
			return frame.AppendStr(out, shutdownWords[m.Shutdown]), true
		case 1:
			return frame.AppendUint(out, uint64(m.Urgency)), m.Urgency <= Immediate
		}
		return frame.AppendStr(out, m.Text), true
	case ShutdownSignal:
		return frame.AppendStr(out, m.Text), true
	case LogToKmsg:
		if i == 0 {
			return frame.AppendUint(out, uint64(m.Level)), m.Level <= 7
		}
		return frame.AppendStr(out, m.Text), true
	case Hello:
		return frame.AppendUint(out, uint64(m.Count)), true
	case Kept, Deposit, Withdraw:
		switch i {
		case 0:
			return frame.AppendStr(out, m.Unit), true
		case 1:
			return frame.AppendStr(out, m.Name), true
		}
		return frame.AppendUint(out, uint64(m.Count)), m.Count <= MaxFDs
	case Exited:
		return appendExit(out, &m.Exit, i), true
	case HelloDone:
		return frame.AppendUint(out, m.Lost), true
	case Deposited:
		if i == 0 {
			if m.Result == 0 || int(m.Result) >= len(resultWords) {
				return out, false
			}
			return frame.AppendStr(out, resultWords[m.Result]), true
		}
		return frame.AppendUint(out, uint64(m.Count)), true
	}
	if m.Kind == Watchdog {
		switch i {
		case 0:
			return frame.AppendUint(out, uint64(m.Setting)), m.Setting <= KexecWatchdog
		case 1:
			return frame.AppendUint(out, m.Usec), true
		}
		return frame.AppendStr(out, m.Text), true
	}
	if m.Kind == BootPolicy || m.Kind == BootLate {
		if i == 0 && m.Kind == BootPolicy {
			return frame.AppendUint(out, m.Usec), m.Usec <= MaxBootUsec
		}
		if m.Action == 0 || int(m.Action) >= len(bootActionWords) {
			return out, false
		}
		return frame.AppendStr(out, bootActionWords[m.Action]), true
	}
	if m.Kind == WatchdogIs {
		switch i {
		case 5:
			return frame.AppendStr(out, m.Name), true
		case 6:
			return frame.AppendStr(out, m.Text), true
		case 7:
			return frame.AppendUint(out, uint64(m.Count)), true
		}
		return frame.AppendUint(out, *m.Dog.at(i)), true
	}
	return appendBool(out, m.Flag), true // BootDone, Gate
}

// at is a number of the state by the place of its field.
func (d *Dog) at(i int) *uint64 {
	switch i {
	case 0:
		return &d.Runtime
	case 1:
		return &d.Pre
	case 2:
		return &d.Reboot
	case 3:
		return &d.Kexec
	}
	return &d.Pinged
}

func appendExit(out []byte, e *Exit, i int) []byte {
	switch i {
	case 0:
		return frame.AppendInt(out, int64(e.PID))
	case 1:
		return frame.AppendUint(out, e.Start)
	case 2:
		return frame.AppendInt(out, int64(e.Code))
	case 3:
		return frame.AppendInt(out, int64(e.Signal))
	case 4:
		return appendBool(out, e.Core)
	}
	return frame.AppendUint(out, e.At)
}

func appendBool(out []byte, v bool) []byte {
	if v {
		return append(out, 0xc3)
	}
	return append(out, 0xc2)
}

func textLimit(k Kind) int {
	switch k {
	case LogToKmsg:
		return MaxText
	case RequestShutdown:
		return MaxArgument
	case ShutdownSignal:
		return MaxSignal
	case Watchdog, WatchdogIs:
		return MaxGovernor
	}
	return 0
}
