// Package vmtest joins machines and tests: what a guest reports becomes subtests.
package vmtest

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dynamod/desktop-tests/vm"
)

// GoTest runs the tests of a package, compiled with the build tag vm, as root in a
// guest. Each test of the package becomes a subtest of t, its skips and failures
// too. flags are those of a test binary (-test.run=…);
// $VM_TESTS, if set, names the only ones to run, for who looks for a mistake. The job's Argv and Dir are set
// here, and the file "test"; the rest is the caller's.
func GoTest(t *testing.T, job vm.Job, pkg string, flags ...string) *vm.Outcome {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "test")
	if err := vm.BuildTest(t.Context(), "./"+pkg, binary, "-tags", "vm"); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"test": binary}
	maps.Copy(files, job.Files)
	job.Files = files
	job.Argv = append([]string{vm.GuestFile("test"), "-test.v=test2json", "-test.timeout=" + guestLimit(job).String()}, flags...)
	if only := os.Getenv("VM_TESTS"); only != "" {
		job.Argv = append(job.Argv, "-test.run="+only)
	}
	job.Dir = vm.GuestFile("")
	if job.Progress == nil {
		job.Progress = os.Stderr
	}
	out, err := vm.RunInGuest(t.Context(), job)
	if err != nil {
		if out != nil {
			err = withTail(err, out)
		}
		t.Fatal(err)
	}
	report(t, out)
	return out
}

// report makes a subtest of each test in the output.
func report(t *testing.T, out *vm.Outcome) {
	t.Helper()
	tests, err := parse(t.Context(), out.Output)
	if err != nil {
		t.Fatal(err)
	}
	failed := false
	for _, g := range tests {
		failed = failed || g.Action != "pass" && g.Action != "skip"
		t.Run(g.Name, func(t *testing.T) {
			switch g.Action {
			case "pass":
				t.Logf("in the guest: %.2fs", g.Elapsed)
			case "skip":
				t.Skip(g.Output)
			case "":
				t.Errorf("did not end:\n%s", g.Output)
			default:
				t.Error(g.Output)
			}
		})
	}
	switch {
	case out.Exit != 0 && !failed:
		t.Errorf("the test binary ended with %d; the end of its output:\n%s", out.Exit, tail(out.Output, 4000))
	case len(tests) == 0:
		t.Errorf("no tests ran; output:\n%s", tail(out.Output, 4000))
	}
}

// guestTest is one test of the package, with all of its subtests.
type guestTest struct {
	Name    string
	Action  string // pass, fail, skip, "" when the binary ended before it
	Elapsed float64
	Output  string
}

// parse reads what a test binary prints with -test.v=test2json.
func parse(ctx context.Context, text []byte) ([]*guestTest, error) {
	cmd := exec.CommandContext(ctx, "go", "tool", "test2json")
	cmd.Stdin = bytes.NewReader(text)
	cmd.Stderr = os.Stderr
	events, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var tests []*guestTest
	find := func(name string) *guestTest {
		for _, g := range tests {
			if g.Name == name {
				return g
			}
		}
		tests = append(tests, &guestTest{Name: name})
		return tests[len(tests)-1]
	}
	for dec := json.NewDecoder(bytes.NewReader(events)); dec.More(); {
		var e struct {
			Action, Test, Output string
			Elapsed              float64
		}
		if err := dec.Decode(&e); err != nil {
			return nil, err
		}
		if e.Test == "" {
			continue
		}
		top, _, sub := strings.Cut(e.Test, "/")
		g := find(top)
		switch e.Action {
		case "output":
			g.Output += e.Output
		case "pass", "fail", "skip":
			if !sub {
				g.Action, g.Elapsed = e.Action, e.Elapsed
			} else if e.Action == "skip" {
				// A test that skips a part of itself does not count as run.
				g.Output += "a subtest was skipped\n"
			}
		}
	}
	return tests, nil
}

func tail(b []byte, n int) string { return string(b[max(0, len(b)-n):]) }
