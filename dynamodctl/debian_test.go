package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dynamod/desktop-tests/debtree"
	"dynamod/internal/unitname"
)

// report is what the test needs of the JSON of `dynamodctl check`.
type report struct {
	Summary struct {
		Units, Files int
		DropIns      int     `json:"drop_ins"`
		Milliseconds float64 `json:"milliseconds"`
		PeakMemory   float64 `json:"peak_memory_bytes"`
	}
	Diagnostics []struct {
		Severity, Code, File, Unit, Message string
		Line                                int
	}
}

// TestDebian checks real Debian 13 systems: every unit file and drop-in is
// read, we find no error that systemd-analyze does not find too, and all of it
// takes less than a second.
func TestDebian(t *testing.T) {
	for _, recipe := range []debtree.Recipe{debtree.GNOMEUnits, debtree.GNOME} {
		for _, scope := range []string{"system", "user"} {
			t.Run(recipe.Name+"/"+scope, func(t *testing.T) { checkTree(t, recipe, scope) })
		}
	}
}

func checkTree(t *testing.T, recipe debtree.Recipe, scope string) {
	tree, cached := debtree.Cached(recipe)
	if !cached {
		if os.Getenv("DYNAMOD_TREE") == "" {
			t.Skipf("no tree %s in the cache; set DYNAMOD_TREE=1 to build it", recipe.Name)
		}
		var err error
		if tree, err = debtree.Ensure(t.Context(), recipe, os.Stderr); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"check", "--json", "--root", tree}
	if scope == "user" {
		args = append(args, "--user")
	}
	out, err := exec.Command("dynamodctl", args...).Output()
	if exit := (*exec.ExitError)(nil); err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	s := r.Summary
	t.Logf("%d units from %d files and %d drop-ins: %.0f ms, at most %.1f MB of memory", s.Units, s.Files, s.DropIns, s.Milliseconds, s.PeakMemory/1e6)
	files, dropins := unitFiles(t, tree, scope)
	if len(files) < 100 || s.Files != len(files) || s.DropIns != len(dropins) {
		t.Errorf("read %d files and %d drop-ins; the tree has %d and %d", s.Files, s.DropIns, len(files), len(dropins))
	}
	var oracle []string
	for _, d := range r.Diagnostics {
		if d.Severity != "error" {
			continue
		}
		if oracle == nil {
			oracle = verify(t, scope, files)
		}
		name := filepath.Base(d.File)
		if !slices.ContainsFunc(oracle, func(line string) bool {
			return strings.Contains(line, name) || d.Unit != "" && strings.Contains(line, d.Unit)
		}) {
			t.Errorf("%s:%d: %s [%s]: systemd-analyze has no complaint about %s", d.File, d.Line, d.Message, d.Code, name)
		}
	}
}

// verify asks the unmodified systemd-analyze of the full tree.
func verify(t *testing.T, scope string, files []string) []string {
	tree, cached := debtree.Cached(debtree.GNOME)
	if !cached {
		t.Log("no tree gnome in the cache, so systemd-analyze cannot be asked")
		return []string{""}
	}
	run := debtree.SystemdAnalyzeVerify
	if scope == "user" {
		run = debtree.SystemdAnalyzeVerifyUser
	}
	lines, err := run(tree, files...)
	if err != nil {
		t.Fatal(err)
	}
	return append(lines, "")
}

// unitFiles lists the names of the unit files and the paths of the drop-ins.
func unitFiles(t *testing.T, tree, scope string) (files, dropins []string) {
	for _, dir := range []string{"etc/systemd/" + scope, "usr/lib/systemd/" + scope} {
		err := filepath.WalkDir(filepath.Join(tree, dir), func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			in := filepath.Base(filepath.Dir(name))
			switch {
			case strings.HasSuffix(in, ".d") && strings.HasSuffix(name, ".conf"):
				dropins = append(dropins, name)
			case in == scope && unitname.Valid(d.Name()):
				files = append(files, d.Name())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files, dropins
}
