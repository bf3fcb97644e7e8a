package cgroupbpf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
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
	var hook *btf.Func
	if err := kernel.TypeByName("bpf_lsm_file_open", &hook); err != nil {
		return fmt.Errorf("the hook file_open: %w: %w", ErrUnsupported, err)
	}
	id, err := kernel.TypeID(hook)
	if err != nil {
		return fmt.Errorf("the hook file_open: %w: %w", ErrUnsupported, err)
	}
	prog, err := loadHook("dynamod_fs", uint32(id), code)
	if err != nil {
		return err
	}
	return attachTo(dir, "dynamod_fs", prog, ebpf.AttachLSMCgroup)
}

// loadAttr is the part of union bpf_attr that BPF_PROG_LOAD reads (bpf(2)), as far as
// attach_btf_id.
type loadAttr struct {
	progType, insnCount         uint32
	insns, license              uint64
	logLevel, logSize           uint32
	logBuf                      uint64
	kernVersion, progFlags      uint32
	name                        [16]byte
	ifindex, expectedAttach     uint32
	btfFD, funcInfoSize         uint32
	funcInfo                    uint64
	funcInfoCount, lineInfoSize uint32
	lineInfo                    uint64
	lineInfoCount, attachBTF    uint32
}

// loadHook loads a program for a hook of the security modules, for single cgroups. The
// library finds hooks for programs of the whole machine only.
func loadHook(name string, hook uint32, code asm.Instructions) (*ebpf.Program, error) {
	var insns bytes.Buffer
	var order binary.ByteOrder = binary.BigEndian
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		order = binary.LittleEndian
	}
	if err := code.Marshal(&insns, order); err != nil {
		return nil, fmt.Errorf("load %s: %w", name, err)
	}
	license := append([]byte(license), 0)
	log := make([]byte, 64<<10)
	var pins runtime.Pinner
	defer pins.Unpin()
	for _, b := range [][]byte{insns.Bytes(), license, log} {
		pins.Pin(&b[0])
	}
	attr := loadAttr{
		progType: unix.BPF_PROG_TYPE_LSM, expectedAttach: unix.BPF_LSM_CGROUP, attachBTF: hook,
		insnCount: uint32(insns.Len() / asm.InstructionSize), insns: address(insns.Bytes()), license: address(license),
		logLevel: 1, logSize: uint32(len(log)), logBuf: address(log),
	}
	copy(attr.name[:len(attr.name)-1], name)
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if errno == unix.ENOSYS {
		return nil, fmt.Errorf("load %s: %w: %w", name, ErrUnsupported, errno)
	}
	if errno != 0 {
		said, _, _ := bytes.Cut(log, []byte{0})
		return nil, fmt.Errorf("load %s: %w: %s", name, errno, bytes.TrimSpace(said))
	}
	return ebpf.NewProgramFromFD(int(fd))
}

func address(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(&b[0]))) }

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
