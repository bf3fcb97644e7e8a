package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"dynamod/internal/ipc"
	"dynamod/internal/testkit"
)

// kill ends the manager without giving it a chance.
func (r *running) kill() {
	r.t.Helper()
	if err := r.cmd.Process.Kill(); err != nil {
		r.t.Fatal(err)
	}
	<-r.exited
}

// marked lists the processes whose command line has the word.
func marked(t *testing.T, word string) (pids []int32) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		line, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		for _, arg := range bytes.Split(line, []byte{0}) {
			if string(arg) == word {
				pids = append(pids, int32(pid))
			}
		}
	}
	return pids
}

// A record that cannot be read is no reason to guess: the successor refuses, says what
// to do, and touches nothing of what runs.
func TestTakeOverOfADamagedRecord(t *testing.T) {
	r := begin(t, map[string]string{"quiet.toml": "[service]\nname = \"quiet\"\nexec = [\"/bin/sleep\", \"1000\"]\n"})
	c := r.client()
	testkit.Eventually(t, "it runs", func() bool { return status(t, c, "quiet").State == "active" })
	pid := status(t, c, "quiet").PID
	r.kill()
	file := filepath.Join(r.run, "state", "state.json")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"cut": good[:len(good)/2], "empty": nil, "no JSON": []byte("\x00\x00"), "another shape": []byte(`{"Generation":1,"Core":[]}`)} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		next := exec.Command(filepath.Join(programs, "dynamod-svmgr"), "-standalone", "-config-dir", r.cfg, "-runtime-dir", r.run)
		if out, err := next.CombinedOutput(); err == nil || !strings.Contains(string(out), "then remove "+filepath.Dir(file)) {
			t.Errorf("%s: %v, %s", name, err, out)
		}
		if err := syscall.Kill(int(pid), 0); err != nil {
			t.Fatalf("%s: what ran is gone: %v", name, err)
		}
	}
	// Nothing but the record is in the way.
	if err := os.WriteFile(file, good, 0o600); err != nil {
		t.Fatal(err)
	}
	r.start()
	if now := status(t, r.client(), "quiet"); now.PID != pid {
		t.Errorf("process %d became %d", pid, now.PID)
	}
}

// A killed manager's successor finds every process again, sees it end, and goes on
// reading its output where it was.
func TestTakeOver(t *testing.T) {
	r := begin(t, map[string]string{
		"quiet.toml":  "[service]\nname = \"quiet\"\nexec = [\"/bin/sleep\", \"1000\"]\n",
		"count.toml":  "[service]\nname = \"count\"\nexec = [\"/bin/sh\", \"-c\", \"i=0; while :; do echo $i; i=$((i+1)); sleep 0.002; done\"]\n[logging]\nbuffer-lines = 8192\n",
		"once.toml":   "[service]\nname = \"once\"\nexec = [\"/bin/true\"]\ntype = \"oneshot\"\n",
		"manual.toml": "[service]\nname = \"manual\"\nexec = [\"/bin/sleep\", \"1000\"]\nstart = \"manual\"\n",
		"ready.toml":  "[service]\nname = \"ready\"\nexec = [\"/bin/sleep\", \"1000\"]\nstart = \"manual\"\n[readiness]\ntype = \"notify\"\ntimeout = \"60s\"\n",
	})
	c := r.client()
	testkit.Eventually(t, "all run", func() bool {
		return status(t, c, "quiet").State == "active" && status(t, c, "count").State == "active" && status(t, c, "once").State == "completed"
	})
	if _, err := call[ipc.JobResult](t, c, ipc.VerbStart, ipc.JobArgs{Unit: "ready"}); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "ready waits", func() bool { return status(t, c, "ready").PID != 0 })
	before := map[string]ipc.Status{}
	for _, name := range []string{"quiet", "count", "once", "ready"} {
		before[name] = status(t, c, name)
	}
	second := exec.Command(filepath.Join(programs, "dynamod-svmgr"), "-standalone", "-config-dir", r.cfg, "-runtime-dir", r.run)
	if out, err := second.CombinedOutput(); err == nil || !strings.Contains(string(out), "another manager runs") {
		t.Errorf("a second manager beside a living one: %v, %s", err, out)
	}
	r.kill()
	r.start()
	c = r.client()
	for name, was := range before {
		if now := status(t, c, name); now.PID != was.PID || now.State != was.State {
			t.Errorf("%s: %s with pid %d became %s with pid %d", name, was.State, was.PID, now.State, now.PID)
		}
	}
	if _, err := call[ipc.Done](t, c, ipc.VerbNotify, ipc.NotifyArgs{Unit: "ready", PID: before["ready"].PID, State: "READY=1"}); err != nil {
		t.Error(err)
	}
	testkit.Eventually(t, "ready is active", func() bool { return status(t, c, "ready").State == "active" })

	// Output waits in the pipe while nobody reads, and none of it is lost.
	var lines []ipc.LogLine
	testkit.Eventually(t, "count is heard again", func() bool {
		logs, err := call[ipc.LogsResult](t, c, ipc.VerbLogs, ipc.LogsArgs{Units: []string{"count.service"}})
		lines = logs.Lines
		return err == nil && len(lines) > 50
	})
	for k := 1; k < len(lines); k++ {
		a, _ := strconv.Atoi(lines[k-1].Text)
		if b, err := strconv.Atoi(lines[k].Text); err != nil || b != a+1 {
			t.Fatalf("after line %q comes %q", lines[k-1].Text, lines[k].Text)
		}
	}

	// A crash is seen although the process is somebody else's child by now.
	if err := syscall.Kill(int(before["quiet"].PID), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "quiet comes back", func() bool {
		s := status(t, c, "quiet")
		return s.State == "active" && s.PID != before["quiet"].PID && s.Restarts == 1
	})
	// And a stop is a stop.
	if _, err := call[ipc.JobResult](t, c, ipc.VerbStop, ipc.JobArgs{Unit: "count", Wait: true}); err != nil {
		t.Fatal(err)
	}
	if alive(before["count"].PID) {
		t.Error("count outlived its stop")
	}
}

// TestKilledManyTimes kills the manager a hundred times while services run, crash
// and are started and stopped: no process is doubled or lost, and what the manager
// says is true in the end.
func TestKilledManyTimes(t *testing.T) {
	disturbed(t, func(r *running, _ *ipc.Client) {
		r.kill()
		r.start()
	})
}

// disturbed runs services while something is done to their manager a hundred times.
func disturbed(t *testing.T, disturb func(*running, *ipc.Client)) {
	const services = 50
	times := 100
	if testing.Short() {
		times = 10
	}
	mark := "takeover-" + strconv.Itoa(os.Getpid())
	files, crashers := map[string]string{}, map[string]string{}
	stopped := map[int]bool{}
	for k := range services {
		body := "sleep 1000; exit 0" // not exec: the mark would be gone
		switch k % 5 {
		case 1: // ends by itself, again and again
			crashers[fmt.Sprintf("s%d.service", k)] = fmt.Sprintf("[Service]\nExecStart=/bin/bash -c 'sleep 0.0$((RANDOM %%%% 9 + 1)); exit 3' %s-%d\n"+
				"Restart=always\nRestartSec=5ms\n[Unit]\nStartLimitIntervalSec=0\n", mark, k)
			stopped[k] = true
			continue
		case 2: // writes all the time
			body = "while :; do echo line; sleep 0.01; done"
		case 3: // has a child
			body = "sleep 1000 & wait"
		case 4: // takes its time to stop
			body = "trap 'sleep 0.02; exit 0' TERM; while :; do sleep 0.01; done"
		}
		files[fmt.Sprintf("s%d.toml", k)] = fmt.Sprintf("[service]\nname = \"s%d\"\nexec = [\"/bin/bash\", \"-c\", %q, \"%s-%d\"]\n", k, body, mark, k)
	}
	r := prepare(t, files)
	for name, text := range crashers {
		r.writeUnit(name, text)
	}
	r.start()
	t.Cleanup(func() { // if it goes wrong nothing may stay
		for k := range services {
			for _, pid := range marked(t, fmt.Sprintf("%s-%d", mark, k)) {
				syscall.Kill(int(pid), syscall.SIGKILL)
			}
		}
	})
	seed := uint64(os.Getpid())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range times {
		c := r.client()
		for range rng.IntN(30) {
			k := rng.IntN(services)
			verb, want := ipc.VerbStart, false
			switch rng.IntN(4) {
			case 0:
				verb, want = ipc.VerbStop, true
			case 1:
				verb = ipc.VerbRestart
			case 2:
				_ = status(t, c, fmt.Sprintf("s%d", k))
				continue
			}
			if _, err := call[ipc.JobResult](t, c, verb, ipc.JobArgs{Unit: fmt.Sprintf("s%d", k)}); err != nil {
				t.Fatalf("%s s%d: %v", verb, k, err)
			}
			stopped[k] = want
		}
		disturb(r, c)
	}
	c := r.client()
	for k := range services {
		name := fmt.Sprintf("s%d", k)
		word := fmt.Sprintf("%s-%d", mark, k)
		seen := ""
		t.Cleanup(func() {
			if t.Failed() && seen != "" {
				t.Log(seen)
			}
		})
		testkit.Eventually(t, name+" settles", func() bool {
			s := status(t, c, name)
			pids := marked(t, word)
			seen = fmt.Sprintf("%s (to be stopped: %v) is %s with pid %d, because %s; its processes are %v", name, stopped[k], s.State, s.PID, s.Why.Sentence, pids)
			switch {
			case stopped[k]:
				// One that ends by itself while it is being stopped has failed, as with systemd.
				return (s.State == "inactive" || k%5 == 1 && s.State == "failed") && len(pids) == 0
			case k%5 == 1:
				return len(pids) <= 1 && (s.State == "active" || s.State == "restart-pending" || s.State == "starting")
			}
			return s.State == "active" && len(pids) == 1 && pids[0] == s.PID
		})
		seen = ""
	}
	if _, err := call[ipc.Done](t, c, ipc.VerbShutdown, ipc.ShutdownArgs{Kind: "exit"}); err != nil {
		t.Fatal(err)
	}
	<-r.exited
	for k := range services {
		if pids := marked(t, fmt.Sprintf("%s-%d", mark, k)); len(pids) > 0 {
			t.Errorf("processes %v of s%d were left behind", pids, k)
		}
	}
}
