package world

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/cgroup"
	"dynamod/internal/sys/proc"
	"dynamod/internal/testkit"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

var cgroupSerial atomic.Int32

// cgroupDir makes a cgroup2 directory for one test, "" where there is none that
// can be written: then a test covers sessions only.
func cgroupDir(t testing.TB) string {
	for _, mount := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		own, err := cgroup.Of(0)
		if err != nil || !cgroup.Valid(mount) {
			continue
		}
		dir := fmt.Sprintf("%s/dynamod-test-%d-%d", cgroup.Path(mount, own), os.Getpid(), cgroupSerial.Add(1))
		if _, err := cgroup.Make(dir); err != nil {
			continue
		}
		t.Cleanup(func() {
			_ = cgroup.Kill(dir)
			testkit.Eventually(t, "the test's cgroups are removed", func() bool { return cgroup.Remove(dir) == nil })
		})
		return dir
	}
	return ""
}

// inBothWays runs a test with cgroups, where there are any, and without.
func inBothWays(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Run("sessions", func(t *testing.T) { f(t, newRig(t)) })
	if dir := cgroupDir(t); dir != "" {
		t.Run("cgroup", func(t *testing.T) { f(t, newRig(t, func(c *Config) { c.CgroupRoot = dir })) })
	}
}

// leave starts a copy of this program that outlives the caller, in a session of
// its own, and waits until it runs.
var _ = testkit.Register("leave", func(args []string) {
	r, wr, _ := os.Pipe()
	self, _ := os.Executable()
	_, err := os.StartProcess(self, append([]string{self, "testkit-helper", "stay"}, args...),
		&os.ProcAttr{Files: []*os.File{nil, nil, nil, wr}, Sys: &unix.SysProcAttr{Setsid: true}})
	if err != nil {
		panic(err)
	}
	wr.Close()
	_, _ = r.Read(make([]byte, 1))
})

// stay says that it runs, on descriptor 3 if that is open, and stays; with "deaf"
// it ignores SIGTERM.
var _ = testkit.Register("stay", func(args []string) {
	ch := make(chan os.Signal, 1)
	if len(args) > 0 && args[0] == "deaf" {
		signal.Ignore(unix.SIGTERM)
		// Without cgo, Go ends a program that waits for nothing that could come.
		signal.Notify(ch, unix.SIGUSR1)
	} else {
		signal.Notify(ch, unix.SIGTERM)
	}
	_, _ = unix.Write(3, []byte("x"))
	unix.Close(3)
	fmt.Println("here")
	<-ch
	os.Exit(5)
})

func command1(t testing.TB, name string, args ...string) string {
	var b strings.Builder
	b.WriteString("ExecStart=")
	for _, a := range testkit.Command(t, name, args...) {
		b.WriteString(`"` + a + `" `)
	}
	return b.String()
}

func TestEndOfAllProcesses(t *testing.T) {
	testkit.Command(t, "stay")
	inBothWays(t, func(t *testing.T, r *rig) {
		u := service(t, "left.service", command1(t, "leave"))
		run := r.spawn(u)
		if e := until[core.Exited](r); e.Code != 0 {
			t.Fatalf("the starter ended with %+v", e)
		}
		// What it left is in the way of CgroupEmpty until it is stopped.
		r.Perform(core.Signal{Unit: u.Name, Incarnation: run, Signal: int32(unix.SIGTERM)})
		if e := r.event(); e != (core.CgroupEmpty{Unit: u.Name, Incarnation: run}) {
			t.Fatalf("got %#v; want CgroupEmpty", e)
		}
	})
}

func TestKillCgroup(t *testing.T) {
	inBothWays(t, func(t *testing.T, r *rig) {
		u := service(t, "deaf.service", command1(t, "leave", "deaf"))
		run := r.spawn(u)
		until[core.Exited](r)
		r.Perform(core.Signal{Unit: u.Name, Incarnation: run, Signal: int32(unix.SIGTERM)})
		r.Perform(core.KillCgroup{Unit: u.Name, Incarnation: run})
		if e := r.event(); e != (core.CgroupEmpty{Unit: u.Name, Incarnation: run}) {
			t.Fatalf("got %#v; want CgroupEmpty", e)
		}
		r.Perform(core.RemoveCgroup{Unit: u.Name, Incarnation: run})
		testkit.Eventually(t, "the cgroup is gone", func() bool {
			_, err := os.Stat(r.cg.root + "/system.slice/deaf.service")
			return r.CgroupOf(u.Name) == "" && (r.cg.root == "" || os.IsNotExist(err))
		})
	})
}

func TestSignalToOneRun(t *testing.T) {
	inBothWays(t, func(t *testing.T, r *rig) {
		u := service(t, "one.service", command1(t, "stay"))
		run := r.spawn(u)
		until[core.SpawnDone](r)
		r.waitLine("1:here")
		r.Perform(core.Signal{Unit: u.Name, Incarnation: run, Run: run, Signal: int32(unix.SIGTERM)})
		if e := until[core.Exited](r); e != (core.Exited{Run: run, Code: 5}) {
			t.Errorf("got %+v; want code 5", e)
		}
	})
}

// waitLine waits for a line of output that ends in want.
func (r *rig) waitLine(want string) {
	r.t.Helper()
	for {
		for _, l := range r.output() {
			if strings.HasSuffix(l, want) {
				return
			}
		}
		testkit.Receive(r.t, r.fresh, "the line "+want)
	}
}

// Statement 3: a process of a service is in its cgroup from its first instruction.
func TestStatement03BornInItsCgroup(t *testing.T) {
	dir := cgroupDir(t)
	if dir == "" {
		return
	}
	r := newRig(t, func(c *Config) { c.CgroupRoot = dir })
	base := r.cg.base
	for _, test := range []struct {
		u    *unit.Unit
		role core.Role
		want string
	}{
		{service(t, "a.service", "ExecStart=/bin/grep ^0:: /proc/self/cgroup"), core.RoleMain, "/system.slice/a.service"},
		{service(t, "b@x.service", "ExecStart=/bin/grep ^0:: /proc/self/cgroup"), core.RoleControl, "/system.slice/system-b.slice/b@x.service/hooks"},
		{service(t, "c.service", "ExecStart=/bin/grep ^0:: /proc/self/cgroup", "Slice=my-own.slice"), core.RoleHealth, "/my.slice/my-own.slice/c.service/health"},
		{nativeService(t, "d.service", "[service]\nexec = [\"/bin/grep\", \"^0::\", \"/proc/self/cgroup\"]"), core.RoleMain, "/dynamod/d"},
	} {
		run := r.spawn(test.u, func(a *core.Spawn) { a.Role = test.role })
		if failed, _ := r.lifeOf(run); failed != nil {
			t.Fatalf("%s: %+v", test.u.Name, failed)
		}
		r.waitLine("1:0::" + base + test.want)
		r.Perform(core.RemoveCgroup{Unit: test.u.Name, Incarnation: run})
	}
	testkit.Eventually(t, "the groups and their slices are gone", func() bool { left, err := cgroup.Children(dir); return err == nil && len(left) == 0 })
}

// Statement 1: a start does not mix with what a former one left behind.
func TestStatement01LeftBehindGeneration(t *testing.T) {
	dir := cgroupDir(t)
	if dir == "" {
		return
	}
	r := newRig(t, func(c *Config) { c.CgroupRoot = dir })
	u := service(t, "gen.service", command1(t, "leave"))
	first := r.spawn(u)
	until[core.Exited](r)
	r.Perform(core.RemoveCgroup{Unit: u.Name, Incarnation: first})
	second := r.spawn(u)
	if e := until[core.Exited](r); e.Run != second {
		t.Fatalf("%+v", e)
	}
	path := filepath.Join(dir, "system.slice/gen.service")
	if got := r.CgroupOf(u.Name); got != path+".gen1" {
		t.Errorf("the second start is in %s; want %s.gen1", got, path)
	}
	if w := r.Warnings(u.Name); len(w) == 0 || !strings.Contains(w[0], path) {
		t.Errorf("Warnings = %q; want the path that was left behind", w)
	}
	// When what is in it ends, the group that was left behind goes away.
	if err := cgroup.Kill(path); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the old group is gone", func() bool { _, err := os.Stat(path); return os.IsNotExist(err) })
	r.Perform(core.KillCgroup{Unit: u.Name, Incarnation: second})
	until[core.CgroupEmpty](r)
}

// Statement 7: the main process never meets what a start hook left behind.
func TestStatement07HooksAreGoneBeforeMain(t *testing.T) {
	dir := cgroupDir(t)
	if dir == "" {
		return
	}
	r := newRig(t, func(c *Config) { c.CgroupRoot = dir })
	u := service(t, "hook.service", command1(t, "leave", "deaf"), "ExecReload=/bin/cat "+dir+"/system.slice/hook.service/hooks/cgroup.procs")
	inc := r.spawn(u, func(a *core.Spawn) { a.Role, a.Stage = core.RoleControl, core.StageStartPre })
	until[core.Exited](r)
	procs, err := cgroup.Procs(dir + "/system.slice/hook.service/hooks")
	if err != nil || len(procs) != 1 {
		t.Fatalf("the hook left %v, %v; want one process", procs, err)
	}
	main := r.spawn(u, func(a *core.Spawn) {
		a.Incarnation, a.Fresh = inc, false
		a.Exec = unit.ExecReload.Of(u)[0]
	})
	if failed, exit := r.lifeOf(main); failed != nil || exit == nil || exit.Code != 0 {
		t.Fatalf("%+v %+v", failed, exit)
	}
	if out := r.output(); len(out) != 0 {
		t.Errorf("at its exec, hooks held %q", out)
	}
}

func TestFreeze(t *testing.T) {
	inBothWays(t, func(t *testing.T, r *rig) {
		u := service(t, "ice.service", command1(t, "stay"))
		run := r.spawn(u)
		until[core.SpawnDone](r)
		r.waitLine("here")
		pid, _ := r.PID(run)
		frozen := func() bool {
			if r.cg.root == "" {
				st, err := proc.StatOf(pid)
				return err == nil && st.State == 'T'
			}
			n, err := cgroup.Event(r.CgroupOf(u.Name), "cgroup.events", "frozen")
			return err == nil && n == 1
		}
		r.Perform(core.Freeze{Unit: u.Name})
		testkit.Eventually(t, "it is frozen", frozen)
		r.Perform(core.Thaw{Unit: u.Name})
		testkit.Eventually(t, "it is thawed", func() bool { return !frozen() })
		r.Perform(core.Signal{Unit: u.Name, Incarnation: run, Signal: int32(unix.SIGTERM)})
		until[core.CgroupEmpty](r)
	})
}

func TestOwnerOfProcess(t *testing.T) {
	inBothWays(t, func(t *testing.T, r *rig) {
		u := service(t, "who.service", command1(t, "leave", "deaf"))
		inc := r.spawn(u)
		until[core.Exited](r)
		g := r.groupOf(u.Name, inc)
		left := r.members(g)
		if len(left) != 1 {
			t.Fatalf("members = %v; want the one that was left", left)
		}
		if o, ok := r.runOf(left[0]); !ok || o != (owner{Unit: u.Name, Incarnation: inc}) {
			t.Errorf("runOf = %+v, %v", o, ok)
		}
		if o, ok := r.runOf(os.Getpid()); ok {
			t.Errorf("runOf(the manager) = %+v", o)
		}
		r.Perform(core.KillCgroup{Unit: u.Name, Incarnation: inc})
		until[core.CgroupEmpty](r)
	})
}

// Measuring I/O needs a controller of its own, even without a limit on it.
func TestIOAccountingNeedsItsController(t *testing.T) {
	w := &World{}
	for line, want := range map[string]bool{"IOAccounting=yes": true, "IOAccounting=no": false, "Nice=1": false} {
		if got := slices.Contains(w.controllersFor(service(t, "a.service", "ExecStart=/bin/true", line), nil), "io"); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}
