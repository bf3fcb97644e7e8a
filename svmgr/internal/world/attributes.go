package world

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/internal/sandbox"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/child"
)

var limitKeys = []struct {
	key      unit.Key[unit.Rlimit]
	resource int32
}{
	{unit.LimitCPU, unix.RLIMIT_CPU}, {unit.LimitFSIZE, unix.RLIMIT_FSIZE}, {unit.LimitDATA, unix.RLIMIT_DATA},
	{unit.LimitSTACK, unix.RLIMIT_STACK}, {unit.LimitCORE, unix.RLIMIT_CORE}, {unit.LimitRSS, unix.RLIMIT_RSS},
	{unit.LimitNOFILE, unix.RLIMIT_NOFILE}, {unit.LimitAS, unix.RLIMIT_AS}, {unit.LimitNPROC, unix.RLIMIT_NPROC},
	{unit.LimitMEMLOCK, unix.RLIMIT_MEMLOCK}, {unit.LimitLOCKS, unix.RLIMIT_LOCKS},
	{unit.LimitSIGPENDING, unix.RLIMIT_SIGPENDING}, {unit.LimitMSGQUEUE, unix.RLIMIT_MSGQUEUE},
	{unit.LimitNICE, unix.RLIMIT_NICE}, {unit.LimitRTPRIO, unix.RLIMIT_RTPRIO}, {unit.LimitRTTIME, unix.RLIMIT_RTTIME},
}

// The scheduling policies of sched(7), the memory policies of set_mempolicy(2) and
// the parts of core(5)'s coredump_filter.
var (
	policies   = map[string]int32{"other": 0, "fifo": 1, "rr": 2, "batch": 3, "idle": 5, "ext": 7}
	memPolicy  = map[string]int32{"default": 0, "preferred": 1, "bind": 2, "interleave": 3, "local": 4}
	coreParts  = []string{"private-anonymous", "shared-anonymous", "private-file-backed", "shared-file-backed", "elf-headers", "private-huge", "shared-huge", "private-dax", "shared-dax"}
	secureBits = map[string]uint32{"noroot": 1 << 0, "noroot-locked": 1 << 1, "no-setuid-fixup": 1 << 2, "no-setuid-fixup-locked": 1 << 3, "keep-caps": 1 << 4, "keep-caps-locked": 1 << 5}
)

const coreDefault = 0x33

// attributes fills in what systemd.exec(5) calls process properties and
// scheduling.
func (w *World) attributes(s *child.Spec, u *unit.Unit, x unit.Exec) error {
	s.Umask = unit.UMask.Of(u)
	num := func(k unit.Key[int64]) child.Int {
		return child.Int{Set: k.IsSet(u), N: int32(k.Of(u))}
	}
	s.OOMScore, s.Nice = num(unit.OOMScoreAdjust), num(unit.Nice)
	if unit.CPUSchedulingPolicy.IsSet(u) || unit.CPUSchedulingPriority.IsSet(u) || unit.CPUSchedulingResetOnFork.Of(u) {
		s.Sched = child.Sched{Set: true, Policy: policies[unit.CPUSchedulingPolicy.Of(u)],
			Priority: int32(unit.CPUSchedulingPriority.Of(u)), ResetOnFork: unit.CPUSchedulingResetOnFork.Of(u)}
		if (s.Sched.Policy == 1 || s.Sched.Policy == 2) && !unit.CPUSchedulingPriority.IsSet(u) {
			s.Sched.Priority = 1
		}
	}
	if unit.IOSchedulingClass.IsSet(u) || unit.IOSchedulingPriority.IsSet(u) {
		class := int32(unit.IOSchedulingClass.Of(u))
		if !unit.IOSchedulingClass.IsSet(u) {
			class = 2 // best-effort is what a level alone means
		}
		s.IOPrio = child.Int{Set: true, N: class<<13 | int32(unit.IOSchedulingPriority.Of(u))}
	}
	if err := affinity(s, u); err != nil {
		return err
	}
	if unit.TimerSlackNSec.IsSet(u) {
		s.TimerSlack = uint64(unit.TimerSlackNSec.Of(u))
	}
	for _, l := range limitKeys {
		if l.key.IsSet(u) {
			v := reachable(l.resource, l.key.Of(u))
			s.Limits = append(s.Limits, child.Limit{Resource: l.resource, Soft: v.Soft, Hard: v.Hard})
		}
	}
	if words := unit.CoredumpFilter.Of(u); len(words) > 0 {
		mask, err := coreMask(words)
		if err != nil {
			return at("coredump-filter", err)
		}
		s.CoreFilter = child.Int{Set: true, N: int32(mask)}
	}
	if p := unit.Personality.Of(u); p != "" {
		n, err := personality(p)
		if err != nil {
			return at("personality", err)
		}
		s.Personality = child.Int{Set: true, N: n}
	}
	switch unit.KeyringMode.Of(u) {
	case "private":
		s.Keyring = child.KeyringPrivate
	case "shared":
		s.Keyring = child.KeyringShared
	}
	if ksm := unit.MemoryKSM.Of(u); ksm == "yes" || ksm == "no" {
		if err := ksmOffered(); err != nil {
			w.warn(u.Name, "MemoryKSM= has no effect: the kernel does not offer it: "+err.Error())
		} else {
			s.MemoryKSM = child.Int{Set: true}
			if ksm == "yes" {
				s.MemoryKSM.N = 1
			}
		}
	}
	s.IgnorePipe = unit.IgnoreSIGPIPE.Of(u)
	if x.Privileged {
		return nil
	}
	s.NoNewPrivs = unit.NoNewPrivileges.Of(u)
	if unit.CapabilityBoundingSet.IsSet(u) {
		set, err := sandbox.Capabilities(u, unit.CapabilityBoundingSet, ^uint64(0))
		if err != nil {
			return at("capability-bounding-set", err)
		}
		s.HasBounding, s.Bounding = true, set
	}
	for _, b := range unit.SecureBits.Of(u) {
		s.HasSecure = true
		s.SecureBits |= secureBits[b]
	}
	if x.NoSetuid {
		return nil
	}
	set, err := sandbox.Capabilities(u, unit.AmbientCapabilities, 0)
	s.Ambient = set
	return at("ambient-capabilities", err)
}

func affinity(s *child.Spec, u *unit.Unit) error {
	nodes := unit.NUMAMask.Of(u)
	if words := unit.CPUAffinity.Of(u); len(words) > 0 {
		if slices.Equal(words, []string{"numa"}) {
			words = nil
			all, err := cpuMask(nodes)
			if err != nil {
				return at("affinity", err)
			}
			for n := range len(all) * 64 {
				if all[n/64]&(1<<(n%64)) == 0 {
					continue
				}
				b, err := os.ReadFile(fmt.Sprintf("/sys/devices/system/node/node%d/cpulist", n))
				if err != nil {
					return at("affinity", err)
				}
				words = append(words, strings.TrimSpace(string(b)))
			}
		}
		m, err := cpuMask(words)
		if err != nil {
			return at("affinity", err)
		}
		s.Affinity = m
	}
	if unit.NUMAPolicy.IsSet(u) {
		s.NUMA = child.NUMA{Set: true, Mode: memPolicy[unit.NUMAPolicy.Of(u)]}
		if slices.Equal(nodes, []string{"all"}) {
			b, err := os.ReadFile("/sys/devices/system/node/possible")
			if err != nil {
				return at("numa", err)
			}
			nodes = strings.Fields(string(b))
		}
		m, err := cpuMask(nodes)
		if err != nil {
			return at("numa", err)
		}
		s.NUMA.Nodes = m
	}
	return nil
}

// cpuMask reads "0-3,8 10" into a bit mask.
func cpuMask(words []string) ([]uint64, error) {
	var m []uint64
	for _, word := range words {
		for part := range strings.SplitSeq(word, ",") {
			if part == "" {
				continue
			}
			lo, hi, isRange := strings.Cut(part, "-")
			if !isRange {
				hi = lo
			}
			a, err1 := strconv.ParseUint(lo, 10, 16)
			b, err2 := strconv.ParseUint(hi, 10, 16)
			if err1 != nil || err2 != nil || a > b || b >= 8192 {
				return nil, fmt.Errorf("%q is no range of numbers: %w", part, unix.EINVAL)
			}
			for ; a <= b; a++ {
				for uint64(len(m)) <= a/64 {
					m = append(m, 0)
				}
				m[a/64] |= 1 << (a % 64)
			}
		}
	}
	return m, nil
}

func coreMask(words []string) (uint32, error) {
	var mask uint32
	for _, word := range words {
		switch i := slices.Index(coreParts, word); {
		case word == "all":
			mask = 1<<len(coreParts) - 1
		case word == "default":
			mask |= coreDefault
		case i >= 0:
			mask |= 1 << i
		default:
			n, err := strconv.ParseUint(strings.TrimPrefix(word, "0x"), 16, 31)
			if err != nil {
				return 0, fmt.Errorf("%q is no part of a core dump: %w", word, unix.EINVAL)
			}
			mask |= uint32(n)
		}
	}
	return mask, nil
}

// personality is PER_LINUX32 for the 32-bit twin of this machine and PER_LINUX for
// itself; others cannot be had (personality(2)).
func personality(name string) (int32, error) {
	const linux, linux32 = 0, 8
	twins := map[string][2]string{"amd64": {"x86-64", "x86"}, "arm64": {"arm64", "arm"}, "s390x": {"s390x", "s390"}, "ppc64le": {"ppc64-le", "ppc-le"}}
	switch t := twins[runtime.GOARCH]; name {
	case t[0]:
		return linux, nil
	case t[1]:
		return linux32, nil
	}
	return 0, fmt.Errorf("personality %s: %w", name, unix.EINVAL)
}

// ksmOffered asks for the present state, which kernels without CONFIG_KSM and before
// 6.4 do not know (PR_GET_MEMORY_MERGE of prctl(2)).
func ksmOffered() error {
	const getMemoryMerge = 68
	if _, _, no := unix.RawSyscall6(unix.SYS_PRCTL, getMemoryMerge, 0, 0, 0, 0, 0); no != 0 {
		return no
	}
	return nil
}
