// Package early does what every program expects to be done before the first service:
// the file systems of the kernel, names in /dev, the host's name, the machine ID, a
// random seed. Nothing that it finds done already is done again: an initramfs may
// have been there before.
//
// The steps are tables whose rows say what a failure means: a machine cannot run
// without a Must, and a May is told and forgotten.
package early

// Say writes a line for people; level as in syslog(3).
type Say func(level uint8, text string)
