package config_test

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/installed.txt")

// What is installed, where and with which mode, is a list that packagers rely on.
func TestInstalledFiles(t *testing.T) {
	var b strings.Builder
	err := filepath.WalkDir(installed, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == installed {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(installed, p)
		if !d.IsDir() || strings.HasPrefix(rel, "etc/dynamod/") || strings.HasPrefix(rel, "usr/lib/dynamod/s") {
			fmt.Fprintf(&b, "%v /%s\n", st.Mode(), rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("testdata/installed.txt", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/installed.txt")
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("other files are installed than testdata/installed.txt says (-update writes it):\n%s", diff(string(want), b.String()))
	}
}

// diff lists the lines that only one of two texts has.
func diff(want, got string) string {
	var b strings.Builder
	for _, x := range []struct{ mark, a, b string }{{"-", want, got}, {"+", got, want}} {
		have := map[string]bool{}
		for l := range strings.Lines(x.b) {
			have[l] = true
		}
		for l := range strings.Lines(x.a) {
			if !have[l] {
				b.WriteString(x.mark + l)
			}
		}
	}
	return b.String()
}

// Every path that is installed is explained to the operator.
func TestPathsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/paths.md")
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile("testdata/installed.txt")
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(list)) {
		_, p, _ := strings.Cut(strings.TrimSpace(l), " ")
		if strings.HasPrefix(p, "/usr/share/doc/") {
			p = "/usr/share/doc/dynamod"
		}
		if p == "/usr/lib/dynamod/stock/services" || p == "/usr/lib/dynamod/stock/supervisors" {
			p = "/usr/lib/dynamod/stock"
		}
		if strings.HasSuffix(p, ".toml") {
			p = strings.TrimSuffix(filepath.Base(p), ".toml")
		}
		if !bytes.Contains(page, []byte("`"+p+"`")) {
			t.Errorf("docs/paths.md does not explain `%s`", p)
		}
	}
}

// Another prefix moves the programs; the services still find them.
func TestPrefix(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("../tools/install.sh", dir, "/opt/d", "/sbin").CombinedOutput(); err != nil {
		t.Fatalf("install: %v %s", err, out)
	}
	for _, p := range []string{"opt/d/bin/dynamodctl", "opt/d/lib/dynamod/dynamod-svmgr", "opt/d/share/man/man1/dynamodctl.1"} {
		if _, err := os.Stat(filepath.Join(dir, p)); err != nil {
			t.Error(err)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "usr/lib/dynamod/stock/services/fsck.toml"))
	if err != nil || !strings.Contains(string(data), `"/opt/d/lib/dynamod/dynamod-step"`) {
		t.Errorf("fsck.toml: %v\n%s", err, data)
	}
	if out, err := exec.Command("../tools/install.sh", dir, "relative", "/sbin").CombinedOutput(); err == nil {
		t.Errorf("a relative prefix is accepted: %s", out)
	}
}

func check(t *testing.T, root string) (string, bool) {
	t.Helper()
	out, err := exec.Command(filepath.Join(installed, "usr/bin/dynamodctl"), "check", "--strict", "--root", root).CombinedOutput()
	return string(out), err == nil
}

// The stock services alone have not one warning, and a mistake in them would be found.
func TestStockIsClean(t *testing.T) {
	if out, ok := check(t, installed); !ok || !strings.Contains(out, "no errors, no warnings, no notes") {
		t.Errorf("check --strict:\n%s", out)
	}
	bad := t.TempDir()
	if err := os.CopyFS(filepath.Join(bad, "usr/lib/dynamod"), os.DirFS(filepath.Join(installed, "usr/lib/dynamod"))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bad, "usr/lib/dynamod/stock/services/x.toml"), []byte("[service]\nname = \"x\"\nexce = [\"/bin/true\"]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, ok := check(t, bad); ok {
		t.Errorf("a misspelt key passes --strict:\n%s", out)
	}
}
