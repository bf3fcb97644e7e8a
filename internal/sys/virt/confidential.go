package virt

import (
	"encoding/binary"
	"io"
)

// Confidential is the technology that keeps this machine's memory from its host, in the
// words of systemd-detect-virt(1), --cvm: sev, sev-es, sev-snp, tdx or protvirt; "" for
// none. Like there it is no proof: a host can pretend it.
func Confidential(m Machine) string {
	if m.text("sys/firmware/uv/prot_virt_guest") == "1" { // s390, Documentation/virt/kvm/s390/s390-pv.rst
		return "protvirt"
	}
	if m.CPUID == nil {
		return ""
	}
	const hypervisor = 1 << 31
	if regs, ok := m.CPUID(1, 0); !ok || regs[2]&hypervisor == 0 {
		return ""
	}
	// Intel TDX Module Base Architecture Specification, "CPUID leaf 0x21".
	if regs, ok := m.CPUID(0x21, 0); ok {
		var b [12]byte
		for i, r := range []uint32{regs[1], regs[3], regs[2]} {
			binary.LittleEndian.PutUint32(b[4*i:], r)
		}
		if string(b[:]) == "IntelTDX    " {
			return "tdx"
		}
	}
	// AMD64 Architecture Programmer's Manual, volume 2, 15.34.10: the leaf says that the
	// register is there, and that says what is on.
	const sev = 1 << 1
	if regs, ok := m.CPUID(0x8000001f, 0); !ok || regs[0]&sev == 0 {
		return ""
	}
	switch status := m.msr(0xc0010131); {
	case status&(1<<2) != 0:
		return "sev-snp"
	case status&(1<<1) != 0:
		return "sev-es"
	case status&1 != 0:
		return "sev"
	}
	return ""
}

// msr reads a register of the first processor (msr(4)), 0 where that is not possible.
func (m Machine) msr(register int64) uint64 {
	f, err := m.Root.Open("dev/cpu/0/msr")
	if err != nil {
		return 0
	}
	defer f.Close()
	at, ok := f.(io.ReaderAt)
	if !ok {
		return 0
	}
	var b [8]byte
	if _, err := at.ReadAt(b[:], register); err != nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b[:])
}
