package world

import (
	"os"
	"testing"
)

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
