package main

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/init/internal/pid1"
	"dynamod/init/internal/raw"
	ipc "dynamod/internal/ipc/pid1"
)

// TestLoopAllocatesNothing: a turn of the loop with messages both ways, descriptors,
// signals and log lines.
func TestLoopAllocatesNothing(t *testing.T) {
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	o := options{cfg: pid1.Defaults(), run: t.TempDir()}
	r, err := newRunner(o, &signals{fd: event, stray: -1}, &logger{kmsg: -1, console: int(null.Fd())})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	r.sock = pair[0]
	r.watch(r.sock, unix.EPOLLIN, tagSocket)
	r.m.Step(r.now(), &pid1.Event{Kind: pid1.Began})
	r.m.Step(r.now(), &pid1.Event{Kind: pid1.DeadlinePassed})
	r.step(pid1.Event{Kind: pid1.Spawned, Number: 1 << 29})

	var in []byte
	for _, msg := range []ipc.Message{{Kind: ipc.Deposit, Unit: []byte("a"), Name: []byte("b"), Count: 1},
		{Kind: ipc.Hello, Count: 1}, {Kind: ipc.Heartbeat}, {Kind: ipc.LogToKmsg, Level: 6, Text: []byte("a line")}} {
		b, err := ipc.Append(make([]byte, 0, ipc.MaxFrame), &msg)
		if err != nil {
			t.Fatal(err)
		}
		in = append(in, b...)
	}
	withdraw, _ := ipc.Append(make([]byte, 0, ipc.MaxFrame), &ipc.Message{Kind: ipc.Withdraw, Unit: []byte("a")})
	buf := make([]byte, 65536)
	allocs := testing.AllocsPerRun(100, func() {
		var fds [raw.MaxFDs]int32
		give := [1]int32{int32(event)}
		raw.Send(pair[1], in, give[:])
		r.receive(false)
		if r.m.Kept() != 1 {
			t.Fatalf("%d descriptors are kept", r.m.Kept())
		}
		r.step(pid1.Event{Kind: pid1.Reaped, Exit: ipc.Exit{PID: 77, Start: 1}})
		r.send()
		r.interest()
		r.arm()
		if n, nfds, _ := raw.Recv(pair[1], buf, &fds); n == 0 || nfds != 1 {
			t.Fatalf("%d bytes and %d descriptors came", n, nfds)
		}
		raw.Close(int(fds[0]))
		raw.Send(pair[1], withdraw, nil)
		r.sig.bits.Or(1) // SIGHUP
		r.signals()
		r.receive(false)
		r.send()
		for {
			if _, _, e := raw.Recv(pair[1], buf, &fds); e != 0 {
				break
			}
		}
		r.reports = 1
		r.progress()
	})
	if allocs != 0 {
		t.Errorf("%v allocations per turn; want 0", allocs)
	}
}
