package memory

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// SmallPages keeps the kernel from making huge pages of this program's memory from now on
// (prctl(2), PR_SET_THP_DISABLE). GODEBUG=disablethp=1 does it for Go's heap alone; beside it
// stand some megabytes of the run-time's own, of which a third is in use, and where the kernel
// gives huge pages to everybody khugepaged sooner or later makes one of them: 1.4 MB more at
// once. Children inherit it: it is for programs that have none.
func SmallPages() error {
	if err := unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("disable huge pages: %w", err)
	}
	return nil
}
