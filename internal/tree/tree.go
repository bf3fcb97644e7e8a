package tree

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"dynamod/internal/diag"
	"dynamod/internal/graph"
	"dynamod/internal/load"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// Options say what to read.
type Options struct {
	// Root is the directory that stands for "/"; "" is "/" itself.
	Root string
	// User asks for the units of a user manager.
	User bool
	// Loose are files outside the search path. They are read as if they lay
	// in a directory of the highest priority.
	Loose []string
	// FS replaces the files below Root, for tests.
	FS fs.FS
}

// Tree is all that was read.
type Tree struct {
	Set   *unit.Set
	Graph *graph.Graph
	// Diags are the findings of the loader, then those of the graph, with
	// paths as they are in the tree.
	Diags []diag.Diag
	// Rest are the templates that nobody uses and what orphaned drop-ins make.
	Rest []*unit.Unit
	// Files and DropIns count the distinct files that make up the units.
	Files, DropIns int

	loader  *load.Loader
	root    string
	display map[string]string // path in the tree → loose file
	dirs    []string          // the search path
}

// Open reads the tree. An error means that the root or a loose file is no use
// at all; what is wrong inside the tree is in Diags.
func Open(o Options) (*Tree, error) {
	t := &Tree{root: o.Root, display: map[string]string{}}
	if t.root == "" {
		t.root = "/"
	}
	fsys := o.FS
	if fsys == nil {
		info, err := os.Stat(t.root)
		switch {
		case err != nil:
			return nil, fmt.Errorf("--root %s: %w", t.root, unwrapPath(err))
		case !info.IsDir():
			return nil, fmt.Errorf("--root %s: not a directory", t.root)
		}
		fsys = os.DirFS(t.root)
	}
	cfg := load.Config{FS: fsys, Fstab: "/etc/fstab"}
	mode := graph.System
	if o.User {
		cfg.Mode, mode, cfg.Fstab = load.User, graph.User, ""
		if t.root == "/" {
			cfg.XDG = ownDirectories()
		}
	}
	cfg.UnitDirs, cfg.NativeDirs = load.UnitDirs(cfg.Mode, cfg.XDG), load.NativeDirs(cfg.Mode, cfg.XDG)
	cfg.StockDirs, cfg.ShadowDirs = load.StockDirs(cfg.Mode), load.ShadowDirs(cfg.Mode)
	if !o.User {
		cfg.Consoles = load.KernelConsoles
	}
	cfg.Specifiers = specifiers(fsys, o.User)
	t.dirs = slices.Clone(cfg.UnitDirs)
	for _, d := range slices.Concat(cfg.NativeDirs, cfg.StockDirs, cfg.ShadowDirs) {
		t.dirs = append(t.dirs, path.Join(d, "services"), path.Join(d, "supervisors"))
	}
	if len(o.Loose) > 0 {
		ov, err := overlayOf(fsys, o.Loose)
		if err != nil {
			return nil, err
		}
		cfg.FS, t.display = ov, ov.display()
		cfg.UnitDirs = append([]string{looseUnits}, cfg.UnitDirs...)
		cfg.NativeDirs = append([]string{looseNative}, cfg.NativeDirs...)
	}
	var ds []diag.Diag
	t.loader = load.New(cfg)
	t.Set, ds = t.loader.All()
	t.Graph, t.Diags = graph.Build(t.Set, graph.Config{Mode: mode})
	t.Diags = append(ds, t.Diags...)
	t.readRest(cfg.FS, cfg.UnitDirs)
	return t, nil
}

// ownDirectories are those of the user who runs this program.
func ownDirectories() load.XDG {
	list := func(key string) []string {
		if v := os.Getenv(key); v != "" {
			return strings.Split(v, ":")
		}
		return nil
	}
	return load.XDG{Home: os.Getenv("HOME"), ConfigHome: os.Getenv("XDG_CONFIG_HOME"), DataHome: os.Getenv("XDG_DATA_HOME"),
		RuntimeDir: os.Getenv("XDG_RUNTIME_DIR"), ConfigDirs: list("XDG_CONFIG_DIRS"), DataDirs: list("XDG_DATA_DIRS")}
}

// Root is the directory that stands for "/".
func (t *Tree) Root() string { return t.root }

// Shown is a path of the tree as the operator would type it.
func (t *Tree) Shown(p string) string {
	if host, ok := t.display[p]; ok {
		return host
	}
	if p == "" || t.root == "/" {
		return p
	}
	return filepath.Join(t.root, p)
}

// Inside finds the path in the tree that a path of the operator means, and says
// whether the file is where the manager would look for units.
func (t *Tree) Inside(host string) (p string, searched bool) {
	for in, h := range t.display {
		if h == host {
			return in, true
		}
	}
	return inside(t.root, host, t.dirs)
}

// Searched is Inside for a tree that is not open yet.
func Searched(o Options, host string) bool {
	t := Tree{root: o.Root}
	if t.root == "" {
		t.root = "/"
	}
	m, x := load.System, load.XDG{}
	if o.User {
		m = load.User
		if t.root == "/" {
			x = ownDirectories()
		}
	}
	dirs := load.UnitDirs(m, x)
	for _, d := range slices.Concat(load.NativeDirs(m, x), load.StockDirs(m), load.ShadowDirs(m)) {
		dirs = append(dirs, path.Join(d, "services"), path.Join(d, "supervisors"))
	}
	_, searched := inside(t.root, host, dirs)
	return searched
}

func inside(root, host string, dirs []string) (string, bool) {
	full, err := realDir(host)
	if err != nil {
		return "", false
	}
	base, err := filepath.EvalSymlinks(root)
	if err != nil {
		return "", false
	}
	if base, err = filepath.Abs(base); err != nil {
		return "", false
	}
	rel, err := filepath.Rel(base, full)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return "", false
	}
	p := "/" + filepath.ToSlash(rel)
	dir := path.Dir(p)
	return p, slices.Contains(dirs, dir) || slices.Contains(dirs, path.Dir(dir)) && strings.HasSuffix(dir, ".d")
}

// realDir resolves the directory of a path, but not its last element: a unit
// that is a link is the link.
func realDir(host string) (string, error) {
	abs, err := filepath.Abs(host)
	if err != nil {
		return "", err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
	return filepath.Join(dir, filepath.Base(abs)), err
}

// unwrapPath leaves the path out of an error that names it already.
func unwrapPath(err error) error {
	if pe, ok := err.(*fs.PathError); ok {
		return pe.Err
	}
	return err
}

// Find is the unit of that name or alias; a bare name means a service. The
// error suggests what may have been meant.
func (t *Tree) Find(name string) (*unit.Unit, error) {
	full := name
	if n, err := unitname.Mangle(name, unitname.Service); err == nil {
		full = n
	}
	if u, ok := t.Set.Find(full); ok {
		return u, nil
	}
	// Nobody refers to this instance or template; it exists all the same.
	if u, _ := t.loader.One(full); u.Load != unit.NotFound {
		if n, err := unitname.Parse(u.Name); err == nil && !n.IsTemplate() {
			t.Graph.Add(u)
		}
		return u, nil
	}
	hint := ""
	if s := t.suggest(name); s != "" {
		hint = fmt.Sprintf("; did you mean %s?", s)
	}
	where := ""
	if t.root != "/" {
		where = " in " + t.root
	}
	return nil, fmt.Errorf("there is no unit %s%s%s", diag.Clip(full), where, hint)
}

// suggest finds the unit whose name is nearest. Who types no suffix means a
// service; comparing suffixes would then make strangers look alike.
func (t *Tree) suggest(name string) string {
	const suffix = ".service"
	bare := !strings.Contains(name, ".")
	var all []string
	for _, u := range t.Set.Units {
		for _, n := range append([]string{u.Name}, u.Aliases...) {
			if !bare {
				all = append(all, n)
			} else if n, ok := strings.CutSuffix(n, suffix); ok {
				all = append(all, n)
			}
		}
	}
	s := diag.Suggest(name, all)
	if s != "" && bare {
		s += suffix
	}
	return s
}

// InstallDirs are the directories in which the administrator, or with a user
// manager the user, keeps links that last and links that do not, and those of
// native units.
func InstallDirs(o Options) (persistent, runtime string, native []string) {
	if !o.User {
		return "/etc/systemd/system", "/run/systemd/system", slices.Concat(load.NativeDirs(load.System, load.XDG{}), load.StockDirs(load.System), load.ShadowDirs(load.System))
	}
	if o.Root != "" && o.Root != "/" {
		// Whose user units they are is not known there: those of all users.
		return "/etc/systemd/user", "/run/systemd/user", load.NativeDirs(load.User, load.XDG{})
	}
	x := ownDirectories()
	native = load.NativeDirs(load.User, x)
	persistent, runtime = "/etc/systemd/user", "/run/systemd/user"
	if x.ConfigHome == "" && x.Home != "" {
		x.ConfigHome = path.Join(x.Home, ".config")
	}
	if x.ConfigHome != "" {
		persistent = path.Join(x.ConfigHome, "systemd/user")
	}
	if x.RuntimeDir != "" {
		runtime = path.Join(x.RuntimeDir, "systemd/user")
	}
	return persistent, runtime, native
}

// FileState says whether a unit is enabled, as `systemctl is-enabled` would.
func (t *Tree) FileState(name string) string { return string(t.loader.FileState(name)) }

// Names are the names of all unit files, sorted; aliases are files of their own.
func (t *Tree) Names() []string {
	var out []string
	for _, f := range t.loader.Files() {
		out = append(out, f.Name)
	}
	return out
}

// VendorDirs are the directories of unit files that packages install into.
func VendorDirs(o Options) []string {
	m, x := load.System, load.XDG{}
	if o.User {
		m = load.User
		if o.Root == "" || o.Root == "/" {
			x = ownDirectories()
		}
	}
	var out []string
	for _, d := range load.UnitDirs(m, x) {
		if strings.HasPrefix(d, "/usr/") || strings.HasPrefix(d, "/lib/") {
			out = append(out, d)
		}
	}
	return out
}
