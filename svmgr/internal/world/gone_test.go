package world

import (
	"log/slog"
	"os/exec"
	"slices"
	"strconv"
	"testing"

	"dynamod/internal/sys/pidfd"
	"dynamod/internal/testkit"
	"dynamod/svmgr/internal/core"
)

// The end of a process is told once it has come; one that is not there is an error.
func TestWhenGone(t *testing.T) {
	w := &World{log: slog.New(slog.DiscardHandler)}
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := int32(cmd.Process.Pid)
	fd, err := pidfd.Open(int(pid))
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan bool, 1)
	if err := w.WhenGone(pid, fd, func() { gone <- true }); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
		t.Fatal("it is told to be gone and lives")
	default:
	}
	cmd.Process.Kill()
	testkit.Receive(t, gone, "the end is told")
	cmd.Wait()
	if err := w.WhenGone(pid, fd, func() {}); err == nil {
		t.Error("a process that has ended is watched")
	}
}

// Of a unit that the core has forgotten nothing is remembered, after what was still to be
// done for it: names of sessions and connections come without number.
func TestUnitGone(t *testing.T) {
	var told []string
	gone := make(chan string, 1)
	r := newRig(t, func(c *Config) { c.Gone = func(unit string) { gone <- unit } })
	for _, name := range []string{"stays.service", "goes.service"} {
		u := service(t, name, "ExecStart=/bin/false")
		run := r.spawn(u)
		r.lifeOf(run)
		r.warn(name, "something")
		r.warnIneffective(u)
		r.Perform(core.RemoveCgroup{Unit: name, Incarnation: run})
	}
	r.Perform(core.Publish{What: core.UnitRemoved, Unit: "goes.service"})
	if unit := testkit.Receive(t, gone, "the unit is gone"); unit != "goes.service" {
		t.Errorf("%s is gone", unit)
	}
	for _, name := range []string{"stays.service", "goes.service"} {
		if _, ended := r.LastEnd(name); ended {
			told = append(told, name)
		}
		told = append(told, r.Warnings(name)...)
		for _, c := range r.CommandRuns(name) {
			told = append(told, c.Key)
		}
	}
	// Its warnings are for who waited for its last job, and go with those of others.
	if want := []string{"stays.service", "something", "ExecStart", "something"}; !slices.Equal(told, want) {
		t.Errorf("%q is remembered; want %q", told, want)
	}
	r.reg.mu.Lock()
	for n := range maxWarningsOfGone {
		name := strconv.Itoa(n)
		r.reg.warnings[name] = []string{"else"}
		r.reg.forgetWarnings(name)
	}
	if r.reg.warnings["goes.service"] != nil || len(r.reg.warnings) != maxWarningsOfGone+1 || len(r.reg.warnedGone) != maxWarningsOfGone {
		t.Errorf("%d units are kept with warnings, %d are gone", len(r.reg.warnings), len(r.reg.warnedGone))
	}
	r.reg.mu.Unlock()
	if len(r.ineffective) != 1 || len(r.commands.order) != 1 {
		t.Errorf("%v, %v", r.ineffective, r.commands.order)
	}
}
