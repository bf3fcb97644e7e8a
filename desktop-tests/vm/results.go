package vm

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// Results is what the guest says about itself, on a port of its own, a line each:
//
//	ok NAME             a check held
//	FAIL NAME: TEXT     a check did not
//	value NAME=TEXT     something measured
//	done                that is all
//
// Any other line is kept as a note. See [ResultPort] for the guest's end.
type Results struct {
	mu      sync.Mutex
	checks  []Check
	values  map[string]string
	notes   []string
	done    bool
	changed chan struct{}
	ended   bool
}

// Check is one "ok" or "FAIL".
type Check struct {
	Name string
	OK   bool
	Text string
}

// Bounds on what a guest can make us keep.
const (
	maxResultLine = 64 << 10
	maxResults    = 100_000
)

func newResults() *Results {
	return &Results{values: map[string]string{}, changed: make(chan struct{})}
}

// read takes lines until the guest's end is closed.
func (r *Results) read(in io.Reader, log io.Writer, tell func(line string)) {
	sc := bufio.NewScanner(in)
	sc.Buffer(nil, maxResultLine)
	for sc.Scan() {
		line := strings.TrimRight(sc.Text(), "\r")
		fmt.Fprintln(log, line)
		r.take(line)
		if value, ok := strings.CutPrefix(line, "value "); ok {
			tell("measured " + value)
		} else {
			tell(line)
		}
	}
	if err := sc.Err(); err == bufio.ErrTooLong {
		r.take(fmt.Sprintf("FAIL results: a line of more than %d bytes; the rest is lost", maxResultLine))
		_, _ = io.Copy(io.Discard, in) // the guest must not be stopped by a full port
	}
	r.mu.Lock()
	r.ended = true
	r.announce()
	r.mu.Unlock()
}

func (r *Results) announce() {
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *Results) take(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.announce()
	word, rest, _ := strings.Cut(line, " ")
	switch {
	case line == "done":
		r.done = true
	case len(r.checks)+len(r.values)+len(r.notes) >= maxResults:
	case word == "ok" && rest != "":
		r.checks = append(r.checks, Check{Name: rest, OK: true})
	case word == "FAIL" && rest != "":
		name, text, _ := strings.Cut(rest, ": ")
		r.checks = append(r.checks, Check{Name: name, Text: text})
	case word == "value" && strings.Contains(rest, "="):
		name, text, _ := strings.Cut(rest, "=")
		r.values[name] = text
	case line != "":
		r.notes = append(r.notes, line)
	}
}

// Wait waits for "done". It fails when the machine ends without it.
func (r *Results) Wait(ctx context.Context) error {
	return r.WaitFor(ctx, "done", func() bool { return r.done })
}

// WaitLine waits for a check, a value or a note of that name.
func (r *Results) WaitLine(ctx context.Context, name string) error {
	return r.WaitFor(ctx, name, func() bool {
		_, value := r.values[name]
		return value || slices.Contains(r.notes, name) ||
			slices.ContainsFunc(r.checks, func(c Check) bool { return c.Name == name })
	})
}

// WaitFor waits until have, which is called with r held, is true.
func (r *Results) WaitFor(ctx context.Context, what string, have func() bool) error {
	for {
		r.mu.Lock()
		ok, ended, changed := have(), r.ended, r.changed
		r.mu.Unlock()
		switch {
		case ok:
			return nil
		case ended:
			return fmt.Errorf("wait for the guest's %q: %w", what, errEnded)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for the guest's %q: %w", what, context.Cause(ctx))
		}
	}
}

// Checks lists the checks in the order in which they were made.
func (r *Results) Checks() []Check {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.checks)
}

// Notes lists the lines that were none of the known kinds.
func (r *Results) Notes() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.notes)
}

// Value is what the guest gave for a name, "" if nothing.
func (r *Results) Value(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.values[name]
}

// Failures joins the checks that did not hold; nil when there are none.
func (r *Results) Failures() error {
	var lines []string
	for _, c := range r.Checks() {
		if !c.OK {
			lines = append(lines, c.Name+": "+c.Text)
		}
	}
	if lines == nil {
		return nil
	}
	return fmt.Errorf("checks that failed in the guest:\n\t%s", strings.Join(lines, "\n\t"))
}
