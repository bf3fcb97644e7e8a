//go:build vm

package scenarios

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dynamod/desktop-tests/bootable"
	"dynamod/desktop-tests/debtree"
	"dynamod/desktop-tests/vm"
)

// fleetScript asks the manager, systemd or dynamod, for what BenchmarkFleet of svmgr
// asks: 500 services that sleep by one request, 20 of them again, and the end of all.
// It tells what the manager's own threads needed of the processors, in hundredths of a
// second, what its children needed before they became somebody else, and its memory.
const fleetScript = `#!/bin/bash
` + say + `
n=500
case $1 in
systemd) ctl=systemctl; systemctl is-system-running --wait >/dev/null ;;
dynamod) ctl=dynamodctl; dynamodctl start default.target >/dev/null ;;
esac
managers=
for p in /proc/[0-9]*; do case $(cat $p/comm 2>/dev/null) in systemd) test $p = /proc/1 && managers=1;; dynamod-svmgr | dynamod-init) managers+=" ${p#/proc/}";; esac; done
# Of the fields behind the name: those of proc_pid_stat(5) less 2.
ticks() { sum=0; for p in $managers; do s=$(</proc/$p/stat); f=(${s##*) }); for i in $@; do sum=$((sum + f[i])); done; done; echo $sum; }
kib() { sum=0; for p in $managers; do while read k v _; do test $k = VmRSS: && sum=$((sum + v)); done </proc/$p/status; done; echo $sum; }
measure() {
	what=$1; shift
	sleep 3 # what was before has settled
	began=${EPOCHREALTIME/./} own=$(ticks 11 12) all=$(ticks 13 14)
	"$@" >/run/bench.log 2>&1 || say "FAIL $what: $(tail -n 3 /run/bench.log | tr '\n' ' ')"
	took=$((${EPOCHREALTIME/./} - began))
	sleep 3 # and so has this
	say "value $what=$((took / 1000)) $(($(ticks 11 12) - own)) $(($(ticks 13 14) - all))"
}
asleep() { c=0; for p in /proc/[0-9]*; do { read -r name <$p/comm; } 2>/dev/null && test "$name" = sleep && c=$((c + 1)); done; echo $c; }
say "value before=$(kib) $managers"
fleet() { for ((i = 1; i <= $1; i++)); do echo fleet@$i.service; done; }
measure start $ctl start $(fleet $n)
same running "$(asleep)" $n
say "value with=$(kib)"
measure restart $ctl restart $(fleet 20)
same again "$(asleep)" $n
measure stop $ctl stop $(fleet $n)
same stopped "$(asleep)" 0
say done
case $1 in
systemd) systemctl poweroff ;;
dynamod) kill -TERM 1 ;;
esac
`

// fleetCost is what one step costs: wall time, the manager's processor time, and that
// of its children.
type fleetCost struct{ wall, own, children time.Duration }

func costOf(b *testing.B, r *vm.Results, name string) fleetCost {
	b.Helper()
	f := strings.Fields(r.Value(name))
	if len(f) != 3 {
		b.Fatalf("the machine told %q for %s", r.Value(name), name)
	}
	var n [3]int
	for i, text := range f {
		v, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		n[i] = v
	}
	return fleetCost{time.Duration(n[0]) * time.Millisecond, time.Duration(n[1]) * 10 * time.Millisecond, time.Duration(n[2]) * 10 * time.Millisecond}
}

// benched is an image whose machine runs a script with the name of its init, systemd or
// dynamod, and is told what that costs.
type benched struct {
	kernel          *vm.Kernel
	disk, initramfs string
	// counted is that of vm.Spec.
	counted bool
}

// benchImage lays the script and files over a Debian tree.
func benchImage(b *testing.B, recipe debtree.Recipe, script string, over map[string]vm.Source) benched {
	b.Helper()
	ctx := b.Context()
	k, err := vm.DebianKernel(ctx, os.Stderr)
	if err != nil {
		b.Fatal(err)
	}
	files := map[string]vm.Source{"/root/bench": {Text: script, Perm: 0o755}}
	for _, side := range inits {
		files["/etc/systemd/system/"+side+"-side.service"] = vm.Source{Text: "[Unit]\nConditionKernelCommandLine=bench=" + side + "\n[Service]\nExecStart=/root/bench " + side + "\n"}
		files["/etc/systemd/system/multi-user.target.wants/"+side+"-side.service"] = vm.Source{Link: "/etc/systemd/system/" + side + "-side.service"}
	}
	maps.Copy(files, over)
	img, err := bootable.Debian{Recipe: recipe, Files: files}.Image(ctx, os.Stderr)
	if err != nil {
		b.Fatal(err)
	}
	out := benched{kernel: k, disk: filepath.Join(b.TempDir(), "disk"), initramfs: filepath.Join(b.TempDir(), "initramfs")}
	if err := img.MakeExt4(ctx, out.disk); err != nil {
		b.Fatal(err)
	}
	if err := (bootable.Initramfs{Kernel: k, Modules: []string{"virtio_blk", "ext4"}}).Write(ctx, out.initramfs, os.Stderr); err != nil {
		b.Fatal(err)
	}
	return out
}

// start begins a machine; more is added to its kernel command line.
func (i benched) start(b *testing.B, side string, more ...string) *vm.Machine {
	b.Helper()
	spec := vm.Spec{Name: "bench/" + side, Kernel: i.kernel, Initramfs: i.initramfs, Memory: 1024, Limit: 40 * time.Minute, Progress: os.Stderr, Disks: []vm.Drive{{File: i.disk}},
		Append: append([]string{"root=LABEL=" + bootable.DebianLabel, "rootfstype=ext4", "rw", "init=" + bootable.InitPrograms[side], "bench=" + side}, more...)}
	if i.counted {
		spec.Counted, spec.Accel = true, vm.TCG
	}
	m, err := vm.Start(b.Context(), spec)
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// boot runs the script under each of these in turn.
func (i benched) boot(b *testing.B, sides ...string) map[string]*vm.Results {
	b.Helper()
	out := map[string]*vm.Results{}
	for _, side := range sides {
		m := i.start(b, side)
		err := m.Finish()
		m.Close()
		if err != nil {
			b.Fatal(err)
		}
		out[side] = m.Results
	}
	return out
}

// BenchmarkAgainstSystemd boots one image of Debian 13 with systemd and with dynamod
// and compares what 500 services cost. Ours (init and service manager together) must
// need less than a third of the processor time of systemd for each step.
func BenchmarkAgainstSystemd(b *testing.B) {
	image := benchImage(b, debtree.Minimal, fleetScript, map[string]vm.Source{
		"/etc/systemd/system/fleet@.service": {Text: "[Service]\nExecStart=/bin/sleep infinity\n"}})
	steps := []string{"start", "restart", "stop"}
	for b.Loop() {
		costs, memory := map[string]fleetCost{}, map[string]string{}
		for side, r := range image.boot(b, inits...) {
			for _, s := range steps {
				costs[side+s] = costOf(b, r, s)
			}
			memory[side] = r.Value("before") + " / " + r.Value("with")
		}
		var table strings.Builder
		fmt.Fprintf(&table, "%-10s %10s %10s %10s   %10s %10s %10s  %s\n", "500 sleeps", "systemd: s", "CPU s", "children", "dynamod: s", "CPU s", "children", "our share of the CPU")
		for _, s := range steps {
			theirs, ours := costs["systemd"+s], costs["dynamod"+s]
			share := ours.own.Seconds() / max(theirs.own.Seconds(), 0.01)
			fmt.Fprintf(&table, "%-10s %10.2f %10.2f %10.2f   %10.2f %10.2f %10.2f  %.2f\n", s, theirs.wall.Seconds(), theirs.own.Seconds(), theirs.children.Seconds(),
				ours.wall.Seconds(), ours.own.Seconds(), ours.children.Seconds(), share)
			b.ReportMetric(share, s+"-share")
			if share >= 1.0/3 {
				b.Errorf("%s needs %.2f of systemd's processor time; a third is the limit", s, share)
			}
		}
		fmt.Fprintf(&table, "KiB resident before (managers) / with 500: systemd %s, dynamod %s\n", memory["systemd"], memory["dynamod"])
		b.Log("\n" + table.String())
	}
}
