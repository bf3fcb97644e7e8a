package main

import (
	"os"
	"path/filepath"
	"testing"

	"dynamod/internal/ipc"
)

// The moments of the boot are those of the first manager, whoever takes over; a reload
// adds its own, and jobs go on being counted. A file that is no moments costs only them.
func TestMomentsOfTheBoot(t *testing.T) {
	r := begin(t, map[string]string{"one.toml": "[service]\nname = \"one\"\nexec = [\"/bin/sleep\", \"1000\"]\n"})
	c := r.client()
	boot := func() ipc.BootResult {
		t.Helper()
		res, err := call[ipc.BootResult](t, c, ipc.VerbBoot, ipc.ListArgs{})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	first := boot()
	if m := first.Moments; m.Began == 0 || m.GeneratorsStart < m.Began || m.GeneratorsFinish < m.GeneratorsStart || m.LoadStart < m.GeneratorsFinish ||
		m.LoadFinish < m.LoadStart || m.Reload != 0 || first.Manager != m.Began {
		t.Errorf("out of order: %+v, the manager began at %d", m, first.Manager)
	}
	if _, err := call[ipc.ReloadResult](t, c, ipc.VerbDaemonReload, ipc.ReloadArgs{}); err != nil {
		t.Fatal(err)
	}
	want := first.Moments
	want.Reload = boot().Moments.Reload
	if want.Reload < want.LoadFinish {
		t.Errorf("the reload was at %d, the boot's load until %d", want.Reload, want.LoadFinish)
	}
	jobs := boot().JobsEver
	for _, next := range []func(){
		func() { r.kill(); r.start(); c = r.client() },
		func() { c = r.reexec(c) },
	} {
		next()
		if now := boot(); now.Moments != want || now.Manager != first.Manager || now.JobsEver < jobs || jobs == 0 || now.JobsFailed != first.JobsFailed {
			t.Errorf("the next manager has %+v and %d jobs, the one before %+v and %d", now.Moments, now.JobsEver, want, jobs)
		}
	}
	if err := os.WriteFile(filepath.Join(r.run, "moments.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	c = r.reexec(c)
	if m := boot().Moments; m.LoadStart != 0 {
		t.Errorf("from a file that is none: %+v", m)
	}
}
