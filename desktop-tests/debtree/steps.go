package debtree

import (
	"io"
	"strings"

	"dynamod/desktop-tests/internal/progress"
)

// steps forwards a tool's output to the log, and its "I: " lines (mmdebstrap's
// own words for what it does) to the progress line.
type steps struct {
	log  io.Writer
	p    *progress.Line
	rest string
}

func (s *steps) Write(b []byte) (int, error) {
	s.rest += string(b)
	for {
		line, rest, found := strings.Cut(s.rest, "\n")
		if !found {
			break
		}
		s.rest = rest
		if step, ok := strings.CutPrefix(line, "I: "); ok {
			s.p.At(step)
		}
	}
	return s.log.Write(b)
}
