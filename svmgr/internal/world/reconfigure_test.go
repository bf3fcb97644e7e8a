package world

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/unit"
)

func cgroupUnit(t *testing.T, lines ...string) *unit.Unit {
	t.Helper()
	return service(t, "x.service", append([]string{"ExecStart=/bin/true"}, lines...)...)
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
		got, err := changeOf(cgroupUnit(t, c.from...), cgroupUnit(t, c.to...))
		if err != nil || show(got) != c.want {
			t.Errorf("changeOf(%q, %q) = %q, %v; want %q", c.from, c.to, show(got), err, c.want)
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
		"cgroup.cpu-quota-period": "50ms", "cgroup.memory-zswap-writeback": "no", "cgroup.cpu-weight": "7", "cgroup.io-weight": "7"}
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
		got, err := changeOf(cgroupUnit(t, base...), cgroupUnit(t, append(slices.Clone(base), s.Name+"="+v)...))
		was, _ := limitsOf(cgroupUnit(t, base...))
		if err != nil || slices.Equal(got, was) {
			t.Errorf("%s=%s changes no control file (%v, %v)", s.Name, v, got, err)
		}
	}
}
