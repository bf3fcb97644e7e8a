package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dynamod/internal/ipc"
)

// A binary that is missing blocks the start before anything runs, and is named by
// status, why and the error of the start; a restart after it is back goes through.
func TestProbeBlocksAndNames(t *testing.T) {
	dir := t.TempDir()
	tool := filepath.Join(dir, "tool")
	r := begin(t, map[string]string{"a.toml": "[service]\nname = \"a\"\nstart = \"manual\"\nexec = [\"" + tool + "\", \"1000\"]\n[probe]\nchecks = [\"all\"]\n"})
	c := r.client()
	res, err := call[ipc.JobResult](t, c, ipc.VerbStart, ipc.JobArgs{Unit: "a", Wait: true})
	if err == nil && res.Result == "done" {
		t.Fatalf("it started without its program: %+v", res)
	}
	s := status(t, c, "a")
	if s.State != "blocked" || s.Cause != "probe-failed" || len(s.Checks) != 7 || s.Checks[0].Name != "binary" || s.Checks[0].OK ||
		!strings.Contains(s.Why.Sentence, tool) {
		t.Errorf("%s %s %+v %q", s.State, s.Cause, s.Checks, s.Why.Sentence)
	}
	out, _ := exec.Command(filepath.Join(programs, "dynamodctl"), "--socket", r.run+"/control.sock", "why", "a").CombinedOutput()
	if text := string(out); !strings.Contains(text, "no binary: "+tool) || !strings.Contains(text, "ok identity: it runs as user root") && os.Geteuid() == 0 {
		t.Errorf("why says:\n%s", text)
	}
	if err := os.Symlink("/bin/sleep", tool); err != nil {
		t.Fatal(err)
	}
	r.job(c, ipc.VerbStart, "a")
	s = status(t, c, "a")
	if s.State != "active" {
		t.Errorf("%s: %q", s.State, s.Why.Sentence)
	}
	for _, x := range s.Checks {
		if !x.OK || x.Text == "" {
			t.Errorf("%+v", x)
		}
	}
}

// The decisions about the restarts of a service that crashes are there to read, the
// newest first, and its last chance is a real command.
func TestDecisionsAndLastChance(t *testing.T) {
	dir := t.TempDir()
	r := begin(t, map[string]string{"a.toml": "[service]\nname = \"a\"\nstart = \"manual\"\nexec = [\"/bin/sh\", \"-c\", \"echo run >>" + dir +
		"/runs; exit 3\"]\n[restart]\ndelay = \"10ms\"\nmax-restarts = 1\n[restart.last-chance]\nexec = [\"/bin/sh\", \"-c\", \"echo $SERVICE_RESULT $EXIT_STATUS >" +
		dir + "/asked\"]\n"})
	c := r.client()
	_, _ = call[ipc.JobResult](t, c, ipc.VerbStart, ipc.JobArgs{Unit: "a"})
	r.until(c, "a", "failed")
	s := status(t, c, "a")
	var words []string
	for _, d := range s.Decisions {
		words = append(words, d.Verdict)
	}
	if got := strings.Join(words, " "); got != "give-up restart restart" || s.Cause != "restart-budget-exhausted" {
		t.Errorf("decisions %q, cause %s", got, s.Cause)
	}
	if runs, _ := os.ReadFile(dir + "/runs"); strings.Count(string(runs), "run") != 3 {
		t.Errorf("it ran %q", runs)
	}
	if asked, _ := os.ReadFile(dir + "/asked"); string(asked) != "exit-code 3\n" {
		t.Errorf("the last chance saw %q", asked)
	}
	out, _ := exec.Command(filepath.Join(programs, "dynamodctl"), "--socket", r.run+"/control.sock", "status", "a", "--json").CombinedOutput()
	if text := string(out); !strings.Contains(text, `"verdict"`) || !strings.Contains(text, `"last-chance"`) {
		t.Errorf("status --json says:\n%s", text)
	}
}
