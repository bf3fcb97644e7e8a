package api

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A terminal is one that has the same name here; its owner could have put it in the place
// of any device where he opened it.
func TestTerminalOf(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("pts/%d", n)
	pts, err := os.OpenFile("/dev/"+want, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pts.Close()
	if got, ok := terminalOf(int(pts.Fd()), "/"); got != want || !ok {
		t.Errorf("terminalOf = %q, %v; want %q", got, ok, want)
	}
	elsewhere := t.TempDir()
	if err := os.MkdirAll(filepath.Join(elsewhere, "dev/pts"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(elsewhere, "dev", want), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, ok := terminalOf(int(pts.Fd()), elsewhere); ok {
		t.Errorf("another file of that name counts as the terminal %q", got)
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if got, ok := terminalOf(int(null.Fd()), "/"); ok {
		t.Errorf("/dev/null is the terminal %q", got)
	}
	for name, ok := range map[string]bool{"tty": true, "tty1": true, "ttyS0": true, "tty_": false, "pts/12": true, "pts/": false, "hvc0": true, "hvc": false, "hvcx": false, "watchdog": false, "pts/../watchdog": false, "tty1\n": false, ":0": false, "": false} {
		if isTerminal(name) != ok {
			t.Errorf("%q may be the name of a terminal: %v", name, !ok)
		}
	}
}
