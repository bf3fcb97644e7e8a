#include "textflag.h"

// trampoline is a whole program; see trampoline.go. It is copied, so that it must not
// refer to anything outside of itself.
TEXT ·trampoline(SB), NOSPLIT|NOFRAME, $0
	MOVQ $0x2000002e8, BX // tableAddress

loop:
	MOVQ 0(BX), AX
	MOVQ 8(BX), DI
	MOVQ 16(BX), SI
	MOVQ 24(BX), DX
	MOVQ 32(BX), R10
	MOVQ 40(BX), R8
	MOVQ 48(BX), R9
	SYSCALL
	CMPQ AX, 96(BX)
	JGE  next
	NEGQ AX
	CMPQ AX, 104(BX)
	JEQ  next
	MOVQ 56(BX), CX
	TESTQ CX, CX
	JEQ  exit
	MOVL AX, (CX)
	MOVQ $44, AX         // sendto, if it is a socket: without SIGPIPE
	MOVQ 88(BX), DI
	MOVQ 64(BX), SI
	MOVQ 72(BX), DX
	MOVQ $0x4000, R10    // MSG_NOSIGNAL
	XORQ R8, R8
	XORQ R9, R9
	SYSCALL
	CMPQ AX, $-88        // ENOTSOCK
	JNE  exit
	MOVQ $1, AX          // write
	SYSCALL

exit:
	MOVQ $231, AX        // exit_group
	MOVQ 80(BX), DI
	SYSCALL

next:
	ADDQ $112, BX
	JMP  loop

// func trampolineCode() unsafe.Pointer
TEXT ·trampolineCode(SB), NOSPLIT, $0-8
	MOVQ $·trampoline(SB), AX
	MOVQ AX, ret+0(FP)
	RET
