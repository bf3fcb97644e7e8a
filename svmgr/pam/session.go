package main

import (
	"os"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"dynamod/svmgr/internal/child"
)

// keepWord is the first argument of the process that closes the session. watchFD is its
// pidfd of the process that the session is for; what modules have open comes after it.
const (
	keepWord = "keep"
	watchFD  = 3
)

// self is this program, wherever it is; the unit's view of files comes later.
const self = "/proc/self/exe"

// open is child.OpenSession: an account that may not log in fails it, as well as a session
// that cannot be opened.
func open(p child.PAM) ([]string, error) {
	before := descriptors()
	t, err := begin(p)
	if err != nil {
		return nil, err
	}
	if err := t.check("pam_acct_mgmt", t.acctMgmt(t.handle, silent)); err != nil {
		t.end(t.handle, 0)
		return nil, err
	}
	// A service without modules for it, like systemd-user, has no credentials to give; one
	// that must give some says so at the session.
	t.setCred(t.handle, establishCred|silent)
	status := t.openSession(t.handle, silent)
	if err := t.check("pam_open_session", status); err != nil {
		t.setCred(t.handle, deleteCred|silent)
		t.end(t.handle, status)
		return nil, err
	}
	env, err := t.environment()
	if err == nil {
		err = startKeeper(p, env, before)
	}
	if err != nil {
		t.closeSession(t.handle, silent)
		t.setCred(t.handle, deleteCred|silent)
		t.end(t.handle, 0)
		return nil, err
	}
	// The handle is not ended: the session goes on, and this process becomes another program.
	return env, nil
}

// descriptors are those that are open.
func descriptors() []int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil // startKeeper fails without /proc, too
	}
	var out []int
	for _, n := range names {
		fd, err := strconv.Atoi(n.Name())
		if err != nil {
			continue
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil { // not the directory itself
			out = append(out, fd)
		}
	}
	return out
}

// startKeeper starts the process that closes the session. It gets the descriptors that
// modules have opened; in this process they are closed by the exec.
func startKeeper(p child.PAM, env []string, before []int) error {
	me, err := unix.PidfdOpen(unix.Getpid(), 0)
	if err != nil {
		return err
	}
	defer unix.Close(me)
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(null)
	files := []uintptr{uintptr(null), uintptr(null), uintptr(null), uintptr(me)}
	for _, fd := range descriptors() {
		if fd == me || fd == null || slices.Contains(before, fd) {
			continue
		}
		unix.CloseOnExec(fd)
		files = append(files, uintptr(fd))
	}
	attr := &syscall.ProcAttr{Dir: "/", Env: append(slices.Clone(env), "GOMAXPROCS=1"), Files: files}
	_, err = syscall.ForkExec(self, []string{"(dynamod-pam)", keepWord, p.Service, p.User, p.TTY}, attr)
	return err
}

// keep waits for the end of the process that the session is for, and closes the session,
// as a process other than the one that opened it may (pam_open_session(3)).
func keep(p child.PAM) error {
	wait := []unix.PollFd{{Fd: watchFD, Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(wait, -1)
		if err != nil && err != unix.EINTR {
			return err
		}
		if err == nil && n > 0 {
			break
		}
	}
	t, err := begin(p)
	if err != nil {
		return err
	}
	for _, v := range os.Environ() {
		if err := t.check("pam_putenv", t.putEnv(t.handle, v)); err != nil {
			return err
		}
	}
	err = t.check("pam_close_session", t.closeSession(t.handle, silent))
	t.setCred(t.handle, deleteCred|silent)
	t.end(t.handle, 0)
	return err
}
