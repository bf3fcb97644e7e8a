// Package guestjob is what the host and the guest's init tell each other.
package guestjob

// Places in the initramfs.
const (
	// File holds the Job, as JSON.
	File = "/guest/job.json"
	// Modules lists the kernel modules to load, a path a line.
	Modules = "/guest/modules"
	// Files holds what the job brings along; it is /guest/files for the job too.
	Files = "/guest/files"
)

// Job is what the guest's init does before it powers the machine off.
type Job struct {
	// Root is the device of the root file system and FS its type; without them the
	// job runs in the initramfs.
	Root, FS string
	// Swap is a device that is made into swap space, "" for none.
	Swap string
	// Argv is the program, with its arguments, "" for none; Env and Dir are its.
	Argv, Env []string
	Dir       string
}

// Exit is the name of the value that the guest's init reports at the end: the exit
// code, or 128 and the signal.
const Exit = "exit"

// Failed is the name of the check that fails when the guest's init itself does.
const Failed = "guest"
