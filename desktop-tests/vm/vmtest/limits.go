package vmtest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dynamod/desktop-tests/vm"
)

// guestLimit is when a test binary in the guest gives up: before the machine is
// ended, so that the goroutines of a stuck test are seen.
func guestLimit(job vm.Job) time.Duration {
	limit := job.Limit
	if limit == 0 {
		limit = 2 * time.Minute
	}
	return limit - min(limit/4, 20*time.Second)
}

func withTail(err error, out *vm.Outcome) error {
	text, readErr := os.ReadFile(filepath.Join(out.Dir, "output.log"))
	if readErr != nil {
		return err
	}
	return fmt.Errorf("%w\nthe end of the program's output:\n%s", err, tail(text, 4000))
}

// Checks makes a subtest of each check that the guest reported.
func Checks(t *testing.T, r *vm.Results) {
	t.Helper()
	for _, c := range r.Checks() {
		t.Run(c.Name, func(t *testing.T) {
			if !c.OK {
				t.Error(c.Text)
			}
		})
	}
}
