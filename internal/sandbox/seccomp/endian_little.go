//go:build !s390x

package seccomp

const bigEndian = false
