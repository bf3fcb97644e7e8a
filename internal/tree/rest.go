package tree

import (
	"io/fs"
	"strings"

	"dynamod/internal/diag"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// readRest reads what no loaded unit uses: templates without instances, and
// drop-ins of units that come and go (user@0.service.d, user-.slice.d). A
// mistake in them would else show only on the day they are used.
func (t *Tree) readRest(fsys fs.FS, dirs []string) {
	files, drops := t.sources()
	asked := map[string]bool{}
	type finding struct {
		pos  diag.Pos
		code string
	}
	told := map[finding]bool{} // the loader has told of unused templates
	for _, d := range t.Diags {
		told[finding{d.Pos, d.Code}] = true
	}
	for _, dir := range dirs {
		entries, err := fs.ReadDir(fsys, strings.TrimPrefix(dir, "/"))
		if err != nil {
			continue // missing, or reported by the loader
		}
		for _, e := range entries {
			name, ok := user(e.Name())
			if _, loaded := t.Set.Find(name); !ok || loaded || asked[name] {
				continue
			}
			asked[name] = true
			u, found := t.loader.One(name)
			fresh := map[string]bool{}
			if isFile(u) && !files[u.Path] {
				files[u.Path], fresh[u.Path] = true, true
			}
			for _, d := range u.DropIns {
				if !drops[d] {
					drops[d], fresh[d] = true, true
				}
			}
			if len(fresh) == 0 {
				continue
			}
			t.Rest = append(t.Rest, u)
			for _, d := range found {
				if fresh[d.Pos.File] && !told[finding{d.Pos, d.Code}] {
					t.Diags = append(t.Diags, d)
				}
			}
		}
	}
	t.Files, t.DropIns = len(files), len(drops)
}

// sources are the distinct files that make up the loaded units.
func (t *Tree) sources() (files, drops map[string]bool) {
	files, drops = map[string]bool{}, map[string]bool{}
	for _, u := range t.Set.Units {
		if isFile(u) {
			files[u.Path] = true
		}
		for _, d := range u.DropIns {
			drops[d] = true
		}
	}
	return files, drops
}

// isFile says whether the unit has a main file; that of a masked one is a link
// to /dev/null.
func isFile(u *unit.Unit) bool { return u.Path != "" && u.Load != unit.Masked }

// user is the name of a unit that would use an entry of a search directory:
// the owner of a drop-in directory, a made-up one for the dash levels
// ("user-.slice.d"), and a made-up instance for templates.
func user(entry string) (string, bool) {
	owner, dropins := strings.CutSuffix(entry, ".d")
	n, err := unitname.Parse(owner)
	if err != nil || !dropins && !n.IsTemplate() {
		return "", false
	}
	if n.IsTemplate() {
		n, err = n.WithInstance("instance")
	} else if strings.HasSuffix(n.Prefix, "-") {
		n.Prefix += "x"
	}
	return n.String(), err == nil
}

// Everything is all units that were read, used or not.
func (t *Tree) Everything() []*unit.Unit {
	return append(append([]*unit.Unit{}, t.Set.Units...), t.Rest...)
}
