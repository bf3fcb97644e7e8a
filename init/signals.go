package main

import (
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"dynamod/init/internal/pid1"
	"dynamod/init/internal/raw"
)

// signals turns signals into a set of bits and a descriptor to wait for. A signalfd
// would lose them: Go's run-time does not let its threads block those that it knows,
// so another thread's handler takes them.
type signals struct {
	fd    int
	bits  atomic.Uint64
	stray int // signal 34, which Go does not tell of
}

// catchSignals takes every signal, so that none has its default action or, as
// SIGSEGV from kill(1) would, makes Go's run-time give up. The goroutine lives as
// long as the process.
func catchSignals() (*signals, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	stray, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	s := &signals{fd: fd, stray: stray}
	// A channel that is full drops. Of SIGCHLD one is as good as many. The others
	// have room for each signal twice, and the receiver never waits.
	children := make(chan os.Signal, 1)
	others := make(chan os.Signal, 2*pid1.MaxSignal)
	signal.Notify(children, unix.SIGCHLD)
	for n := syscall.Signal(1); n <= pid1.MaxSignal; n++ {
		// SIGURG is how Go's scheduler interrupts goroutines, SIGPIPE comes with
		// EPIPE: nobody sends them to say something.
		if n != unix.SIGCHLD && n != unix.SIGURG && n != unix.SIGPIPE {
			signal.Notify(others, n)
		}
	}
	catchStrays(stray)
	go s.receive(children, others)
	return s, nil
}

func (s *signals) receive(children, others <-chan os.Signal) {
	one := [8]byte{0: 1}
	if *(*uint16)(unsafe.Pointer(&one)) != 1 {
		one = [8]byte{7: 1}
	}
	for {
		var sig os.Signal
		select {
		case sig = <-children:
		case sig = <-others:
		}
		if n, ok := sig.(syscall.Signal); ok && n >= 1 && n <= pid1.MaxSignal {
			s.bits.Or(1 << (n - 1))
			raw.Write(s.fd, one[:])
		}
	}
}

// take is which signals came since the last time, signal n in bit n-1.
func (s *signals) take() uint64 {
	var count [8]byte
	raw.Read(s.fd, count[:])
	bits := s.bits.Swap(0)
	if raw.Read(s.stray, count[:]) > 0 {
		bits |= 1 << (34 - 1)
	}
	return bits
}

// defaultDispositions gives every ignored signal its default action: what PID 1
// ignores, its children would ignore too, and a container's runtime may start it
// with anything. Go resets in the child what it handles itself.
func defaultDispositions() {
	// struct sigaction of the kernel: the handler comes first, and all zero is
	// SIG_DFL; no machine has a larger one.
	var old, dfl [64]byte
	for n := uintptr(1); n <= pid1.MaxSignal; n++ {
		if n == uintptr(unix.SIGKILL) || n == uintptr(unix.SIGSTOP) {
			continue
		}
		_, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, n, 0, uintptr(unsafe.Pointer(&old)), 8, 0, 0)
		const ignored = 1 // SIG_IGN
		if e == 0 && *(*uintptr)(unsafe.Pointer(&old)) == ignored {
			unix.RawSyscall6(unix.SYS_RT_SIGACTION, n, uintptr(unsafe.Pointer(&dfl)), 0, 8, 0, 0)
		}
	}
}

// emptyMask unblocks every signal in this thread; a child gets the mask of the
// thread that forks it.
func emptyMask() {
	var none unix.Sigset_t
	unix.PthreadSigmask(unix.SIG_SETMASK, &none, nil)
}
