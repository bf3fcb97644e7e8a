// Package clock reads the clocks that go on from boot. It owns nothing else: wall
// time is time.Now.
package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// Boottime is the time since boot, suspend included (CLOCK_BOOTTIME,
// clock_gettime(2)).
func Boottime() time.Duration { return read(unix.CLOCK_BOOTTIME, "CLOCK_BOOTTIME") }

// Monotonic is the time since boot without suspend (CLOCK_MONOTONIC, clock_gettime(2)),
// which PID 1 goes by.
func Monotonic() time.Duration { return read(unix.CLOCK_MONOTONIC, "CLOCK_MONOTONIC") }

func read(id int32, name string) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		// Both have existed since Linux 2.6.39 and fail for nobody.
		panic("clock_gettime " + name + ": " + err.Error())
	}
	return time.Duration(ts.Nano())
}
