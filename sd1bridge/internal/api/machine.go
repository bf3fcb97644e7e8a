package api

import (
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/capacity"
	"dynamod/internal/sys/efivar"
	"dynamod/internal/sys/virt"
	"dynamod/sd1bridge/internal/translate"
)

// machine is what values are relative to. The limits are this process' own: it is
// begun by the manager as any service is, with nothing set.
func machine() translate.Machine {
	m := translate.Machine{Limits: map[string][2]uint64{}}
	m.Memory, _ = capacity.Memory()
	m.Tasks, _ = capacity.Tasks("/")
	for name, n := range map[string]int{"CPU": unix.RLIMIT_CPU, "FSIZE": unix.RLIMIT_FSIZE, "DATA": unix.RLIMIT_DATA, "STACK": unix.RLIMIT_STACK,
		"CORE": unix.RLIMIT_CORE, "RSS": unix.RLIMIT_RSS, "NOFILE": unix.RLIMIT_NOFILE, "AS": unix.RLIMIT_AS, "NPROC": unix.RLIMIT_NPROC,
		"MEMLOCK": unix.RLIMIT_MEMLOCK, "LOCKS": unix.RLIMIT_LOCKS, "SIGPENDING": unix.RLIMIT_SIGPENDING, "MSGQUEUE": unix.RLIMIT_MSGQUEUE,
		"NICE": unix.RLIMIT_NICE, "RTPRIO": unix.RLIMIT_RTPRIO, "RTTIME": unix.RLIMIT_RTTIME} {
		// The runtime raises its own soft NOFILE at start-up: prlimit(2) tells what
		// was inherited only for the hard one, so the soft one is the kernel's.
		var l unix.Rlimit
		if unix.Prlimit(0, n, nil, &l) == nil {
			m.Limits[name] = [2]uint64{l.Cur, l.Max}
		}
	}
	if l, ok := m.Limits["NOFILE"]; ok {
		m.Limits["NOFILE"] = [2]uint64{min(1024, l[1]), l[1]}
	}
	return m
}

// beforeKernel is how long before the kernel the firmware and the boot loader began, in
// microseconds; 0 if the loader does not say (Boot Loader Interface).
func beforeKernel(root string) (before [2]uint64) {
	read := func(name string) uint64 {
		n, err := strconv.ParseUint(efivar.Of(root).Text(name, efivar.Loader), 10, 63)
		if err != nil {
			return 0
		}
		return n
	}
	began, kernel := read("LoaderTimeInitUSec"), read("LoaderTimeExecUSec")
	if began == 0 || kernel < began {
		return before
	}
	return [2]uint64{kernel, kernel - began}
}

// architecture is systemd's word for that of the machine (systemd.unit(5),
// ConditionArchitecture=).
func architecture() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x86-64"
	case "386":
		return "x86"
	case "riscv64", "arm64", "arm", "s390x":
		return runtime.GOARCH
	case "ppc64le":
		return "ppc64-le"
	case "loong64":
		return "loongarch64"
	}
	return runtime.GOARCH
}

func (s *Server) virtualization() virt.Found { return virt.Detect(s.detected()) }

func (s *Server) detected() virt.Machine {
	return virt.Machine{Root: os.DirFS(s.opts.Root), CPUID: virt.CPUID, Environ: os.Getenv}
}
