package main

import (
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func (kernel) Now() time.Time { return time.Now() }

func (kernel) SetClock(t time.Time) error {
	ts := unix.NsecToTimespec(t.UnixNano())
	return os.NewSyscallError("clock_settime", unix.ClockSettime(unix.CLOCK_REALTIME, &ts))
}

// zone is struct timezone of settimeofday(2).
type zone struct{ minutesWest, dst int32 }

// SetZone calls settimeofday without a time. The first such call since boot would make the
// kernel take the clock for local time, and change it by the zone (settimeofday(2)): a
// zone of zero is given first, which changes it by nothing.
func (kernel) SetZone(minutesWest int) error {
	for _, z := range []zone{{}, {minutesWest: int32(minutesWest)}} {
		if _, _, errno := unix.Syscall(unix.SYS_SETTIMEOFDAY, 0, uintptr(unsafe.Pointer(&z)), 0); errno != 0 {
			return os.NewSyscallError("settimeofday", errno)
		}
	}
	return nil
}

// openRTC opens the hardware clock that the system goes by.
func openRTC(flags int) (*os.File, error) {
	var failures error
	for _, p := range []string{"/dev/rtc", "/dev/rtc0"} {
		f, err := os.OpenFile(p, flags, 0)
		if err == nil {
			return f, nil
		}
		failures = errors.Join(failures, err)
	}
	return nil, failures
}

func (kernel) ReadRTC() (time.Time, error) {
	f, err := openRTC(os.O_RDONLY)
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	r, err := unix.IoctlGetRTCTime(int(f.Fd()))
	if err != nil {
		return time.Time{}, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return time.Date(int(r.Year)+1900, time.Month(r.Mon+1), int(r.Mday), int(r.Hour), int(r.Min), int(r.Sec), 0, time.UTC), nil
}

func (kernel) WriteRTC(shown time.Time) error {
	f, err := openRTC(os.O_WRONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	r := &unix.RTCTime{Year: int32(shown.Year() - 1900), Mon: int32(shown.Month()) - 1, Mday: int32(shown.Day()), Hour: int32(shown.Hour()), Min: int32(shown.Minute()), Sec: int32(shown.Second())}
	if err := unix.IoctlSetRTCTime(int(f.Fd()), r); err != nil {
		return fmt.Errorf("set %s: %w", f.Name(), err)
	}
	return nil
}

func (kernel) MaxError() (int64, error) {
	var t unix.Timex // no mode: only read
	if _, err := unix.Adjtimex(&t); err != nil {
		return 0, os.NewSyscallError("adjtimex", err)
	}
	return int64(t.Maxerror), nil
}
