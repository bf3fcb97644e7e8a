// Package epoll waits for many descriptors in one goroutine without keeping a
// thread: the epoll descriptor itself is registered with the Go runtime's poller
// (epoll(7) descriptors are pollable).
package epoll

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	In     = unix.EPOLLIN
	Pri    = unix.EPOLLPRI
	Closed = unix.EPOLLHUP | unix.EPOLLERR
)

// Poll is one set of descriptors. Add, Remove and Change may be called by any
// goroutine; Wait and Close by one.
type Poll struct {
	fd   int
	file *os.File
	raw  syscall.RawConn
	evs  [64]unix.EpollEvent
}

// Event is a descriptor that became ready, under the tag it was added with.
type Event struct {
	Tag    uint64
	Events uint32
}

func New() (*Poll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	// Only a descriptor that says it is non-blocking joins the runtime's poller.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("epoll non-blocking: %w", err)
	}
	f := os.NewFile(uintptr(fd), "epoll")
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &Poll{fd: fd, file: f, raw: raw}, nil
}

func event(events uint32, tag uint64) *unix.EpollEvent {
	return &unix.EpollEvent{Events: events, Fd: int32(uint32(tag)), Pad: int32(uint32(tag >> 32))}
}

// Add watches fd, level-triggered, under tag.
func (p *Poll) Add(fd int, events uint32, tag uint64) error {
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, event(events, tag)); err != nil {
		return fmt.Errorf("epoll add %d: %w", fd, err)
	}
	return nil
}

// Remove stops watching fd; it must come before fd is closed.
func (p *Poll) Remove(fd int) error {
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil); err != nil {
		return fmt.Errorf("epoll remove %d: %w", fd, err)
	}
	return nil
}

// Wait calls handle for each ready descriptor, again and again, until Close.
func (p *Poll) Wait(handle func(Event)) error {
	var fail error
	err := p.raw.Read(func(uintptr) bool {
		for {
			n, err := unix.EpollWait(p.fd, p.evs[:], 0)
			switch {
			case err == unix.EINTR:
				continue
			case err != nil:
				fail = fmt.Errorf("epoll_wait: %w", err)
				return true
			case n == 0:
				// The runtime's poller is edge-triggered: it may be asked
				// to wait only after everything was drained.
				return false
			}
			for _, e := range p.evs[:n] {
				handle(Event{uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32, e.Events})
			}
		}
	})
	if fail != nil {
		return fail
	}
	return err
}

// Close makes Wait return.
func (p *Poll) Close() error { return p.file.Close() }
