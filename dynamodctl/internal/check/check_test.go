package check

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"dynamod/internal/diag"
	"dynamod/internal/tree"
)

// forbidding is a tree in which some paths may not be read, for the tests run
// as root, who may read everything.
type forbidding struct {
	fstest.MapFS
	paths []string
}

func (f forbidding) refuse(op, name string) error {
	for _, p := range f.paths {
		if name == p {
			return &fs.PathError{Op: op, Path: name, Err: fs.ErrPermission}
		}
	}
	return nil
}

func (f forbidding) Open(name string) (fs.File, error) {
	if err := f.refuse("open", name); err != nil {
		return nil, err
	}
	return f.MapFS.Open(name)
}

func (f forbidding) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := f.refuse("open", name); err != nil {
		return nil, err
	}
	return f.MapFS.ReadDir(name)
}

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text), Mode: 0o644} }

func run(t *testing.T, fsys fs.FS, args ...string) *Report {
	t.Helper()
	r, err := Run(Options{Options: tree.Options{FS: fsys}, Args: args})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func has(r *Report, sev diag.Severity, code, path string) bool {
	for _, f := range r.Findings {
		if f.Severity == sev && f.Code == code && f.Pos.File == path {
			return true
		}
	}
	return false
}

// TestUnreadable: what cannot be read is reported, and hides nothing else.
func TestUnreadable(t *testing.T) {
	good := file("[Service]\nExecStart=/bin/true\nTypo=1\n")
	tree := forbidding{fstest.MapFS{
		"etc/systemd/system/good.service":        good,
		"etc/systemd/system/closed.service":      good,
		"etc/systemd/system/good.service.d/x":    file(""),
		"usr/lib/systemd/system/hidden.service":  good,
		"usr/local/lib/systemd/system/a.service": good,
	}, []string{"etc/systemd/system/closed.service", "usr/lib/systemd/system", "etc/systemd/system/good.service.d"}}
	r := run(t, tree)
	for _, path := range []string{"/etc/systemd/system/closed.service", "/usr/lib/systemd/system", "/etc/systemd/system/good.service.d"} {
		if !has(r, diag.Error, "unreadable", path) {
			t.Errorf("no error about %s; findings: %v", path, r.Findings)
		}
	}
	for _, path := range []string{"/etc/systemd/system/good.service", "/usr/local/lib/systemd/system/a.service"} {
		if !has(r, diag.Warning, "unknown-key", path) {
			t.Errorf("the typo in %s is not found; findings: %v", path, r.Findings)
		}
	}
	if !r.Failed(false) {
		t.Error("a tree with unreadable files passes")
	}
}

// TestHostileText: what is in a file cannot write to the terminal.
func TestHostileText(t *testing.T) {
	r := run(t, fstest.MapFS{"etc/systemd/system/evil.service": file("[Service]\nExecStart=/bin/true\nE\x1b[2Jvil=\x1b[31m\x00\xff\nType=\x1b]0;x\a\n")})
	var out strings.Builder
	r.Text(&out, TextOptions{Verbose: true})
	if strings.ContainsAny(out.String(), "\x1b\a\x00") {
		t.Errorf("control characters reach the terminal: %q", out.String())
	}
	if len(r.Findings) == 0 {
		t.Error("nothing found")
	}
}

// TestUnusedDropins: drop-ins of units that nobody refers to are read too.
func TestUnusedDropins(t *testing.T) {
	r := run(t, fstest.MapFS{
		"etc/systemd/system/user-.slice.d/x.conf":    file("[Slice]\nTypo=1\n"),
		"etc/systemd/system/a@7.service.d/x.conf":    file("[Service]\nTypo=1\n"),
		"etc/systemd/system/a@.service.d/x.conf":     file("[Service]\nTypo=1\n"),
		"etc/systemd/system/b@.service":              file("[Service]\nExecStart=/bin/b\nTypo=1\n"),
		"etc/systemd/system/c.service.d/ignored.txt": file("[Service]\nTypo=1\n"),
	})
	for _, path := range []string{"user-.slice.d/x.conf", "a@7.service.d/x.conf", "a@.service.d/x.conf", "b@.service"} {
		if !has(r, diag.Warning, "unknown-key", "/etc/systemd/system/"+path) {
			t.Errorf("the typo in %s is not found; findings: %v", path, r.Findings)
		}
	}
	if r.Warnings != 4 || r.Errors != 0 {
		t.Errorf("%d warnings, %d errors; want 4 and none: %v", r.Warnings, r.Errors, r.Findings)
	}
	if r.Files != 1 || r.DropIns != 3 {
		t.Errorf("%d files and %d drop-ins; want 1 and 3", r.Files, r.DropIns)
	}
}

func TestWait(t *testing.T) {
	for want, who := range map[string][]string{
		"a waits":                    {"a"},
		"a and b wait":               {"a", "b"},
		"a, b and c wait":            {"a", "b", "c"},
		"a, b, c and 1 more wait":    {"a", "b", "c", "d"},
		"a, b, c and 1000 more wait": append([]string{"a", "b", "c"}, make([]string, 1000)...),
	} {
		if got := wait(who); got != want {
			t.Errorf("wait(%d names) = %q; want %q", len(who), got, want)
		}
	}
}

func TestPathLine(t *testing.T) {
	if got, want := pathLine([]string{"a", "b", "a"}), "a → b → a"; got != want {
		t.Errorf("pathLine = %q; want %q", got, want)
	}
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprint(i))
	}
	if got, want := pathLine(append(names, "0")), "0 → 1 → 2 → 3 → 993 more → 997 → 998 → 999 → 0"; got != want {
		t.Errorf("pathLine = %q; want %q", got, want)
	}
}
