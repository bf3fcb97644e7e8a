package world

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/testkit"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// adopts asks for a main process of the run's unit.
func (r *rig) adopts(u *unit.Unit, inc core.RunID, pid int) core.RunID {
	r.next++
	r.Perform(core.Adopt{Run: r.next, Unit: u.Name, Incarnation: inc, PID: int32(pid)})
	return r.next
}

// forks runs a shell script as the start command of a forking service and waits for
// its end. What it leaves behind prints its number on a line.
func (r *rig) forks(script string, more ...string) (*unit.Unit, core.RunID) {
	r.t.Helper()
	u := service(r.t, "d.service", append([]string{"Type=forking", "ExecStart=/bin/sh -c '" + script + "'"}, more...)...)
	run := r.spawn(u, func(a *core.Spawn) { a.Role = core.RoleControl })
	if e := until[core.Exited](r); e.Run != run || e.Code != 0 {
		r.t.Fatalf("%+v", e)
	}
	return u, run
}

func (r *rig) kill(u *unit.Unit, inc core.RunID) {
	r.t.Helper()
	r.Perform(core.KillCgroup{Unit: u.Name, Incarnation: inc})
	until[core.CgroupEmpty](r)
}

// adopter is a rig whose process becomes the parent of orphans, as svmgr is.
func adopter(t *testing.T) *rig {
	t.Helper()
	do(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
	t.Cleanup(func() { do(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)) })
	return newRig(t, func(c *Config) { c.Subreaper = true })
}

func TestGuessedMain(t *testing.T) {
	r := adopter(t)
	u, inc := r.forks("sleep 60 & echo $!")
	run := r.adopts(u, inc, 0)
	e := until[core.MainPID](r)
	if !e.Found || e.Run != run || e.Unit != u.Name || e.Incarnation != inc {
		t.Fatalf("%+v", e)
	}
	testkit.Eventually(t, "its number", func() bool { return len(r.output()) == 1 })
	pid, _, ok := r.pidOf(run)
	if fmt.Sprint("1:", pid) != strings.Join(r.output(), "") || !ok {
		t.Errorf("process %d is main, the shell started %v", pid, r.output())
	}
	r.Perform(core.Signal{Unit: u.Name, Incarnation: inc, Run: run, Signal: 15})
	if x := until[core.Exited](r); x.Run != run {
		t.Errorf("%+v", x)
	}
}

func TestTwoCandidatesAreNoGuess(t *testing.T) {
	r := adopter(t)
	u, inc := r.forks("sleep 60 & sleep 60 &")
	r.adopts(u, inc, 0)
	if e := until[core.MainPID](r); e.Found {
		t.Errorf("%+v", e)
	}
	r.kill(u, inc)
}

func TestPIDFile(t *testing.T) {
	r := adopter(t)
	file := filepath.Join(t.TempDir(), "sub", "d.pid")
	u, inc := r.forks("sleep 60 & sleep 60 & echo $!", "PIDFile="+file)
	testkit.Eventually(t, "its number", func() bool { return len(r.output()) == 1 })
	pid := strings.TrimPrefix(r.output()[0], "1:")
	run := r.adopts(u, inc, 0)
	r.armed(1)
	// Not there, then empty, then half, then of somebody else: only then good.
	do(t, os.Mkdir(filepath.Dir(file), 0o755))
	do(t, os.WriteFile(file, nil, 0o644))
	do(t, os.WriteFile(file, []byte("garbage\n"), 0o644))
	do(t, os.WriteFile(file, []byte(strconv.Itoa(os.Getpid())), 0o644))
	do(t, os.WriteFile(file, []byte("1\n"), 0o644))
	r.quiet(t)
	do(t, os.WriteFile(file, []byte(pid+"\n"), 0o644))
	if e := until[core.MainPID](r); !e.Found || e.Run != run {
		t.Errorf("%+v", e)
	}
	if n, ok := r.PID(run); !ok || strconv.Itoa(n) != pid {
		t.Error(n, pid)
	}
	r.kill(u, inc)
}

func TestCancelledPIDFile(t *testing.T) {
	r := adopter(t)
	file := filepath.Join(t.TempDir(), "d.pid")
	u, inc := r.forks("sleep 60 &", "PIDFile="+file)
	run := r.adopts(u, inc, 0)
	r.armed(1)
	r.Perform(core.CancelProbe{Run: run})
	r.armed(0)
	r.quiet(t)
	r.kill(u, inc)
}

func TestMainPIDIsVerified(t *testing.T) {
	r := adopter(t)
	u, inc := r.forks("sleep 60 & echo $!")
	testkit.Eventually(t, "its number", func() bool { return len(r.output()) == 1 })
	pid, err := strconv.Atoi(strings.TrimPrefix(r.output()[0], "1:"))
	do(t, err)
	for _, bad := range []int{1, os.Getpid(), os.Getppid(), 1 << 30} {
		r.adopts(u, inc, bad)
		if e := until[core.MainPID](r); e.Found {
			t.Errorf("process %d was taken", bad)
		}
	}
	r.adopts(u, inc+1000, pid)
	if e := until[core.MainPID](r); e.Found {
		t.Error("another incarnation's process was taken")
	}
	r.adopts(u, inc, pid)
	if e := until[core.MainPID](r); !e.Found {
		t.Error("the right one was refused")
	}
	r.adopts(u, inc, pid)
	if e := until[core.MainPID](r); e.Found {
		t.Error("one process became two runs")
	}
	r.kill(u, inc)
}

func TestReadPIDFile(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		do(t, os.WriteFile(dir+"/"+name, []byte(text), 0o644))
		return dir + "/" + name
	}
	for text, want := range map[string]int{"42": 42, "42\n": 42, " 42 \nmore": 42, "": 0, "1": 0, "0": 0, "-3": 0, "4x": 0, "99999999999": 0} {
		if got, err := r.readPIDFile(write("f", text)); got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d %v", text, got, err)
		}
	}
	if _, err := r.readPIDFile(dir); err == nil {
		t.Error("a directory was read")
	}
	if os.Getuid() != 0 {
		return
	}
	do(t, os.Chown(write("theirs", "42"), 65534, 65534))
	if _, err := r.readPIDFile(dir + "/theirs"); err != nil {
		t.Error(err)
	}
	do(t, os.Symlink("theirs", dir+"/link"))
	if _, err := r.readPIDFile(dir + "/link"); err == nil {
		t.Error("root's link to a user's file was followed")
	}
	do(t, os.Chmod(dir, 0o777))
	if _, err := r.readPIDFile(dir + "/theirs"); err == nil {
		t.Error("a user's file in a directory for everybody was believed")
	}
}

func FuzzPIDFile(f *testing.F) {
	f.Add([]byte("42\n"))
	f.Add([]byte(" 7 \n8"))
	file := filepath.Join(f.TempDir(), "pid")
	w := &World{}
	f.Fuzz(func(t *testing.T, text []byte) {
		do(t, os.WriteFile(file, text, 0o600))
		if pid, err := w.readPIDFile(file); err == nil && pid <= 1 {
			t.Errorf("%q names process %d", text, pid)
		}
	})
}
