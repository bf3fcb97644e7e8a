package api

import "dynamod/internal/sys/virt"

// Kernel is what of the machine is not in files, and what must not be touched by a test.
type Kernel interface {
	// Uname is uname(2).
	Uname() (Uname, error)
	// SetHostname is sethostname(2).
	SetHostname(name string) error
	// Virt is what the system runs in.
	Virt() virt.Found
	// CID is the address for vsock(7), host.NoCID if there is none.
	CID() uint32
}

// Uname are the fields of uname(2) that are shown.
type Uname struct{ Sysname, Node, Release, Version string }

// Units is what is asked of the service manager.
type Units interface{}
