package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"dynamod/internal/board"
	"dynamod/internal/ipc"
	"dynamod/internal/testkit"
)

// The board follows units, and can be read by anybody while the manager is stopped, and
// when it is gone.
func TestBoard(t *testing.T) {
	r := begin(t, map[string]string{
		"quiet.toml":  "[service]\nname = \"quiet\"\nexec = [\"/bin/sleep\", \"1000\"]\n[cgroup]\ncpu-weight = 250\n",
		"broken.toml": "[service]\nname = \"broken\"\nexec = [\"/bin/false\"]\n[restart]\npolicy = \"never\"\n",
	})
	c := r.client()
	path := filepath.Join(r.run, board.Name)
	find := func(unit string) (found board.Record) {
		s, err := board.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(s.Records, func(x board.Record) bool { return x.Name == unit }); i >= 0 {
			found = s.Records[i]
		}
		return found
	}
	testkit.Eventually(t, "quiet is on the board", func() bool {
		b, now := find("quiet.service"), status(t, c, "quiet")
		return b.State == "active" && b.Sub == "running" && b.PID == now.PID && b.Weight == 250 && b.Since == now.Since.Wall && b.Cause == now.Cause
	})
	testkit.Eventually(t, "broken is on the board", func() bool {
		b := find("broken.service")
		return b.State == "failed" && b.Cause == "exit-code" && b.PID == 0
	})
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o644 {
		t.Errorf("the board is %v, %v", st.Mode(), err)
	}
	if _, err := call[ipc.JobResult](t, c, ipc.VerbStop, ipc.JobArgs{Unit: "quiet", Wait: true}); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "its stop is on the board", func() bool { b := find("quiet.service"); return b.State == "inactive" && b.PID == 0 })
	if out, err := r.dynamodctl("run", "--unit", "brief", "true").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	testkit.Eventually(t, "what is forgotten leaves the board", func() bool { return find("brief.service").Name == "" })

	shown := func(want ...string) {
		t.Helper()
		out, err := r.dynamodctl("board").CombinedOutput()
		for _, w := range append(want, "broken.service", "failed") {
			if err != nil || !strings.Contains(string(out), w) {
				t.Errorf("board shows %v\n%s\nwant %q", err, out, w)
			}
		}
	}
	shown("runs; the last change was")
	if out, err := r.dynamodctl("--json", "board", "broken").CombinedOutput(); err != nil || !strings.Contains(string(out), `"manager": "running"`) || !strings.Contains(string(out), `"cause": "exit-code"`) {
		t.Errorf("board --json: %v\n%s", err, out)
	}
	if err := r.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	shown("is stopped: this is how it was")
	if err := r.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	r.kill()
	shown("is gone: this is how it was")
	r.start()
	r.client()
	testkit.Eventually(t, "the next manager has a board", func() bool {
		s, err := board.Read(path)
		return err == nil && int(s.PID) == r.cmd.Process.Pid && find("broken.service").State == "failed"
	})
	r.end()
	shown("ended on purpose")
	if out, err := r.dynamodctl("--socket", filepath.Join(t.TempDir(), "control.sock"), "board").CombinedOutput(); err == nil || !strings.Contains(string(out), "no board at") {
		t.Errorf("without a board: %v, %s", err, out)
	}
	if out, err := r.dynamodctl("board", "--tty", "/dev/null").CombinedOutput(); err == nil || !strings.Contains(string(out), "no terminal") {
		t.Errorf("on /dev/null: %v, %s", err, out)
	}
}

// On a terminal the board is drawn again and again, and goes on when the manager is
// stopped, saying since when nothing has changed; so does top --board.
func TestBoardOnATerminal(t *testing.T) {
	r := begin(t, map[string]string{"quiet.toml": "[service]\nname = \"quiet\"\nexec = [\"/bin/sleep\", \"1000\"]\n"})
	c := r.client()
	r.until(c, "quiet.service", "active")
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(master, &pty.Winsize{Rows: 24, Cols: 120}); err != nil {
		t.Fatal(err)
	}
	var drawn testkit.Buffer
	done := make(chan struct{})
	go func() { defer close(done); _, _ = io.Copy(&drawn, master) }() // ends with the terminal
	cmd := r.dynamodctl("board", "--tty", slave.Name())
	cmd.Env = append(cmd.Env, "TERM=linux")
	var complaint testkit.Buffer
	cmd.Stderr = &complaint
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the terminal has %q; dynamodctl said %q", drawn.String(), complaint.String())
		}
		_ = r.cmd.Process.Signal(syscall.SIGCONT)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		slave.Close()
		master.Close()
		<-done
	})
	testkit.Eventually(t, "it is drawn", func() bool {
		return strings.Contains(drawn.String(), "quiet") && strings.Contains(drawn.String(), "runs; the last change was")
	})
	if err := r.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "it says that the manager is stopped", func() bool { return strings.Contains(drawn.String(), "is stopped: this is how it was") })

	look := r.dynamodctl("top", "--board")
	look.Env = append(look.Env, "TERM=xterm")
	term, err := pty.StartWithSize(look, &pty.Winsize{Rows: 24, Cols: 120})
	if err != nil {
		t.Fatal(err)
	}
	var seen testkit.Buffer
	ended := make(chan struct{})
	go func() { defer close(ended); _, _ = io.Copy(&seen, term) }() // ends with the program
	testkit.Eventually(t, "top shows the board of the stopped manager", func() bool {
		return strings.Contains(seen.String(), "quiet") && strings.Contains(seen.String(), " old")
	})
	if _, err := io.WriteString(term, "q"); err != nil {
		t.Fatal(err)
	}
	_ = look.Wait()
	term.Close()
	<-ended
}
