package main

import (
	"os"

	"golang.org/x/sys/unix"

	"dynamod/hostnamed/internal/api"
	"dynamod/hostnamed/internal/host"
	"dynamod/internal/sys/virt"
)

// kernel is the one that runs.
type kernel struct{ root string }

func (kernel) Uname() (api.Uname, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return api.Uname{}, os.NewSyscallError("uname", err)
	}
	return api.Uname{Sysname: unix.ByteSliceToString(u.Sysname[:]), Node: unix.ByteSliceToString(u.Nodename[:]),
		Release: unix.ByteSliceToString(u.Release[:]), Version: unix.ByteSliceToString(u.Version[:])}, nil
}

func (kernel) SetHostname(name string) error {
	return os.NewSyscallError("sethostname", unix.Sethostname([]byte(name)))
}

func (k kernel) Virt() virt.Found {
	return virt.Detect(virt.Machine{Root: os.DirFS(k.root), CPUID: virt.CPUID, Environ: os.Getenv})
}

// getLocalCID is IOCTL_VM_SOCKETS_GET_LOCAL_CID of linux/vm_sockets.h.
const getLocalCID = 0x7b9

func (kernel) CID() uint32 {
	f, err := os.Open("/dev/vsock")
	if err != nil {
		return host.NoCID
	}
	defer f.Close()
	cid, err := unix.IoctlGetUint32(int(f.Fd()), getLocalCID)
	if err != nil {
		return host.NoCID
	}
	return cid
}
