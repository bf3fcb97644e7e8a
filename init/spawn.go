package main

import (
	"errors"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/timerslack"
)

// managerFD is where the manager finds its end of the channel.
const managerFD = 3

// frugalHeap keeps huge pages away from a Go program's heap (package runtime, "Environment
// Variables"): where the kernel gives them unasked, as Debian's does, what is freed comes
// back (transhuge, max_ptes_none).
const frugalHeap = "GODEBUG=disablethp=1"

// managerEnviron is the whole environment of the manager.
func managerEnviron(container bool) []string {
	env := []string{"DYNAMOD_INIT_FD=" + strconv.Itoa(managerFD), "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "TERM=linux", frugalHeap}
	if container {
		env = append(env, "DYNAMOD_CONTAINER=1")
		if name := os.Getenv("container"); name != "" {
			env = append(env, "container="+name)
		}
	}
	return env
}

// child is what is the same for every process that PID 1 starts.
type child struct {
	argv, env []string
	files     []uintptr
	console   bool // make descriptor 0 its controlling terminal
	slack     int  // of its timers, in ns; 0 is this thread's
}

// start forks from this thread, which the caller has locked and whose mask is
// empty. The child has its own session, its program or an error is known when start
// returns, and pidfd names it for good.
func (c *child) start() (pid, pidfd int, errno unix.Errno) {
	pidfd = -1
	attr := &syscall.ProcAttr{Dir: "/", Env: c.env, Files: c.files,
		Sys: &syscall.SysProcAttr{Setsid: true, Setctty: c.console, PidFD: &pidfd}}
	var err error
	fork := func() { pid, err = syscall.ForkExec(c.argv[0], c.argv, attr) }
	if c.slack != 0 {
		timerslack.While(c.slack, fork)
	} else {
		fork()
	}
	if err != nil {
		if !errors.As(err, &errno) {
			errno = unix.EIO
		}
		return 0, -1, errno
	}
	return pid, pidfd, 0
}

// spawnManager starts a manager with a new channel.
func (r *runner) spawnManager() (pid int, errno unix.Errno) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		errors.As(err, &errno)
		return 0, errno
	}
	c := child{argv: r.opts.manager, env: r.managerEnv, files: []uintptr{r.nullFD(), 1, 2, uintptr(pair[1])}, slack: timerslack.Lazy}
	pid, pidfd, errno := c.start()
	unix.Close(pair[1])
	if errno == 0 {
		// Only our end: the manager's is another open file, and its to choose.
		if unix.SetNonblock(pair[0], true) != nil {
			errno = unix.EIO
		}
		r.sock, r.pidfd = pair[0], pidfd
		r.watch(r.sock, unix.EPOLLIN, tagSocket)
		if pidfd >= 0 {
			r.watch(pidfd, unix.EPOLLIN, tagManager)
		}
		return pid, 0
	}
	unix.Close(pair[0])
	return 0, errno
}

// nullFD is /dev/null, or standard input where there is no /dev.
func (r *runner) nullFD() uintptr {
	if r.null < 0 {
		if fd, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0); err == nil {
			r.null = fd
		}
	}
	if r.null < 0 {
		return 0
	}
	return uintptr(r.null)
}
