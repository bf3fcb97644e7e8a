package world

import (
	"sync"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/epoll"
)

// errands is work that others have for the watcher, which alone may end processes.
// What is waiting is bounded by the processes that live.
type errands struct {
	fd   int
	tag  uint64
	mu   sync.Mutex
	todo []func()
}

func (w *World) startErrands() error {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return err
	}
	w.errands.fd = fd
	return w.watchFD(fd, epoll.In, &w.errands.tag, func(uint32) {
		var b [8]byte
		_, _ = unix.Read(fd, b[:])
		w.errands.mu.Lock()
		todo := w.errands.todo
		w.errands.todo = nil
		w.errands.mu.Unlock()
		for _, f := range todo {
			f()
		}
	})
}

// inWatcher has the watcher call f, soon.
func (w *World) inWatcher(f func()) {
	w.errands.mu.Lock()
	w.errands.todo = append(w.errands.todo, f)
	w.errands.mu.Unlock()
	one := [8]byte{1}
	_, _ = unix.Write(w.errands.fd, one[:]) // full: it is to be called anyway
}
