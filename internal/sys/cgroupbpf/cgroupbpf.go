// Package cgroupbpf attaches programs to cgroup2 directories: which devices may be
// used, which addresses talked to, which ports and interfaces used, which file
// systems opened. A program stays attached as long as its directory exists, whatever
// becomes of the manager. Programs of several directories add up: all must allow.
package cgroupbpf

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// ErrUnsupported is what a kernel without the feature answers.
var ErrUnsupported = errors.New("the kernel does not support it")

// attach loads the instructions and attaches them to dir.
func attach(dir, name string, spec ebpf.ProgramSpec, code asm.Instructions) error {
	spec.Name, spec.License, spec.Instructions = name, license, code
	prog, err := ebpf.NewProgram(&spec)
	if err != nil {
		if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.ENOSYS) {
			return fmt.Errorf("load %s: %w: %w", name, ErrUnsupported, err)
		}
		return fmt.Errorf("load %s: %w", name, err)
	}
	return attachTo(dir, name, prog, spec.AttachType)
}

const license = "Dual MIT/GPL"

// attachTo hands a program over to the group, which holds it from then on.
func attachTo(dir, name string, prog *ebpf.Program, at ebpf.AttachType) error {
	defer prog.Close()
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	err = link.RawAttachProgram(link.RawAttachProgramOptions{Target: int(f.Fd()), Program: prog, Attach: at, Flags: unix.BPF_F_ALLOW_MULTI})
	if err != nil {
		return fmt.Errorf("attach %s to %s: %w", name, dir, err)
	}
	return nil
}

// answer ends a program.
func answer(n int32) asm.Instructions {
	return asm.Instructions{asm.Mov.Imm(asm.R0, n), asm.Return()}
}

// Access to a device, as the kernel counts it.
const (
	Mknod = 1
	Read  = 2
	Write = 4
)

// Device is a rule about devices. Major and Minor are -1 for all.
type Device struct {
	Char         bool
	Major, Minor int64
	Access       uint8
}

// Devices lets the processes of dir use only what a rule allows. Those of except are
// looked at first: what of their kind is not in their access is denied. all allows
// everything else.
func Devices(dir string, rules, except []Device, all bool) error {
	// struct bpf_cgroup_dev_ctx: access_type, major, minor.
	code := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word), asm.LoadMem(asm.R4, asm.R1, 4, asm.Word), asm.LoadMem(asm.R5, asm.R1, 8, asm.Word),
		asm.Mov.Reg(asm.R3, asm.R2), asm.RSh.Imm(asm.R3, 16), asm.And.Imm(asm.R2, 0xffff),
	}
	n := 0
	same := func(d Device) (asm.Instructions, string) {
		n++
		next := fmt.Sprintf("next%d", n)
		kind := int32(1) // BPF_DEVCG_DEV_BLOCK
		if d.Char {
			kind = 2
		}
		out := asm.Instructions{asm.JNE.Imm(asm.R2, kind, next)}
		if d.Major >= 0 {
			out = append(out, asm.JNE.Imm(asm.R4, int32(d.Major), next))
		}
		if d.Minor >= 0 {
			out = append(out, asm.JNE.Imm(asm.R5, int32(d.Minor), next))
		}
		return out, next
	}
	label := ""
	add := func(list asm.Instructions) {
		if label != "" {
			list[0] = list[0].WithSymbol(label)
			label = ""
		}
		code = append(code, list...)
	}
	for _, d := range except {
		list, next := same(d)
		list = append(list, asm.Mov.Reg(asm.R0, asm.R3), asm.And.Imm(asm.R0, int32(^d.Access&7)), asm.JEq.Imm(asm.R0, 0, next))
		add(append(list, answer(0)...))
		label = next
	}
	for _, d := range rules {
		list, next := same(d)
		list = append(list, asm.Mov.Reg(asm.R0, asm.R3), asm.And.Imm(asm.R0, int32(^d.Access&7)), asm.JNE.Imm(asm.R0, 0, next))
		add(append(list, answer(1)...))
		label = next
	}
	last := int32(0)
	if all {
		last = 1
	}
	add(answer(last))
	return attach(dir, "dynamod_device", ebpf.ProgramSpec{Type: ebpf.CGroupDevice, AttachType: ebpf.AttachCGroupDevice}, code)
}

// Bind is a rule about bind(2). Family is AF_INET, AF_INET6 or 0 for both, Protocol
// IPPROTO_TCP, IPPROTO_UDP or 0 for all; the ports are a range.
type Bind struct {
	Family, Protocol int
	Low, High        uint16
}

// Binds lets sockets be bound to what a rule of allow has, or none of deny.
func Binds(dir string, allow, deny []Bind) error {
	for _, hook := range []struct {
		family int
		attach ebpf.AttachType
	}{{unix.AF_INET, ebpf.AttachCGroupInet4Bind}, {unix.AF_INET6, ebpf.AttachCGroupInet6Bind}} {
		// struct bpf_sock_addr: user_port is at 24, protocol at 36.
		code := asm.Instructions{
			asm.LoadMem(asm.R2, asm.R1, 24, asm.Word), asm.HostTo(asm.BE, asm.R2, asm.Half),
			asm.LoadMem(asm.R3, asm.R1, 36, asm.Word),
		}
		label, n := "", 0
		for i, list := range [][]Bind{allow, deny} {
			for _, b := range list {
				if b.Family != 0 && b.Family != hook.family {
					continue
				}
				n++
				next := fmt.Sprintf("next%d", n)
				var out asm.Instructions
				if b.Protocol != 0 {
					out = append(out, asm.JNE.Imm(asm.R3, int32(b.Protocol), next))
				}
				out = append(out, asm.JLT.Imm(asm.R2, int32(b.Low), next), asm.JGT.Imm(asm.R2, int32(b.High), next))
				out = append(out, answer(int32(1-i))...)
				if label != "" {
					out[0] = out[0].WithSymbol(label)
				}
				label = next
				code = append(code, out...)
			}
		}
		end := answer(1)
		if label != "" {
			end[0] = end[0].WithSymbol(label)
		}
		code = append(code, end...)
		if err := attach(dir, "dynamod_bind", ebpf.ProgramSpec{Type: ebpf.CGroupSockAddr, AttachType: hook.attach}, code); err != nil {
			return err
		}
	}
	return nil
}
