package load

import (
	"slices"
	"strings"

	"dynamod/internal/diag"
	"dynamod/internal/unit"
)

func (l *Loader) readSupervisors() {
	for _, f := range l.readTOML("supervisors") {
		if f.fatal {
			continue // reported; half a supervisor is worse than root
		}
		s, ds := unit.BuildSupervisor(unit.Source{Name: f.stem, Format: unit.Native, Files: []unit.File{f.file}, HasMain: true})
		for _, d := range ds {
			if d.Pos.File == "" {
				d.Pos.File = f.file.Path
			}
			l.diags = append(l.diags, d)
		}
		if s == nil {
			continue
		}
		if i := slices.IndexFunc(l.sups, func(v *unit.Supervisor) bool { return v.Name == s.Name }); i >= 0 {
			l.note(s.Pos, diag.Error, "", "duplicate-name", "", "supervisor %s is already defined in %s; this definition is not used",
				diag.Clip(s.Name), l.sups[i].Path)
			continue
		}
		l.sups = append(l.sups, s)
	}
	byName := map[string]*unit.Supervisor{}
	for _, s := range l.sups {
		byName[s.Name] = s
	}
	for _, s := range l.sups {
		if s.Name != unit.RootSupervisor && s.Parent != unit.RootSupervisor && byName[s.Parent] == nil {
			l.note(s.Pos, diag.Warning, "", "unknown-supervisor", suggest(s.Parent, l.sups), "supervisor %s: there is no supervisor %s; root takes its place",
				diag.Clip(s.Name), diag.Clip(s.Parent))
			s.Parent = unit.RootSupervisor
		}
	}
	// Whoever does not reach root is in a cycle or hangs on one.
	for _, s := range l.sups {
		if s.Name == unit.RootSupervisor {
			continue
		}
		walk := []string{s.Name}
		for p := s.Parent; p != unit.RootSupervisor; p = byName[p].Parent {
			if i := slices.Index(walk, p); i >= 0 {
				if i == 0 {
					l.note(s.Pos, diag.Error, "", "supervisor-cycle", "", "supervisors are each other's parents: %s; root becomes the parent of %s",
						diag.Clip(strings.Join(append(walk, p), " → ")), diag.Clip(s.Name))
					s.Parent = unit.RootSupervisor
				}
				break
			}
			walk = append(walk, p)
		}
	}
}

func suggest(word string, sups []*unit.Supervisor) string {
	names := []string{unit.RootSupervisor}
	for _, s := range sups {
		names = append(names, s.Name)
	}
	if s := diag.Suggest(word, names); s != "" {
		return "did you mean " + s + "?"
	}
	return ""
}

// checkSupervision reports services whose supervisor does not exist. The
// setting stays as written: whoever builds the tree puts them below root.
func (l *Loader) checkSupervision(units []*unit.Unit) []diag.Diag {
	known := map[string]bool{unit.RootSupervisor: true}
	for _, s := range l.sups {
		known[s.Name] = true
	}
	var ds []diag.Diag
	for _, u := range units {
		if u.Format != unit.Native {
			continue
		}
		if s := unit.SupervisedBy.Of(u); !known[s] {
			pos := diag.Pos{File: u.Path}
			if o := u.Origin(unit.SupervisedBy.Setting()); len(o) > 0 {
				pos = o[0]
			}
			ds = append(ds, diag.Diag{Pos: pos, Severity: diag.Warning, Code: "unknown-supervisor", Unit: u.Name, Hint: suggest(s, l.sups),
				Message: short(u.Name) + ": there is no supervisor " + diag.Clip(s) + "; root takes its place"})
		}
	}
	return ds
}
