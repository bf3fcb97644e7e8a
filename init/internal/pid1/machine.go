package pid1

import ipc "dynamod/internal/ipc/pid1"

// slot is a deadline. Each has one meaning in all states, so that one that fires
// late cannot be taken for another. When several are due, they are taken in this
// order: those that may lead away from a new manager come before the one that
// starts it, for an order that was given cannot be taken back.
type slot uint8

const (
	slotHung slot = iota
	slotPhase
	slotBoot
	slotDelay
	slotFeed
	numSlots
)

// never is a deadline that is not set.
const never = Time(1<<63 - 1)

// EventKind is what the shell reports.
type EventKind uint8

const (
	// Began: early boot is over.
	Began EventKind = iota + 1
	// DeadlinePassed: Deadline is due, or may be.
	DeadlinePassed
	// Spawned: the manager is process Number.
	Spawned
	// SpawnFailed: with error Number. A program that cannot be executed is told
	// like this as well, not by an exit.
	SpawnFailed
	// Reaped: a child ended; Exit. The machine knows which is the manager.
	Reaped
	// NoneLeft: there is no other process.
	NoneLeft
	// Received: Message came from the manager, with FDs.
	Received
	// Deaf: the channel was closed at the other end.
	Deaf
	// Signalled: PID 1 got signal Number.
	Signalled
	// ShellEnded: the emergency shell is over.
	ShellEnded
	// ShellFailed: it could not be started, with error Number.
	ShellFailed
	// Junk: Number bytes from the manager were no message.
	Junk
)

// Event is one report.
type Event struct {
	Kind    EventKind
	Number  int64
	Exit    ipc.Exit
	Message *ipc.Message
	FDs     []int32
}

// maxOrders is the most that one event may lead to: a Withdraw of everything.
const maxOrders = MaxKept + 16

// Machine is PID 1's mind. Its zero value is not ready: call Init.
type Machine struct {
	cfg       Config
	state     State
	deadlines [numSlots]Time
	orders    [maxOrders]Order
	n         int

	manager   int32 // 0: none lives
	started   Time
	beat      Time // the last one, or the start
	deaf      bool // it closed its channel
	delay     Time
	rapid     int
	greeted   bool // it said Hello: what was kept and missed may be sent
	talks     bool // it said anything: it reads what it is told
	shellLeft Time // when the emergency shell was left, 0 for never

	stop     Meaning
	stopping bool // the ordered stop was asked for, whatever became of the manager
	retried  bool // and one manager died of it already
	end      End
	argument [ipc.MaxArgument]byte
	ints     [3]Time // when the last SIGINTs came

	began Time
	boot  Boot
	gate  bool

	lines   int // of the manager's since linesAt
	linesAt Time
	dropped int64
	junk    int64

	keep       keeper
	exits      exits
	out        outbox
	signalText [ipc.MaxSignal]byte
}

// Init makes m ready.
func (m *Machine) Init(cfg Config) {
	m.cfg, m.gate, m.delay = cfg, true, cfg.DelayMin
	for i := range m.deadlines {
		m.deadlines[i] = never
	}
}

// State is where the machine is.
func (m *Machine) State() State { return m.state }

// Manager is the number of the manager's process, 0 when there is none.
func (m *Machine) Manager() int32 { return m.manager }

// End is how it ends, for Finish.
func (m *Machine) End() *End { return &m.end }

// Reason is the signal's name that began the shutdown, for the console.
func (m *Machine) Reason() string { return m.stop.Name }

// Kept is how many descriptors are kept.
func (m *Machine) Kept() int { return int(m.keep.n) }

// Deadline is when DeadlinePassed is due; ok is false for never.
func (m *Machine) Deadline() (at Time, ok bool) {
	at = never
	for _, d := range m.deadlines {
		at = min(at, d)
	}
	return at, at != never
}

// Step takes an event in. Its orders are valid until the next call.
func (m *Machine) Step(now Time, e *Event) []Order {
	m.n = 0
	switch e.Kind {
	case Began:
		m.begin(now)
	case DeadlinePassed:
		m.expire(now)
	case Spawned:
		m.manager = int32(e.Number)
		m.input(now, InSpawned, e)
	case SpawnFailed:
		m.input(now, InSpawnFailed, e)
	case Reaped:
		m.reaped(now, e)
	case NoneLeft:
		m.input(now, InEmpty, e)
	case Received:
		m.received(now, e)
	case Deaf:
		m.input(now, InDeaf, e)
	case Signalled:
		m.signalled(now, int(e.Number))
	case ShellEnded:
		m.input(now, InShellEnded, e)
	case ShellFailed:
		m.input(now, InShellFailed, e)
	case Junk:
		m.junk += e.Number
	}
	return m.orders[:m.n]
}

func (m *Machine) order(o Order) {
	m.orders[m.n] = o
	m.n++
}

func (m *Machine) say(n Notice, number int64) {
	m.order(Order{Kind: Say, Notice: n, Number: number})
}

func (m *Machine) set(s slot, at Time) { m.deadlines[s] = at }

// enter is the only place where the state changes. What belonged to the former one
// ends here: its phase, and the manager's beat where nobody waits for it.
func (m *Machine) enter(s State) {
	m.state = s
	m.set(slotPhase, never)
	if s != Up && s != Stopping {
		m.set(slotHung, never)
	}
	if s != Down && s != StopDown {
		m.set(slotDelay, never)
	}
}

func (m *Machine) begin(now Time) {
	m.began = now
	if m.cfg.BootDeadline > 0 {
		m.set(slotBoot, now+m.cfg.BootDeadline)
	}
	if m.cfg.Feed > 0 {
		m.set(slotFeed, now+m.cfg.Feed)
	}
	m.order(Order{Kind: ShowBoot, Boot: Pending})
	m.set(slotDelay, now)
	if m.cfg.Emergency {
		m.startShell(now)
	}
}

func (m *Machine) expire(now Time) {
	for s := range numSlots {
		if m.deadlines[s] > now {
			continue
		}
		m.set(s, never)
		switch s {
		case slotDelay:
			m.input(now, InDelay, nil)
		case slotHung:
			m.input(now, InHung, nil)
		case slotPhase:
			m.input(now, InPhase, nil)
		case slotBoot:
			m.input(now, InBootLate, nil)
		case slotFeed:
			m.set(slotFeed, now+m.cfg.Feed)
			if m.mayFeed() {
				m.order(Order{Kind: Feed})
			}
		}
	}
}

// mayFeed: while somebody who may judge says that the machine is well, or PID 1
// itself knows that it is on its way down or in the hands of an operator.
func (m *Machine) mayFeed() bool {
	switch m.state {
	case Up, Stopping:
		return m.gate
	case Shell, Terming, Ending:
		return true
	}
	return false
}

func (m *Machine) reaped(now Time, e *Event) {
	if m.manager == 0 || e.Exit.PID != m.manager {
		m.exits.add(e.Exit)
		return
	}
	if e.Exit.Signal != 0 {
		m.say(ManagerKilled, int64(e.Exit.Signal))
	} else if m.state != Terming && m.state != Ending {
		m.say(ManagerExited, int64(e.Exit.Code))
	}
	m.sayCounts()
	m.manager = 0
	m.greeted, m.talks = false, false
	m.gate = true
	m.out.hangUp()
	m.keep.sending = false
	m.order(Order{Kind: HangUp})
	m.input(now, InDied, e)
}

// sayCounts tells what was dropped since the last time.
func (m *Machine) sayCounts() {
	if m.dropped > 0 {
		m.say(LinesDropped, m.dropped)
		m.dropped = 0
	}
	if m.junk > 0 {
		m.say(FramesDropped, m.junk)
		m.junk = 0
	}
}

func (m *Machine) signalled(now Time, signal int) {
	meaning, ok := Means(signal, m.cfg.Container)
	if !ok {
		return
	}
	in := meaning.In
	if signal == sigINT {
		m.ints[0], m.ints[1], m.ints[2] = m.ints[1], m.ints[2], now
		if m.ints[0] != 0 && now-m.ints[0] <= 5*Second {
			in = InForce
		}
	}
	if meaning.Kind != 0 && m.stop.Kind == 0 {
		m.stop = meaning
	}
	if meaning.In == InForce && m.state != Over {
		m.end.Kind = meaning.Kind
	}
	m.input(now, in, &Event{Number: int64(signal)})
}

// input looks the act up and does it.
func (m *Machine) input(now Time, in Input, e *Event) {
	m.do(now, table[m.state][in], in, e)
}
