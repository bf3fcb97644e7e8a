package pid1

import (
	"slices"
	"testing"

	ipc "dynamod/internal/ipc/pid1"
)

// random turns bytes into events of every kind, and checks after each of them what
// must always hold.
type history struct {
	t       *testing.T
	m       *Machine
	now     Time
	fds     map[int32]bool // given to the machine and neither closed nor refused
	nextFD  int32
	manager int32
	over    bool
}

func (h *history) step(e Event) {
	spawn := false
	for _, o := range h.m.Step(h.now, &e) {
		if h.over {
			h.t.Fatalf("order %d after Finish", o.Kind)
		}
		switch o.Kind {
		case Spawn:
			if h.manager != 0 {
				h.t.Fatal("a second manager beside the first")
			}
			if h.m.State() == Shell {
				h.t.Fatal("a manager beside the emergency shell")
			}
			spawn = true
		case StartShell:
			if h.manager != 0 || spawn {
				h.t.Fatal("the emergency shell beside a manager")
			}
		case CloseFD:
			if !h.fds[o.FD] {
				h.t.Fatalf("descriptor %d closed twice, or never given", o.FD)
			}
			delete(h.fds, o.FD)
		case Finish:
			h.over = true
			if h.m.End().Kind == 0 {
				h.t.Fatal("an end of no kind")
			}
		}
	}
	if len(h.fds) != h.m.Kept() {
		h.t.Fatalf("%d descriptors are kept, %d are open", h.m.Kept(), len(h.fds))
	}
	if _, ok := h.m.Deadline(); !ok && !h.over && h.m.State() != Shell {
		h.t.Fatalf("state %s has no deadline: nothing need ever happen again", h.m.State())
	}
	if spawn {
		h.manager = 100 + h.manager
		h.step(Event{Kind: Spawned, Number: int64(h.manager)})
	}
}

func (h *history) run(data []byte) {
	take := func() int {
		if len(data) == 0 {
			return 0
		}
		b := data[0]
		data = data[1:]
		return int(b)
	}
	names := [][]byte{[]byte("a"), []byte("b"), nil}
	h.step(Event{Kind: Began})
	for len(data) > 0 && !h.over {
		switch take() % 16 {
		case 0:
			h.now += Time(take()) * Second / 10
		case 1, 2:
			if at, ok := h.m.Deadline(); ok {
				h.now = max(h.now, at)
			}
			h.step(Event{Kind: DeadlinePassed})
		case 3:
			if h.manager != 0 {
				pid := h.manager
				h.manager = 0
				h.step(Event{Kind: Reaped, Exit: ipc.Exit{PID: pid}})
			}
		case 4:
			h.step(Event{Kind: Reaped, Exit: ipc.Exit{PID: int32(5000 + take()), Start: 1}})
		case 5:
			h.step(Event{Kind: Signalled, Number: int64(1 + take()%MaxSignal)})
		case 6:
			h.step(Event{Kind: EventKind(1 + take()%int(Junk)), Number: 0, Message: &ipc.Message{Kind: ipc.Heartbeat}})
		case 7, 8:
			var msg ipc.Message
			var fds [ipc.MaxFDs]int32
			for range take() % 40 {
				n, ok := h.m.Next(h.now, &msg, &fds)
				for _, fd := range fds[:n] {
					if !h.fds[fd] {
						h.t.Fatalf("descriptor %d handed over, but it is closed", fd)
					}
				}
				var room [ipc.MaxFrame]byte
				if _, err := ipc.Append(room[:0], &msg); ok && err != nil {
					h.t.Fatalf("%s cannot be sent: %v", msg.Kind, err)
				}
			}
		default:
			if h.manager == 0 || h.m.Full() {
				continue
			}
			msg := ipc.Message{Kind: ipc.Kind(1 + take()%14), ID: 9, Unit: names[take()%3], Name: names[take()%3]}
			msg.Shutdown, msg.Urgency = ipc.Shutdown(1+take()%5), ipc.Urgency(take()%3)
			msg.Flag = take()%2 == 0
			var fds []int32
			for range take() % 8 {
				h.nextFD++
				fds = append(fds, h.nextFD)
				h.fds[h.nextFD] = true
			}
			msg.Count = uint32(len(fds))
			if take()%8 == 0 {
				msg.Count++
			}
			h.step(Event{Kind: Received, Message: &msg, FDs: fds})
		}
	}
}

// FuzzHistory: whatever happens in whatever order, there is never a second manager,
// no descriptor is lost or closed twice, something is always going to happen, and
// when the stop has been asked for it ends.
func FuzzHistory(f *testing.F) {
	f.Add([]byte{1, 9, 0, 0, 0, 0, 0, 0, 3, 1, 3, 1, 5, 14, 0, 255, 1, 1})
	f.Add([]byte{1, 9, 10, 1, 1, 0, 0, 0, 5, 1, 7, 30, 3, 1, 9, 5, 0, 0, 0, 0, 0, 0, 7, 200, 5, 11})
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg := Defaults()
		if len(data) > 0 {
			cfg.Container = data[0]%2 == 1
			cfg.BootAction = ipc.BootAction(data[0]/2%3 + 1)
			cfg.Feed = 10 * Second
		}
		h := &history{t: t, m: new(Machine), now: Second, fds: map[int32]bool{}, nextFD: 10}
		h.m.Init(cfg)
		h.run(data)
		if h.over {
			return
		}
		// From anywhere, SIGTERM leads to the end without any help, at the
		// latest when every time-out has passed.
		if h.m.State() == Shell {
			h.step(Event{Kind: ShellEnded})
		}
		h.step(Event{Kind: Signalled, Number: 15})
		end := h.now + 3*(cfg.StopWait+cfg.StartGrace)
		for !h.over {
			at, ok := h.m.Deadline()
			if !ok || at > end {
				t.Fatalf("state %s does not end", h.m.State())
			}
			h.now = max(h.now, at)
			h.step(Event{Kind: DeadlinePassed})
		}
	})
}

// TestNothingAllocates: no event of the running part, no codec, costs memory.
func TestNothingAllocates(t *testing.T) {
	m := new(Machine)
	cfg := Defaults()
	cfg.Feed = Second
	m.Init(cfg)
	now := Second
	m.Step(now, &Event{Kind: Began})
	m.Step(now, &Event{Kind: DeadlinePassed})
	m.Step(now, &Event{Kind: Spawned, Number: 10})
	var in, out ipc.Message
	var fds [ipc.MaxFDs]int32
	buf := make([]byte, 0, ipc.MaxFrame)
	frames := [][]byte{}
	for _, msg := range []ipc.Message{
		{Kind: ipc.Hello, Count: 1}, {Kind: ipc.Heartbeat}, {Kind: ipc.BootPolicy, Usec: 1e6, Action: ipc.BootReboot}, {Kind: ipc.BootDone}, {Kind: ipc.Gate, Flag: true},
		{Kind: ipc.Watchdog, ID: 7, Setting: ipc.RuntimeWatchdog, Usec: 1},
		{Kind: ipc.Deposit, Unit: []byte("a.service"), Name: []byte("x"), Count: 2},
		{Kind: ipc.LogToKmsg, Level: 3, Text: []byte("a line")},
		{Kind: ipc.Withdraw, Unit: []byte("a.service"), Name: []byte("x")},
	} {
		b, err := ipc.Append(buf, &msg)
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, slices.Clone(b))
	}
	text := make([]byte, 0, 512)
	given := []int32{50, 51}
	allocs := testing.AllocsPerRun(100, func() {
		now += Second
		for _, f := range frames {
			payload, _, err := ipc.Next(f)
			if err != nil || ipc.Decode(payload, &in) != nil {
				t.Fatal("a frame of ours is not understood")
			}
			claim := given[:0]
			if in.Kind == ipc.Deposit {
				claim = given
			}
			e := Event{Kind: Received, Message: &in, FDs: claim}
			for _, o := range m.Step(now, &e) {
				if o.Kind == Say {
					text = o.Notice.Text(text[:0], o.Number)
				}
			}
			for {
				if _, ok := m.Next(now, &out, &fds); !ok {
					break
				}
				if _, err := ipc.Append(buf, &out); err != nil {
					t.Fatal(err)
				}
			}
		}
		m.Step(now, &Event{Kind: Reaped, Exit: ipc.Exit{PID: 500}})
		m.Step(now, &Event{Kind: Signalled, Number: 1})
		m.Step(now, &Event{Kind: DeadlinePassed})
		m.Deadline()
	})
	if allocs != 0 {
		t.Errorf("%v allocations per round; want 0", allocs)
	}
}
