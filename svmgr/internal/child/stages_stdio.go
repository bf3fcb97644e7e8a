package child

import (
	"golang.org/x/sys/unix"
)

// lift moves what is to be passed on, and the status descriptor, out of the way of
// the numbers that the program shall see.
func (st *state) lift() error {
	top := FirstFD + len(st.spec.FDs) + int(min(st.spec.Aux, maxItems))
	for _, n := range st.spec.FDs {
		if n < 3 || n > 1<<20 {
			return unix.EBADF
		}
		top = max(top, int(n)+1)
	}
	move := func(fd int) (int, error) {
		n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, top)
		if err == nil {
			unix.Close(fd)
		}
		return n, err
	}
	status, err := move(st.status)
	if err != nil {
		return err
	}
	st.status = status
	for i := range st.spec.FDs {
		n, err := move(FirstFD + i)
		if err != nil {
			return err
		}
		st.passed = append(st.passed, n)
	}
	for i := range int(min(st.spec.Aux, maxItems)) {
		n, err := move(FirstFD + len(st.spec.FDs) + i)
		if err != nil {
			return err
		}
		st.aux = append(st.aux, n)
	}
	return nil
}

// place closes at the exec whatever is open now, and puts the declared ones at
// their numbers.
func (st *state) place() error {
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return err
	}
	for i, n := range st.spec.FDs {
		if err := unix.Dup3(st.passed[i], int(n), 0); err != nil {
			return err
		}
	}
	for fd := range 3 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return err
		}
	}
	return nil
}

func (st *state) openTTY() error {
	t := st.spec.TTY
	if t.Path == "" {
		return nil
	}
	if t.Reset || t.Vhangup || t.Disallocate {
		if err := t.prepare(); err != nil {
			return st.about(t.Path, err)
		}
	}
	if t.Mode == TTYNone {
		return nil
	}
	fd, err := unix.Open(t.Path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return st.about(t.Path, err)
	}
	st.tty = fd
	if t.Rows > 0 || t.Columns > 0 {
		ws := unix.Winsize{Row: uint16(t.Rows), Col: uint16(t.Columns)}
		if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &ws); err != nil {
			return st.about(t.Path, err)
		}
	}
	if t.Mode == TTYOpen {
		return nil
	}
	steal := 0
	if t.Mode == TTYForce {
		steal = 1
	}
	err = unix.IoctlSetInt(fd, unix.TIOCSCTTY, steal)
	if err == unix.EPERM && t.Mode == TTYTake {
		// Somebody else controls it. systemd.exec(5) has tty wait until it is
		// free; the start timeout would then be the only way out. It is taken,
		// as a getty does.
		err = unix.IoctlSetInt(fd, unix.TIOCSCTTY, 1)
	}
	return st.about(t.Path, err)
}

// prepare resets the terminal, hangs everyone else up, and clears a virtual one.
func (t *TTY) prepare() error {
	open := func() (int, error) {
		return unix.Open(t.Path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	}
	fd, err := open()
	if err != nil {
		return err
	}
	if t.Vhangup {
		// TIOCVHANGUP needs CAP_SYS_ADMIN; afterwards the descriptor is dead.
		err := unix.IoctlSetInt(fd, unix.TIOCVHANGUP, 0)
		unix.Close(fd)
		if err != nil {
			return err
		}
		if fd, err = open(); err != nil {
			return err
		}
	}
	defer unix.Close(fd)
	if t.Reset {
		if err := resetTTY(fd); err != nil {
			return err
		}
	}
	if t.Disallocate {
		// Clear the screen and the scrollback (console_codes(4), ED 3).
		write(fd, []byte("\033[r\033[H\033[3J\033[2J"))
	}
	return nil
}

func resetTTY(fd int) error {
	_ = unix.IoctlSetInt(fd, unix.TIOCNXCL, 0)
	tio, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	tio.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.IUCLC
	tio.Iflag |= unix.ICRNL | unix.IMAXBEL | unix.IUTF8
	tio.Oflag |= unix.ONLCR | unix.OPOST
	tio.Cflag |= unix.CREAD
	tio.Lflag = unix.ISIG | unix.ICANON | unix.IEXTEN | unix.ECHO | unix.ECHOE | unix.ECHOK | unix.ECHOCTL | unix.ECHOKE
	tio.Cc[unix.VINTR], tio.Cc[unix.VQUIT], tio.Cc[unix.VERASE] = 3, 28, 127
	tio.Cc[unix.VKILL], tio.Cc[unix.VEOF], tio.Cc[unix.VSTART] = 21, 4, 17
	tio.Cc[unix.VSTOP], tio.Cc[unix.VSUSP], tio.Cc[unix.VLNEXT], tio.Cc[unix.VWERASE] = 19, 26, 22, 23
	tio.Cc[unix.VEOL], tio.Cc[unix.VEOL2], tio.Cc[unix.VTIME], tio.Cc[unix.VMIN] = 0, 0, 0, 1
	return unix.IoctlSetTermios(fd, unix.TCSETS, tio)
}

// stream puts one of the standard streams in place.
func (st *state) stream(n int) error {
	s := st.spec.Stdio[n]
	switch s.Kind {
	case StreamInherit:
		return nil
	case StreamNull:
		return st.become(n, "/dev/null", unix.O_RDWR)
	case StreamFile:
		return st.become(n, s.Path, int(s.Flags))
	case StreamTTY:
		return unix.Dup3(st.tty, n, unix.O_CLOEXEC)
	case StreamCopy:
		if int(s.Flags) == n || s.Flags < 0 || s.Flags > 2 {
			return unix.EINVAL
		}
		return unix.Dup3(int(s.Flags), n, unix.O_CLOEXEC)
	case StreamPassed:
		if s.Flags < 0 || int(s.Flags) >= len(st.passed) {
			return unix.EBADF
		}
		return unix.Dup3(st.passed[s.Flags], n, unix.O_CLOEXEC)
	}
	return unix.EINVAL
}

func (st *state) become(n int, path string, flags int) error {
	fd, err := openFile(path, flags|unix.O_NOCTTY)
	if err == unix.ENXIO {
		fd, err = connect(path)
	}
	if err != nil {
		return st.about(path, err)
	}
	// place clears the flag on 0, 1 and 2 when all stages have passed.
	err = unix.Dup3(fd, n, unix.O_CLOEXEC)
	unix.Close(fd)
	return err
}

func openFile(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o666)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// connect is what "file:" does with a path that is a socket.
func connect(path string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
