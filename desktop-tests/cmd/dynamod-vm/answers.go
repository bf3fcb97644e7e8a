package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// answers is the end of a machine's output port: lines to show, and files between
// "@file NAME" and "@end".
type answers struct {
	show io.Writer
	dir  string

	mu    sync.Mutex
	rest  []byte // a line that is not whole yet
	name  string // of the file under way
	file  bytes.Buffer
	err   error
	files map[string]chan struct{} // closed when the file is there
	sent  map[string]bool
}

// maxFile bounds what a machine can make us keep.
const maxFile = 16 << 20

func newAnswers(show io.Writer, dir string) *answers {
	return &answers{show: show, dir: dir, files: map[string]chan struct{}{}, sent: map[string]bool{}}
}

// Write takes what the machine says. It never fails, so that the machine is not stopped
// by a full port.
func (a *answers) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rest = append(a.rest, p...)
	for {
		line, rest, whole := bytes.Cut(a.rest, []byte("\n"))
		if !whole {
			break
		}
		a.line(line)
		a.rest = rest
	}
	if len(a.rest) > maxFile {
		a.rest = nil
	}
	return len(p), nil
}

func (a *answers) line(line []byte) {
	if name, ok := bytes.CutPrefix(line, []byte("@file ")); ok {
		a.name = filepath.Base(string(name))
		a.file.Reset()
		return
	}
	switch {
	case a.name == "":
		fmt.Fprintf(a.show, "%s\n", line)
	case string(line) == "@end":
		if len(bytes.TrimSpace(a.file.Bytes())) == 0 && a.err == nil {
			a.err = fmt.Errorf("%s, which the machine sent, is empty", a.name)
		}
		if err := os.WriteFile(filepath.Join(a.dir, a.name), a.file.Bytes(), 0o644); err != nil && a.err == nil {
			a.err = err
		}
		if there := a.there(a.name); !a.sent[a.name] {
			a.sent[a.name] = true
			close(there)
		}
		a.name = ""
	case a.file.Len() < maxFile:
		a.file.Write(line)
		a.file.WriteByte('\n')
	}
}

func (a *answers) there(name string) chan struct{} {
	if a.files[name] == nil {
		a.files[name] = make(chan struct{})
	}
	return a.files[name]
}

// wait waits for a file.
func (a *answers) wait(ctx context.Context, name string) error {
	a.mu.Lock()
	there := a.there(name)
	a.mu.Unlock()
	select {
	case <-ctx.Done():
		return fmt.Errorf("the machine did not send %s: %w", name, ctx.Err())
	case <-there:
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}
