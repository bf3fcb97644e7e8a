package main

import (
	"golang.org/x/sys/unix"
	"syscall"
	"unsafe"

	"dynamod/init/internal/pid1"
	"dynamod/init/internal/raw"
)

// logger writes lines: to the kernel log on a machine, to standard error in a
// container, and to the console while the machine goes down. It never waits: a
// terminal that is stopped or a pipe that nobody reads would hold up PID 1. What it
// could not write is counted, and the count is written when there is room.
type logger struct {
	kmsg    int // -1: no kernel log
	console int // -1: nowhere to be seen
	// loud: also to the console, where the kernel may be quiet.
	loud bool
	// shown is the level below which the kernel shows its log on the console itself.
	shown uint8
	lost  int64
	buf   [1280]byte
}

const daemonFacility = 3 << 3 // LOG_DAEMON, syslog(3)

func (l *logger) start(level uint8, who string) []byte {
	b := append(l.buf[:0], '<')
	if v := daemonFacility | level&7; v >= 10 {
		b = append(b, '0'+v/10)
	}
	b = append(b, '0'+(daemonFacility|level&7)%10, '>')
	return append(b, who...)
}

// line writes a line that start began. The priority in front is for the kernel
// alone.
func (l *logger) line(level uint8, b []byte) {
	b = append(b, '\n')
	if l.kmsg >= 0 {
		raw.Write(l.kmsg, b)
	}
	if l.console < 0 || l.kmsg >= 0 && (!l.loud || level < l.shown) {
		return
	}
	for i, c := range b {
		if c == '>' {
			b = b[i+1:]
			break
		}
	}
	if !writable(l.console) || !raw.Write(l.console, b) {
		l.lost++
		return
	}
	if l.lost > 0 && writable(l.console) {
		note := append(l.buf[:0], "dynamod-init: lines lost because nobody read them: "...)
		note = appendNumber(note, l.lost)
		if raw.Write(l.console, append(note, '\n')) {
			l.lost = 0
		}
	}
}

func (l *logger) notice(n pid1.Notice, number int64) {
	l.line(n.Level(), n.Text(l.start(n.Level(), "dynamod-init: "), number))
}

func (l *logger) managerLine(level uint8, text []byte) {
	b := l.start(level, "dynamod-svmgr: ")
	for _, c := range text {
		b = append(b, raw.Printable(c))
	}
	l.line(level, b)
}

// say writes a text of ours.
func (l *logger) say(level uint8, text string) {
	b := l.start(level, "dynamod-init: ")
	if len(text) > cap(b)-len(b)-1 {
		text = text[:cap(b)-len(b)-1]
	}
	for i := range len(text) {
		b = append(b, raw.Printable(text[i]))
	}
	l.line(level, b)
}

// about writes what went wrong with a file or program.
func (l *logger) about(what string, errno syscall.Errno) { l.say(3, what+": "+errno.Error()) }

// writable asks poll(2) whether a write of a line would wait. For a pipe it answers
// whether PIPE_BUF bytes fit, which is more than a line.
func writable(fd int) bool {
	p := unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}
	var zero unix.Timespec
	n, _, e := unix.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&zero)), 0, 0, 0)
	return e == 0 && n == 1 && p.Revents&unix.POLLOUT != 0
}

func appendNumber(dst []byte, v int64) []byte {
	var digits [20]byte
	i := len(digits)
	for {
		i--
		digits[i] = byte('0' + v%10)
		if v /= 10; v == 0 {
			return append(dst, digits[i:]...)
		}
	}
}
