// Package progress tells a human what a long piece of work is at.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Line is one line rewritten in place on a terminal, one line per step elsewhere.
type Line struct {
	w     io.Writer
	name  string
	tty   bool
	start time.Time

	mu     sync.Mutex
	step   string
	note   string
	hushed bool
	end    chan struct{}
	done   sync.WaitGroup
}

// New begins to tell: "name: 12s step". w may be nil.
func New(w io.Writer, name string) *Line {
	if w == nil {
		w = io.Discard
	}
	p := &Line{w: w, name: name, start: time.Now(), end: make(chan struct{})}
	if f, ok := w.(*os.File); ok {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		p.tty = err == nil
	}
	if p.tty {
		// Owned by p; ends in Close.
		p.done.Go(func() {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				select {
				case <-p.end:
					return
				case <-tick.C:
					p.mu.Lock()
					p.print()
					p.mu.Unlock()
				}
			}
		})
	}
	return p
}

// At names the step that begins; the same one again is not repeated.
func (p *Line) At(step string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if step != p.step {
		p.step, p.note = step, ""
		p.print()
	}
}

// Note shows a detail of the step, on a terminal only.
func (p *Line) Note(detail string) {
	if !p.tty {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note = detail
}

// maxNote bounds what is shown of a detail.
const maxNote = 60

// Hush says nothing more: the terminal is for something else from here on. Close stays to be
// called.
func (p *Line) Hush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hushed = true
}

func (p *Line) print() {
	if p.hushed {
		return
	}
	before, after := "", "\n"
	if p.tty {
		before, after = "\r\x1b[K", ""
	}
	note := []rune(p.note)
	if len(note) > 0 {
		note = append([]rune(": "), note[:min(len(note), maxNote)]...)
	}
	fmt.Fprintf(p.w, "%s%s: %3ds %s%s%s", before, p.name, int(time.Since(p.start).Seconds()), p.step, string(note), after)
}

// Close ends the line.
func (p *Line) Close() {
	close(p.end)
	p.done.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tty && !p.hushed {
		fmt.Fprintln(p.w)
	}
}
