package child

import "unsafe"

// trampolineCode is the address of the code in trampoline_arm64.s.
func trampolineCode() unsafe.Pointer

const elfMachine = 183 // EM_AARCH64
