package main

import (
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"dynamod/svmgr/internal/child"
)

// keepWord is the first argument of the process that closes the session. watchFD is its
// pidfd of the process that the session is for, envFD a file of the session's variables, each
// with a NUL after it, readyFD where it says that it waits; what modules have open comes
// after them.
const (
	keepWord = "keep"
	watchFD  = 3
	envFD    = 4
	readyFD  = 5
)

// self is this program, wherever it is; the unit's view of files comes later.
const self = "/proc/self/exe"

// open is child.OpenSession: an account that may not log in fails it, as well as a session
// that cannot be opened.
func open(p child.PAM, given []string) ([]string, error) {
	before := descriptors()
	t, err := begin(p)
	if err != nil {
		return nil, err
	}
	t.give(given)
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
// modules have opened; in this process they are closed by the exec. It gets no variable of
// the session as its own: it is root, and a user can have a say in some (pam_env(8),
// user_readenv=), which must not be LD_PRELOAD then.
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
	list, err := listed(env)
	if err != nil {
		return err
	}
	defer unix.Close(list)
	var ready [2]int
	if err := unix.Pipe2(ready[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	defer unix.Close(ready[0])
	files := []uintptr{uintptr(null), uintptr(null), uintptr(null), uintptr(me), uintptr(list), uintptr(ready[1])}
	own := []int{null, me, list, ready[0], ready[1]}
	for _, fd := range descriptors() {
		if slices.Contains(own, fd) || slices.Contains(before, fd) {
			continue
		}
		unix.CloseOnExec(fd)
		files = append(files, uintptr(fd))
	}
	// A session of its own keeps signals of the unit's terminal and process group away.
	attr := &syscall.ProcAttr{Dir: "/", Env: []string{"GOMAXPROCS=1"}, Files: files, Sys: &syscall.SysProcAttr{Setsid: true}}
	_, err = syscall.ForkExec(self, []string{"(dynamod-pam)", keepWord, p.Service, p.User, p.TTY}, attr)
	unix.Close(ready[1])
	if err != nil {
		return err
	}
	if !waits(ready[0]) {
		return &child.StageError{Stage: "pam", Errno: int32(unix.ECHILD), Path: "the process that would close the session has ended"}
	}
	return nil
}

// waits waits until the process behind a pipe of readyFD waits.
func waits(fd int) bool {
	var b [1]byte
	for {
		n, err := unix.Read(fd, b[:])
		if err != unix.EINTR {
			return err == nil && n == 1
		}
	}
}

// listed is a file as envFD is.
func listed(env []string) (int, error) {
	fd, err := unix.MemfdCreate("pam", unix.MFD_CLOEXEC)
	if err != nil {
		return -1, err
	}
	var text []byte
	for _, v := range env {
		text = append(append(text, v...), 0)
	}
	for at := 0; at < len(text); {
		n, err := unix.Pwrite(fd, text[at:], int64(at))
		if err != nil && err != unix.EINTR {
			unix.Close(fd)
			return -1, err
		}
		at += max(n, 0)
	}
	return fd, nil
}

// given reads envFD and closes it.
func given() ([]string, error) {
	f := os.NewFile(envFD, "variables")
	defer f.Close()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	list := strings.Split(string(text), "\x00")
	return list[:len(list)-1], nil
}

// keep waits for the end of the process that the session is for, and closes the session,
// as a process other than the one that opened it may (pam_open_session(3)).
func keep(p child.PAM) error {
	// Who ends a unit signals all of its processes, but the session is closed after the one
	// that it is for. Caught and not ignored: what modules start gets signals again.
	signal.Notify(make(chan os.Signal, 1))
	if err := unix.CloseRange(watchFD, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return err
	}
	env, err := given()
	if err != nil {
		return err
	}
	if _, err := unix.Write(readyFD, []byte{1}); err != nil {
		return err
	}
	unix.Close(readyFD)
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
	t.give(env)
	err = t.check("pam_close_session", t.closeSession(t.handle, silent))
	t.setCred(t.handle, deleteCred|silent)
	t.end(t.handle, 0)
	return err
}
