package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"dynamod/internal/testkit"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata/tour")

// TestTour misuses a real manager through the real dynamodctl, from each script of
// testdata/tour, and looks at what a person is told. Files of a script below cfg/
// are the configuration; the manager is started by "manager".
func TestTour(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/tour",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"manager": tourManager, "ended": tourEnded, "code": tourCode, "eventually": tourEventually,
			"garbage": tourGarbage, "halves": tourHalves, "connections": tourConnections, "manager-log": tourLog,
			"tiny": tourTiny,
		},
		Setup: func(env *testscript.Env) error {
			// Not below $WORK: a socket's path has room for 107 bytes, and other
			// users may not enter it.
			dir, err := os.MkdirTemp("", "tour")
			if err != nil {
				return err
			}
			if err := os.Chmod(dir, 0o755); err != nil {
				return err
			}
			m := &tourist{}
			env.Values["manager"] = m
			env.Defer(func() {
				m.end()
				os.RemoveAll(dir)
			})
			env.Setenv("RUN", dir)
			env.Setenv("DYNAMOD_SOCKET", filepath.Join(dir, "control.sock"))
			env.Setenv("PATH", programs+":"+env.Getenv("PATH"))
			env.Setenv("PROGRAMS", programs)
			env.Setenv("TZ", "UTC")
			return os.MkdirAll(filepath.Join(env.WorkDir, "cfg", "services"), 0o755)
		},
	})
}

type tourist struct {
	cmd    *exec.Cmd
	exited chan struct{}
	log    testkit.Buffer
}

func (m *tourist) end() {
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-m.exited:
	case <-time.After(testkit.Patience):
		_ = m.cmd.Process.Kill()
		<-m.exited
	}
}

// tourManager starts the manager and waits until it listens: manager [WRAPPER...].
// The wrapper, if any, gets its command line.
func tourManager(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: manager [WRAPPER...]")
	}
	m := ts.Value("manager").(*tourist)
	argv := append(args, filepath.Join(programs, "dynamod-svmgr"), "-standalone", "-config-dir", ts.MkAbs("cfg"), "-runtime-dir", ts.Getenv("RUN"))
	m.cmd, m.exited = exec.Command(argv[0], argv[1:]...), make(chan struct{})
	m.cmd.Stdout, m.cmd.Stderr = &m.log, &m.log
	m.cmd.Env = append(os.Environ(), "TZ=UTC")
	ts.Check(m.cmd.Start())
	go func() { _ = m.cmd.Wait(); close(m.exited) }() // ends with the manager
	tourEventually(ts, false, []string{"dynamodctl", "ping"})
}

// tourEnded waits for the manager and checks its exit code: ended CODE.
func tourEnded(ts *testscript.TestScript, neg bool, args []string) {
	m := ts.Value("manager").(*tourist)
	select {
	case <-m.exited:
	case <-time.After(testkit.Patience):
		ts.Fatalf("the manager runs on")
	}
	if got := m.cmd.ProcessState.ExitCode(); fmt.Sprint(got) != args[0] {
		ts.Fatalf("the manager ended with %d; want %s:\n%s", got, args[0], &m.log)
	}
	m.cmd = nil
}

// tourLog checks what the manager said: manager-log REGEXP is a grep of its output.
func tourLog(ts *testscript.TestScript, neg bool, args []string) {
	m := ts.Value("manager").(*tourist)
	var said string
	found := waitFor(func() bool {
		said = m.log.String()
		return strings.Contains(said, args[0])
	})
	if !found {
		ts.Fatalf("the manager did not say %q, but:\n%s", args[0], said)
	}
}

func waitFor(cond func() bool) bool {
	for deadline, pause := time.Now().Add(testkit.Patience), time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if cond() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		<-time.After(pause)
	}
}

// tourCode runs a command that must end with this exit code: code N PROGRAM ARGS...
func tourCode(ts *testscript.TestScript, neg bool, args []string) {
	got := exitOf(ts, args[1:])
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("exit code %d; want %s", got, args[0])
	}
}

func exitOf(ts *testscript.TestScript, argv []string) int {
	err := ts.Exec(argv[0], argv[1:]...)
	if e, ok := err.(*exec.ExitError); ok {
		return e.ExitCode()
	}
	ts.Check(err)
	return 0
}

// tourEventually runs a command until it succeeds, or until its output contains the
// text after "has": eventually PROGRAM ARGS... [has TEXT].
func tourEventually(ts *testscript.TestScript, neg bool, args []string) {
	want := ""
	if n := len(args); n > 2 && args[n-2] == "has" {
		args, want = args[:n-2], args[n-1]
	}
	text := ""
	if !waitFor(func() bool {
		code := exitOf(ts, args)
		text = ts.ReadFile("stdout") + ts.ReadFile("stderr")
		return want == "" && code == 0 || want != "" && strings.Contains(text, want)
	}) {
		ts.Fatalf("%s: never %q but\n%s", strings.Join(args, " "), want, text)
	}
}

// tourTiny makes the runtime directory a file system of this size: tiny SIZE.
func tourTiny(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.Getenv("RUN")
	ts.Check(unix.Mount("tour", dir, "tmpfs", 0, "size="+args[0]))
	ts.Defer(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// tourDial connects; the kernel's queue may be full while a busy machine keeps the
// manager away.
func tourDial(ts *testscript.TestScript) (c net.Conn) {
	var err error
	waitFor(func() bool {
		c, err = net.Dial("unix", ts.Getenv("DYNAMOD_SOCKET"))
		return !errors.Is(err, unix.EAGAIN)
	})
	ts.Check(err)
	return c
}

// tourGarbage throws rubbish at the control socket: garbage CONNECTIONS BYTES.
func tourGarbage(ts *testscript.TestScript, neg bool, args []string) {
	n, _ := strconv.Atoi(args[0])
	size, _ := strconv.Atoi(args[1])
	rnd := rand.New(rand.NewPCG(1, 2))
	for k := range n {
		c := tourDial(ts)
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		// Of each kind: of no protocol, of the original's, of JSON.
		copy(b, []string{"", "DM\xff\xff\xff\x7f", "{\"jsonrpc\":", "DM\x10\x00\x00\x00"}[k%4])
		_ = c.SetDeadline(time.Now().Add(testkit.Patience))
		_, _ = c.Write(b) // it may hang up in the middle
		c.Close()
	}
}

// tourHalves sends requests of both protocols cut at every byte.
func tourHalves(ts *testscript.TestScript, neg bool, args []string) {
	list := "DM\x21\x00\x00\x00\x83\xa2id\x01\xa4kind\xa7Request\xa4body\xacListServices"
	for _, whole := range []string{list, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"list\"}\n"} {
		for cut := range len(whole) {
			// Too many at once are refused: then once more.
			if !waitFor(func() bool {
				c := tourDial(ts)
				defer c.Close()
				_, err := c.Write([]byte(whole[:cut]))
				return err == nil
			}) {
				ts.Fatalf("nothing takes the first %d bytes of %q", cut, whole)
			}
		}
	}
}

// tourConnections opens and leaves open as many as it gets, N in all.
func tourConnections(ts *testscript.TestScript, neg bool, args []string) {
	n, _ := strconv.Atoi(args[0])
	var open []net.Conn
	for range n {
		if open = append(open, tourDial(ts)); len(open) > 200 { // what was refused is of no use
			open[0].Close()
			open = open[1:]
		}
	}
	for _, c := range open {
		c.Close()
	}
}
