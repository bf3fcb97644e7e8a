package world

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/testkit"
)

// What a service that runs has on disk is not taken from it, even if it was at rest when
// somebody asked.
func TestCleanSparesWhatRuns(t *testing.T) {
	base := t.TempDir()
	r := newRig(t, func(c *Config) { c.Directories.State = base })
	u := service(t, "db.service", "ExecStart=/bin/sleep 1000", "StateDirectory=db")
	if err := r.Clean(u, []string{"state"}); err != nil {
		t.Errorf("nothing is there: %v", err)
	}
	r.spawn(u)
	if err := r.Clean(u, []string{"state"}); !errors.Is(err, unix.EBUSY) {
		t.Errorf("it runs: %v", err)
	}
	testkit.Eventually(t, "its directory is there", func() bool {
		_, err := os.Stat(base + "/db")
		return err == nil
	})
}

// A service that owns a runtime directory cannot, by links in it, have the manager remove
// what lies elsewhere.
func TestRuntimeDirectoriesAreRemovedBeneath(t *testing.T) {
	if os.Getuid() != 0 {
		return // links of our own are followed
	}
	base := t.TempDir()
	r := newRig(t, func(c *Config) { c.Directories.Runtime = base + "/run" })
	do(t, os.MkdirAll(base+"/etc/important", 0o755))
	do(t, os.MkdirAll(base+"/run/web/sub/cache/deep", 0o755))
	u := service(t, "web.service", "ExecStart=/bin/true", "RuntimeDirectory=web/sub/cache:web/sub/link web/moved/important:web/moved/link")
	do(t, os.WriteFile(base+"/etc/link", nil, 0o644))
	do(t, os.Symlink("cache", base+"/run/web/sub/link"))
	do(t, os.Symlink(base+"/etc", base+"/run/web/moved"))
	do(t, os.Lchown(base+"/run/web/moved", 4321, 4321))
	r.removeRuntimeDirectories(u)
	for _, p := range []string{"/etc/important", "/etc/link", "/run/web/sub"} {
		if _, err := os.Lstat(base + p); err != nil {
			t.Errorf("%s is gone: %v", p, err)
		}
	}
	for _, p := range []string{"/run/web/sub/cache", "/run/web/sub/link"} {
		if _, err := os.Lstat(base + p); err == nil {
			t.Errorf("%s is there still", p)
		}
	}
}
