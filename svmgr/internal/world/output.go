package world

import (
	"bytes"
	"sync"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/epoll"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// MaxLine is where a line of output is cut.
const MaxLine = 8192

// cutMark ends a part of a line that was too long; the rest follows as a line of
// its own.
const cutMark = " [cut]"

// turn bounds what one stream may read before the others have theirs.
const turn = 64 << 10

// output reads the pipes of standard output and error in one goroutine with one
// buffer. It never waits for anybody but the sink, which must not block.
type output struct {
	w    *World
	poll *epoll.Poll
	buf  []byte

	mu      sync.Mutex
	streams map[uint64]*stream
	next    uint64
	dropped uint64 // lines without a sink
}

// stream is one pipe. part is a line that has not ended yet; it is held only
// while there is one, so that a quiet stream costs nothing.
type stream struct {
	fd     int
	unit   string
	run    core.RunID
	stderr bool
	part   []byte
	// rest says that part continues a line that was cut.
	rest bool
	// policy is what the unit says of its lines, nil until the first one comes.
	policy *LinePolicy
	// of is that unit, nil if it must be looked for: a service that ends at once may be
	// forgotten before its lines are read.
	of *unit.Unit
}

// Part is the beginning of a line that its service has not ended yet, for the program
// that goes on reading. Rest says that what came before it was cut off.
type Part struct {
	Unit   string
	Run    core.RunID
	Stderr bool
	Text   []byte
	Rest   bool
}

func newOutput(w *World) (*output, error) {
	p, err := epoll.New()
	if err != nil {
		return nil, err
	}
	return &output{w: w, poll: p, buf: make([]byte, turn), streams: map[uint64]*stream{}}, nil
}

// add hands a pipe over to the reader, which closes it at its end.
// of has the settings for its lines, nil if they are to be looked for.
func (o *output) add(fd int, name string, run core.RunID, stderr bool, of *unit.Unit) {
	s := &stream{fd: fd, unit: name, run: run, stderr: stderr, of: of}
	for _, p := range o.w.cfg.Parts {
		if p.Run == run && p.Unit == name && p.Stderr == stderr {
			s.part, s.rest = p.Text, p.Rest
		}
	}
	if err := neverWait(fd); err != nil {
		o.w.log.Error("cannot read output", "unit", name, "err", err)
		unix.Close(fd)
		return
	}
	o.mu.Lock()
	o.next++
	tag := o.next
	o.streams[tag] = s
	o.mu.Unlock()
	if err := o.poll.Add(fd, epoll.In, tag); err != nil {
		o.w.log.Error("cannot read output", "unit", name, "err", err)
		o.drop(tag, s)
	}
}

func (o *output) drop(tag uint64, s *stream) {
	o.mu.Lock()
	_, ok := o.streams[tag]
	delete(o.streams, tag)
	o.mu.Unlock()
	if ok {
		_ = o.poll.Remove(s.fd)
		unix.Close(s.fd)
		o.w.dropKept(s.unit, outputName(s.run, s.stderr))
	}
}

// loop ends when close closes the set.
func (o *output) loop() {
	_ = o.poll.Wait(func(e epoll.Event) {
		o.mu.Lock()
		s := o.streams[e.Tag]
		o.mu.Unlock()
		if s == nil {
			return
		}
		// One read for each turn: the set is level-triggered and names the
		// ready ones in rotation, so a flood waits for the others.
		n, err := unix.Read(s.fd, o.buf)
		switch {
		case err == unix.EINTR || err == unix.EAGAIN:
		case err != nil || n <= 0:
			o.end(s)
			o.drop(e.Tag, s)
		default:
			o.feed(s, o.buf[:n])
		}
	})
}

func (o *output) close() { o.poll.Close() }

// parts are the lines that have begun, after the loop has ended.
func (o *output) parts() (out []Part) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.streams {
		if len(s.part) > 0 || s.rest {
			out = append(out, Part{s.unit, s.run, s.stderr, s.part, s.rest})
		}
	}
	return out
}

// closeAll closes what is left after the loop has ended.
func (o *output) closeAll() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for tag, s := range o.streams {
		unix.Close(s.fd)
		delete(o.streams, tag)
	}
}

// feed cuts what was read into lines.
func (o *output) feed(s *stream, b []byte) {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			i = len(b)
		}
		if len(s.part)+i > MaxLine {
			n := MaxLine - len(s.part)
			s.part = append(append(s.part, b[:n]...), cutMark...)
			o.emit(s, s.part)
			s.part, s.rest = s.part[:0], true
			b = b[n:]
			continue
		}
		if i == len(b) {
			s.part = append(s.part, b...)
			return
		}
		if len(s.part) == 0 {
			if i > 0 || !s.rest { // nothing is left of a cut line
				o.emit(s, b[:i])
			}
		} else {
			s.part = append(s.part, b[:i]...)
			o.emit(s, s.part)
		}
		s.part, s.rest = nil, false
		b = b[i+1:]
	}
}

// end keeps a last line that has no newline.
func (o *output) end(s *stream) {
	if len(s.part) > 0 {
		o.emit(s, s.part)
		s.part = nil
	}
}

func (o *output) emit(s *stream, line []byte) {
	if o.w.cfg.Output == nil {
		o.mu.Lock()
		o.dropped++
		o.mu.Unlock()
		return
	}
	if s.policy == nil {
		s.policy = o.w.linesOf(s.unit, s.of)
	}
	policy := s.policy
	if policy == nil {
		policy = plainLines
	}
	if x := (Line{Unit: s.unit, Run: s.run, Stderr: s.stderr, Text: line}); policy.judge(&x) {
		o.w.cfg.Output.Line(&x)
	}
}

// DroppedLines counts the lines of output that had no taker.
func (w *World) DroppedLines() uint64 {
	w.out.mu.Lock()
	defer w.out.mu.Unlock()
	return w.out.dropped
}
