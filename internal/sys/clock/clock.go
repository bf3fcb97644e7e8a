// Package clock reads the clock that counts suspend. It owns nothing else: wall
// time is time.Now.
package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// Boottime is the time since boot, suspend included (CLOCK_BOOTTIME,
// clock_gettime(2)).
func Boottime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// It has existed since Linux 2.6.39 and fails for nobody.
		panic("clock_gettime CLOCK_BOOTTIME: " + err.Error())
	}
	return time.Duration(ts.Nano())
}
