package world

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/testkit"
	"dynamod/internal/unit"
	"dynamod/sdnotify"
	"dynamod/svmgr/internal/core"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		os.Exit(1)
	}
}

// "notify STATE… " sends its arguments, one datagram each. "-" waits to be killed,
// "barrier" for the manager, "fork" sends the rest from a child that is none of the
// manager's, "store:NAME" gives a pipe away, "memfd:NAME" a memory file.
var _ = testkit.Register("notify", func(args []string) {
	for i, a := range args {
		switch {
		case a == "-":
			select {}
		case a == "barrier":
			must(sdnotify.Barrier(testkit.Patience))
			fmt.Println("passed")
		case strings.HasPrefix(a, "store:"):
			var p [2]int
			must(unix.Pipe2(p[:], unix.O_CLOEXEC))
			_, err := sdnotify.NotifyWithFDs("FDSTORE=1\nFDNAME="+a[6:], p[0], p[0])
			must(err)
			keepOpen = append(keepOpen, p[1])
		case strings.HasPrefix(a, "memfd:"):
			fd, err := unix.MemfdCreate(a[6:], 0)
			must(err)
			_, err = unix.Write(fd, []byte(a[6:]))
			must(err)
			_, err = sdnotify.NotifyWithFDs("FDSTORE=1\nFDNAME="+a[6:], fd)
			must(err)
		case a == "fork":
			self, err := os.Executable()
			must(err)
			p, err := os.StartProcess(self, append(os.Args[:len(os.Args)-len(args)], args[i+1:]...), &os.ProcAttr{Env: os.Environ(), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
			must(err)
			_, err = p.Wait()
			must(err)
			return
		default:
			_, err := sdnotify.Notify(strings.ReplaceAll(a, ",", "\n"))
			must(err)
		}
	}
})

var keepOpen []int

// "listen-fds" prints what was passed to it.
var _ = testkit.Register("listen-fds", func(args []string) {
	files, err := sdnotify.ListenFDs()
	must(err)
	for _, f := range files {
		b := make([]byte, 100)
		n, _ := unix.Pread(int(f.Fd()), b, 0)
		fmt.Printf("%d %s %s\n", f.Fd(), f.Name(), b[:max(n, 0)])
	}
	fmt.Println("end")
})

func notifier(t *testing.T, name string, args ...string) *unit.Unit {
	return service(t, name, "Type=notify", "NotifyAccess=all", "FileDescriptorStoreMax=8", "ExecStart="+strings.Join(testkit.Command(t, "notify", args...), " "))
}

func TestNotificationsAreMapped(t *testing.T) {
	r := newRig(t)
	run := r.spawn(notifier(t, "a.service", "READY=1,STATUS=up\x1b[31m,MAINPID=1", "RELOADING=1,MONOTONIC_USEC=5", "WATCHDOG_USEC=7000000,WATCHDOG=trigger,EXTEND_TIMEOUT_USEC=9"))
	n := until[core.Notified](r)
	if n.Unit != "a.service" || n.Incarnation != run || n.Run != run || !n.Ready || n.Status != "up [31m" || n.MainPID != 1 {
		t.Errorf("%+v", n)
	}
	if n := until[core.Notified](r); !n.Reloading || n.ReloadStamp != 5*time.Microsecond {
		t.Errorf("%+v", n)
	}
	if n := until[core.Notified](r); !n.WatchdogTrigger || *n.WatchdogPeriod != 7*time.Second || n.ExtendTimeout != 9*time.Microsecond {
		t.Errorf("%+v", n)
	}
}

// The last words of a process that ends at once are not lost, and come first.
func TestNotificationBeforeTheEnd(t *testing.T) {
	r := newRig(t)
	for i := range 20 {
		run := r.spawn(notifier(t, fmt.Sprintf("n%d.service", i), "READY=1"))
		said := false
		for ended := false; !ended; {
			switch e := r.event().(type) {
			case core.Notified:
				said = e.Run == run && e.Ready
			case core.Exited:
				ended = true
				if !said {
					t.Fatalf("run %d ended before it was heard", run)
				}
			}
		}
		until[core.CgroupEmpty](r)
	}
}

// A child of the service is heard under the unit, but not as its run.
func TestNotificationOfAChild(t *testing.T) {
	r := newRig(t)
	run := r.spawn(notifier(t, "a.service", "fork", "READY=1", "barrier"))
	n := until[core.Notified](r)
	if n.Unit != "a.service" || n.Incarnation != run || n.Run != 0 {
		t.Errorf("%+v", n)
	}
	r.Handled(n)
}

// Statement 4: who belongs to no service is not heard, whatever it says.
func TestStatement04ForeignNotificationsAreDropped(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(r.cfg.RuntimeDir, "notify")
	send := func(state string, fds ...int) {
		if err := (sdnotify.Datagram{Socket: path, State: state, FDs: fds}).Send(); err != nil {
			t.Fatal(err)
		}
	}
	before := openFDs(t)
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	send("READY=1")
	send("READY=1\x00\x00")
	send("BARRIER=1")
	send("BARRIER=1\nREADY=1", int(null.Fd()))
	send("FDSTORE=1", int(null.Fd()), int(null.Fd()))
	send("STATUS=" + strings.Repeat("x", 5000))
	null.Close()
	testkit.Eventually(t, "six drops", func() bool { return r.NotifyDropped() == 6 })
	testkit.Eventually(t, "no descriptor left", func() bool { return openFDs(t) == before })
	select {
	case e := <-r.events:
		t.Errorf("%+v", e)
	default:
	}
}

func openFDs(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

// A barrier is answered when what was said before it is handled, not sooner.
func TestBarrierWaitsForTheLoop(t *testing.T) {
	r := newRig(t)
	r.spawn(notifier(t, "a.service", "READY=1", "barrier"))
	n := until[core.Notified](r)
	testkit.Eventually(t, "a waiting barrier", func() bool {
		s := r.senses.notify
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.barriers) == 1
	})
	if out := r.output(); len(out) != 0 {
		t.Fatal("the barrier was passed before the loop was done:", out)
	}
	r.Handled(n)
	if e := until[core.Exited](r); e.Code != 0 {
		t.Error("the barrier failed", e)
	}
}

// Statement 22: what is stored comes back in order, with names, after the sockets.
func TestStatement22DescriptorStore(t *testing.T) {
	r := newRig(t)
	u := notifier(t, "a.service", "memfd:one", "memfd:two", "memfd:one", "READY=1", "-")
	run := r.spawn(u)
	for range 3 {
		n := until[core.Notified](r)
		if n.FDStore != 1 {
			t.Fatalf("%+v", n)
		}
		r.Perform(core.Deposit{Unit: n.Unit, Name: n.FDName, N: 1})
		r.Handled(n)
	}
	r.Handled(until[core.Notified](r))
	r.Perform(core.Signal{Unit: u.Name, Incarnation: run, Run: run, Signal: 9})
	until[core.CgroupEmpty](r)

	show := service(t, "a.service", "ExecStart="+strings.Join(testkit.Command(t, "listen-fds"), " "))
	passing := func(a *core.Spawn) { a.PassFDs = true }
	output := func() string {
		r.mu.Lock()
		r.lines = nil
		r.mu.Unlock()
		r.spawn(show, passing)
		until[core.Exited](r)
		testkit.Eventually(t, "the last line", func() bool {
			out := r.output()
			return len(out) > 0 && out[len(out)-1] == "1:end"
		})
		return strings.Join(r.output(), ",")
	}
	if got, want := output(), "1:3 one one,1:4 two two,1:5 one one,1:end"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	r.Perform(core.Withdraw{Unit: "a.service", Name: "one"})
	if got, want := output(), "1:3 two two,1:end"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	r.Perform(core.Withdraw{Unit: "a.service"})
	if got, want := output(), "1:end"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// What the core refuses is closed; duplicates are one; what hangs up goes.
func TestRefusedAndHungUpDescriptors(t *testing.T) {
	r := newRig(t)
	before := openFDs(t)
	run := r.spawn(notifier(t, "a.service", "store:x", "store:y", "-"))
	n := until[core.Notified](r)
	if n.FDStore != 1 || n.FDName != "x" {
		t.Fatalf("two names of one pipe count as %d", n.FDStore)
	}
	r.Handled(n) // and no Deposit
	n = until[core.Notified](r)
	r.Perform(core.Deposit{Unit: n.Unit, Name: n.FDName, N: 1})
	r.Handled(n)
	s := &r.senses.store
	s.mu.Lock()
	if len(s.kept["a.service"]) != 1 || s.kept["a.service"][0].name != "y" || len(s.waiting) != 0 {
		t.Errorf("kept %v, waiting %v", s.kept, s.waiting)
	}
	s.mu.Unlock()
	r.Perform(core.Signal{Unit: "a.service", Incarnation: run, Run: run, Signal: 9})
	until[core.CgroupEmpty](r)
	testkit.Eventually(t, "the pipe without a writer to be dropped", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.kept["a.service"]) == 0
	})
	testkit.Eventually(t, "no descriptor left", func() bool { return openFDs(t) <= before })
}

func TestReadyDescriptors(t *testing.T) {
	for _, c := range []struct {
		name, toml, script string
		ready              bool
	}{
		{"any byte", `type = "fd"`, `printf x >&$DYNAMOD_READY_FD; exec sleep 60`, true},
		{"closed in silence", `type = "fd"`, `eval "exec $DYNAMOD_READY_FD>&-"; exec sleep 60`, false},
		{"s6", "type = \"s6\"\nfd = 5", `printf 'almost' >&5; printf '\n' >&5; exec sleep 60`, true},
		{"s6 without a newline", "type = \"s6\"\nfd = 5", `printf 'almost' >&5; exec 5>&-; exec sleep 60`, false},
		{"goes on writing", `type = "fd"`, `for i in 1 2 3 4; do echo x >&$DYNAMOD_READY_FD || exit 1; done; exec sleep 60`, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			u := nativeService(t, "a.service", fmt.Sprintf("[service]\nexec = ['/bin/bash', '-c', '''%s''']\n[readiness]\n%s\n", c.script, c.toml))
			run := r.spawn(u)
			r.next++
			probe := r.next
			r.Perform(core.Probe{Run: probe, Unit: u, What: core.ProbeReadyFD})
			if c.ready {
				if e := until[core.Ready](r); e.Run != probe {
					t.Error(e)
				}
			} else {
				until[core.SpawnDone](r)
				testkit.Eventually(t, "the closed end to be seen", func() bool {
					p := &r.senses.ready
					p.mu.Lock()
					defer p.mu.Unlock()
					return p.byMain[run] == nil || p.byMain[run].probe == 0
				})
				select {
				case e := <-r.events:
					t.Errorf("%+v", e)
				default:
				}
			}
			r.Perform(core.Signal{Unit: u.Name, Incarnation: run, Run: run, Signal: 9})
			if e := until[core.Exited](r); e.Signal != 9 {
				t.Error(e)
			}
			testkit.Eventually(t, "the pipe to be closed", func() bool {
				p := &r.senses.ready
				p.mu.Lock()
				defer p.mu.Unlock()
				return len(p.byMain) == 0
			})
		})
	}
}

// Without descriptors the start fails with its errno; nothing waits for ever.
func TestReadyPipeWithoutDescriptors(t *testing.T) {
	r := newRig(t)
	real := r.sys.pipe
	r.sys.pipe = func() (int, int, error) { return -1, -1, unix.EMFILE }
	u := nativeService(t, "a.service", "[service]\nexec = ['/bin/true']\n[readiness]\ntype = 'fd'\n")
	r.spawn(u)
	r.sys.pipe = real
	if e := until[core.SpawnFailed](r); unix.Errno(e.Errno) != unix.EMFILE {
		t.Error(e, unix.Errno(e.Errno))
	}
}

func TestCloseWithEverythingOpen(t *testing.T) {
	newRig(t).Close() // what the runtime opens once and for all
	fds, goroutines := openFDs(t), runtime.NumGoroutine()
	r := newRig(t)
	if err := r.listens(socketUnit(t, "s.socket", "ListenStream="+filepath.Join(t.TempDir(), "s"), "ListenFIFO="+filepath.Join(t.TempDir(), "f"))); err != 0 {
		t.Fatal(err)
	}
	r.Perform(core.Watch{Unit: socketUnit(t, "s.socket", "ListenStream=1"), What: core.WatchSocket})
	r.Perform(core.Probe{Run: 900, Unit: nativeService(t, "p.service", "[service]\nexec = ['/bin/true']\n[readiness]\ntype = 'path'\npath = '/nonexistent/x'\n"), What: core.ProbeReady})
	r.Perform(core.Probe{Run: 901, Unit: nativeService(t, "q.service", "[service]\nexec = ['/bin/true']\n[readiness]\ntype = 'tcp-port'\nport = 1\n"), What: core.ProbeReady})
	r.Perform(core.Watch{Unit: service(t, "w.path", "[Path]", "PathExists=/nonexistent/y"), What: core.WatchPaths})
	path := r.senses.notify.path
	r.Close()
	if err := (sdnotify.Datagram{Socket: path, State: "READY=1"}).Send(); !errors.Is(err, unix.ECONNREFUSED) {
		t.Error("somebody still listens:", err)
	}
	testkit.Eventually(t, "descriptors and goroutines to be as before", func() bool {
		return openFDs(t) <= fds && runtime.NumGoroutine() <= goroutines
	})
}
