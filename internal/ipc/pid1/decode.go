package pid1

import (
	"math"

	"dynamod/internal/ipc/frame"
)

// Decode reads a payload as frame.Next gives it. It is as lenient as frame.Open
// and strict about every value. After an error m is not to be used.
func Decode(payload []byte, m *Message) error {
	*m = Message{}
	e, err := frame.Open(payload)
	if err != nil {
		return err
	}
	m.ID, m.InReplyTo, m.Form = e.ID, e.InReplyTo, e.Form
	m.Kind = kindOf(e.Variant)
	if m.Kind == 0 || (e.Fields == nil) != (len(shapes[m.Kind].fields) == 0) {
		return errUnknown
	}
	if e.Fields == nil {
		return nil
	}
	s := &shapes[m.Kind]
	r := frame.NewReader(e.Fields)
	seen := 0
	n, named := r.Entries()
	for i := range n {
		f := i
		if named {
			f = s.field(r.Key())
		}
		if f >= len(s.fields) {
			r.Skip()
			continue
		}
		decodeField(&r, m, f)
		seen |= 1 << f
	}
	if must := 1<<s.required - 1; seen&must != must {
		r.Fail(frame.Truncated)
	}
	return r.End()
}

func kindOf(name []byte) Kind {
	for k := Kind(1); k < numKinds; k++ {
		if shapes[k].name == string(name) {
			return k
		}
	}
	return 0
}

func (s *shape) field(name []byte) int {
	for i, f := range s.fields {
		if f == string(name) {
			return i
		}
	}
	return len(s.fields)
}

func decodeField(r *frame.Reader, m *Message, i int) {
	switch m.Kind {
	case RequestShutdown:
		switch i {
		case 0:
			m.Shutdown = Shutdown(decodeWord(r, shutdownWords[:]))
		case 1:
			m.Urgency = Urgency(r.Uint(uint64(Immediate)))
		case 2:
			m.Text = r.Str(MaxArgument)
		}
	case ShutdownSignal:
		m.Text = r.Str(MaxSignal)
	case LogToKmsg:
		if i == 0 {
			m.Level = uint8(r.Uint(7))
		} else {
			m.Text = r.Str(MaxText)
		}
	case Hello:
		m.Count = uint32(r.Uint(math.MaxUint32))
	case Kept, Deposit, Withdraw:
		switch i {
		case 0:
			m.Unit = r.Str(MaxName)
		case 1:
			m.Name = r.Str(MaxName)
		case 2:
			m.Count = uint32(r.Uint(MaxFDs))
		}
	case Exited:
		decodeExit(r, &m.Exit, i)
	case HelloDone:
		m.Lost = r.Uint(math.MaxUint64)
	case Deposited:
		if i == 0 {
			m.Result = Result(decodeWord(r, resultWords[:]))
		} else {
			m.Count = uint32(r.Uint(math.MaxUint32))
		}
	case BootDone, Gate:
		m.Flag = r.Bool()
	case Watchdog:
		switch i {
		case 0:
			m.Setting = Setting(r.Uint(uint64(KexecWatchdog)))
		case 1:
			m.Usec = r.Uint(math.MaxUint64)
		case 2:
			m.Text = r.Str(MaxGovernor)
		}
	case BootPolicy, BootLate:
		if i == 0 && m.Kind == BootPolicy {
			m.Usec = r.Uint(MaxBootUsec)
		} else {
			m.Action = BootAction(decodeWord(r, bootActionWords[:]))
		}
	case WatchdogIs:
		switch i {
		case 5:
			m.Name = r.Str(MaxName)
		case 6:
			m.Text = r.Str(MaxGovernor)
		case 7:
			m.Count = uint32(r.Uint(math.MaxUint32))
		default:
			*m.Dog.at(i) = r.Uint(math.MaxUint64)
		}
	}
}

func decodeExit(r *frame.Reader, e *Exit, i int) {
	switch i {
	case 0:
		e.PID = int32(r.Int(1, math.MaxInt32))
	case 1:
		e.Start = r.Uint(math.MaxUint64)
	case 2:
		e.Code = int32(r.Int(0, 255))
	case 3:
		e.Signal = int32(r.Int(0, 64))
	case 4:
		e.Core = r.Bool()
	case 5:
		e.At = r.Uint(math.MaxUint64)
	}
}

// decodeWord reads one of words and returns its index, which is not 0.
func decodeWord(r *frame.Reader, words []string) int {
	w := r.Str(MaxName)
	for i, s := range words {
		if s != "" && s == string(w) {
			return i
		}
	}
	r.Fail(frame.Unknown)
	return 0
}

// Next looks for the first frame of p, as frame.Next does. A buffer of MaxFrame
// bytes always makes progress.
func Next(p []byte) (payload []byte, n int, err error) {
	return frame.Next(p, MaxFrame-frame.HeaderLen)
}
