// Package console connects the terminal that dynamodctl runs on with a service that
// has a pseudo-terminal of its own.
package console

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Terminal is a pseudo-terminal (pty(7)). Whoever opens its Path talks to the user.
type Terminal struct {
	in, out       *os.File
	master, slave *os.File
	restore       *term.State
	resized       chan os.Signal
	copied        sync.WaitGroup
	once          sync.Once
}

// Open makes a pseudo-terminal as large as in, which must be a terminal.
func Open(in, out *os.File) (*Terminal, error) {
	if !term.IsTerminal(int(in.Fd())) {
		return nil, errors.New("standard input is no terminal")
	}
	master, slave, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("make a pseudo-terminal: %w", err)
	}
	t := &Terminal{in: in, out: out, master: master, slave: slave, resized: make(chan os.Signal, 1)}
	if err := pty.InheritSize(in, master); err != nil {
		t.Close()
		return nil, fmt.Errorf("size of the terminal: %w", err)
	}
	return t, nil
}

// Path is the device that the service opens.
func (t *Terminal) Path() string { return t.slave.Name() }

// Connect begins to pass on what is typed and written. The user's terminal is raw until
// Close, so that ^C reaches the service and not this program.
func (t *Terminal) Connect() {
	if state, err := term.MakeRaw(int(t.in.Fd())); err == nil {
		t.restore = state
	}
	signal.Notify(t.resized, unix.SIGWINCH)
	go func() { // ends with Close
		for range t.resized {
			_ = pty.InheritSize(t.in, t.master)
		}
	}()
	go func() { _, _ = io.Copy(t.master, t.in) }() // ends with the process, which waits in a read
	t.copied.Add(1)
	go func() { // ends when nobody has the device open, or with Close
		defer t.copied.Done()
		_, _ = io.Copy(t.out, t.master)
	}()
}

// Close passes on what was written last and gives the user's terminal back. It may be
// called again.
func (t *Terminal) Close() {
	t.once.Do(func() {
		t.slave.Close() // the last one that has it open: now reading ends
		t.copied.Wait()
		signal.Stop(t.resized)
		close(t.resized)
		if t.restore != nil {
			_ = term.Restore(int(t.in.Fd()), t.restore)
		}
		t.master.Close()
	})
}
