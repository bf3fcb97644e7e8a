package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"dynamod/internal/ipc"
	"dynamod/internal/testkit"
)

// stranger is a process of this test's own.
func stranger(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func groupOfProcess(t *testing.T, pid int) string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// A scope is made of processes that others have started, outlives its manager, and
// ends with the last of them.
func TestScopeOfProcesses(t *testing.T) {
	r := begin(t, nil)
	c := r.client()
	a, b, other := stranger(t), stranger(t), stranger(t)
	args := ipc.AddArgs{Unit: "s.scope", PIDs: []int32{int32(a.Process.Pid), int32(b.Process.Pid)}, Start: true, Wait: true,
		Settings: []ipc.Setting{{Section: "Scope", Key: "Slice", Value: "own.slice"}, {Section: "Scope", Key: "Delegate", Value: "yes"}},
		Aux:      []ipc.AddedUnit{{Unit: "own.slice", Settings: []ipc.Setting{{Section: "Unit", Key: "Description", Value: "ours"}}}}}
	res, err := call[ipc.JobResult](t, c, ipc.VerbAdd, args)
	if groupOfProcess(t, os.Getpid()) == "" {
		if ipc.KindOf(err) != "NotSupported" {
			t.Fatalf("without cgroups: %v", err)
		}
		return
	}
	if err != nil || res.Result != "done" {
		t.Fatalf("%v %+v", err, res)
	}
	for _, p := range []*exec.Cmd{a, b} {
		if g := groupOfProcess(t, p.Process.Pid); !strings.HasSuffix(g, "/own.slice/s.scope") {
			t.Errorf("a process of the scope is in %s", g)
		}
		s, err := call[ipc.Status](t, c, ipc.VerbStatus, ipc.UnitArgs{PID: int32(p.Process.Pid)})
		if err != nil || s.Name != "s.scope" || s.State != "active" || s.Sub != "running" {
			t.Errorf("%v %+v", err, s)
		}
	}
	if _, err := call[ipc.JobResult](t, c, ipc.VerbAdd, args); ipc.KindOf(err) != "Refused" {
		t.Errorf("a second one of the same name: %v", err)
	}
	r.kill()
	r.start()
	c = r.client()
	if s := status(t, c, "s.scope"); s.State != "active" || s.Sub != "running" {
		t.Fatalf("after the manager was killed: %+v", s)
	}
	attach := ipc.AttachArgs{Unit: "s.scope", PIDs: []int32{int32(other.Process.Pid)}, Subgroup: "/one/two"}
	for _, bad := range []string{"../x", "a/../../x", "cgroup.procs", "a//b"} {
		wrong := attach
		wrong.Subgroup = bad
		if _, err := call[ipc.Done](t, c, ipc.VerbAttach, wrong); ipc.KindOf(err) != "InvalidArgs" {
			t.Errorf("attach to %q: %v", bad, err)
		}
	}
	for _, pid := range []int32{0, 1, -5, int32(r.cmd.Process.Pid)} {
		wrong := attach
		wrong.PIDs = []int32{attach.PIDs[0], pid}
		if _, err := call[ipc.Done](t, c, ipc.VerbAttach, wrong); ipc.KindOf(err) != "InvalidArgs" {
			t.Errorf("attach %d: %v", pid, err)
		}
	}
	if g := groupOfProcess(t, other.Process.Pid); strings.Contains(g, "s.scope") {
		t.Errorf("a request that was refused has moved a process to %s", g)
	}
	if _, err := call[ipc.Done](t, c, ipc.VerbAttach, attach); err != nil {
		t.Fatal(err)
	}
	if g := groupOfProcess(t, other.Process.Pid); !strings.HasSuffix(g, "/s.scope/one/two") {
		t.Errorf("the attached process is in %s", g)
	}
	if _, err := call[ipc.Done](t, c, ipc.VerbAbandon, ipc.UnitArgs{Unit: "s.scope"}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*exec.Cmd{a, b} {
		_ = p.Process.Kill()
		_ = p.Wait()
	}
	if s := status(t, c, "s.scope"); s.State != "active" || s.Sub != "abandoned" {
		t.Errorf("with one process left: %+v", s)
	}
	r.job(c, ipc.VerbStop, "s.scope")
	if err := other.Wait(); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("the last one: %v", err)
	}
	testkit.Eventually(t, "it is forgotten", func() bool {
		_, err := call[ipc.Status](t, c, ipc.VerbStatus, ipc.UnitArgs{Unit: "s.scope"})
		return ipc.KindOf(err) == "NoSuchUnit"
	})
	dead := ipc.AddArgs{Unit: "dead.scope", PIDs: []int32{int32(a.Process.Pid)}, Start: true, Wait: true}
	if _, err := call[ipc.JobResult](t, c, ipc.VerbAdd, dead); ipc.KindOf(err) != "NoSuchProcess" {
		t.Errorf("a scope of a process that has ended: %v", err)
	}
	if _, err := call[ipc.Status](t, c, ipc.VerbStatus, ipc.UnitArgs{Unit: "dead.scope"}); ipc.KindOf(err) != "NoSuchUnit" {
		t.Errorf("and it is there: %v", err)
	}
}

// What a person runs in a scope is his own process, with his descriptors and his exit.
func TestRunInAScope(t *testing.T) {
	r := begin(t, nil)
	c := r.client()
	if groupOfProcess(t, os.Getpid()) == "" {
		if out, err := r.dynamodctl("run", "--scope", "true").CombinedOutput(); exitCode(err) == 0 || !strings.Contains(string(out), "cgroups") {
			t.Errorf("without cgroups: %v: %s", err, out)
		}
		return
	}
	cmd := r.dynamodctl("run", "--scope", "--unit", "mine", "-E", "A=b c", "-d", "--", "sh", "-c", `read x; echo "$x $A"; cat /proc/self/cgroup; exit 5`)
	cmd.Stdin = strings.NewReader("hello\n")
	out, err := cmd.CombinedOutput()
	if exitCode(err) != 5 || !strings.Contains(string(out), "mine.scope runs\nhello b c\n") || !strings.Contains(string(out), "/mine.scope\n") {
		t.Errorf("%v: %s", err, out)
	}
	testkit.Eventually(t, "it is forgotten", func() bool {
		_, err := call[ipc.Status](t, c, ipc.VerbStatus, ipc.UnitArgs{Unit: "mine.scope"})
		return ipc.KindOf(err) == "NoSuchUnit"
	})
	for _, args := range [][]string{{"--wait"}, {"--pty"}, {"--uid", "0"}, {"--on-active", "1s"}} {
		if out, err := r.dynamodctl(append(append([]string{"run", "--scope"}, args...), "true")...).CombinedOutput(); exitCode(err) != 2 || !strings.Contains(string(out), "exclude each other") {
			t.Errorf("%q: %v: %s", args, err, out)
		}
	}
}

// Settings of a transient unit can be changed while it runs, and what was set last
// counts, also for the next manager.
func TestSetPropertyOfTransientUnits(t *testing.T) {
	r := begin(t, nil)
	c := r.client()
	if out, err := r.dynamodctl("run", "--unit", "made", "sleep", "1000").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	set := func(key, value string) error {
		_, err := call[ipc.Done](t, c, ipc.VerbSetProperty, ipc.SetPropertyArgs{Unit: "made", Runtime: true, Settings: []ipc.Setting{{Section: "Service", Key: key, Value: value}}})
		return err
	}
	shown := func() (out string) {
		res, err := call[ipc.ShowResult](t, c, ipc.VerbShow, ipc.ShowArgs{Unit: "made"})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range res.Settings {
			if s.Key == "CPUWeight" || s.Key == "TasksMax" {
				out += s.Key + "=" + s.Value + " "
			}
		}
		return out
	}
	pid := status(t, c, "made.service").PID
	for _, x := range [][2]string{{"CPUWeight", "200"}, {"TasksMax", "50"}, {"CPUWeight", "300"}} {
		if err := set(x[0], x[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := set("CPUWeight", "many"); ipc.KindOf(err) != "BadUnitSetting" {
		t.Errorf("a bad value: %v", err)
	}
	if err := set("ExecStart", "/bin/true"); ipc.KindOf(err) != "NotSupported" {
		t.Errorf("a setting that cannot change: %v", err)
	}
	if err := set("DevicePolicy", "strict"); ipc.KindOf(err) != "NotSupported" {
		t.Errorf("another policy: %v", err)
	}
	if err := set("DevicePolicy", "auto"); err != nil {
		t.Errorf("the same policy: %v", err)
	}
	for _, when := range []string{"now", "for the next manager"} {
		if s := shown(); !strings.Contains(s, "CPUWeight=300") || !strings.Contains(s, "TasksMax=50") || strings.Contains(s, "CPUWeight=200") {
			t.Errorf("%s the settings are %s", when, s)
		}
		if s := status(t, c, "made.service"); s.PID != pid || s.NeedsRestart {
			t.Errorf("%s: %+v", when, s)
		}
		r.kill()
		r.start()
		c = r.client()
	}
}

// A scope may want and come after units that have no file, as the session of a user whose
// system has no manager for users does: it starts, and nothing of them is left when it ends.
func TestScopeWantsWhatIsNotThere(t *testing.T) {
	r := begin(t, nil)
	r.writeUnit("there@.service", "[Service]\nExecStart=/bin/sleep 1000000\n")
	c := r.client()
	if groupOfProcess(t, os.Getpid()) == "" {
		return // no scopes without cgroups: TestScopeOfProcesses
	}
	a := stranger(t)
	args := ipc.AddArgs{Unit: "s.scope", PIDs: []int32{int32(a.Process.Pid)}, Start: true, Wait: true}
	for _, w := range []string{"there@1000.service", "missing@1000.service", "missing.service"} {
		args.Settings = append(args.Settings, ipc.Setting{Section: "Unit", Key: "Wants", Value: w}, ipc.Setting{Section: "Unit", Key: "After", Value: w})
	}
	if res, err := call[ipc.JobResult](t, c, ipc.VerbAdd, args); err != nil || res.Result != "done" {
		t.Fatalf("%+v, %v", res, err)
	}
	if s := status(t, c, "there@1000.service"); s.State != "active" {
		t.Errorf("what it wants and has a file is %s", s.State)
	}
	if _, err := call[ipc.JobResult](t, c, ipc.VerbStop, ipc.JobArgs{Unit: "there@1000.service", Wait: true}); err != nil {
		t.Fatal(err)
	}
	_ = a.Process.Kill()
	testkit.Eventually(t, "nothing but slices is left", func() bool {
		after, err := c.List(t.Context(), ipc.ListArgs{All: true})
		return err == nil && !slices.ContainsFunc(after, func(u ipc.Unit) bool {
			return u.Name == "s.scope" || strings.HasPrefix(u.Name, "there@") || strings.HasPrefix(u.Name, "missing")
		})
	})
}
