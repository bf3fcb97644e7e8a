#include "textflag.h"

// stray is a signal handler in C's convention: it writes one into the eventfd of its
// signal. The kernel restores every register behind it.
TEXT ·stray(SB), NOSPLIT|NOFRAME, $0
	LEAQ ·strayFDs(SB), CX
	MOVL DI, DI
	MOVL (CX)(DI*4), DI
	LEAQ ·strayOne(SB), SI
	MOVL $8, DX
	MOVL $1, AX               // write
	SYSCALL
	RET

// func strayHandler() uintptr
TEXT ·strayHandler(SB), NOSPLIT, $0-8
	MOVQ $·stray(SB), AX
	MOVQ AX, ret+0(FP)
	RET
