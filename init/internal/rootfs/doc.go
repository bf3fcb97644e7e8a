// Package rootfs is what PID 1 does in an initramfs: it finds the root file system, or
// the medium of a live system, mounts it, and goes over to it. It needs no program
// beside PID 1: devices are made by the kernel, file systems and partitions are
// recognised by what is written on them, and the kernel's messages say when a disk
// appears.
package rootfs
