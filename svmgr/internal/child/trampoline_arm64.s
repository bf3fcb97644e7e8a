#include "textflag.h"

// trampoline is the whole program that enters a user namespace; see trampoline.go.
// It is copied, so that it must not refer to anything outside of itself.
TEXT ·trampoline(SB), NOSPLIT|NOFRAME, $0
	MOVD $0x200000000, R19

loop:
	MOVD 0(R19), R8
	MOVD 8(R19), R0
	MOVD 16(R19), R1
	MOVD 24(R19), R2
	MOVD 32(R19), R3
	MOVD 40(R19), R4
	MOVD 48(R19), R5
	SVC
	CMP  $0, R0
	BGE  next
	MOVD 80(R19), R1
	CMP  $0, R1
	BLT  next
	NEG  R0, R0
	MOVD 56(R19), R1
	MOVW R0, (R1)
	MOVD $64, R8          // write
	MOVD 88(R19), R0
	MOVD 64(R19), R1
	MOVD 72(R19), R2
	SVC
	MOVD $94, R8          // exit_group
	MOVD 80(R19), R0
	SVC

next:
	ADD $96, R19
	B   loop

// func trampolineCode() unsafe.Pointer
TEXT ·trampolineCode(SB), NOSPLIT, $0-8
	MOVD $·trampoline(SB), R0
	MOVD R0, ret+0(FP)
	RET
