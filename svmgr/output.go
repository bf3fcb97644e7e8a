package main

import (
	"fmt"
	"sync"
	"time"

	"dynamod/svmgr/internal/core"
	"dynamod/svmgr/internal/world"
)

// outputLine is one line that a service wrote.
type outputLine struct {
	Unit   string
	Run    core.RunID
	Stderr bool
	At     time.Time
	Text   string
	Seq    uint64
	// Level and Facility are those of syslog(3), Fields the unit's own.
	Level, Facility uint8
	Identifier      string
	Fields          []string
}

// cursor is a position that sorts like the lines do.
func (l *outputLine) cursor() string { return fmt.Sprintf("%016x", l.Seq) }

// ring keeps the newest lines of all services in memory until there is a log
// daemon: bounded in lines and bytes, for each unit and in all; the oldest go first,
// and are counted.
type ring struct {
	mu      sync.Mutex
	lines   []outputLine // circular; one without a number is a hole
	next    int
	n       int // with the holes
	holes   int
	bytes   int
	dropped uint64
	seq     uint64
	units   map[string]*unitLines
}

// unitLines is what the ring has of one unit.
type unitLines struct {
	// at are the places of its lines, oldest first.
	at []int32
	// since, taken and over count the window of LogRateLimitIntervalSec=.
	since time.Time
	taken int64
	over  int64
}

const (
	ringLines = 8192
	ringBytes = 4 << 20
)

// Line implements world.OutputSink.
func (r *ring) Line(x *world.Line) {
	r.line(x, time.Now())
}

func (r *ring) line(x *world.Line, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.unit(x.Unit)
	keep, p := ringLines, x.Policy
	if p != nil {
		keep = min(p.Keep, ringLines)
	}
	l := outputLine{Unit: x.Unit, Run: x.Run, Stderr: x.Stderr, At: now, Level: x.Level, Facility: x.Facility,
		Identifier: x.Identifier, Fields: x.Fields}
	if p != nil && p.Burst > 0 && p.Interval > 0 {
		if now.Sub(u.since) >= p.Interval || now.Before(u.since) {
			if u.over > 0 {
				told := l
				told.Text = fmt.Sprintf("%d lines were suppressed: more than %d within %s (LogRateLimitBurst=)", u.over, p.Burst, p.Interval)
				told.Level = 4
				r.put(told, keep)
			}
			u = r.unit(x.Unit)
			u.since, u.taken, u.over = now, 0, 0
		}
		if u.taken >= p.Burst {
			u.over++
			r.dropped++
			return
		}
		u.taken++
	}
	l.Text = string(x.Text)
	r.put(l, keep)
}

// unit is what the ring has of a unit. Those of which it has nothing are forgotten now
// and then: names of instances come and go.
func (r *ring) unit(name string) *unitLines {
	if r.units == nil || len(r.units) > 2*ringLines {
		former := r.units
		r.units = map[string]*unitLines{}
		for n, u := range former {
			if len(u.at) > 0 {
				r.units[n] = u
			}
		}
	}
	u := r.units[name]
	if u == nil {
		u = &unitLines{}
		r.units[name] = u
	}
	return u
}

// put adds a line, which gets a number if it has none, of a unit of which keep lines are
// kept. The caller holds mu.
func (r *ring) put(l outputLine, keep int) {
	if l.Seq == 0 {
		r.seq++
		l.Seq = r.seq
	}
	if r.lines == nil {
		r.lines = make([]outputLine, ringLines)
	}
	if r.n == ringLines && r.holes > ringLines/4 {
		r.compact()
	}
	for r.n > 0 && (r.n == ringLines || r.bytes+len(l.Text) > ringBytes) {
		at := (r.next - r.n + ringLines) % ringLines
		if oldest := &r.lines[at]; oldest.Seq != 0 {
			r.units[oldest.Unit].at = r.units[oldest.Unit].at[1:]
			r.drop(oldest)
		}
		r.holes--
		r.n--
	}
	u := r.unit(l.Unit)
	for len(u.at) > 0 && len(u.at) >= keep {
		r.drop(&r.lines[u.at[0]])
		u.at = u.at[1:]
	}
	if keep <= 0 {
		r.dropped++
		return
	}
	u.at = append(u.at, int32(r.next))
	r.lines[r.next] = l
	r.next = (r.next + 1) % ringLines
	r.n++
	r.bytes += len(l.Text)
}

// drop makes a hole of a line.
func (r *ring) drop(l *outputLine) {
	r.bytes -= len(l.Text)
	*l = outputLine{}
	r.holes++
	r.dropped++
}

// compact moves the lines together: holes of one unit must not push out the lines of
// others. It is done for thousands of lines at once.
func (r *ring) compact() {
	for _, u := range r.units {
		u.at = u.at[:0]
	}
	lines := make([]outputLine, ringLines)
	n := 0
	for k := range r.n {
		if l := &r.lines[(r.next-r.n+k+ringLines)%ringLines]; l.Seq != 0 {
			u := r.unit(l.Unit)
			u.at = append(u.at, int32(n))
			lines[n] = *l
			n++
		}
	}
	r.lines, r.n, r.next, r.holes = lines, n, n%ringLines, 0
}

// ringState is a ring as it is passed to a new program.
type ringState struct {
	Lines   []outputLine
	Seq     uint64
	Dropped uint64
}

// state is what the ring holds. A line that comes later is not in it.
func (r *ring) state() ringState {
	lines := r.last(func(*outputLine) bool { return true }, 0)
	r.mu.Lock()
	defer r.mu.Unlock()
	return ringState{lines, r.seq, r.dropped}
}

// restore fills an empty ring.
func (r *ring) restore(s ringState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k := range s.Lines {
		r.put(s.Lines[k], ringLines)
	}
	r.seq, r.dropped = s.Seq, s.Dropped
}

// lost is how many lines had to go.
func (r *ring) lost() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}

// last returns up to n of the newest lines that match, oldest first; 0 means all.
func (r *ring) last(match func(*outputLine) bool, n int) []outputLine {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []outputLine
	for k := 0; k < r.n && (n == 0 || len(out) < n); k++ {
		l := &r.lines[(r.next-1-k+2*ringLines)%ringLines]
		if l.Seq != 0 && match(l) {
			out = append(out, *l)
		}
	}
	for a, b := 0, len(out)-1; a < b; a, b = a+1, b-1 {
		out[a], out[b] = out[b], out[a]
	}
	return out
}
