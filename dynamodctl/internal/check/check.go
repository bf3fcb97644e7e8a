package check

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dynamod/internal/diag"
	"dynamod/internal/tree"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// Options are those of `dynamodctl check`.
type Options struct {
	tree.Options
	// Strict turns unknown keys and other warnings into a failure.
	Strict bool
	// Args limit the report to these units and files.
	Args []string
}

// Step is one unit of an ordering cycle and why it waits for the next one.
type Step struct {
	Unit  string
	After string
	Pos   diag.Pos
	// Origin is the rule, when no file says so.
	Origin string
}

// Finding is one diagnostic; Cycle explains those about ordering cycles.
type Finding struct {
	diag.Diag
	Cycle []Step
}

// Idle is a setting without effect yet and everywhere it is used.
type Idle struct {
	Setting *unit.Setting
	Name    string
	Uses    []Use
}

// Use is one assignment of an idle setting.
type Use struct {
	Unit string
	Pos  diag.Pos
}

// Report is the outcome of a check.
type Report struct {
	Findings []Finding
	Idle     []Idle
	// Limited says that Args left something out.
	Limited               bool
	Units, Files, DropIns int
	Errors, Warnings      int
	Notes                 int
	Took                  time.Duration
	PeakMemory            uint64 // bytes, 0 when the system does not tell
}

// UsageError is a mistake in the arguments, as against one in the tree.
type UsageError struct{ error }

// Run checks a tree.
func Run(o Options) (*Report, error) {
	began := time.Now()
	names, files := sortArgs(o)
	o.Loose = nil
	for _, f := range files {
		if !tree.Searched(o.Options, f) {
			o.Loose = append(o.Loose, f)
		}
	}
	t, err := tree.Open(o.Options)
	if err != nil {
		return nil, UsageError{err}
	}
	only, err := limits(t, names, files)
	if err != nil {
		return nil, err
	}
	r := &Report{Limited: only != nil, Units: len(t.Set.Units), Files: t.Files, DropIns: t.DropIns}
	ds := append(slices.Clone(t.Diags), readiness(t)...)
	if len(t.Set.Units) == 0 || t.Files == 0 {
		ds = append(ds, diag.Diag{Severity: diag.Warning, Code: "empty-tree", Pos: diag.Pos{File: "/"},
			Message: "no unit files here", Hint: "dynamodctl looks in etc/systemd, usr/lib/systemd, etc/dynamod and so on below --root"})
	}
	r.add(t, only, ds)
	r.addIdle(t, only)
	r.Took, r.PeakMemory = time.Since(began), peakMemory()
	return r, nil
}

// sortArgs tells units from files: a name with a slash is a file, one without
// is a unit, unless it can only be a file.
func sortArgs(o Options) (names, files []string) {
	for _, a := range o.Args {
		if strings.ContainsRune(a, '/') || path.Ext(a) == ".toml" {
			files = append(files, filepath.Clean(a))
		} else {
			names = append(names, a)
		}
	}
	return names, files
}

// limit says which diagnostics are asked for; nil asks for all.
type limit struct {
	files map[string]bool
	units map[string]bool
}

func limits(t *tree.Tree, names, files []string) (*limit, error) {
	if len(names)+len(files) == 0 {
		return nil, nil
	}
	l := &limit{map[string]bool{}, map[string]bool{}}
	for _, n := range names {
		u, err := t.Find(n)
		if err != nil {
			return nil, UsageError{err}
		}
		l.units[u.Name] = true
		l.files[u.Path] = true
		for _, d := range u.DropIns {
			l.files[d] = true
		}
	}
	for _, f := range files {
		if _, err := os.Lstat(f); err != nil {
			return nil, UsageError{fmt.Errorf("%s: no such file", f)}
		}
		p, _ := t.Inside(f)
		l.files[p] = true
		for _, u := range t.Set.Units {
			if u.Path == p {
				l.units[u.Name] = true
			}
		}
		if u, ok := t.Set.Find(path.Base(p)); ok && slices.Contains(u.Aliases, path.Base(p)) {
			l.units[u.Name] = true
			l.files[u.Path] = true
		}
	}
	delete(l.files, "")
	return l, nil
}

func (l *limit) wants(unitName, file string) bool {
	return l == nil || l.files[file] || file == "" && l.units[unitName]
}

// add takes over what is asked for, with the operator's paths, sorted by
// place.
func (r *Report) add(t *tree.Tree, only *limit, ds []diag.Diag) {
	cycles := cyclesOf(t)
	found := make([]Finding, 0, len(ds)+len(cycles))
	for _, d := range ds {
		if d.Code != "cycle" { // told below, with its steps
			found = append(found, Finding{Diag: d})
		}
	}
	found = append(found, cycles...)
	for _, f := range found {
		if !only.wants(f.Unit, f.Pos.File) && !slices.ContainsFunc(f.Cycle, func(s Step) bool { return only.units[s.Unit] }) {
			continue
		}
		f.Pos.File = t.Shown(f.Pos.File)
		for i := range f.Cycle {
			f.Cycle[i].Pos.File = t.Shown(f.Cycle[i].Pos.File)
		}
		r.Findings = append(r.Findings, f)
		switch f.Severity {
		case diag.Error:
			r.Errors++
		case diag.Warning:
			r.Warnings++
		default:
			r.Notes++
		}
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Col, b.Pos.Col), cmp.Compare(a.Unit, b.Unit), cmp.Compare(a.Message, b.Message))
	})
}

// addIdle collects the settings that nothing acts on yet.
func (r *Report) addIdle(t *tree.Tree, only *limit) {
	at := map[*unit.Setting]int{}
	seen := map[diag.Pos]bool{}
	for _, u := range t.Everything() {
		for _, a := range u.Assigned() {
			if a.Setting.Effect != unit.NotYet {
				continue
			}
			for _, pos := range a.Origin {
				if seen[pos] || !only.wants(u.Name, pos.File) {
					continue
				}
				seen[pos] = true
				i, ok := at[a.Setting]
				if !ok {
					i = len(r.Idle)
					at[a.Setting] = i
					r.Idle = append(r.Idle, Idle{Setting: a.Setting, Name: settingName(a.Setting, u.Format)})
				}
				pos.File = t.Shown(pos.File)
				r.Idle[i].Uses = append(r.Idle[i].Uses, Use{u.Name, pos})
			}
		}
	}
	slices.SortStableFunc(r.Idle, func(a, b Idle) int {
		return cmp.Or(cmp.Compare(files(b), files(a)), cmp.Compare(a.Name, b.Name))
	})
}

// files counts the distinct files that use an idle setting.
func files(i Idle) int {
	seen := map[string]bool{}
	for _, u := range i.Uses {
		seen[u.Pos.File] = true
	}
	return len(seen)
}

// settingName is the setting as the files of that format spell it.
func settingName(s *unit.Setting, f unit.Format) string {
	if f == unit.Native || s.Name == "" {
		return s.Native
	}
	return s.Name + "="
}

// Failed says whether the tree did not pass.
func (r *Report) Failed(strict bool) bool {
	return r.Errors > 0 || strict && r.Warnings > 0
}

// isService is a service with a file, the only kind with readiness of its own.
func isService(u *unit.Unit) bool {
	return u != nil && u.Type == unitname.Service && u.Load == unit.Loaded && u.Path != ""
}
