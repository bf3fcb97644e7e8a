package pid1

import (
	"fmt"
	"strings"
	"testing"

	ipc "dynamod/internal/ipc/pid1"
)

// world drives a machine and writes down what it orders and sends.
type world struct {
	t    *testing.T
	m    *Machine
	now  Time
	log  []string
	next int32 // the next manager's number
}

func newWorld(t *testing.T, change func(*Config)) *world {
	cfg := Defaults()
	if change != nil {
		change(&cfg)
	}
	w := &world{t: t, m: new(Machine), now: 1000 * Second, next: 10}
	w.m.Init(cfg)
	return w
}

// step tells the machine, answers Spawn as a machine would whose manager starts, and
// collects what is sent.
func (w *world) step(e Event) {
	w.t.Helper()
	spawn := false
	for _, o := range w.m.Step(w.now, &e) {
		switch o.Kind {
		case Spawn:
			w.log = append(w.log, "spawn")
			spawn = true
		case SignalManager:
			w.log = append(w.log, fmt.Sprintf("signal-manager %d", o.Signal))
		case SignalAll:
			w.log = append(w.log, fmt.Sprintf("signal-all %d", o.Signal))
		case StartShell:
			w.log = append(w.log, "shell")
		case CloseFD:
			w.log = append(w.log, fmt.Sprintf("close %d", o.FD))
		case ShowBoot:
			w.log = append(w.log, "boot "+o.Boot.String())
		case Feed:
			w.log = append(w.log, "feed")
		case LogLine:
			w.log = append(w.log, "line "+string(o.Text))
		case Finish:
			w.log = append(w.log, fmt.Sprintf("finish %s %d %d", w.m.End().Kind, w.m.End().Urgency, w.m.End().Code))
		}
	}
	if spawn {
		w.next++
		w.step(Event{Kind: Spawned, Number: int64(w.next)})
		return
	}
	w.drain()
}

func (w *world) drain() {
	var msg ipc.Message
	var fds [ipc.MaxFDs]int32
	for {
		n, ok := w.m.Next(w.now, &msg, &fds)
		if !ok {
			return
		}
		line := "> " + msg.Kind.String()
		switch msg.Kind {
		case ipc.ShutdownSignal:
			line += " " + string(msg.Text)
		case ipc.Kept:
			line += fmt.Sprintf(" %s %s %v", msg.Unit, msg.Name, fds[:n])
		case ipc.Exited:
			line += fmt.Sprintf(" %d", msg.Exit.PID)
		case ipc.HelloDone:
			line += fmt.Sprintf(" %d", msg.Lost)
		case ipc.Deposited:
			line += fmt.Sprintf(" %s %d", msg.Result, msg.Count)
		}
		w.log = append(w.log, line)
	}
}

// pass lets time go by, deadline after deadline.
func (w *world) pass(d Time) {
	w.t.Helper()
	end := w.now + d
	for {
		at, ok := w.m.Deadline()
		if !ok || at > end {
			break
		}
		w.now = max(w.now, at)
		w.step(Event{Kind: DeadlinePassed})
	}
	w.now = end
}

func (w *world) message(m ipc.Message, fds ...int32) {
	w.t.Helper()
	w.step(Event{Kind: Received, Message: &m, FDs: fds})
}

func (w *world) hello()       { w.t.Helper(); w.message(ipc.Message{Kind: ipc.Hello, ID: 1, Count: 1}) }
func (w *world) beat()        { w.t.Helper(); w.message(ipc.Message{Kind: ipc.Heartbeat, ID: 2}) }
func (w *world) signal(n int) { w.t.Helper(); w.step(Event{Kind: Signalled, Number: int64(n)}) }
func (w *world) begin()       { w.t.Helper(); w.step(Event{Kind: Began}); w.pass(0) }
func (w *world) die()         { w.t.Helper(); w.reap(w.m.Manager()) }
func (w *world) reap(pid int32) {
	w.t.Helper()
	w.step(Event{Kind: Reaped, Exit: ipc.Exit{PID: pid, Start: uint64(pid) * 7}})
}
func (w *world) none() { w.t.Helper(); w.step(Event{Kind: NoneLeft}) }
func (w *world) request(k ipc.Shutdown, u ipc.Urgency, arg string) {
	w.t.Helper()
	w.message(ipc.Message{Kind: ipc.RequestShutdown, Shutdown: k, Urgency: u, Text: []byte(arg)})
}

// live beats for so long.
func (w *world) live(d Time) {
	for ; d > 0; d -= w.m.cfg.Heartbeat {
		w.beat()
		w.pass(min(d, w.m.cfg.Heartbeat))
	}
}

// expect compares what happened since the last time.
func (w *world) expect(want ...string) {
	w.t.Helper()
	if got := strings.Join(w.log, "\n"); got != strings.Join(want, "\n") {
		w.t.Errorf("in state %s: happened\n\t%s\nwant\n\t%s", w.m.State(), strings.Join(w.log, "\n\t"), strings.Join(want, "\n\t"))
	}
	w.log = nil
}

func (w *world) in(s State) {
	w.t.Helper()
	if w.m.State() != s {
		w.t.Errorf("State() = %s; want %s", w.m.State(), s)
	}
}

// TestDelaysDouble: 0.5 s, doubled, from the start again after a manager that lived
// for 30 s (W9 of the original: always 0.5 s).
func TestDelaysDouble(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Rapid = 100; c.BootDeadline = 0 })
	w.begin()
	for _, want := range []Time{500, 1000, 2000, 4000, 8000, 16000, 30000, 30000} {
		w.die()
		at, _ := w.m.Deadline()
		if got := (at - w.now) / 1e6; got != want {
			t.Errorf("delay = %d ms; want %d", got, want)
		}
		w.pass(at - w.now)
	}
	w.live(31 * Second)
	w.die()
	if at, _ := w.m.Deadline(); at-w.now != Second/2 {
		t.Errorf("after a long life the delay is %d ns; want 500 ms", at-w.now)
	}
}

func TestFiveRapidDeathsAreAnEmergency(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.BootDeadline = 0 })
	w.begin()
	for range 4 {
		w.die()
		w.pass(30 * Second)
		w.in(Up)
	}
	w.log = nil
	w.die()
	w.expect("shell")
	w.in(Shell)
	w.pass(3600 * Second)
	w.step(Event{Kind: ShellEnded})
	w.pass(0)
	w.expect("spawn")
	w.live(59 * Second)
	w.log = nil
	w.die() // within a minute of the shell: the machine does not get well like this
	w.expect("signal-all 15")
	w.none()
	w.expect("finish Reboot 0 133")
}

// TestLifeBetweenDeathsCounts: slow deaths are no emergency.
func TestLifeBetweenDeathsCounts(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.BootDeadline = 0 })
	w.begin()
	for range 20 {
		w.live(30 * Second)
		w.die()
		w.in(Down)
		w.pass(Second / 2)
		w.in(Up)
	}
}

func TestSpawnFailuresAreSaidAndCounted(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.BootDeadline = 0 })
	w.m.Step(w.now, &Event{Kind: Began})
	said := 0
	for w.m.State() == Down {
		at, ok := w.m.Deadline()
		if !ok {
			t.Fatal("no timer is left: the manager is never started again (W7)")
		}
		w.now = at
		w.m.Step(w.now, &Event{Kind: DeadlinePassed})
		for _, o := range w.m.Step(w.now, &Event{Kind: SpawnFailed, Number: 2}) {
			if o.Kind == Say && o.Notice == ManagerSpawnFailed {
				said++
			}
		}
	}
	if w.in(Shell); said != 5 {
		t.Errorf("said %d times; want 5", said)
	}
	w.step(Event{Kind: ShellFailed, Number: 2})
	w.in(Down)
	w.pass(30 * Second)
	w.in(Up)
}

func TestHungManagerIsReplaced(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.BootDeadline = 0 })
	w.begin()
	w.hello()
	w.beat()
	w.log = nil
	w.pass(15*Second - 1)
	w.expect()
	w.pass(1)
	w.expect("signal-manager 6")
	w.pass(5 * Second)
	w.expect("signal-manager 9")
	w.in(Killing)
	w.pass(60 * Second) // it is in the kernel and does not die: there must be no second one
	for _, l := range w.log {
		if l != "signal-manager 9" {
			t.Errorf("while the old manager lives: %s", l)
		}
	}
	w.log = nil
	w.die()
	w.pass(Second / 2)
	w.expect("spawn")
}

func TestDeafManagerHasOneInterval(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.BootDeadline = 0 })
	w.begin()
	w.step(Event{Kind: Deaf})
	w.pass(5*Second - 1)
	w.in(Up)
	w.pass(1)
	w.in(Aborting)
}

// TestSignals: what the manager is told and what the end is.
func TestSignals(t *testing.T) {
	for _, c := range []struct {
		signal    int
		container bool
		told, end string
	}{
		{15, false, "SIGTERM", "finish Poweroff 0 0"},
		{2, false, "SIGINT", "finish Reboot 0 133"},
		{10, false, "SIGUSR1", "finish Reboot 0 133"},
		{37, false, "SIGRTMIN+3", "finish Halt 0 0"},
		{40, false, "SIGRTMIN+6", "finish Kexec 0 0"},
		{41, false, "SIGRTMIN+7", "finish SoftReboot 0 0"},
		{15, true, "SIGTERM", "finish Poweroff 0 0"},
		{2, true, "SIGINT", "finish Poweroff 0 0"},
		{39, true, "SIGRTMIN+5", "finish Reboot 0 133"},
	} {
		w := newWorld(t, func(cfg *Config) { cfg.BootDeadline = 0; cfg.Container = c.container })
		w.begin()
		w.hello()
		w.log = nil
		w.signal(c.signal)
		// Nobody is killed before the manager has had its time (W5).
		w.expect("> ShutdownSignal " + c.told)
		w.in(Stopping)
		for range 29 * 60 / 5 {
			w.beat()
			w.pass(5 * Second)
		}
		w.in(Stopping)
		for range 60 / 5 {
			w.beat()
			w.pass(5 * Second)
		}
		w.log = nil
		w.pass(5 * Second)
		w.pass(2 * Second)
		w.expect("signal-all 9", c.end)
	}
}

func TestForwardedSignalsWaitForAManager(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.BootDeadline = 0 })
	w.begin()
	w.signal(1)
	w.signal(30)
	w.expect("boot pending", "spawn")
	w.die()
	w.pass(Second / 2)
	w.hello()
	w.expect("spawn", "> HelloDone 0", "> ShutdownSignal SIGHUP", "> ShutdownSignal SIGPWR")
}

func TestThreeInterruptsForce(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.BootDeadline = 0 })
	w.begin()
	w.beat()
	w.signal(15)
	w.log = nil
	w.signal(2)
	w.pass(3 * Second)
	w.signal(2)
	w.pass(3 * Second)
	w.signal(2) // three, but within 6 s
	w.expect()
	w.signal(2)
	w.expect("signal-all 9")
	w.none()
	w.expect("finish Poweroff 1 0") // as the first one said
}

func TestForceAtOnce(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.BootDeadline = 0 })
	w.begin()
	w.signal(34 + 15)
	w.none()
	w.expect("boot pending", "spawn", "signal-all 9", "finish Reboot 1 133")
}

// TestRequestAndDeathInOneBatch: the shell reads a dead manager's channel first, so
// the request comes before the death, and the death starts nobody (W11).
func TestRequestAndDeathInOneBatch(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.BootDeadline = 0 })
	w.begin()
	w.hello()
	w.log = nil
	w.request(ipc.Reboot, ipc.Orderly, "recovery")
	w.die()
	w.expect("signal-all 15")
	w.none()
	w.expect("finish Reboot 0 133")
	if got := string(w.m.End().Argument); got != "recovery" {
		t.Errorf("argument = %q", got)
	}
	if _, ok := w.m.Deadline(); ok {
		t.Error("a timer is left armed")
	}
}

func TestUrgency(t *testing.T) {
	for _, c := range []struct {
		u    ipc.Urgency
		want string
	}{{ipc.Orderly, "signal-all 15"}, {ipc.Force, "signal-all 9"}, {ipc.Immediate, "finish Halt 2 0"}} {
		w := newWorld(t, func(c *Config) { c.BootDeadline = 0 })
		w.begin()
		w.hello()
		w.log = nil
		w.request(ipc.Halt, c.u, "")
		w.expect(c.want)
	}
}

func TestContainerExits(t *testing.T) {
	for arg, want := range map[string]string{"": "0", "7": "7", "255": "255", "256": "0", "x": "0"} {
		w := newWorld(t, func(c *Config) { c.BootDeadline = 0; c.Container = true })
		w.begin()
		w.hello()
		w.request(ipc.Poweroff, ipc.Orderly, arg)
		w.log = nil
		w.none()
		w.expect("finish Poweroff 0 " + want)
	}
	w := newWorld(t, func(c *Config) { c.BootDeadline = 0; c.Container = true })
	w.begin()
	for range 4 {
		w.die()
		w.pass(10 * Second)
	}
	w.die()
	w.in(Terming) // there is no shell
	w.log = nil
	w.none()
	w.expect("finish Poweroff 0 1")
}

// TestStopSurvivesOneManager: the next one is told the signal, a second death ends it.
func TestStopSurvivesOneManager(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.BootDeadline = 0 })
	w.begin()
	w.hello()
	w.signal(15)
	w.log = nil
	w.die()
	w.in(StopDown)
	w.pass(0)
	w.hello()
	w.expect("spawn", "> HelloDone 0", "> ShutdownSignal SIGTERM")
	w.die()
	w.expect("signal-all 15")
	w.pass(5 * Second)
	w.pass(2 * Second)
	w.expect("signal-all 9", "finish Poweroff 0 0")
}

func TestEmergencySignal(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.BootDeadline = 0 })
	w.begin()
	w.hello()
	w.log = nil
	w.signal(12)
	w.expect("signal-manager 9")
	w.die()
	w.expect("shell")
	w.signal(2) // PID 1 answers while the shell runs (W12)
	w.pass(0)
	w.hello()
	w.expect("spawn", "> HelloDone 0", "> ShutdownSignal SIGINT")
}

func TestBootVerdict(t *testing.T) {
	for _, c := range []struct {
		name string
		act  func(*world)
		want string
	}{
		{"ok", func(w *world) { w.message(ipc.Message{Kind: ipc.BootDone}) }, "boot ok"},
		{"degraded", func(w *world) { w.message(ipc.Message{Kind: ipc.BootDone, Flag: true}) }, "boot degraded"},
		{"late", func(w *world) { w.live(300 * Second); w.message(ipc.Message{Kind: ipc.BootDone}) }, "boot failed"},
		{"hung", func(w *world) { w.pass(300 * Second) }, "boot failed"},
		{"sooner", func(w *world) {
			w.message(ipc.Message{Kind: ipc.BootPolicy, Usec: 20e6, Action: ipc.BootNone})
			w.live(21 * Second)
			w.message(ipc.Message{Kind: ipc.BootDone})
		}, "boot failed"},
		{"over already", func(w *world) {
			w.live(20 * Second)
			w.message(ipc.Message{Kind: ipc.BootPolicy, Usec: 1, Action: ipc.BootNone})
			w.live(Second)
			w.message(ipc.Message{Kind: ipc.BootDone})
		}, "boot failed"},
		{"never", func(w *world) {
			w.message(ipc.Message{Kind: ipc.BootPolicy, Action: ipc.BootReboot})
			w.live(1000 * Second)
			w.message(ipc.Message{Kind: ipc.BootDone})
		}, "boot ok"},
		{"verdict before policy", func(w *world) {
			w.message(ipc.Message{Kind: ipc.BootDone})
			w.message(ipc.Message{Kind: ipc.BootPolicy, Usec: 1, Action: ipc.BootReboot})
		}, "boot ok"},
	} {
		w := newWorld(t, nil)
		w.begin()
		w.log = nil
		c.act(w)
		w.live(400 * Second)
		var got []string
		for _, l := range w.log {
			if strings.HasPrefix(l, "boot ") {
				got = append(got, l)
			}
		}
		if strings.Join(got, ";") != c.want {
			t.Errorf("%s: %v; want %q, once", c.name, got, c.want)
		}
	}
}

// What was said at the start goes before the configuration; each manager hears of the
// verdict before it is asked to stop.
func TestBootPolicyIsTheSecondWord(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.DeadlineFixed, c.ActionFixed, c.BootDeadline, c.BootAction = true, true, 50*Second, ipc.BootReboot
	})
	w.begin()
	w.hello()
	w.message(ipc.Message{Kind: ipc.BootPolicy, Usec: 10e6, Action: ipc.BootEmergency})
	w.log = nil
	w.live(49 * Second)
	if strings.Contains(strings.Join(w.log, ";"), "boot failed") {
		t.Errorf("the configuration's deadline held: %v", w.log)
	}
	w.live(2 * Second)
	if !strings.Contains(strings.Join(w.log, ";"), "boot failed;> BootLate;> ShutdownSignal SIGUSR1") {
		t.Errorf("happened: %v", w.log)
	}
}

func TestBootActionReboots(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.BootAction = ipc.BootReboot; c.StopWait = 60 * Second })
	w.begin()
	w.hello()
	w.log = nil
	w.live(300 * Second)
	if !strings.Contains(strings.Join(w.log, ";"), "boot failed;> BootLate;> ShutdownSignal SIGUSR1") {
		t.Errorf("happened: %v", w.log)
	}
	w.pass(100 * Second)
	w.in(Over)
	if w.m.End().Kind != ipc.Reboot {
		t.Errorf("kind = %s", w.m.End().Kind)
	}
}

// TestWatchdogWantsAHealthyMachine: it is fed while the manager beats and the gate
// is open, and on the way down.
func TestWatchdogWantsAHealthyMachine(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.BootDeadline = 0; c.Feed = 10 * Second })
	fed := func() bool {
		w.log = nil
		w.live(10 * Second)
		return strings.Contains(strings.Join(w.log, ";"), "feed")
	}
	w.begin()
	w.hello()
	if !fed() {
		t.Error("not fed while all is well")
	}
	w.message(ipc.Message{Kind: ipc.Gate, Flag: false})
	if fed() {
		t.Error("fed while a service that gates it is dead")
	}
	w.message(ipc.Message{Kind: ipc.Gate, Flag: true})
	if !fed() {
		t.Error("not fed after the gate has opened")
	}
	w.pass(10 * Second)
	w.in(Aborting)
	if w.m.mayFeed() {
		t.Error("fed while the manager hangs")
	}
}

// The time of the watchdog can be changed while the machine runs, and each change is
// answered.
func TestWatchdogIsSet(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.BootDeadline = 0 })
	fed := func() bool {
		w.log = nil
		w.live(10 * Second)
		return strings.Contains(strings.Join(w.log, ";"), "feed")
	}
	w.begin()
	w.hello()
	if fed() {
		t.Error("fed though there is none")
	}
	w.message(ipc.Message{Kind: ipc.Watchdog, ID: 7, Setting: ipc.RuntimeWatchdog, Usec: 20_000_000})
	w.m.WatchdogSet(w.now, 0, 5*Second)
	if !fed() {
		t.Error("not fed after it was armed")
	}
	w.message(ipc.Message{Kind: ipc.Watchdog, ID: 8, Setting: ipc.Governor})
	w.m.WatchdogSet(w.now, 9, 0)
	if fed() {
		t.Error("fed after it was disarmed")
	}
	m := w.m
	m.out.answer(answer{id: 1, dog: true})
	m.WatchdogSet(w.now, 22, 0)
	var msg ipc.Message
	var fds [ipc.MaxFDs]int32
	for {
		if _, ok := m.Next(w.now, &msg, &fds); !ok {
			t.Fatal("no answer")
		}
		if msg.Kind == ipc.WatchdogIs && msg.InReplyTo == 1 {
			break
		}
	}
	if msg.Count != 22 {
		t.Errorf("the answer has the error %d", msg.Count)
	}
}

func TestDescriptorsReachTheNextManager(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.BootDeadline = 0 })
	w.begin()
	w.hello()
	w.log = nil
	dep := func(id uint64, unit, name string, count uint32, fds ...int32) {
		w.message(ipc.Message{Kind: ipc.Deposit, ID: id, Unit: []byte(unit), Name: []byte(name), Count: count}, fds...)
	}
	dep(1, "a.service", "x", 2, 50, 51)
	dep(2, "b.service", "x", 1, 60)
	dep(3, "a.service", "x", 1, 52)
	dep(4, "a.service", "y", 1, 55)
	dep(5, "c.service", "x", 3, 70)
	w.expect("> Deposited ok 4094", "> Deposited ok 4093", "> Deposited ok 4092", "> Deposited ok 4091", "close 70", "> Deposited mismatch 4091")
	w.message(ipc.Message{Kind: ipc.Heartbeat}, 80) // nobody announced it
	w.expect("close 80", "> HeartbeatAck")
	w.die()
	w.pass(Second / 2)
	w.hello()
	w.expect("spawn", "> Kept a.service x [50 51 52]", "> Kept b.service x [60]", "> Kept a.service y [55]", "> HelloDone 0")
	w.message(ipc.Message{Kind: ipc.Withdraw, Unit: []byte("a.service"), Name: []byte("y")})
	w.message(ipc.Message{Kind: ipc.Withdraw, Unit: []byte("a.service")})
	w.hello()
	w.expect("close 55", "close 50", "close 51", "close 52", "> Kept b.service x [60]", "> HelloDone 0")
}

func TestKeeperIsFull(t *testing.T) {
	var k keeper
	for i := range MaxGroups {
		if !k.add([]byte("u"), []byte(fmt.Sprint(i)), []int32{1, 2, 3}) {
			t.Fatalf("refused at name %d", i)
		}
	}
	if k.add([]byte("u"), []byte("one more"), []int32{9}) {
		t.Error("a name too many is kept")
	}
	for i := range MaxKept - 3*MaxGroups {
		if !k.add([]byte("u"), []byte("7"), []int32{int32(i)}) {
			t.Fatalf("refused with %d kept", k.n)
		}
	}
	if k.add([]byte("u"), []byte("7"), []int32{9}) || k.free() != 0 {
		t.Error("a descriptor too many is kept")
	}
	k.replay()
	var m ipc.Message
	var fds [ipc.MaxFDs]int32
	total := 0
	for {
		n, ok := k.step(&m, &fds)
		if !ok {
			break
		}
		total += n
	}
	if total != MaxKept {
		t.Errorf("%d handed over; want %d", total, MaxKept)
	}
}

// TestExitsReachAManagerThatReads: what a manager may not have read before its end
// goes to the next one as well; nothing else comes twice; the loss is counted.
func TestExitsReachAManagerThatReads(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.BootDeadline = 0 })
	w.begin()
	w.reap(500)
	w.expect("boot pending", "spawn")
	w.hello()
	w.reap(501)
	w.expect("> Exited 500", "> HelloDone 0", "> Exited 501")
	w.live(50 * Second)
	w.reap(502)
	w.live(40 * Second)
	w.log = nil
	w.die()
	w.step(Event{Kind: Reaped, Exit: ipc.Exit{PID: 503}}) // its start is not known
	w.pass(Second / 2)
	w.hello()
	w.expect("spawn", "> Exited 502", "> Exited 503", "> HelloDone 0")
	w.hello()
	w.expect("> Exited 502", "> HelloDone 0")
	w.die()
	for i := range int32(MaxExits + 10) {
		w.reap(1000 + i)
	}
	w.pass(Second)
	w.log = nil
	w.hello()
	if n := len(w.log); n != MaxExits+1 || w.log[0] != "> Exited 1010" || w.log[n-1] != "> HelloDone 10" {
		t.Errorf("%d lines, %s … %s", n, w.log[0], w.log[n-1])
	}
}

func TestLinesAreBounded(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.BootDeadline = 0 })
	w.begin()
	w.log = nil
	for range linesPer10s + 5 {
		w.message(ipc.Message{Kind: ipc.LogToKmsg, Level: 6, Text: []byte("x")})
	}
	if len(w.log) != linesPer10s || w.m.dropped != 5 {
		t.Errorf("%d lines, %d dropped", len(w.log), w.m.dropped)
	}
}

// TestAnswersHoldUpTheirOwnReaderOnly: a manager that deposits without reading is
// not read from any more before the answers would overflow.
func TestAnswersHoldUpTheirOwnReaderOnly(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.BootDeadline = 0 })
	w.begin()
	n := 0
	for ; !w.m.Full(); n++ {
		w.m.Step(w.now, &Event{Kind: Received, Message: &ipc.Message{Kind: ipc.Deposit, Unit: []byte("u"), Count: 0}})
	}
	if n >= maxAnswers {
		t.Errorf("%d answers fit into %d", n, maxAnswers)
	}
	w.log = nil
	if w.drain(); len(w.log) != n || w.m.Full() {
		t.Errorf("%d of %d answers sent", len(w.log), n)
	}
}
