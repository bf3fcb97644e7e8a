// Package fstab turns /etc/fstab into the sources of mount, swap and automount
// units, as systemd-fstab-generator(8), systemd.mount(5) and systemd.swap(5)
// describe, so that no generator has to run.
//
// It owns the syntax of fstab(5) and the meaning of its options. It refuses to
// open files and to know which units exist: what wins over what is decided by
// internal/load. A bad line is reported with its place and the others are used.
//
// Differences from the generator, on purpose:
//   - x-systemd.makefs, x-systemd.growfs and x-systemd.pcrfs are refused with a
//     warning, because the programs behind them belong to systemd; the mount
//     itself is kept.
//   - a mount point that is not an absolute path is an error, where the
//     generator takes "rel/path" for "/rel/path".
//   - systemd-fsck@.service is required for every device with a passno above
//     0, whether or not a checker for the type is installed: the service finds
//     out and passes. The root file system gets systemd-fsck-root.service.
//   - there is no After= on blockdev@.target, which only cryptsetup's units
//     use; the device dependency itself follows from What=.
package fstab
