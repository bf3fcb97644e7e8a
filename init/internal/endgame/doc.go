// Package endgame is the end of a machine, when no other process is left: everything
// that was written reaches the disks, file systems are put away so that the next
// mount has nothing to mend, and reboot(2) is called.
//
// It cannot count on anything: a server may not answer, a disk may be gone. What does
// not come to an end in its time is told and left behind.
package endgame

// Say writes a line for people; level as in syslog(3).
type Say func(level uint8, text string)
