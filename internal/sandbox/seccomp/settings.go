package seccomp

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Settings are what a unit says about system calls. Words of lists keep the "~"
// that was before the first one of their line.
type Settings struct {
	// Filter, ErrorNumber, Log and Architectures are SystemCallFilter= and its
	// kind.
	Filter        []string
	ErrorNumber   string
	Log           []string
	Architectures []string

	AddressFamilies []string // RestrictAddressFamilies=
	Namespaces      []string // RestrictNamespaces=

	Realtime, SUIDSGID bool
	// LockPersonality allows Personality only, the execution domain as
	// personality(2) knows it.
	LockPersonality bool
	Personality     uint32
	// WriteExec refuses memory that is writable and executable, SharedExec
	// shared memory that is executable.
	WriteExec, SharedExec bool

	// Clock, Modules, Logs, Hostname and RawIO are the parts of ProtectClock=,
	// ProtectKernelModules=, ProtectKernelLogs=, ProtectHostname= and
	// PrivateDevices=.
	Clock, Modules, Logs, Hostname, RawIO bool

	// ErrnoOf is the number of an error such as "EPERM".
	ErrnoOf func(name string) (int, bool)
}

// The error numbers that the programs answer with. They are the same on all
// machines that Go runs on, but for the last (mips is none of ours).
const (
	ePERM        = 1
	eNOSYS       = 38
	eAFNOSUPPORT = 97
)

// Programs compiles the settings for a machine. notes are what was left out, for
// the unit's warnings. An error means that the settings make no sense, and that the
// unit must not start without them.
func (s *Settings) Programs(goarch string) (out []Program, notes []string, err error) {
	var filters []*filter
	add := func(f *filter, err2 error) {
		if err == nil {
			err = err2
		}
		if f != nil {
			filters = append(filters, f)
		}
	}
	if len(s.Architectures) > 0 {
		add(s.architectures(goarch))
	}
	if f := s.protections(); len(f.rules) > 0 {
		add(f, nil)
	}
	if len(s.AddressFamilies) > 0 {
		add(s.addressFamilies())
	}
	if len(s.Namespaces) > 0 {
		add(s.namespaces())
	}
	if len(s.Log) > 0 {
		f, n, err2 := s.logged()
		notes = append(notes, n...)
		add(f, err2)
	}
	if len(s.Filter) > 0 {
		f, n, err2 := s.filtered()
		notes = append(notes, n...)
		add(f, err2)
	}
	if err != nil {
		return nil, nil, err
	}
	for _, f := range filters {
		p, err := f.compile(goarch)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, p)
	}
	return out, notes, nil
}

func (s *Settings) architectures(goarch string) (*filter, error) {
	f := &filter{name: "SystemCallArchitectures", other: Allow, unknown: Allow, only: map[string]bool{}}
	list := abis(goarch)
	for _, w := range s.Architectures {
		switch {
		case w == "native":
		case !knownArchitecture(w):
			return nil, fmt.Errorf("SystemCallArchitectures=%s: there is no such architecture", w)
		default:
			f.only[w] = true
		}
	}
	if len(list) > 0 {
		f.only[list[0].name] = true // the native one is always among them
	}
	return f, nil
}

// knownArchitecture says whether systemd.unit(5), ConditionArchitecture=, or
// systemd.exec(5) names it.
func knownArchitecture(w string) bool {
	return slices.Contains(strings.Fields("x86 x86-64 x32 ppc ppc-le ppc64 ppc64-le ia64 parisc parisc64 s390 s390x sparc sparc64 "+
		"mips mips-le mips64 mips64-le mips64-n32 mips64-le-n32 alpha arm arm-be arm64 arm64-be sh sh64 m68k tilegx cris arc arc-be "+
		"riscv32 riscv64 loongarch64"), w)
}

func has(arg int, bits uint64) test { return test{arg: arg, mask: bits, values: []uint64{bits}} }

const low32 = 1<<32 - 1

// protections are the settings whose rules are fixed.
func (s *Settings) protections() *filter {
	f := &filter{name: "protections", rules: map[string][]rule{}, other: Allow, unknown: Allow}
	deny := func(call string, tests ...test) {
		f.rules[call] = append(f.rules[call], rule{tests, Errno(ePERM)})
	}
	group := func(calls ...string) {
		for _, c := range calls {
			if f.rules[c] == nil {
				deny(c)
			}
		}
	}
	if s.Clock {
		group(Members("@clock")...)
	}
	if s.Modules {
		group(Members("@module")...)
	}
	if s.RawIO {
		group(Members("@raw-io")...)
	}
	if s.Logs {
		group("syslog")
	}
	if s.Hostname {
		group("sethostname", "setdomainname")
	}
	if s.Realtime {
		const resetOnFork = 0x40000000
		// SCHED_OTHER, SCHED_BATCH and SCHED_IDLE.
		deny("sched_setscheduler", test{arg: 1, mask: low32 &^ resetOnFork, values: []uint64{0, 3, 5}, not: true})
		// Its policy lies in memory, where no filter looks.
		deny("sched_setattr")
	}
	if s.SUIDSGID {
		const suid, sgid, creat, tmpfile = 0o4000, 0o2000, 0o100, 0o20000000
		for call, arg := range map[string]int{"chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2, "mkdir": 1, "mkdirat": 2, "mknod": 1, "mknodat": 2, "creat": 1} {
			deny(call, has(arg, suid))
			deny(call, has(arg, sgid))
		}
		for call, arg := range map[string]int{"open": 1, "openat": 2} {
			for _, flag := range []uint64{creat, tmpfile} {
				for _, bit := range []uint64{suid, sgid} {
					deny(call, has(arg, flag), has(arg+1, bit))
				}
			}
		}
		// Its mode lies in memory. Callers fall back to openat.
		f.rules["openat2"] = []rule{{nil, Errno(eNOSYS)}}
	}
	if s.LockPersonality {
		deny("personality", test{arg: 0, mask: low32, values: []uint64{uint64(s.Personality), low32}, not: true})
	}
	const write, exec, shmExec = 2, 4, 0o100000
	if s.WriteExec {
		for _, call := range []string{"mmap", "mmap2"} {
			deny(call, has(2, write|exec))
		}
		for _, call := range []string{"mprotect", "pkey_mprotect"} {
			deny(call, has(2, exec))
		}
	}
	if s.SharedExec || s.WriteExec {
		deny("shmat", has(2, shmExec))
	}
	return f
}

// choose reads a list with "~": the first word says whether it is about what is
// allowed or what is denied, and the later ones add to it or take away.
func choose(words []string, take func(word string, add bool) error) (deny bool, err error) {
	for i, w := range words {
		w, inverted := strings.CutPrefix(w, "~")
		if i == 0 {
			deny = inverted
		}
		if w == "" {
			continue
		}
		if err := take(w, inverted == deny); err != nil {
			return deny, err
		}
	}
	return deny, nil
}

// families are the address families of linux/socket.h by number.
var families = []string{"AF_UNSPEC", "AF_UNIX", "AF_INET", "AF_AX25", "AF_IPX", "AF_APPLETALK", "AF_NETROM", "AF_BRIDGE", "AF_ATMPVC", "AF_X25",
	"AF_INET6", "AF_ROSE", "AF_DECnet", "AF_NETBEUI", "AF_SECURITY", "AF_KEY", "AF_NETLINK", "AF_PACKET", "AF_ASH", "AF_ECONET", "AF_ATMSVC",
	"AF_RDS", "AF_SNA", "AF_IRDA", "AF_PPPOX", "AF_WANPIPE", "AF_LLC", "AF_IB", "AF_MPLS", "AF_CAN", "AF_TIPC", "AF_BLUETOOTH", "AF_IUCV",
	"AF_RXRPC", "AF_ISDN", "AF_PHONET", "AF_IEEE802154", "AF_CAIF", "AF_ALG", "AF_NFC", "AF_VSOCK", "AF_KCM", "AF_QIPCRTR", "AF_SMC", "AF_XDP", "AF_MCTP"}

// FamilyNames are all address families that have a name.
func FamilyNames() []string { return families }

// Families are the families of RestrictAddressFamilies=; deny says that all others
// are allowed.
func Families(words []string) (list []int, deny bool, err error) {
	if slices.Equal(words, []string{"none"}) {
		return nil, false, nil
	}
	deny, err = choose(words, func(w string, add bool) error {
		n := slices.Index(families, w)
		if n < 0 && w == "AF_LOCAL" {
			n = 1
		}
		if n < 0 {
			return fmt.Errorf("RestrictAddressFamilies=%s: there is no such address family", w)
		}
		list = slices.DeleteFunc(list, func(x int) bool { return x == n })
		if add {
			list = append(list, n)
		}
		return nil
	})
	return list, deny, err
}

func (s *Settings) addressFamilies() (*filter, error) {
	list, deny, err := Families(s.AddressFamilies)
	if err != nil {
		return nil, err
	}
	f := &filter{name: "RestrictAddressFamilies", rules: map[string][]rule{}, other: Allow, unknown: Allow}
	r := rule{do: Errno(eAFNOSUPPORT)}
	if len(list) > 0 || deny {
		t := test{arg: 0, mask: low32, not: !deny}
		for _, n := range list {
			t.values = append(t.values, uint64(n))
		}
		r.tests = []test{t}
	}
	f.rules["socket"] = []rule{r}
	return f, nil
}

// spaces are the kinds of namespaces and their CLONE_NEW… flags.
var spaces = []struct {
	name string
	flag uint64
}{{"cgroup", 0x02000000}, {"ipc", 0x08000000}, {"net", 0x40000000}, {"mnt", 0x00020000}, {"pid", 0x20000000}, {"user", 0x10000000}, {"uts", 0x04000000}}

// newTime is CLONE_NEWTIME, which clone(2) has no room for.
const newTime = 0x80

// ForbiddenSpaces are the kinds of namespaces that RestrictNamespaces= forbids.
func ForbiddenSpaces(words []string) (names []string, err error) {
	var set []string
	deny, all := false, false
	first := true
	for _, w := range words {
		switch w {
		case "yes", "true", "on", "1", "y", "t":
			set, deny, all, first = nil, false, true, false
			continue
		case "no", "false", "off", "0", "n", "f":
			set, deny, all, first = nil, true, false, false
			continue
		}
		w, inverted := strings.CutPrefix(w, "~")
		if first {
			deny, first = inverted, false
		}
		if w == "" {
			continue
		}
		if !slices.ContainsFunc(spaces, func(x struct {
			name string
			flag uint64
		}) bool {
			return x.name == w
		}) {
			return nil, fmt.Errorf("RestrictNamespaces=%s: there is no such namespace", w)
		}
		all = false
		set = slices.DeleteFunc(set, func(x string) bool { return x == w })
		if inverted == deny {
			set = append(set, w)
		}
	}
	for _, x := range spaces {
		if slices.Contains(set, x.name) == deny {
			names = append(names, x.name)
		}
	}
	if all {
		names = append(names, "time")
	}
	return names, nil
}

func (s *Settings) namespaces() (*filter, error) {
	names, err := ForbiddenSpaces(s.Namespaces)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	f := &filter{name: "RestrictNamespaces", rules: map[string][]rule{}, other: Allow, unknown: Allow}
	deny := func(call string, t test) {
		f.rules[call] = append(f.rules[call], rule{[]test{t}, Errno(ePERM)})
	}
	for _, n := range names {
		flag := uint64(newTime)
		for _, x := range spaces {
			if x.name == n {
				flag = x.flag
			}
		}
		deny("unshare", has(0, flag))
		deny("setns", has(1, flag))
		if flag != newTime {
			deny("clone", has(cloneFlags, flag))
		}
	}
	deny("setns", test{arg: 1, mask: low32, values: []uint64{0}})
	// Its flags lie in memory. Callers fall back to clone.
	f.rules["clone3"] = []rule{{nil, Errno(eNOSYS)}}
	return f, nil
}

// action reads what SystemCallErrorNumber= takes.
func (s *Settings) action(text string) (Action, error) {
	if text == "" || text == "kill" {
		return Kill, nil
	}
	if n, err := strconv.Atoi(text); err == nil && n >= 1 && n <= 4095 {
		return Errno(n), nil
	}
	if n, ok := s.ErrnoOf(text); ok {
		return Errno(n), nil
	}
	return 0, fmt.Errorf("%q is no error number: write a name such as EPERM, a number from 1 to 4095, or kill", text)
}

// filtered is SystemCallFilter=.
func (s *Settings) filtered() (*filter, []string, error) {
	do, err := s.action(s.ErrorNumber)
	if err != nil {
		return nil, nil, fmt.Errorf("SystemCallErrorNumber=: %w", err)
	}
	list, deny, notes, err := s.Calls()
	if err != nil {
		return nil, nil, err
	}
	f := &filter{name: "SystemCallFilter", rules: map[string][]rule{}, other: Allow, unknown: Allow}
	if deny {
		for name, special := range list {
			a := do
			if special != 0 {
				a = special
			}
			f.rules[name] = []rule{{nil, a}}
		}
		return f, notes, nil
	}
	f.other, f.unknown = do, do
	if do != Kill {
		// What nobody could have listed does not exist: callers know what
		// to do then.
		f.unknown = Errno(eNOSYS)
		everything := Members("@known")
		for _, r := range numbers {
			if !slices.Contains(everything, r.name) {
				f.rules[r.name] = []rule{{nil, f.unknown}}
			}
		}
	}
	for name, special := range list {
		a := Allow
		if special != 0 {
			a = special
		}
		f.rules[name] = []rule{{nil, a}}
	}
	return f, notes, nil
}

// Calls are the system calls of SystemCallFilter=, each with an action of its own or
// 0; deny says that all others are allowed. An allowed list has @default in it.
func (s *Settings) Calls() (list map[string]Action, deny bool, notes []string, err error) {
	list = map[string]Action{}
	inverted := len(s.Filter) > 0 && strings.HasPrefix(s.Filter[0], "~")
	if !inverted {
		for _, c := range Members("@default") {
			list[c] = 0
		}
	}
	deny, err = choose(s.Filter, func(w string, add bool) error {
		w, answer, special := strings.Cut(w, ":")
		calls, err := Expand(w)
		if err != nil {
			if strings.HasPrefix(w, "@") {
				return fmt.Errorf("SystemCallFilter=: %w", err)
			}
			notes = append(notes, fmt.Sprintf("SystemCallFilter=: %v; it is left out", err))
			return nil
		}
		var a Action
		if special {
			if add != inverted {
				return fmt.Errorf("SystemCallFilter=%s:%s: an allowed call has no answer of its own", w, answer)
			}
			if a, err = s.action(answer); err != nil {
				return fmt.Errorf("SystemCallFilter=%s: %w", w, err)
			}
		}
		for _, c := range calls {
			if add || a != 0 {
				list[c] = a
			} else {
				delete(list, c)
			}
		}
		return nil
	})
	return list, deny, notes, err
}

// logged is SystemCallLog=.
func (s *Settings) logged() (*filter, []string, error) {
	f := &filter{name: "SystemCallLog", rules: map[string][]rule{}, other: Allow, unknown: Allow}
	var notes []string
	list := map[string]bool{}
	deny, err := choose(s.Log, func(w string, add bool) error {
		calls, err := Expand(w)
		if err != nil {
			notes = append(notes, fmt.Sprintf("SystemCallLog=: %v; it is left out", err))
			return nil
		}
		for _, c := range calls {
			list[c] = add
		}
		return nil
	})
	hit := Log
	if deny {
		f.other, f.unknown, hit = Log, Log, Allow
	}
	for name, on := range list {
		if on {
			f.rules[name] = []rule{{nil, hit}}
		}
	}
	return f, notes, err
}
