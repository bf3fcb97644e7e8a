// Package mount changes the mount and swap tables by system calls, for machines that
// have no mount(8), umount(8), swapon(8) and swapoff(8). It understands the options
// of those programs (mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS") and refuses
// what needs them: loop devices, UUID= and LABEL=. It decides nothing about units.
package mount
