package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dynamod/internal/ipc"
	"dynamod/internal/testkit"
)

// programs is where TestMain has built the manager and its helper.
var programs string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "dynamod-svmgr-test-")
	if err != nil {
		panic(err)
	}
	for name, pkg := range map[string]string{"dynamod-svmgr": "dynamod/svmgr", "dynamod-child": "dynamod/svmgr/child",
		"dynamodctl": "dynamod/dynamodctl", "dynamod-init": "dynamod/init"} {
		build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, name), pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0") // as in the Makefile
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			panic("build " + pkg + ": " + err.Error())
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil { // other users run them
		panic(err)
	}
	programs = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// running is a manager that runs by itself, with a configuration of its own.
type running struct {
	t      testing.TB
	cfg    string
	run    string
	cmd    *exec.Cmd
	exited chan struct{}
	log    *strings.Builder
	// program is the manager's.
	program string
}

// begin starts a manager with these services (file name → TOML).
func begin(t testing.TB, services map[string]string) *running {
	t.Helper()
	r := prepare(t, services)
	r.start()
	return r
}

// prepare writes the services down; start is to follow.
func prepare(t testing.TB, services map[string]string) *running {
	t.Helper()
	r := &running{t: t, cfg: t.TempDir(), run: t.TempDir(), exited: make(chan struct{}), log: &strings.Builder{},
		program: filepath.Join(programs, "dynamod-svmgr")}
	if err := os.Mkdir(filepath.Join(r.cfg, "services"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range services {
		r.write(name, text)
	}
	return r
}

func (r *running) start() {
	t := r.t
	t.Helper()
	r.exited = make(chan struct{})
	r.cmd = exec.Command(r.program, "-standalone", "-config-dir", r.cfg, "-runtime-dir", r.run)
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, exited := r.cmd, r.exited
	go func() { _ = cmd.Wait(); close(exited) }() // ends with the manager
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-exited
		if t.Failed() && r.cmd == cmd { // once, for all of its lives
			t.Logf("the manager said:\n%s", r.log)
		}
	})
}

func (r *running) writeUnit(name, text string) {
	r.t.Helper()
	dir := filepath.Join(r.cfg, "units")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// end asks the manager to stop everything and waits until it has.
func (r *running) end() {
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	<-r.exited
}

func (r *running) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.cfg, "services", name), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// client connects as soon as the manager listens.
func (r *running) client() *ipc.Client {
	r.t.Helper()
	var c *ipc.Client
	testkit.Eventually(r.t, "the control socket answers", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		var err error
		c, err = ipc.Dial(ctx, filepath.Join(r.run, "control.sock"))
		return err == nil
	})
	r.t.Cleanup(func() { c.Close() })
	return c
}

func call[R any](t testing.TB, c *ipc.Client, v ipc.Verb, args any) (R, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var out R
	err := c.Call(ctx, v, args, &out)
	return out, err
}

func status(t testing.TB, c *ipc.Client, name string) ipc.Status {
	t.Helper()
	s, err := call[ipc.Status](t, c, ipc.VerbStatus, ipc.UnitArgs{Unit: name})
	if err != nil {
		t.Fatalf("status %s: %v", name, err)
	}
	return s
}

func kindOf(err error) string {
	var e *ipc.Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// alive says that a process runs; one that waits for its parent does not.
func alive(pid int32) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if pid <= 0 || err != nil {
		return false
	}
	rest := text[bytes.LastIndexByte(text, ')')+1:]
	return len(rest) > 1 && rest[1] != 'Z' && rest[1] != 'X'
}

func TestServicesRunStopAndComeBack(t *testing.T) {
	r := begin(t, map[string]string{
		"web.toml":  "[service]\nname = \"web\"\nexec = [\"/bin/sleep\", \"1000\"]\n",
		"user.toml": "[service]\nname = \"user\"\nexec = [\"/bin/sh\", \"-c\", \"echo up; exec sleep 1000\"]\n[dependencies]\nrequires = [\"web\"]\n",
	})
	c := r.client()
	testkit.Eventually(t, "both run", func() bool {
		return status(t, c, "web").State == "active" && status(t, c, "user").State == "active"
	})
	web, dependent := status(t, c, "web"), status(t, c, "user")
	if !alive(web.PID) || !alive(dependent.PID) {
		t.Fatalf("pids %d and %d are not both alive", web.PID, dependent.PID)
	}

	// A kill from outside is a crash: the default policy brings it back.
	if err := syscall.Kill(int(web.PID), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "web comes back", func() bool {
		s := status(t, c, "web")
		return s.State == "active" && s.PID != web.PID && s.Restarts == 1
	})
	if now := status(t, c, "user"); now.PID != dependent.PID {
		t.Errorf("a crash of web restarted what requires it: pid %d became %d", dependent.PID, now.PID)
	}

	// A stop on purpose takes the dependent along and stays.
	if _, err := call[ipc.JobResult](t, c, ipc.VerbStop, ipc.JobArgs{Unit: "web", Wait: true}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"web", "user"} {
		if s := status(t, c, name); s.State != "inactive" || s.PID != 0 {
			t.Errorf("%s is %s with pid %d after the stop", name, s.State, s.PID)
		}
	}
	if alive(dependent.PID) {
		t.Errorf("process %d of the dependent outlived its stop", dependent.PID)
	}
	logs, err := call[ipc.LogsResult](t, c, ipc.VerbLogs, ipc.LogsArgs{Units: []string{"user.service"}})
	if err != nil || len(logs.Lines) == 0 || logs.Lines[0].Text != "up" {
		t.Errorf("logs = %+v, %v; want the line it wrote", logs, err)
	}
}

// The reason of a start that failed is told by stage and errno, and a program that is
// not there never counts as started (statement 5; W34, W35 of the original).
func TestMissingProgramIsNamed(t *testing.T) {
	r := begin(t, map[string]string{
		"gone.toml": "[service]\nname = \"gone\"\nexec = [\"/no/such/program\"]\nstart = \"manual\"\n[restart]\npolicy = \"temporary\"\n",
		"user.toml": "[service]\nname = \"user\"\nexec = [\"/bin/sleep\", \"1000\"]\nstart = \"manual\"\n[dependencies]\nrequires = [\"gone\"]\n",
	})
	c := r.client()
	got, err := call[ipc.JobResult](t, c, ipc.VerbStart, ipc.JobArgs{Unit: "user", Wait: true})
	if err == nil && got.Result == "done" {
		t.Fatalf("start = %+v; want it to fail for its dependency", got)
	}
	s := status(t, c, "gone")
	if s.State != "failed" || s.Why.Kind != "spawn-failed" || !strings.Contains(s.Why.Sentence, "ENOENT") {
		t.Errorf("gone is %s because of %q: %s", s.State, s.Why.Kind, s.Why.Sentence)
	}
	if s := status(t, c, "user"); s.State != "blocked" || s.PID != 0 {
		t.Errorf("user is %s with pid %d; want blocked", s.State, s.PID)
	}
}

func TestTypoGetsAHint(t *testing.T) {
	c := begin(t, map[string]string{"web.toml": "[service]\nname = \"web\"\nexec = [\"/bin/sleep\", \"1000\"]\n"}).client()
	_, err := call[ipc.JobResult](t, c, ipc.VerbStart, ipc.JobArgs{Unit: "wbe"})
	var e *ipc.Error
	if !errors.As(err, &e) || e.Kind != "NoSuchUnit" || !strings.Contains(e.Hint, "web.service") {
		t.Errorf("start wbe = %#v; want NoSuchUnit with the right name as hint", err)
	}
}

// A file that becomes invalid changes nothing (invariant i, statement 16).
func TestReloadRejectsABrokenFile(t *testing.T) {
	r := begin(t, map[string]string{"web.toml": "[service]\nname = \"web\"\nexec = [\"/bin/sleep\", \"1000\"]\n"})
	c := r.client()
	testkit.Eventually(t, "web runs", func() bool { return status(t, c, "web").State == "active" })
	before := status(t, c, "web").PID
	r.write("broken.toml", "[service]\nname = \"broken\"\nexec = 7\n")
	if res, err := call[ipc.ReloadResult](t, c, ipc.VerbDaemonReload, ipc.ReloadArgs{}); err == nil {
		t.Fatalf("daemon-reload = %+v; want it rejected", res)
	} else if e := new(ipc.Error); !errors.As(err, &e) || !slices.ContainsFunc(e.Diags, func(d ipc.Diagnostic) bool {
		return strings.HasSuffix(d.File, "broken.toml") && d.Line == 3
	}) {
		t.Errorf("the rejection does not name file and line: %+v", e)
	}
	r.write("broken.toml", "[service]\nname = \"broken\"\nexec = [\"/bin/sleep\", \"1000\"]\nstart = \"manual\"\n")
	if _, err := call[ipc.ReloadResult](t, c, ipc.VerbDaemonReload, ipc.ReloadArgs{}); err != nil {
		t.Fatalf("daemon-reload of a mended file: %v", err)
	}
	if s := status(t, c, "broken"); s.State != "inactive" {
		t.Errorf("the new service is %s; want inactive", s.State)
	}
	if now := status(t, c, "web").PID; now != before {
		t.Errorf("reloading restarted web: pid %d became %d", before, now)
	}
}

func TestExitCodeAndNothingLeft(t *testing.T) {
	r := begin(t, map[string]string{
		"stubborn.toml": "[service]\nname = \"stubborn\"\nexec = [\"/bin/sh\", \"-c\", \"trap '' TERM; sleep 1000 & wait; wait\"]\n[shutdown]\nstop-timeout = \"300ms\"\n",
	})
	c := r.client()
	testkit.Eventually(t, "it runs", func() bool { return status(t, c, "stubborn").State == "active" })
	pid := status(t, c, "stubborn").PID
	if _, err := call[ipc.Done](t, c, ipc.VerbShutdown, ipc.ShutdownArgs{Kind: "poweroff"}); kindOf(err) != "NotSupported" {
		t.Errorf("poweroff of a standalone manager = %v; want NotSupported", err)
	}
	if _, err := call[ipc.Done](t, c, ipc.VerbShutdown, ipc.ShutdownArgs{Kind: "exit", ExitCode: new(7)}); err != nil {
		t.Fatal(err)
	}
	<-r.exited
	if code := r.cmd.ProcessState.ExitCode(); code != 7 {
		t.Errorf("exit code %d; want 7", code)
	}
	if alive(pid) {
		t.Errorf("process %d was left behind", pid)
	}
	if _, err := os.Stat(filepath.Join(r.run, "state", "state.json")); !os.IsNotExist(err) {
		t.Errorf("state of a manager that ended on purpose is still there: %v", err)
	}
}
