package ipc

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Listen makes a socket at path. It appears there ready and with its mode, in the
// place of one that a dead manager left; a manager that lives is not displaced.
// The file stays when the listener is closed: removing it could hit that of a
// successor, and what nobody listens on refuses connections by itself.
func Listen(path string, mode fs.FileMode) (*net.UnixListener, error) {
	if c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"}); err == nil {
		lives := listenerLives(c)
		c.Close()
		if lives {
			return nil, fmt.Errorf("listen on %s: another manager listens there already", path)
		}
	}
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+strconv.Itoa(os.Getpid()))
	if len(temp) > 107 {
		return nil, fmt.Errorf("listen on %s: the path is too long for a socket (107 bytes, unix(7))", path)
	}
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temp, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err = os.Chmod(temp, mode); err == nil {
		if err = os.Rename(temp, path); err == nil {
			return l, nil
		}
	}
	l.Close()
	os.Remove(temp)
	return nil, fmt.Errorf("listen on %s: %w", path, err)
}

// listenerLives says whether the process that listens at the other end is there still. A
// manager that was killed between fork and exec leaves its socket to the child, until that
// has executed: who connects then waits for nobody. The credentials of a peer that listens
// are those of when it began to (unix(7), SO_PEERCRED).
func listenerLives(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	lives := true
	if err := raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		lives = err != nil || cred.Pid == 0 || unix.Kill(int(cred.Pid), 0) != unix.ESRCH
	}); err != nil {
		return true
	}
	return lives
}

// TakeOver goes on with a listener that HandOver, or a socket unit, left under
// this descriptor. The file is closed: the listener has its own.
func TakeOver(f *os.File) (*net.UnixListener, error) {
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("take over the control socket: %w", err)
	}
	u, ok := l.(*net.UnixListener)
	if !ok {
		l.Close()
		return nil, fmt.Errorf("take over the control socket: it is a %T", l)
	}
	u.SetUnlinkOnClose(false)
	return u, nil
}
