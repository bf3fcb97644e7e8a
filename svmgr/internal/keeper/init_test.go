package keeper

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/ipc/pid1"
	"dynamod/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// peer is init's end of the channel, for tests that say what init would.
type peer struct {
	t   testing.TB
	fd  int
	buf []byte
	fds []int
}

// pair makes a channel; the manager's end is not taken over yet.
func pair(t testing.TB) (*peer, int) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	i := &peer{t: t, fd: p[0]}
	t.Cleanup(i.close)
	return i, p[1]
}

func (p *peer) close() {
	closeAll(p.fds)
	p.fds = nil
	if p.fd >= 0 {
		unix.Close(p.fd)
		p.fd = -1
	}
}

func (p *peer) say(m pid1.Message, fds ...int) {
	data, err := pid1.Append(make([]byte, 0, pid1.MaxFrame), &m)
	if err == nil {
		err = unix.Sendmsg(p.fd, data, unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL)
	}
	if err != nil {
		p.t.Error(err)
	}
}

// hear returns the next message and the descriptors that came with it.
func (p *peer) hear() (m pid1.Message, fds []int) {
	for {
		payload, n, err := pid1.Next(p.buf)
		if payload != nil && err == nil {
			p.buf = p.buf[n:]
			if err := pid1.Decode(payload, &m); err != nil {
				p.t.Fatal(err)
			}
			if m.Kind == pid1.Deposit {
				fds, p.fds = p.fds[:m.Count], p.fds[m.Count:]
			}
			return m, fds
		}
		b, oob := make([]byte, 4096), make([]byte, 1024)
		n, oobn, _, _, err := unix.Recvmsg(p.fd, b, oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			p.t.Fatalf("the manager's end: %d bytes, %v", n, err)
		}
		got, err := rights(oob[:oobn])
		if err != nil {
			p.t.Fatal(err)
		}
		p.fds = append(p.fds, got...)
		p.buf = append(p.buf, b[:n]...)
	}
}

// dial greets with this answer.
func dial(t testing.TB, p *peer, fd int, answer func()) (*Init, *Left) {
	t.Helper()
	answered := make(chan struct{})
	go func() { // ends with the answer
		defer close(answered)
		if m, _ := p.hear(); m.Kind != pid1.Hello || m.Count != pid1.Version {
			t.Errorf("the first message is %v; want Hello", m.Kind)
		}
		if answer != nil {
			answer()
		}
		p.say(pid1.Message{Kind: pid1.HelloDone, Lost: 3})
	}()
	k, left, err := Dial(fd)
	<-answered
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	t.Cleanup(left.Close)
	return k, left
}

func pipe(t testing.TB) (r, w *os.File) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func inode(t testing.TB, fd int) uint64 {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func TestHelloBringsWhatWasKept(t *testing.T) {
	p, fd := pair(t)
	r1, _ := pipe(t)
	r2, _ := pipe(t)
	k, left := dial(t, p, fd, func() {
		p.say(pid1.Message{Kind: pid1.Kept, Unit: []byte("a.service"), Name: []byte("out/1"), Count: 1}, int(r1.Fd()))
		p.say(pid1.Message{Kind: pid1.Kept, Unit: []byte("b.socket"), Name: []byte("listen"), Count: 2}, int(r2.Fd()), int(r1.Fd()))
		p.say(pid1.Message{Kind: pid1.Exited, Exit: pid1.Exit{PID: 77, Start: 5, Code: 3}})
	})
	if len(left.Kept) != 2 || left.Lost != 3 || len(left.Exits) != 1 || left.Exits[0] != (pid1.Exit{PID: 77, Start: 5, Code: 3}) {
		t.Fatalf("left = %+v", left)
	}
	a, b := left.Kept[0], left.Kept[1]
	if a.Unit != "a.service" || a.Name != "out/1" || len(a.FDs) != 1 || inode(t, a.FDs[0]) != inode(t, int(r1.Fd())) {
		t.Errorf("first kept = %+v", a)
	}
	if b.Unit != "b.socket" || len(b.FDs) != 2 || inode(t, b.FDs[0]) != inode(t, int(r2.Fd())) || inode(t, b.FDs[1]) != inode(t, int(r1.Fd())) {
		t.Errorf("second kept = %+v", b)
	}
	for _, fd := range []int{a.FDs[0], int(k.file.Fd())} {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %d would reach services (flags %d, %v)", fd, flags, err)
		}
	}
}

func TestDepositsArriveAndRefusalsAreTold(t *testing.T) {
	p, fd := pair(t)
	k, _ := dial(t, p, fd, nil)
	refused := make(chan string, 4)
	exits := make(chan pid1.Exit, 4)
	signals := make(chan string, 4)
	k.Run(Told{Refused: func(unit, name string, why pid1.Result) { refused <- unit + " " + name + " " + why.String() },
		Exited: func(e pid1.Exit) { exits <- e }, Signal: func(s string) { signals <- s }})
	r, _ := pipe(t)
	many := make([]int, pid1.MaxFDs+1)
	for i := range many {
		many[i] = int(r.Fd())
	}
	if err := k.Keep("a.service", "store", many...); err != nil {
		t.Fatal(err)
	}
	total := 0
	for range 2 { // more than one frame carries
		m, fds := p.hear()
		if m.Kind != pid1.Deposit || string(m.Unit) != "a.service" || string(m.Name) != "store" {
			t.Fatalf("heard %+v", m)
		}
		total += len(fds)
		if inode(t, fds[0]) != inode(t, int(r.Fd())) {
			t.Error("another file arrived")
		}
		closeAll(fds)
		p.say(pid1.Message{Kind: pid1.Deposited, InReplyTo: m.ID, Result: pid1.Full})
	}
	if total != len(many) {
		t.Errorf("%d descriptors arrived; want %d", total, len(many))
	}
	if got := testkit.Receive(t, refused, "the refusal"); got != "a.service store full" {
		t.Errorf("refused %q", got)
	}
	k.Drop("a.service", "")
	if m, _ := p.hear(); m.Kind != pid1.Withdraw || len(m.Name) != 0 {
		t.Errorf("heard %+v; want a Withdraw of all", m)
	}
	p.say(pid1.Message{Kind: pid1.Exited, Exit: pid1.Exit{PID: 9, Signal: 9}})
	if e := testkit.Receive(t, exits, "an exit"); e.PID != 9 || e.Signal != 9 {
		t.Errorf("exit = %+v", e)
	}
	p.say(pid1.Message{Kind: pid1.ShutdownSignal, Text: []byte("SIGTERM")})
	if s := testkit.Receive(t, signals, "a signal"); s != "SIGTERM" {
		t.Errorf("signal = %q", s)
	}
}

// What init does not read waits in a bounded queue, is refused when that is full,
// and arrives in order when it reads again; heartbeats do not pile up.
func TestAHangingInit(t *testing.T) {
	p, fd := pair(t)
	k, _ := dial(t, p, fd, nil)
	hung := make(chan error, 1)
	k.Run(Told{HungUp: func(err error) { hung <- err }})
	r, _ := pipe(t)
	line := strings.Repeat("x", 1000)
	sent := 0
	for k.Log(6, line) == nil {
		sent++
		if err := k.Beat(); err != nil && !errors.Is(err, ErrQueue) {
			t.Fatal(err)
		}
		if sent > 1<<16 {
			t.Fatal("the queue has no end")
		}
	}
	if err := k.Keep("a.service", "x", int(r.Fd())); !errors.Is(err, ErrQueue) {
		t.Errorf("Keep with a full queue = %v; want ErrQueue", err)
	}
	lines, waiting := 0, 0
	k.mu.Lock()
	for _, o := range k.queue {
		if o.beat {
			waiting++
		}
	}
	k.mu.Unlock()
	if waiting > 1 {
		t.Errorf("%d heartbeats wait; one is enough", waiting)
	}
	last := uint64(0)
	for lines < sent {
		m, _ := p.hear()
		if m.ID <= last {
			t.Fatalf("message %d came after %d", m.ID, last)
		}
		last = m.ID
		if m.Kind == pid1.LogToKmsg {
			lines++
		}
	}
	if err := k.Keep("a.service", "x", int(r.Fd())); err != nil {
		t.Errorf("Keep after init reads again = %v", err)
	}
	p.close()
	if err := testkit.Receive(t, hung, "the end"); !errors.Is(err, ErrClosed) && !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("hung up with %v", err)
	}
	if err := k.Beat(); !errors.Is(err, ErrClosed) {
		t.Errorf("Beat without init = %v", err)
	}
}

func TestInitThatLies(t *testing.T) {
	for name, say := range map[string]func(p *peer){
		"descriptors that do not come": func(p *peer) {
			p.say(pid1.Message{Kind: pid1.Kept, Unit: []byte("a"), Name: []byte("b"), Count: 2})
		},
		"nothing": func(p *peer) { p.close() },
		"garbage and the end": func(p *peer) {
			_, _ = unix.Write(p.fd, bytes.Repeat([]byte("DMx"), 9000))
			p.close()
		},
	} {
		p, fd := pair(t)
		said := make(chan struct{})
		go func() { p.hear(); say(p); close(said) }() // ends with what it says
		k, _, err := Dial(fd)
		<-said
		if err == nil {
			k.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

func TestDescriptorsStayFlat(t *testing.T) {
	p, fd := pair(t)
	k, _ := dial(t, p, fd, nil)
	k.Run(Told{})
	r, _ := pipe(t)
	open := func() int {
		e, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(e)
	}
	before := open()
	for range 200 {
		if err := k.Keep("a.service", "x", int(r.Fd())); err != nil {
			t.Fatal(err)
		}
		m, fds := p.hear()
		closeAll(fds)
		p.say(pid1.Message{Kind: pid1.Deposited, InReplyTo: m.ID, Result: pid1.OK})
	}
	testkit.Eventually(t, "every answer is taken", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return len(k.asked) == 0
	})
	if after := open(); after != before {
		t.Errorf("%d descriptors are open, %d were", after, before)
	}
	if !slices.Equal(p.fds, nil) {
		t.Error("descriptors came unasked")
	}
}

// A question about the watchdog has its answer, also an error, and none once init is gone.
func TestWatchdogIsAskedFor(t *testing.T) {
	p, fd := pair(t)
	k, _ := dial(t, p, fd, nil)
	k.Run(Told{})
	ended := make(chan struct{})
	go func() { // ends with the third question
		defer close(ended)
		for _, a := range []pid1.Message{{Name: []byte("/dev/watchdog"), Text: []byte("noop"), Dog: pid1.Dog{Runtime: 5}}, {Count: uint32(unix.EBADF)}} {
			m, _ := p.hear()
			a.Kind, a.ID, a.InReplyTo = pid1.WatchdogIs, m.ID, m.ID
			p.say(a)
		}
		p.hear()
		p.close()
	}()
	dog, err := k.Watchdog(pid1.RuntimeWatchdog, 5, "")
	if want := (Dog{pid1.Dog{Runtime: 5}, "/dev/watchdog", "noop"}); dog != want || err != nil {
		t.Errorf("%+v, %v; want %+v", dog, err, want)
	}
	if _, err := k.Watchdog(pid1.Governor, 0, "x"); err != unix.EBADF {
		t.Errorf("a refusal is %v", err)
	}
	if _, err := k.Watchdog(pid1.AskWatchdog, 0, ""); err != ErrClosed {
		t.Errorf("the answer of an init that is gone is %v", err)
	}
	testkit.Receive(t, ended, "the end of init")
	if _, err := k.Watchdog(pid1.Governor, 0, "a governor with much too long a name"); err != unix.EINVAL {
		t.Errorf("a name that is too long: %v", err)
	}
}

// What the configuration says of a late boot goes out, and a boot that was late comes in:
// with the greeting for a manager that was not there, later for the one that is.
func TestBootIsTalkedAbout(t *testing.T) {
	p, fd := pair(t)
	k, left := dial(t, p, fd, func() { p.say(pid1.Message{Kind: pid1.BootLate, Action: pid1.BootNone}) })
	if left.BootLate != pid1.BootNone {
		t.Error("the greeting did not bring the verdict")
	}
	told := make(chan string, 2)
	k.Run(Told{BootLate: func(a pid1.BootAction) { told <- "late " + a.String() }, Signal: func(s string) { told <- s }})
	p.say(pid1.Message{Kind: pid1.BootLate, Action: pid1.BootReboot})
	p.say(pid1.Message{Kind: pid1.ShutdownSignal, Text: []byte("SIGUSR1")})
	if a, b := <-told, <-told; a != "late reboot" || b != "SIGUSR1" {
		t.Errorf("told %s, then %s; want the verdict before the signal", a, b)
	}
	for _, c := range []struct {
		after time.Duration
		want  uint64
	}{{20 * time.Second, 20e6}, {0, 0}, {-time.Second, 0}, {1<<63 - 1, 1 << 63 / 1000}, {100 * 366 * 24 * time.Hour, pid1.MaxBootUsec}} {
		if err := k.BootPolicy(c.after, pid1.BootReboot); err != nil {
			t.Fatal(err)
		}
		if m, _ := p.hear(); m.Kind != pid1.BootPolicy || m.Action != pid1.BootReboot || m.Usec != min(c.want, pid1.MaxBootUsec) {
			t.Errorf("%v: %v %v %v", c.after, m.Kind, m.Action, m.Usec)
		}
	}
}
