package world

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/unit"
)

func cgroupUnit(t *testing.T, lines ...string) *unit.Unit {
	t.Helper()
	return service(t, "x.service", append([]string{"ExecStart=/bin/true"}, lines...)...)
}

// DefaultTasksMax= is 15 % of what there can be, for all but slices, and gives way to what
// the unit says (systemd-system.conf(5)). Without the controller nothing is missed.
func TestTasksLimitOfEveryUnit(t *testing.T) {
	w := &World{}
	w.cg.available = []string{"memory", "pids"}
	total, err := totalTasks()
	if err != nil {
		t.Fatal(err)
	}
	part := "pids.max=" + strconv.FormatUint(total*15/100, 10)
	native := cgroupUnit(t)
	native.Format = unit.Native
	for name, c := range map[string]struct {
		u    *unit.Unit
		want string
	}{
		"a service":            {cgroupUnit(t), part},
		"with a number":        {cgroupUnit(t, "TasksMax=77"), "pids.max=77"},
		"with a share":         {cgroupUnit(t, "TasksMax=15%"), part},
		"that asks for no end": {cgroupUnit(t, "TasksMax=infinity"), "pids.max=max"},
		"a slice":              {service(t, "a.slice", "[Slice]\n"), ""},
		"native":               {native, ""},
	} {
		limits, err := w.limitsAt(c.u, false)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, l := range limits {
			got = append(got, l.file+"="+l.value)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %q; want %q", name, s, c.want)
		}
	}
	w.cg.available = []string{"memory"}
	if limits, err := w.limitsAt(cgroupUnit(t), false); len(limits) != 0 || err != nil {
		t.Errorf("without the controller: %v, %v", limits, err)
	}
}

// someDisk makes a node of a block device of this machine.
func someDisk(t *testing.T) string {
	t.Helper()
	disks, err := filepath.Glob("/sys/block/*/dev")
	if err != nil || len(disks) == 0 {
		t.Fatalf("this machine has no block device: %v", err)
	}
	text, err := os.ReadFile(disks[0])
	if err != nil {
		t.Fatal(err)
	}
	var major, minor uint32
	if _, err := fmt.Sscanf(string(text), "%d:%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	node := filepath.Join(t.TempDir(), "disk")
	if err := unix.Mknod(node, unix.S_IFBLK|0o600, int(unix.Mkdev(major, minor))); err != nil {
		t.Fatal(err)
	}
	return node
}

func TestChangeOfLimits(t *testing.T) {
	disk := someDisk(t)
	dev, err := blockDevice(disk)
	if err != nil {
		t.Fatal(err)
	}
	show := func(ls []limit) string {
		var out []string
		for _, l := range ls {
			out = append(out, l.file+"="+strings.ReplaceAll(strings.TrimSpace(l.value), dev, "DEV"))
		}
		return strings.Join(out, "; ")
	}
	for _, c := range []struct {
		from, to []string
		want     string
	}{
		{nil, nil, ""},
		{nil, []string{"MemoryMax=1M"}, "memory.max=1048576"},
		{[]string{"MemoryMax=1M"}, []string{"MemoryMax=2M"}, "memory.max=2097152"},
		{[]string{"MemoryMax=1M", "TasksMax=5"}, []string{"TasksMax=5"}, "memory.max=max; pids.max=5"},
		{[]string{"CPUWeight=idle"}, []string{"CPUWeight=50"}, "cpu.idle=0; cpu.weight=50"},
		{[]string{"CPUQuota=20%"}, nil, "cpu.max=max 100000"},
		{[]string{"AllowedCPUs=0"}, nil, "cpuset.cpus="},
		{[]string{"IOWeight=50"}, nil, "io.weight=default 100"},
		{[]string{"IODeviceWeight=" + disk + " 50"}, nil, "io.weight=DEV default"},
		{[]string{"IOReadBandwidthMax=" + disk + " 1M"}, []string{"IOWriteBandwidthMax=" + disk + " 1M"}, "io.max=DEV rbps=max; io.max=DEV wbps=1000000"},
	} {
		got, err := new(World).changeOf(cgroupUnit(t, c.from...), cgroupUnit(t, c.to...), true)
		if err != nil || show(got) != c.want {
			t.Errorf("changeOf(%q, %q) = %q, %v; want %q", c.from, c.to, show(got), err, c.want)
		}
	}
}

// Limits of boot and shutdown (systemd.resource-control(5), StartupCPUWeight=): they hold
// only then, and where only they are set the kernel's own value holds in between.
func TestLimitsOfTheBoot(t *testing.T) {
	show := func(ls []limit, err error) string {
		if err != nil {
			return err.Error()
		}
		var out []string
		for _, l := range ls {
			out = append(out, l.file+"="+strings.TrimSpace(l.value))
		}
		return strings.Join(out, "; ")
	}
	for _, c := range []struct {
		settings                []string
		starting, between, then string
	}{
		{[]string{"CPUWeight=50"}, "cpu.weight=50", "cpu.weight=50", "cpu.weight=50"},
		{[]string{"CPUWeight=50", "StartupCPUWeight=500"}, "cpu.weight=500", "cpu.weight=50", "cpu.weight=50"},
		{[]string{"StartupCPUWeight=idle"}, "cpu.idle=1", "", "cpu.idle=0"},
		{[]string{"StartupIOWeight=7"}, "io.weight=default 7", "", "io.weight=default 100"},
		{[]string{"StartupAllowedCPUs=0", "AllowedCPUs=1"}, "cpuset.cpus=0", "cpuset.cpus=1", "cpuset.cpus=1"},
		{[]string{"StartupAllowedMemoryNodes=0"}, "cpuset.mems=0", "", "cpuset.mems="},
		{[]string{"StartupMemoryLow=1M", "MemoryLow=2M"}, "memory.low=1048576", "memory.low=2097152", "memory.low=2097152"},
		{[]string{"StartupMemoryHigh=1M"}, "memory.high=1048576", "", "memory.high=max"},
		{[]string{"StartupMemoryMax=1M"}, "memory.max=1048576", "", "memory.max=max"},
		{[]string{"StartupMemorySwapMax=1M"}, "memory.swap.max=1048576", "", "memory.swap.max=max"},
		{[]string{"StartupMemoryZSwapMax=1M"}, "memory.zswap.max=1048576", "", "memory.zswap.max=max"},
	} {
		u := cgroupUnit(t, c.settings...)
		if got := show(limitsOf(u, true)); got != c.starting {
			t.Errorf("%q during boot: %q; want %q", c.settings, got, c.starting)
		}
		if got := show(limitsOf(u, false)); got != c.between {
			t.Errorf("%q in between: %q; want %q", c.settings, got, c.between)
		}
		if got := show(new(World).changeBetween(u, false, u, true)); got != c.then {
			t.Errorf("%q at the end of the boot: %q; want %q", c.settings, got, c.then)
		}
		if new(World).changesWithTime(u, nil) != (len(c.settings) > 1 || !strings.HasPrefix(c.settings[0], "CPUWeight")) {
			t.Errorf("%q changes with time: %v", c.settings, new(World).changesWithTime(u, nil))
		}
	}
}

// Slices say what holds below them where a unit says nothing: the nearest one counts.
func TestInheritedLimits(t *testing.T) {
	units := map[string]*unit.Unit{
		"a.slice":   service(t, "a.slice", "[Slice]\nDefaultMemoryLow=1M\nDefaultMemoryMin=3M\nDefaultStartupMemoryLow=9M"),
		"a-b.slice": service(t, "a-b.slice", "[Slice]\nDefaultMemoryLow=2M"),
	}
	w := &World{cfg: Config{UnitOf: func(n string) *unit.Unit { return units[n] }}}
	for _, c := range []struct {
		settings []string
		slice    string
		starting bool
		want     string
	}{
		{nil, "other.slice", false, "[]"},
		{nil, "a-b.slice", false, "[{memory memory.min 3145728} {memory memory.low 2097152}]"},
		{nil, "a-c.slice", false, "[{memory memory.min 3145728} {memory memory.low 1048576}]"},
		{nil, "a.slice", true, "[{memory memory.min 3145728} {memory memory.low 9437184}]"},
		{[]string{"MemoryLow=5M", "MemoryMin=0"}, "a.slice", false, "[]"},
	} {
		got, err := w.inheritedLimits(cgroupUnit(t, append(c.settings, "Slice="+c.slice)...), c.starting)
		if err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("%q in %s: %v, %v; want %s", c.settings, c.slice, got, err, c.want)
		}
	}
	// What they say for the boot ends with it, and what they say at all stays when the
	// unit's own limit is taken back.
	u := cgroupUnit(t, "Slice=a.slice")
	if !w.changesWithTime(u, w.cfg.UnitOf) || w.changesWithTime(cgroupUnit(t, "Slice=a.slice", "MemoryLow=5M"), w.cfg.UnitOf) {
		t.Error("the slice says what changes with the boot, and the unit does not follow; or follows though it says so itself")
	}
	if got, err := w.changeBetween(u, false, u, true); err != nil || fmt.Sprint(got) != "[{memory memory.min 3145728} {memory memory.low 1048576}]" {
		t.Errorf("at the end of the boot: %v, %v", got, err)
	}
	if got, err := w.changeOf(cgroupUnit(t, "Slice=a.slice", "MemoryLow=5M"), u, true); err != nil || fmt.Sprint(got) != "[{memory memory.min 3145728} {memory memory.low 1048576}]" {
		t.Errorf("without its own limit: %v, %v", got, err)
	}
	w.cg.root, w.cg.timely, w.cg.disabled = "/r", map[string]*unit.Unit{}, map[string][]string{}
	units["a.slice"] = service(t, "a.slice", "[Slice]\nDisableControllers=cpu\nStartupCPUWeight=50")
	w.slicesAgain(u, w.cfg.UnitOf) // as a new manager does
	if w.cg.timely["/r/a.slice"] == nil {
		t.Error("a slice that was there before this manager does not change with time")
	}
	for dir, want := range map[string]bool{"/r": false, "/r/a.slice": true, "/r/a.slice/x": true, "/r/a.slicex": false} {
		if w.isDisabled(dir, "cpu") != want || w.isDisabled(dir, "io") {
			t.Errorf("%s: cpu is disabled: %v; want %v", dir, !want, want)
		}
	}
}

// TestLift: every line that can be written can be taken back.
func TestLift(t *testing.T) {
	for _, l := range []limit{{"io", "io.weight", "8:0 50"}, {"io", "io.max", "8:0 rbps=5"}, {"io", "io.latency", "8:0 target=5"}} {
		back, err := lift(l)
		if err != nil || back.subject() != l.subject() || back.value == l.value {
			t.Errorf("lift(%v) = %v, %v; want another line about the same", l, back, err)
		}
	}
	if _, err := lift(limit{"io", "io.unheard-of", "1"}); err == nil {
		t.Error("lift of an unknown file gives no error")
	}
}

// TestLiveSettings: a setting that may be changed while the unit runs changes a
// control file, or is only shown.
func TestLiveSettings(t *testing.T) {
	dev := someDisk(t)
	values := map[unit.Kind]string{unit.SizeKind: "4242", unit.WordsKind: "0", unit.PercentKind: "20%", unit.DurationKind: "7ms", unit.LinesKind: dev + " 42"}
	special := map[string]string{"cgroup.cpu-max": "1000 100000", "cgroup.io-device-latency-target": dev + " 42ms",
		"cgroup.cpu-quota-period": "50ms", "cgroup.memory-zswap-writeback": "no", "cgroup.cpu-weight": "7", "cgroup.io-weight": "7",
		"cgroup.startup-cpu-weight": "7", "cgroup.startup-io-weight": "7"}
	for _, s := range unit.Table() {
		if !s.Live() || s.In != unit.InCgroup || s.Name == "" {
			continue
		}
		v, ok := special[s.Native]
		if !ok {
			v, ok = values[s.Kind]
		}
		if !ok {
			t.Errorf("%s: this test knows no value of its kind; if it is no control file, it is not live", s.Native)
			continue
		}
		base := []string{}
		if s.Native == "cgroup.cpu-quota-period" {
			base = append(base, "CPUQuota=20%")
		}
		between := !strings.HasPrefix(s.Name, "Startup")
		got, err := new(World).changeOf(cgroupUnit(t, base...), cgroupUnit(t, append(slices.Clone(base), s.Name+"="+v)...), between)
		was, _ := limitsOf(cgroupUnit(t, base...), !between)
		if err != nil || slices.Equal(got, was) {
			t.Errorf("%s=%s changes no control file (%v, %v)", s.Name, v, got, err)
		}
	}
}
