package load

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"dynamod/internal/diag"
	nativesyntax "dynamod/internal/load/native"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// native is one unit that a TOML file defines.
type native struct {
	name    string
	file    unit.File
	pos     diag.Pos // of its name
	aliases []string
	shadows string
	// fatal: the file is not TOML; the unit must not run as it stands.
	fatal bool
	// hasDropins: unit-file drop-ins exist that do not apply.
	hasDropins string
}

// companions are the tables that make a unit of another type beside a service.
var companions = []unitname.Type{unitname.Timer, unitname.Socket, unitname.Path, unitname.Mount,
	unitname.Automount, unitname.Swap, unitname.Slice, unitname.Scope}

// triggers start their service, which therefore need not start at boot.
var triggers = []unitname.Type{unitname.Timer, unitname.Socket, unitname.Path}

func (l *Loader) note(pos diag.Pos, sev diag.Severity, unitName, code, hint, format string, args ...any) {
	l.diags = append(l.diags, diag.Diag{Pos: pos, Severity: sev, Code: code, Unit: unitName, Hint: hint,
		Message: fmt.Sprintf(format, args...)})
}

// tomlFile is one parsed file of services/ or supervisors/.
type tomlFile struct {
	stem  string
	file  unit.File
	fatal bool
}

// readTOML reads the files of one kind; of equal file names the first counts.
func (l *Loader) readTOML(kind string) []tomlFile {
	var out []tomlFile
	seen := map[string]bool{}
	for _, d := range l.nativeDirs {
		display := d + "/" + kind
		real, err := l.tree.dir(rel(display))
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				l.note(diag.Pos{File: display}, diag.Error, "", "unreadable", "", "cannot use this directory: %s", reason(err))
			}
			continue
		}
		entries, err := fs.ReadDir(l.tree.fs, real)
		if err != nil {
			l.note(diag.Pos{File: display}, diag.Error, "", "unreadable", "", "cannot list this directory: %s", reason(err))
		}
		for _, e := range entries {
			name := e.Name()
			stem, ok := strings.CutSuffix(name, ".toml")
			if !ok || stem == "" || name[0] == '.' || seen[name] {
				continue
			}
			if len(out) >= l.cfg.MaxUnits {
				l.note(diag.Pos{File: display}, diag.Error, "", "too-many", "", "more than %d files; the rest is ignored", l.cfg.MaxUnits)
				return out
			}
			p := display + "/" + name
			pos := diag.Pos{File: p}
			at, fi, err := l.tree.resolve(path.Join(real, name))
			switch {
			case errors.Is(err, errLoop):
				l.note(pos, diag.Error, "", "symlink-loop", "", "cannot read this file: %s", err)
				seen[name] = true
				continue
			case err != nil:
				l.note(pos, diag.Error, "", "unreadable", "", "cannot read this file: %s", reason(err))
				seen[name] = true
				continue
			case at == devNull:
				seen[name] = true // as for unit files: a way to turn off a packaged one
				continue
			case !fi.Mode().IsRegular():
				l.note(pos, diag.Warning, "", "not-a-file", "", "it is %s and is ignored", typeWord(fi.Mode()))
				continue
			}
			seen[name] = true
			data, err := l.tree.read(at)
			if err != nil {
				l.note(pos, diag.Error, "", "unreadable", "", "cannot read this file: %s", reason(err))
				continue
			}
			if len(data) == 0 {
				continue
			}
			f := tomlFile{stem: stem}
			frags, ds := nativesyntax.Parse(p, data)
			f.file = unit.File{Path: p, Fragments: frags}
			if w, ok := diag.Worst(ds); ok && w == diag.Error {
				f.fatal = true
			}
			l.diags = append(l.diags, ds...)
			out = append(out, f)
		}
	}
	return out
}

// get finds the text of a key in a native file.
func get(f *unit.File, section, key string) (string, diag.Pos, bool) {
	for i := range f.Fragments {
		if x := &f.Fragments[i]; x.Section == section && x.Key == key {
			return x.Text, x.Pos, true
		}
	}
	return "", diag.Pos{File: f.Path}, false
}

// readNatives reads the services and supervisors and works out what they are
// called, what they shadow and what starts them.
func (l *Loader) readNatives() {
	l.readSupervisors()
	var boot []*native
	for _, f := range l.readTOML("services") {
		if l.maskedWithItsUnit(f) {
			continue
		}
		boot = append(boot, l.service(f)...)
	}
	names := make([]string, 0, len(l.natives))
	for n := range l.natives {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		l.nativeNames[n] = n
	}
	for _, n := range names {
		l.claim(l.natives[n])
	}
	l.startAtBoot(boot)
}

// maskedWithItsUnit says that a service has the place of a unit file that is masked: who
// masks a unit wants neither.
func (l *Loader) maskedWithItsUnit(f tomlFile) bool {
	name, _, ok := get(&f.file, "service", "name")
	if !ok {
		name = f.stem
	}
	u := l.ix.files[name+".service"]
	return u != nil && u.kind == masked && slices.ContainsFunc(l.cfg.ShadowDirs, func(d string) bool { return strings.HasPrefix(f.file.Path, d+"/") })
}

// service takes one file in and returns those of its units that boot starts.
func (l *Loader) service(f tomlFile) []*native {
	text, pos, named := get(&f.file, "service", "name")
	word := text
	if !named || text == "" {
		word, named = f.stem, false
	}
	typ := unitname.Service
	if t, _, ok := get(&f.file, "service", "type"); ok && t == "target" {
		typ = unitname.Target
	}
	// A name that is not a unit name by itself is that of a service: "x.y"
	// is "x.y.service".
	name := word
	if !unitname.Valid(name) {
		name = word + "." + typ.String()
	}
	if !unitname.Valid(name) {
		m, err := unitname.Mangle(strings.ReplaceAll(word, "/", "-"), typ)
		if err != nil {
			l.note(pos, diag.Error, "", "bad-name", "use letters, digits and :-_.", "%s cannot be a unit's name: %s; the file is ignored", diag.Clip(word), diag.Clip(err.Error()))
			return nil
		}
		l.note(pos, diag.Warning, m, "bad-name", "use letters, digits and :-_.", "%s is no unit name; the unit is called %s", diag.Clip(word), diag.Clip(m))
		name = m
	}
	n, _ := unitname.Parse(name)
	if !named && n.Type == unitname.Service {
		l.note(diag.Pos{File: f.file.Path}, diag.Warning, name, "missing-name", `write name = "`+short(name)+`" in [service]`,
			"the file does not say service.name; the unit is called %s", diag.Clip(name))
	}
	// Split the tables of companions off.
	parts := map[unitname.Type][]unit.Fragment{}
	var own []unit.Fragment
	for _, x := range f.file.Fragments {
		table, _, _ := strings.Cut(x.Section, ".")
		t, err := unitname.ParseType(table)
		if err == nil && t != n.Type && slices.Contains(companions, t) && (n.Type == unitname.Service || n.Type == unitname.Target) {
			parts[t] = append(parts[t], x)
			continue
		}
		own = append(own, x)
	}
	own = restAfterTrigger(own, parts)
	main := &native{name: name, file: unit.File{Path: f.file.Path, Fragments: own}, pos: pos, fatal: f.fatal}
	if !l.define(main) {
		return nil
	}
	units := []*native{main}
	triggered := false
	for _, t := range companions {
		frags, ok := parts[t]
		if !ok {
			continue
		}
		c := n
		c.Type = t
		nu := &native{name: c.String(), file: unit.File{Path: f.file.Path, Fragments: frags}, pos: frags[0].Pos, fatal: f.fatal}
		if l.define(nu) {
			triggered = triggered || slices.Contains(triggers, t)
			units = append(units, nu)
		}
	}
	for _, key := range append([]string{unit.Disabled.Setting().Native}, unit.Disabled.Setting().NativeAliases...) {
		table, name, in := strings.Cut(key, ".")
		if !in {
			table, name = "", key
		}
		if v, _, _ := get(&f.file, table, name); v == "true" {
			return nil // people and dependencies still can
		}
	}
	start, _, explicit := get(&f.file, "service", "start")
	if !explicit {
		start, _, explicit = get(&f.file, "", "start")
	}
	if explicit && start != "boot" {
		return nil
	}
	if triggered && !explicit {
		units = units[1:]
	}
	return units
}

// restAfterTrigger: a oneshot that something triggers must come to rest after its
// work, or it could be triggered only once. Native oneshots remain up otherwise.
func restAfterTrigger(own []unit.Fragment, parts map[unitname.Type][]unit.Fragment) []unit.Fragment {
	oneshot := false
	for _, x := range own {
		switch {
		case x.Section == "service" && x.Key == "type":
			oneshot = x.Text == "oneshot"
		case x.Section == "service" && x.Key == "remain-after-exit":
			return own
		}
	}
	for _, t := range triggers {
		if frags := parts[t]; oneshot && len(frags) > 0 {
			return append(own, unit.Fragment{Section: "service", Key: "remain-after-exit", Text: "false",
				Kind: unit.BoolValue, Pos: frags[0].Pos})
		}
	}
	return own
}

// define registers a unit; the first file that claims a name keeps it.
func (l *Loader) define(nu *native) bool {
	if prev := l.natives[nu.name]; prev != nil {
		l.note(nu.pos, diag.Error, nu.name, "duplicate-unit", "", "%s is already defined in %s; this definition is not used", diag.Clip(nu.name), prev.file.Path)
		return false
	}
	if s := short(nu.name); slices.ContainsFunc(l.sups, func(v *unit.Supervisor) bool { return v.Name == s }) && strings.HasSuffix(nu.name, ".service") {
		l.note(nu.pos, diag.Error, nu.name, "duplicate-name", "rename one of them", "%s is also the name of a supervisor; services and supervisors share one namespace", diag.Clip(s))
	}
	l.natives[nu.name] = nu
	return true
}

// claim gives a native unit the names of the unit file it shadows, and those
// of install.alias, which for native files need no enabling.
func (l *Loader) claim(nu *native) {
	take := func(name string, pos diag.Pos) {
		if name == nu.name {
			return
		}
		if owner, taken := l.nativeNames[name]; taken {
			if owner != nu.name {
				l.note(pos, diag.Warning, nu.name, "alias-taken", "", "alias %s already belongs to %s", diag.Clip(name), diag.Clip(owner))
			}
			return
		}
		l.nativeNames[name] = nu.name
		nu.aliases = append(nu.aliases, name)
	}
	if end, err := l.ix.follow(nu.name); err == nil {
		if f := l.ix.files[end]; f != nil {
			nu.shadows = f.path
			take(end, nu.pos)
			for _, a := range l.ix.namesOf(end) {
				take(a, nu.pos)
			}
		}
	}
	for i := range nu.file.Fragments {
		x := &nu.file.Fragments[i]
		if x.Section != "install" || x.Key != "alias" {
			continue
		}
		for j, a := range itemsOf(x) {
			a = fullName(a)
			pos := x.Pos
			if j < len(x.ItemPos) {
				pos = x.ItemPos[j]
			}
			if why := badAlias(a, nu.name); why != "" {
				l.note(pos, diag.Warning, nu.name, "bad-alias", "", "the alias %s is ignored: %s", diag.Clip(a), why)
				continue
			}
			take(a, pos)
		}
	}
	slices.Sort(nu.aliases)
	for _, level := range append([]string{nu.name}, nu.aliases...) {
		for _, s := range l.ix.subs[level+".d"] {
			if nu.hasDropins == "" && !l.isControl(s.path) {
				nu.hasDropins = s.path
			}
		}
	}
}

func itemsOf(f *unit.Fragment) []string {
	if f.Items != nil {
		return f.Items
	}
	return strings.Fields(f.Text)
}

// fullName: a bare name means a service.
func fullName(s string) string {
	if !unitname.Valid(s) && unitname.Valid(s+".service") {
		return s + ".service"
	}
	return s
}

const bootTarget, defaultTarget = "multi-user.target", "default.target"

// startAtBoot links native units into what boot starts, or into what their
// [install] table names.
func (l *Loader) startAtBoot(boot []*native) {
	target := l.canonical(bootTarget)
	if !l.exists(target) {
		target = l.canonical(defaultTarget)
	}
	for _, nu := range boot {
		if n, _ := unitname.Parse(nu.name); n.IsTemplate() {
			continue
		}
		installed := false
		for i := range nu.file.Fragments {
			x := &nu.file.Fragments[i]
			dir := map[string]string{"wanted-by": "wants", "required-by": "requires", "upheld-by": "upholds"}[x.Key]
			if x.Section != "install" || dir == "" {
				continue
			}
			for _, by := range itemsOf(x) {
				installed = true
				by = l.canonical(fullName(by))
				l.extra[by] = append(l.extra[by], unit.Link{Dir: dir, Name: nu.name, Pos: x.Pos})
			}
		}
		if installed || nu.name == target || l.canonical(nu.name) == target {
			continue
		}
		switch n, _ := unitname.Parse(nu.name); n.Type {
		case unitname.Target, unitname.Slice, unitname.Scope:
			continue // passive: somebody wants them or nobody does
		}
		l.extra[target] = append(l.extra[target], unit.Link{Dir: "wants", Name: nu.name, Pos: nu.pos})
	}
	if len(l.extra[target]) > 0 && !l.exists(target) {
		// A machine without any unit file.
		l.ix.files[bootTarget] = &found{kind: regular, dir: len(l.ix.dirs), generated: &unit.Source{
			Files: []unit.File{{Fragments: []unit.Fragment{{Section: "Unit", Key: "Description", Text: "Native services started at boot"}}}}}}
		l.ix.files[defaultTarget] = &found{kind: alias, dir: len(l.ix.dirs), target: bootTarget}
		l.ix.aliases[bootTarget] = append(l.ix.aliases[bootTarget], defaultTarget)
		l.extra[bootTarget] = l.extra[target]
	}
}

func (l *Loader) buildNative(nu *native, final string, keep bool) built {
	src := unit.Source{Name: final, Format: unit.Native, Files: []unit.File{nu.file}, HasMain: true,
		Aliases: slices.Clone(nu.aliases), Shadows: nu.shadows, Specifiers: l.cfg.Specifiers, Keep: keep}
	if final != nu.name {
		src.Aliases, src.Shadows = nil, ""
		n, _ := unitname.Parse(final)
		for _, a := range nu.aliases {
			if i, err := instanceOf(a, n.Instance); err == nil {
				src.Aliases = append(src.Aliases, i)
			}
		}
	}
	for _, p := range l.controlDropins(final, src.Aliases) {
		src.Files = append(src.Files, inNativeWords(p.file))
	}
	links, ds := l.links(final, src.Aliases)
	src.Links = links
	u, more := unit.Build(src)
	if nu.fatal && u.Load == unit.Loaded {
		u.Load = unit.BadSetting
	}
	if nu.hasDropins != "" && final == nu.name {
		ds = append(ds, diag.Diag{Pos: diag.Pos{File: nu.hasDropins}, Severity: diag.Note, Code: "dropin-unused", Unit: final,
			Message: "the drop-ins here do not apply: " + diag.Clip(final) + " is defined in " + nu.file.Path,
			Hint:    "write the settings there"})
	}
	return built{u: u, diags: append(ds, more...)}
}
