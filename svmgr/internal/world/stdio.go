package world

import (
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/pidfd"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/child"
	"dynamod/svmgr/internal/core"
)

// streams sets up standard input, output and error (systemd.exec(5), "Logging and
// Standard Input/Output").
func (w *World) streams(o *order, a core.Spawn, p *passed) error {
	u := a.Unit
	in := unit.StandardInput.Of(u)
	if err := w.input(o, u, in, p); err != nil {
		return at("stdin", err)
	}
	out := unit.StandardOutput.Of(u)
	if !unit.StandardOutput.IsSet(u) {
		switch {
		case strings.HasPrefix(in, "tty") || in == "socket":
			out = "inherit"
		case u.Format == unit.Native:
			out = nativeLog(unit.Log.Of(u))
		}
	}
	if err := w.outputTo(o, 1, out, a, p); err != nil {
		return at("stdout", err)
	}
	return at("stderr", w.outputTo(o, 2, unit.StandardError.Of(u), a, p))
}

// nativeLog translates logging.target.
func nativeLog(target string) string {
	switch {
	case target == "null":
		return "null"
	case target == "console":
		return "tty"
	case strings.HasPrefix(target, "file:"):
		return "append:" + target[len("file:"):]
	}
	return "journal" // logd, ring, pipe:SERVICE: the sink tells them apart
}

func (w *World) input(o *order, u *unit.Unit, in string, p *passed) error {
	kind, arg, _ := strings.Cut(in, ":")
	s := &o.spec.Stdio[0]
	switch kind {
	case "null", "":
		// The manager's own descriptor is given, which costs no open.
	case "tty", "tty-force", "tty-fail":
		s.Kind = child.StreamTTY
		o.spec.TTY.Mode = map[string]uint8{"tty": child.TTYTake, "tty-force": child.TTYForce, "tty-fail": child.TTYFail}[kind]
	case "data":
		fd, err := w.dataInput(u)
		if err != nil {
			return err
		}
		o.close = append(o.close, fd)
		o.stdio[0] = fd
	case "file":
		if o.handed(0, u, arg) {
			break
		}
		*s = child.Stream{Kind: child.StreamFile, Path: arg, Flags: unix.O_RDONLY}
		if out, path, _ := strings.Cut(unit.StandardOutput.Of(u), ":"); path == arg && (out == "file" || out == "append" || out == "truncate") {
			// One file for both is opened once.
			s.Flags = unix.O_RDWR | unix.O_CREAT | fileFlags[out]&^unix.O_WRONLY
		}
	case "socket":
		return o.fromSocket(0, p)
	case "fd":
		return o.fromName(0, arg, "stdin", p)
	default:
		return fmt.Errorf("%q is no standard input: %w", in, unix.EINVAL)
	}
	return nil
}

var fileFlags = map[string]int32{
	"file":     unix.O_WRONLY | unix.O_CREAT,
	"append":   unix.O_WRONLY | unix.O_CREAT | unix.O_APPEND,
	"truncate": unix.O_WRONLY | unix.O_CREAT | unix.O_TRUNC,
}

func (w *World) outputTo(o *order, n int, to string, a core.Spawn, p *passed) error {
	kind, arg, _ := strings.Cut(to, ":")
	s := &o.spec.Stdio[n]
	switch kind {
	case "inherit":
		*s = child.Stream{Kind: child.StreamCopy, Flags: int32(n - 1)}
	case "null":
		o.stdio[n] = w.null
	case "tty":
		s.Kind = child.StreamTTY
		if o.spec.TTY.Mode == child.TTYNone {
			o.spec.TTY.Mode = child.TTYOpen
		}
	case "journal", "kmsg", "journal+console", "kmsg+console", "syslog", "syslog+console":
		r, wr, err := w.outlivingPipe()
		if err != nil {
			return err
		}
		o.close = append(o.close, wr)
		o.outputs = append(o.outputs, outputPipe{r, n == 2})
		o.stdio[n] = wr
	case "file", "append", "truncate":
		if o.handed(n, a.Unit, arg) {
			break
		}
		if o.spec.Stdio[0].Kind == child.StreamFile && o.spec.Stdio[0].Path == arg {
			*s = child.Stream{Kind: child.StreamCopy}
			break
		}
		if one := o.spec.Stdio[1]; n == 2 && one.Kind == child.StreamFile && one.Path == arg {
			// Two descriptors with offsets of their own would overwrite each
			// other.
			*s = child.Stream{Kind: child.StreamCopy, Flags: 1}
			break
		}
		*s = child.Stream{Kind: child.StreamFile, Path: arg, Flags: fileFlags[kind]}
	case "socket":
		return o.fromSocket(n, p)
	case "fd":
		return o.fromName(n, arg, [...]string{"", "stdout", "stderr"}[n], p)
	default:
		return fmt.Errorf("%q is no standard output: %w", to, unix.EINVAL)
	}
	return nil
}

// outlivingPipe is a pipe whose writing end can be read from as well: when the manager
// dies, what is written waits in the pipe for the next one instead of killing the
// writer (SIGPIPE). /proc/self/fd opens the same pipe once more (proc_pid_fd(5)).
func (w *World) outlivingPipe() (r, wr int, err error) {
	if r, wr, err = w.sys.pipe(); err != nil {
		return r, wr, err
	}
	if both, err := w.sys.open("/proc/self/fd/"+strconv.Itoa(wr), unix.O_RDWR); err == nil {
		unix.Close(wr)
		wr = both
	}
	return r, wr, nil
}

// handed passes on the descriptor itself that a client gave along with a unit it made
// (systemd-run(1), --pipe), which the bridge writes as its own /proc/PID/fd/N: a socket
// cannot be opened by that name, some devices only once, and a file would be opened
// with an offset of its own. A terminal is opened, so that it can become the unit's own.
func (o *order) handed(n int, u *unit.Unit, path string) bool {
	rest, ok := strings.CutPrefix(path, "/proc/")
	holder, number, of := strings.Cut(rest, "/fd/")
	pid, err := strconv.Atoi(holder)
	theirs, err2 := strconv.Atoi(number)
	if !ok || !of || err != nil || err2 != nil || u.Path != "" {
		return false
	}
	p, err := pidfd.Open(pid)
	if err != nil {
		return false
	}
	defer unix.Close(p)
	fd, err := pidfd.Copy(p, theirs)
	if err != nil {
		return false // the open says why
	}
	if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
		unix.Close(fd)
		return false
	}
	o.close = append(o.close, fd)
	o.stdio[n] = fd
	return true
}

func (o *order) fromSocket(n int, p *passed) error {
	if p.connection == nil {
		return fmt.Errorf("there is no socket to connect it to: %w", unix.ENOTSOCK)
	}
	o.stdio[n] = *p.connection
	return nil
}

// fromName takes a descriptor that a socket unit named with FileDescriptorName=.
func (o *order) fromName(n int, name, def string, p *passed) error {
	if name == "" {
		name = def
	}
	for _, f := range p.fds {
		if f.name == name {
			o.stdio[n] = f.fd
			return nil
		}
	}
	return fmt.Errorf("no descriptor named %q is passed: %w", name, unix.EBADF)
}

// dataInput is StandardInput=data: the text and the data in an anonymous file.
func (w *World) dataInput(u *unit.Unit) (int, error) {
	var b []byte
	for _, line := range unit.StandardInputText.Of(u) {
		b = append(append(b, unescapeText(line)...), '\n')
	}
	for _, line := range unit.StandardInputData.Of(u) {
		d, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(line), ""))
		if err != nil {
			return -1, fmt.Errorf("StandardInputData= is no base64: %w", unix.EINVAL)
		}
		b = append(b, d...)
	}
	fd, err := w.sys.memfd("stdin")
	if err != nil {
		return -1, err
	}
	if err = writeAll(fd, b); err == nil {
		_, err = unix.Seek(fd, 0, 0)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// unescapeText resolves the C escapes of systemd.syntax(7) that texts use.
func unescapeText(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if j := strings.IndexByte(`abfnrtvs\"'`, s[i]); j >= 0 {
			b.WriteByte("\a\b\f\n\r\t\v \\\"'"[j])
			continue
		}
		if s[i] == 'x' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte('\\')
		b.WriteByte(s[i])
	}
	return b.String()
}

// terminal fills in TTYPath= and what is done to the terminal.
func terminal(o *order, u *unit.Unit) {
	t := &o.spec.TTY
	reset := unit.TTYReset.Of(u) || unit.TTYVHangup.Of(u) || unit.TTYVTDisallocate.Of(u)
	if t.Mode == child.TTYNone && !reset {
		return
	}
	t.Path = unit.TTYPath.Of(u)
	t.Reset, t.Vhangup, t.Disallocate = unit.TTYReset.Of(u), unit.TTYVHangup.Of(u), unit.TTYVTDisallocate.Of(u)
	t.Rows, t.Columns = int32(unit.TTYRows.Of(u)), int32(unit.TTYColumns.Of(u))
}

// activeConsoles has the consoles of the kernel; the last is the one that /dev/console stands
// for (Documentation/ABI/testing/sysfs-tty of the kernel).
const activeConsoles = "/sys/class/tty/console/active"

// terminalType is the type (termcap(5)) of a terminal: virtual terminals are the kernel's
// own, "linux"; what is behind a serial line nobody can say, and most emulate a vt220.
func terminalType(path, active string) string {
	name := strings.TrimPrefix(path, "/dev/")
	if name == "console" {
		b, err := os.ReadFile(active)
		if all := strings.Fields(string(b)); err == nil && len(all) > 0 {
			name = all[len(all)-1]
		}
	}
	if n, ok := strings.CutPrefix(name, "tty"); ok {
		if _, err := strconv.ParseUint(n, 10, 8); err == nil {
			return "linux"
		}
	}
	return "vt220"
}
