// Package boot is what the next start of the machine is told: the argument of reboot(2),
// the firmware's "set up", and the boot loader's menu and entry. It has the files, and
// no opinion about who may say it.
package boot
