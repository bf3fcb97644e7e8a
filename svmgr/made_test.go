package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dynamod/internal/ipc"
	"dynamod/internal/testkit"
)

// Units that no generation holds, because they were loaded when somebody asked for
// them or made by a command, are known to the next manager with all their settings,
// even when their files are gone by then.
func TestMadeUnitsSurvive(t *testing.T) {
	r := begin(t, map[string]string{"first.toml": "[service]\nname = \"first\"\nexec = [\"/bin/sleep\", \"1000\"]\n"})
	c := r.client()
	told := filepath.Join(r.run, "told")
	r.writeUnit("inst@.service", fmt.Sprintf("[Service]\nExecStart=/bin/sleep 1000\nExecStopPost=/bin/sh -c 'echo %%i >>%s'\nEnvironment=HOST=%%H\nRestart=always\n", told))
	r.writeUnit("atrest@.service", "[Unit]\nDescription=at rest\n[Service]\nExecStart=/bin/true\n")
	for _, name := range []string{"inst@a.service", "inst@b.service", "atrest@x.service"} {
		r.job(c, ipc.VerbStart, name)
	}
	for _, args := range [][]string{{"run", "--unit", "made", "-p", "ExecStopPost=/bin/sh -c 'echo made >>" + told + "'", "/bin/sleep", "1000"}} {
		if out, err := r.dynamodctl(args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	names := []string{"inst@a.service", "inst@b.service", "made.service"}
	pids := map[string]int32{}
	for _, n := range names {
		testkit.Eventually(t, n+" runs", func() bool { return status(t, c, n).State == "active" })
		pids[n] = status(t, c, n).PID
	}
	show := func(n string) string {
		res, err := call[ipc.ShowResult](t, c, ipc.VerbShow, ipc.ShowArgs{Unit: n})
		if err != nil {
			t.Fatalf("show %s: %v", n, err)
		}
		return fmt.Sprint(res.Settings)
	}
	shown := map[string]string{}
	for _, n := range append(names, "atrest@x.service") {
		shown[n] = show(n)
	}
	// Their files change or vanish: what counts is what they were started with.
	r.writeUnit("inst@.service", "[Service]\nExecStart=/bin/false\n")

	for _, next := range []struct {
		how string
		do  func()
	}{
		{"killed", func() { r.kill(); r.start(); c = r.client() }},
		{"replaced", func() { c = r.reexec(c) }},
		{"killed again", func() { r.kill(); r.start(); c = r.client() }},
	} {
		next.do()
		for n, pid := range pids {
			if s := status(t, c, n); s.PID != pid || s.State != "active" || s.Load != "loaded" {
				t.Errorf("%s: %s with pid %d is %s, %s with pid %d", next.how, n, pid, s.Load, s.State, s.PID)
			}
		}
		for n, was := range shown {
			if now := show(n); now != was {
				t.Errorf("%s: %s was\n%s\nis\n%s", next.how, n, was, now)
			}
		}
	}
	// Their settings are in force.
	for _, n := range names {
		r.job(c, ipc.VerbStop, n)
	}
	testkit.Eventually(t, "what is to be done after they stop is done", func() bool {
		data, _ := os.ReadFile(told)
		got := strings.Fields(string(data))
		return len(got) == 3 && strings.Contains(string(data), "a\n") && strings.Contains(string(data), "b\n") && strings.Contains(string(data), "made\n")
	})
}

// A reload reads the units again that were loaded on demand: those that run or failed
// are not taken for vanished ones, and start next with what is in their files now.
func TestReloadReadsMadeUnits(t *testing.T) {
	r := begin(t, map[string]string{"first.toml": "[service]\nname = \"first\"\nexec = [\"/bin/sleep\", \"1000\"]\n"})
	c := r.client()
	r.writeUnit("inst@.service", "[Service]\nExecStart=/bin/sleep 1000\n")
	r.writeUnit("bad@.service", "[Service]\nExecStart=/bin/false\n")
	r.writeUnit("vanishes@.service", "[Service]\nExecStart=/bin/sleep 1000\n")
	for _, name := range []string{"inst@a.service", "vanishes@a.service"} {
		r.job(c, ipc.VerbStart, name)
		r.until(c, name, "active")
	}
	if _, err := call[ipc.JobResult](t, c, ipc.VerbStart, ipc.JobArgs{Unit: "bad@a.service"}); err != nil {
		t.Fatal(err)
	}
	r.until(c, "bad@a.service", "failed")
	pid := status(t, c, "inst@a.service").PID

	r.writeUnit("inst@.service", "[Unit]\nDescription=new\n[Service]\nExecStart=/bin/sleep 2000\n")
	if err := os.Remove(filepath.Join(r.cfg, "units", "vanishes@.service")); err != nil {
		t.Fatal(err)
	}
	res, err := call[ipc.ReloadResult](t, c, ipc.VerbDaemonReload, ipc.ReloadArgs{Evict: true})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(res.Restart, []string{"inst@a.service"}) || !slices.Equal(res.Removed, []string{"vanishes@a.service"}) {
		t.Errorf("the reload says %+v", res)
	}
	testkit.Eventually(t, "what has no file and does not run is forgotten", func() bool {
		_, err := call[ipc.Status](t, c, ipc.VerbStatus, ipc.UnitArgs{Unit: "vanishes@a.service"})
		return ipc.KindOf(err) == "NoSuchUnit"
	})
	for range 2 { // and so does the next manager
		if s := status(t, c, "inst@a.service"); s.PID != pid || s.State != "active" || s.Description != "new" || s.NeedsReload || len(s.Warnings) > 0 {
			t.Errorf("after the reload: %+v", s)
		}
		if s := status(t, c, "bad@a.service"); s.State != "failed" || s.Load != "loaded" {
			t.Errorf("the failed one after the reload: %+v", s)
		}
		r.kill()
		r.start()
		c = r.client()
	}
	r.job(c, ipc.VerbRestart, "inst@a.service")
	s := r.until(c, "inst@a.service", "active")
	if command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.PID)); string(command) != "/bin/sleep\x002000\x00" {
		t.Errorf("after a restart it runs %q", command)
	}
}

// Drop-ins for the names of transient units apply to them, as with systemd: those of
// their own, of their prefixes and of their type.
func TestTransientUnitsTakeDropIns(t *testing.T) {
	r := begin(t, map[string]string{"first.toml": "[service]\nname = \"first\"\nexec = [\"/bin/sleep\", \"1000\"]\n"})
	c := r.client()
	for file, text := range map[string]string{
		"job-.service.d/10-env.conf":   "[Service]\nEnvironment=PREFIX=yes OWN=no\n[Unit]\nDescription=by drop-in\nWants=friend@%p.service\n",
		"job-one.service.d/20.conf":    "[Service]\nEnvironment=OWN=yes\nNonsense=1\n",
		"service.d/10-type.conf":       "[Service]\nEnvironment=TYPE=yes\n",
		"friend@.service":              "[Service]\nExecStart=/bin/sleep 1000\n[Unit]\nRequires=deeper@%i.service\nAfter=deeper@%i.service\n",
		"deeper@.service":              "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
		"job-other.service.d/10.conf":  "[Service]\nEnvironment=OTHER=yes\n",
		"job-.scope.d/nothing-of.conf": "[Scope]\nRuntimeMaxSec=2h\n",
	} {
		if err := os.MkdirAll(filepath.Join(r.cfg, "units", filepath.Dir(file)), 0o755); err != nil {
			t.Fatal(err)
		}
		r.writeUnit(file, text)
	}
	if out, err := r.dynamodctl("run", "--unit", "job-one", "/bin/sleep", "1000").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s := r.until(c, "job-one.service", "active")
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.PID))
	if err != nil {
		t.Fatal(err)
	}
	have := strings.Split(string(env), "\x00")
	for _, v := range []string{"PREFIX=yes", "OWN=yes", "TYPE=yes"} {
		if !slices.Contains(have, v) {
			t.Errorf("the environment of the transient unit has no %s: %q", v, have)
		}
	}
	if slices.Contains(have, "OTHER=yes") || slices.Contains(have, "OWN=no") {
		t.Errorf("the environment of the transient unit is %q", have)
	}
	r.until(c, "friend@job-one.service", "active")
	r.until(c, "deeper@job-one.service", "completed")
	if s.Description != "by drop-in" {
		t.Errorf("the description is %q; want that of the drop-in", s.Description)
	}
	// They survive the manager with it.
	r.kill()
	r.start()
	c = r.client()
	if now := status(t, c, "job-one.service"); now.PID != s.PID || now.Description != "by drop-in" {
		t.Errorf("after a crash of the manager: %+v", now)
	}
	show, err := call[ipc.ShowResult](t, c, ipc.VerbShow, ipc.ShowArgs{Unit: "job-one.service"})
	if err != nil || !strings.Contains(fmt.Sprint(show.Settings), "TYPE=yes") {
		t.Errorf("show says %v, %v", show.Settings, err)
	}

	// A reload reads them again, and what set-property said goes on before them.
	if out, err := r.dynamodctl("set-property", "job-one.service", "TasksMax=77").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r.writeUnit("job-.service.d/10-env.conf", "[Unit]\nDescription=changed\n[Service]\nTasksMax=5\n")
	res, err := call[ipc.ReloadResult](t, c, ipc.VerbDaemonReload, ipc.ReloadArgs{})
	if err != nil || !slices.Contains(res.Restart, "job-one.service") {
		t.Errorf("the reload says %+v, %v", res, err)
	}
	for _, when := range []string{"after a reload", "for the next manager"} {
		now := status(t, c, "job-one.service")
		if now.PID != s.PID || now.State != "active" || now.Description != "changed" || when == "after a reload" && !now.NeedsRestart {
			t.Errorf("%s: %+v", when, now)
		}
		r.kill()
		r.start()
		c = r.client()
	}
	r.job(c, ipc.VerbRestart, "job-one.service")
	r.until(c, "job-one.service", "active")
	show, err = call[ipc.ShowResult](t, c, ipc.VerbShow, ipc.ShowArgs{Unit: "job-one.service"})
	if text := fmt.Sprint(show.Settings); err != nil || !strings.Contains(text, "TasksMax 77") || strings.Contains(text, "PREFIX") {
		t.Errorf("after a restart it has %s, %v", text, err)
	}
}
