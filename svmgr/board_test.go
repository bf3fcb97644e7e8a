package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

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
