//go:build vm

package scenarios

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dynamod/desktop-tests/bootable"
	"dynamod/desktop-tests/debtree"
	"dynamod/desktop-tests/vm"
	"dynamod/desktop-tests/vm/vmtest"
)

// say is the shell's end of the results.
const say = `say() { echo "$*" >/dev/vport0p1; }
check() { n=$1; shift; if out=$("$@" 2>&1); then say "ok $n"; else say "FAIL $n: $* gave $? $out"; fi; }
same() { if [ "$2" = "$3" ]; then say "ok $1"; else say "FAIL $1: it is '$2', not '$3'"; fi; }
`

// foreign is an initramfs that is not ours and does the least: it mounts the first
// disk and runs init on it, as Debian's does in the end. last are lines of its shell
// before that.
func foreign(t *testing.T, k *vm.Kernel, options string, last ...string) string {
	t.Helper()
	tree, err := debtree.Ensure(t.Context(), debtree.BusyBox, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	mods, err := k.Modules("ext4", "virtio_blk")
	if err != nil {
		t.Fatal(err)
	}
	i := vm.NewInitramfs()
	i.BusyBox(tree, "sh", "mount", "insmod", "switch_root", "mkdir", "sync", "reboot", "sleep", "rm")
	i.Modules("/modules", k, mods)
	i.File("/init", 0o755, []byte(`#!/bin/sh
mkdir -p /root /proc /dev
mount -t proc proc /proc
mount -t devtmpfs dev /dev
while read m; do insmod $m; done </modules
mount -t ext4 -o `+options+` /dev/vda /root || reboot -f
mount -o move /dev /root/dev
mount -o move /proc /root/proc
exec <root/dev/console >root/dev/console 2>&1
`+strings.Join(last, "\n")+`
exec switch_root /root /sbin/dynamod-init
`))
	file := filepath.Join(t.TempDir(), "initramfs")
	if err := i.Write(file); err != nil {
		t.Fatal(err)
	}
	return file
}

func kernel(t *testing.T) *vm.Kernel {
	t.Helper()
	k, err := vm.DebianKernel(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// tinyDisk is an ext4 disk of a small system.
func tinyDisk(t *testing.T, tiny bootable.Tiny) string {
	t.Helper()
	img, err := tiny.Image(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	img.Label, img.Size = "tiny", 64
	file := filepath.Join(t.TempDir(), "disk")
	if err := img.MakeExt4(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	return file
}

// boot starts a machine that ends with the test.
func boot(t *testing.T, s vm.Spec) *vm.Machine {
	t.Helper()
	if s.Progress == nil {
		s.Progress = os.Stderr
	}
	m, err := vm.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func finish(t *testing.T, m *vm.Machine) {
	t.Helper()
	err := m.Finish()
	vmtest.Checks(t, m.Results)
	if err != nil {
		t.Error(err)
	}
}

// needsNoRecovery says that an ext4 image was put away clean.
func needsNoRecovery(t *testing.T, disk string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "/usr/sbin/dumpe2fs", "-h", disk).CombinedOutput()
	if err != nil {
		t.Fatalf("dumpe2fs: %v: %s", err, out)
	}
	if strings.Contains(string(out), "needs_recovery") || !bytes.Contains(out, []byte("state:         clean")) {
		t.Errorf("the next mount has something to mend:\n%s", out)
	}
}

// A machine boots behind another's initramfs with / read-only, finds everything that
// programs expect, goes down in order, and the next mount replays no journal.
func TestBootAndPoweroff(t *testing.T) {
	k := kernel(t)
	disk := tinyDisk(t, bootable.Tiny{Run: say + `
cgroup=$(grep " /sys/fs/cgroup cgroup2 " /proc/mounts)
case $cgroup in *nsdelegate*memory_recursiveprot*) say ok cgroup;; *) say "FAIL cgroup: $cgroup";; esac
for p in /proc /sys /dev /dev/pts /dev/shm /run /sys/kernel/security /sys/fs/bpf /sys/kernel/debug /sys/kernel/tracing /dev/mqueue; do
	check mount:$p grep -q " $p " /proc/mounts
done
same hostname "$(hostname)" tiny
same machine-id "$(grep -c '^[0-9a-f]\{32\}$' /etc/machine-id)" 1
same lo "$(cat /sys/class/net/lo/flags)" 0x9
check booted test -d /run/systemd/system
check root-writable touch /root/x
same pid1 "$(cat /proc/1/comm)" dynamod-init
same stdin "$(readlink /dev/stdin)" /proc/self/fd/0
# What a service begins with; daemons change their own. BusyBox's sh ignores SIGQUIT
# by itself, natives do not ignore SIGPIPE.
same blocked "$(sed -n 's/SigBlk:.//p' /proc/$$/status)" 0000000000000000
same ignored "$(sed -n 's/SigIgn:.//p' /proc/$$/status)" 0000000000000004
mkdir /run/m; mount -t tmpfs t /run/m; mkdir /run/m/in; mount --bind /root /run/m/in
dd if=/dev/urandom of=/root/big bs=64k count=64 2>/dev/null
for n in $(grep -E '^Vm(RSS|HWM)|^Rss' /proc/1/status | tr -d ' \t'); do say "value pid1.${n%%:*}=${n#*:}"; done
say done
kill -TERM 1
`})
	m := boot(t, vm.Spec{Name: "boot/poweroff", Kernel: k, Initramfs: foreign(t, k, "ro"), Disks: []vm.Drive{{File: disk, Keep: true}}})
	finish(t, m)
	needsNoRecovery(t, disk)
}
