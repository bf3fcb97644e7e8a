package api

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"unicode/utf16"

	"dynamod/internal/ipc"
	"dynamod/internal/sys/efivar"
	"dynamod/internal/testkit"
)

// A boot loader says when it and the kernel began; what is no number says nothing.
func TestBeforeKernel(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "sys/firmware/efi/efivars")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	set := func(name, text string) {
		data := []byte{6, 0, 0, 0}
		for _, u := range append(utf16.Encode([]rune(text)), 0) {
			data = binary.LittleEndian.AppendUint16(data, u)
		}
		if err := os.WriteFile(filepath.Join(dir, name+"-"+efivar.Loader), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		loader, kernel string
		want           [2]uint64
	}{{"", "", [2]uint64{}}, {"4000000", "5500000", [2]uint64{5500000, 1500000}}, {"6", "5", [2]uint64{}}, {"x", "5", [2]uint64{}}, {"1", "-5", [2]uint64{}}, {"1", "٣", [2]uint64{}}} {
		if row.loader != "" {
			set("LoaderTimeInitUSec", row.loader)
			set("LoaderTimeExecUSec", row.kernel)
		}
		if got := beforeKernel(root); got != row.want {
			t.Errorf("%q, %q: %v, want %v", row.loader, row.kernel, got, row.want)
		}
	}
}

// The moments of the boot are in their order, and jobs are counted.
func TestManagerMoments(t *testing.T) {
	b := start(t, someUnits)
	c, err := b.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := c.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1")
	number := func(name string) uint64 {
		t.Helper()
		v, err := m.GetProperty(prefix + "Manager." + name)
		if err != nil {
			t.Fatal(err)
		}
		switch n := v.Value().(type) {
		case uint64:
			return n
		case uint32:
			return uint64(n)
		}
		t.Fatalf("%s is %v", name, v)
		return 0
	}
	last := uint64(0)
	for _, name := range []string{"UserspaceTimestamp", "GeneratorsStartTimestamp", "GeneratorsFinishTimestamp", "UnitsLoadStartTimestamp", "UnitsLoadFinishTimestamp"} {
		mono, wall := number(name+"Monotonic"), number(name)
		if mono < last || mono == 0 || wall < mono {
			t.Errorf("%s is %d, %d on the clock, after %d", name, mono, wall, last)
		}
		last = mono
	}
	for _, name := range []string{"UnitsLoadTimestamp", "ShutdownStartTimestamp"} {
		if mono, wall := number(name+"Monotonic"), number(name); mono != 0 || wall != 0 {
			t.Errorf("%s is %d, %d", name, mono, wall)
		}
	}
	ctx := context.Background()
	jobs, failed := number("NInstalledJobs"), number("NFailedJobs")
	if err := m.CallWithContext(ctx, prefix+"Manager.Reload", 0).Err; err != nil {
		t.Fatal(err)
	}
	if mono := number("UnitsLoadTimestampMonotonic"); mono < last {
		t.Errorf("after a reload UnitsLoadTimestamp is %d, that of the boot was %d", mono, last)
	}
	if err := m.Call(prefix+"Manager.StartUnit", 0, "bad.service", "replace").Err; err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the failed job is counted", func() bool { return number("NFailedJobs") == failed+1 })
	if now := number("NInstalledJobs"); now <= jobs {
		t.Errorf("%d jobs, before one more %d", now, jobs)
	}
}

// systemd-analyze tells how long the kernel took if the manager could have loaded a
// security policy, which one of a user or in a container could not.
func TestSecurityTimestamp(t *testing.T) {
	machine, container := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(container, "run/systemd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(container, "run/systemd/container"), []byte("docker\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		opts Options
		want uint64
	}{{Options{Root: machine}, 4000}, {Options{Root: container}, 0}, {Options{Root: machine, User: true}, 0}} {
		o := &managerObject{s: &Server{opts: row.opts}, course: &ipc.BootResult{Manager: 4000}, born: 1}
		for _, name := range []string{"SecurityStartTimestampMonotonic", "SecurityFinishTimestampMonotonic"} {
			if got := bootProperties[name](o); got != row.want {
				t.Errorf("%+v: %s is %v, want %d", row.opts, name, got, row.want)
			}
		}
	}
}

// On a system where /lib is /usr/lib the directory of unit files is named once.
func TestUnitPathNamesNoLink(t *testing.T) {
	root := t.TempDir()
	s := &Server{opts: Options{Root: root}}
	has := func() bool {
		v, err := managerProperties["UnitPath"](s)
		if err != nil || !slices.Contains(v.([]string), "/usr/lib/systemd/system") {
			t.Fatal(v, err)
		}
		return slices.Contains(v.([]string), "/lib/systemd/system")
	}
	if !has() {
		t.Error("without a link it is not there")
	}
	if err := os.Symlink("usr/lib", filepath.Join(root, "lib")); err != nil {
		t.Fatal(err)
	}
	if has() {
		t.Error("with a link it is there")
	}
}
