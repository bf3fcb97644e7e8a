package seccomp

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

const machines = 8

// machineNames are the columns of the table, as Go names architectures.
var machineNames = [machines]string{"amd64", "386", "arm64", "arm", "riscv64", "ppc64le", "s390x", "loong64"}

type row struct {
	name string
	nr   [machines]int16 // -1 where the machine does not have it
}

// abi is one way to call the kernel: a machine's numbers behind an AUDIT_ARCH_….
type abi struct {
	// name is as systemd.unit(5), ConditionArchitecture=, has it.
	name   string
	audit  uint32
	column int
	x32    bool
}

// The values of linux/audit.h.
const (
	auditX8664   = 0xc000003e
	auditI386    = 0x40000003
	auditArm64   = 0xc00000b7
	auditArm     = 0x40000028
	auditRiscv64 = 0xc00000f3
	auditPPC64LE = 0xc0000015
	auditS390X   = 0x80000016
	auditLoong64 = 0xc0000102
)

// x32Bit marks the calls of x32 on x86-64.
const x32Bit = 0x40000000

// abis are those that a kernel for the machine may offer, the native one first.
func abis(goarch string) []abi {
	switch goarch {
	case "amd64":
		return []abi{{"x86-64", auditX8664, 0, false}, {"x32", auditX8664, 0, true}, {"x86", auditI386, 1, false}}
	case "386":
		return []abi{{"x86", auditI386, 1, false}}
	case "arm64":
		return []abi{{"arm64", auditArm64, 2, false}, {"arm", auditArm, 3, false}}
	case "arm":
		return []abi{{"arm", auditArm, 3, false}}
	case "riscv64":
		return []abi{{"riscv64", auditRiscv64, 4, false}}
	case "ppc64le":
		return []abi{{"ppc64-le", auditPPC64LE, 5, false}}
	case "s390x":
		return []abi{{"s390x", auditS390X, 6, false}}
	case "loong64":
		return []abi{{"loongarch64", auditLoong64, 7, false}}
	}
	return nil
}

// x32Own are the calls that have numbers of their own on x32, from 512
// (asm/unistd_x32.h). All others have those of x86-64.
var x32Own = [...]string{"rt_sigaction", "rt_sigreturn", "ioctl", "readv", "writev", "recvfrom", "sendmsg", "recvmsg",
	"execve", "ptrace", "rt_sigpending", "rt_sigtimedwait", "rt_sigqueueinfo", "sigaltstack", "timer_create", "mq_notify",
	"kexec_load", "waitid", "set_robust_list", "get_robust_list", "vmsplice", "move_pages", "preadv", "pwritev",
	"rt_tgsigqueueinfo", "recvmmsg", "sendmmsg", "process_vm_readv", "process_vm_writev", "setsockopt", "getsockopt",
	"io_setup", "io_submit", "execveat", "preadv2", "pwritev2"}

// number is that of a call in the ABI.
func (a abi) number(name string) (uint32, bool) {
	i, ok := slices.BinarySearchFunc(numbers[:], name, func(r row, name string) int { return strings.Compare(r.name, name) })
	if !ok || numbers[i].nr[a.column] < 0 {
		return 0, false
	}
	n := uint32(numbers[i].nr[a.column])
	if !a.x32 {
		return n, true
	}
	if i := slices.Index(x32Own[:], name); i >= 0 {
		n = 512 + uint32(i)
	}
	return n | x32Bit, true
}

// Known says whether a name is that of a system call of some machine.
func Known(name string) bool {
	_, ok := slices.BinarySearchFunc(numbers[:], name, func(r row, name string) int { return strings.Compare(r.name, name) })
	return ok
}

//go:embed groups.txt
var groupText string

// Members are the calls of a group such as "@mount", with those of the groups in
// it. nil means that there is no such group.
func Members(group string) []string {
	var out []string
	seen := map[string]bool{}
	var walk func(group string) bool
	walk = func(group string) bool {
		if seen[group] {
			return true
		}
		seen[group] = true
		lines, ok := section(group)
		for _, m := range lines {
			if m[0] == '@' {
				walk(m)
			} else if !seen[m] {
				seen[m] = true
				out = append(out, m)
			}
		}
		return ok
	}
	walk(group)
	return out
}

func section(group string) (lines []string, ok bool) {
	for line := range strings.SplitSeq(groupText, "\n") {
		m, inner := strings.CutPrefix(line, "\t")
		switch {
		case ok && inner:
			lines = append(lines, m)
		case ok:
			return lines, true
		case line == group:
			ok = true
		}
	}
	return lines, ok
}

// Groups are the names of all groups.
func Groups() (out []string) {
	for line := range strings.SplitSeq(groupText, "\n") {
		if strings.HasPrefix(line, "@") {
			out = append(out, line)
		}
	}
	return out
}

// Expand is the call itself, or the members of the group.
func Expand(word string) ([]string, error) {
	if strings.HasPrefix(word, "@") {
		if m := Members(word); m != nil {
			return m, nil
		}
		return nil, fmt.Errorf("there is no group of system calls %s", word)
	}
	if !Known(word) && !slices.Contains(Members("@known"), word) {
		return nil, fmt.Errorf("there is no system call %s", word)
	}
	return []string{word}, nil
}
