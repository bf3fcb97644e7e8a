package load

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"dynamod/internal/diag"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// fileKind is what one name of the search path turned out to be.
type fileKind uint8

const (
	// regular is a file, reached directly or as a linked unit.
	regular fileKind = iota
	// alias is a symlink to another name of the search path.
	alias
	// masked is a link to /dev/null.
	masked
	// broken could not be resolved; it still hides lower directories.
	broken
)

// found is the file that counts for one name.
type found struct {
	kind fileKind
	dir  int    // index in Config.UnitDirs
	path string // as the operator would write it
	real string // without symlinks, for reading
	// target is the name that an alias leads to.
	target string
	linked bool
	// generated units come from fstab and have no file to read.
	generated *unit.Source
}

// subdir is one foo.service.d or foo.service.wants directory.
type subdir struct {
	dir  int
	path string
	real string
}

// index is what a look at all search directories gave.
type index struct {
	t     *tree
	dirs  []string // for display
	reals []string // resolved; "" when missing
	files map[string]*found
	// subs are the .d, .wants, .requires and .upholds directories by name,
	// in the order of the search path.
	subs map[string][]subdir
	// aliases and templateAliases list the other names of a final name.
	aliases         map[string][]string
	templateAliases map[string][]string
	diags           []diag.Diag
}

var linkDirs = []string{"wants", "requires", "upholds"}

func (ix *index) warn(pos diag.Pos, sev diag.Severity, name, code, hint, format string, args ...any) {
	ix.diags = append(ix.diags, diag.Diag{Pos: pos, Severity: sev, Code: code, Unit: name, Hint: hint,
		Message: fmt.Sprintf(format, args...)})
}

// scan looks at every search directory once. It reads names and links, no
// files.
func scan(t *tree, dirs []string, maxFiles int) *index {
	ix := &index{t: t, dirs: dirs, reals: make([]string, len(dirs)), files: map[string]*found{},
		subs: map[string][]subdir{}, aliases: map[string][]string{}, templateAliases: map[string][]string{}}
	seen := map[string]bool{}
	for i, d := range dirs {
		real, err := t.dir(rel(d))
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				ix.warn(diag.Pos{File: d}, diag.Error, "", "unreadable", "", "cannot use this directory: %s", reason(err))
			}
			continue
		}
		if seen[real] {
			continue // /lib is usually a link to /usr/lib
		}
		seen[real] = true
		ix.reals[i] = real
	}
	for i, d := range dirs {
		if ix.reals[i] == "" {
			continue
		}
		entries, err := fs.ReadDir(t.fs, ix.reals[i])
		if err != nil {
			ix.warn(diag.Pos{File: d}, diag.Error, "", "unreadable", "", "cannot list this directory: %s", reason(err))
		}
		for _, e := range entries {
			if len(ix.files)+len(ix.subs) >= maxFiles {
				ix.warn(diag.Pos{File: d}, diag.Error, "", "too-many", "", "more than %d unit files; the rest is ignored", maxFiles)
				return ix
			}
			ix.entry(i, e)
		}
	}
	return ix
}

// subdirOf takes "foo.service.wants" apart; "service.d" has the type as unit.
func subdirOf(name string) (owner, suffix string, ok bool) {
	dot := strings.LastIndexByte(name, '.')
	if dot <= 0 {
		return "", "", false
	}
	owner, suffix = name[:dot], name[dot+1:]
	if suffix != "d" && !slices.Contains(linkDirs, suffix) {
		return "", "", false
	}
	if _, err := unitname.ParseType(owner); err != nil && !unitname.Valid(owner) {
		return "", "", false
	}
	return owner, suffix, true
}

func (ix *index) entry(i int, e fs.DirEntry) {
	name := e.Name()
	if _, _, ok := subdirOf(name); ok {
		if e.IsDir() || e.Type()&fs.ModeSymlink != 0 {
			real, err := ix.t.dir(path.Join(ix.reals[i], name))
			p := ix.dirs[i] + "/" + name
			if err != nil {
				ix.warn(diag.Pos{File: p}, diag.Error, "", "unreadable", "", "cannot use this directory: %s", reason(err))
				return
			}
			ix.subs[name] = append(ix.subs[name], subdir{i, p, real})
		}
		return
	}
	if !unitname.Valid(name) {
		return
	}
	if f := ix.files[name]; f != nil {
		return
	}
	p := ix.dirs[i] + "/" + name
	switch {
	case e.Type().IsRegular():
		ix.files[name] = &found{kind: regular, dir: i, path: p, real: path.Join(ix.reals[i], name)}
	case e.Type()&fs.ModeSymlink != 0:
		ix.symlink(i, name, p)
	default:
		ix.warn(diag.Pos{File: p}, diag.Warning, name, "not-a-file", "",
			"%s has a unit's name but is %s; it is ignored", diag.Clip(name), typeWord(e.Type()))
	}
}

// symlink decides what a link in a search directory means.
func (ix *index) symlink(i int, name, p string) {
	pos := diag.Pos{File: p}
	put := func(f found) {
		f.dir, f.path = i, p
		ix.files[name] = &f
	}
	target, err := ix.t.readLink(ix.reals[i], name)
	if err != nil {
		ix.warn(pos, diag.Error, name, "unreadable", "", "cannot read the symlink: %s", reason(err))
		put(found{kind: broken})
		return
	}
	if target == devNull {
		put(found{kind: masked})
		return
	}
	if ix.inside(target) {
		to := path.Base(target)
		if to == name {
			if target == path.Join(ix.reals[i], name) {
				ix.warn(pos, diag.Warning, name, "symlink-loop", "remove it", "the symlink points to itself and is ignored")
			}
			return
		}
		if why := badAlias(name, to); why != "" {
			ix.warn(pos, diag.Warning, name, "bad-alias", "see systemd.unit(5) on aliases", "the symlink to %s is ignored: %s", diag.Clip(to), why)
			return
		}
		put(found{kind: alias, target: to})
		return
	}
	real, fi, err := ix.t.resolve(target)
	switch {
	case errors.Is(err, errLoop):
		ix.warn(pos, diag.Error, name, "symlink-loop", "", "following the symlink to %s: %s", diag.Clip("/"+target), err)
		put(found{kind: broken, linked: true})
	case errors.Is(err, fs.ErrNotExist):
		ix.warn(pos, diag.Error, name, "dangling-link", "", "the symlink points to %s, which does not exist", diag.Clip("/"+target))
		put(found{kind: broken, linked: true})
	case err != nil:
		ix.warn(pos, diag.Error, name, "unreadable", "", "following the symlink to %s: %s", diag.Clip("/"+target), reason(err))
		put(found{kind: broken, linked: true})
	case real == devNull:
		put(found{kind: masked})
	case !fi.Mode().IsRegular():
		ix.warn(pos, diag.Error, name, "not-a-file", "", "the symlink points to %s, which is %s", diag.Clip("/"+target), typeWord(fi.Mode()))
		put(found{kind: broken, linked: true})
	default:
		put(found{kind: regular, real: real, linked: true})
	}
}

// inside tells whether a path lies below a search directory, whether or not it
// exists.
func (ix *index) inside(target string) bool {
	dir := path.Dir(target)
	if real, err := ix.t.dir(dir); err == nil {
		dir = real
	}
	for i, r := range ix.reals {
		if r == "" {
			r = rel(ix.dirs[i])
		}
		if dir == r || strings.HasPrefix(dir, r+"/") {
			return true
		}
	}
	return false
}

// badAlias says why name cannot be an alias of target; "" when it can
// (systemd.unit(5)).
func badAlias(name, target string) string {
	n, err := unitname.Parse(name)
	if err != nil {
		return err.Error()
	}
	t, err := unitname.Parse(target)
	switch {
	case err != nil:
		return fmt.Sprintf("%s is no unit name", diag.Clip(target))
	case n.Type != t.Type:
		return "the types differ"
	}
	switch n.Type {
	case unitname.Mount, unitname.Automount, unitname.Swap, unitname.Slice:
		return fmt.Sprintf("a %s cannot have aliases", n.Type)
	}
	switch {
	case !n.IsTemplate() && !n.IsInstance():
		if t.IsTemplate() || t.IsInstance() {
			return "a plain name cannot stand for a template or an instance"
		}
	case n.IsTemplate():
		if !t.IsTemplate() {
			return "a template can only stand for a template"
		}
	case t.IsTemplate():
	case !t.IsInstance():
		return "an instance can only stand for an instance"
	case t.Instance != n.Instance:
		return "the instances differ"
	}
	return ""
}

// lookup gives the file for a name, falling back to its template.
func (ix *index) lookup(name string) *found {
	if f := ix.files[name]; f != nil {
		return f
	}
	if n, err := unitname.Parse(name); err == nil && n.IsInstance() {
		return ix.files[n.TemplateName()]
	}
	return nil
}

// follow gives the name that name is an alias of in the end, itself included.
func (ix *index) follow(name string) (string, error) {
	for range maxHops {
		f := ix.lookup(name)
		if f == nil || f.kind != alias {
			return name, nil
		}
		to := f.target
		n, _ := unitname.Parse(name)
		if t, err := unitname.Parse(to); err == nil && t.IsTemplate() && n.IsInstance() {
			i, err := t.WithInstance(n.Instance)
			if err != nil {
				return name, err
			}
			to = i.String()
		}
		if to == name {
			return name, nil
		}
		name = to
	}
	return name, errLoop
}

// collectAliases turns the aliases around and reports those that lead nowhere.
func (ix *index) collectAliases() {
	names := make([]string, 0)
	for name, f := range ix.files {
		if f.kind == alias {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	ends := make([]string, len(names))
	var loops []*found // all are found before any is taken out
	for i, name := range names {
		end, err := ix.follow(name)
		if err != nil {
			f := ix.files[name]
			ix.warn(diag.Pos{File: f.path}, diag.Error, name, "symlink-loop", "", "following the alias %s: %s", diag.Clip(name), err)
			loops = append(loops, f)
			continue
		}
		ends[i] = end
	}
	for _, f := range loops {
		f.kind, f.target = broken, ""
	}
	for i, name := range names {
		f, end := ix.files[name], ends[i]
		if end == "" {
			continue
		}
		if ix.lookup(end) == nil {
			ix.warn(diag.Pos{File: f.path}, diag.Warning, name, "dangling-alias", "install "+end+" or remove the symlink",
				"the alias %s points to %s, which does not exist", diag.Clip(name), diag.Clip(end))
		}
		if n, _ := unitname.Parse(name); n.IsTemplate() {
			ix.templateAliases[end] = append(ix.templateAliases[end], name)
		} else {
			ix.aliases[end] = append(ix.aliases[end], name)
		}
	}
}

// namesOf lists the aliases of a final name, sorted.
func (ix *index) namesOf(final string) []string {
	out := slices.Clone(ix.aliases[final])
	if n, err := unitname.Parse(final); err == nil && n.IsInstance() {
		for _, a := range ix.templateAliases[n.TemplateName()] {
			t, _ := unitname.Parse(a)
			i, err := t.WithInstance(n.Instance)
			if err != nil {
				continue
			}
			// An instance with a file of its own is another unit.
			if s := i.String(); s != final && ix.files[s] == nil && !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	} else if n.IsTemplate() {
		out = append(out, ix.templateAliases[final]...)
	}
	slices.Sort(out)
	return out
}
