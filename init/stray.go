package main

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"dynamod/init/internal/pid1"
)

// The signals that Go's run-time leaves to the C libraries, whatever os/signal is
// asked for: 32 is glibc's for cancellation, 34 is musl's for the calls that concern
// all threads, and SIGRTMIN+0 of everybody else.
var strays = [...]uintptr{32, 34}

// strayFDs is where the handler tells of a signal, -1 for nowhere. The handler, which
// is no Go, reads it and strayOne.
var (
	strayFDs [pid1.MaxSignal + 1]int32
	//lint:ignore U1000 the handler reads it
	strayOne = uint64(1)
)

// catchStrays gives these signals a handler, which tells of 34 in fd. Without one a
// signal would end PID 1: the kernel drops what the init of a namespace has no handler
// for, unless the signal is blocked in the first thread, as all are while one is
// handled, and free in another; then it ends the process. Elsewhere than on amd64 and
// arm64, where the handler is not written, it does nothing.
func catchStrays(fd int) {
	handler := strayHandler()
	if handler == 0 {
		return
	}
	for n := range strayFDs {
		strayFDs[n] = -1
	}
	strayFDs[34] = int32(fd)
	// Flags, mask and the way back from the handler are those of Go's own, which 35
	// has. The handler comes first in the kernel's struct sigaction.
	var act [64]byte
	if _, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, 35, 0, uintptr(unsafe.Pointer(&act)), 8, 0, 0); e != 0 {
		return
	}
	*(*uintptr)(unsafe.Pointer(&act)) = handler
	for _, n := range strays {
		unix.RawSyscall6(unix.SYS_RT_SIGACTION, n, uintptr(unsafe.Pointer(&act)), 0, 8, 0, 0)
	}
}
