package main

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"dynamod/init/internal/pid1"
	"dynamod/init/internal/raw"
	ipc "dynamod/internal/ipc/pid1"
)

// What an epoll event is about.
const (
	tagSignals = iota
	tagTimer
	tagSocket
	tagManager
)

// runner is the shell around the machine: it waits, tells it what happened, and
// does as it is told.
type runner struct {
	opts       options
	managerEnv []string
	m          *pid1.Machine
	log        *logger
	sig        *signals

	epoll, timer int
	null         int
	pidfd        int // the manager's, -1 if there is none
	armed        pid1.Time
	channel
	msg ipc.Message

	dog watchdog
	// ownProc: /proc shows this pid namespace. Another's would tell of other
	// processes under the same numbers.
	ownProc bool
	shell   int32 // the emergency shell's process, 0 for none
	spawn   bool  // orders that are answered with an event wait
	enter   bool  // until the others are carried out
	over    bool
	reports pid1.Time // when the shutdown's next progress line is due
	boot    pid1.Boot
	// coldAt is when pages that only the boot needed may go, at the next wake-up after
	// it; 0 for not now.
	coldAt pid1.Time
}

// machine is PID 1's mind; its size is known to the linker, not to the heap.
var machine pid1.Machine

func newRunner(opts options, sig *signals, log *logger) (*runner, error) {
	r := &runner{opts: opts, managerEnv: managerEnviron(opts.cfg.Container), m: &machine, log: log, sig: sig, null: -1, pidfd: -1, dog: watchdog{fd: -1}}
	r.sock = -1
	var err error
	if r.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, errors.New("create epoll: " + err.Error())
	}
	if r.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return nil, errors.New("create timerfd: " + err.Error())
	}
	r.watch(sig.fd, unix.EPOLLIN, tagSignals)
	r.watch(sig.stray, unix.EPOLLIN, tagSignals)
	r.watch(r.timer, unix.EPOLLIN, tagTimer)
	self, err := os.Readlink("/proc/self")
	r.ownProc = err == nil && self == "1"
	r.openWatchdog()
	r.m.Init(r.opts.cfg)
	return r, nil
}

func (r *runner) now() pid1.Time { return pid1.Time(raw.Now(unix.CLOCK_MONOTONIC)) }

func (r *runner) watch(fd int, events uint32, tag int32) {
	ev := unix.EpollEvent{Events: events, Fd: tag}
	unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &ev)
	if tag == tagSocket {
		r.events = events
	}
}

// run goes on until the machine is over.
func (r *runner) run() {
	r.step(pid1.Event{Kind: pid1.Began})
	var events [8]unix.EpollEvent
	for !r.over {
		r.send()
		for r.held && !r.m.Full() {
			r.takeFrames(false)
			r.send()
		}
		r.interest()
		r.arm()
		r.giveBack()
		n, errno := epollWait(r.epoll, events[:])
		if errno != 0 && errno != unix.EINTR {
			// It cannot fail with these arguments (epoll_wait(2)). If it does,
			// PID 1 goes on with what it can look at unasked, once in a while.
			pause(100)
			events[0].Fd, events[1].Fd, n = tagSignals, tagSocket, 2
		}
		for _, ev := range events[:max(n, 0)] {
			switch ev.Fd {
			case tagSignals:
				r.signals()
			case tagTimer:
				var count [8]byte
				raw.Read(r.timer, count[:])
				r.armed = 0
			case tagSocket:
				r.receive(false)
			case tagManager:
				r.reap()
			}
		}
		if at, ok := r.m.Deadline(); ok && at <= r.now() {
			r.step(pid1.Event{Kind: pid1.DeadlinePassed})
		}
		if s := r.m.State(); s == pid1.Terming || s == pid1.Ending {
			r.reap()
			r.progress()
		}
	}
}

func epollWait(fd int, events []unix.EpollEvent) (int, unix.Errno) {
	n, _, e := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), ^uintptr(0), 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// pause is for what cannot be waited for otherwise.
func pause(ms int64) {
	ts := unix.NsecToTimespec(ms * 1e6)
	unix.Nanosleep(&ts, nil)
}

// arm sets the timer to the next deadline.
func (r *runner) arm() {
	at, ok := r.m.Deadline()
	if !ok {
		at = 0
	}
	if r.retryAt != 0 && (at == 0 || r.retryAt < at) {
		at = r.retryAt
	}
	if s := r.m.State(); (s == pid1.Terming || s == pid1.Ending) && r.reports != 0 && (at == 0 || r.reports < at) {
		at = r.reports
	}
	if at == r.armed {
		return
	}
	r.armed = at
	var spec unix.ItimerSpec
	if at != 0 {
		spec.Value = unix.NsecToTimespec(max(int64(at), 1))
	}
	unix.TimerfdSettime(r.timer, unix.TFD_TIMER_ABSTIME, &spec, nil)
}

func (r *runner) signals() {
	bits := r.sig.take()
	for n := int64(1); bits != 0; n, bits = n+1, bits>>1 {
		switch {
		case bits&1 == 0:
		case n == int64(unix.SIGCHLD):
			r.reap()
		default:
			r.step(pid1.Event{Kind: pid1.Signalled, Number: n})
		}
	}
}

// reap takes every child that has ended: SIGCHLD says at least one.
func (r *runner) reap() {
	for !r.over {
		pid, errno := raw.Peek()
		if errno == unix.ECHILD {
			r.step(pid1.Event{Kind: pid1.NoneLeft})
			return
		}
		if errno != 0 || pid == 0 {
			return
		}
		var start uint64
		if r.ownProc {
			start = raw.StartOf(pid)
		}
		if pid == r.m.Manager() {
			// What it said before its end comes first.
			r.receive(true)
		}
		st, errno := raw.Reap(pid)
		if errno != 0 || st.PID == 0 {
			return
		}
		if pid == r.shell {
			r.shell = 0
			r.step(pid1.Event{Kind: pid1.ShellEnded})
			continue
		}
		r.step(pid1.Event{Kind: pid1.Reaped, Exit: ipc.Exit{PID: pid, Start: start, Code: st.Code, Signal: st.Signal,
			Core: st.Core, At: uint64(raw.Now(unix.CLOCK_BOOTTIME))}})
	}
}

// step tells the machine and does as it says. Orders that are answered come last,
// when the list, which belongs to the machine, is used up.
func (r *runner) step(e pid1.Event) {
	orders := r.m.Step(r.now(), &e)
	for i := range orders {
		r.do(&orders[i])
	}
	if r.spawn {
		r.spawn = false
		pid, errno := r.spawnManager()
		if errno != 0 {
			r.log.about(r.opts.manager[0], errno)
			r.step(pid1.Event{Kind: pid1.SpawnFailed, Number: int64(errno)})
		} else {
			r.step(pid1.Event{Kind: pid1.Spawned, Number: int64(pid)})
		}
	}
	if r.enter {
		r.enter = false
		pid, errno := r.startShell()
		if errno != 0 {
			r.step(pid1.Event{Kind: pid1.ShellFailed, Number: int64(errno)})
		}
		r.shell = int32(pid)
	}
}

func (r *runner) do(o *pid1.Order) {
	switch o.Kind {
	case pid1.Spawn:
		r.spawn = true
	case pid1.HangUp:
		r.channel.close()
		if r.pidfd >= 0 {
			raw.Close(r.pidfd)
			r.pidfd = -1
		}
	case pid1.SignalManager:
		if r.pidfd >= 0 {
			unix.PidfdSendSignal(r.pidfd, unix.Signal(o.Signal), nil, 0)
		} else if pid := r.m.Manager(); pid > 0 {
			// It is our child and not reaped: the number is its own.
			raw.Kill(int(pid), o.Signal)
		}
	case pid1.SignalAll:
		if !r.opts.container {
			r.log.speakUp()
		}
		raw.Kill(-1, o.Signal)
		if o.Signal != int32(unix.SIGKILL) {
			// What is stopped takes the signal when it goes on.
			raw.Kill(-1, int32(unix.SIGCONT))
		}
		if r.ownProc {
			r.reports = r.now() + pid1.Second
		}
	case pid1.StartShell:
		r.enter = true
	case pid1.CloseFD:
		raw.Close(int(o.FD))
	case pid1.Say:
		r.log.notice(o.Notice, o.Number)
	case pid1.LogLine:
		r.log.managerLine(o.Level, o.Text)
	case pid1.ShowBoot:
		r.boot = o.Boot
		r.publishBoot()
		if o.Boot != pid1.Pending {
			// Not at once: what is done now and then would be fetched again.
			r.coldAt = r.now() + 10*pid1.Second
		}
	case pid1.Feed:
		r.feed()
	case pid1.SetWatchdog:
		errno := r.setWatchdog(ipc.Setting(o.Level), o.Usec, o.Text)
		r.m.WatchdogSet(r.now(), uint32(errno), r.opts.cfg.Feed)
	case pid1.Finish:
		r.over = true
	}
}
