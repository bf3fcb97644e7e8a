package sim

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"dynamod/internal/diag"
	"dynamod/internal/graph"
	"dynamod/internal/load"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
	"dynamod/svmgr/internal/core"
)

var updateStock = flag.Bool("update", false, "write the golden files of the stock boots")

// stockMachine is a machine that boots with the stock services only.
type stockMachine struct {
	fstab    string
	consoles string
	// installed are the programs of conditions; a machine of BusyBox has few.
	installed []string
	// exit are the exit codes of units that do not end with 0; noMount are
	// mounts that the kernel refuses; absent are devices that never come.
	exit    map[string]int32
	noMount map[string]bool
	absent  map[string]bool
}

var (
	busyboxOnly = []string{"/sbin/mdev", "/sbin/syslogd", "/sbin/klogd", "/sbin/blkid",
		"/usr/lib/dynamod/dynamod-logind", "/usr/lib/dynamod/dynamod-sd1bridge", "/usr/lib/dynamod/dynamod-hostnamed"}
	withUdev = []string{"/sbin/mdev", "/sbin/blkid", "/sbin/udevd", "/sbin/udevadm", "/usr/bin/udevadm", "/usr/sbin/sshd", "/usr/bin/dbus-daemon",
		"/usr/lib/dynamod/dynamod-logd", "/usr/lib/dynamod/dynamod-logind", "/usr/lib/dynamod/dynamod-sd1bridge", "/usr/lib/dynamod/dynamod-hostnamed"}
)

const stockFstab = "/dev/vda1 / ext4 rw,noatime 0 1\n/dev/vda2 /boot ext2 ro 0 2\ntmpfs /scratch tmpfs size=1m 0 0\n" +
	"/dev/vdb1 /data ext4 nofail 0 2\n/dev/vdc none swap sw 0 0\n"

// stockBoot is a boot of such a machine: a queue of answers and what was seen.
type stockBoot struct {
	t       *testing.T
	m       stockMachine
	c       *core.Core
	now     core.Time
	next    []core.Event
	story   []string
	spawned map[string]int
	main    map[string]core.RunID
	group   map[string]core.RunID
	urgent  []string
}

func bootStock(t *testing.T, m stockMachine) *stockBoot {
	t.Helper()
	b := newStockBoot(t, m)
	b.tell(core.Request{ID: 1, Verb: core.VerbStart, Unit: "default.target", Source: core.SourceBoot})
	b.pass(2 * time.Minute)
	return b
}

func newStockBoot(t *testing.T, m stockMachine) *stockBoot {
	t.Helper()
	tree := fstest.MapFS{"etc/fstab": {Data: []byte(m.fstab)}, "sys/class/tty/console/active": {Data: []byte(m.consoles)}}
	const from = "../../../config/stock"
	err := filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		rel, _ := filepath.Rel(from, p)
		tree["usr/lib/dynamod/stock/"+filepath.ToSlash(rel)] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	set, ds := load.Load(load.Config{FS: tree, Fstab: "/etc/fstab", Consoles: load.KernelConsoles})
	g, more := graph.Build(set, graph.Config{Mode: graph.System})
	for _, d := range append(ds, more...) {
		if d.Severity != diag.Note {
			t.Errorf("the stock services: %s", d)
		}
	}
	b := &stockBoot{t: t, m: m, spawned: map[string]int{}, main: map[string]core.RunID{}, group: map[string]core.RunID{},
		now: core.Time{Mono: bootedAt, Wall: wallStart}}
	cfg := core.Config{Mounted: []string{"-.mount"}}
	for _, u := range set.Units {
		what := unit.What.Of(u)
		if name, err := unitname.FromPath(what, unitname.Device); err == nil && strings.HasPrefix(what, "/dev/") && !m.absent[name] {
			cfg.Plugged = append(cfg.Plugged, name)
		}
	}
	b.c = core.New(set, g, cfg)
	return b
}

func (b *stockBoot) tell(ev core.Event) {
	b.next = append(b.next, ev)
	for n := 0; len(b.next) > 0; n++ {
		if n > 100000 {
			b.t.Fatal("the boot does not come to rest")
		}
		ev := b.next[0]
		b.next = b.next[1:]
		for _, a := range b.c.Step(b.now, ev, nil) {
			b.perform(a)
		}
		if err := b.c.CheckInvariants(); err != nil {
			b.t.Fatalf("after %T: %v", ev, err)
		}
	}
}

// pass lets time go by.
func (b *stockBoot) pass(d time.Duration) {
	until := b.now.Mono + d
	for {
		at, ok := b.c.Deadline()
		if !ok || at > until {
			break
		}
		b.now.Wall += int64(max(at, b.now.Mono) - b.now.Mono)
		b.now.Mono = max(at, b.now.Mono)
		b.tell(core.Tick{})
	}
	b.now.Wall += int64(until - b.now.Mono)
	b.now.Mono = until
}

func (b *stockBoot) perform(a core.Action) {
	switch a := a.(type) {
	case core.Spawn:
		b.spawn(a)
	case core.Signal, core.KillCgroup:
		name, inc, sig := "", core.RunID(0), int32(9)
		if s, ok := a.(core.Signal); ok {
			name, inc, sig = s.Unit, s.Incarnation, s.Signal
		} else {
			k := a.(core.KillCgroup)
			name, inc = k.Unit, k.Incarnation
		}
		if run := b.main[name]; run != 0 && b.group[name] == inc {
			delete(b.main, name)
			b.next = append(b.next, core.Exited{Run: run, Signal: sig}, core.CgroupEmpty{Unit: name, Incarnation: inc})
		}
	case core.Probe:
		held := make([]bool, len(a.Conditions))
		for i, c := range a.Conditions {
			held[i] = b.holds(c)
		}
		b.next = append(b.next, core.ProbeResult{Run: a.Run, OK: true, Held: held})
	case core.Publish:
		if a.What == core.UnitChanged && a.To != core.Starting && a.From != a.To {
			b.story = append(b.story, fmt.Sprintf("%s %s", a.Unit, a.To))
		}
	case core.Emergency:
		b.urgent = append(b.urgent, a.Unit+" "+a.Action)
		b.story = append(b.story, "EMERGENCY "+a.Unit+" "+a.Action)
	}
}

// holds is the fact behind a condition on this machine.
func (b *stockBoot) holds(c unit.Condition) bool {
	switch c.Check {
	case "FileIsExecutable":
		return slices.Contains(b.m.installed, c.Arg)
	case "Virtualization":
		return c.Arg == "vm"
	case "PathExists", "PathIsReadWrite", "Capability":
		return true
	}
	b.t.Errorf("a stock service has the condition %s=%s, about which this machine knows nothing", c.Check, c.Arg)
	return false
}

func (b *stockBoot) spawn(a core.Spawn) {
	name := a.Unit.Name
	b.spawned[name]++
	if a.Stage == core.StageStart || a.Stage == core.StageMount || a.Stage == core.StageSwapOn {
		b.story = append(b.story, name+" "+a.Stage.String())
	}
	b.next = append(b.next, core.SpawnDone{Run: a.Run})
	end := func(code int32) {
		b.next = append(b.next, core.Exited{Run: a.Run, Code: code}, core.CgroupEmpty{Unit: name, Incarnation: a.Incarnation})
	}
	switch {
	case a.Stage == core.StageMount || a.Stage == core.StageSwapOn:
		if b.m.noMount[name] {
			end(32)
			return
		}
		b.next = append(b.next, core.MountChanged{Unit: name, Mounted: true})
		end(0)
	case a.Stage == core.StageUnmount || a.Stage == core.StageSwapOff:
		b.next = append(b.next, core.MountChanged{Unit: name})
		end(0)
	case a.Role != core.RoleMain || unit.ServiceType.Of(a.Unit) == "oneshot":
		end(b.m.exit[name])
	default:
		b.main[name], b.group[name] = a.Run, a.Incarnation
		if unit.ReadinessType.Of(a.Unit) == "notify" {
			b.next = append(b.next, core.Notified{Unit: name, Incarnation: a.Incarnation, Run: a.Run, Notification: core.Notification{Ready: true}})
		}
	}
}

func (b *stockBoot) state(name string) string {
	u, ok := b.c.View().Unit(name)
	if !ok {
		return "unknown"
	}
	return u.State.String()
}

// before checks that the steps come in this order in the story.
func (b *stockBoot) before(steps ...string) {
	b.t.Helper()
	last := -1
	for _, s := range steps {
		i := slices.Index(b.story, s)
		switch {
		case i < 0:
			b.t.Errorf("%q did not happen", s)
		case i < last:
			b.t.Errorf("%q came too early: before %q", s, steps[slices.Index(steps, s)-1])
		}
		last = max(last, i)
	}
}

func (b *stockBoot) golden(name string) {
	b.t.Helper()
	file := "testdata/stock/" + name + ".txt"
	got := strings.Join(b.story, "\n") + "\n"
	if *updateStock {
		if err := os.MkdirAll("testdata/stock", 0o755); err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			b.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		b.t.Fatal(err)
	}
	if got != string(want) {
		b.t.Errorf("the boot is another one than in %s (-update writes it):\n%s", file, got)
	}
}

func TestStockBootOfBusyBox(t *testing.T) {
	b := bootStock(t, stockMachine{fstab: stockFstab, consoles: "tty0 ttyS0", installed: busyboxOnly})
	b.before("fsck.service start", "fsck.service completed", "remount-root-rw.service start", "remount-root-rw.service completed",
		"modules-load.service start", "mdev-coldplug.service start", "disk-links.service start", "local-fs-pre.target active",
		"fsck@dev-vda2.service start", "boot.mount mount", "boot.mount active", "local-fs.target active",
		"fstab-mount.service completed", "bootmisc.service start", "syslog.service start", "getty@ttyS0.service start")
	for _, u := range []string{"multi-user.target", "scratch.mount", "data.mount", "dev-vdc.swap", "mdev.service", "syslog.service", "klogd.service",
		"getty@tty1.service", "getty@ttyS0.service"} {
		if s := b.state(u); s != "active" {
			t.Errorf("%s is %s", u, s)
		}
	}
	for _, u := range []string{"network.service", "sysctl.service", "machine-id.service", "hostname.service", "random-seed.service"} {
		if s := b.state(u); s != "completed" {
			t.Errorf("%s is %s", u, s)
		}
	}
	for _, u := range []string{"udev.service", "dbus.service", "sshd.service", "dynamod-logd.service", "dynamod-logind.service", "tmpfiles.service"} {
		if b.spawned[u] > 0 || b.state(u) == "failed" {
			t.Errorf("%s is %s; its program, or the bus that it needs, is not installed", u, b.state(u))
		}
	}
	b.golden("busybox")
}

func TestStockBootWithUdev(t *testing.T) {
	b := bootStock(t, stockMachine{fstab: stockFstab, consoles: "tty0", installed: withUdev})
	b.before("udev.service active", "udev-coldplug.service start", "local-fs-pre.target active", "boot.mount mount",
		"dynamod-logd.service active", "dbus.service active", "dynamod-logind.service active")
	for _, u := range []string{"mdev-coldplug.service", "mdev.service", "disk-links.service", "syslog.service", "klogd.service"} {
		if b.spawned[u] > 0 {
			t.Errorf("%s runs beside udev and logd", u)
		}
	}
	b.golden("udev")
}

// What a file system check says decides about the boot.
func TestStockRootCheckFails(t *testing.T) {
	b := bootStock(t, stockMachine{fstab: stockFstab, consoles: "ttyS0", installed: busyboxOnly, exit: map[string]int32{"fsck.service": 1}})
	if !slices.Contains(b.urgent, "fsck.service emergency") {
		t.Errorf("urgent: %v; want the emergency shell", b.urgent)
	}
	for _, u := range []string{"remount-root-rw.service", "machine-id.service"} {
		if b.spawned[u] > 0 {
			t.Errorf("%s ran on a broken root file system", u)
		}
	}
	if b.spawned["fsck.service"] != 1 {
		t.Errorf("fsck ran %d times", b.spawned["fsck.service"])
	}
	b.golden("fsck-fails")
}

func TestStockMountFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		m      stockMachine
		urgent bool
		mount  string
	}{
		{"required", stockMachine{noMount: map[string]bool{"boot.mount": true}}, true, "boot.mount"},
		{"nofail", stockMachine{noMount: map[string]bool{"data.mount": true}}, false, "data.mount"},
		{"the check before a required one", stockMachine{exit: map[string]int32{"fsck@dev-vda2.service": 1}}, true, "boot.mount"},
		{"the check before a nofail one", stockMachine{exit: map[string]int32{"fsck@dev-vdb1.service": 1}}, false, "data.mount"},
		{"a device that does not come", stockMachine{absent: map[string]bool{"dev-vda2.device": true}}, true, "boot.mount"},
		{"a nofail one that does not come", stockMachine{absent: map[string]bool{"dev-vdb1.device": true}}, false, "data.mount"},
		{"swap", stockMachine{noMount: map[string]bool{"dev-vdc.swap": true}}, false, "dev-vdc.swap"},
	} {
		c.m.fstab, c.m.consoles, c.m.installed = stockFstab, "ttyS0", busyboxOnly
		b := bootStock(t, c.m)
		if got := slices.Contains(b.urgent, "local-fs.target emergency"); got != c.urgent || !got && len(b.urgent) > 0 {
			t.Errorf("%s: urgent %v", c.name, b.urgent)
		}
		if s := b.state(c.mount); s == "active" {
			t.Errorf("%s: %s is %s", c.name, c.mount, s)
		}
		if up := b.state("getty@ttyS0.service") == "active"; !c.urgent && !up {
			t.Errorf("%s: no login prompt, though the boot goes on (%s)", c.name, b.state("getty@ttyS0.service"))
		}
	}
}

// The steps that others only want may fail: the machine comes up.
func TestStockStepsMayFail(t *testing.T) {
	for _, u := range []string{"modules-load", "sysctl", "hostname", "network", "machine-id", "random-seed", "bootmisc", "disk-links", "mdev-coldplug"} {
		b := bootStock(t, stockMachine{fstab: stockFstab, consoles: "ttyS0", installed: busyboxOnly, exit: map[string]int32{u + ".service": 1}})
		if s := b.state("getty@ttyS0.service"); s != "active" || len(b.urgent) > 0 {
			t.Errorf("%s fails: getty is %s, urgent %v", u, s, b.urgent)
		}
		if n := b.spawned[u+".service"]; n != 1 {
			t.Errorf("%s fails and is run %d times", u, n)
		}
	}
}

// Whatever crashes on a running machine, alone or again and again: no oneshot of
// early boot runs a second time, nothing is unmounted, mounted or checked.
func TestStockCrashesNeverCheckOrMount(t *testing.T) {
	for _, installed := range [][]string{busyboxOnly, withUdev} {
		probe := bootStock(t, stockMachine{fstab: stockFstab, consoles: "tty0 ttyS0", installed: installed})
		daemons := sortedKeys(probe.main)
		if len(daemons) < 5 {
			t.Fatalf("only %v run", daemons)
		}
		for _, times := range []int{1, 40} {
			for _, victim := range daemons {
				b := bootStock(t, stockMachine{fstab: stockFstab, consoles: "tty0 ttyS0", installed: installed})
				once := map[string]int{}
				for u, n := range b.spawned {
					if b.main[u] == 0 {
						once[u] = n
					}
				}
				for range times {
					if run := b.main[victim]; run != 0 {
						delete(b.main, victim)
						b.tell(core.Exited{Run: run, Signal: 11})
						b.tell(core.CgroupEmpty{Unit: victim, Incarnation: b.group[victim]})
					}
					b.pass(3 * time.Second)
				}
				b.pass(5 * time.Minute)
				for u, n := range once {
					if b.spawned[u] != n {
						t.Errorf("%s crashed %d times: %s ran again", victim, times, u)
					}
				}
				for _, u := range []string{"boot.mount", "scratch.mount", "fsck.service", "remount-root-rw.service", "fstab-mount.service", "local-fs.target"} {
					if s := b.state(u); s != "active" && s != "completed" {
						t.Errorf("%s crashed %d times: %s is %s", victim, times, u, s)
					}
				}
				if len(b.urgent) > 0 {
					t.Errorf("%s crashed %d times: %v", victim, times, b.urgent)
				}
				if b.state(victim) != "active" && times == 1 {
					t.Errorf("%s did not come back: %s", victim, b.state(victim))
				}
			}
		}
	}
}
