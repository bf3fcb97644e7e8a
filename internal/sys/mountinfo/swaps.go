package mountinfo

import (
	"bytes"
	"strconv"
)

// Swap is one line of /proc/swaps.
type Swap struct {
	// Path is as the kernel resolved it; Deleted says that the file is gone.
	Path    string
	Deleted bool
	// Type is "partition" or "file".
	Type     string
	Size     uint64 // KiB
	Priority int
}

const maxSwaps = 4096

// Swaps reads /proc/swaps; bad counts lines that are none.
func Swaps(data []byte) (out []Swap, bad int) {
	first := true
	for raw := range bytes.SplitSeq(data, []byte("\n")) {
		if first { // the heading
			first = false
			continue
		}
		if len(raw) == 0 {
			continue
		}
		s, ok := parseSwap(raw)
		if !ok || len(out) == maxSwaps {
			bad++
			continue
		}
		out = append(out, s)
	}
	return out, bad
}

func parseSwap(raw []byte) (s Swap, ok bool) {
	f := bytes.Fields(raw)
	if len(f) < 5 {
		return s, false
	}
	s.Path = unescape(f[0])
	const gone = " (deleted)"
	if n := len(s.Path) - len(gone); n > 0 && s.Path[n:] == gone {
		s.Path, s.Deleted = s.Path[:n], true
	}
	s.Type = string(f[1])
	var err error
	if s.Size, err = strconv.ParseUint(string(f[2]), 10, 64); err != nil {
		return s, false
	}
	if s.Priority, err = strconv.Atoi(string(f[4])); err != nil {
		return s, false
	}
	return s, len(s.Path) > 1 && s.Path[0] == '/'
}
