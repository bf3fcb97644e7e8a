//go:build !amd64 && !arm64

package child

import "unsafe"

func trampolineCode() unsafe.Pointer { return nil }

const elfMachine = 0 // EM_NONE
