package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/ipc"
	"dynamod/internal/testkit"
)

// What docs/statements.md promises and only a whole manager can show; the rest of
// the thirty is proved where it is decided, see that page.

// shell is a native service whose program is a shell script.
func shell(name, script, more string) string {
	return fmt.Sprintf("[service]\nname = %q\nexec = [\"/bin/sh\", \"-c\", '''%s''']\n%s\n", name, script, more)
}

func (r *running) until(c *ipc.Client, name, state string) ipc.Status {
	r.t.Helper()
	var s ipc.Status
	testkit.Eventually(r.t, name+" is "+state, func() bool {
		s = status(r.t, c, name)
		return s.State == state
	})
	return s
}

// lines waits until a unit has written at least n lines and returns its newest.
func lines(t testing.TB, c *ipc.Client, name string, n int) (text []string) {
	t.Helper()
	testkit.Eventually(t, fmt.Sprintf("%d lines of %s", n, name), func() bool {
		res, err := call[ipc.LogsResult](t, c, ipc.VerbLogs, ipc.LogsArgs{Units: []string{name + ".service"}, Lines: 100})
		if err != nil {
			t.Fatal(err)
		}
		text = nil
		for _, l := range res.Lines {
			text = append(text, l.Text)
		}
		return len(text) >= n
	})
	return text
}

// 3. No process of a service ever executes outside its cgroup: what a service forks
// at its first instruction ends with it.
func TestStatement03ForksStayInside(t *testing.T) {
	r := begin(t, map[string]string{"bomb.toml": shell("bomb", `for i in 1 2 3 4 5 6 7 8; do (setsid sleep 1000 & setsid sh -c "sleep 1000 & sleep 1000" &) & done; wait; echo up; exec sleep 1000`, "")})
	c := r.client()
	lines(t, c, "bomb", 1)
	var all []ipc.Process
	testkit.Eventually(t, "all that it forked is seen", func() bool { all = status(t, c, "bomb").Processes; return len(all) >= 25 })
	if _, err := call[ipc.JobResult](t, c, ipc.VerbStop, ipc.JobArgs{Unit: "bomb", Wait: true}); err != nil {
		t.Fatal(err)
	}
	for _, p := range all { // what has ended is reaped soon
		testkit.Eventually(t, fmt.Sprintf("process %d (%s) is gone", p.PID, p.Command), func() bool { return !alive(p.PID) })
	}
}

// 12. A config with retries × interval ≥ restart window is rejected.
func TestStatement12FlappingHealthIsRejected(t *testing.T) {
	r := begin(t, nil)
	c := r.client()
	text := func(interval string) string {
		return "[service]\nname = \"flap\"\nexec = [\"/bin/sleep\", \"1000\"]\nstart = \"manual\"\n" +
			"[health]\ntype = \"path\"\npath = \"/\"\nretries = 3\non-unhealthy = \"restart\"\ninterval = \"" + interval + "\"\n" +
			"[restart]\nmax-restarts = 5\nmax-restart-window = \"60s\"\n"
	}
	r.write("flap.toml", text("20s"))
	_, err := call[ipc.ReloadResult](t, c, ipc.VerbDaemonReload, ipc.ReloadArgs{})
	var e *ipc.Error
	if !errors.As(err, &e) || len(e.Diags) != 1 || !strings.HasSuffix(e.Diags[0].File, "flap.toml") || e.Diags[0].Line != 10 ||
		!strings.Contains(e.Diags[0].Message, "1min") {
		t.Errorf("3 × 20 s in a window of 60 s: %v, %+v", err, e.Diags)
	}
	r.write("flap.toml", text("19s"))
	if _, err := call[ipc.ReloadResult](t, c, ipc.VerbDaemonReload, ipc.ReloadArgs{}); err != nil {
		t.Errorf("3 × 19 s in a window of 60 s: %v", err)
	}
}

// 23. A service that floods its output delays nobody, and what had to be dropped is
// counted. How long the others take is told by BenchmarkBesideFlood.
func TestStatement23FloodDelaysNobody(t *testing.T) {
	r := begin(t, map[string]string{
		"flood.toml": "[service]\nname = \"flood\"\nexec = [\"/usr/bin/yes\", \"" + strings.Repeat("x", 120) + "\"]\n",
		"quick.toml": "[service]\nname = \"quick\"\nexec = [\"/bin/true\"]\ntype = \"oneshot\"\nstart = \"manual\"\n",
	})
	c := r.client()
	r.until(c, "flood", "active")
	var before uint64
	testkit.Eventually(t, "more was written than is kept", func() bool {
		res, err := call[ipc.LogsResult](t, c, ipc.VerbLogs, ipc.LogsArgs{Lines: 1})
		before = res.Lost
		return err == nil && before > 0
	})
	for range 50 {
		res, err := call[ipc.JobResult](t, c, ipc.VerbRestart, ipc.JobArgs{Unit: "quick", Wait: true})
		if err != nil || res.Result != "done" {
			t.Fatalf("a start beside the flood: %+v, %v", res, err)
		}
	}
	res, err := call[ipc.LogsResult](t, c, ipc.VerbLogs, ipc.LogsArgs{Lines: 1})
	if err != nil || res.Lost <= before || status(t, c, "flood").State != "active" {
		t.Errorf("the flood stood still: %d lines were dropped before and %d after, %v", before, res.Lost, err)
	}
}

// 27. With no descriptor left, each operation fails with its errno, the manager
// lives, what it runs is still monitored, and all is well when there are some again.
func TestStatement27OutOfDescriptors(t *testing.T) {
	r := begin(t, map[string]string{
		"old.toml": "[service]\nname = \"old\"\nexec = [\"/bin/sleep\", \"1000\"]\n[restart]\ndelay = \"1s\"\nmax-restarts = 1000\n",
		"new.toml": "[service]\nname = \"new\"\nexec = [\"/bin/sleep\", \"1000\"]\nstart = \"manual\"\n[restart]\npolicy = \"temporary\"\n",
	})
	c := r.client()
	old := r.until(c, "old", "active")
	var was unix.Rlimit
	pid := r.cmd.Process.Pid
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &was); err != nil {
		t.Fatal(err)
	}
	// A new descriptor would need a number below the first that is free.
	free := uint64(0)
	for {
		if _, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, free)); err != nil {
			break
		}
		free++
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: free, Max: was.Max}, nil); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for range 30 {
		res, err := call[ipc.JobResult](t, c, ipc.VerbStart, ipc.JobArgs{Unit: "new", Wait: true})
		if err == nil && res.Result == "done" {
			t.Fatal("a service was started without descriptors; the test does not exhaust them")
		}
		if s := status(t, c, "new"); s.Why.Kind == "spawn-failed" && strings.Contains(s.Why.Sentence, "EMFILE") {
			failed++
		} else if s.Why.Kind != "start-limit" {
			t.Fatalf("new failed because of %q: %s", s.Why.Kind, s.Why.Sentence)
		}
		if _, err := call[ipc.JobResult](t, c, ipc.VerbReset, ipc.JobArgs{Unit: "new"}); err != nil {
			t.Fatal(err)
		}
	}
	if failed == 0 {
		t.Error("no start failed for want of descriptors")
	}
	// Connections are not accepted now; an end is noticed and counted all the same.
	if err := syscall.Kill(int(old.PID), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the end of old is noticed", func() bool { return status(t, c, "old").PID != old.PID })
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &was, nil); err != nil {
		t.Fatal(err)
	}
	if res, err := call[ipc.JobResult](t, c, ipc.VerbStart, ipc.JobArgs{Unit: "new", Wait: true}); err != nil || res.Result != "done" {
		t.Errorf("with descriptors again: %+v, %v", res, err)
	}
	testkit.Eventually(t, "old is back", func() bool { return status(t, c, "old").State == "active" })
	r.client() // and new connections are
}

// 28. A child has only descriptors 0, 1, 2 and declared ones, an empty signal mask,
// default dispositions and a clean environment; neither the control socket nor the
// pipe of another service appears in it (W3, W50 of the original).
func TestStatement28ChildrenAreClean(t *testing.T) {
	t.Setenv("SECRET", "of the manager")
	r := begin(t, map[string]string{
		"noisy.toml": shell("noisy", "echo up; exec sleep 1000", ""),
		"look.toml": "[service]\nname = \"look\"\ntype = \"oneshot\"\nstart = \"manual\"\nexec = [\"/bin/sh\", \"-c\", " +
			`'''ls -l /proc/$$/fd; grep -E "^Sig(Blk|Ign|Cgt)" /proc/self/status; env; echo end''']` + "\n",
	})
	c := r.client()
	for range 3 {
		r.client() // open while it starts
	}
	lines(t, c, "noisy", 1)
	if res, err := call[ipc.JobResult](t, c, ipc.VerbStart, ipc.JobArgs{Unit: "look", Wait: true}); err != nil || res.Result != "done" {
		t.Fatalf("%+v, %v", res, err)
	}
	text := lines(t, c, "look", 8)
	pipe, fds := "", 0
	for _, l := range text {
		f := strings.Fields(l)
		if n := len(f); n > 3 && f[n-2] == "->" { // of ls: nothing is between it and the pipe, or the shell would have one more
			f = []string{"fd", f[n-3], f[n-1]}
		}
		switch {
		case len(f) == 3 && f[0] == "fd":
			fds++
			if f[1] == "0" && f[2] != "/dev/null" || f[1] > "2" || len(f[1]) > 1 || f[1] != "0" && !strings.HasPrefix(f[2], "pipe:") {
				t.Errorf("descriptor %s is %s", f[1], f[2])
			}
			if f[1] == "1" {
				pipe = f[2]
			}
		case strings.HasPrefix(l, "SigBlk"), strings.HasPrefix(l, "SigIgn"):
			// systemd.exec(5): IgnoreSIGPIPE= is yes by default, and only that.
			if v := f[1]; v != "0000000000000000" && !(f[0] == "SigIgn:" && v == "0000000000001000") {
				t.Errorf("%s", l)
			}
		case strings.Contains(l, "SECRET"), strings.HasPrefix(l, "GO"), strings.HasPrefix(l, "DYNAMOD_INIT"):
			t.Errorf("the environment has %s", l)
		}
	}
	if fds != 3 || pipe == "" {
		t.Errorf("%d descriptors in\n%s", fds, strings.Join(text, "\n"))
	}
	// The pipe of one service is held by nobody but itself and the manager.
	noisy := status(t, c, "noisy").PID
	out, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/1", noisy))
	if err != nil {
		t.Fatal(err)
	}
	if out == pipe {
		t.Errorf("both services write to %s", pipe)
	}
}

// 29. An idle manager polls nothing: every thread waits for an event, or with a
// timeout of more than a second. BenchmarkIdle counts what is left.
func TestStatement29NoPolling(t *testing.T) {
	r := fleet(t, 20)
	c := r.client()
	r.many(c, ipc.VerbStartAll, 20)
	c.Close()
	why := ""
	defer func() {
		if t.Failed() {
			t.Log(why)
		}
	}()
	testkit.Eventually(t, "every thread waits long", func() bool {
		why = r.impatient()
		return why == ""
	})
}

// impatient looks for a thread that does not wait, or for less than a second.
func (r *running) impatient() string {
	pid := r.cmd.Process.Pid
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	if len(tasks) == 0 {
		return "no threads"
	}
	for _, p := range tasks {
		data, err := os.ReadFile(p)
		if err != nil {
			continue
		}
		f := strings.Fields(string(data))
		arg := func(n int) uint64 {
			v, _ := strconv.ParseUint(strings.TrimPrefix(f[1+n], "0x"), 16, 64)
			return v
		}
		if len(f) < 7 {
			return p + ": " + string(data) // running
		}
		switch f[0] {
		case fmt.Sprint(unix.SYS_EPOLL_PWAIT):
			if ms := int32(arg(3)); ms >= 0 && ms < 1000 {
				return fmt.Sprintf("%s: epoll_pwait for %d ms", p, ms)
			}
		case fmt.Sprint(unix.SYS_FUTEX):
			if at := arg(3); at != 0 {
				if wait, err := r.timespec(at); err == nil && wait < time.Second {
					return fmt.Sprintf("%s: futex for %v", p, wait)
				}
			}
		default:
			return p + ": " + string(data)
		}
	}
	return ""
}

// timespec reads one from the manager's memory.
func (r *running) timespec(at uint64) (time.Duration, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", r.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var b [16]byte
	if _, err := f.ReadAt(b[:], int64(at)); err != nil {
		return 0, err
	}
	return time.Duration(binary.NativeEndian.Uint64(b[:8]))*time.Second + time.Duration(binary.NativeEndian.Uint64(b[8:])), nil
}

// Two managers beside each other have nothing to do with each other's services,
// though they have the same names.
func TestManagersSideBySide(t *testing.T) {
	web := map[string]string{"web.toml": "[service]\nname = \"web\"\nexec = [\"/bin/sleep\", \"1000\"]\n"}
	one, other := begin(t, web), begin(t, web)
	c, d := one.client(), other.client()
	a, b := one.until(c, "web", "active"), other.until(d, "web", "active")
	if len(a.Warnings)+len(b.Warnings) > 0 || a.Cgroup != "" && a.Cgroup == b.Cgroup {
		t.Errorf("they met: %q and %q, warnings %q %q", a.Cgroup, b.Cgroup, a.Warnings, b.Warnings)
	}
	if len(a.Processes) != 1 || len(b.Processes) != 1 {
		t.Errorf("processes %+v and %+v", a.Processes, b.Processes)
	}
	if _, err := call[ipc.JobResult](t, c, ipc.VerbRestart, ipc.JobArgs{Unit: "web", Wait: true}); err != nil {
		t.Fatal(err)
	}
	one.end()
	if s := status(t, d, "web"); s.State != "active" || s.PID != b.PID || !alive(b.PID) {
		t.Errorf("the end of one manager changed the other: %+v", s.Unit)
	}
	if a.Cgroup != "" {
		if _, err := os.Stat(filepath.Dir(a.Cgroup)); !os.IsNotExist(err) {
			t.Errorf("the cgroup of a manager that ended is left: %v", err)
		}
	}
}
