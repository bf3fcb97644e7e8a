package pid1

import (
	"math/bits"

	ipc "dynamod/internal/ipc/pid1"
)

// maxAnswers bounds the answers that wait for a manager to read. When they are too
// many the shell stops reading from it: it is held up by itself alone.
const maxAnswers = 64

// outbox is what the manager has to be told, besides what is kept and who ended.
type outbox struct {
	acks    int
	late    bool   // the boot has failed
	stop    bool   // the signal of the ordered stop
	signals uint64 // the others, one bit each: twice the same in a row is once
	done    bool   // HelloDone
	helloID uint64

	answers [maxAnswers]answer
	first   int
	n       int
}

type answer struct {
	id     uint64
	result ipc.Result
	free   uint32
	// dog says that it answers a Watchdog; free is the errno then.
	dog bool
}

func (o *outbox) signal(s int) { o.signals |= 1 << (s - 1) }

// hangUp forgets what was for the manager that died; signals are for the next.
func (o *outbox) hangUp() { o.acks, o.done, o.n = 0, false, 0 }

func (o *outbox) answer(a answer) {
	o.answers[(o.first+o.n)%maxAnswers] = a
	o.n++
}

// newest is the answer that was made last.
func (o *outbox) newest() *answer { return &o.answers[(o.first+o.n+maxAnswers-1)%maxAnswers] }

// Full asks the shell not to read from the manager before it has sent something.
func (m *Machine) Full() bool { return m.out.n >= maxAnswers-1 || m.out.acks >= maxAnswers }

// Next fills msg and fds with what is to be sent next; n is how many descriptors go
// along. What it has given once counts as sent. Texts are valid until the next call.
func (m *Machine) Next(now Time, msg *ipc.Message, fds *[ipc.MaxFDs]int32) (n int, ok bool) {
	if m.manager == 0 {
		return 0, false
	}
	o := &m.out
	switch {
	case o.acks > 0:
		o.acks--
		*msg = ipc.Message{Kind: ipc.HeartbeatAck}
		return 0, true
	case o.n > 0:
		a := o.answers[o.first]
		o.first, o.n = (o.first+1)%maxAnswers, o.n-1
		if a.dog { // the shell knows the rest
			*msg = ipc.Message{Kind: ipc.WatchdogIs, InReplyTo: a.id, ID: a.id, Count: a.free}
			return 0, true
		}
		*msg = ipc.Message{Kind: ipc.Deposited, InReplyTo: a.id, ID: a.id, Result: a.result, Count: a.free}
		return 0, true
	}
	if m.greeted {
		if n, ok = m.keep.step(msg, fds); ok {
			return n, true
		}
		if e, ok := m.exits.step(now); ok {
			*msg = ipc.Message{Kind: ipc.Exited, Exit: e}
			return 0, true
		}
		if o.done {
			o.done = false
			*msg = ipc.Message{Kind: ipc.HelloDone, ID: o.helloID, InReplyTo: o.helloID, Lost: m.exits.lost}
			m.exits.lost = 0
			return 0, true
		}
	}
	switch {
	case o.late && m.talks:
		o.late = false
		*msg = ipc.Message{Kind: ipc.BootLate, Action: m.cfg.BootAction}
		return 0, true
	case o.stop && m.talks:
		o.stop = false
		return 0, m.tell(msg, m.stop.Name)
	case o.signals != 0 && m.talks:
		s := bits.TrailingZeros64(o.signals) + 1
		o.signals &^= 1 << (s - 1)
		meaning, _ := Means(s, m.cfg.Container)
		return 0, m.tell(msg, meaning.Name)
	}
	return 0, false
}

func (m *Machine) tell(msg *ipc.Message, signal string) bool {
	*msg = ipc.Message{Kind: ipc.ShutdownSignal, Text: m.signalText[:copy(m.signalText[:], signal)]}
	return true
}
