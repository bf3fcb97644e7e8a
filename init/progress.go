package main

import (
	"golang.org/x/sys/unix"
	"unsafe"

	"dynamod/init/internal/pid1"
	"dynamod/init/internal/raw"
)

// progress says once a second which processes the shutdown waits for: a machine
// that goes down in silence looks like one that hangs.
func (r *runner) progress() {
	now := r.now()
	if r.reports == 0 || now < r.reports {
		return
	}
	r.reports = now + pid1.Second
	b := append(r.log.start(5, "dynamod-init: "), "waiting for"...)
	fd, errno := raw.Open(procDir[:])
	if errno != 0 {
		return
	}
	var buf [2048]byte
	count := int64(0)
	for {
		n, _, e := unix.Syscall(unix.SYS_GETDENTS64, uintptr(fd), uintptr(unsafe.Pointer(&buf)), uintptr(len(buf)))
		if e != 0 || n == 0 {
			break
		}
		for at := 0; at < int(n); {
			// struct linux_dirent64, getdents(2): d_reclen at 16, d_name at 19.
			size := int(*(*uint16)(unsafe.Pointer(&buf[at+16])))
			pid := number(buf[at+19 : at+size])
			at += size
			if pid <= 1 || !hasCommandLine(int32(pid)) {
				continue
			}
			if count++; count <= 5 {
				b = append(b, ' ')
				b = raw.NameOf(b, int32(pid))
				b = append(b, '[')
				b = append(appendNumber(b, int64(pid)), ']')
			}
		}
	}
	raw.Close(fd)
	if count > 5 {
		b = append(b, " and "...)
		b = append(appendNumber(b, count-5), " more"...)
	}
	if count > 0 {
		r.log.line(5, b)
	}
}

var procDir = [6]byte{'/', 'p', 'r', 'o', 'c'}

// number reads a name of /proc up to its zero byte, 0 if it is no number.
func number(name []byte) int {
	v := 0
	for _, c := range name {
		switch {
		case c == 0:
			return v
		case c < '0' || c > '9' || v > 1<<24:
			return 0
		}
		v = 10*v + int(c-'0')
	}
	return 0
}

// hasCommandLine tells processes from threads of the kernel and from zombies.
func hasCommandLine(pid int32) bool {
	var one [1]byte
	fd, e := raw.OpenProc(pid, "cmdline")
	if e != 0 {
		return false
	}
	n := raw.Read(fd, one[:])
	raw.Close(fd)
	return n > 0
}
