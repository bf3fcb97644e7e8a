package clock

import (
	"errors"
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// Changes tells when somebody sets the wall clock (timerfd_create(2),
// TFD_TIMER_CANCEL_ON_SET).
type Changes struct {
	fd   int
	file *os.File
}

// WatchChanges begins to watch.
func WatchChanges() (*Changes, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch the wall clock: %w", err)
	}
	c := &Changes{fd: fd}
	if err := c.arm(); err != nil {
		unix.Close(fd)
		return nil, err
	}
	c.file = os.NewFile(uintptr(fd), "timerfd")
	return c, nil
}

// arm sets the timer to the end of time: it is never to elapse.
func (c *Changes) arm() error {
	spec := unix.ItimerSpec{Value: unix.Timespec{Sec: math.MaxInt64 / 2_000_000_000}}
	const cancelOnSet = 2 // TFD_TIMER_CANCEL_ON_SET
	for {
		err := unix.TimerfdSettime(c.fd, unix.TFD_TIMER_ABSTIME|cancelOnSet, &spec, nil)
		if errors.Is(err, unix.ECANCELED) {
			continue // set in between: the next read tells
		}
		if err != nil {
			return fmt.Errorf("watch the wall clock: %w", err)
		}
		return nil
	}
}

// Next waits for a change; false means that Close was called.
func (c *Changes) Next() (bool, error) {
	var count [8]byte
	_, err := c.file.Read(count[:])
	switch {
	case errors.Is(err, unix.ECANCELED):
		return true, c.arm()
	case errors.Is(err, os.ErrClosed):
		return false, nil
	case err == nil:
		return true, c.arm() // the end of time has come
	}
	return false, fmt.Errorf("watch the wall clock: %w", err)
}

// Close ends Next.
func (c *Changes) Close() { c.file.Close() }
