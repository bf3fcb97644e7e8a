package child

import "unsafe"

// trampolineCode is the address of the code in trampoline_amd64.s.
func trampolineCode() unsafe.Pointer

const elfMachine = 62 // EM_X86_64
