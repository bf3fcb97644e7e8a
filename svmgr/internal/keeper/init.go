package keeper

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/ipc/pid1"
)

// Told is what init says of its own accord. The functions are called one at a time
// by the client's own goroutine, must not block for long, and may be nil.
type Told struct {
	// Exited is the end of a process that init has reaped.
	Exited func(pid1.Exit)
	// Signal is a signal that asks for an ordered stop of the machine, by name.
	Signal func(name string)
	// Refused says that descriptors are not kept after all.
	Refused func(unit, name string, why pid1.Result)
	// BootLate says that the boot has failed because its time was over, and what follows.
	BootLate func(pid1.BootAction)
	// HungUp says that init has closed the channel; nothing follows.
	HungUp func(error)
}

// Init is the client of dynamod-init.
type Init struct {
	file *os.File
	conn syscall.RawConn
	told Told

	// mu guards what is below. Frames are sent in the order of their ids.
	mu sync.Mutex
	// queue are frames that the socket did not take yet.
	queue []outgoing
	id    uint64
	// asked are the deposits that are not answered, by id.
	asked map[uint64]deposit
	// dogs are the questions about the watchdog that are not answered, by id.
	dogs map[uint64]chan pid1.Message
	// beating says that a heartbeat waits in the queue: one is enough.
	beating bool
	ended   bool
	// leaving says that Leave was called: nothing more is sent.
	leaving bool
	kick    chan struct{}
	done    sync.WaitGroup

	in received
}

type outgoing struct {
	frame []byte
	fds   []int
	// beat marks the heartbeat.
	beat bool
}

type deposit struct{ unit, name string }

// Bounds of what waits for init. It answers within a turn of its loop, so that they
// are met only when it hangs.
const (
	maxQueue = 1024
	maxAsked = 4096
)

// patience is how long init may take to answer Hello. It answers within a turn of
// its loop; what comes later is not waited for, because services wait for us.
const patience = 10 * time.Second

// Left is what init has kept for this manager.
type Left struct {
	Kept  []Kept
	Exits []pid1.Exit
	// Lost exit records did not fit.
	Lost uint64
	// BootLate is what follows because the boot has failed, 0 if it has not.
	BootLate pid1.BootAction
	// Signals came while the former program of this process was replaced.
	Signals []string
}

// Close closes the descriptors that nobody has taken.
func (l *Left) Close() {
	for _, k := range l.Kept {
		closeAll(k.FDs)
	}
	l.Kept = nil
}

// ErrQueue says that init does not take what it is sent.
var ErrQueue = errors.New("init does not take what it is sent")

// ErrClosed says that init has closed the channel, or Close was called.
var ErrClosed = errors.New("the channel to init is closed")

// Dial says Hello on the socket fd, which it takes over, and returns what init has
// kept. Nothing is told before Run.
func Dial(fd int) (*Init, *Left, error) {
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, nil, fmt.Errorf("talk to init: descriptor %d: %w", fd, err)
	}
	f := os.NewFile(uintptr(fd), "init")
	conn, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("talk to init: %w", err)
	}
	k := &Init{file: f, conn: conn, asked: map[uint64]deposit{}, dogs: map[uint64]chan pid1.Message{}, kick: make(chan struct{}, 1)}
	left, err := k.hello()
	if err != nil {
		left.Close()
		k.in.close()
		f.Close()
		return nil, nil, fmt.Errorf("talk to init: %w", err)
	}
	return k, left, nil
}

// hello begins the talk: what is kept, what has ended, and the end of both.
func (k *Init) hello() (*Left, error) {
	left := &Left{}
	deadline := time.Now().Add(patience)
	if err := k.file.SetDeadline(deadline); err != nil {
		return left, err
	}
	if err := k.send(&pid1.Message{Kind: pid1.Hello, Count: pid1.Version}, nil); err != nil {
		return left, err
	}
	for {
		var m pid1.Message
		fds, err := k.receive(&m)
		if err != nil {
			return left, fmt.Errorf("it does not answer Hello: %w", err)
		}
		switch m.Kind {
		case pid1.Kept:
			left.Kept = append(left.Kept, Kept{string(m.Unit), string(m.Name), fds})
		case pid1.Exited:
			left.Exits = append(left.Exits, m.Exit)
		case pid1.ShutdownSignal:
			left.Signals = append(left.Signals, string(m.Text))
		case pid1.BootLate:
			left.BootLate = m.Action
		case pid1.HelloDone:
			left.Lost = m.Lost
			return left, k.file.SetDeadline(time.Time{})
		}
	}
}

// Run begins to listen and to send what waits. Both goroutines end with Close or
// when init hangs up.
func (k *Init) Run(told Told) {
	k.told = told
	k.done.Add(2)
	go func() { defer k.done.Done(); k.listen() }()
	go func() { defer k.done.Done(); k.write() }()
}

// Close ends the talk. Descriptors stay with init.
func (k *Init) Close() {
	k.end()
	k.done.Wait()
	k.in.close()
}

// end is the part of Close that may be done by the client's own goroutines.
func (k *Init) end() {
	k.mu.Lock()
	if !k.ended {
		k.ended = true
		for _, o := range k.queue {
			closeAll(o.fds)
		}
		k.queue = nil
		for _, answer := range k.dogs {
			close(answer)
		}
		k.dogs = nil
		k.file.Close()
		if !k.leaving {
			close(k.kick)
		}
	}
	k.mu.Unlock()
}

// Keep deposits copies of fds for the unit under name, beside what is there under
// it. An error means that they are not kept; Told.Refused may say so later.
func (k *Init) Keep(unit, name string, fds ...int) error {
	if len(unit) > pid1.MaxName || len(name) > pid1.MaxName {
		return fmt.Errorf("%.20s… is longer than %d bytes", name, pid1.MaxName)
	}
	for len(fds) > 0 {
		n := min(len(fds), pid1.MaxFDs)
		if err := k.send(&pid1.Message{Kind: pid1.Deposit, Unit: []byte(unit), Name: []byte(name), Count: uint32(n)}, fds[:n]); err != nil {
			return err
		}
		fds = fds[n:]
	}
	return nil
}

// Drop closes what is kept for the unit under name, or under all names if it is "".
func (k *Init) Drop(unit, name string) {
	// An error means that init is gone or hangs: then there is nobody to tell.
	_ = k.send(&pid1.Message{Kind: pid1.Withdraw, Unit: []byte(unit), Name: []byte(name)}, nil)
}

// Beat says that the manager lives.
func (k *Init) Beat() error { return k.send(&pid1.Message{Kind: pid1.Heartbeat}, nil) }

// Shutdown asks for the end of the machine: everything is stopped.
func (k *Init) Shutdown(kind pid1.Shutdown, how pid1.Urgency, argument string) error {
	return k.send(&pid1.Message{Kind: pid1.RequestShutdown, Shutdown: kind, Urgency: how, Text: []byte(argument)}, nil)
}

// BootDone says that the boot has ended.
func (k *Init) BootDone(degraded bool) error {
	return k.send(&pid1.Message{Kind: pid1.BootDone, Flag: degraded}, nil)
}

// BootPolicy says when a boot has failed that is not good by then, after the start of
// init, and what follows; 0 is never.
func (k *Init) BootPolicy(deadline time.Duration, action pid1.BootAction) error {
	usec := min(uint64(max(deadline, 0)/time.Microsecond), pid1.MaxBootUsec)
	return k.send(&pid1.Message{Kind: pid1.BootPolicy, Usec: usec, Action: action}, nil)
}

// Gate says whether the services live that gate the hardware watchdog.
func (k *Init) Gate(open bool) error { return k.send(&pid1.Message{Kind: pid1.Gate, Flag: open}, nil) }

// Dog is what init says of the hardware watchdog.
type Dog struct {
	pid1.Dog
	Device, Governor string
}

// Watchdog sets something of the hardware watchdog, or with AskWatchdog nothing, and
// returns how it stands then. An errno(3) says why that does not hold.
func (k *Init) Watchdog(what pid1.Setting, usec uint64, governor string) (Dog, error) {
	if len(governor) > pid1.MaxGovernor {
		return Dog{}, unix.EINVAL
	}
	answer := make(chan pid1.Message, 1)
	m := pid1.Message{Kind: pid1.Watchdog, Setting: what, Usec: usec, Text: []byte(governor)}
	if err := k.sendFor(&m, nil, answer); err != nil {
		return Dog{}, err
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case a, ok := <-answer:
		switch {
		case !ok:
			return Dog{}, ErrClosed
		case a.Count != 0:
			return Dog{}, unix.Errno(a.Count)
		}
		return Dog{a.Dog, string(a.Name), string(a.Text)}, nil
	case <-late.C:
		k.mu.Lock()
		delete(k.dogs, m.ID)
		k.mu.Unlock()
		return Dog{}, errors.New("init does not answer")
	}
}

// Log writes a line into the kernel log; a longer one than it takes is cut.
func (k *Init) Log(level uint8, line string) error {
	if len(line) > pid1.MaxText {
		line = line[:pid1.MaxText]
	}
	return k.send(&pid1.Message{Kind: pid1.LogToKmsg, Level: min(level, 7), Text: []byte(line)}, nil)
}

// send sends a frame at once, or queues what the socket does not take. A frame that
// was sent is safe even if this process dies now: it lies in init's buffer.
func (k *Init) send(m *pid1.Message, fds []int) error { return k.sendFor(m, fds, nil) }

// sendFor is send for a question: answer is where its answer goes. It is closed if none
// will come.
func (k *Init) sendFor(m *pid1.Message, fds []int, answer chan pid1.Message) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended || k.leaving {
		return ErrClosed
	}
	if m.Kind == pid1.Heartbeat && k.beating {
		return nil
	}
	if len(k.queue) >= maxQueue || m.Kind == pid1.Deposit && len(k.asked) >= maxAsked || answer != nil && len(k.dogs) >= maxQueue {
		return ErrQueue
	}
	k.id++
	m.ID = k.id
	data, err := pid1.Append(make([]byte, 0, pid1.MaxFrame), m)
	if err != nil {
		return fmt.Errorf("write %v: %w", m.Kind, err)
	}
	n := 0
	if len(k.queue) == 0 {
		if n, err = k.put(data, fds); err != nil && err != unix.EAGAIN {
			return fmt.Errorf("send %v: %w", m.Kind, err)
		}
	}
	if m.Kind == pid1.Deposit {
		k.asked[m.ID] = deposit{string(m.Unit), string(m.Name)}
	}
	if answer != nil {
		k.dogs[m.ID] = answer
	}
	if n == len(data) {
		return nil
	}
	o := outgoing{frame: data[n:], beat: m.Kind == pid1.Heartbeat}
	if n == 0 { // descriptors go with the first byte
		if o.fds, err = copies(fds); err != nil {
			delete(k.asked, m.ID)
			delete(k.dogs, m.ID)
			return fmt.Errorf("send %v: %w", m.Kind, err)
		}
	}
	k.beating = k.beating || o.beat
	k.queue = append(k.queue, o)
	select {
	case k.kick <- struct{}{}:
	default:
	}
	return nil
}

// put writes what the socket takes now.
func (k *Init) put(data []byte, fds []int) (n int, err error) {
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	cerr := k.conn.Control(func(fd uintptr) {
		for {
			n, err = unix.SendmsgN(int(fd), data, oob, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
			if err != unix.EINTR {
				return
			}
		}
	})
	if cerr != nil {
		return 0, cerr
	}
	return max(n, 0), err
}

// write sends what had to wait.
func (k *Init) write() {
	for range k.kick { // ends with end
		err := k.conn.Write(func(uintptr) bool { return k.flush() })
		if err != nil {
			return // closed
		}
	}
}

// flush sends from the queue; false means that the socket is full.
func (k *Init) flush() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for len(k.queue) > 0 {
		o := &k.queue[0]
		n, err := k.put(o.frame, o.fds)
		if n > 0 {
			closeAll(o.fds)
			o.fds, o.frame = nil, o.frame[n:]
		}
		switch {
		case err == unix.EAGAIN:
			return false
		case err != nil:
			for _, o := range k.queue {
				closeAll(o.fds)
			}
			k.queue, k.beating = nil, false
			return true // the reader will see why
		case len(o.frame) > 0:
			continue
		}
		k.beating = k.beating && !o.beat
		if k.queue = k.queue[1:]; len(k.queue) == 0 {
			k.queue = nil
		}
	}
	return true
}

// listen takes what init says.
func (k *Init) listen() {
	for {
		var m pid1.Message
		fds, err := k.receive(&m)
		closeAll(fds) // nothing is given back any more
		if err != nil {
			k.mu.Lock()
			ours, leaves := k.ended, k.leaving
			k.mu.Unlock()
			if leaves {
				return
			}
			k.end()
			if !ours && k.told.HungUp != nil {
				k.told.HungUp(err)
			}
			return
		}
		k.hear(&m)
	}
}

// hear does what a message asks for.
func (k *Init) hear(m *pid1.Message) {
	switch m.Kind {
	case pid1.Exited:
		if k.told.Exited != nil {
			k.told.Exited(m.Exit)
		}
	case pid1.BootLate:
		if k.told.BootLate != nil {
			k.told.BootLate(m.Action)
		}
	case pid1.ShutdownSignal:
		if k.told.Signal != nil {
			k.told.Signal(string(m.Text))
		}
	case pid1.Deposited:
		k.mu.Lock()
		d, ok := k.asked[m.InReplyTo]
		delete(k.asked, m.InReplyTo)
		k.mu.Unlock()
		if ok && m.Result != pid1.OK && k.told.Refused != nil {
			k.told.Refused(d.unit, d.name, m.Result)
		}
	case pid1.WatchdogIs:
		k.mu.Lock()
		answer := k.dogs[m.InReplyTo]
		delete(k.dogs, m.InReplyTo)
		k.mu.Unlock()
		if answer != nil {
			copied := *m // its texts lie in the buffer
			copied.Name, copied.Text = slices.Clone(m.Name), slices.Clone(m.Text)
			answer <- copied
		}
	}
}

// leavePatience is how long init may take to take what waits for it, and to send the
// rest of a message that it has begun.
const leavePatience = 5 * time.Second

// Leave ends the talk between two messages and returns the descriptor, which is
// inherited, for a program that this process executes in place of this one. What waits
// is sent before. Afterwards only Close may be called.
func (k *Init) Leave() (int, error) {
	k.mu.Lock()
	if k.ended {
		k.mu.Unlock()
		return -1, fmt.Errorf("leave init: %w", ErrClosed)
	}
	k.leaving = true
	k.mu.Unlock()
	late := time.Now().Add(leavePatience)
	if err := k.file.SetWriteDeadline(late); err != nil {
		return -1, fmt.Errorf("leave init: %w", err)
	}
	if err := k.conn.Write(func(uintptr) bool { return k.flush() }); err != nil {
		return -1, fmt.Errorf("leave init: it does not take what it is sent: %w", err)
	}
	close(k.kick)
	if err := k.file.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return -1, fmt.Errorf("leave init: %w", err)
	}
	k.done.Wait()
	if err := k.file.SetReadDeadline(late); err != nil {
		return -1, fmt.Errorf("leave init: %w", err)
	}
	for len(k.in.buf) > 0 {
		var m pid1.Message
		fds, err := k.receive(&m)
		closeAll(fds)
		if err != nil {
			return -1, fmt.Errorf("leave init in the middle of a message: %w", err)
		}
		k.hear(&m)
	}
	fd := -1
	var err error
	if cerr := k.conn.Control(func(f uintptr) { fd, err = unix.Dup(int(f)) }); cerr != nil {
		err = cerr
	}
	if err != nil {
		return -1, fmt.Errorf("leave init: %w", err)
	}
	return fd, nil
}

// received is what came in and was not taken apart yet: less than a frame and what
// one read brings.
type received struct {
	buf []byte
	fds []int
}

func (r *received) close() {
	closeAll(r.fds)
	r.fds = nil
}

// receive waits for the next message that is understood. Its texts are copied.
func (k *Init) receive(m *pid1.Message) (fds []int, err error) {
	in := &k.in
	for {
		payload, n, err := pid1.Next(in.buf)
		if n == 0 {
			if err := k.more(); err != nil {
				return nil, err
			}
			continue
		}
		if err == nil && payload != nil {
			err = pid1.Decode(payload, m)
		}
		if err == nil && payload != nil {
			m.Unit, m.Name, m.Text = clone(m.Unit), clone(m.Name), clone(m.Text)
		}
		in.buf = in.buf[n:]
		if err != nil || payload == nil {
			continue
		}
		if m.Kind == pid1.Kept {
			c := int(m.Count)
			if c > len(in.fds) {
				return nil, fmt.Errorf("it announced %d descriptors and sent %d", c, len(in.fds))
			}
			fds, in.fds = in.fds[:c:c], in.fds[c:]
		}
		return fds, nil
	}
}

// more reads from the socket.
func (k *Init) more() error {
	buf := make([]byte, 16<<10)
	oob := make([]byte, unix.CmsgSpace(4*pid1.MaxFDs))
	var n, oobn, flags int
	var rerr error
	if err := k.conn.Read(func(fd uintptr) bool {
		for {
			n, oobn, flags, _, rerr = unix.Recvmsg(int(fd), buf, oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
			if rerr != unix.EINTR {
				return rerr != unix.EAGAIN
			}
		}
	}); err != nil {
		return err
	}
	if rerr != nil {
		return rerr
	}
	fds, err := rights(oob[:oobn])
	k.in.fds = append(k.in.fds, fds...)
	switch {
	case err != nil:
		return err
	case flags&unix.MSG_CTRUNC != 0:
		return errors.New("descriptors were lost on the way: the manager has too many open")
	case n == 0:
		return ErrClosed
	}
	k.in.buf = append(k.in.buf, buf[:n]...)
	return nil
}

func rights(oob []byte) (fds []int, err error) {
	if len(oob) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for i := range msgs {
		if msgs[i].Header.Level == unix.SOL_SOCKET && msgs[i].Header.Type == unix.SCM_RIGHTS {
			more, err := unix.ParseUnixRights(&msgs[i])
			fds = append(fds, more...)
			if err != nil {
				return fds, err
			}
		}
	}
	return fds, nil
}

func clone(b []byte) []byte { return append([]byte(nil), b...) }

// copies duplicates descriptors, all or none.
func copies(fds []int) (out []int, err error) {
	for _, fd := range fds {
		c, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			closeAll(out)
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
