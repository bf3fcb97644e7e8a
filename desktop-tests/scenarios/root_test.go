//go:build vm

package scenarios

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dynamod/desktop-tests/bootable"
	"dynamod/desktop-tests/vm"
)

const (
	fsUUID    = "6e1ab000-5eed-4bad-8000-0123456789ab"
	partUUID  = "9a27b000-5eed-4bad-8000-0123456789ab"
	signature = 0xbeef0001
)

// arrived is a first process that says where it is, instead of a whole system: these
// scenarios are about the way there.
const arrived = "#!/bin/sh\n" + say + `
mount -t proc proc /proc 2>/dev/null
say "value root=$(grep ' / ' /proc/mounts | tail -1)"
say "value devices=$(ls /dev | grep -c vd)"
check no-initramfs test ! -e /etc/dynamod/modules
say done
poweroff -f
`

func ourInitramfs(t *testing.T, k *vm.Kernel, shell bool, modules ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "initramfs")
	if err := (bootable.Initramfs{Kernel: k, Modules: modules, Shell: shell}).Write(t.Context(), file, os.Stderr); err != nil {
		t.Fatal(err)
	}
	return file
}

// rootDisk is a disk with a small system on a file system, in a table or without one.
func rootDisk(t *testing.T, fstype string, table vm.Table, label string) string {
	t.Helper()
	img, err := bootable.Tiny{Files: map[string]vm.Source{"/bin/arrived": {Text: arrived, Perm: 0o755}}}.Image(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	img.Label, img.UUID = label, fsUUID
	dir := t.TempDir()
	image := filepath.Join(dir, "fs")
	if err := img.Make(t.Context(), fstype, image); err != nil {
		t.Fatal(err)
	}
	if table == vm.NoTable {
		return image
	}
	disk := filepath.Join(dir, "disk")
	if err := vm.MakeDisk(table, vm.Part{UUID: partUUID, Label: "part " + label}, signature, image, disk); err != nil {
		t.Fatal(err)
	}
	return disk
}

// The root file system is found by all its names, on all kinds of disks.
func TestRoot(t *testing.T) {
	k := kernel(t)
	for _, c := range []struct {
		name, fstype string
		table        vm.Table
		label        string
		line         []string
		want         string // of its line in /proc/mounts
	}{
		{"uuid-ext4-gpt", "ext4", vm.GPT, "tiny", []string{"root=UUID=" + strings.ToUpper(fsUUID)}, "/dev/vda1 / ext4 ro"},
		{"label-btrfs", "btrfs", vm.NoTable, "tiny", []string{"root=LABEL=tiny", "rw"}, "/dev/vda / btrfs rw"},
		{"partuuid-xfs-gpt", "xfs", vm.GPT, "tiny", []string{"root=PARTUUID=" + partUUID, "rootflags=noatime"}, "/dev/vda1 / xfs ro,noatime"},
		{"partlabel-squashfs-gpt", "squashfs", vm.GPT, "tiny", []string{"\"root=PARTLABEL=part tiny\"", "rootfstype=squashfs"}, "/dev/vda1 / squashfs ro"},
		{"partuuid-ext4-mbr", "ext4", vm.MBR, "tiny", []string{"root=PARTUUID=BEEF0001-01", "rw"}, "/dev/vda1 / ext4 rw"},
		{"label-btrfs-mbr", "btrfs", vm.MBR, "tiny", []string{"root=LABEL=TINY"}, "/dev/vda1 / btrfs ro"},
		{"device-xfs-mbr", "xfs", vm.MBR, "tiny", []string{"root=/dev/vda1", "rootdelay=0"}, "/dev/vda1 / xfs ro"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := boot(t, vm.Spec{Name: "root/" + c.name, Kernel: k, Disks: []vm.Drive{{File: rootDisk(t, c.fstype, c.table, c.label)}},
				Initramfs: ourInitramfs(t, k, false, "virtio_blk", c.fstype), Append: append(c.line, "init=/bin/arrived")})
			finish(t, m)
			if got := m.Results.Value("root"); !strings.HasPrefix(got, c.want) {
				t.Errorf("the root is %q; want %q", got, c.want)
			}
		})
	}
}

// A disk that is plugged in late is heard of.
func TestRootLate(t *testing.T) {
	k := kernel(t)
	disk := rootDisk(t, "ext4", vm.GPT, "tiny")
	m := boot(t, vm.Spec{Name: "root/late", Kernel: k, Board: vm.Q35, Slots: 1, Limit: 4 * time.Minute,
		Initramfs: ourInitramfs(t, k, false, "virtio_blk", "ext4"), Append: []string{"root=LABEL=tiny", "rootwait=180", "init=/bin/arrived"}})
	if _, err := m.Console.Expect(t.Context(), "waiting up to 3m0s for LABEL=tiny"); err != nil {
		t.Fatal(err)
	}
	if err := m.AddDisk(0, vm.Drive{File: disk}); err != nil {
		t.Fatal(err)
	}
	finish(t, m)
}

// A root that is not there is said, with what there is, and the machine reboots.
func TestRootMissing(t *testing.T) {
	k := kernel(t)
	disk := rootDisk(t, "ext4", vm.GPT, "other")
	initramfs := ourInitramfs(t, k, true, "virtio_blk", "ext4")
	spec := vm.Spec{Name: "root/missing", Kernel: k, Disks: []vm.Drive{{File: disk}}, Initramfs: initramfs,
		Append: []string{"root=LABEL=tiny", "rootwait=1"}}
	m := boot(t, spec)
	for _, words := range []string{"there is no LABEL=tiny after 1s; there are: vda", "LABEL=other", "dynamod.emergency on the kernel command line gives a shell here", "the machine reboots"} {
		if _, err := m.Console.Expect(t.Context(), words); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Wait(); err != nil {
		t.Error(err)
	}
	// With dynamod.emergency there is a shell.
	spec.Name, spec.Append = "root/missing-shell", append(spec.Append, "dynamod.emergency")
	m = boot(t, spec)
	if _, err := m.Console.Expect(t.Context(), "(dynamod-emergency)"); err != nil {
		t.Fatal(err)
	}
	if err := m.Console.Send("echo here $((6*7)); exit\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Console.Expect(t.Context(), "here 42"); err != nil {
		t.Fatal(err)
	}
	if err := m.Wait(); err != nil {
		t.Error(err)
	}
}
