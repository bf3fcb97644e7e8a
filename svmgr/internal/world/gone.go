package world

import (
	"golang.org/x/sys/unix"

	"dynamod/internal/sys/pidfd"
)

// WhenGone calls f once a process is no more, which need be no child, on a goroutine of
// its own. fd, if not -1, is somebody's descriptor of the process.
func (w *World) WhenGone(pid int32, fd int, f func()) error {
	own, err := pidfd.Open(int(pid))
	if err != nil {
		return err
	}
	// The number is still that of the process if the process lives now.
	if fd >= 0 {
		if err := pidfd.Signal(fd, 0); err != nil {
			unix.Close(own)
			return err
		}
	}
	go func() { // ends with the process
		defer unix.Close(own)
		if err := pidfd.Wait(own); err != nil {
			w.log.Warn("a process cannot be watched", "pid", pid, "err", err)
			return
		}
		f()
	}()
	return nil
}
