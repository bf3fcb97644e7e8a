package raw

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// DropClean gives back the memory of the program's text and constants: clean pages of a
// file, which come back from the page cache when they are needed. Most of them are for
// the boot only. smaps is the text of /proc/self/smaps, proc_pid_smaps(5), or a
// beginning of it; the program comes first in it. What goes is a private mapping of a file
// that cannot be written and of which the kernel counts no page that differs from the
// file, in memory or in swap space: madvise(2) would lose that page, and a program that
// was linked as PIE has such pages among its constants (RELRO). dropped are bytes of
// address space.
func DropClean(smaps []byte) (dropped uintptr) {
	var from, to uintptr // the mapping that the lines are about
	clean := false       // it may go if what follows does not say otherwise
	counted := false     // its pages that differ, in memory
	for len(smaps) > 0 {
		end := 0
		for end < len(smaps) && smaps[end] != '\n' {
			end++
		}
		if end == len(smaps) {
			return dropped // half a line
		}
		line := smaps[:end]
		smaps = smaps[end+1:]
		switch {
		case zeroOf(line, "Anonymous:"):
			counted = true
		case zeroOf(line, "Swap:"): // comes later than the other
			if clean && counted {
				if _, _, e := unix.RawSyscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); e == 0 {
					dropped += to - from
				}
			}
			clean = false
		case !isCount(line):
			from, to, clean = cleanMapping(line)
			counted = false
		}
	}
	return dropped
}

// isCount tells "Key: value" from the line that begins a mapping.
func isCount(line []byte) bool {
	for _, c := range line {
		if c == ':' || c == ' ' {
			return c == ':'
		}
	}
	return false
}

// zeroOf says that a line is "key", spaces and "0 kB".
func zeroOf(line []byte, key string) bool {
	if len(line) < len(key) || string(line[:len(key)]) != key {
		return false
	}
	line = line[len(key):]
	for len(line) > 0 && line[0] == ' ' {
		line = line[1:]
	}
	return string(line) == "0 kB"
}

// cleanMapping reads "from-to perms offset device inode path" and says whether it is a
// private mapping of a file that cannot be written.
func cleanMapping(line []byte) (from, to uintptr, ok bool) {
	from, rest := hex(line)
	if from == 0 || len(rest) == 0 || rest[0] != '-' {
		return 0, 0, false
	}
	to, rest = hex(rest[1:])
	if to <= from || len(rest) < 6 || rest[0] != ' ' || rest[1] != 'r' || rest[2] != '-' || rest[4] != 'p' || rest[5] != ' ' {
		return 0, 0, false
	}
	// The path is the sixth field. "[vdso]" and its like are not files.
	for field := 1; field < 5; field++ {
		for len(rest) > 0 && rest[0] == ' ' {
			rest = rest[1:]
		}
		for len(rest) > 0 && rest[0] != ' ' {
			rest = rest[1:]
		}
	}
	for len(rest) > 0 && rest[0] == ' ' {
		rest = rest[1:]
	}
	return from, to, len(rest) > 0 && rest[0] == '/'
}

// hex reads a number and returns what follows it.
func hex(b []byte) (v uintptr, rest []byte) {
	for i, c := range b {
		switch {
		case i >= 2*int(unsafe.Sizeof(v)):
			return 0, nil
		case c >= '0' && c <= '9':
			v = v<<4 | uintptr(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uintptr(c-'a'+10)
		default:
			return v, b[i:]
		}
	}
	return v, nil
}
