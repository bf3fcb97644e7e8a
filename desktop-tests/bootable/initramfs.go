package bootable

import (
	"context"
	"io"

	"dynamod/desktop-tests/debtree"
	"dynamod/desktop-tests/vm"
)

// Drivers are the modules that an initramfs has unless it is told otherwise: disks and
// drives of common machines, and the file systems that can be a root.
var Drivers = []string{"virtio_blk", "virtio_scsi", "sd_mod", "sr_mod", "ata_piix", "ahci", "nvme", "usb_storage", "uas", "xhci_pci", "ehci_pci",
	"ext4", "btrfs", "xfs", "f2fs", "squashfs", "isofs", "udf", "vfat", "nls_ascii", "nls_cp437", "loop", "overlay"}

// Initramfs is an initramfs with dynamod-init that finds a root file system.
type Initramfs struct {
	Kernel *vm.Kernel
	// Modules are Drivers if nil.
	Modules []string
	// Shell adds BusyBox, for the emergency shell.
	Shell bool
}

// Write makes it at file.
func (s Initramfs) Write(ctx context.Context, file string, progress io.Writer) error {
	files, err := Programs(ctx, "/sbin")
	if err != nil {
		return err
	}
	i := vm.NewInitramfs()
	if s.Shell {
		tree, err := debtree.Ensure(ctx, debtree.BusyBox, progress)
		if err != nil {
			return err
		}
		i.BusyBox(tree, "sh", "mount", "umount", "ls", "cat", "dmesg", "insmod", "sync", "reboot", "poweroff")
		i.Copy("/usr/bin/dynamod-init", files["/sbin/dynamod-init"].Host)
	} else {
		i.Copy("/sbin/dynamod-init", files["/sbin/dynamod-init"].Host)
	}
	i.Device("/dev/null", 0o666, 1, 3)
	i.Symlink("/init", "sbin/dynamod-init")
	names := s.Modules
	if names == nil {
		names = Drivers
	}
	mods, err := s.Kernel.Modules(names...)
	if err != nil {
		return err
	}
	i.Modules("/etc/dynamod/modules", s.Kernel, mods)
	return i.Write(file)
}
