package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"

	"dynamod/internal/ipc"
	"dynamod/internal/testkit"
)

// dynamodctl is the real program, asking this manager.
func (r *running) dynamodctl(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(programs, "dynamodctl"), args...)
	cmd.Env = append(os.Environ(), "DYNAMOD_SOCKET="+filepath.Join(r.run, "control.sock"), "TERM=dumb")
	return cmd
}

func exitCode(err error) int {
	var e *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.ExitCode()
	}
	return -1
}

// What a person runs is a service with the words, environment and end that he meant.
func TestRunWaits(t *testing.T) {
	r := begin(t, nil)
	r.client()
	odd := "a b\t\"c\" 'd' $HOME ${HOME} %n \\ \xff ; é\n"
	for _, x := range []struct {
		args []string
		code int
		out  string
	}{
		{[]string{"--unit", "a", "--", "sh", "-c", `printf "%s|" "$@"; exit 3`, "sh", odd, "", "@x"}, 3, ""},
		{[]string{"--", "true"}, 0, ""},
		{[]string{"--", "sh", "-c", "kill -KILL $$"}, 137, ""},
		{[]string{"-p", "TimeoutStartSec=nonsense", "true"}, 1, "TimeoutStartSec"},
		{[]string{"-p", "NoSuch=1", "true"}, 2, "NoSuch"},
		{[]string{"nosuchcommand"}, 1, "nosuchcommand"},
		{[]string{"--setenv", "ODD=" + odd, "--unit", "b", "--", "sh", "-c", `printf "%s" "$ODD" | od -An -tx1 -v | tr -d " \n"`}, 0, ""},
		{[]string{"--working-directory", "/usr/bin", "--", "sh", "-c", "test $PWD = /usr/bin"}, 0, ""},
		{[]string{"--working-directory", "/nonexistent", "--", "true"}, 1, "working directory"},
		{[]string{"--collect", "--unit", "gone", "false"}, 1, "code 1"},
	} {
		out, err := r.dynamodctl(append([]string{"run", "--wait"}, x.args...)...).CombinedOutput()
		if exitCode(err) != x.code || !strings.Contains(string(out), x.out) {
			t.Errorf("run %q ended with %d and said %q; want %d and %q", x.args, exitCode(err), out, x.code, x.out)
		}
	}
	logged := func(unit string) (text string) {
		testkit.Eventually(t, unit+" has logged", func() bool {
			out, err := r.dynamodctl("--json", "logs", unit).CombinedOutput()
			text = string(out)
			return err == nil && text != ""
		})
		return text
	}
	if text := logged("b"); !strings.Contains(text, hex.EncodeToString([]byte(odd))) {
		t.Errorf("the environment of b was %s; want %s", text, hex.EncodeToString([]byte(odd)))
	}
	if text := logged("a"); !strings.Contains(text, `$HOME ${HOME} %n`) || !strings.Contains(text, `||@x|`) {
		t.Errorf("the arguments of a were %s", text)
	}
	if out, err := r.dynamodctl("status", "gone").CombinedOutput(); err == nil || !strings.Contains(string(out), "no unit gone.service") {
		t.Errorf("what was to be forgotten has a status: %s", out)
	}
	if out, _ := r.dynamodctl("status", "a").CombinedOutput(); !strings.Contains(string(out), "loaded; transient") {
		t.Errorf("status of what failed: %s", out)
	}
}

// A terminal is passed on both ways, with its size, and the code comes back.
func TestRunOnATerminal(t *testing.T) {
	r := begin(t, nil)
	r.client()
	cmd := r.dynamodctl("run", "--pty", "--quiet", "--", "sh", "-c", `stty size; test -t 0 && test -t 2 && read line && echo "got $line"; exit 7`)
	term, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 33, Cols: 99})
	if err != nil {
		t.Fatal(err)
	}
	defer term.Close()
	var said testkit.Buffer
	done := make(chan struct{})
	go func() { defer close(done); _, _ = io.Copy(&said, term) }() // ends with the program
	testkit.Eventually(t, "the size is passed on", func() bool { return strings.Contains(said.String(), "33 99") })
	if _, err := io.WriteString(term, "hello\r"); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	<-done
	if exitCode(err) != 7 || !strings.Contains(said.String(), "got hello") {
		t.Errorf("it ended with %d and said %q", exitCode(err), said.String())
	}
}

// A timer starts it; both can be looked at meanwhile.
func TestRunByATimer(t *testing.T) {
	r := begin(t, nil)
	c := r.client()
	mark := filepath.Join(t.TempDir(), "ran")
	out, err := r.dynamodctl("run", "--on-active", "100ms", "--unit", "later", "--", "touch", mark).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("later.timer waits")) {
		t.Fatalf("%v: %s", err, out)
	}
	testkit.Eventually(t, "it ran", func() bool { _, err := os.Stat(mark); return err == nil })
	for _, name := range []string{"later.timer", "later.service"} { // neither is needed any more
		testkit.Eventually(t, name+" is forgotten", func() bool {
			_, err := call[ipc.Status](t, c, ipc.VerbStatus, ipc.UnitArgs{Unit: name})
			return ipc.KindOf(err) == "NoSuchUnit"
		})
	}
	for _, args := range [][]string{{"--on-active", "1s", "--wait", "true"}, {"--timer-property", "Persistent=yes", "true"}, {"--on-calendar", "never o'clock", "true"}} {
		if out, err := r.dynamodctl(append([]string{"run"}, args...)...).CombinedOutput(); exitCode(err) != 2 {
			t.Errorf("run %q ended with %d: %s", args, exitCode(err), out)
		}
	}
}
