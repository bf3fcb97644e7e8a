package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/testkit"
)

// lines is a log that several goroutines write.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lines) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.all.String(), text)
}

// asNobody connects with the rights of a user who has none.
func asNobody(t *testing.T, path string) (net.Conn, error) {
	t.Helper()
	type result struct {
		c   net.Conn
		err error
	}
	ch := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its user
		const nobody = 65534
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); e != 0 {
			ch <- result{nil, e}
			return
		}
		c, err := net.Dial("unix", path)
		ch <- result{c, err}
	}()
	r := <-ch
	return r.c, r.err
}

// The private socket is root's: nobody else gets to it, and whoever does nevertheless is
// left before he has said a word.
func TestPrivateSocketIsForRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("this test needs root: it becomes another user")
	}
	dir, err := os.MkdirTemp("", "sd1") // short: the names of sockets are
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	said := &lines{}
	private := filepath.Join(dir, "systemd/private")
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, settings{control: filepath.Join(dir, "nowhere"), private: private, system: "-"}, slog.New(slog.NewTextHandler(said, nil)))
	}()
	t.Cleanup(func() {
		end()
		if err := testkit.Receive(t, ended, "the bridge has ended"); err != nil {
			t.Error(err)
		}
	})
	testkit.Eventually(t, "the bridge listens", func() bool {
		st, err := os.Stat(private)
		return err == nil && st.Mode().Perm() == 0o600
	})
	if c, err := asNobody(t, private); !errors.Is(err, syscall.EACCES) {
		t.Errorf("nobody connects: %v, %v", c, err)
	}
	if err := os.Chmod(private, 0o666); err != nil {
		t.Fatal(err)
	}
	c, err := asNobody(t, private)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "\x00AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"); err != nil && !errors.Is(err, syscall.EPIPE) {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if strings.Contains(string(answer), "OK") || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("nobody is answered %q, %v", answer, err)
	}
	testkit.Eventually(t, "the log tells who was left", func() bool { return said.has("uid=65534") })
}
