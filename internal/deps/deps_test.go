package deps

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestImportLaw(t *testing.T) {
	found, err := check(os.DirFS("../.."), law)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		t.Error(v)
	}
}

func TestNoRowTwice(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range law {
		if seen[r.pkg] {
			t.Errorf("%s has two rows; only the first one counts", r.pkg)
		}
		seen[r.pkg] = true
	}
}

// TestViolationsAreFound is the test of the test: each file breaks the law in
// one way, and an innocent one keeps it.
func TestViolationsAreFound(t *testing.T) {
	synthetic := []rule{
		{pkg: "internal/low", pure: true},
		{pkg: "internal/high", ours: []string{"internal/low"}, outside: []string{"example.org/lib/..."}, never: []string{"net/..."}},
		{pkg: "internal/testkit/...", ours: []string{"..."}},
	}
	for _, c := range []struct{ file, src, want string }{
		{"internal/low/a.go", `package low; import "strings"; var _ = strings.ToLower`, ""},
		{"internal/low/a.go", `package low; import ("time"; "math/rand/v2"); var _ = rand.New(rand.NewPCG(1, 2)); var _ time.Time`, ""},
		{"internal/low/a.go", "package low; import \"time\"\n var _ = time.Now()", "internal/low/a.go:2: internal/low uses time.Now"},
		{"internal/low/a.go", "package low; import t \"time\"\n var _ = t.NewTimer", "uses time.NewTimer"},
		{"internal/low/a.go", `package low; import . "time"`, `under the name "."`},
		{"internal/low/a.go", "package low; func f() { go f() }", "starts a goroutine"},
		{"internal/low/a.go", `package low; import "os"`, "imports os: the package is pure"},
		{"internal/low/a.go", `package low; import "os/exec"`, "imports os/exec: the package is pure"},
		{"internal/low/a.go", `package low; import "sync/atomic"`, "imports sync/atomic: the package is pure"},
		{"internal/low/a.go", `package low; import "log/slog"`, "imports log/slog: the package is pure"},
		{"internal/low/a.go", `package low; import "golang.org/x/sys/unix"`, "the package is pure"},
		{"internal/low/a.go", `package low; import "math/rand/v2"; var _ = rand.IntN(3)`, "uses rand.IntN"},
		{"internal/low/a.go", `package low; import "dynamod/internal/high"`, "does not allow it"},
		{"internal/low/a.go", `package low; import "testing"`, "only tests may"},
		{"internal/low/a.go", `package low; import "dynamod/internal/testkit"`, "only tests may"},
		{"internal/low/a.go", `package low; import "C"`, "no cgo"},
		{"internal/low/a_test.go", `package low; import "os"`, ""},
		{"internal/low/testdata/a.go", `package low; import "os"`, ""},
		{"internal/high/a.go", `package high; import ("os"; "dynamod/internal/low"; "example.org/lib/part")`, ""},
		{"internal/high/a.go", `package high; import "net/http"`, "forbids it"},
		{"internal/high/a.go", `package high; import "example.org/other"`, "does not allow this dependency"},
		{"internal/new/a.go", `package new`, "has no row"},
		{"internal/testkit/vm/a.go", `package vm; import ("testing"; "dynamod/internal/high")`, ""},
	} {
		found, err := check(fstest.MapFS{c.file: {Data: []byte(c.src)}}, synthetic)
		if err != nil {
			t.Errorf("%s: %v", c.src, err)
			continue
		}
		hit := slices.ContainsFunc(found, func(v violation) bool { return strings.Contains(v.String(), c.want) })
		switch {
		case c.want == "" && len(found) > 0:
			t.Errorf("%s: %s\nis innocent, but: %v", c.file, c.src, found)
		case c.want != "" && (!hit || len(found) != 1):
			t.Errorf("%s: %s\nfound %v; want exactly %q", c.file, c.src, found, c.want)
		}
	}
	if _, err := check(fstest.MapFS{"internal/low/a.go": {Data: []byte("pakcage low")}}, synthetic); err == nil {
		t.Error("a file that is no Go passes")
	}
}
