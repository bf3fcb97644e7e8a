#include "textflag.h"

// stray is a signal handler in C's convention: it writes one into the eventfd of its
// signal. The kernel restores every register behind it.
TEXT ·stray(SB), NOSPLIT|NOFRAME, $0
	MOVD $·strayFDs(SB), R1
	MOVWU R0, R0
	LSL  $2, R0, R0
	MOVW (R1)(R0), R0
	MOVD $·strayOne(SB), R1
	MOVD $8, R2
	MOVD $64, R8              // write
	SVC
	RET

// func strayHandler() uintptr
TEXT ·strayHandler(SB), NOSPLIT, $0-8
	MOVD $·stray(SB), R0
	MOVD R0, ret+0(FP)
	RET
