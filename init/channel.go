package main

import (
	"golang.org/x/sys/unix"

	"dynamod/init/internal/pid1"
	"dynamod/init/internal/raw"
	ipc "dynamod/internal/ipc/pid1"
)

// channel is the socket to the manager with what is under way on it.
type channel struct {
	sock int // -1: no channel

	in  [2 * ipc.MaxFrame]byte
	inN int
	// held: complete messages are left in it until there is room for their answers.
	held bool
	// fds came with bytes of in and are not claimed yet.
	fds  [2 * ipc.MaxFDs]int32
	fdsN int

	out     []byte // what is left of the frame under way
	outBuf  [ipc.MaxFrame]byte
	outFDs  [ipc.MaxFDs]int32
	outFDsN int

	deaf    bool // the other end is closed
	events  uint32
	retryAt pid1.Time // when to try again to send what the kernel had no room for
}

func (c *channel) open() bool { return c.sock >= 0 }

// close forgets everything about the channel.
func (c *channel) close() {
	if c.sock >= 0 {
		raw.Close(c.sock)
	}
	for _, fd := range c.fds[:c.fdsN] {
		raw.Close(int(fd))
	}
	c.sock, c.inN, c.held, c.fdsN, c.out, c.outFDsN, c.deaf, c.events, c.retryAt = -1, 0, false, 0, nil, 0, false, 0, 0
}

// lastWords bounds what is read of a manager that has ended: a process that it left
// its end to could go on writing for ever.
const lastWords = 256

// receive reads what there is, at most a few buffers at a time, and hands every
// message over. With all it reads until the channel is empty.
func (r *runner) receive(all bool) {
	turns := 4
	if all {
		turns = lastWords
	}
	if r.held {
		r.takeFrames(all)
	}
	for ; turns > 0 && r.open() && !r.deaf; turns-- {
		if r.m.Full() && !all {
			return
		}
		var fds [raw.MaxFDs]int32
		n, nfds, errno := raw.Recv(r.sock, r.in[r.inN:], &fds)
		switch {
		case errno == unix.EAGAIN:
			return
		case errno != 0 || n == 0:
			r.deaf = true
			if !all {
				r.step(pid1.Event{Kind: pid1.Deaf})
			}
			return
		}
		r.inN += n
		for _, fd := range fds[:nfds] {
			if r.fdsN == len(r.fds) {
				raw.Close(int(fd))
				continue
			}
			r.fds[r.fdsN] = fd
			r.fdsN++
		}
		r.takeFrames(all)
	}
}

// takeFrames hands over the messages that are complete, as long as there is room for their
// answers; with all it does not care, because nobody will read those. Descriptors belong to the
// frame that the bytes they came with end in, which is the last one of the buffer;
// a Deposit before it that says how many it wants has brought its own, because the
// kernel ends a read behind each set of descriptors (unix(7)).
func (r *runner) takeFrames(all bool) {
	at := 0
	for r.held = false; at < r.inN; {
		if r.held = r.m.Full() && !all; r.held {
			break
		}
		payload, n, err := ipc.Next(r.in[at:r.inN])
		if payload == nil && err == nil {
			break
		}
		at += n
		if err == nil {
			err = ipc.Decode(payload, &r.msg)
		}
		if err != nil {
			r.step(pid1.Event{Kind: pid1.Junk, Number: int64(n)})
			continue
		}
		claim := 0
		if r.msg.Kind == ipc.Deposit {
			claim = min(int(r.msg.Count), r.fdsN)
		}
		r.step(pid1.Event{Kind: pid1.Received, Message: &r.msg, FDs: r.fds[:claim]})
		r.fdsN = copy(r.fds[:], r.fds[claim:r.fdsN])
	}
	r.inN = copy(r.in[:], r.in[at:r.inN])
	if r.inN == 0 {
		for _, fd := range r.fds[:r.fdsN] {
			raw.Close(int(fd))
		}
		r.fdsN = 0
	}
}

// send writes as long as there is something to say and the kernel takes it.
func (r *runner) send() {
	r.retryAt = 0
	for r.open() && !r.deaf {
		if len(r.out) == 0 {
			n, ok := r.m.Next(r.now(), &r.msg, &r.outFDs)
			if !ok {
				return
			}
			if r.msg.Kind == ipc.WatchdogIs {
				r.tellWatchdog(&r.msg)
			}
			b, err := ipc.Append(r.outBuf[:0], &r.msg)
			if err != nil {
				continue // a message of ours that does not fit: a test holds that there is none
			}
			r.out, r.outFDsN = b, n
		}
		n, errno := raw.Send(r.sock, r.out, r.outFDs[:r.outFDsN])
		switch errno {
		case 0:
			r.out, r.outFDsN = r.out[n:], 0
		case unix.EAGAIN:
			return
		case unix.ETOOMANYREFS, unix.ENOMEM, unix.ENOBUFS:
			// Too many descriptors are on their way, or too little memory:
			// nothing announces when that is over.
			r.retryAt = r.now() + pid1.Second/20
			return
		default:
			// The other end reads no more. It may have said something before, which
			// is read even if there is no room for the answers: nobody waits for them.
			r.receive(true)
			if r.open() {
				r.deaf = true
				r.step(pid1.Event{Kind: pid1.Deaf})
			}
			return
		}
	}
}

// interest tells epoll what the channel waits for. Nothing is asked of one that is
// closed at the other end: it would be ready for ever.
func (r *runner) interest() {
	if !r.open() {
		return
	}
	var want uint32
	switch {
	case r.deaf:
	case len(r.out) > 0 && r.retryAt == 0:
		want = unix.EPOLLOUT
		fallthrough
	default:
		if !r.m.Full() {
			want |= unix.EPOLLIN
		}
	}
	if want == r.events {
		return
	}
	if r.deaf {
		// EPOLLHUP is told whether it is asked for or not.
		unix.EpollCtl(r.epoll, unix.EPOLL_CTL_DEL, r.sock, nil)
	} else {
		ev := unix.EpollEvent{Events: want, Fd: tagSocket}
		unix.EpollCtl(r.epoll, unix.EPOLL_CTL_MOD, r.sock, &ev)
	}
	r.events = want
}
