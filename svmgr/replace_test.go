package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dynamod/internal/ipc"
	"dynamod/internal/testkit"
)

// reexec asks for a new program, waits until the present one has let go, and returns
// a connection to the new one.
func reexec(t testing.TB, c *ipc.Client, socket string) *ipc.Client {
	t.Helper()
	if _, err := call[ipc.Done](t, c, ipc.VerbReexec, nil); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.Gone():
	case <-time.After(testkit.Patience):
		t.Fatal("the manager asked to replace itself goes on")
	}
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	// At once: the socket is passed on, with who waits there.
	next, err := ipc.Dial(ctx, socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { next.Close() })
	return next
}

func (r *running) reexec(c *ipc.Client) *ipc.Client {
	r.t.Helper()
	return reexec(r.t, c, filepath.Join(r.run, "control.sock"))
}

// A new program goes on where the former one was: with the same process, services,
// jobs, descriptors, and every line of output, even one that had only begun.
func TestReexec(t *testing.T) {
	r := begin(t, map[string]string{
		"quiet.toml":   "[service]\nname = \"quiet\"\nexec = [\"/bin/sleep\", \"1000\"]\n",
		"count.toml":   "[service]\nname = \"count\"\nexec = [\"/bin/sh\", \"-c\", \"i=0; while :; do printf %d $i; i=$((i+1)); sleep 0.001; echo .; done\"]\n[logging]\nbuffer-lines = 8192\n",
		"waiting.toml": "[service]\nname = \"waiting\"\nexec = [\"/bin/sleep\", \"1000\"]\nstart = \"manual\"\n[readiness]\ntype = \"notify\"\ntimeout = \"600s\"\n",
		"code.toml":    "[service]\nname = \"code\"\nexec = [\"/bin/sh\", \"-c\", \"read x; exit 7\"]\nstart = \"manual\"\n[restart]\npolicy = \"never\"\n",
	})
	c := r.client()
	for _, name := range []string{"waiting", "code"} {
		if _, err := call[ipc.JobResult](t, c, ipc.VerbStart, ipc.JobArgs{Unit: name}); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Eventually(t, "all run", func() bool {
		return status(t, c, "quiet").State == "active" && status(t, c, "count").State == "active" && status(t, c, "waiting").PID != 0
	})
	pids := map[string]int32{}
	for _, name := range []string{"quiet", "count", "waiting"} {
		pids[name] = status(t, c, name).PID
	}
	manager := c.Server()
	var descriptors []int
	for range 20 {
		c = r.reexec(c)
		descriptors = append(descriptors, r.descriptors())
	}
	if now := c.Server(); now.PID != manager.PID || now.Started == manager.Started {
		t.Errorf("the manager %+v became %+v; want the same process and another start", manager, now)
	}
	if first, last := descriptors[1], descriptors[len(descriptors)-1]; last > first {
		t.Errorf("descriptors after each new program: %v", descriptors)
	}
	for name, pid := range pids {
		if now := status(t, c, name); now.PID != pid || now.Restarts != 0 {
			t.Errorf("%s had pid %d and has %d, after %d restarts", name, pid, now.PID, now.Restarts)
		}
	}
	if _, err := call[ipc.Done](t, c, ipc.VerbNotify, ipc.NotifyArgs{Unit: "waiting", PID: pids["waiting"], State: "READY=1"}); err != nil {
		t.Error(err)
	}
	testkit.Eventually(t, "the start that waited goes on", func() bool { return status(t, c, "waiting").State == "active" })
	logs, err := call[ipc.LogsResult](t, c, ipc.VerbLogs, ipc.LogsArgs{Units: []string{"count.service"}})
	if err != nil || len(logs.Lines) < 20 {
		t.Fatalf("%d lines, %v", len(logs.Lines), err)
	}
	for k, l := range logs.Lines {
		if l.Text != strconv.Itoa(k)+"." {
			t.Fatalf("line %d is %q", k, l.Text)
		}
	}
	// Still its child: how a process ends is known.
	if err := syscall.Kill(int(pids["waiting"]), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the signal that ended it is known", func() bool {
		s := status(t, c, "waiting")
		return s.Last != nil && s.Last.Signal == int32(syscall.SIGUSR1)
	})
	testkit.Eventually(t, "and so is an exit code", func() bool {
		s := status(t, c, "code")
		return s.State == "failed" && s.Last != nil && s.Last.Code == 7
	})
}

// descriptors counts those of the manager.
func (r *running) descriptors() int {
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.cmd.Process.Pid))
	if err != nil {
		r.t.Fatal(err)
	}
	return len(fds)
}

// The hundred deaths of TestKilledManyTimes as replacements.
func TestReexecManyTimes(t *testing.T) {
	disturbed(t, func(r *running, c *ipc.Client) { r.reexec(c) })
}

// No connection is refused or lost while the program is replaced: neither to a socket
// whose service is started by it, nor those that the manager accepts itself.
func TestReexecLosesNoConnection(t *testing.T) {
	r := prepare(t, nil)
	one, each := filepath.Join(r.run, "one"), filepath.Join(r.run, "each")
	r.writeUnit("one.socket", "[Socket]\nListenStream="+one+"\nTriggerLimitIntervalSec=0\n")
	// It ends after each connection, so that the next one must start it again.
	r.writeUnit("one.service", "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/usr/bin/perl -MIO::Socket::UNIX -e 'my $$l = IO::Socket::UNIX->new_from_fd(3, \"r+\"); my $$c = $$l->accept; my $$x = <$$c>; print $$c $$x'\n")
	r.writeUnit("each.socket", "[Socket]\nListenStream="+each+"\nAccept=yes\nTriggerLimitIntervalSec=0\n")
	r.writeUnit("each@.service", "[Service]\nExecStart=/bin/cat\nStandardInput=socket\n")
	r.start()
	c := r.client()
	for _, name := range []string{"one.socket", "each.socket"} {
		if _, err := call[ipc.JobResult](t, c, ipc.VerbStart, ipc.JobArgs{Unit: name, Wait: true}); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(path, what string) error {
		conn, err := net.Dial("unix", path)
		if err != nil {
			return err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(testkit.Patience))
		if _, err := io.WriteString(conn, what+"\n"); err != nil {
			return err
		}
		if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
			return err
		}
		back, err := io.ReadAll(conn)
		if err == nil && string(back) != what+"\n" {
			err = fmt.Errorf("asked %q and heard %q", what, back)
		}
		return err
	}
	done := make(chan error)
	times := 20
	if testing.Short() {
		times = 5
	}
	stop := make(chan struct{})
	for _, path := range []string{one, each} {
		go func() { // ends with stop
			for k := 0; ; k++ {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				if err := ask(path, fmt.Sprint(path, k)); err != nil {
					done <- fmt.Errorf("connection %d to %s: %w", k, path, err)
					return
				}
			}
		}()
	}
	for range times {
		c = r.reexec(c)
	}
	close(stop)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// A new program that cannot go on is found out before the present one goes.
func TestReexecRefused(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"dynamod-svmgr", "dynamod-child"} {
		data, err := os.ReadFile(filepath.Join(programs, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r := prepare(t, map[string]string{"quiet.toml": "[service]\nname = \"quiet\"\nexec = [\"/bin/sleep\", \"1000\"]\n"})
	r.program = filepath.Join(dir, "dynamod-svmgr")
	r.start()
	c := r.client()
	testkit.Eventually(t, "quiet runs", func() bool { return status(t, c, "quiet").State == "active" })
	was := status(t, c, "quiet")
	install := func(text string) {
		fresh := filepath.Join(dir, "fresh")
		if err := os.WriteFile(fresh, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(fresh, r.program); err != nil {
			t.Fatal(err)
		}
	}
	good, err := os.ReadFile(r.program)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		what, want string
		do         func()
	}{
		{"a program that fails", "too new for this machine", func() { install("#!/bin/sh\necho too new for this machine >&2; exit 1\n") }},
		{"a program of something else", "exec format error", func() { install("\x7fELF nonsense") }},
		{"no program", "no such file", func() { os.Remove(r.program) }},
		{"a program without its helper", "dynamod-child", func() {
			install(string(good))
			os.Rename(filepath.Join(dir, "dynamod-child"), filepath.Join(dir, "away"))
		}},
	} {
		x.do()
		_, err := call[ipc.Done](t, c, ipc.VerbReexec, nil)
		if err == nil || !strings.Contains(err.Error(), x.want) || !strings.Contains(err.Error(), "goes on as it is") {
			t.Errorf("%s: %v; want one with %q", x.what, err, x.want)
		}
		if now := status(t, c, "quiet"); now.PID != was.PID {
			t.Errorf("%s: quiet has pid %d and had %d", x.what, now.PID, was.PID)
		}
	}
	if err := os.Rename(filepath.Join(dir, "away"), filepath.Join(dir, "dynamod-child")); err != nil {
		t.Fatal(err)
	}
	c = r.reexec(c)
	if now := status(t, c, "quiet"); now.PID != was.PID {
		t.Errorf("quiet has pid %d and had %d", now.PID, was.PID)
	}
}

// Under dynamod-init the manager is killed and replaced by turns. Init keeps what would
// be lost, and the service lives through all of it.
func TestUnderInit(t *testing.T) {
	r := prepare(t, map[string]string{"count.toml": "[service]\nname = \"count\"\nexec = [\"/bin/sh\", \"-c\", \"i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done\"]\n[logging]\nbuffer-lines = 8192\n"})
	r.writeUnit("one.socket", "[Socket]\nListenStream="+filepath.Join(r.run, "one")+"\n")
	r.writeUnit("one.service", "[Service]\nExecStart=/bin/sleep 1000\n")
	init := underInit(r)
	c := r.client()
	if _, err := call[ipc.JobResult](t, c, ipc.VerbStart, ipc.JobArgs{Unit: "one.socket", Wait: true}); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "count runs", func() bool { return status(t, c, "count").State == "active" })
	was := status(t, c, "count")
	first, err := net.Dial("unix", filepath.Join(r.run, "one"))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	for k := range 10 {
		if k%2 == 0 {
			c = reexec(t, c, filepath.Join(r.run, "control.sock"))
		} else {
			c = init.kill(c)
		}
		if now := status(t, c, "count"); now.PID != was.PID || now.State != "active" {
			t.Fatalf("after %d: count is %s with pid %d; it had %d", k, now.State, now.PID, was.PID)
		}
		conn, err := net.Dial("unix", filepath.Join(r.run, "one"))
		if err != nil {
			t.Fatalf("after %d: %v", k, err)
		}
		conn.Close()
	}
	if strings.Contains(init.log.String(), "malformed") {
		t.Error("init got frames that are none")
	}
}

// initiated is a manager below dynamod-init, which is the first process of a pid
// namespace.
type initiated struct {
	*running
	cmd *exec.Cmd
	log testkit.Buffer
}

// underInit starts init, and with it the manager.
func underInit(r *running) *initiated {
	i := &initiated{running: r}
	i.cmd = exec.Command("unshare", "--fork", "--kill-child", "--pid", "--mount-proc", filepath.Join(programs, "dynamod-init"), "--run", r.run,
		"--restart-delay", "10ms", "--steady", "1ms", "--svmgr", r.program, "--", "-standalone", "-config-dir", r.cfg, "-runtime-dir", r.run)
	i.cmd.Stdout, i.cmd.Stderr = &i.log, &i.log
	if err := i.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = i.cmd.Wait(); close(ended) }() // ends with init
	r.t.Cleanup(func() {
		_ = i.cmd.Process.Kill()
		<-ended
		if r.t.Failed() {
			r.t.Logf("it said:\n%s", i.log.String())
		}
	})
	return i
}

// kill kills the manager and returns a connection to the next one.
func (i *initiated) kill(c *ipc.Client) *ipc.Client {
	t := i.t
	t.Helper()
	before := c.Server().Started
	killManager(t, i.cmd.Process.Pid)
	var next *ipc.Client
	testkit.Eventually(t, "another manager answers", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
		defer cancel()
		var err error
		if next, err = ipc.Dial(ctx, filepath.Join(i.run, "control.sock")); err != nil {
			return false
		}
		if next.Server().Started == before {
			next.Close()
			return false
		}
		return true
	})
	t.Cleanup(func() { next.Close() })
	return next
}

// killManager kills the manager below the unshare(1) with this number.
func killManager(t testing.TB, unshare int) {
	t.Helper()
	children := func(pid string) []string {
		data, _ := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
		return strings.Fields(string(data))
	}
	for _, init := range children(strconv.Itoa(unshare)) {
		for _, child := range children(init) {
			comm, _ := os.ReadFile("/proc/" + child + "/comm")
			if strings.HasPrefix(string(comm), "dynamod-svmgr") {
				pid, _ := strconv.Atoi(child)
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				return
			}
		}
	}
	t.Fatal("there is no manager")
}
