package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"dynamod/internal/ipc"
	"dynamod/internal/testkit"
)

const sleeper = "[service]\nname = \"web\"\nexec = [\"/bin/sleep\", \"1000\"]\n"

// A rollback loads what was in force, whatever became of the files, and the one
// after it goes forward again.
func TestRollback(t *testing.T) {
	r := begin(t, map[string]string{"web.toml": sleeper})
	c := r.client()
	generationNow := func() uint64 {
		p, err := call[ipc.PingResult](t, c, ipc.VerbPing, ipc.PingArgs{})
		if err != nil {
			t.Fatal(err)
		}
		return p.Generation
	}
	rollback := func(to uint64) ipc.ReloadResult {
		t.Helper()
		res, err := call[ipc.ReloadResult](t, c, ipc.VerbRollback, ipc.RollbackArgs{Generation: to})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	if _, err := call[ipc.ReloadResult](t, c, ipc.VerbRollback, ipc.RollbackArgs{}); kindOf(err) != "Refused" {
		t.Errorf("rollback with nothing before = %v; want Refused", err)
	}
	reload := func() ipc.ReloadResult {
		t.Helper()
		res, err := call[ipc.ReloadResult](t, c, ipc.VerbDaemonReload, ipc.ReloadArgs{})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	if reload(); generationNow() != 1 {
		t.Errorf("reloading the same files made generation %d; want 1 still", generationNow())
	}
	r.write("extra.toml", "[service]\nname = \"extra\"\nexec = [\"/bin/sleep\", \"1000\"]\nstart = \"manual\"\n")
	if res := reload(); res.Generation != 2 || !slices.Equal(res.Added, []string{"extra.service"}) {
		t.Errorf("reload = %+v; want generation 2 with extra", res)
	}
	if res := rollback(0); res.Generation != 3 || !slices.Equal(res.Removed, []string{"extra.service"}) {
		t.Errorf("rollback = %+v; want generation 3 without extra", res)
	}
	if err := os.Remove(filepath.Join(r.cfg, "services", "extra.toml")); err != nil {
		t.Fatal(err)
	}
	if res := rollback(2); res.Generation != 4 || !slices.Equal(res.Added, []string{"extra.service"}) {
		t.Errorf("rollback to 2, whose file is gone, = %+v; want generation 4 with extra", res)
	}
	if _, err := call[ipc.ReloadResult](t, c, ipc.VerbRollback, ipc.RollbackArgs{Generation: 99}); kindOf(err) != "Refused" || !strings.Contains(err.Error(), "99") {
		t.Errorf("rollback to 99 = %v; want Refused", err)
	}
}

// A disk that takes nothing costs the kept files, not the rollback.
func TestRollbackWithoutADisk(t *testing.T) {
	r := prepare(t, map[string]string{"web.toml": sleeper})
	if err := os.WriteFile(filepath.Join(r.run, "generations"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r.start()
	c := r.client()
	r.write("extra.toml", "[service]\nname = \"extra\"\nexec = [\"/bin/sleep\", \"1000\"]\nstart = \"manual\"\n")
	res, err := call[ipc.ReloadResult](t, c, ipc.VerbDaemonReload, ipc.ReloadArgs{})
	if err != nil || !slices.ContainsFunc(res.Diagnostics, func(d ipc.Diagnostic) bool { return d.Code == "not-kept" }) {
		t.Errorf("reload = %+v, %v; want it to say that nothing was kept", res, err)
	}
	res, err = call[ipc.ReloadResult](t, c, ipc.VerbRollback, ipc.RollbackArgs{})
	if err != nil || !slices.Equal(res.Removed, []string{"extra.service"}) {
		t.Errorf("rollback = %+v, %v; want extra to go", res, err)
	}
}

// The root file system is read-only when a machine's manager begins: the configuration
// is kept as soon as a unit makes it writable, and only a boot that ends without that is
// worth a warning.
func TestKeptWhenTheDiskIsWritable(t *testing.T) {
	for name, c := range map[string]struct {
		unit string
		kept bool
	}{
		"writable": {"exec = [\"mount\", \"-o\", \"remount,rw\", \"DIR\"]", true},
		"never":    {"exec = [\"true\"]", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := prepare(t, nil)
			dir := filepath.Join(r.run, "generations")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			r.write("root.toml", "[service]\nname = \"root\"\ntype = \"oneshot\"\n"+strings.ReplaceAll(c.unit, "DIR", dir)+"\n")
			var said testkit.Buffer
			cmd := exec.Command("unshare", "--mount", "sh", "-c", `mount -t tmpfs -o ro disk "$1/generations" && exec "$2" -standalone -config-dir "$3" -runtime-dir "$1"`,
				"sh", r.run, r.program, r.cfg)
			cmd.Stdout, cmd.Stderr = &said, &said
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = cmd.Process.Signal(syscall.SIGTERM)
				_ = cmd.Wait()
			})
			const warning = "kept for rollback"
			testkit.Eventually(t, "the boot decides about it", func() bool {
				_, err := os.Stat(fmt.Sprintf("/proc/%d/root%s/1.tar.gz", cmd.Process.Pid, dir))
				return err == nil || strings.Contains(said.String(), warning)
			})
			if said := said.String(); strings.Contains(said, warning) == c.kept {
				t.Errorf("kept %v; it said:\n%s", c.kept, said)
			}
		})
	}
}

func TestSetProperty(t *testing.T) {
	r := prepare(t, map[string]string{"native.toml": sleeper})
	r.writeUnit("plain.service", "[Service]\nExecStart=/bin/sleep 1000\n")
	r.start()
	c := r.client()
	set := func(name string, runtime bool, key, value string) error {
		_, err := call[ipc.Done](t, c, ipc.VerbSetProperty, ipc.SetPropertyArgs{Unit: name, Runtime: runtime,
			Settings: []ipc.Setting{{Section: "Service", Key: key, Value: value}}})
		return err
	}
	shown := func(name string, keys ...string) string {
		s, err := call[ipc.ShowResult](t, c, ipc.VerbShow, ipc.ShowArgs{Unit: name})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range s.Settings {
			if slices.Contains(keys, l.Key) {
				return l.Value
			}
		}
		return ""
	}
	testkit.Eventually(t, "web runs", func() bool { return status(t, c, "web").State == "active" })
	before := status(t, c, "web").PID
	for _, name := range []string{"web.service", "plain.service"} {
		if err := set(name, false, "MemoryMax", "64M"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := shown(name, "memory-max", "MemoryMax"); got != "67108864" && got != "64M" {
			t.Errorf("%s: memory-max = %q after set-property", name, got)
		}
		if _, err := os.Stat(filepath.Join(r.cfg, "units.control", name+".d", "50-MemoryMax.conf")); err != nil {
			t.Error(err)
		}
	}
	if s := status(t, c, "web"); s.PID != before || s.NeedsRestart {
		t.Errorf("pid %d became %d, outdated %v; want a limit to change in place", before, s.PID, s.NeedsRestart)
	}
	if err := set("web.service", true, "TasksMax", "77"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(r.run, "units.control", "web.service.d", "50-TasksMax.conf")); err != nil {
		t.Error(err)
	}
	// Units that are always there have no file, and take drop-ins all the same.
	if _, err := call[ipc.Done](t, c, ipc.VerbSetProperty, ipc.SetPropertyArgs{Unit: "-.slice", Runtime: true,
		Settings: []ipc.Setting{{Section: "Slice", Key: "CPUWeight", Value: "90"}}}); err != nil {
		t.Errorf("-.slice: %v", err)
	}
	if got := shown("-.slice", "CPUWeight"); got != "90" {
		t.Errorf("CPUWeight of -.slice is %q", got)
	}
	// It is still so after a reload: the drop-ins are configuration.
	if _, err := call[ipc.ReloadResult](t, c, ipc.VerbDaemonReload, ipc.ReloadArgs{}); err != nil {
		t.Fatal(err)
	}
	if got := shown("web.service", "pids-max"); got != "77" {
		t.Errorf("pids-max = %q after a reload; want 77", got)
	}
	for _, bad := range []struct{ key, value, kind, says string }{
		{"MemoryMax", "lots", "BadUnitSetting", "MemoryMax"},
		{"MemoryMax", "1M\nNice=1", "InvalidArgs", "one line"},
		{"Nice", "5", "NotSupported", "next start"},
		{"MemoryMxa", "1M", "BadUnitSetting", "MemoryMxa"},
	} {
		err := set("web.service", false, bad.key, bad.value)
		if kindOf(err) != bad.kind || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("%s=%s: %v; want %s with %q", bad.key, bad.value, err, bad.kind, bad.says)
		}
	}
	if got := shown("web.service", "memory-max"); got != "67108864" && got != "64M" {
		t.Errorf("memory-max = %q after refused changes", got)
	}
}

// What the operator says for a process counts as if it had said so itself.
func TestNotifyForAnother(t *testing.T) {
	r := begin(t, map[string]string{
		"slow.toml":  "[service]\nname = \"slow\"\nexec = [\"/bin/sleep\", \"1000\"]\nstart = \"manual\"\n[readiness]\ntype = \"notify\"\n",
		"other.toml": "[service]\nname = \"other\"\nexec = [\"/bin/sleep\", \"1000\"]\n",
	})
	c := r.client()
	if _, err := call[ipc.JobResult](t, c, ipc.VerbStart, ipc.JobArgs{Unit: "slow"}); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "slow waits for its notification", func() bool { return status(t, c, "slow").PID != 0 })
	testkit.Eventually(t, "other runs", func() bool { return status(t, c, "other").PID != 0 })
	notify := func(pid int32, state string) error {
		_, err := call[ipc.Done](t, c, ipc.VerbNotify, ipc.NotifyArgs{Unit: "slow", PID: pid, State: state})
		return err
	}
	if err := notify(status(t, c, "other").PID, "READY=1"); kindOf(err) != "InvalidArgs" {
		t.Errorf("a process of another unit: %v; want InvalidArgs", err)
	}
	pid := status(t, c, "slow").PID
	if err := notify(pid, "FDSTORE=1"); kindOf(err) != "InvalidArgs" {
		t.Errorf("FDSTORE=1: %v; want InvalidArgs", err)
	}
	if s := status(t, c, "slow"); s.State != "starting" {
		t.Errorf("slow is %s before READY=1", s.State)
	}
	if err := notify(pid, "READY=1\nSTATUS=by hand"); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "slow is active", func() bool { return status(t, c, "slow").State == "active" })
}
