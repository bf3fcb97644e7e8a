package main

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"dynamod/init/internal/pid1"
	"dynamod/init/internal/raw"
	ipc "dynamod/internal/ipc/pid1"
)

// watchdog is hardware that resets the machine when nobody feeds it
// (Documentation/watchdog/watchdog-api.rst of the kernel).
type watchdog struct {
	fd int
	// pre is how long before its end the kernel warns, kexec its time while another
	// kernel takes over, 0 for disarmed.
	pre, kexec pid1.Time
	governor   [ipc.MaxGovernor]byte
	governorN  int
	// pinged is when it was fed last, by CLOCK_BOOTTIME.
	pinged int64
}

const (
	wdiocSetTimeout    = 0xC0045706 // WDIOC_SETTIMEOUT, linux/watchdog.h
	wdiocSetPretimeout = 0xC0045708 // WDIOC_SETPRETIMEOUT
)

// openWatchdog arms the watchdog, if the command line gives it a time.
func (r *runner) openWatchdog() {
	if r.opts.watchdog > 0 {
		r.armWatchdog()
	}
}

// armWatchdog gives the watchdog the time of the options, and opens it if need be. What
// fails is said in the log, too. Without hardware there is no time either: it is tried
// again when it is set again.
func (r *runner) armWatchdog() (errno unix.Errno) {
	o := &r.opts
	if o.watchdog == 0 {
		if r.dog.fd >= 0 {
			unix.Write(r.dog.fd, []byte{'V'}) // the magic close: it is disarmed
			unix.Close(r.dog.fd)
			r.dog.fd = -1
			r.log.say(5, "the watchdog is disarmed")
		}
		o.cfg.Feed = 0
		return 0
	}
	if r.dog.fd < 0 {
		fd, err := unix.Open(o.watchdogDevice, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			r.log.say(3, "open the watchdog "+o.watchdogDevice+": "+err.Error())
			o.watchdog = 0
			return errnoOf(err)
		}
		r.dog.fd = fd
	}
	got, err := r.dog.setTimeout(o.watchdog)
	if err != nil {
		// It keeps the time that it has; feeding it often enough is all there is.
		r.log.say(3, "set the watchdog's time to "+seconds(o.watchdog)+": "+err.Error())
	} else {
		r.log.say(5, "the watchdog resets the machine after "+seconds(got)+" without a sign of life")
	}
	o.cfg.Feed = feedEvery(min(o.watchdog, max(got, pid1.Second)))
	if r.dog.pre > 0 {
		if e := r.dog.setPretimeout(r.dog.pre); e != 0 {
			r.log.say(3, "let the watchdog warn "+seconds(r.dog.pre)+" before: "+e.Error())
			r.dog.pre = 0
		}
	}
	return errnoOf(err)
}

func errnoOf(err error) unix.Errno {
	e, _ := err.(unix.Errno)
	return e
}

// setWatchdog does what the manager asks for.
func (r *runner) setWatchdog(what ipc.Setting, usec uint64, text []byte) (errno unix.Errno) {
	t := pid1.Time(min(usec, 1<<40) * 1000)
	switch what {
	case ipc.RuntimeWatchdog:
		r.opts.watchdog = t
		errno = r.armWatchdog()
	case ipc.RebootWatchdog:
		r.opts.rebootWatchdog = t
	case ipc.KexecWatchdog:
		r.dog.kexec = t
	case ipc.PreTimeout:
		if errno = r.dog.setPretimeout(t); errno == 0 {
			r.dog.pre = t
		}
	case ipc.Governor:
		if errno = r.dog.setGovernor(text); errno == 0 {
			r.dog.governorN = copy(r.dog.governor[:], text)
		}
	}
	return errno
}

// tellWatchdog fills in an answer.
func (r *runner) tellWatchdog(msg *ipc.Message) {
	usec := func(t pid1.Time) uint64 { return uint64(t) / 1000 }
	msg.Dog = ipc.Dog{Runtime: usec(r.opts.watchdog), Pre: usec(r.dog.pre), Reboot: usec(r.opts.rebootWatchdog), Kexec: usec(r.dog.kexec),
		Pinged: uint64(r.dog.pinged) / 1000}
	if r.dog.fd >= 0 && len(r.opts.watchdogDevice) <= ipc.MaxName {
		msg.Name = []byte(r.opts.watchdogDevice)
	}
	msg.Text = r.dog.governor[:r.dog.governorN]
}

// setPretimeout sets it in whole seconds; without hardware it is remembered until
// that is armed.
func (w *watchdog) setPretimeout(t pid1.Time) unix.Errno {
	if w.fd < 0 {
		return 0
	}
	n := int32(min(t/pid1.Second, 1<<20))
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(w.fd), wdiocSetPretimeout, uintptr(unsafe.Pointer(&n)))
	return e
}

// setGovernor writes the governor of what comes before the reset
// (Documentation/ABI/testing/sysfs-class-watchdog of the kernel).
func (w *watchdog) setGovernor(name []byte) unix.Errno {
	var st unix.Stat_t
	if err := unix.Fstat(w.fd, &st); err != nil {
		return unix.EBADF
	}
	dev := strconv.Itoa(int(unix.Major(st.Rdev))) + ":" + strconv.Itoa(int(unix.Minor(st.Rdev)))
	fd, err := unix.Open("/sys/dev/char/"+dev+"/pretimeout_governor", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = unix.Write(fd, name)
		unix.Close(fd)
	}
	return errnoOf(err)
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
		r.dog.pinged = raw.Now(unix.CLOCK_BOOTTIME)
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
