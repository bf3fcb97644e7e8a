package sim

import (
	"bytes"
	"os/exec"
	"testing"
)

// The simulator must find a bug that was put into the core on purpose (build
// tag plantedbug: an explicit stop does not forbid the automatic restart) and
// shrink it to a handful of events. The test binary with the tag is another
// program, so it is built and run as a child.
func TestPlantedBugIsFound(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a second test binary")
	}
	cmd := exec.Command("go", "test", "-count=1", "-tags=plantedbug", "-run=^TestFindPlantedBug$", "-v", ".")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("PASS: TestFindPlantedBug")) {
		t.Fatalf("%v\n%s", err, out)
	}
}
