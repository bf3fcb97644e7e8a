package load

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"dynamod/internal/diag"
	"dynamod/internal/load/sdunit"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// Loader has looked at the search path and loads units from it. It keeps what
// it has read: make a new one to see changes. It is safe for concurrent use.
type Loader struct {
	cfg  Config
	tree *tree
	ix   *index
	// nativeDirs are those of the configuration that count for this tree.
	nativeDirs []string
	// natives are dynamod's own units by name; nativeNames maps their other
	// names and those of the unit files they shadow.
	natives     map[string]*native
	nativeNames map[string]string
	sups        []*unit.Supervisor
	boot        *unit.Boot
	// extra are links that stand in no directory: those of fstab, and native
	// services started at boot.
	extra        map[string][]unit.Link
	extraDropins map[string][]unit.File
	// diags came up while looking around; they belong to no single load.
	diags []diag.Diag

	mu    sync.Mutex
	files map[string]*parsed // drop-ins and templates by path
	lists map[string][]member
	late  []diag.Diag

	hooksOnce sync.Once
	hooks     map[string]tier
}

// parsed is one unit file, read once.
type parsed struct {
	file  unit.File
	diags []diag.Diag
	// empty: no bytes at all, which masks; failed: it could not be read;
	// fatal: something in it makes systemd refuse the whole file.
	empty, failed, fatal bool
}

// New looks at the search path of cfg.
func New(cfg Config) *Loader {
	cfg.fill()
	l := &Loader{cfg: cfg, tree: &tree{fs: cfg.FS, dirs: map[string]string{".": "."}},
		natives: map[string]*native{}, nativeNames: map[string]string{}, extra: map[string][]unit.Link{}, extraDropins: map[string][]unit.File{},
		files: map[string]*parsed{}, lists: map[string][]member{}}
	l.ix = scan(l.tree, cfg.UnitDirs, cfg.MaxUnits)
	l.readFstab()
	l.ix.collectAliases()
	l.takeStock()
	l.readNatives()
	l.readBoot()
	l.readConsoles()
	l.diags = append(l.diags, l.ix.diags...)
	return l
}

// Load loads every unit of the tree, and every instance and slice that one of
// them refers to. The diagnostics are sorted.
func Load(cfg Config) (*unit.Set, []diag.Diag) { return New(cfg).All() }

// Diags are what the search path itself gave rise to.
func (l *Loader) Diags() []diag.Diag { return diag.Sort(slices.Clone(l.diags)) }

// One loads the unit that name stands for, be it a name, an alias or an
// instance. It never returns nil: a unit without a file has Load NotFound.
func (l *Loader) One(name string) (*unit.Unit, []diag.Diag) {
	b := l.build(l.canonical(name), true)
	ds := b.diags
	for _, p := range b.shared {
		ds = append(ds, p.diags...)
	}
	return b.u, diag.Sort(ds)
}

// Transient builds a unit of a client from its lines and of what drop-ins and .wants
// directories say of its name, as systemd does ("run-.service.d", "session-.scope.d"):
// its transient file lies in the search path like any other. The diagnostics are
// sorted; mistakes in the drop-ins have their files' positions.
func (l *Loader) Transient(name string, own unit.File) (*unit.Unit, []diag.Diag) {
	src := unit.Source{Name: name, Specifiers: l.cfg.Specifiers, Files: []unit.File{own}, HasMain: true, Keep: true}
	b := l.complete(src)
	for _, p := range b.shared {
		b.diags = append(b.diags, p.diags...)
	}
	return b.u, diag.Sort(b.diags)
}

// maxNeeded bounds the units that one unit brings with it.
const maxNeeded = 256

// Needed are the instances and slices that u refers to, and those that they refer to in
// turn: units that exist only because somebody names them. known ones are left out, with
// all that is behind them; slices of which no file says anything are, too.
func (l *Loader) Needed(u *unit.Unit, known func(name string) bool) []*unit.Unit {
	seen := map[string]bool{u.Name: true}
	var out []*unit.Unit
	todo := []*unit.Unit{u}
	for len(todo) > 0 && len(out) < maxNeeded {
		names := l.needs(todo[0])
		todo = todo[1:]
		for _, name := range names {
			if seen[name] || known(name) {
				continue
			}
			seen[name] = true
			n := l.build(name, true).u
			if n.Load != unit.NotFound && (n.Path != "" || len(n.DropIns) > 0) {
				out = append(out, n)
			}
			todo = append(todo, n)
		}
	}
	return out
}

// complete adds what directories say of a unit and builds it.
func (l *Loader) complete(src unit.Source) (b built) {
	drops, ds := l.dropins(src.Name, src.Aliases)
	b.diags = append(b.diags, ds...)
	for _, p := range drops {
		b.shared = append(b.shared, p)
		if !p.empty && !p.failed {
			src.Files = append(src.Files, p.file)
		}
	}
	src.Links, ds = l.links(src.Name, src.Aliases)
	b.diags = append(b.diags, ds...)
	u, ds := unit.Build(src)
	b.u, b.diags = u, append(b.diags, ds...)
	return b
}

// canonical is the name of the unit that name stands for.
func (l *Loader) canonical(name string) string {
	if n, ok := l.nativeNames[name]; ok {
		return n
	}
	end, err := l.ix.follow(name)
	if err != nil {
		return name
	}
	if n, ok := l.nativeNames[end]; ok {
		return n
	}
	if l.ix.files[end] != nil {
		return end
	}
	// A native template comes before one of the unit files.
	if n, err := unitname.Parse(end); err == nil && n.IsInstance() {
		if t, ok := l.nativeNames[n.TemplateName()]; ok {
			if i, err := instanceOf(t, n.Instance); err == nil {
				return i
			}
		}
	}
	return end
}

// ownNames are the aliases of a unit file that no native unit has taken.
func (l *Loader) ownNames(final string) []string {
	return slices.DeleteFunc(l.ix.namesOf(final), func(a string) bool { return l.nativeNames[a] != "" })
}

func instanceOf(template, instance string) (string, error) {
	t, err := unitname.Parse(template)
	if err != nil {
		return "", err
	}
	i, err := t.WithInstance(instance)
	if err != nil {
		return "", err
	}
	return i.String(), nil
}

// exists tells whether a canonical name has a definition.
func (l *Loader) exists(final string) bool {
	return l.nativeOf(final) != nil || l.ix.lookup(final) != nil
}

// nativeOf is the native definition of a canonical name or of its template.
func (l *Loader) nativeOf(final string) *native {
	if nu := l.natives[final]; nu != nil {
		return nu
	}
	if l.ix.files[final] != nil {
		return nil
	}
	if n, err := unitname.Parse(final); err == nil && n.IsInstance() {
		return l.natives[n.TemplateName()]
	}
	return nil
}

// built is one unit with its diagnostics; those of files that several units
// share are kept apart so that they are reported once.
type built struct {
	u      *unit.Unit
	diags  []diag.Diag
	shared []*parsed
}

func (l *Loader) build(final string, keep bool) built {
	if nu := l.nativeOf(final); nu != nil {
		return l.buildNative(nu, final, keep)
	}
	src := unit.Source{Name: final, Specifiers: l.cfg.Specifiers, Keep: keep}
	f := l.ix.lookup(final)
	if f != nil && (f.kind == masked || f.kind == broken) {
		return l.withoutFile(src, f)
	}
	src.Aliases = l.ownNames(final)
	var b built
	fatal := false
	switch {
	case f == nil || f.kind == alias:
	case f.generated != nil:
		src.Files, src.HasMain = slices.Clone(f.generated.Files), true
	default:
		p := l.parseFile(f.path, f.real, l.ix.files[final] == nil)
		if p.empty {
			f := *f
			f.kind = masked
			return l.withoutFile(src, &f)
		}
		b.shared = append(b.shared, p)
		if p.failed {
			f := *f
			f.kind = broken
			b.u = l.withoutFile(src, &f).u
			return b
		}
		fatal = p.fatal
		src.Files, src.HasMain = []unit.File{p.file}, true
	}
	src.Files = append(src.Files, l.extraDropins[final]...)
	whole := l.complete(src)
	b.shared, b.diags = append(b.shared, whole.shared...), append(b.diags, whole.diags...)
	u := whole.u
	b.u = u
	if u.Load == unit.Loaded && fatal {
		u.Load = unit.BadSetting
	}
	if u.Load == unit.NotFound && isPerpetual(final) {
		u.Load, u.Perpetual = unit.Loaded, true
	}
	return b
}

// withoutFile makes a unit that is masked or could not be read.
func (l *Loader) withoutFile(src unit.Source, f *found) built {
	src.Aliases = l.ownNames(src.Name)
	u, ds := unit.Build(src)
	u.Path, u.Load = f.path, unit.Masked
	if f.kind == broken {
		u.Load = unit.LoadError
	}
	return built{u: u, diags: ds}
}

// parseFile reads and parses one unit file. Files that several units share are
// kept.
func (l *Loader) parseFile(display, real string, shared bool) *parsed {
	if shared {
		l.mu.Lock()
		p := l.files[display]
		l.mu.Unlock()
		if p != nil {
			return p
		}
	}
	p := l.readFile(display, real)
	if shared {
		l.mu.Lock()
		defer l.mu.Unlock()
		if q := l.files[display]; q != nil {
			return q
		}
		l.files[display] = p
	}
	return p
}

func (l *Loader) readFile(display, real string) *parsed {
	p := &parsed{file: unit.File{Path: display}}
	fail := func(err error) *parsed {
		code := "unreadable"
		if errors.Is(err, errLoop) {
			code = "symlink-loop"
		}
		p.failed = true
		p.diags = append(p.diags, diag.Diag{Pos: diag.Pos{File: display}, Severity: diag.Error, Code: code,
			Message: "cannot read this file: " + reason(err)})
		return p
	}
	real, fi, err := l.tree.resolve(real)
	switch {
	case err != nil:
		return fail(err)
	case real == devNull:
		p.empty = true
		return p
	case !fi.Mode().IsRegular():
		return fail(errors.New("it is " + typeWord(fi.Mode())))
	}
	data, err := l.tree.read(real)
	if err != nil {
		return fail(err)
	}
	if len(data) == 0 {
		p.empty = true
		return p
	}
	p.file.Fragments, p.diags = sdunit.Parse(display, data)
	if w, ok := diag.Worst(p.diags); ok && w == diag.Error {
		p.fatal = true
	}
	return p
}

var perpetualUnits = []string{"-.mount", "-.slice", "init.scope", "system.slice", "user.slice"}

func isPerpetual(name string) bool { return slices.Contains(perpetualUnits, name) }

// short is a name without its suffix, for messages.
func short(name string) string {
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		return name[:i]
	}
	return name
}
