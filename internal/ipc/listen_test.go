package ipc

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestHelperListens is the manager of TestListenerOfTheDead: it listens, leaves the socket
// to a child that never takes a connection, and is gone.
func TestHelperListens(t *testing.T) {
	path := os.Getenv("IPC_LISTEN")
	if path == "" {
		return // it is no test of its own
	}
	l, err := Listen(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command("/bin/sh", "-c", "echo up; read x")
	child.Stdin, child.Stdout, child.ExtraFiles = os.Stdin, os.Stdout, []*os.File{f}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	os.Exit(0)
}

// The socket of a manager that was killed can be held by a child that it was about to
// start: the next manager listens all the same.
func TestListenerOfTheDead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	manager := exec.Command(os.Args[0], "-test.run=^TestHelperListens$")
	manager.Env = append(os.Environ(), "IPC_LISTEN="+path)
	held, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close() // ends the child
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	manager.Stdin, manager.Stdout = held, w
	if err := manager.Run(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	held.Close()
	if _, err := r.Read(make([]byte, 1)); err != nil { // the child is up
		t.Fatal(err)
	}
	l, err := Listen(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
