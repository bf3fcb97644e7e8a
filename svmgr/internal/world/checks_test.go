package world

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// find makes checks of a unit by way of the core's question.
func (r *rig) find(u *unit.Unit, checks ...string) []core.Finding {
	r.t.Helper()
	r.next++
	r.Perform(core.Probe{Run: r.next, Unit: u, What: core.ProbeConditions, Checks: checks})
	e := until[core.ProbeResult](r)
	if e.Run != r.next || len(e.Findings) != len(checks) {
		r.t.Fatalf("asked for %v: %+v", checks, e)
	}
	return e.Findings
}

// Each check fails for its reason, which it names, and passes once that is mended.
func TestChecks(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} { // other users must get there
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put := func(name, text string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	good := put("good", "#!/bin/sh\n", 0o755)
	plain := put("plain", "#!/bin/sh\n", 0o644)
	mine := put("mine", "#!/bin/sh\n", 0o700)
	odd := put("odd", "#! /nowhere/python -u\n", 0o755)
	root := os.Geteuid() == 0
	for _, row := range []struct {
		check, toml string // exec = PROGRAM unless it says more
		says        string // "" when it must pass
		root        bool
	}{
		{core.CheckBinary, good, "", false},
		{core.CheckBinary, dir + "/none", dir + "/none: no such file", false},
		{core.CheckBinary, dir, "is no file", false},
		{core.CheckBinary, "sh", "", false},
		{core.CheckBinary, "no-such-program-here", "is in none of", false},
		{core.CheckExecutable, good, "", false},
		{core.CheckExecutable, plain, "not executable", false},
		{core.CheckExecutable, odd, "/nowhere/python", false},
		{core.CheckExecutable, mine + "\nuser = { user = 'nobody' }", "not executable for user nobody", true},
		{core.CheckExecutable, good + "\nuser = { user = 'nobody' }", "", true},
		{core.CheckIdentity, good, "", false},
		{core.CheckIdentity, good + "\nuser = { user = 'no-such-user' }", "no-such-user", false},
		{core.CheckIdentity, good + "\n[probe]\nassert-uid = " + fmt.Sprint(os.Geteuid()), "", false},
		{core.CheckIdentity, good + "\n[probe]\nassert-uid = 4242", "not 4242", false},
		{core.CheckMemory, good, "", false},
		{core.CheckMemory, good + "\n[probe]\nmin-available-memory = '1P'", "needed", false},
		{core.CheckMemory, good + "\n[probe]\nmin-available-memory = '0.1%'", "", false},
		{core.CheckRestartMemory, good + "\n[restart]\nmin-available-memory = '1P'", "needed", false},
		{core.CheckRestartMemory, good + "\n[restart]\nmin-available-memory = '1M'", "", false},
		{core.CheckMounts, good + "\n[dependencies]\nrequires-mounts-for = ['" + dir + "']", "", false},
		{core.CheckMounts, good + "\n[dependencies]\nrequires-mounts-for = ['" + dir + "/away']", dir + "/away", false},
		{core.CheckMounts, good + "\nworking-directory = '" + dir + "/wd'", dir + "/wd", false},
		{core.CheckLimits, good + "\n[limits]\nnofile = 100", "", false},
		{core.CheckLimits, good + "\n[limits]\nnofile = 4000000000", "fs.nr_open", true},
	} {
		if row.root && !root {
			continue
		}
		program, rest, _ := strings.Cut(row.toml, "\n")
		u := nativeService(t, "a.service", "[service]\nexec = ['"+program+"']\n"+rest+"\n")
		f := r.find(u, row.check)[0]
		if f.Name != row.check || f.Text == "" || f.OK != (row.says == "") || !strings.Contains(f.Text, row.says) {
			t.Errorf("%s of %q: %+v, want %q", row.check, row.toml, f, row.says)
		}
	}
}

// A program on a file system that is mounted noexec cannot be executed.
func TestCheckNoexec(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounts need root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOEXEC, "size=64k"); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	p := filepath.Join(dir, "x")
	if err := os.WriteFile(p, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	u := nativeService(t, "a.service", "[service]\nexec = ['"+p+"']\n")
	if f := r.find(u, core.CheckBinary, core.CheckExecutable); !f[0].OK || f[1].OK || !strings.Contains(f[1].Text, "noexec") {
		t.Errorf("%+v", f)
	}
}

// The check sees a program where the service will see it.
func TestCheckSeesBindMountsAndRoots(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	if err := os.MkdirAll(dir+"/opt", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/opt/tool", nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, u := range []*unit.Unit{
		service(t, "a.service", "ExecStart=/opt/tool", "RootDirectory="+dir),
		service(t, "a.service", "ExecStart=/far/away/tool", "BindPaths="+dir+"/opt:/far/away"),
		service(t, "a.service", "ExecStart=-/opt/nothing"), // whose failure is ignored
	} {
		if f := r.find(u, core.CheckBinary); !f[0].OK {
			t.Errorf("%v: %+v", unit.ExecStart.Of(u), f)
		}
	}
	u := service(t, "a.service", "ExecStart=/far/away/none", "BindPaths="+dir+"/opt:/far/away")
	if f := r.find(u, core.CheckBinary); f[0].OK {
		t.Errorf("%+v", f)
	}
}
