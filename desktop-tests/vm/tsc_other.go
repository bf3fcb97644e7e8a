//go:build !amd64

package vm

// hostTSC is 0 where the host has no time stamp counter that guests of amd64 could see.
func hostTSC() int { return 0 }
