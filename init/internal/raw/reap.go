package raw

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// siginfo is what waitid(2) fills in, in the kernel's layout for 64-bit machines
// and for 32-bit ones, which differ in the padding only.
type siginfo struct {
	signo, errno, code int32
	_                  [unsafe.Sizeof(uintptr(0))/4 - 1]int32
	pid                int32
	uid                uint32
	status             int32
	_                  [128 - 4*(3+unsafe.Sizeof(uintptr(0))/4-1+3)]byte
}

// Codes of SIGCHLD, sigaction(2).
const (
	cldExited = 1
	cldDumped = 3
)

// Status is how a process ended.
type Status struct {
	PID          int32
	Code, Signal int32
	Core         bool
}

func waitid(idType, id, options int, info *siginfo) unix.Errno {
	for {
		_, _, e := unix.Syscall6(unix.SYS_WAITID, uintptr(idType), uintptr(id), uintptr(unsafe.Pointer(info)), uintptr(options), 0, 0)
		if e != unix.EINTR {
			return e
		}
	}
}

// Peek is some child that has ended, still unreaped, so that /proc can be asked
// about it; 0 if none has, and ECHILD when there is no child at all.
func Peek() (pid int32, errno unix.Errno) {
	var info siginfo
	e := waitid(unix.P_ALL, 0, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, &info)
	return info.pid, e
}

// Reap takes the status of a child that Peek has named.
func Reap(pid int32) (Status, unix.Errno) {
	var info siginfo
	if e := waitid(unix.P_PID, int(pid), unix.WEXITED|unix.WNOHANG, &info); e != 0 {
		return Status{}, e
	}
	s := Status{PID: info.pid}
	if info.code == cldExited {
		s.Code = info.status & 0xff
	} else {
		s.Signal, s.Core = info.status, info.code == cldDumped
	}
	return s, 0
}

// procPath writes "/proc/PID/FILE" with its zero byte into dst.
func procPath(dst []byte, pid int32, file string) []byte {
	dst = append(dst[:0], "/proc/"...)
	var digits [10]byte
	i := len(digits)
	for v := uint32(pid); ; v /= 10 {
		i--
		digits[i] = byte('0' + v%10)
		if v < 10 {
			break
		}
	}
	dst = append(dst, digits[i:]...)
	dst = append(dst, '/')
	dst = append(dst, file...)
	return append(dst, 0)
}

// OpenProc opens /proc/PID/FILE.
func OpenProc(pid int32, file string) (fd int, errno unix.Errno) {
	var name [40]byte
	return Open(procPath(name[:0], pid, file))
}

// StartOf is when a process began, in clock ticks since boot (field 22 of
// /proc/PID/stat, proc(5)); 0 is not known. It works for a zombie.
func StartOf(pid int32) uint64 {
	var buf [1024]byte
	fd, e := OpenProc(pid, "stat")
	if e != 0 {
		return 0
	}
	n := Read(fd, buf[:])
	Close(fd)
	return startField(buf[:n])
}

// startField finds field 22. The second field is in parentheses and may hold
// anything, so that counting begins at the last one.
func startField(b []byte) uint64 {
	at := len(b) - 1
	for at >= 0 && b[at] != ')' {
		at--
	}
	if at < 0 {
		return 0
	}
	field := 2
	var v uint64
	for _, c := range b[at+1:] {
		if c == ' ' {
			if field++; field == 23 {
				return v
			}
			continue
		}
		if field == 22 {
			if c < '0' || c > '9' {
				return 0
			}
			v = 10*v + uint64(c-'0')
		}
	}
	return 0
}

// NameOf puts the name of a process into dst (/proc/PID/comm), as far as it is
// harmless on a terminal.
func NameOf(dst []byte, pid int32) []byte {
	var buf [64]byte
	fd, e := OpenProc(pid, "comm")
	if e != 0 {
		return append(dst, '?')
	}
	n := Read(fd, buf[:])
	Close(fd)
	for _, c := range buf[:n] {
		if c == '\n' {
			break
		}
		dst = append(dst, Printable(c))
	}
	return dst
}

// Printable is c, or a question mark for what could drive a terminal.
func Printable(c byte) byte {
	if c < ' ' && c != '\t' || c == 0x7f {
		return '?'
	}
	return c
}
