package debtree

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dynamod/desktop-tests/internal/progress"
)

func TestRecipesAreValid(t *testing.T) {
	keys := map[string]string{}
	for _, r := range Recipes() {
		if err := r.Validate(); err != nil {
			t.Error(err)
		}
		if other, twice := keys[r.Key()]; twice {
			t.Errorf("recipes %s and %s have one key %s", r.Name, other, r.Key())
		}
		keys[r.Key()] = r.Name
		if got, err := Lookup(r.Name); err != nil || got.Key() != r.Key() {
			t.Errorf("Lookup(%q) = %v, %v", r.Name, got.Name, err)
		}
	}
	if r, err := Lookup("units"); err != nil || r.Name != "gnome-units" {
		t.Errorf(`Lookup("units") = %q, %v; want gnome-units`, r.Name, err)
	}
	if _, err := Lookup("gentoo"); err == nil || !strings.Contains(err.Error(), "gnome-units") {
		t.Errorf(`Lookup("gentoo") error = %v; want one that names the recipes`, err)
	}
}

func TestValidateRefuses(t *testing.T) {
	good := Recipe{Name: "x", Suite: "trixie", Arch: "amd64", Method: Unpack, Packages: []string{"aa", "bb"},
		Links: []Link{{"etc/a", "/b"}, {"etc/c", "/d"}}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Recipe){
		"no name":           func(r *Recipe) { r.Name = "" },
		"name with a slash": func(r *Recipe) { r.Name = "a/b" },
		"name like a flag":  func(r *Recipe) { r.Name = "-a" },
		"no suite":          func(r *Recipe) { r.Suite = "" },
		"no architecture":   func(r *Recipe) { r.Arch = "" },
		"no method":         func(r *Recipe) { r.Method = "" },
		"no packages":       func(r *Recipe) { r.Packages = nil },
		"package as flag":   func(r *Recipe) { r.Packages = []string{"--purge"} },
		"two in one name":   func(r *Recipe) { r.Packages = []string{"aa,bb"} },
		"unsorted":          func(r *Recipe) { r.Packages = []string{"bb", "aa"} },
		"twice":             func(r *Recipe) { r.Packages = []string{"aa", "aa"} },
		"nothing to follow": func(r *Recipe) { r.Method, r.Links, r.Follow = Bootstrap, nil, "linux-image-" },
		"follow a flag":     func(r *Recipe) { r.Follow = "-x" },
		"links scripts do":  func(r *Recipe) { r.Method = Bootstrap },
		"absolute link":     func(r *Recipe) { r.Links = []Link{{"/etc/a", "/b"}} },
		"link outside":      func(r *Recipe) { r.Links = []Link{{"../a", "/b"}} },
		"link to nothing":   func(r *Recipe) { r.Links = []Link{{"etc/a", ""}} },
		"links unsorted":    func(r *Recipe) { r.Links = []Link{{"etc/c", "/d"}, {"etc/a", "/b"}} },
	} {
		bad := good
		spoil(&bad)
		if bad.Validate() == nil {
			t.Errorf("%s: Validate accepted it", name)
		}
	}
}

func TestKeyFollowsContent(t *testing.T) {
	base := Recipe{Name: "x", Suite: "trixie", Arch: "amd64", Method: Unpack, Packages: []string{"aa"}}
	same := base
	same.Packages = []string{"aa"}
	if same.Key() != base.Key() {
		t.Error("equal recipes have different keys")
	}
	if !strings.HasPrefix(base.Key(), "x-") {
		t.Errorf("Key() = %s; want it to start with the name", base.Key())
	}
	for name, change := range map[string]func(*Recipe){
		"suite":        func(r *Recipe) { r.Suite = "forky" },
		"architecture": func(r *Recipe) { r.Arch = "arm64" },
		"method":       func(r *Recipe) { r.Method = Bootstrap },
		"packages":     func(r *Recipe) { r.Packages = []string{"aa", "bb"} },
		"links":        func(r *Recipe) { r.Links = []Link{{"etc/a", "/b"}} },
		"revision":     func(r *Recipe) { r.Revision++ },
	} {
		other := base
		change(&other)
		if other.Key() == base.Key() {
			t.Errorf("another %s, same key", name)
		}
	}
}

func TestCacheDir(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", "/x")
	t.Setenv("DYNAMOD_CACHE", "")
	if dir, err := CacheDir(); err != nil || dir != "/x/dynamod" {
		t.Errorf("CacheDir() = %q, %v; want /x/dynamod", dir, err)
	}
	t.Setenv("DYNAMOD_CACHE", "/y")
	if dir, err := CacheDir(); err != nil || dir != "/y" {
		t.Errorf("CacheDir() = %q, %v; want /y", dir, err)
	}
}

func TestMountBelow(t *testing.T) {
	const info = "22 1 8:1 / / rw - ext4 /dev/vda rw\n23 22 0:5 / /c/tmp-1/proc rw - proc proc rw\n"
	for dir, want := range map[string]string{"/c/tmp-1": "/c/tmp-1/proc", "/c/tmp-1/proc": "/c/tmp-1/proc", "/c/tmp": "", "/c/tmp-10": ""} {
		if got := mountBelow(info, dir); got != want {
			t.Errorf("mountBelow(%s) = %q; want %q", dir, got, want)
		}
	}
}

func TestLastLines(t *testing.T) {
	if got := lastLines("a\nb\nc\n", 2); got != "\tb\n\tc" {
		t.Errorf("lastLines = %q", got)
	}
	if got := lastLines("a", 2); got != "\ta" {
		t.Errorf("lastLines = %q", got)
	}
}

func TestFollowed(t *testing.T) {
	depends := "linux-image-amd64\n  Depends: linux-image-6.12.1+deb13-amd64\n  Depends: kmod\n |Depends: linux-image-x\n  Suggests: linux-image-doc\n  Depends: linux-image-6.12.1+deb13-amd64\n"
	got := followed(depends, "linux-image-")
	if want := []string{"linux-image-6.12.1+deb13-amd64"}; !slices.Equal(got, want) {
		t.Errorf("followed = %q; want %q", got, want)
	}
}

func TestStepsSplitAcrossWrites(t *testing.T) {
	var log, shown bytes.Buffer
	s := &steps{log: &log, p: progress.New(&shown, "x")}
	for _, b := range []string{"I: one\nnoi", "se\nI: t", "wo\n"} {
		if _, err := s.Write([]byte(b)); err != nil {
			t.Fatal(err)
		}
	}
	s.p.Close()
	if log.String() != "I: one\nnoise\nI: two\n" {
		t.Errorf("log = %q", log.String())
	}
	if got := shown.String(); !strings.Contains(got, "one\n") || !strings.Contains(got, "two\n") || strings.Contains(got, "noise") {
		t.Errorf("progress = %q", got)
	}
}

// stubTool puts a program of that name first in PATH.
func stubTool(t *testing.T, name, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestFailedBuildSaysWhyAndLeavesNothing(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("DYNAMOD_CACHE", cache)
	stubTool(t, "mmdebstrap", "echo E: the mirror is down >&2\nexit 7\n")
	_, err := Ensure(t.Context(), Minimal, nil)
	if err == nil || !strings.Contains(err.Error(), "the mirror is down") || !strings.Contains(err.Error(), "mmdebstrap: exit status 7") {
		t.Errorf("Ensure error = %v; want the tool, its status and the end of its log", err)
	}
	left, _ := os.ReadDir(filepath.Join(cache, "debtree"))
	if len(left) != 1 || left[0].Name() != "build.lock" {
		t.Errorf("left behind: %v; want only build.lock", left)
	}
}

func TestMissingToolNamesTheRemedy(t *testing.T) {
	t.Setenv("DYNAMOD_CACHE", t.TempDir())
	t.Setenv("PATH", t.TempDir())
	_, err := Ensure(t.Context(), Minimal, nil)
	if err == nil || !strings.Contains(err.Error(), "tools/install-deps.sh tree") {
		t.Errorf("Ensure error = %v; want one that names tools/install-deps.sh", err)
	}
}

func TestCancelledBuildLeavesNothing(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("DYNAMOD_CACHE", cache)
	ctx, cancel := context.WithCancel(t.Context())
	stubTool(t, "mmdebstrap", "echo 'I: at work' >&2\nexec sleep 1000\n")
	_, err := Ensure(ctx, Minimal, writerFunc(func(b []byte) {
		if strings.Contains(string(b), "at work") {
			cancel()
		}
	}))
	if err == nil {
		t.Fatal("Ensure succeeded")
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "debtree", tmpPrefix+"*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A build that was killed with SIGKILL could not clean up: the next one does.
func TestEnsureSweepsKilledBuilds(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("DYNAMOD_CACHE", cache)
	dead := filepath.Join(cache, "debtree", tmpPrefix+"dead")
	if err := os.MkdirAll(filepath.Join(dead, "root"), 0o755); err != nil {
		t.Fatal(err)
	}
	stubTool(t, "mmdebstrap", "exit 1\n")
	if _, err := Ensure(t.Context(), Minimal, nil); err == nil {
		t.Fatal("Ensure succeeded")
	}
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there (%v)", dead, err)
	}
}

func TestSecondBuildWaitsForTheFirst(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("DYNAMOD_CACHE", cache)
	store := filepath.Join(cache, "debtree")
	if err := os.MkdirAll(store, 0o755); err != nil {
		t.Fatal(err)
	}
	unlock, err := lock(t.Context(), filepath.Join(store, "build.lock"), nil)
	if err != nil {
		t.Fatal(err)
	}
	// While the second waits, the first one finishes the same tree.
	tree, err := Ensure(t.Context(), Minimal, writerFunc(func(b []byte) {
		if strings.Contains(string(b), "another build is running") {
			want, _ := Path(Minimal)
			if err := os.MkdirAll(want, 0o755); err != nil {
				t.Error(err)
			}
			unlock()
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := Cached(Minimal); !ok || got != tree {
		t.Errorf("Cached = %q, %v; want %q", got, ok, tree)
	}
}

func TestWaitForLockEndsWithContext(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), file, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lock(ctx, file, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("lock = %v; want context.Canceled", err)
	}
}

func TestVerifyNeedsARealTree(t *testing.T) {
	_, err := SystemdAnalyzeVerify(t.TempDir(), "a.service")
	if no := (*NoChrootError)(nil); !errors.As(err, &no) {
		t.Errorf("SystemdAnalyzeVerify of an empty tree: %v; want a NoChrootError", err)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

// TestTrees builds what is missing in the cache and compares the trees with each
// other and with the recorded user graph.
func TestTrees(t *testing.T) {
	if os.Getenv("DYNAMOD_TREE") == "" {
		t.Skip("set DYNAMOD_TREE=1 to download Debian packages and build the trees (5 s for gnome-units, 90 s for gnome, 1.7 GB)")
	}
	full, err := Ensure(t.Context(), GNOME, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	units, err := Ensure(t.Context(), GNOMEUnits, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("golden units are there", func(t *testing.T) {
		golden, err := os.ReadFile("testdata/gnome-user-units.txt")
		if err != nil {
			t.Fatal(err)
		}
		for _, tree := range []string{full, units} {
			for _, name := range strings.Fields(string(golden)) {
				if _, err := os.Stat(filepath.Join(tree, "usr/lib/systemd/user", name)); err != nil {
					t.Error(err)
				}
			}
		}
	})
	t.Run("both have the same units and links", func(t *testing.T) {
		a, b := unitTree(t, full), unitTree(t, units)
		for name, what := range a {
			if other, ok := b[name]; !ok {
				t.Errorf("only in gnome: %s %s", name, firstLine(what))
			} else if other != what {
				t.Errorf("%s differs: gnome has %s, gnome-units %s", name, firstLine(what), firstLine(other))
			}
		}
		for name, what := range b {
			if _, ok := a[name]; !ok {
				t.Errorf("only in gnome-units: %s %s", name, firstLine(what))
			}
		}
		if len(a) < 450 {
			t.Errorf("only %d units, drop-ins and links; a GNOME system has more than 450", len(a))
		}
	})
	t.Run("systemd-analyze runs", func(t *testing.T) {
		lines, err := SystemdAnalyzeVerify(full, "ssh.service")
		if no := (*NoChrootError)(nil); errors.As(err, &no) {
			t.Skip(no)
		}
		if err != nil || len(lines) > 0 {
			t.Errorf("SystemdAnalyzeVerify(ssh.service) = %q, %v; want no complaints", lines, err)
		}
		lines, err = SystemdAnalyzeVerify(full, "no-such-unit.service")
		if err != nil || !slices.ContainsFunc(lines, func(s string) bool { return strings.Contains(s, "no-such-unit.service") }) {
			t.Errorf("SystemdAnalyzeVerify(no-such-unit.service) = %q, %v; want a complaint", lines, err)
		}
		lines, err = SystemdAnalyzeVerifyUser(full, "foot-server.socket")
		if err != nil || len(lines) > 0 {
			t.Errorf("SystemdAnalyzeVerifyUser(foot-server.socket) = %q, %v; want no complaints", lines, err)
		}
	})
	t.Run("nothing stays mounted", func(t *testing.T) {
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		dir, err := CacheDir()
		if err != nil {
			t.Fatal(err)
		}
		if at := mountBelow(string(mounts), dir); at != "" {
			t.Errorf("%s is mounted", at)
		}
	})
}

// unitTree reads every file (its text) and link ("-> target") of the unit directories.
func unitTree(t *testing.T, tree string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, dir := range []string{"etc/systemd/system", "etc/systemd/user", "usr/lib/systemd/system", "usr/lib/systemd/user"} {
		err := filepath.WalkDir(filepath.Join(tree, dir), func(name string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(tree, name)
			if err != nil {
				return err
			}
			if d.Type()&os.ModeSymlink != 0 {
				target, err := os.Readlink(name)
				all[rel] = "-> " + target
				return err
			}
			text, err := os.ReadFile(name)
			all[rel] = string(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
