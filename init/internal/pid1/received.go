package pid1

import ipc "dynamod/internal/ipc/pid1"

// linesPer10s is how many lines of the manager go to the kernel log: enough for any
// boot, too few to push the kernel's own messages out of its buffer.
const linesPer10s = 200

// received takes a message of the manager. Descriptors that no Deposit keeps are
// closed. A dead manager's last words count: the shell reads its channel empty
// before it reports the end.
func (m *Machine) received(now Time, e *Event) {
	msg := e.Message
	if msg.Kind != ipc.Deposit {
		m.closeAll(e.FDs)
	}
	switch msg.Kind {
	case ipc.Heartbeat:
		m.input(now, InHeartbeat, e)
	case ipc.Hello:
		m.input(now, InHello, e)
	case ipc.RequestShutdown:
		m.input(now, InRequest, e)
	case ipc.LogToKmsg:
		m.line(now, msg)
	case ipc.Deposit:
		m.deposit(msg, e.FDs)
	case ipc.Withdraw:
		m.withdraw(msg)
	case ipc.BootDone:
		m.bootDone(now, msg.Flag)
	case ipc.BootPolicy:
		m.bootPolicy(msg)
	case ipc.Gate:
		m.gate = msg.Flag
	case ipc.Watchdog:
		// The shell says with WatchdogSet what came of it, before the answer goes out.
		m.out.answer(answer{id: msg.ID, dog: true})
		m.order(Order{Kind: SetWatchdog, Level: uint8(msg.Setting), Usec: msg.Usec, Text: msg.Text})
	default:
		// Ours alone to send.
		m.junk++
	}
}

func (m *Machine) closeAll(fds []int32) {
	for _, fd := range fds {
		m.order(Order{Kind: CloseFD, FD: fd})
	}
}

func (m *Machine) line(now Time, msg *ipc.Message) {
	if now-m.linesAt >= 10*Second {
		m.linesAt, m.lines = now, 0
	}
	if m.lines++; m.lines > linesPer10s {
		m.dropped++
		return
	}
	m.order(Order{Kind: LogLine, Level: msg.Level, Text: msg.Text})
}

func (m *Machine) deposit(msg *ipc.Message, fds []int32) {
	a := answer{id: msg.ID, result: ipc.OK}
	switch {
	case len(fds) != int(msg.Count):
		a.result = ipc.Mismatch
	case !m.keep.add(msg.Unit, msg.Name, fds):
		a.result = ipc.Full
		m.say(KeepingFull, int64(m.keep.n))
	}
	if a.result != ipc.OK {
		m.closeAll(fds)
	}
	a.free = m.keep.free()
	m.out.answer(a)
}

func (m *Machine) withdraw(msg *ipc.Message) {
	for {
		fd := m.keep.takeOne(msg.Unit, msg.Name)
		if fd < 0 {
			return
		}
		m.order(Order{Kind: CloseFD, FD: fd})
	}
}

// bootPolicy takes what the configuration says of a boot that takes too long, as far as
// nobody has said it at the start.
func (m *Machine) bootPolicy(msg *ipc.Message) {
	if m.boot != Pending {
		return
	}
	if !m.cfg.ActionFixed {
		m.cfg.BootAction = msg.Action
	}
	switch {
	case m.cfg.DeadlineFixed:
	case msg.Usec == 0:
		m.set(slotBoot, never)
	default: // it may be over already
		m.set(slotBoot, m.began+Time(msg.Usec)*1000)
	}
}

func (m *Machine) bootDone(now Time, degraded bool) {
	if m.boot != Pending {
		return
	}
	m.set(slotBoot, never)
	took := int64((now - m.began) / milli)
	if m.boot = BootOK; degraded {
		m.boot = Degraded
		m.say(BootIsDegraded, took)
	} else {
		m.say(BootIsOK, took)
	}
	m.order(Order{Kind: ShowBoot, Boot: m.boot})
}

// WatchdogSet says what came of the newest SetWatchdog: an errno(3), 0 if it holds, and
// how often the watchdog is to be fed from now on.
func (m *Machine) WatchdogSet(now Time, errno uint32, feed Time) {
	m.out.newest().free = errno
	if feed == m.cfg.Feed {
		return
	}
	m.cfg.Feed = feed
	if feed > 0 {
		m.set(slotFeed, now)
	} else {
		m.set(slotFeed, never)
	}
}
