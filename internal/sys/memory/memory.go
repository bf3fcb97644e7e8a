// Package memory gives memory back that a program needed for its start only.
package memory

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// GiveBack frees what is not used any more, and forgets the pages of the program's own
// file that nobody has changed: what is needed again comes from the page cache, a few
// pages at a fault. It returns how many bytes of the file were mapped before.
func GiveBack() (mapped int64, err error) {
	debug.FreeOSMemory()
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return 0, fmt.Errorf("find this program: %w", err)
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return 0, fmt.Errorf("read memory map: %w", err)
	}
	defer f.Close()
	regions, err := clean(f, self)
	if err != nil {
		return 0, err
	}
	for _, r := range regions {
		// A page that is mapped read-only and private, and has no copy of its own, is
		// the file's (madvise(2), MADV_DONTNEED).
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, r.start, r.end-r.start, unix.MADV_DONTNEED); errno != 0 {
			err = errors.Join(err, fmt.Errorf("forget pages: %w", errno))
			continue
		}
		mapped += r.rss
	}
	return mapped, err
}

type region struct {
	start, end uintptr
	rss        int64
}

// clean finds in /proc/PID/smaps (proc_pid_smaps(5)) the mappings of a file that cannot
// be written to and hold nothing but its pages.
func clean(smaps io.Reader, file string) (out []region, err error) {
	in := bufio.NewScanner(smaps)
	var r *region
	for in.Scan() {
		f := strings.Fields(in.Text())
		if len(f) < 2 {
			continue
		}
		if name, ok := strings.CutSuffix(f[0], ":"); ok {
			n, err := strconv.ParseInt(f[1], 10, 64)
			switch {
			case r == nil || err != nil:
			case name == "Rss":
				r.rss = n << 10
			case name == "Anonymous" && n == 0:
				out = append(out, *r)
				r = nil
			}
			continue
		}
		r = nil
		from, to, ok := strings.Cut(f[0], "-")
		if !ok || len(f) < 6 || !strings.HasPrefix(f[1], "r-") || !strings.HasSuffix(f[1], "p") || strings.Join(f[5:], " ") != file {
			continue
		}
		start, err := strconv.ParseUint(from, 16, 64)
		if err != nil {
			return nil, fmt.Errorf("read memory map: %w", err)
		}
		end, err := strconv.ParseUint(to, 16, 64)
		if err != nil || end <= start {
			return nil, fmt.Errorf("read memory map: %q", in.Text())
		}
		r = &region{start: uintptr(start), end: uintptr(end)}
	}
	return out, in.Err()
}
