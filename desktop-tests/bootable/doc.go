// Package bootable makes systems that boot with dynamod as PID 1: a small one of
// BusyBox and native files, and what has to be laid over any other. Nothing here needs
// root, a mount or a loop device.
package bootable
