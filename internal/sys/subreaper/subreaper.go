// Package subreaper makes this process the parent of its orphaned descendants.
package subreaper

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Become asks for it (PR_SET_CHILD_SUBREAPER, prctl(2)). PID 1 of a pid namespace
// has it anyway. Children inherit nothing of it.
func Become() error {
	if os.Getpid() == 1 {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl PR_SET_CHILD_SUBREAPER: %w", err)
	}
	return nil
}
