package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dynamod/internal/ipc"
	"dynamod/internal/testkit"
)

// Defects of the original dynamod that only real processes show (W numbers of
// docs/statements.md). Each test fails on the original's behaviour. Those that are
// decisions are tested in svmgr/internal/core/defects_test.go.

const sleeps = "[service]\nname = %q\nexec = [\"/bin/sleep\", \"1000\"]\n%s"

func (r *running) job(c *ipc.Client, v ipc.Verb, name string) ipc.JobResult {
	r.t.Helper()
	res, err := call[ipc.JobResult](r.t, c, v, ipc.JobArgs{Unit: name, Wait: true})
	if err != nil {
		r.t.Fatalf("%s %s: %v", v, name, err)
	}
	return res
}

// processesNamed counts processes by an argument that is theirs alone.
func processesNamed(t testing.TB, mark string) (pids []int32) {
	t.Helper()
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		if data, err := os.ReadFile(f); err == nil && slices.Contains(strings.Split(string(data), "\x00"), mark) {
			var pid int32
			fmt.Sscanf(f, "/proc/%d/", &pid)
			pids = append(pids, pid)
		}
	}
	return pids
}

// W25: a stop on purpose is no crash: nothing comes back. W26, W27: start of what
// runs starts nothing, and restarts that overlap make one process.
func TestW25W26W27OneProcessOrNone(t *testing.T) {
	mark := fmt.Sprint(1000000 + os.Getpid())
	r := begin(t, map[string]string{"a.toml": "[service]\nname = \"a\"\nexec = [\"/bin/sleep\", \"" + mark + "\"]\nstart = \"manual\"\n[restart]\ndelay = \"1s\"\n"})
	c := r.client()
	for range 3 {
		r.job(c, ipc.VerbStart, "a")
	}
	if n := processesNamed(t, mark); len(n) != 1 {
		t.Fatalf("after three starts: %d processes", len(n))
	}
	ends := make(chan error)
	for range 8 {
		go func() {
			_, err := call[ipc.JobResult](t, c, ipc.VerbRestart, ipc.JobArgs{Unit: "a", Wait: true})
			ends <- err
		}()
	}
	for range 8 {
		if err := <-ends; err != nil {
			t.Error(err)
		}
	}
	if n := processesNamed(t, mark); len(n) != 1 || n[0] != status(t, c, "a").PID {
		t.Fatalf("after eight restarts at once: processes %v, main %d", n, status(t, c, "a").PID)
	}
	r.job(c, ipc.VerbStop, "a")
	if n := processesNamed(t, mark); len(n) != 0 {
		t.Errorf("after the stop: %v", n)
	}
	if jobs, err := call[ipc.JobsResult](t, c, ipc.VerbJobs, ipc.JobsArgs{}); err != nil || len(jobs.Jobs) != 0 || status(t, c, "a").State != "inactive" {
		t.Errorf("something is to follow the stop: %+v %v %s", jobs, err, status(t, c, "a").State)
	}
}

// W28: in a group restart each member has one new process, also one that is slow to
// stop.
func TestW28GroupHasOneProcessEach(t *testing.T) {
	mark := func(i int) string { return fmt.Sprint(2000000 + 10*os.Getpid() + i) }
	member := func(name, exec string) string {
		return "[service]\nname = \"" + name + "\"\nsupervisor = \"g\"\nexec = " + exec + "\n[restart]\ndelay = \"1s\"\n[shutdown]\nstop-timeout = \"300ms\"\n"
	}
	r := prepare(t, map[string]string{
		"a.toml":    member("a", `["/bin/sleep", "`+mark(1)+`"]`),
		"b.toml":    member("b", `["/bin/sleep", "`+mark(2)+`"]`),
		"slow.toml": member("slow", `["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1000; done", "`+mark(3)+`"]`),
	})
	if err := os.Mkdir(filepath.Join(r.cfg, "supervisors"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.cfg, "supervisors", "g.toml"), []byte("[supervisor]\nname = \"g\"\nstrategy = \"one-for-all\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.start()
	c := r.client()
	first := map[string]int32{}
	for _, u := range []string{"a", "b", "slow"} {
		first[u] = r.until(c, u, "active").PID
	}
	if err := syscall.Kill(int(first["a"]), syscall.SIGSEGV); err != nil {
		t.Fatal(err)
	}
	for i, u := range []string{"a", "b", "slow"} {
		testkit.Eventually(t, u+" runs anew", func() bool {
			s := status(t, c, u)
			return s.State == "active" && s.PID != first[u] && s.PID > 0
		})
		// A shell that forks is there twice until its child becomes another program.
		testkit.Eventually(t, u+" has one process", func() bool { return len(processesNamed(t, mark(i+1))) == 1 })
		if s := status(t, c, u); s.Restarts > 1 {
			t.Errorf("%s was restarted %d times", u, s.Restarts)
		}
	}
}

// W37, W38: a service that runs as a user reports readiness, at each start, and its
// sender is checked: what another one says about it is dropped.
func TestW37W38UsersReportReadiness(t *testing.T) {
	const notify = `use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $ENV{NOTIFY_SOCKET}) or die "$!"; $s->send("%s"); sleep 1000`
	say := func(name, text, more string) string {
		return "[service]\nname = \"" + name + "\"\ntype = \"notify\"\nexec = [\"/usr/bin/perl\", \"-e\", '''" + fmt.Sprintf(notify, text) + "''']\nstart = \"manual\"\n" + more
	}
	r := begin(t, map[string]string{
		"a.toml":   say("a", `READY=1\nSTATUS=as a user`, "user = { user = \"nobody\" }\n[readiness]\ntype = \"notify\"\n"),
		"sub.toml": say("sub", `STATUS=not READY=1, only the text`, "[readiness]\ntype = \"notify\"\ntimeout = \"2s\"\n[restart]\npolicy = \"temporary\"\n"),
	})
	if err := os.Chmod(r.run, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(r.run), 0o755); err != nil {
		t.Fatal(err)
	}
	c := r.client()
	for range 3 {
		if res := r.job(c, ipc.VerbRestart, "a"); res.Result != "done" || status(t, c, "a").Text != "as a user" {
			t.Fatalf("%+v, status %q", res, status(t, c, "a").Text)
		}
	}
	if res := r.job(c, ipc.VerbStart, "sub"); res.Result == "done" {
		t.Error("a text that contains READY=1 made it ready")
	}
}

// W46: a stop command that hangs and a service that ignores its signal delay the end
// by their own timeouts, side by side, and their other processes go too.
func TestW46EndIsBounded(t *testing.T) {
	services := map[string]string{}
	for i := range 6 {
		services[fmt.Sprintf("deaf%d.toml", i)] = shell(fmt.Sprintf("deaf%d", i), `trap "" TERM; (trap "" TERM; sleep 1000) & while :; do sleep 1000; done`,
			"[shutdown]\nstop-timeout = \"1s\"\nstop-exec = [\"/bin/sleep\", \"1000\"]\n")
	}
	r := begin(t, services)
	c := r.client()
	var all []ipc.Process
	for i := range 6 {
		r.until(c, fmt.Sprintf("deaf%d", i), "active")
		all = append(all, status(t, c, fmt.Sprintf("deaf%d", i)).Processes...)
	}
	r.end() // within the patience of the test
	for _, p := range all {
		if alive(p.PID) {
			t.Errorf("process %d (%s) is left", p.PID, p.Command)
		}
	}
}

// W49: hundreds of starts leave no descriptor in the manager.
func TestW49DescriptorsAreFlat(t *testing.T) {
	r := begin(t, map[string]string{"quick.toml": "[service]\nname = \"quick\"\ntype = \"oneshot\"\nexec = [\"/bin/echo\", \"x\"]\nstart = \"manual\"\n"})
	c := r.client()
	count := func() int {
		fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	var before int
	for i := range 300 {
		r.job(c, ipc.VerbRestart, "quick")
		if i == 20 {
			before = count()
		}
	}
	lines(t, c, "quick", 100) // they did run
	testkit.Eventually(t, fmt.Sprintf("no more than the %d descriptors of the beginning", before), func() bool { return count() <= before })
}

// W51: a byte that is no UTF-8 does not end the log of its service.
func TestW51OddBytesAreLogged(t *testing.T) {
	r := begin(t, map[string]string{"odd.toml": shell("odd", `printf "before\nodd \377\376 bytes\n"; echo after; exec sleep 1000`, "")})
	c := r.client()
	got := lines(t, c, "odd", 3)
	if got[0] != "before" || !strings.HasPrefix(got[1], "odd ") || got[2] != "after" || status(t, c, "odd").State != "active" {
		t.Errorf("%q", got)
	}
}

// W53: a user without a group has its own groups and none of the manager's.
func TestW53GroupsOfAUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test must be run by root, who alone can change users")
	}
	who := func(name, user string) string {
		return "[service]\nname = \"" + name + "\"\ntype = \"oneshot\"\nexec = [\"/usr/bin/id\"]\nstart = \"manual\"\nuser = { user = \"" + user + "\" }\n[restart]\npolicy = \"temporary\"\n"
	}
	r := begin(t, map[string]string{"name.toml": who("name", "nobody"), "number.toml": who("number", "65534"), "unlisted.toml": who("unlisted", "54321")})
	c := r.client()
	for _, u := range []string{"name", "number"} {
		r.job(c, ipc.VerbStart, u)
		if got := lines(t, c, u, 1)[0]; strings.Contains(got, "root") || !strings.HasPrefix(got, "uid=65534(nobody) gid=65534(nogroup)") {
			t.Errorf("%s ran as %s", u, got)
		}
	}
	// Without an entry nobody knows its group: that is refused, not guessed.
	if res := r.job(c, ipc.VerbStart, "unlisted"); res.Result == "done" {
		t.Errorf("unlisted ran as %q", lines(t, c, "unlisted", 1))
	}
}

// W55: a service without any limit has a group of its own as well, and a stop leaves
// none of its processes, whatever session they are in.
func TestW55EveryServiceHasItsGroup(t *testing.T) {
	r := begin(t, map[string]string{"a.toml": shell("a", "setsid sleep 1000 & echo up; exec sleep 1000", ""), "b.toml": fmt.Sprintf(sleeps, "b", "")})
	c := r.client()
	lines(t, c, "a", 1)
	var a ipc.Status
	testkit.Eventually(t, "both processes are seen", func() bool { a = status(t, c, "a"); return len(a.Processes) == 2 })
	if b := r.until(c, "b", "active"); a.Cgroup != "" && (b.Cgroup == a.Cgroup || b.Cgroup == "") {
		t.Errorf("groups %q and %q", a.Cgroup, b.Cgroup)
	}
	r.job(c, ipc.VerbStop, "a")
	for _, p := range a.Processes {
		testkit.Eventually(t, fmt.Sprintf("process %d is gone", p.PID), func() bool { return !alive(p.PID) })
	}
}

// W59: clients that say half a request, or nothing, hold up nobody.
func TestW59SlowClientsHoldUpNobody(t *testing.T) {
	r := begin(t, map[string]string{"a.toml": fmt.Sprintf(sleeps, "a", "")})
	c := r.client()
	for i := range 10 {
		slow, err := net.Dial("unix", filepath.Join(r.run, "control.sock"))
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Close()
		if _, err := slow.Write([]byte([]string{"", "DM\x20\x00", `{"jsonrpc":`}[i%3])); err != nil {
			t.Fatal(err)
		}
	}
	pid := r.until(c, "a", "active").PID
	if err := syscall.Kill(int(pid), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the crash is dealt with", func() bool { return status(t, c, "a").PID != pid })
}

// W60: a start that fails says so and why; status has the exit code.
func TestW60FailuresAreTold(t *testing.T) {
	r := begin(t, map[string]string{"bad.toml": "[service]\nname = \"bad\"\ntype = \"oneshot\"\nexec = [\"/bin/sh\", \"-c\", \"exit 42\"]\nstart = \"manual\"\n[restart]\npolicy = \"temporary\"\n"})
	c := r.client()
	if res := r.job(c, ipc.VerbStart, "bad"); res.Result != "failed" {
		t.Errorf("start = %+v; want failed", res)
	}
	if s := status(t, c, "bad"); s.State != "failed" || !strings.Contains(s.Why.Sentence, "42") {
		t.Errorf("status %s: %s", s.State, s.Why.Sentence)
	}
}

// W61: a list longer than a frame comes whole, for JSON clients in pages.
func TestW61LongListsComeWhole(t *testing.T) {
	const n = 900
	services := map[string]string{}
	for i := range n {
		name := fmt.Sprintf("a-service-with-a-rather-long-name-%04d", i)
		services[name+".toml"] = fmt.Sprintf("[service]\nname = %q\ndescription = %q\nexec = [\"/bin/sleep\", \"1000\"]\nstart = \"manual\"\n", name, strings.Repeat("d", 60))
	}
	c := begin(t, services).client()
	units, err := c.List(t.Context(), ipc.ListArgs{All: true, Types: []string{"service"}})
	if err != nil || len(units) < n {
		t.Errorf("%d units, %v; want %d", len(units), err, n)
	}
}

// BenchmarkBesideFlood tells how long a start of /bin/true and an answer take while a
// service floods its output.
func BenchmarkBesideFlood(b *testing.B) {
	r := begin(b, map[string]string{
		"flood.toml": "[service]\nname = \"flood\"\nexec = [\"/usr/bin/yes\", \"" + strings.Repeat("x", 120) + "\"]\nstart = \"manual\"\n",
		"quick.toml": "[service]\nname = \"quick\"\nexec = [\"/bin/true\"]\ntype = \"oneshot\"\nstart = \"manual\"\n",
	})
	c := r.client()
	measure := func(what string) {
		var start, answer []time.Duration
		for range 200 {
			begun := time.Now()
			r.job(c, ipc.VerbRestart, "quick")
			start = append(start, time.Since(begun))
			begun = time.Now()
			status(b, c, "quick")
			answer = append(answer, time.Since(begun))
		}
		slices.Sort(start)
		slices.Sort(answer)
		b.ReportMetric(float64(start[100].Microseconds())/1000, what+"-start-ms")
		b.ReportMetric(float64(start[199].Microseconds())/1000, what+"-start-worst-ms")
		b.ReportMetric(float64(answer[199].Microseconds())/1000, what+"-answer-worst-ms")
	}
	written := func() float64 {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", status(b, c, "flood").PID))
		if err != nil {
			b.Fatal(err)
		}
		var n float64
		for line := range strings.Lines(string(data)) {
			if rest, ok := strings.CutPrefix(line, "wchar: "); ok {
				fmt.Sscan(rest, &n)
			}
		}
		return n
	}
	for b.Loop() {
		measure("quiet")
		r.job(c, ipc.VerbStart, "flood")
		begun, before := time.Now(), written()
		measure("flood")
		b.ReportMetric((written()-before)/1e6/time.Since(begun).Seconds(), "flood-MB/s")
		r.job(c, ipc.VerbStop, "flood")
	}
}
