package cgroupbpf

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// FileSystems lets the processes of dir open files only on file systems of the given
// magic numbers (statfs(2)), or, with except, only on others. It takes a kernel whose
// security modules include bpf, with programs for single cgroups (Linux 6.0).
func FileSystems(dir string, magics []uint32, except bool) error {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return fmt.Errorf("types of the kernel: %w: %w", ErrUnsupported, err)
	}
	// From a struct file to the magic number of what it lies on.
	var offs [3]int16
	for i, at := range [][2]string{{"file", "f_inode"}, {"inode", "i_sb"}, {"super_block", "s_magic"}} {
		var s *btf.Struct
		if err := kernel.TypeByName(at[0], &s); err != nil {
			return fmt.Errorf("struct %s: %w: %w", at[0], ErrUnsupported, err)
		}
		off, ok := memberAt(s, at[1])
		if !ok {
			return fmt.Errorf("struct %s has no %s: %w", at[0], at[1], ErrUnsupported)
		}
		offs[i] = int16(off)
	}
	code := asm.Instructions{
		asm.LoadMem(asm.R1, asm.R1, 0, asm.DWord), // the argument of file_open
		asm.LoadMem(asm.R1, asm.R1, offs[0], asm.DWord),
		asm.LoadMem(asm.R1, asm.R1, offs[1], asm.DWord),
		asm.LoadMem(asm.R1, asm.R1, offs[2], asm.DWord),
		asm.LSh.Imm(asm.R1, 32), asm.RSh.Imm(asm.R1, 32),
	}
	listed, other := int32(1), int32(0)
	if except {
		listed, other = 0, 1
	}
	for _, m := range magics {
		code = append(code, asm.LoadImm(asm.R2, int64(m), asm.DWord), asm.JEq.Reg(asm.R1, asm.R2, "listed"))
	}
	code = append(code, answer(other)...)
	end := answer(listed)
	end[0] = end[0].WithSymbol("listed")
	if len(magics) > 0 {
		code = append(code, end...)
	}
	return attach(dir, "dynamod_fs", ebpf.ProgramSpec{Type: ebpf.LSM, AttachType: ebpf.AttachLSMCgroup, AttachTo: "file_open"}, code)
}

// memberAt is the offset of a member in bytes, also of one in an unnamed struct or
// union within.
func memberAt(s *btf.Struct, name string) (uint32, bool) {
	for _, m := range s.Members {
		if m.Name == name {
			return m.Offset.Bytes(), true
		}
		if m.Name != "" {
			continue
		}
		var inner []btf.Member
		switch t := btf.UnderlyingType(m.Type).(type) {
		case *btf.Struct:
			inner = t.Members
		case *btf.Union:
			inner = t.Members
		}
		if off, ok := memberAt(&btf.Struct{Members: inner}, name); ok {
			return m.Offset.Bytes() + off, true
		}
	}
	return 0, false
}
