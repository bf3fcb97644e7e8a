package world

import (
	"os"
	"path/filepath"
	"testing"

	"dynamod/internal/testkit"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func pathUnit(t testing.TB, lines ...string) *unit.Unit {
	return service(t, "p.path", append([]string{"[Path]"}, lines...)...)
}

// armed waits until the unit's paths are watched.
func (r *rig) watches(u *unit.Unit) {
	r.t.Helper()
	r.Perform(core.Watch{Unit: u, What: core.WatchPaths})
}

func (r *rig) armed(n int) {
	r.t.Helper()
	testkit.Eventually(r.t, "the paths to be watched", func() bool {
		p := r.senses.paths
		p.mu.Lock()
		defer p.mu.Unlock()
		ready := len(p.specs) == n
		for s := range p.specs {
			ready = ready && len(s.roles) > 0
		}
		return ready
	})
}

func (r *rig) fired(watch int) {
	r.t.Helper()
	if e := until[core.PathChanged](r); e.Unit != "p.path" || e.Watch != watch {
		r.t.Errorf("%+v, want watch %d", e, watch)
	}
	r.armed(0)
}

func TestPathExists(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	u := pathUnit(t, "PathExists="+dir+"/a/b/c")
	r.watches(u)
	r.armed(1)
	// The way is made, taken away, and made again by a rename.
	do(t, os.MkdirAll(dir+"/a/b", 0o755))
	do(t, os.RemoveAll(dir+"/a"))
	do(t, os.MkdirAll(dir+"/x/b", 0o755))
	do(t, os.WriteFile(dir+"/x/b/c", nil, 0o600))
	r.quiet(t)
	do(t, os.Rename(dir+"/x", dir+"/a"))
	r.fired(0)
	// Level: what holds is told at once, again and again.
	r.watches(u)
	r.fired(0)
	do(t, os.Remove(dir+"/a/b/c"))
	r.watches(u)
	r.armed(1)
	r.quiet(t)
	r.Perform(core.Unwatch{Unit: "p.path", What: core.WatchPaths})
	r.armed(0)
	do(t, os.WriteFile(dir+"/a/b/c", nil, 0o600))
	r.quiet(t)
}

func TestPathThroughSymlink(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	do(t, os.Mkdir(dir+"/real", 0o755))
	r.watches(pathUnit(t, "PathExists="+dir+"/link/f"))
	r.armed(1)
	do(t, os.Symlink("real", dir+"/link"))
	do(t, os.WriteFile(dir+"/real/f", nil, 0o600))
	r.fired(0)
}

func TestPathExistsGlob(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	r.watches(pathUnit(t, "PathExists="+dir+"/never", "PathExistsGlob="+dir+"/d*/*.job"))
	r.armed(2)
	do(t, os.Mkdir(dir+"/e1", 0o755))
	do(t, os.WriteFile(dir+"/e1/x.job", nil, 0o600))
	do(t, os.Mkdir(dir+"/d1", 0o755))
	do(t, os.WriteFile(dir+"/d1/.hidden.job", nil, 0o600))
	do(t, os.WriteFile(dir+"/d1/x.tmp", nil, 0o600))
	r.quiet(t)
	do(t, os.Rename(dir+"/d1/x.tmp", dir+"/d1/x.job"))
	r.fired(1)
}

func TestDirectoryNotEmpty(t *testing.T) {
	r := newRig(t)
	dir := filepath.Join(t.TempDir(), "spool")
	u := pathUnit(t, "DirectoryNotEmpty="+dir, "MakeDirectory=yes", "DirectoryMode=0700")
	r.watches(u)
	r.armed(1)
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Error(st, err)
	}
	do(t, os.WriteFile(dir+"/.hidden", nil, 0o600))
	r.quiet(t)
	do(t, os.WriteFile(dir+"/job", nil, 0o600))
	r.fired(0)
	r.watches(u)
	r.fired(0)
}

func TestPathChangedAndModified(t *testing.T) {
	for _, c := range []struct {
		kind    string
		onWrite bool
	}{{"PathChanged", false}, {"PathModified", true}} {
		t.Run(c.kind, func(t *testing.T) {
			r := newRig(t)
			file := filepath.Join(t.TempDir(), "f")
			do(t, os.WriteFile(file, nil, 0o600))
			u := pathUnit(t, c.kind+"="+file)
			r.watches(u)
			r.armed(1)
			r.quiet(t) // not a level
			f, err := os.OpenFile(file, os.O_WRONLY, 0)
			do(t, err)
			_, err = f.WriteString("x")
			do(t, err)
			if c.onWrite {
				r.fired(0)
				r.watches(u)
				r.armed(1)
			}
			r.quiet(t)
			do(t, f.Close())
			r.fired(0)
			r.watches(u)
			r.armed(1)
			do(t, os.Rename(file, file+".old"))
			r.fired(0)
			// What came while nobody watched is seen.
			do(t, os.WriteFile(file, nil, 0o600))
			r.watches(u)
			r.fired(0)
			r.watches(u)
			r.armed(1)
			r.quiet(t)
		})
	}
}

func TestChangedDirectory(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	u := pathUnit(t, "PathChanged="+dir)
	r.watches(u)
	r.armed(1)
	do(t, os.WriteFile(dir+"/.hidden", nil, 0o600))
	r.quiet(t)
	do(t, os.WriteFile(dir+"/seen", nil, 0o600))
	r.fired(0)
}

// An overflow of the kernel's queue loses no change.
func TestOverflowCountsAsChange(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	r.watches(pathUnit(t, "PathChanged="+dir+"/x"))
	r.armed(1)
	p := r.senses.paths
	p.mu.Lock()
	p.event(-1, 0x4000 /* IN_Q_OVERFLOW */, "")
	p.mu.Unlock()
	r.fired(0)
}

// Watches are given back.
func TestWatchesAreFlat(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	for range 50 {
		r.watches(pathUnit(t, "PathExists="+dir+"/a", "PathChanged="+dir, "PathExistsGlob="+dir+"/b*"))
		r.armed(3)
		r.Perform(core.Unwatch{Unit: "p.path", What: core.WatchPaths})
		r.armed(0)
	}
	p := r.senses.paths
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.users) != 0 {
		t.Errorf("%d watches are left", len(p.users))
	}
}
