//go:build vm

package world

// Limits on resources, proved from inside. These tests need what a guest of
// desktop-tests/scenarios has: all controllers of cgroup v2, two processors, swap
// space, and the empty disk /dev/vdc.

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dynamod/internal/sys/cgroup"
	"dynamod/internal/testkit"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

const (
	scratch = "/dev/vdc"
	// itsGroup sets $g to the directory of the script's own group.
	itsGroup = "g=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup); "
)

// fill is a command that takes so much memory, and touches it.
func fill(mib int) string {
	// No zeroes: the kernel can do without those.
	return fmt.Sprintf(`perl -e 'my $x = "x" x ($ARGV[0] << 20)' %d`, mib)
}

// work is more of a processor than a fifth of it gives at once.
const work = `perl -e 'my $i = 0; $i++ while $i < 500000'`

// limited is a rig with all controllers, and with these slices.
func limited(t *testing.T, slices ...*unit.Unit) *rig {
	t.Helper()
	needRoot(t)
	dir := cgroupDir(t)
	if dir == "" {
		t.Fatal("there is no cgroup2 directory for the test")
	}
	have, err := cgroup.Controllers(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"cpu", "cpuset", "io", "memory", "pids"} {
		if !strings.Contains(" "+strings.Join(have, " ")+" ", " "+c+" ") {
			t.Fatalf("the controller %s is missing: %q", c, have)
		}
	}
	return newRig(t, func(c *Config) {
		c.CgroupRoot = dir
		c.UnitOf = func(name string) *unit.Unit {
			for _, s := range slices {
				if s.Name == name {
					return s
				}
			}
			return nil
		}
	})
}

func slice(t *testing.T, name string, lines ...string) *unit.Unit {
	t.Helper()
	return service(t, name, "[Slice]\n"+strings.Join(lines, "\n"))
}

var limits = []attempt{
	{name: "MemoryMax", settings: []string{"MemoryMax=32M", "MemorySwapMax=0"}, denied: fill(96), works: fill(8)},
	{name: "MemoryMax, with swap", settings: []string{"MemoryMax=32M"}, denied: itsGroup + fill(56) + "; test $(cat $g/memory.swap.peak) -lt 1000000", works: fill(56)},
	{name: "MemorySwapMax", settings: []string{"MemoryMax=32M", "MemorySwapMax=4M"}, denied: fill(56), works: fill(8)},
	{name: "MemoryHigh", settings: []string{"MemoryHigh=24M"}, denied: itsGroup + fill(48) + "; grep -qx 'high 0' $g/memory.events", works: itsGroup + fill(48) + " && ! grep -qx 'high 0' $g/memory.events && test $(cat $g/memory.swap.peak) -gt 1000000"},
	{name: "MemoryMax of a share", settings: []string{"MemoryMax=3%", "MemorySwapMax=0"}, denied: fill(96), works: fill(8)},
	{name: "MemoryMin", settings: []string{"MemoryMin=4M"}, denied: itsGroup + "grep -qx 0 $g/memory.min", works: itsGroup + "grep -qx 4194304 $g/memory.min"},
	{name: "MemoryLow", settings: []string{"MemoryLow=4M"}, denied: itsGroup + "grep -qx 0 $g/memory.low", works: itsGroup + "grep -qx 4194304 $g/memory.low"},
	{name: "MemoryZSwapMax", settings: []string{"MemoryZSwapMax=4M"}, denied: itsGroup + "grep -qx max $g/memory.zswap.max", works: itsGroup + "grep -qx 4194304 $g/memory.zswap.max"},
	{name: "MemoryZSwapWriteback", settings: []string{"MemoryZSwapWriteback=no"}, denied: itsGroup + "grep -qx 1 $g/memory.zswap.writeback", works: itsGroup + "grep -qx 0 $g/memory.zswap.writeback"},
	{name: "TasksMax", settings: []string{"TasksMax=6"}, denied: forks(8), works: forks(3)},
	{name: "CPUQuota", settings: []string{"CPUQuota=20%"}, denied: itsGroup + work + "; ! grep -q '^nr_throttled [1-9]' $g/cpu.stat", works: itsGroup + work + "; grep -q '^nr_throttled [1-9]' $g/cpu.stat"},
	{name: "CPUQuota, another period", settings: []string{"CPUQuota=20%", "CPUQuotaPeriodSec=10ms"}, denied: itsGroup + work + "; ! grep -q '^nr_throttled [1-9]' $g/cpu.stat", works: itsGroup + "grep -qx '2000 10000' $g/cpu.max"},
	{name: "CPUWeight=idle", settings: []string{"CPUWeight=idle"}, denied: itsGroup + "! grep -qx 1 $g/cpu.idle", works: itsGroup + "grep -qx 1 $g/cpu.idle"},
	{name: "AllowedCPUs", settings: []string{"AllowedCPUs=1"}, denied: "taskset -pc 0 $$", works: "taskset -pc 1 $$ && grep -q '^Cpus_allowed_list:.1$' /proc/self/status"},
	{name: "AllowedMemoryNodes", settings: []string{"AllowedMemoryNodes=0"}, denied: itsGroup + "! grep -qx 0 $g/cpuset.mems", works: itsGroup + "grep -qx 0 $g/cpuset.mems && " + fill(8)},
	{name: "IOWeight", settings: []string{"IOWeight=50"}, denied: itsGroup + "! grep -qx 'default 50' $g/io.weight", works: itsGroup + "grep -qx 'default 50' $g/io.weight"},
}

// The limits of the boot are taken back at its end, from units and from slices, and come
// again with the shutdown. Controllers that a slice disables are not there below it.
func TestLimitsOfTheBootInForce(t *testing.T) {
	top := slice(t, "boot.slice", "StartupMemoryHigh=64M", "DefaultMemoryLow=1M", "DisableControllers=cpu")
	r := limited(t, top)
	u := service(t, "b.service", "ExecStart=/bin/sleep 1000", "Slice=boot.slice", "StartupMemoryMax=32M", "MemoryMax=48M", "CPUWeight=50")
	r.spawn(u)
	var dir string
	testkit.Eventually(t, "it has a group", func() bool { dir = r.CgroupOf("b.service"); return dir != "" })
	for _, c := range []struct {
		when      string
		do        func()
		max, high string
	}{
		{"boot", func() {}, "33554432", "67108864"},
		{"in between", func() { r.Perform(core.Publish{What: core.StartupFinished}) }, "50331648", "max"},
		{"shutdown", func() { r.Handled(core.ShutdownRequested{}) }, "33554432", "67108864"},
	} {
		c.do()
		var seen string
		t.Cleanup(func() {
			if t.Failed() && seen != "" {
				t.Logf("%s: memory.max and memory.high of the slice are %s", c.when, seen)
			}
		})
		testkit.Eventually(t, c.when, func() bool {
			max, err := os.ReadFile(dir + "/memory.max")
			high, herr := os.ReadFile(filepath.Dir(dir) + "/memory.high")
			seen = fmt.Sprintf("%q (%v), %q (%v)", max, err, high, herr)
			return strings.TrimSpace(string(max)) == c.max && strings.TrimSpace(string(high)) == c.high
		})
		seen = ""
	}
	if low, err := os.ReadFile(dir + "/memory.low"); err != nil || strings.TrimSpace(string(low)) != "1048576" {
		t.Errorf("memory.low is %q, %v; want that of the slice", low, err)
	}
	if _, err := os.Stat(dir + "/cpu.weight"); !os.IsNotExist(err) {
		t.Errorf("the controller that the slice disables is there: %v", err)
	}
}

// forks starts so many processes beside itself, which end with it.
func forks(n int) string {
	return fmt.Sprintf(`perl -e 'pipe(R, W); for (1..%d) { my $p = fork; exit 7 unless defined $p; if (!$p) { close W; <R>; exit } }'`, n)
}

// Each limit of a group, from inside.
func TestLimits(t *testing.T) {
	r := limited(t)
	for _, a := range limits {
		t.Run(a.name, func(t *testing.T) { prove(t, r, a, strings.NewReplacer()) })
	}
}

// The same from native files.
func TestNativeLimits(t *testing.T) {
	r := limited(t)
	u := nativeService(t, "n.service", `[service]
name = "n"
exec = ["/bin/sh", "-c", '''g=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)
for f in memory.max memory.high memory.low memory.min memory.swap.max pids.max cpu.weight cpu.max io.weight; do echo $f $(cat $g/$f); done''']
[cgroup]
memory-max = "64M"
memory-high = "48M"
memory-low = "8M"
memory-min = "4M"
memory-swap-max = "16M"
pids-max = 20
cpu-weight = 200
cpu-max = "50000 100000"
io-weight = 300
`)
	if failed, exit := r.lifeOf(r.spawn(u)); failed != nil || exit.Code != 0 {
		t.Fatalf("%+v, %+v", failed, exit)
	}
	for _, want := range []string{"memory.max 67108864", "memory.high 50331648", "memory.low 8388608", "memory.min 4194304",
		"memory.swap.max 16777216", "pids.max 20", "cpu.weight 200", "cpu.max 50000 100000", "io.weight default 300"} {
		r.waitLine("1:" + want)
	}
}

// The limits of a slice hold for all that is in it together.
func TestLimitsOfASlice(t *testing.T) {
	r := limited(t, slice(t, "tight.slice", "MemoryMax=32M", "MemorySwapMax=0", "TasksMax=6", "AllowedCPUs=1"))
	for _, a := range []attempt{
		{name: "MemoryMax", settings: []string{"Slice=tight.slice"}, denied: fill(96), works: fill(8)},
		{name: "TasksMax", settings: []string{"Slice=tight.slice"}, denied: forks(8), works: forks(3)},
		{name: "AllowedCPUs", settings: []string{"Slice=tight.slice"}, denied: "taskset -pc 0 $$", works: "taskset -pc 1 $$"},
		{name: "a deeper slice", settings: []string{"Slice=tight-deep-er.slice"}, denied: fill(96), works: fill(8)},
	} {
		t.Run(a.name, func(t *testing.T) { prove(t, r, a, strings.NewReplacer()) })
	}
}

// W54: controllers are handed down from the top before anyone enters, so
// that limits hold from a process's first moment: also where a neighbour has been
// running for long without them, and in the slices between.
func TestW54LimitsApply(t *testing.T) {
	r := limited(t, slice(t, "deep-in.slice", "CPUQuota=150%", "IOWeight=40"))
	neighbour := service(t, "neighbour.service", "Slice=deep-in-it.slice", "ExecStart=/bin/sleep infinity")
	life := r.spawn(neighbour)
	until[core.SpawnDone](r)
	r.succeeds("late.service", "set -e; "+itsGroup+`grep -qx "20000 100000" $g/cpu.max; grep -qx 1 $g/cpuset.cpus; grep -qx "default 60" $g/io.weight; grep -qx 16777216 $g/memory.max; grep -qx 9 $g/pids.max; up=$(realpath $g/../..); test $(basename $up) = deep-in.slice; grep -qx "150000 100000" $up/cpu.max; grep -qx "default 40" $up/io.weight`,
		"Slice=deep-in-it.slice", "CPUQuota=20%", "AllowedCPUs=1", "IOWeight=60", "MemoryMax=16M", "TasksMax=9")
	r.Perform(core.KillCgroup{Unit: neighbour.Name, Incarnation: life})
	if failed, exit := r.lifeIn(life, life); failed != nil || exit.Signal != 9 {
		t.Errorf("the neighbour: %+v, %+v", failed, exit)
	}
}

// What is kept for one unit is not taken for another: the memory of who has
// MemoryMin= or MemoryLow= stays when a neighbour under the same limit needs more than
// there is. Without them it goes to the swap space.
func TestProtectedMemory(t *testing.T) {
	for _, c := range []struct {
		setting string
		kept    bool
	}{{"MemoryMin=28M", true}, {"MemoryLow=28M", true}, {"MemoryMin=0", false}} {
		t.Run(c.setting, func(t *testing.T) {
			r := limited(t, slice(t, "shared.slice", "MemoryMax=48M"))
			u := service(t, "keeper.service", "Slice=shared.slice", c.setting,
				`ExecStart=/usr/bin/perl -e 'my $$x = "x" x ($$ARGV[0] << 20); $$| = 1; print "here\n"; sleep 1000 while 1' 24`)
			life := r.spawn(u)
			r.waitLine("1:here")
			// It goes through its memory again and again, while the other's lies idle.
			r.succeeds("needy.service", `perl -e 'my $x = "x" x ($ARGV[0] << 20); for my $pass (1..6) { for (my $i = 0; $i < length $x; $i += 4096) { vec($x, $i, 8) = $pass } }' 40`, "Slice=shared.slice")
			text, err := cgroup.Read(r.CgroupOf(u.Name), "memory.swap.current")
			if err != nil {
				t.Fatal(err)
			}
			var swapped int
			if _, err := fmt.Sscan(text, &swapped); err != nil {
				t.Fatal(err)
			}
			if c.kept && swapped > 1<<20 || !c.kept && swapped < 4<<20 {
				t.Errorf("%d KiB of it are in the swap space; want it kept: %v", swapped>>10, c.kept)
			}
			r.Perform(core.KillCgroup{Unit: u.Name, Incarnation: life})
			r.lifeIn(life, life)
		})
	}
}

// Two that want the same processor get it by their weights.
func TestCPUWeights(t *testing.T) {
	r := limited(t)
	used := func(u *unit.Unit) uint64 {
		n, err := cgroup.Event(r.CgroupOf(u.Name), "cpu.stat", "usage_usec")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	busy := func(name, weight string) (*unit.Unit, core.RunID) {
		u := service(t, name, "AllowedCPUs=1", "CPUWeight="+weight, `ExecStart=/bin/sh -c 'echo `+name+`; while :; do :; done'`)
		run := r.spawn(u)
		r.waitLine("1:" + name)
		return u, run
	}
	// The light one is at it before the heavy one comes: what it needs to begin takes
	// very long with a hundredth of an emulated processor.
	light, a := busy("light.service", "10")
	heavy, b := busy("heavy.service", "1000")
	lightWas, heavyWas := used(light), used(heavy)
	testkit.Eventually(t, "the heavy one has had a second", func() bool { return used(heavy)-heavyWas > 1_000_000 })
	if l, h := used(light)-lightWas, used(heavy)-heavyWas; l*5 > h {
		t.Errorf("weights 10 and 1000 got %d and %d µs", l, h)
	}
	for u, run := range map[*unit.Unit]core.RunID{light: a, heavy: b} {
		r.Perform(core.KillCgroup{Unit: u.Name, Incarnation: run})
		r.lifeIn(run, run)
	}
}

// Who may do less with a disk takes longer: each of the four limited ones is still at
// it when one that began last, and has no limit, is done.
func TestIORates(t *testing.T) {
	r := limited(t)
	write, read := "dd if=/dev/zero of="+scratch+" oflag=direct ", "dd if="+scratch+" of=/dev/null iflag=direct "
	running := map[core.RunID]string{}
	for _, c := range []struct{ setting, command string }{
		{"IOWriteBandwidthMax=" + scratch + " 500K", write + "bs=64k count=128"},
		{"IOReadBandwidthMax=" + scratch + " 500K", read + "bs=64k count=128"},
		{"IOWriteIOPSMax=" + scratch + " 8", write + "bs=4k count=128"},
		{"IOReadIOPSMax=" + scratch + " 8", read + "bs=4k count=128"},
	} {
		name, _, _ := strings.Cut(c.setting, "=")
		u := service(t, strings.ToLower(name)+".service", c.setting, "ExecStart="+c.command)
		running[r.spawn(u)] = name
	}
	for range running {
		until[core.SpawnDone](r)
	}
	free := r.spawn(service(t, "free.service", "ExecStart=/bin/sh -c '"+write+"bs=64k count=128 && "+read+"bs=64k count=128'"))
	for {
		e := until[core.Exited](r)
		if e.Run == free {
			if e.Code != 0 {
				t.Errorf("the free one: %+v", e)
			}
			break
		}
		t.Errorf("%s= was in no one's way: %+v", running[e.Run], e)
		delete(running, e.Run)
	}
	for run, name := range running {
		r.Perform(core.KillCgroup{Unit: strings.ToLower(name) + ".service", Incarnation: run})
		r.lifeIn(run, run)
	}
}

// The weight of a device is in force where the kernel weighs at all; where it does not,
// that is said, and the unit starts.
func TestIODeviceWeight(t *testing.T) {
	r := limited(t)
	weight := "IODeviceWeight=" + scratch + " 70"
	r.succeeds("unweighed.service", "true", weight)
	if said := strings.Join(r.Warnings("unweighed.service"), "\n"); !strings.Contains(said, "io.weight") {
		t.Errorf("the warnings do not name io.weight: %q", said)
	}
	dev, err := blockDevice(scratch)
	if err != nil {
		t.Fatal(err)
	}
	if err := cgroup.Write("/sys/fs/cgroup", "io.cost.qos", dev+" enable=1"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cgroup.Write("/sys/fs/cgroup", "io.cost.qos", dev+" enable=0") }()
	prove(t, r, attempt{settings: []string{weight}, denied: itsGroup + "! grep -q ' 70$' $g/io.weight", works: itsGroup + "grep -qx '" + dev + " 70' $g/io.weight"}, strings.NewReplacer())
}

// What this kernel has no file for is said, and the unit starts all the same: Debian's
// is built without io.latency.
func TestLimitThatTheKernelLacks(t *testing.T) {
	r := limited(t)
	if _, err := os.Stat("/sys/fs/cgroup/init.scope/io.latency"); err == nil {
		t.Fatal("this kernel has io.latency: find another file that it lacks")
	}
	r.succeeds("slow.service", "true", "IODeviceLatencyTargetSec="+scratch+" 25ms")
	if said := strings.Join(r.Warnings("slow.service"), "\n"); !strings.Contains(said, "io.latency") {
		t.Errorf("the warnings do not name io.latency: %q", said)
	}
}

// The kernel's kills for lack of memory are told, of whatever process of the unit, and
// before its end is.
func TestOutOfMemoryIsTold(t *testing.T) {
	r := limited(t)
	tight := []string{"MemoryMax=24M", "MemorySwapMax=0"}
	for _, c := range []struct {
		name, script string
		signal       int32
	}{
		{"the main process", "exec " + fill(96), 9},
		{"another process", fill(96) + "; exit 0", 0},
		{"a process in a group below", itsGroup + "mkdir $g/below && sh -c 'echo $$ >'$g'/below/cgroup.procs; exec " + strings.ReplaceAll(fill(96), "'", `'"'"'`) + "'; rmdir $g/below; exit 0", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := service(t, "greedy.service", append(tight, "ExecStart=/bin/sh -c '"+quoteScript(c.script)+"'")...)
			run := r.spawn(u)
			told := false
			for {
				switch e := r.event().(type) {
				case core.OOMKilled:
					told = told || e.Unit == u.Name && e.Incarnation == run
				case core.Exited:
					if e.Signal != c.signal || e.Code != 0 {
						t.Errorf("its end: %+v; want signal %d", e, c.signal)
					}
					if !told {
						t.Error("its end was told before the kill")
					}
				case core.CgroupEmpty:
					if !told {
						t.Error("nothing was told of the kill")
					}
					return
				}
			}
		})
	}
}

// A part of the tree is its user's, with the controllers that were asked for, or all.
func TestDelegation(t *testing.T) {
	r := limited(t)
	nobody := []string{"User=nobody", "Group=nogroup"}
	build := itsGroup + "mkdir $g/a $g/b && echo $$ >$g/a/cgroup.procs && echo +memory >$g/cgroup.subtree_control && echo 8388608 >$g/b/memory.max && echo $$ >$g/b/cgroup.procs"
	r.succeeds("d.service", build+" && ! echo 1 >$g/pids.max 2>/dev/null", append(nobody, "Delegate=memory pids")...)
	all := "for c in cpu cpuset io memory pids; do grep -qw $c $g/cgroup.controllers || exit 5; done"
	r.succeeds("d.service", build+" && "+all, append(nobody, "Delegate=yes")...)
	r.succeeds("d.service", itsGroup+"test $(basename $g) = inner && test -O $g && test -O $g/cgroup.procs && g=$(dirname $g); "+all+"", append(nobody, "Delegate=yes", "DelegateSubgroup=inner")...)
	if failed, exit := r.script("d.service", build, nobody...); failed != nil || exit.Code == 0 {
		t.Errorf("without Delegate=: %+v, %+v", failed, exit)
	}
}
