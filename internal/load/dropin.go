package load

import (
	"cmp"
	"io/fs"
	"path"
	"slices"
	"strings"

	"dynamod/internal/diag"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// member is one entry of a .d or .wants directory.
type member struct {
	name string
	path string
	real string
	// mask: it is empty or leads to /dev/null; it hides and adds nothing.
	mask bool
	// link: it is a symlink.
	link bool
	err  string
}

// levels lists the .<suffix> directories of a unit, most important first; see
// doc.go for the order.
func (ix *index) levels(name string, aliases []string, suffix string) []subdir {
	type ranked struct {
		subdir
		order int
	}
	var own, byType []ranked
	n := 0
	for i := -1; i < len(aliases); i++ {
		if i >= 0 {
			name = aliases[i]
		}
		ladder := unitname.DropinNames(name)
		for j, level := range ladder {
			subs := ix.subs[level+"."+suffix]
			n++
			for _, s := range subs {
				switch {
				case j == len(ladder)-1:
					if i < 0 {
						byType = append(byType, ranked{s, 0})
					}
				case !slices.ContainsFunc(own, func(r ranked) bool { return r.path == s.path }):
					own = append(own, ranked{s, n})
				}
			}
		}
	}
	if own == nil && byType == nil {
		return nil
	}
	slices.SortStableFunc(own, func(a, b ranked) int { return cmp.Or(a.dir-b.dir, a.order-b.order) })
	out := make([]subdir, 0, len(own)+len(byType))
	for _, r := range append(own, byType...) {
		out = append(out, r.subdir)
	}
	return out
}

// list reads one such directory once and remembers it.
func (l *Loader) list(s subdir) []member {
	l.mu.Lock()
	got, ok := l.lists[s.path]
	l.mu.Unlock()
	if ok {
		return got
	}
	entries, err := fs.ReadDir(l.tree.fs, s.real)
	l.mu.Lock()
	defer l.mu.Unlock()
	if got, ok := l.lists[s.path]; ok { // another worker was faster
		return got
	}
	if err != nil {
		l.late = append(l.late, diag.Diag{Pos: diag.Pos{File: s.path}, Severity: diag.Error, Code: "unreadable",
			Message: "cannot list this directory: " + reason(err)})
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		m := member{name: e.Name(), path: s.path + "/" + e.Name(), real: path.Join(s.real, e.Name())}
		mode := e.Type()
		if mode&fs.ModeSymlink != 0 {
			m.link = true
		} else if mode.IsRegular() {
			fi, err := e.Info()
			m.mask = err == nil && fi.Size() == 0
		} else {
			m.err = typeWord(mode)
		}
		got = append(got, m)
	}
	l.lists[s.path] = got
	return got
}

// dropins reads the drop-ins of a unit in the order in which they apply.
func (l *Loader) dropins(name string, aliases []string) ([]*parsed, []diag.Diag) {
	type pick struct {
		name string
		file *parsed
	}
	var picked []pick
	taken := map[string]bool{}
	var ds []diag.Diag
	for _, s := range l.ix.levels(name, aliases, "d") {
		for _, m := range l.list(s) {
			if !strings.HasSuffix(m.name, ".conf") || taken[m.name] {
				continue
			}
			if m.err != "" {
				ds = append(ds, diag.Diag{Pos: diag.Pos{File: m.path}, Severity: diag.Warning, Code: "not-a-file", Unit: name,
					Message: "it has a drop-in's name but is " + m.err + "; it is ignored"})
				continue
			}
			p := pick{name: m.name}
			if !m.mask {
				p.file = l.parseFile(m.path, m.real, true)
			}
			taken[m.name] = true
			picked = append(picked, p)
		}
	}
	slices.SortFunc(picked, func(a, b pick) int { return strings.Compare(a.name, b.name) })
	var files []*parsed
	for _, p := range picked {
		if p.file != nil {
			files = append(files, p.file)
		}
	}
	return files, ds
}

// links reads the .wants, .requires and .upholds directories of a unit.
func (l *Loader) links(name string, aliases []string) ([]unit.Link, []diag.Diag) {
	var out []unit.Link
	var ds []diag.Diag
	note := func(m member, format string) {
		ds = append(ds, diag.Diag{Pos: diag.Pos{File: m.path}, Severity: diag.Warning, Code: "bad-link", Unit: name, Message: format})
	}
	for _, dir := range linkDirs {
		taken := map[string]bool{}
		for _, s := range l.ix.levels(name, aliases, dir) {
			for _, m := range l.list(s) {
				if taken[m.name] {
					continue
				}
				n, err := unitname.Parse(m.name)
				switch {
				case err != nil:
					note(m, "the entry is not named like a unit and is ignored")
					continue
				case m.mask:
					taken[m.name] = true
					continue
				case !m.link:
					note(m, "the entry is no symlink and is ignored")
					continue
				}
				taken[m.name] = true
				real, _, err := l.tree.resolve(m.real)
				if err == nil && real == devNull {
					continue
				}
				wanted := m.name
				if n.IsTemplate() {
					own, _ := unitname.Parse(name)
					instance := own.Instance
					if instance == "" {
						instance = own.Prefix
					}
					i, err := n.WithInstance(instance)
					if err != nil {
						note(m, "no instance of "+diag.Clip(m.name)+" can be made here: "+err.Error())
						continue
					}
					wanted = i.String()
				}
				out = append(out, unit.Link{Dir: dir, Name: wanted, Pos: diag.Pos{File: m.path}})
			}
		}
	}
	have := map[[2]string]bool{}
	for _, x := range out {
		have[[2]string{x.Dir, x.Name}] = true
	}
	for _, n := range append([]string{name}, aliases...) {
		for _, x := range l.extra[n] {
			if k := [2]string{x.Dir, x.Name}; !have[k] {
				have[k] = true
				out = append(out, x)
			}
		}
	}
	return out, ds
}
