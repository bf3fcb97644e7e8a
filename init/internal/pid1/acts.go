package pid1

import ipc "dynamod/internal/ipc/pid1"

const milli = 1e6

// do carries out an act. docs/pid1.md describes each.
func (m *Machine) do(now Time, a Act, in Input, e *Event) {
	switch a {
	case Ignore:
	case ActSpawn:
		m.order(Order{Kind: Spawn})
	case ActUp, ActUpStopping:
		m.managerUp(now, a == ActUpStopping)
	case ActSpawnFailed:
		m.say(ManagerSpawnFailed, e.Number)
		m.died(now, 0)
	case ActDied:
		m.managerDied(now)
	case ActDiedStopping:
		m.diedStopping(now)
	case ActShell:
		if m.stopping {
			m.diedStopping(now)
			break
		}
		m.startShell(now)
	case ActClear:
		m.clear(now)
	case ActShellEnded:
		m.say(EmergencyLeft, 0)
		m.rapid, m.delay, m.shellLeft = 0, m.cfg.DelayMin, now
		m.enter(Down)
		m.set(slotDelay, now)
	case ActShellFailed:
		m.say(EmergencyFailed, e.Number)
		m.rapid, m.delay = 0, m.cfg.DelayMax
		m.enter(Down)
		m.wait(now)
	case ActBeat:
		m.talks = true
		m.beat = now
		m.out.acks++
		m.set(slotHung, now+m.cfg.Heartbeat*Time(m.cfg.Missed))
		m.sayCounts()
	case ActHello:
		m.greeted, m.talks = true, true
		m.out.done, m.out.helloID = true, e.Message.ID
		m.out.late = m.boot == Failed // this one may not know
		if m.exits.lost > 0 {
			m.say(ExitsLost, int64(m.exits.lost))
		}
		m.keep.replay()
		m.exits.replay(now)
	case ActDeaf:
		// Its end may be on the way: the channel closes before the process is
		// gone. If not, it can neither beat nor be told anything.
		m.deaf = true
		m.set(slotHung, min(m.deadlines[slotHung], now+m.cfg.Heartbeat))
	case ActAbort:
		if m.deaf {
			m.say(ManagerDeaf, 0)
		} else {
			m.say(ManagerHangs, int64((now-m.beat)/milli))
		}
		m.order(Order{Kind: SignalManager, Signal: sigABRT})
		m.enter(Aborting)
		m.set(slotPhase, now+m.cfg.AbortWait)
	case ActKill:
		m.killLate(now, Killing)
	case ActKillAgain:
		if m.stopping {
			m.say(StopFailed, 0)
			m.term(now)
			break
		}
		m.killLate(now, m.state)
	case ActAsk:
		m.ask(now)
	case ActStopNoted:
		m.stopping = true
		m.say(StopAsked, 0)
	case ActStopDown:
		m.say(StopWithoutManager, 0)
		m.retried = m.state == Shell && m.rapid >= m.cfg.Rapid
		m.stopDown(now)
	case ActAgain:
		m.say(StopAlready, 0)
	case ActForward:
		m.out.signal(int(e.Number))
	case ActTerm:
		m.requestOrTimeout(now, in, e)
	case ActKillAll, ActForce:
		if a == ActForce {
			m.say(StopForced, 0)
			m.settleEnd()
			m.end.Urgency = max(m.end.Urgency, ipc.Force)
		}
		m.killAll(now)
	case ActFinish:
		if in == InEmpty {
			m.say(EndingGone, 0)
		} else {
			m.say(EndingLeft, int64(m.cfg.KillWait/milli))
		}
		m.finish()
	case ActBootLate:
		m.bootLate(now)
	}
}

func (m *Machine) managerUp(now Time, stopping bool) {
	m.say(ManagerStarted, int64(m.manager))
	m.started, m.beat, m.deaf = now, now, false
	s := Up
	phase := m.deadlines[slotPhase]
	if stopping {
		s = Stopping
		m.out.stop = true
	}
	m.enter(s)
	if stopping {
		m.set(slotPhase, phase)
	}
	m.set(slotHung, now+m.cfg.StartGrace)
}

// managerDied: what now depends on what was under way.
func (m *Machine) managerDied(now Time) {
	if m.stopping {
		m.diedStopping(now)
		return
	}
	m.died(now, now-m.started)
}

// died counts a manager that lived for so long, and one that could not start.
func (m *Machine) died(now, life Time) {
	switch {
	case life >= m.cfg.Steady:
		m.rapid, m.delay = 0, m.cfg.DelayMin
	default:
		m.rapid++
	}
	if m.shellLeft != 0 && now-m.shellLeft < m.cfg.AfterShell {
		m.say(EmergencyInVain, int64((now-m.shellLeft)/milli))
		m.end.Kind = ipc.Reboot
		m.term(now)
		return
	}
	if m.rapid >= m.cfg.Rapid {
		m.say(TooManyDeaths, int64(m.rapid))
		if m.cfg.Container {
			m.end.Kind, m.end.Code = ipc.Poweroff, 1
			m.term(now)
			return
		}
		m.startShell(now)
		return
	}
	m.enter(Down)
	m.wait(now)
}

// wait sets the delay and doubles the next one.
func (m *Machine) wait(now Time) {
	m.say(ManagerWaits, int64(m.delay/milli))
	m.set(slotDelay, now+m.delay)
	m.delay = min(2*m.delay, m.cfg.DelayMax)
}

func (m *Machine) startShell(now Time) {
	if m.cfg.Container {
		m.say(EmergencyNotInContainer, 0)
		return
	}
	m.say(EmergencyEntered, 0)
	m.enter(Shell)
	m.order(Order{Kind: StartShell})
}

func (m *Machine) clear(now Time) {
	if m.cfg.Container {
		m.say(EmergencyNotInContainer, 0)
		return
	}
	m.kill(now, Clearing)
}

func (m *Machine) killLate(now Time, next State) {
	m.say(ManagerUnkillable, int64(m.cfg.AbortWait/milli))
	m.kill(now, next)
}

func (m *Machine) kill(now Time, next State) {
	m.order(Order{Kind: SignalManager, Signal: sigKILL})
	m.enter(next)
	m.set(slotPhase, now+m.cfg.AbortWait)
}

func (m *Machine) ask(now Time) {
	m.say(StopAsked, 0)
	m.stopping = true
	m.out.stop = true
	hung := m.deadlines[slotHung]
	m.enter(Stopping)
	m.set(slotHung, hung)
	m.set(slotPhase, now+m.cfg.StopWait)
}

// stopDown starts a manager that does the ordered stop: only it knows the order.
func (m *Machine) stopDown(now Time) {
	m.stopping = true
	m.enter(StopDown)
	m.set(slotDelay, now)
	m.set(slotPhase, now+m.cfg.StopWait)
}

// diedStopping: the next manager goes on with the stop where its snapshot says, but
// only one: two that die of it would make a machine that cannot be switched off.
func (m *Machine) diedStopping(now Time) {
	if m.retried {
		m.say(StopFailed, 0)
		m.term(now)
		return
	}
	m.retried = true
	m.say(StopWithoutManager, 0)
	m.stopDown(now)
}

// requestOrTimeout begins the end: by request, or because the ordered stop failed.
func (m *Machine) requestOrTimeout(now Time, in Input, e *Event) {
	switch in {
	case InRequest:
		r := e.Message
		m.end = End{Kind: r.Shutdown, Urgency: r.Urgency, Argument: m.argument[:copy(m.argument[:], r.Text)]}
	case InPhase:
		m.say(StopTimedOut, int64(m.cfg.StopWait/milli))
	case InSpawnFailed:
		m.say(ManagerSpawnFailed, e.Number)
		m.say(StopFailed, 0)
	}
	m.settleEnd()
	switch m.end.Urgency {
	case ipc.Orderly:
		m.term(now)
	case ipc.Force:
		m.killAll(now)
	default:
		m.finish()
	}
}

// settleEnd makes sure that there is a kind and, in a container, a code.
func (m *Machine) settleEnd() {
	if m.end.Kind == 0 {
		m.end.Kind = m.stop.Kind
	}
	if m.end.Kind == 0 {
		m.end.Kind = ipc.Poweroff
	}
	if m.end.Code != 0 {
		return
	}
	if code, ok := exitCode(m.end.Argument); ok {
		m.end.Code = code
	} else if m.end.Kind == ipc.Reboot {
		// What systemd-nspawn(1) takes as "start me again".
		m.end.Code = 133
	}
}

func exitCode(b []byte) (uint8, bool) {
	v := 0
	for _, c := range b {
		if c < '0' || c > '9' || len(b) > 3 {
			return 0, false
		}
		v = 10*v + int(c-'0')
	}
	return uint8(v), len(b) > 0 && v <= 255
}

func (m *Machine) term(now Time) {
	m.settleEnd()
	m.say(EndingTerm, int64(m.cfg.TermWait/milli))
	m.order(Order{Kind: SignalAll, Signal: sigTERM})
	m.enter(Terming)
	m.set(slotPhase, now+m.cfg.TermWait)
}

func (m *Machine) killAll(now Time) {
	m.say(EndingKill, int64(m.cfg.KillWait/milli))
	m.order(Order{Kind: SignalAll, Signal: sigKILL})
	m.enter(Ending)
	m.set(slotPhase, now+m.cfg.KillWait)
}

func (m *Machine) finish() {
	m.enter(Over)
	for s := range numSlots {
		m.set(s, never)
	}
	m.order(Order{Kind: Finish})
}

func (m *Machine) bootLate(now Time) {
	if m.boot != Pending {
		return
	}
	m.boot = Failed
	m.say(BootTooLate, int64((now-m.began)/milli))
	m.order(Order{Kind: ShowBoot, Boot: Failed})
	m.out.late = true
	switch m.cfg.BootAction {
	case ipc.BootReboot:
		if m.stop.Kind == 0 {
			m.stop = Meaning{InStop, ipc.Reboot, "SIGUSR1"}
		}
		m.input(now, InStop, nil)
	case ipc.BootEmergency:
		m.input(now, InEmergency, nil)
	}
}
