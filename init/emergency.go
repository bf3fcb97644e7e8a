package main

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// shells are tried in turn. sulogin(8) asks for root's password when there is one
// and refuses when the account is locked, which are the rules wanted here; that of
// BusyBox does the same.
var sulogins = [][]string{
	{"/usr/sbin/sulogin"}, {"/sbin/sulogin"}, {"/usr/bin/sulogin"}, {"/bin/sulogin"},
	{"/bin/busybox", "sulogin"}, {"/usr/bin/busybox", "sulogin"},
}

// openShells ask for nothing. They are for an initramfs, where there are no accounts,
// and for a command line that asks for it: who can write that can have init=/bin/sh.
var openShells = [][]string{{"/bin/sh"}, {"/usr/bin/sh"}, {"/bin/busybox", "sh"}, {"/usr/bin/busybox", "sh"}}

// startShell starts the emergency shell on the console, in a session of its own.
func startShell(open bool) (pid int, errno syscall.Errno) {
	console, err := unix.Open("/dev/console", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, unix.ENXIO
	}
	defer unix.Close(console)
	list := sulogins
	if open {
		list = openShells
	}
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "TERM=linux", "PS1=(dynamod-emergency) # "}
	errno = unix.ENOENT
	for _, argv := range list {
		c := child{argv: argv, env: env, files: []uintptr{uintptr(console), uintptr(console), uintptr(console)}, console: true}
		pid, pidfd, e := c.start()
		if e == 0 {
			if pidfd >= 0 {
				unix.Close(pidfd)
			}
			return pid, 0
		}
		if e != unix.ENOENT {
			errno = e
		}
	}
	return 0, errno
}

func (r *runner) startShell() (pid int, errno syscall.Errno) { return startShell(r.opts.openShell) }
