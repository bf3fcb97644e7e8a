#include "textflag.h"

// trampoline is the whole program that enters a user namespace; see trampoline.go.
// It is copied, so that it must not refer to anything outside of itself.
TEXT ·trampoline(SB), NOSPLIT|NOFRAME, $0
	MOVQ $0x200000000, BX

loop:
	MOVQ 0(BX), AX
	MOVQ 8(BX), DI
	MOVQ 16(BX), SI
	MOVQ 24(BX), DX
	MOVQ 32(BX), R10
	MOVQ 40(BX), R8
	MOVQ 48(BX), R9
	SYSCALL
	TESTQ AX, AX
	JGE  next
	CMPQ 80(BX), $0
	JLT  next
	NEGQ AX
	MOVQ 56(BX), CX
	MOVL AX, (CX)
	MOVQ $1, AX          // write
	MOVQ 88(BX), DI
	MOVQ 64(BX), SI
	MOVQ 72(BX), DX
	SYSCALL
	MOVQ $231, AX        // exit_group
	MOVQ 80(BX), DI
	SYSCALL

next:
	ADDQ $96, BX
	JMP  loop

// func trampolineCode() unsafe.Pointer
TEXT ·trampolineCode(SB), NOSPLIT, $0-8
	MOVQ $·trampoline(SB), AX
	MOVQ AX, ret+0(FP)
	RET
