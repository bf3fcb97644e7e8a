package main

import (
	"fmt"
	"sync"
	"time"

	"dynamod/svmgr/internal/core"
)

// outputLine is one line that a service wrote.
type outputLine struct {
	Unit   string
	Run    core.RunID
	Stderr bool
	At     time.Time
	Text   string
	Seq    uint64
}

// cursor is a position that sorts like the lines do.
func (l *outputLine) cursor() string { return fmt.Sprintf("%016x", l.Seq) }

// ring keeps the newest lines of all services in memory until there is a log
// daemon: bounded in lines and bytes; the oldest go first, and are counted.
type ring struct {
	mu      sync.Mutex
	lines   []outputLine // circular
	next    int
	n       int
	bytes   int
	dropped uint64
	seq     uint64
}

const (
	ringLines = 8192
	ringBytes = 4 << 20
)

// Line implements world.OutputSink.
func (r *ring) Line(unit string, run core.RunID, stderr bool, p []byte) {
	r.put(outputLine{Unit: unit, Run: run, Stderr: stderr, At: time.Now(), Text: string(p)})
}

// put adds a line, which gets a number if it has none.
func (r *ring) put(l outputLine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.Seq == 0 {
		r.seq++
		l.Seq = r.seq
	}
	if r.lines == nil {
		r.lines = make([]outputLine, ringLines)
	}
	for r.n > 0 && (r.n == ringLines || r.bytes+len(l.Text) > ringBytes) {
		oldest := &r.lines[(r.next-r.n+ringLines)%ringLines]
		r.bytes -= len(oldest.Text)
		*oldest = outputLine{}
		r.n--
		r.dropped++
	}
	r.lines[r.next] = l
	r.next = (r.next + 1) % ringLines
	r.n++
	r.bytes += len(l.Text)
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
	for k := range s.Lines {
		r.put(s.Lines[k])
	}
	r.mu.Lock()
	defer r.mu.Unlock()
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
		if match(l) {
			out = append(out, *l)
		}
	}
	for a, b := 0, len(out)-1; a < b; a, b = a+1, b-1 {
		out[a], out[b] = out[b], out[a]
	}
	return out
}
