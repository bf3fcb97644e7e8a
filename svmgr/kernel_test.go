package main

import (
	"slices"
	"testing"

	"dynamod/internal/graph"
	"dynamod/internal/load"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// What a killed manager knew of the kernel and is not there any more.
func TestGoneMeanwhile(t *testing.T) {
	set, _ := unit.NewSet(nil, nil)
	g, _ := graph.Build(set, graph.Config{})
	c := core.New(set, g, core.Config{})
	for _, n := range []string{"a.mount", "b.mount"} {
		c.Step(core.Time{}, core.MountChanged{Unit: n, Mounted: true, What: "x", Where: "/" + n[:1]}, nil)
	}
	c.Step(core.Time{}, core.MountChanged{Unit: "dev-s.swap", Mounted: true, What: "/dev/s"}, nil)
	c.Step(core.Time{}, core.DeviceAppeared{Unit: "dev-d.device"}, nil)
	gone, devices := goneMeanwhile(c.View(), []string{"a.mount"})
	want := []core.Event{core.MountChanged{Unit: "b.mount"}, core.MountChanged{Unit: "dev-s.swap"}}
	if !slices.Equal(gone, want) || !slices.Equal(devices, []string{"dev-d.device"}) {
		t.Errorf("gone %v, devices %v", gone, devices)
	}
}

func TestSwitchedOff(t *testing.T) {
	for line, want := range map[string]bool{"": false, "quiet fstab=no": true, "fstab=yes": false, "fstab=0 fstab=1": false, "xfstab=no": false} {
		if got := switchedOff(line, "fstab"); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}

// A generator of Debian's name takes the place of the loader's own work; without it the
// loader does it.
func TestWhoMakesFstab(t *testing.T) {
	c := &configuration{cfg: load.Config{Fstab: "/etc/fstab", Consoles: load.KernelConsoles}}
	c.useGenerators(settings{mode: standalone}, "", nil, nil)
	if c.generated != nil || c.config().Fstab == "" {
		t.Error("a standalone manager runs generators")
	}
}
