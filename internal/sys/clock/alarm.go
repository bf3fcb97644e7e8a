package clock

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Alarm rings at moments of CLOCK_BOOTTIME. Other than Go's timers it counts suspend:
// what came due meanwhile rings as soon as the machine is awake, and SetWake even
// wakes it (timerfd_create(2), CLOCK_BOOTTIME_ALARM). All methods but Rings are for
// one goroutine; a nil Alarm never rings.
type Alarm struct {
	rings  chan struct{}
	set    hand
	wake   hand
	noWake error
}

// hand is one timer and the moment it is set to, 0 for none.
type hand struct {
	fd   int
	file *os.File
	at   time.Duration
}

// NewAlarm makes one that is not set.
func NewAlarm() (*Alarm, error) {
	a := &Alarm{rings: make(chan struct{}, 1)}
	if err := a.start(&a.set, unix.CLOCK_BOOTTIME); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *Alarm) start(h *hand, clock int) error {
	fd, err := unix.TimerfdCreate(clock, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("make a timer: %w", err)
	}
	h.fd, h.file = fd, os.NewFile(uintptr(fd), "timerfd")
	go func() { // ends with Close
		var count [8]byte
		for {
			if _, err := h.file.Read(count[:]); err != nil {
				return
			}
			select {
			case a.rings <- struct{}{}:
			default: // one says it all
			}
		}
	}()
	return nil
}

// Rings gets a value when a moment has come.
func (a *Alarm) Rings() <-chan struct{} {
	if a == nil {
		return nil
	}
	return a.rings
}

// Set replaces the moment; 0 is none. One in the past rings at once.
func (a *Alarm) Set(at time.Duration) error { return a.set.move(at) }

// SetWake replaces the moment at which the machine must be awake; 0 is none. It needs
// CAP_WAKE_ALARM and a clock that can do it; without them each call that sets a moment
// fails with the same error.
func (a *Alarm) SetWake(at time.Duration) error {
	if a.wake.file == nil {
		if at == 0 {
			return nil
		}
		if a.noWake == nil {
			a.noWake = a.start(&a.wake, unix.CLOCK_BOOTTIME_ALARM)
		}
		if a.noWake != nil {
			return a.noWake
		}
	}
	return a.wake.move(at)
}

func (h *hand) move(at time.Duration) error {
	if at == h.at {
		return nil
	}
	var spec unix.ItimerSpec
	if at != 0 {
		spec.Value = unix.NsecToTimespec(max(int64(at), 1))
	}
	if err := unix.TimerfdSettime(h.fd, unix.TFD_TIMER_ABSTIME, &spec, nil); err != nil {
		return fmt.Errorf("set a timer: %w", err)
	}
	h.at = at
	return nil
}

// Close ends it.
func (a *Alarm) Close() {
	for _, h := range [...]*hand{&a.set, &a.wake} {
		if h.file != nil {
			h.file.Close()
		}
	}
}
