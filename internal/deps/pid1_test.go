package deps

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// notInPID1 is what dynamod-init must not be made of, by any way: D-Bus, networks, JSON,
// TOML and what brings its own goroutines or much memory along.
var notInPID1 = []string{"net/...", "encoding/json/...", "encoding/gob", "os/exec", "os/user", "plugin",
	"log/...", "regexp/...", "text/template", "compress/...", "crypto/...", "runtime/cgo",
	"github.com/...", "dynamod/internal/bus", "dynamod/internal/load/...", "dynamod/internal/unit"}

// linked are the packages that a program is made of, its own and all they import.
func linked(t *testing.T, pkg string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", pkg)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as make build has it
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps %s: %v", pkg, err)
	}
	return strings.Fields(string(out))
}

func forbidden(packages []string) (out []string) {
	for _, p := range packages {
		if anyCovers(notInPID1, p) {
			out = append(out, p)
		}
	}
	return out
}

// The import law is about what a package names itself; PID 1 pays for the rest too.
func TestPID1IsSmall(t *testing.T) {
	packages := linked(t, "./init")
	if !slices.Contains(packages, "dynamod/init/internal/pid1") || !slices.Contains(packages, "runtime") {
		t.Fatalf("go list does not know what PID 1 is made of: %v", packages)
	}
	if bad := forbidden(packages); len(bad) > 0 {
		t.Errorf("PID 1 is made of %v (go list -deps ./init; go list -f '{{.ImportPath}} {{.Imports}}' names the way)", bad)
	}
	// The test of the test: the bridge speaks D-Bus and the manager JSON.
	for pkg, want := range map[string]string{"./sd1bridge": "github.com/godbus/dbus/v5", "./svmgr": "encoding/json"} {
		if bad := forbidden(linked(t, pkg)); !slices.Contains(bad, want) {
			t.Errorf("%s passes for free of %s: %v", pkg, want, bad)
		}
	}
}
