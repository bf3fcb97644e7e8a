package keeper

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// passing runs a helper with descriptors passed as $LISTEN_FDS does.
func passing(t *testing.T, argv, names []string, files ...*os.File) string {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.ExtraFiles = files
	cmd.Env = append(os.Environ(), "LISTEN_FDS="+strconv.Itoa(len(files)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}
