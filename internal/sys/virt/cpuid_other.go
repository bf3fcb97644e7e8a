//go:build !amd64

package virt

// CPUID is not there.
func CPUID(leaf, sub uint32) (regs [4]uint32, ok bool) { return regs, false }
