#include "textflag.h"

// trampoline is a whole program; see trampoline.go. It is copied, so that it must not
// refer to anything outside of itself.
TEXT ·trampoline(SB), NOSPLIT|NOFRAME, $0
	MOVD $0x2000002e8, R19 // tableAddress

loop:
	MOVD 0(R19), R8
	MOVD 8(R19), R0
	MOVD 16(R19), R1
	MOVD 24(R19), R2
	MOVD 32(R19), R3
	MOVD 40(R19), R4
	MOVD 48(R19), R5
	SVC
	MOVD 96(R19), R1
	CMP  R1, R0
	BGE  next
	NEG  R0, R0
	MOVD 104(R19), R1
	CMP  R1, R0
	BEQ  next
	MOVD 56(R19), R1
	CBZ  R1, exit
	MOVW R0, (R1)
	MOVD $206, R8         // sendto, if it is a socket: without SIGPIPE
	MOVD 88(R19), R0
	MOVD 64(R19), R1
	MOVD 72(R19), R2
	MOVD $0x4000, R3      // MSG_NOSIGNAL
	MOVD $0, R4
	MOVD $0, R5
	SVC
	CMN  $88, R0          // ENOTSOCK
	BNE  exit
	MOVD $64, R8          // write
	MOVD 88(R19), R0
	SVC

exit:
	MOVD $94, R8          // exit_group
	MOVD 80(R19), R0
	SVC

next:
	ADD $112, R19
	B   loop

// func trampolineCode() unsafe.Pointer
TEXT ·trampolineCode(SB), NOSPLIT, $0-8
	MOVD $·trampoline(SB), R0
	MOVD R0, ret+0(FP)
	RET
