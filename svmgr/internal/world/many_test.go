package world

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/epoll"
	"dynamod/internal/sys/proc"
	"dynamod/internal/testkit"
	"dynamod/svmgr/internal/child"
	"dynamod/svmgr/internal/core"
)

// shippedChild says where the program is that was built elsewhere: a guest has no
// compiler.
const shippedChild = "DYNAMOD_TEST_CHILD"

var buildChild = sync.OnceValues(func() (string, error) {
	if p := os.Getenv(shippedChild); p != "" {
		return p, nil
	}
	dir, err := os.MkdirTemp("", "dynamod-child")
	if err != nil {
		return "", err
	}
	testkit.AtExit(func() { os.RemoveAll(dir) })
	out, err := exec.Command("go", "build", "-o", dir+"/dynamod-child", "dynamod/svmgr/child").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return dir + "/dynamod-child", nil
})

// realChild makes a rig use the program that is shipped, which starts faster than
// this test binary.
func realChild(t testing.TB) func(*Config) {
	p, err := buildChild()
	if err != nil {
		t.Fatal(err)
	}
	return func(c *Config) { c.Child = []string{p} }
}

func descriptors(t testing.TB) int {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

func zombies() (n int) {
	for _, pid := range proc.Children() {
		if st, err := proc.StatOf(pid); err == nil && st.State == 'Z' {
			n++
		}
	}
	return n
}

// Many short-lived processes in every order: each has its own status, reported
// once, and nothing is left of them.
func TestManyShortLives(t *testing.T) {
	total, flight := 10_000, 64
	if testing.Short() || os.Getenv(shippedChild) != "" { // an emulated guest takes 20 times as long
		total = 500
	}
	dir := cgroupDir(t)
	r := newRig(t, realChild(t), func(c *Config) { c.CgroupRoot = dir; c.Subreaper = true })
	sh := service(t, "quick@.service", "ExecStart=/bin/true")
	want := map[core.RunID]core.Exited{}
	left := map[core.RunID]int{} // reports to come
	started, ended := 0, 0
	var names []string
	for i := range flight {
		names = append(names, fmt.Sprintf("quick@%d.service", i))
	}
	unitOf := map[core.RunID]string{}
	start := func() {
		// As with the core, a unit starts anew when it has ended.
		u := *sh
		u.Name = names[len(names)-1]
		names = names[:len(names)-1]
		code := started % 7
		run := r.spawn(&u, func(a *core.Spawn) {
			a.Exec.Path, a.Exec.Argv = "/bin/sh", []string{"sh", "-c", fmt.Sprintf("exit %d", code)}
			if code == 6 {
				a.Exec.Argv[2] = "kill -9 $$"
				a.Exec.NoEnvExpand = true
			}
		})
		want[run] = core.Exited{Run: run, Code: int32(code)}
		if code == 6 {
			want[run] = core.Exited{Run: run, Signal: 9}
		}
		left[run] = 3
		unitOf[run] = u.Name
		started++
	}
	var fds, goroutines int
	for started < flight {
		start()
	}
	for ended < total {
		var run core.RunID
		switch e := r.event().(type) {
		case core.SpawnDone:
			run = e.Run
		case core.Exited:
			run = e.Run
			if e != want[run] {
				t.Fatalf("got %+v; want %+v", e, want[run])
			}
		case core.CgroupEmpty:
			run = e.Incarnation
			r.Perform(core.RemoveCgroup(e))
		default:
			t.Fatalf("unexpected %#v", e)
		}
		if left[run]--; left[run] < 0 {
			t.Fatalf("run %d was reported twice", run)
		}
		if left[run] > 0 {
			continue
		}
		names = append(names, unitOf[run])
		delete(unitOf, run)
		delete(left, run)
		delete(want, run)
		ended++
		if ended == total/10 {
			fds, goroutines = descriptors(t), runtime.NumGoroutine()
		}
		if started < total {
			start()
		}
	}
	if len(left) != 0 {
		t.Errorf("%d runs never ended", len(left))
	}
	testkit.Eventually(t, "no zombie is left", func() bool { return zombies() == 0 })
	// While processes were under way there were more of both.
	testkit.Eventually(t, "descriptors and goroutines are flat", func() bool { return descriptors(t) <= fds && runtime.NumGoroutine() <= goroutines })
	testkit.Eventually(t, "the registry is empty", func() bool {
		r.reg.mu.Lock()
		defer r.reg.mu.Unlock()
		return len(r.reg.byPID)+len(r.reg.byRun)+len(r.reg.groups)+len(r.reg.byPath)+len(r.ev.watches) == 0
	})
}

// Orphans of services become children of a subreaper; somebody must reap them, and
// must not take the status of a process that is waited for.
func TestOrphansAreReaped(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	r := newRig(t, func(c *Config) { c.Subreaper = true })
	for range 20 {
		run := r.spawn(service(t, "o.service", "ExecStart=:/bin/sh -c '(sleep 0.01 & sleep 0.02 &) ; exit 3'"))
		if failed, exit := r.lifeOf(run); failed != nil || exit == nil || exit.Code != 3 {
			t.Fatalf("%+v, %+v", failed, exit)
		}
	}
	testkit.Eventually(t, "no zombie is left", func() bool { return zombies() == 0 })
}

// Statement 23: who floods its output delays nobody.
func TestStatement23FloodDelaysNobody(t *testing.T) {
	r := newRig(t, realChild(t))
	flood := service(t, "flood.service", "ExecStart=/usr/bin/yes "+strings.Repeat("x", 100))
	inc := r.spawn(flood)
	until[core.SpawnDone](r)
	r.waitLine(strings.Repeat("x", 100))
	var worst time.Duration
	quick := service(t, "quick.service", "ExecStart=/bin/true")
	for range 50 {
		begun := time.Now()
		run := r.spawn(quick)
		if _, exit := r.lifeOf(run); exit == nil || exit.Run != run {
			t.Fatalf("%+v", exit)
		}
		worst = max(worst, time.Since(begun))
		r.mu.Lock()
		r.lines = nil
		r.mu.Unlock()
	}
	// Told, not judged: the machine may be busy with anything.
	t.Logf("the worst life of /bin/true beside a flood: %v", worst)
	r.Perform(core.KillCgroup{Unit: flood.Name, Incarnation: inc})
	until[core.CgroupEmpty](r)
}

// Lines are cut with a mark, and a last one without its newline is kept.
func TestLines(t *testing.T) {
	long := strings.Repeat("y", MaxLine+10)
	file := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(file, []byte("first\n\n"+long+"\n"+long[:MaxLine]+"\nnot utf-8: \xff\nlast"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	r.lifeOf(r.spawn(service(t, "a.service", "ExecStart=/bin/cat "+file, "StandardError=journal")))
	r.waitLine("1:last")
	got := r.output()
	want := []string{"first", "", long[:MaxLine] + cutMark, long[MaxLine:], long[:MaxLine], "not utf-8: \xff", "last"}
	if len(got) != len(want) {
		t.Fatalf("got %d lines; want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != "1:"+want[i] {
			t.Errorf("line %d = %.80q; want %.80q", i, got[i], want[i])
		}
	}
}

// Statement 27: what the kernel refuses fails the one operation with its errno, and
// nothing else.
func TestStatement27Exhaustion(t *testing.T) {
	u := service(t, "a.service", "ExecStart=/bin/true", "StandardInput=data", "StandardInputText=x")
	for _, test := range []struct {
		stage  string
		errno  syscall.Errno
		break1 func(k *kernel, no error)
	}{
		{"fork", unix.EAGAIN, func(k *kernel, no error) {
			k.fork = func(string, []string, *syscall.ProcAttr) (int, error) { return 0, no }
		}},
		{"fork", unix.ENOMEM, func(k *kernel, no error) {
			k.fork = func(string, []string, *syscall.ProcAttr) (int, error) { return 0, no }
		}},
		{"stdout", unix.EMFILE, func(k *kernel, no error) { k.pipe = func() (int, int, error) { return -1, -1, no } }},
		{"watch", unix.ENOMEM, func(k *kernel, no error) { k.watch = func(*epoll.Poll, int, uint32, uint64) error { return no } }},
		{"watch", unix.ENOSPC, func(k *kernel, no error) { k.watch = func(*epoll.Poll, int, uint32, uint64) error { return no } }},
		{"stdin", unix.ENFILE, func(k *kernel, no error) { k.memfd = func(string) (int, error) { return -1, no } }},
	} {
		t.Run(test.stage+" "+test.errno.Error(), func(t *testing.T) {
			r := newRig(t)
			before := descriptors(t)
			test.break1(&r.sys, test.errno)
			for range 20 {
				run := r.spawn(u)
				failed, exit := r.lifeOf(run)
				if failed == nil || *failed != (core.SpawnFailed{Run: run, Stage: test.stage, Errno: int32(test.errno)}) || exit != nil {
					t.Fatalf("got %+v, %+v; want stage %s, %v", failed, exit, test.stage, test.errno)
				}
			}
			if after := descriptors(t); after > before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
			r.pool.idle.Wait()
			r.sys = realKernel
			if failed, exit := r.lifeOf(r.spawn(u)); failed != nil || exit == nil || exit.Code != 0 {
				t.Errorf("afterwards: %+v, %+v", failed, exit)
			}
		})
	}
}

// Where programs in memory must not be run, processes begin as the helper, which is
// said once, and what failed is tried again with it at once.
func TestProgramsAreForbidden(t *testing.T) {
	u := service(t, "a.service", "ExecStart=/bin/true")
	for name, forbid := range map[string]func(k *kernel){
		"made": func(k *kernel) { k.program = func() (int, error) { return -1, unix.EACCES } },
		"run": func(k *kernel) {
			k.fork = func(path string, argv []string, attr *syscall.ProcAttr) (int, error) {
				if path == programPath {
					return 0, unix.ENOENT
				}
				return realKernel.fork(path, argv, attr)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			r := newRig(t)
			r.log = slog.New(slog.NewTextHandler(&log, nil))
			forbid(&r.sys)
			for range 3 {
				if failed, exit := r.lifeOf(r.spawn(u)); failed != nil || exit == nil || exit.Code != 0 {
					t.Fatalf("got %+v, %+v; want an end with 0", failed, exit)
				}
			}
			r.pool.idle.Wait()
			if n := strings.Count(log.String(), "cannot be run here"); n != 1 || !r.noPrograms.Load() {
				t.Errorf("said %d times, want once:\n%s", n, log.String())
			}
		})
	}
	// What fails for another reason stays as it is.
	r := newRig(t)
	r.sys.fork = func(string, []string, *syscall.ProcAttr) (int, error) { return 0, unix.EACCES }
	if failed, _ := r.lifeOf(r.spawn(u)); failed == nil || failed.Errno != int32(unix.EACCES) || r.noPrograms.Load() {
		t.Errorf("got %+v, programs forbidden %v; want a failed spawn and no more", failed, r.noPrograms.Load())
	}
}

// Programs in memory are files of tmpfs, which RestrictFileSystems= may keep from one unit:
// that is no word about the others, and its set-up is not spared.
func TestProgramsOfRestrictedUnits(t *testing.T) {
	r := newRig(t)
	var paths []string
	r.sys.fork = func(path string, _ []string, _ *syscall.ProcAttr) (int, error) {
		paths = append(paths, path)
		return 0, unix.EAGAIN
	}
	for _, setting := range []string{"Nice=1", "RestrictFileSystems=~tmpfs"} {
		u := service(t, "a.service", "ExecStart=/bin/true", setting)
		s := child.Spec{Path: "/bin/true", Argv: []string{"true"}, Hold: true}
		if _, _, err := r.fork(u, &s, &syscall.ProcAttr{Files: make([]uintptr, child.FirstFD), Sys: &syscall.SysProcAttr{}}); err == nil {
			t.Error("a fork that fails is none")
		}
	}
	if want := []string{programPath, r.cfg.Child[0]}; !slices.Equal(paths, want) {
		t.Errorf("run: %q; want %q", paths, want)
	}
}

// Statement 27, without stand-ins: with k descriptors left, for every k, a start, a
// socket and a path unit either work or fail with EMFILE, each process that was
// started is reported, and nothing leaks.
func TestStatement27EveryDescriptorCounts(t *testing.T) {
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	u := service(t, "a.service", "ExecStart=/bin/true", "StandardInput=data", "StandardInputText=x", "LimitNOFILE=100")
	sock := socketUnit(t, "s.socket", "ListenStream="+filepath.Join(t.TempDir(), "s"), "ListenDatagram="+filepath.Join(t.TempDir(), "d"))
	dir := cgroupDir(t)
	started, listening := -1, -1
	for left := 0; left <= 16; left++ {
		r := newRig(t, func(c *Config) { c.CgroupRoot = dir })
		before := descriptors(t)
		var full []int
		for { // no gaps below the limit
			fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			full = append(full, fd)
			if fd > before+2 {
				break
			}
		}
		limit := uint64(full[len(full)-1] + 1 + left)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: was.Max}); err != nil {
			t.Fatal(err)
		}
		failed, exit := r.lifeOf(r.spawn(u))
		errno := r.listens(sock)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
			t.Fatal(err)
		}
		for _, fd := range full {
			unix.Close(fd)
		}
		switch {
		case failed != nil && failed.Errno == int32(unix.EMFILE) && exit == nil:
		case failed == nil && exit != nil && exit.Code == 0:
			started = left
		default:
			t.Errorf("with %d descriptors left: %+v, %+v", left, failed, exit)
		}
		switch errno {
		case unix.EMFILE:
		case 0:
			listening = left
		default:
			t.Errorf("with %d descriptors left: listening failed with %v", left, errno)
		}
		r.Perform(core.Unlisten{Unit: sock.Name})
		r.Perform(core.RemoveCgroup{Unit: u.Name, Incarnation: 1})
		r.pool.idle.Wait()
		testkit.Eventually(t, fmt.Sprintf("nothing leaks with %d left", left), func() bool { return descriptors(t) <= before })
		r.Close()
	}
	if started < 0 || listening < 0 {
		t.Errorf("never enough: started with %d, listening with %d", started, listening)
	}
}

func BenchmarkSpawn(b *testing.B) {
	p, err := buildChild()
	if err != nil {
		b.Fatal(err)
	}
	events := make(chan core.Event, 1024)
	w, err := New(Config{RuntimeDir: b.TempDir(), Child: []string{p}, CgroupRoot: cgroupDir(b)}, func(e core.Event) { events <- e })
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	u := service(b, "bench@.service", "ExecStart=/bin/true")
	cpu := func(who int) time.Duration {
		var ru unix.Rusage
		_ = unix.Getrusage(who, &ru)
		return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	}
	const batch = 500
	self, kids := cpu(unix.RUSAGE_SELF), cpu(unix.RUSAGE_CHILDREN)
	run := core.RunID(0)
	for b.Loop() {
		for i := range batch {
			v := *u
			v.Name = fmt.Sprintf("bench@%d.service", i)
			run++
			w.Perform(core.Spawn{Run: run, Incarnation: run, Unit: &v, Stage: core.StageStart, Fresh: true,
				Exec: serviceExec(u)})
		}
		for left := batch; left > 0; {
			if e, ok := (<-events).(core.CgroupEmpty); ok {
				w.Perform(core.RemoveCgroup(e))
				left--
			}
		}
		w.pool.idle.Wait()
	}
	n := float64(b.N * batch)
	b.ReportMetric(float64(b.Elapsed().Microseconds())/n, "wall-µs/process")
	b.ReportMetric(float64((cpu(unix.RUSAGE_SELF)-self).Microseconds())/n, "manager-µs/process")
	b.ReportMetric(float64((cpu(unix.RUSAGE_CHILDREN)-kids).Microseconds())/n, "children-µs/process")
}
