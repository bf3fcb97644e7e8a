//go:build amd64 || arm64

package main

// strayHandler is the address of a signal handler that writes strayOne into the
// descriptor that strayFDs has for its signal.
func strayHandler() uintptr
