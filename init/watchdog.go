package main

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"dynamod/init/internal/pid1"
)

// watchdog is hardware that resets the machine when nobody feeds it
// (Documentation/watchdog/watchdog-api.rst of the kernel).
type watchdog struct{ fd int }

const wdiocSetTimeout = 0xC0045706 // WDIOC_SETTIMEOUT, linux/watchdog.h

// openWatchdog arms the watchdog, if the command line gives it a time.
func (r *runner) openWatchdog() {
	o := &r.opts
	if o.watchdog == 0 {
		return
	}
	fd, err := unix.Open(o.watchdogDevice, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		r.log.say(3, "open the watchdog "+o.watchdogDevice+": "+err.Error())
		return
	}
	r.dog.fd = fd
	got, err := r.dog.setTimeout(o.watchdog)
	if err != nil {
		// It keeps the time that it has; feeding it often enough is all there is.
		r.log.say(3, "set the watchdog's time to "+seconds(o.watchdog)+": "+err.Error())
	} else {
		r.log.say(5, "the watchdog resets the machine after "+seconds(got)+" without a sign of life")
	}
	r.opts.cfg.Feed = feedEvery(min(o.watchdog, max(got, pid1.Second)))
}

func seconds(t pid1.Time) string { return strconv.Itoa(int(t/pid1.Second)) + " s" }

// setTimeout asks for a time in whole seconds; the driver says what it became.
func (w *watchdog) setTimeout(t pid1.Time) (got pid1.Time, err error) {
	n := int32(min(max(t/pid1.Second, 1), 1<<20))
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(w.fd), wdiocSetTimeout, uintptr(unsafe.Pointer(&n))); e != 0 {
		return pid1.Time(n) * pid1.Second, e
	}
	return pid1.Time(n) * pid1.Second, nil
}

// feed keeps the hardware from resetting the machine.
func (r *runner) feed() {
	if r.dog.fd >= 0 {
		unix.Write(r.dog.fd, []byte{0})
	}
}

// leave is for the end of the machine: the watchdog gets the time that the rest may
// take, so that an end that hangs is a reset, or is disarmed ('V', the API's magic
// close) where the machine shall stand still or another kernel takes over.
func (w *watchdog) leave(stands bool, t pid1.Time) (err error) {
	if w.fd < 0 {
		return nil
	}
	if stands || t == 0 {
		_, err = unix.Write(w.fd, []byte{'V'})
		unix.Close(w.fd)
		w.fd = -1
		return err
	}
	_, err = w.setTimeout(t)
	unix.Write(w.fd, []byte{0})
	return err
}
