package early

import (
	"os"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/booted"
)

// links are names in /dev that programs take for granted (hier(7), systemd's
// udev rules have none of them).
var links = [][2]string{
	{"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"}, {"/proc/self/fd/1", "/dev/stdout"},
	{"/proc/self/fd/2", "/dev/stderr"}, {"/proc/kcore", "/dev/core"},
}

// Places makes links and directories.
func Places(say Say) {
	for _, l := range links {
		if err := os.Symlink(l[0], l[1]); err != nil && !os.IsExist(err) {
			say(4, err.Error())
		}
	}
	for _, err := range booted.Make("/") {
		say(4, err.Error())
	}
	if err := os.Mkdir("/run/lock", 0o755); err != nil && !os.IsExist(err) {
		say(4, err.Error())
	}
	if err := os.Chmod("/run/lock", 0o777|os.ModeSticky); err != nil {
		say(4, err.Error())
	}
}

// Keyboard makes Ctrl-Alt-Del and the keyboard request (Alt-Up) signals to PID 1:
// SIGINT and SIGWINCH (reboot(2), ioctl_console(2)).
func Keyboard(say Say) {
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF); err != nil {
		say(4, "take Ctrl-Alt-Del: "+err.Error())
	}
	fd, err := unix.Open("/dev/tty0", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return // no virtual terminals
	}
	const kdSigAccept = 0x4B4E // KDSIGACCEPT
	if err := unix.IoctlSetInt(fd, kdSigAccept, int(unix.SIGWINCH)); err != nil {
		say(6, "take the keyboard request: "+err.Error())
	}
	unix.Close(fd)
}

// Loopback brings up lo, which services expect before any network is configured; the
// kernel gives it its addresses (netdevice(7)).
func Loopback(say Say) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == unix.EAFNOSUPPORT {
		return
	}
	if err == nil {
		defer unix.Close(fd)
		var r *unix.Ifreq
		if r, err = unix.NewIfreq("lo"); err == nil {
			if err = unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, r); err == nil {
				r.SetUint16(r.Uint16() | unix.IFF_UP)
				err = unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
			}
		}
	}
	if err != nil {
		say(4, "bring up lo: "+err.Error())
	}
}

// Console makes sure that descriptors 0, 1 and 2 are something: the console, or what
// swallows everything. Where the kernel could not open the console for PID 1, Go's
// run-time has put /dev/null there.
func Console(say Say) {
	var null, st unix.Stat_t
	haveNull := unix.Stat("/dev/null", &null) == nil
	fd := -1
	for n := range 3 {
		err := unix.Fstat(n, &st)
		if err == nil && (!haveNull || st.Rdev != null.Rdev || st.Mode&unix.S_IFMT != unix.S_IFCHR) {
			continue
		}
		if fd < 0 {
			var e error
			if fd, e = unix.Open("/dev/console", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0); e != nil {
				if err == nil {
					return // /dev/null it stays
				}
				if fd, e = unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0); e != nil {
					say(3, "neither /dev/console nor /dev/null can be opened: "+e.Error())
					return
				}
			}
		}
		if fd != n {
			if err := unix.Dup3(fd, n, 0); err != nil {
				say(3, "set up standard input and output: "+err.Error())
			}
		}
	}
	if fd > 2 {
		unix.Close(fd)
	}
}
