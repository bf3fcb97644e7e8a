package virt

func cpuid(leaf, sub uint32) (eax, ebx, ecx, edx uint32)

// CPUID asks the processor; the other architectures have none and answer false.
func CPUID(leaf, sub uint32) (regs [4]uint32, ok bool) {
	top := leaf & 0xf0000000
	if top != 0x40000000 { // the range of hypervisors has no reliable maximum
		if most, _, _, _ := cpuid(top, 0); leaf > most {
			return regs, false
		}
	}
	regs[0], regs[1], regs[2], regs[3] = cpuid(leaf, sub)
	return regs, true
}
