//go:build s390x

package seccomp

// cloneFlags is which argument of clone(2) has the flags.
const cloneFlags = 1
