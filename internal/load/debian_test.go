package load

import (
	"os"
	"testing"
	"time"

	"dynamod/desktop-tests/debtree"
	"dynamod/internal/diag"
)

func TestDebianTree(t *testing.T) {
	root, ok := debtree.Cached(debtree.GNOME)
	if !ok {
		t.Skip("SKIPPED: no Debian tree in the cache; build it with desktop-tests/cmd/debtree gnome")
	}
	for _, c := range []struct {
		mode Mode
		name string
		min  int
	}{{System, "system", 200}, {User, "user", 100}} {
		start := time.Now()
		set, ds := Load(Config{FS: os.DirFS(root), Mode: c.mode, Fstab: "/etc/fstab"})
		took := time.Since(start)
		t.Logf("%s: %d units, %d diagnostics in %v", c.name, len(set.Units), len(ds), took)
		if len(set.Units) < c.min || took > 2*time.Second {
			t.Errorf("%s: %d units in %v; want at least %d in well under a second", c.name, len(set.Units), took, c.min)
		}
		for _, d := range ds {
			if d.Severity == diag.Error {
				t.Errorf("%s: %s", c.name, d)
			}
		}
	}
}
