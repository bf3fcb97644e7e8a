package seccomp

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
)

// data is struct seccomp_data.
type data struct {
	nr, arch uint32
	args     [6]uint64
}

// run asks the program by the interpreter of x/net/bpf, which reads words as a
// network has them.
func (d data) run(t *testing.T, code []bpf.RawInstruction) Action {
	t.Helper()
	var in []bpf.Instruction
	for _, r := range code {
		in = append(in, r.Disassemble())
	}
	vm, err := bpf.NewVM(in)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	binary.BigEndian.PutUint32(b[0:], d.nr)
	binary.BigEndian.PutUint32(b[4:], d.arch)
	for i, a := range d.args {
		binary.BigEndian.PutUint32(b[16+8*i:], uint32(a))
		binary.BigEndian.PutUint32(b[20+8*i:], uint32(a>>32))
	}
	n, err := vm.Run(b)
	if err != nil {
		t.Fatal(err)
	}
	return Action(uint32(n))
}

// slow answers as the rules read, without a program.
func (f *filter) slow(goarch string, d data) Action {
	for _, a := range abis(goarch) {
		if a.audit != d.arch || a.audit == auditX8664 && a.x32 != (d.nr&x32Bit != 0) {
			continue
		}
		if f.only != nil && !f.only[a.name] {
			return Kill
		}
		for _, r := range numbers {
			nr, ok := a.number(r.name)
			if !ok || nr != d.nr {
				continue
			}
			for _, r := range f.rules[r.name] {
				if !slices.ContainsFunc(r.tests, func(t test) bool {
					return slices.ContainsFunc(t.values, func(v uint64) bool { return d.args[t.arg]&t.mask == v }) == t.not
				}) {
					return r.do
				}
			}
			return f.other
		}
		return f.unknown
	}
	if f.only != nil {
		return Kill
	}
	return Allow
}

var errnos = map[string]int{"EPERM": 1, "ENOENT": 2, "EACCES": 13, "EUCLEAN": 117}

func errnoOf(name string) (int, bool) {
	n, ok := errnos[name]
	return n, ok
}

// every is one of each setting.
func every() []Settings {
	list := []Settings{
		{Filter: []string{"@system-service"}},
		{Filter: []string{"@system-service", "~@privileged", "~@resources:EACCES"}, ErrorNumber: "EPERM"},
		{Filter: []string{"~@mount", "~@clock:EUCLEAN", "umount2"}},
		{Log: []string{"@file-system"}}, {Log: []string{"~read", "~write"}},
		{Architectures: []string{"native"}}, {Architectures: []string{"native", "x86"}}, {Architectures: []string{"x32"}},
		{AddressFamilies: []string{"AF_UNIX", "AF_INET6"}}, {AddressFamilies: []string{"~AF_PACKET", "~AF_VSOCK"}}, {AddressFamilies: []string{"none"}},
		{Namespaces: []string{"yes"}}, {Namespaces: []string{"net", "user"}}, {Namespaces: []string{"~mnt"}},
		{Realtime: true}, {SUIDSGID: true}, {LockPersonality: true, Personality: 8}, {WriteExec: true}, {SharedExec: true},
		{Clock: true}, {Modules: true}, {Logs: true}, {Hostname: true}, {RawIO: true},
		{Clock: true, Modules: true, Logs: true, Hostname: true, RawIO: true, Realtime: true, SUIDSGID: true, WriteExec: true},
	}
	for i := range list {
		list[i].ErrnoOf = errnoOf
	}
	return list
}

func (s *Settings) filters(t *testing.T, goarch string) (out []*filter) {
	t.Helper()
	keep := func(f *filter, err error) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	switch {
	case len(s.Architectures) > 0:
		keep(s.architectures(goarch))
	case len(s.AddressFamilies) > 0:
		keep(s.addressFamilies())
	case len(s.Namespaces) > 0:
		keep(s.namespaces())
	case len(s.Filter) > 0:
		f, _, err := s.filtered()
		keep(f, err)
	case len(s.Log) > 0:
		f, _, err := s.logged()
		keep(f, err)
	default:
		keep(s.protections(), nil)
	}
	return out
}

// Each program gives the answer of the rules, for every number of every machine and
// for arguments around those that the rules name.
func TestProgramsDoWhatTheRulesSay(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	interesting := []uint64{0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 16, 17, 40, 0o100, 0o2000, 0o4000, 0o4755, 0o100000, 0o20000000, 0x40000000, 0x40000001,
		0x10000000, 0x20000, 0x7e020000, 0x80, 1<<32 - 1, 1 << 32, 1<<32 | 1, 1<<63 | 6}
	for _, goarch := range []string{"amd64", "arm64", "riscv64", "386"} {
		for _, s := range every() {
			for _, f := range s.filters(t, goarch) {
				p, err := f.compile(goarch)
				if err != nil {
					t.Fatal(err)
				}
				var cases []data
				for _, a := range append(abis(goarch), abi{audit: 0x1234}) {
					bit := uint32(0)
					if a.x32 {
						bit = x32Bit
					}
					for nr := range uint32(560) {
						cases = append(cases, data{nr: nr | bit, arch: a.audit})
					}
					cases = append(cases, data{nr: 1<<31 - 1, arch: a.audit}, data{nr: 1<<32 - 1, arch: a.audit})
					// The calls that have tests, with many arguments.
					for name, rules := range f.rules {
						nr, ok := a.number(name)
						if !ok || a.audit == 0x1234 || !slices.ContainsFunc(rules, func(r rule) bool { return len(r.tests) > 0 }) {
							continue
						}
						for range 200 {
							d := data{nr: nr, arch: a.audit}
							for i := range d.args {
								d.args[i] = interesting[r.IntN(len(interesting))]
							}
							cases = append(cases, d)
						}
					}
				}
				for _, d := range cases {
					if got, want := d.run(t, p.Code), f.slow(goarch, d); got != want {
						t.Fatalf("%s on %s: %+v gives %#x; want %#x", f.name, goarch, d, uint32(got), uint32(want))
					}
				}
			}
		}
	}
}

func answer(t *testing.T, s Settings, call string, args ...uint64) string {
	t.Helper()
	s.ErrnoOf = errnoOf
	programs, _, err := s.Programs("amd64")
	if err != nil {
		return err.Error()
	}
	nr, ok := abis("amd64")[0].number(call)
	if !ok {
		t.Fatalf("no call %s", call)
	}
	d := data{nr: nr, arch: auditX8664}
	copy(d.args[:], args)
	worst := Allow
	for _, p := range programs {
		// Kill is the strictest and has the highest number, as a signed one
		// the lowest.
		if a := d.run(t, p.Code); int32(a) < int32(worst) {
			worst = a
		}
	}
	switch {
	case worst == Allow:
		return "allow"
	case worst == Log:
		return "log"
	case worst == Kill:
		return "kill"
	}
	return fmt.Sprint(uint32(worst) & 0xfff)
}

func TestSettings(t *testing.T) {
	for _, test := range []struct {
		s    Settings
		call string
		args []uint64
		want string
	}{
		{Settings{Filter: []string{"@system-service"}}, "read", nil, "allow"},
		{Settings{Filter: []string{"@system-service"}}, "mount", nil, "kill"},
		{Settings{Filter: []string{"@system-service"}, ErrorNumber: "EPERM"}, "mount", nil, "1"},
		{Settings{Filter: []string{"@system-service"}, ErrorNumber: "117"}, "mount", nil, "117"},
		// Always allowed (systemd.exec(5)).
		{Settings{Filter: []string{"read"}}, "execve", nil, "allow"},
		{Settings{Filter: []string{"read"}}, "clock_gettime", nil, "allow"},
		{Settings{Filter: []string{"read"}}, "write", nil, "kill"},
		// The first word decides; later ones add and take away.
		{Settings{Filter: []string{"read", "write", "~write"}}, "write", nil, "kill"},
		{Settings{Filter: []string{"~read", "~write", "write"}}, "write", nil, "allow"},
		{Settings{Filter: []string{"~read", "~write", "write"}}, "read", nil, "kill"},
		{Settings{Filter: []string{"~@mount:ENOENT"}}, "mount", nil, "2"},
		{Settings{Filter: []string{"@system-service", "~chown:EACCES"}, ErrorNumber: "EPERM"}, "chown", nil, "13"},
		{Settings{Filter: []string{"~@mount"}}, "pivot_root", nil, "kill"},
		{Settings{Filter: []string{"~@no-such-group"}}, "read", nil, "SystemCallFilter=: there is no group of system calls @no-such-group"},
		{Settings{Filter: []string{"read"}, ErrorNumber: "EWHAT"}, "read", nil, `SystemCallErrorNumber=: "EWHAT" is no error number: write a name such as EPERM, a number from 1 to 4095, or kill`},
		{Settings{Filter: []string{"read:EPERM"}}, "read", nil, "SystemCallFilter=read:EPERM: an allowed call has no answer of its own"},
		{Settings{Log: []string{"read"}}, "read", nil, "log"},
		{Settings{Log: []string{"~read"}}, "write", nil, "log"},
		{Settings{AddressFamilies: []string{"AF_UNIX"}}, "socket", []uint64{1}, "allow"},
		{Settings{AddressFamilies: []string{"AF_UNIX"}}, "socket", []uint64{2}, "97"},
		{Settings{AddressFamilies: []string{"~AF_INET"}}, "socket", []uint64{2}, "97"},
		{Settings{AddressFamilies: []string{"~AF_INET"}}, "socket", []uint64{1}, "allow"},
		{Settings{AddressFamilies: []string{"none"}}, "socket", []uint64{1}, "97"},
		{Settings{AddressFamilies: []string{"AF_LUNCH"}}, "socket", nil, "RestrictAddressFamilies=AF_LUNCH: there is no such address family"},
		{Settings{Namespaces: []string{"yes"}}, "unshare", []uint64{0x10000000}, "1"},
		{Settings{Namespaces: []string{"yes"}}, "unshare", []uint64{0x200}, "allow"},
		{Settings{Namespaces: []string{"yes"}}, "unshare", []uint64{0x80}, "1"},
		{Settings{Namespaces: []string{"no"}}, "unshare", []uint64{0x10000000}, "allow"},
		{Settings{Namespaces: []string{"cgroup", "ipc", "cgroup", "net"}}, "unshare", []uint64{0x40000000}, "allow"},
		{Settings{Namespaces: []string{"cgroup", "ipc", "~cgroup", "~net"}}, "unshare", []uint64{0x02000000}, "1"},
		{Settings{Namespaces: []string{"cgroup", "ipc", "~cgroup", "~net"}}, "unshare", []uint64{0x08000000}, "allow"},
		{Settings{Namespaces: []string{"~user"}}, "clone", []uint64{0x10000000 | 17}, "1"},
		{Settings{Namespaces: []string{"~user"}}, "clone", []uint64{17}, "allow"},
		{Settings{Namespaces: []string{"~user"}}, "clone3", nil, "38"},
		{Settings{Namespaces: []string{"~user"}}, "setns", []uint64{3, 0}, "1"},
		{Settings{Namespaces: []string{"lunch"}}, "setns", nil, "RestrictNamespaces=lunch: there is no such namespace"},
		{Settings{Realtime: true}, "sched_setscheduler", []uint64{0, 1}, "1"},
		{Settings{Realtime: true}, "sched_setscheduler", []uint64{0, 3 | 0x40000000}, "allow"},
		{Settings{SUIDSGID: true}, "chmod", []uint64{0, 0o4755}, "1"},
		{Settings{SUIDSGID: true}, "chmod", []uint64{0, 0o755}, "allow"},
		{Settings{SUIDSGID: true}, "openat", []uint64{0, 0, 0, 0o4755}, "allow"},
		{Settings{SUIDSGID: true}, "openat", []uint64{0, 0, 0o101, 0o2755}, "1"},
		{Settings{LockPersonality: true}, "personality", []uint64{8}, "1"},
		{Settings{LockPersonality: true}, "personality", []uint64{1<<32 - 1}, "allow"},
		{Settings{WriteExec: true}, "mmap", []uint64{0, 0, 7}, "1"},
		{Settings{WriteExec: true}, "mmap", []uint64{0, 0, 5}, "allow"},
		{Settings{WriteExec: true}, "mprotect", []uint64{0, 0, 5}, "1"},
		{Settings{SharedExec: true}, "shmat", []uint64{0, 0, 0o100000}, "1"},
		{Settings{Architectures: []string{"native"}}, "read", nil, "allow"},
		{Settings{Architectures: []string{"z80"}}, "read", nil, "SystemCallArchitectures=z80: there is no such architecture"},
	} {
		if got := answer(t, test.s, test.call, test.args...); got != test.want {
			t.Errorf("%+v: %s%d gives %s; want %s", test.s, test.call, test.args, got, test.want)
		}
	}
}

// The recorded groups are whole: every member is a group or has a name here.
func TestGroups(t *testing.T) {
	if n := len(Groups()); n < 25 {
		t.Fatalf("%d groups", n)
	}
	unknown := 0
	for _, g := range Groups() {
		if len(Members(g)) == 0 {
			t.Errorf("%s is empty", g)
		}
		for _, m := range Members(g) {
			if !Known(m) {
				unknown++
				if g == "@system-service" {
					// Calls of machines that Go does not know.
					t.Logf("%s of %s has no number", m, g)
				}
			}
		}
	}
	if all := len(Members("@known")); unknown > all/4 {
		t.Errorf("%d members have no number", unknown)
	}
	for _, c := range []string{"mount", "pivot_root", "move_mount"} {
		if !slices.Contains(Members("@mount"), c) {
			t.Errorf("%s is not in @mount", c)
		}
	}
	if Members("@nothing") != nil {
		t.Error("a group that is not there has members")
	}
}

// FuzzFilter: whatever is listed compiles or is refused, and the program answers as
// the rules read.
func FuzzFilter(f *testing.F) {
	f.Add("@system-service ~@privileged read", uint32(0), uint64(5))
	f.Add("~@mount:EPERM", uint32(165), uint64(0))
	f.Fuzz(func(t *testing.T, words string, nr uint32, arg uint64) {
		s := Settings{Filter: strings.Fields(words), ErrnoOf: errnoOf, ErrorNumber: "EPERM"}
		if len(s.Filter) == 0 || len(s.Filter) > 20 {
			return
		}
		fl, _, err := s.filtered()
		if err != nil {
			return
		}
		p, err := fl.compile("amd64")
		if err != nil {
			t.Fatal(err)
		}
		for _, arch := range []uint32{auditX8664, auditI386} {
			d := data{nr: nr, arch: arch, args: [6]uint64{arg, arg, arg}}
			if got, want := d.run(t, p.Code), fl.slow("amd64", d); got != want {
				t.Fatalf("%q: %+v gives %#x; want %#x", words, d, got, want)
			}
		}
	})
}
