package translate

import (
	"encoding/base64"
	"encoding/hex"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"dynamod/internal/sandbox"
	"dynamod/internal/sandbox/seccomp"
	"dynamod/internal/unit"
)

// Machine is what values depend on besides the unit.
type Machine struct {
	// Memory is the physical memory in bytes, Tasks the most that the kernel takes:
	// what percentages are of.
	Memory, Tasks uint64
	// Limits are the manager's own resource limits by name ("NOFILE"), soft and
	// hard: what a unit without a limit of its own gets.
	Limits map[string][2]uint64
}

const infinity = math.MaxUint64

// usec is a duration in microseconds; forever is the largest number.
func usec(d time.Duration) uint64 {
	if d == unit.Forever {
		return infinity
	}
	return uint64(max(d, 0) / time.Microsecond)
}

// unset are the values of settings without default of which nothing is not the zero
// of its type, as org.freedesktop.systemd1(5) and the settings' manuals say.
var unset = map[string]any{
	"BlockIOWeight": uint64(infinity), "StartupBlockIOWeight": uint64(infinity), "CPUShares": uint64(infinity), "StartupCPUShares": uint64(infinity),
	"CPUWeight": uint64(infinity), "StartupCPUWeight": uint64(infinity), "IOWeight": uint64(infinity), "StartupIOWeight": uint64(infinity),
	"CPUQuotaPerSecUSec": uint64(infinity), "CPUQuotaPeriodUSec": uint64(infinity), "MemoryLimit": uint64(infinity),
	"MemoryHigh": uint64(infinity), "MemoryMax": uint64(infinity), "MemorySwapMax": uint64(infinity), "MemoryZSwapMax": uint64(infinity),
	"StartupMemoryHigh": uint64(infinity), "StartupMemoryMax": uint64(infinity), "StartupMemorySwapMax": uint64(infinity),
	"StartupMemoryZSwapMax": uint64(infinity), "RuntimeMaxUSec": uint64(infinity), "RestartMaxDelayUSec": uint64(infinity),
	"JobTimeoutUSec": uint64(infinity), "JobRunningTimeoutUSec": uint64(infinity), "TimeoutCleanUSec": uint64(infinity),
	"CoredumpFilter": uint64(0x33), "RestrictNamespaces": uint64(allNamespaces), "NUMAPolicy": int32(-1), "LogLevelMax": int32(-1),
	"SystemCallErrorNumber": int32(math.MaxInt32 - 1), "Mark": int32(-1), "Priority": int32(-1), "IPTOS": int32(-1), "IPTTL": int32(-1),
	"SuccessActionExitStatus": int32(-1), "FailureActionExitStatus": int32(-1), "ManagedOOMMemoryPressureDurationUSec": uint64(infinity),
}

// Setting is the value of a unit's setting as the property of the given signature.
// False means that the value cannot be put into that type, which is a mistake of the
// tables and not of the unit.
func Setting(u *unit.Unit, s *unit.Setting, sig string, m Machine) (any, bool) {
	v, ok := written(u, s, sig, m)
	if !ok {
		return v, ok
	}
	return protected(u, s, v), true
}

// protected is a value with what other settings add to it (systemd.exec(5),
// PrivateDevices=, ProtectKernelModules=, ProtectKernelLogs=, ProtectClock=).
func protected(u *unit.Unit, s *unit.Setting, v any) any {
	switch v := v.(type) {
	case uint64:
		if s.DBus == "CapabilityBoundingSet" {
			for _, name := range sandbox.Of(u).DropCapabilities {
				v &^= 1 << sandbox.CapabilityNumber(name)
			}
		}
		return v
	case string:
		if s.DBus != "DevicePolicy" || v != "auto" {
			return v
		}
		if p := sandbox.Of(u); p.PrivateDevices || p.ProtectClock {
			return "closed"
		}
	case []Pair:
		if s.DBus == "DeviceAllow" && sandbox.Of(u).ProtectClock {
			return append(v, Pair{"char-rtc", "r"})
		}
	}
	return v
}

// written is a value as the unit's files have it.
func written(u *unit.Unit, s *unit.Setting, sig string, m Machine) (any, bool) {
	if len(u.Origin(s)) == 0 {
		if v, ok := derived(u, s, sig, m); ok {
			return v, true
		}
	}
	switch v := u.Value(s).(type) {
	case nil:
		return without(s, sig, m)
	case bool:
		return v, sig == "b"
	case string:
		return fromString(s, v, sig)
	case int64:
		return fromInt(s, v, sig)
	case time.Duration:
		if strings.HasSuffix(s.DBus, "NSec") {
			return uint64(max(v, 0)), sig == "t"
		}
		return usec(v), sig == "t"
	case unit.Quantity:
		return fromQuantity(s, v, sig, m)
	case uint32:
		return v, sig == "u"
	case int32:
		return v, sig == "i"
	case unit.Rlimit:
		return v.Hard, sig == "t"
	case unit.ExitSet:
		e := Exits{[]int32{}, append([]int32{}, v.Signals...)}
		for _, c := range v.Codes {
			e.Codes = append(e.Codes, int32(c))
		}
		return e, sig == "(aiai)"
	case []string:
		return fromStrings(u, s, v, sig)
	case []unit.BindMount:
		return binds(v, strings.Contains(s.Name, "ReadOnly")), sig == "a(ssbt)"
	case []unit.Listen:
		out := []Pair{}
		for _, l := range v {
			out = append(out, Pair{l.Kind, l.Address})
		}
		return out, sig == "a(ss)"
	case []unit.PathWatch:
		out := []Pair{}
		for _, w := range v {
			out = append(out, Pair{w.Kind, w.Path})
		}
		return out, sig == "a(ss)"
	}
	return nil, false
}

// without is the value of what is set nowhere and has no default.
func without(s *unit.Setting, sig string, m Machine) (any, bool) {
	if name, ok := strings.CutPrefix(s.DBus, "Limit"); ok && s.Kind == unit.RlimitKind {
		if l, ok := m.Limits[name]; ok {
			return l[1], sig == "t"
		}
		return uint64(infinity), sig == "t"
	}
	if s.Name == "CapabilityBoundingSet" {
		return uint64(1)<<sandbox.CapabilityCount() - 1, sig == "t"
	}
	if v, ok := unset[s.DBus]; ok {
		return v, true
	}
	v, ok := zero[sig]
	return v, ok
}

// words of enumerations that are numbers on the bus: sched(7), set_mempolicy(2),
// mount(2), ip(7).
var words = map[string]map[string]int64{
	"CPUSchedulingPolicy": {"other": 0, "fifo": 1, "rr": 2, "batch": 3, "idle": 5, "ext": 7},
	"NUMAPolicy":          {"default": 0, "preferred": 1, "bind": 2, "interleave": 3, "local": 4},
	"MountFlags":          {"shared": 1 << 20, "slave": 1 << 19, "private": 1 << 18},
	"IPTOS":               {"low-delay": 16, "throughput": 8, "reliability": 4, "low-cost": 2},
}

// yes has the words that a boolean stands for (systemd.exec(5)).
var yes = map[string]string{"PrivateTmpEx": "connected", "PrivateUsersEx": "self"}

func fromString(s *unit.Setting, v, sig string) (any, bool) {
	switch sig {
	case "s":
		if s.DBus == "WorkingDirectory" && strings.HasPrefix(v, "-") {
			return "!" + v[1:], true // as systemd shows a directory that may be missing
		}
		if w := yes[s.DBus]; w != "" && v == "yes" {
			return w, true
		}
		return v, true
	case "b":
		return v != "" && v != "no", true
	case "(bs)":
		rest, ignore := strings.CutPrefix(v, "-")
		return MarkedText{ignore, rest}, true
	case "ay":
		b, err := hex.DecodeString(v)
		if err != nil {
			return []byte{}, true // it is a path, which has a property of its own
		}
		return b, true
	case "i", "t":
		n, ok := words[s.DBus][v]
		if s.DBus == "SystemCallErrorNumber" && v == "kill" {
			n, ok = math.MaxInt32-1, true
		}
		if !ok {
			if e, found := errnos[v]; found {
				n, ok = e, true
			} else if k, err := strconv.ParseInt(v, 0, 32); err == nil {
				n, ok = k, true
			}
		}
		if sig == "i" {
			return int32(n), ok
		}
		return uint64(n), ok
	}
	return nil, false
}

func fromInt(s *unit.Setting, v int64, sig string) (any, bool) {
	switch sig {
	case "i":
		return int32(v), true
	case "u":
		return uint32(v), true
	case "q":
		return uint16(v), true
	case "x":
		return v, true
	case "t":
		if s.Kind == unit.PercentKind {
			return uint64(v) * 100, true // hundredths of a percent of a second
		}
		return uint64(v), true
	}
	return nil, false
}

func fromQuantity(s *unit.Setting, v unit.Quantity, sig string, m Machine) (any, bool) {
	n := v.N
	switch {
	case v.Infinite:
		n = infinity
	case v.Permille && sig == "u": // a share of 2^32-1, as the manual of the property has it
		n = v.N * math.MaxUint32 / 1000
	case v.Permille && strings.HasPrefix(s.DBus, "Tasks"):
		n = v.Share(m.Tasks)
	case v.Permille:
		n = v.Share(m.Memory)
	}
	if sig == "u" {
		return uint32(min(n, math.MaxUint32)), true
	}
	return n, sig == "t"
}

func binds(list []unit.BindMount, readOnly bool) []Bind {
	out := []Bind{}
	for _, b := range list {
		if b.Writable == readOnly {
			continue
		}
		x := Bind{Source: b.Source, Target: b.Target, IgnoreMissing: b.IgnoreMissing}
		if b.Recursive {
			x.Flags = 0x4000 // MS_REC
		}
		out = append(out, x)
	}
	return out
}

func fromStrings(u *unit.Unit, s *unit.Setting, v []string, sig string) (any, bool) {
	switch sig {
	case "as":
		if s.DBus == "ImportCredential" { // what they are renamed to is in ImportCredentialEx
			out := []string{}
			for _, w := range v {
				glob, _, _ := strings.Cut(w, ":")
				out = append(out, glob)
			}
			return out, true
		}
		return append([]string{}, v...), true
	case "b": // Delegate=: no, yes or controllers
		return len(v) > 0 && v[0] != "no", true
	case "(bas)":
		if s.DBus == "SystemCallFilter" && len(v) > 0 {
			return calls(v)
		}
		f := Filter{true, []string{}}
		for i, w := range v {
			rest, deny := strings.CutPrefix(w, "~")
			if i == 0 {
				f.Allow = !deny
			}
			if rest != "" {
				f.Words = append(f.Words, rest)
			}
		}
		return f, true
	case "a(sb)":
		out := []Marked{}
		for _, w := range v {
			rest, ignore := strings.CutPrefix(w, "-")
			out = append(out, Marked{rest, ignore})
		}
		return out, true
	case "a(bs)":
		out := []MarkedText{}
		for _, w := range v {
			rest, deny := strings.CutPrefix(w, "~")
			out = append(out, MarkedText{!deny, rest})
		}
		return out, true
	case "a(ss)":
		out := []Pair{}
		sep := ":"
		if s.DBus == "DeviceAllow" {
			sep = " "
		}
		for _, w := range v {
			a, b, _ := strings.Cut(w, sep)
			out = append(out, Pair{a, strings.TrimSpace(b)})
		}
		return out, true
	case "a(st)":
		return amounts(v), true
	case "a(say)":
		out := []Secret{}
		for _, w := range v {
			id, data, _ := strings.Cut(w, ":")
			out = append(out, Secret{id, []byte(data)})
		}
		return out, true
	case "aay":
		out := [][]byte{}
		for _, w := range v {
			out = append(out, []byte(w))
		}
		return out, true
	case "ay":
		if s.DBus == "StandardInputData" {
			b, err := base64.StdEncoding.DecodeString(strings.Join(v, ""))
			return b, err == nil
		}
		return bits(v), true
	case "a(iayu)":
		return networks(v), true
	case "t":
		return masks(u, s, v)
	case "i": // SecureBits=
		n := int32(0)
		for _, w := range v {
			n |= secureBits[w]
		}
		return n, true
	case "a(iiqq)":
		return bindings(v), true
	}
	if len(v) == 0 {
		z, ok := zero[sig]
		return z, ok
	}
	return nil, false
}

// calls are the system calls that a filter comes to, its groups resolved, with the
// answer of those that have one of their own.
func calls(words []string) (any, bool) {
	s := seccomp.Settings{Filter: words, ErrnoOf: func(name string) (int, bool) { n, ok := errnos[name]; return int(n), ok }}
	list, deny, _, err := s.Calls()
	if err != nil {
		return Filter{!strings.HasPrefix(words[0], "~"), append([]string{}, words...)}, true
	}
	f := Filter{!deny, []string{}}
	for name, action := range list {
		// systemd's groups have names that no machine's table has, and some that only
		// libseccomp knows: those of 32-bit ARM.
		if !seccomp.Known(name) && name != "cacheflush" && name != "set_tls" {
			continue
		}
		switch {
		case action == 0:
		case action == seccomp.Kill:
			name += ":kill"
		default:
			n := int64(action & 0xffff)
			text := strconv.FormatInt(n, 10)
			for e, number := range errnos {
				if number == n {
					text = e
				}
			}
			name += ":" + text
		}
		f.Words = append(f.Words, name)
	}
	slices.Sort(f.Words)
	return f, true
}

// masks are lists of words that are one number on the bus.
func masks(u *unit.Unit, s *unit.Setting, v []string) (any, bool) {
	switch s.DBus {
	case "CapabilityBoundingSet", "AmbientCapabilities":
		key := unit.CapabilityBoundingSet
		if s.DBus == "AmbientCapabilities" {
			key = unit.AmbientCapabilities
		}
		set, err := sandbox.Capabilities(u, key, 0)
		return set & (1<<sandbox.CapabilityCount() - 1), err == nil
	case "RestrictNamespaces":
		return namespaceMask(v), true
	case "CoredumpFilter":
		return coredumpMask(v), true
	}
	if len(v) > 0 { // MemoryLimit= and its kind, of cgroup v1
		if n, err := strconv.ParseUint(v[len(v)-1], 10, 64); err == nil {
			return n, true
		}
	}
	return uint64(infinity), true
}

// amounts reads "DEVICE NUMBER"; numbers may have K, M, G, T of 1000 each
// (systemd.resource-control(5), IOReadBandwidthMax=) and times a unit.
func amounts(v []string) []Amount {
	out := []Amount{}
	for _, w := range v {
		at := strings.LastIndexAny(w, " \t")
		if at < 0 {
			continue
		}
		dev, text := strings.TrimSpace(w[:at]), w[at+1:]
		n, factor := uint64(0), uint64(1)
		if text == "infinity" {
			n = infinity
		} else if text != "" {
			if k := strings.IndexByte("KMGT", text[len(text)-1]); k >= 0 {
				for range k + 1 {
					factor *= 1000
				}
				text = text[:len(text)-1]
			}
			if x, err := strconv.ParseUint(text, 10, 64); err == nil {
				n = x * factor
			} else if d, err := time.ParseDuration(text); err == nil {
				n = usec(d)
			}
		}
		out = append(out, Amount{dev, n})
	}
	return out
}

// bits is a set of numbers and ranges as the bytes of a mask.
func bits(v []string) []byte {
	out := []byte{}
	for _, w := range v {
		for part := range strings.SplitSeq(w, ",") {
			lo, hi, ranged := strings.Cut(part, "-")
			a, err := strconv.Atoi(lo)
			if err != nil {
				continue
			}
			b := a
			if ranged {
				if b, err = strconv.Atoi(hi); err != nil {
					continue
				}
			}
			for n := a; n <= b && n < 8192; n++ {
				for len(out) <= n/8 {
					out = append(out, 0)
				}
				out[n/8] |= 1 << (n % 8)
			}
		}
	}
	return out
}

// networks reads addresses with prefix lengths, and the words of
// systemd.resource-control(5) for some of them.
func networks(v []string) []Network {
	named := map[string][]string{"any": {"0.0.0.0/0", "::/0"}, "localhost": {"127.0.0.0/8", "::1/128"},
		"link-local": {"169.254.0.0/16", "fe80::/64"}, "multicast": {"224.0.0.0/4", "ff00::/8"}}
	out := []Network{}
	add := func(text string) {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, err := netip.ParseAddr(text)
			if err != nil {
				return
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		n := Network{Family: 2, Address: p.Addr().AsSlice(), Prefix: uint32(p.Bits())}
		if p.Addr().Is6() {
			n.Family = 10
		}
		out = append(out, n)
	}
	for _, w := range v {
		if list := named[w]; list != nil {
			for _, x := range list {
				add(x)
			}
			continue
		}
		add(w)
	}
	return out
}

// bindings reads FAMILY:PROTOCOL:PORTS of SocketBindAllow=.
func bindings(v []string) []Binding {
	out := []Binding{}
	for _, w := range v {
		var b Binding
		for part := range strings.SplitSeq(w, ":") {
			switch part {
			case "ipv4":
				b.Family = 2
			case "ipv6":
				b.Family = 10
			case "tcp":
				b.Protocol = 6
			case "udp":
				b.Protocol = 17
			case "any":
			default:
				lo, hi, ranged := strings.Cut(part, "-")
				a, err := strconv.ParseUint(lo, 10, 16)
				if err != nil {
					continue
				}
				b.Port, b.Count = uint16(a), 1
				if z, err := strconv.ParseUint(hi, 10, 16); ranged && err == nil && z >= a {
					b.Count = uint16(z - a + 1)
				}
			}
		}
		out = append(out, b)
	}
	return out
}

// Bits reads what the kernel writes of sets: "0-3,5".
func Bits(text string) []byte { return bits(strings.Fields(text)) }
