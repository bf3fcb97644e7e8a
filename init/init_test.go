package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// container is a running PID 1 in a namespace of its own.
type container struct {
	t   *testing.T
	dir string
	cmd *exec.Cmd
	out testkit.Buffer
}

// boot starts PID 1 with a manager that behaves so; flags come before --.
func boot(t *testing.T, behaviour string, flags ...string) *container {
	t.Helper()
	c := &container{t: t, dir: t.TempDir()}
	for _, helper := range []string{"service", "orphan"} {
		testkit.Command(t, helper) // managers start these
	}
	manager := testkit.Command(t, "manager", behaviour, c.dir)
	args := append([]string{"--run", c.dir + "/run", "--svmgr", manager[0]}, flags...)
	args = append(append(args, "--"), manager[1:]...)
	return c.start(args)
}

func (c *container) start(args []string) *container {
	c.t.Helper()
	argv := testkit.Command(c.t, "init", args...)
	c.cmd = exec.Command(argv[0], argv[1:]...)
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.out
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		c.cmd.Process.Kill()
		c.cmd.Wait()
		if c.t.Failed() {
			c.t.Logf("PID 1 (%v) said:\n%s\nnotes:\n%s", c.cmd.ProcessState, c.out.String(), strings.Join(c.notes(), "\n"))
		}
	})
	return c
}

func (c *container) notes() []string {
	b, _ := os.ReadFile(c.dir + "/notes")
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

func (c *container) noted(line string) bool {
	for _, n := range c.notes() {
		if n == line {
			return true
		}
	}
	return false
}

// ends waits for PID 1's exit code.
func (c *container) ends(want int) {
	c.t.Helper()
	done := make(chan error, 1)
	go func() { done <- c.cmd.Wait() }()
	testkit.Receive(c.t, done, "PID 1 exits")
	if got := c.cmd.ProcessState.ExitCode(); got != want {
		c.t.Errorf("exit code %d; want %d", got, want)
	}
}

func (c *container) said(what string) bool { return strings.Contains(c.out.String(), what) }

func (c *container) wantNotes(want ...string) {
	c.t.Helper()
	if got := strings.Join(c.notes(), "\n"); got != strings.Join(want, "\n") {
		c.t.Errorf("notes:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

// TestManagerStartsClean: an empty mask, default dispositions, the environment of
// the contract, lazy timers, four descriptors, a session (W1, W3, W20).
func TestManagerStartsClean(t *testing.T) {
	c := boot(t, "status")
	c.ends(0)
	c.wantNotes("SigBlk: 0000000000000000", "SigIgn: 0000000000000000",
		"environ DYNAMOD_INIT_FD=3 PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/ TERM=linux GODEBUG=disablethp=1 DYNAMOD_CONTAINER=1",
		"timer slack 1000000", "fd 0", "fd 1", "fd 2", "fd 3", "session leader true")
	cat, _ := os.ReadFile(c.dir + "/cat")
	for _, want := range []string{"SigBlk:\t0000000000000000\n", "SigIgn:\t0000000000000000\n"} {
		if !strings.Contains(string(cat), want) {
			t.Errorf("a service lacks %q:\n%s", want, cat)
		}
	}
}

func TestOrphansAreReapedAndTold(t *testing.T) {
	c := boot(t, "orphans")
	c.ends(0)
	c.wantNotes("exited code 7 signal 0 start known true")
}

func TestExitsWaitForAManager(t *testing.T) {
	c := boot(t, "absent", "--restart-delay", "100ms")
	c.ends(0)
	c.wantNotes("exited code 7", "lost 0")
}

// What the manager sets of the watchdog holds, and each question has its answer.
func TestWatchdogIsAskedFor(t *testing.T) {
	c := boot(t, "watchdog")
	c.ends(0)
	c.wantNotes(`4: {Runtime:0 Pre:0 Reboot:5000000 Kexec:0 Pinged:0} "" "" errno 0`,
		`5: {Runtime:0 Pre:0 Reboot:5000000 Kexec:6000000 Pinged:0} "" "" errno 0`,
		`2: {Runtime:0 Pre:7000000 Reboot:5000000 Kexec:6000000 Pinged:0} "" "" errno 0`,
		`3: {Runtime:0 Pre:7000000 Reboot:5000000 Kexec:6000000 Pinged:0} "" "" errno 9`, // there is no device
		`0: {Runtime:0 Pre:7000000 Reboot:5000000 Kexec:6000000 Pinged:0} "" "" errno 0`)
}

// However much is asked at once, each question has its answer, in their order.
func TestManyQuestionsAreAnswered(t *testing.T) {
	c := boot(t, "questions")
	c.ends(0)
	if got := c.notes(); len(got) != 1 || got[0] != "answered" {
		t.Errorf("%q", got)
	}
}

func TestKilledManagerLeavesItsDescriptors(t *testing.T) {
	c := boot(t, "deposit", "--restart-delay", "10ms")
	c.ends(0)
	c.wantNotes("deposited ok 4095 for 8", "announced too many: mismatch", `kept a.service log 1: "still here" <nil>`)
}

func TestStoppedManagerIsReplaced(t *testing.T) {
	c := boot(t, "stopped", "--heartbeat", "300ms", "--abort-wait", "100ms", "--restart-delay", "10ms")
	c.ends(133)
	c.wantNotes("generation 1 beats")
	if !c.said("SIGABRT") || !c.said("killed by signal") {
		t.Error("PID 1 did not say what it did")
	}
}

func TestGarbageFromTheManager(t *testing.T) {
	c := boot(t, "garbage")
	c.ends(42)
	c.wantNotes("descriptors of PID 1 beyond its own: false")
	if !c.said("bytes from the manager were no message") {
		t.Error("what was dropped is not counted")
	}
}

// TestClosedChannel: no loop at full speed (W14), and a manager that works.
func TestClosedChannel(t *testing.T) {
	for _, how := range []string{"closes", "closes-full", "closes-reading"} {
		t.Run(how, func(t *testing.T) {
			c := boot(t, how, "--heartbeat", "1s", "--abort-wait", "100ms", "--restart-delay", "10ms")
			c.ends(0)
			c.wantNotes("replaced; PID 1 was busy: false")
		})
	}
}

// TestOrderedStop: the manager is asked and has its time before anybody gets a
// signal (W5); nobody starts a second one (W11); the end does not wait (W16).
func TestOrderedStop(t *testing.T) {
	c := boot(t, "ordered")
	testkit.Eventually(t, "the service runs", func() bool { return c.noted("service runs") })
	c.cmd.Process.Signal(unix.SIGHUP)
	testkit.Eventually(t, "the manager is told", func() bool { return c.noted("told SIGHUP") })
	c.cmd.Process.Signal(unix.SIGTERM)
	c.ends(0)
	c.wantNotes("service runs", "told SIGHUP", "told SIGTERM", "request", "service got SIGTERM")
	if g, _ := os.ReadFile(c.dir + "/generations"); len(g) != 1 {
		t.Errorf("%d managers were started", len(g))
	}
	if b, _ := os.ReadFile(c.dir + "/run/boot"); string(b) != "pending\n" {
		t.Errorf("boot's state is %q", b)
	}
}

func TestStubbornServiceIsKilled(t *testing.T) {
	c := boot(t, "stubborn", "--term-wait", "1500ms")
	c.ends(0)
	if !c.said("waiting for sh[") || !c.said("SIGKILL to what is left") {
		t.Error("the console does not say what is waited for")
	}
}

func TestMissingManager(t *testing.T) {
	c := &container{t: t, dir: t.TempDir()}
	c.start([]string{"--run", c.dir, "--svmgr", "/nonexistent/svmgr", "--restart-delay", "1ms"})
	c.ends(1)
	if n := strings.Count(c.out.String(), "/nonexistent/svmgr: no such file"); n != 5 {
		t.Errorf("the reason was told %d times; want 5", n)
	}
}

// TestNoSignalEndsPID1: not even those that make Go's run-time give up.
// TestNoSignalEndsPID1 sends all that ask for nothing, many times: a signal without a
// handler ends PID 1 when it comes while the first thread is in another's handler,
// although the kernel means to protect it.
func TestNoSignalEndsPID1(t *testing.T) {
	c := boot(t, "ordered")
	testkit.Eventually(t, "the service runs", func() bool { return c.noted("service runs") })
	for range 100 {
		for n := syscall.Signal(1); n <= 64; n++ {
			switch n {
			case unix.SIGKILL, unix.SIGSTOP, unix.SIGTERM, unix.SIGINT, unix.SIGUSR1:
			case 37, 38, 39, 40, 41, 47, 48, 49, 50, 51: // these have a meaning
			default:
				if err := c.cmd.Process.Signal(n); err != nil {
					t.Fatalf("signal %d: %v", n, err)
				}
			}
		}
	}
	for _, name := range []string{"SIGHUP", "SIGRTMIN+0", "SIGRTMIN+29"} {
		testkit.Eventually(t, "the manager is told "+name, func() bool { return c.noted("told " + name) })
	}
	c.cmd.Process.Signal(unix.SIGTERM)
	c.ends(0)
}

func TestForcedStop(t *testing.T) {
	c := boot(t, "stubborn-stop")
	testkit.Eventually(t, "the manager is up", func() bool { return c.noted("up") })
	for i := range 3 {
		c.cmd.Process.Signal(unix.SIGINT)
		if i == 0 {
			testkit.Eventually(t, "the manager is told", func() bool { return c.noted("told SIGINT") })
		} else if i == 1 {
			testkit.Eventually(t, "the way to force it is told", func() bool { return c.said("three SIGINT") })
		}
	}
	c.ends(0)
}
