package raw

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// DropClean gives back the memory of the program's text and constants: clean pages of a
// file, which come back from the page cache when they are needed. Most of them are for
// the boot only. maps is the text of /proc/self/maps, proc(5), or a beginning of it; the
// program comes first in it. Mappings that can be written, or have no file, stay as they
// are, and so does what begins with a line that is not whole. dropped are bytes of
// address space.
func DropClean(maps []byte) (dropped uintptr) {
	for len(maps) > 0 {
		end := 0
		for end < len(maps) && maps[end] != '\n' {
			end++
		}
		if end == len(maps) {
			return dropped
		}
		if from, to, ok := cleanMapping(maps[:end]); ok {
			if _, _, e := unix.RawSyscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); e == 0 {
				dropped += to - from
			}
		}
		maps = maps[end+1:]
	}
	return dropped
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
