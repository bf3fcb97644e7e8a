package install

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"dynamod/internal/diag"
	"dynamod/internal/tree"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// Options say where and how.
type Options struct {
	// Root is the directory that stands for "/".
	Root string
	// User means the units of a user manager.
	User bool
	// Runtime makes links that are gone after a reboot.
	Runtime bool
	// Force replaces links that are in the way.
	Force bool
	// DryRun works out the changes and makes none.
	DryRun bool
}

// Change is a link that is made or removed. Path and Target are as seen from
// inside the tree.
type Change struct {
	// Op is link or unlink.
	Op     string `json:"op"`
	Path   string `json:"path"`
	Target string `json:"target,omitempty"`
	// Over is where a link led that was in its place.
	Over string `json:"over,omitempty"`
}

// Result is what was done.
type Result struct {
	Changes []Change `json:"changes"`
	// Notes say why something was not done that the operator may expect.
	Notes []string `json:"notes,omitempty"`
}

// Verb is what is done with the units.
type Verb string

const (
	Enable  Verb = "enable"
	Disable Verb = "disable"
	Mask    Verb = "mask"
	Unmask  Verb = "unmask"
	// SetDefault makes the unit the one that boot starts: default.target leads to it.
	SetDefault Verb = "set-default"
)

// NoUnitError says that there is no such unit.
type NoUnitError struct{ Err error }

func (e *NoUnitError) Error() string { return e.Err.Error() }

// Error is a refusal with what would mend it.
type Error struct{ Text, Hint string }

func (e *Error) Error() string { return e.Text }

func refuse(hint, format string, args ...any) error {
	return &Error{fmt.Sprintf(format, args...), hint}
}

// work is one run.
type work struct {
	o    Options
	dirs Dirs
	tree *tree.Tree
	disk *disk
	res  Result
	seen map[string]bool
	// elsewhere are the files outside the search path, by name.
	elsewhere map[string]string
}

// Run does verb to all units, or to none of them if one cannot be done.
func Run(verb Verb, names []string, o Options) (*Result, error) {
	return run(o, func(w *work) error {
		do, ok := map[Verb]func(string) error{Enable: w.enable, Disable: w.disable, Mask: w.mask, Unmask: w.unmask, SetDefault: w.setDefault}[verb]
		if !ok {
			panic("no such verb: " + string(verb))
		}
		return w.each(names, do)
	})
}

// run opens the tree, has changes planned and carries all of them out, or none if one
// cannot be done.
func run(o Options, plan func(*work) error) (*Result, error) {
	o.Root = cmp.Or(o.Root, "/")
	t, err := tree.Open(tree.Options{Root: o.Root, User: o.User})
	if err != nil {
		return nil, err
	}
	d, err := openDisk(o.Root)
	if err != nil {
		return nil, err
	}
	defer d.close()
	w := &work{o: o, dirs: dirsOf(o), tree: t, disk: d, seen: map[string]bool{}, res: Result{Changes: []Change{}}}
	if err := plan(w); err != nil {
		return nil, err
	}
	if o.DryRun {
		return &w.res, nil
	}
	return &w.res, d.apply(w.res.Changes)
}

// each does the same with all units, by their full names.
func (w *work) each(names []string, do func(full string) error) error {
	for _, name := range names {
		full, err := unitname.Mangle(name, unitname.Service)
		if err != nil {
			return refuse("", "%s is no unit name", diag.Clip(name))
		}
		if err := do(full); err != nil {
			return err
		}
	}
	return nil
}

func (w *work) note(format string, args ...any) {
	w.res.Notes = append(w.res.Notes, fmt.Sprintf(format, args...))
}

func (w *work) find(name string) (*unit.Unit, error) {
	u, err := w.tree.Find(name)
	if err != nil {
		return nil, &NoUnitError{err}
	}
	return u, nil
}

// link plans a link, unless it is there already.
func (w *work) link(at, target string, byName bool) error {
	old, kind, err := w.disk.look(at)
	switch {
	case err != nil:
		return err
	case kind == 0:
	case kind != fs.ModeSymlink:
		return refuse("move it away first", "%s is in the way: it is no link", at)
	case old == target, byName && path.Base(old) == path.Base(target):
		return nil // in .wants directories only the name counts
	case !w.o.Force:
		return refuse("--force replaces it", "%s is in the way: it leads to %s", at, diag.Clip(old))
	}
	c := Change{Op: "link", Path: at, Target: target, Over: old}
	if !slices.Contains(w.res.Changes, c) {
		w.res.Changes = append(w.res.Changes, c)
	}
	return nil
}

func (w *work) unlink(at string) {
	if c := (Change{Op: "unlink", Path: at}); !slices.Contains(w.res.Changes, c) {
		w.res.Changes = append(w.res.Changes, c)
	}
}

func (w *work) enable(name string) error {
	if w.seen[name] {
		return nil
	}
	w.seen[name] = true
	u, err := w.find(name)
	if err != nil {
		return err
	}
	switch {
	case u.Load == unit.Masked:
		return refuse("dynamodctl unmask "+name, "%s is masked", name)
	case u.Load != unit.Loaded:
		return refuse("dynamodctl check "+name, "the files of %s cannot be used", name)
	case u.Path == "":
		return refuse("", "%s has no file: the manager makes it by itself", name)
	case u.Format == unit.Native && u.Type == unitname.Service && unit.StartMode.Of(u) == "boot":
		w.note("%s: its file %s says start = \"boot\": it is enabled by being there", name, u.Path)
		return nil
	}
	n, err := unitname.Parse(name)
	if err != nil {
		return err
	}
	if n.IsTemplate() {
		inst := unit.DefaultInstance.Of(u)
		if inst == "" {
			return refuse("name one, as in "+strings.Replace(name, "@.", "@NAME.", 1), "%s is a template without DefaultInstance=", name)
		}
		into, err := n.WithInstance(inst)
		if err != nil {
			return refuse("", "DefaultInstance=%s of %s: %v", diag.Clip(inst), name, err)
		}
		name = into.String()
		if u, err = w.find(name); err != nil { // for its specifiers
			return err
		}
	} else if !n.IsInstance() {
		name = u.Name // not one of its aliases
	}
	wanted, required, upheld := unit.WantedBy.Of(u), unit.RequiredBy.Of(u), unit.UpheldBy.Of(u)
	alias, also := unit.Alias.Of(u), unit.Also.Of(u)
	if u.Format == unit.Native {
		alias = nil // effective by being written
		if len(wanted)+len(required)+len(upheld) == 0 {
			wanted = []string{"multi-user.target"}
		}
	}
	for _, by := range []struct {
		units  []string
		suffix string
	}{{wanted, ".wants"}, {required, ".requires"}, {upheld, ".upholds"}} {
		for _, target := range by.units {
			if err := w.link(path.Join(w.dirs.base(), target+by.suffix, name), w.target(u), true); err != nil {
				return err
			}
		}
	}
	for _, a := range alias {
		an, err := unitname.Parse(a)
		if err != nil || an.Type != n.Type {
			return refuse("", "Alias=%s of %s is not the name of a %s", diag.Clip(a), name, n.Type)
		}
		if a != name {
			if err := w.link(path.Join(w.dirs.base(), a), w.target(u), false); err != nil {
				return err
			}
		}
	}
	for _, other := range also {
		if err := w.enable(other); err != nil {
			return err
		}
	}
	if len(wanted)+len(required)+len(upheld)+len(alias)+len(also) == 0 {
		w.note("%s has no [Install] section: nothing enables it, it is started when others need it", name)
	}
	return nil
}

func (w *work) disable(name string) error {
	if w.seen[name] {
		return nil
	}
	w.seen[name] = true
	u, findErr := w.find(name)
	if findErr == nil && u.Format == unit.Native && unit.StartMode.Of(u) == "boot" && u.Type == unitname.Service {
		return refuse(fmt.Sprintf("write start = \"manual\" into its [service] table, or: dynamodctl mask %s", name),
			"%s is started at boot by its own file %s, not by a link", name, u.Path)
	}
	bases := []string{w.dirs.runtime}
	if !w.o.Runtime {
		bases = append(bases, w.dirs.persistent)
	}
	before := len(w.res.Changes)
	for _, base := range bases {
		if base == "" {
			continue
		}
		if err := w.disableIn(base, name); err != nil {
			return err
		}
	}
	if findErr == nil {
		for _, other := range unit.Also.Of(u) {
			if err := w.disable(other); err != nil {
				return err
			}
		}
	} else if before == len(w.res.Changes) {
		return findErr
	}
	return nil
}

// disableIn plans the removal of all links below base that enable name.
func (w *work) disableIn(base, name string) error {
	n, err := unitname.Parse(name)
	if err != nil {
		return err
	}
	means := func(s string) bool {
		if s == name {
			return true
		}
		o, err := unitname.Parse(s)
		return n.IsTemplate() && err == nil && o.IsInstance() && o.TemplateName() == name
	}
	entries, err := w.disk.list(base)
	if err != nil {
		return err
	}
	for _, e := range entries {
		at := path.Join(base, e.Name())
		switch suffix := path.Ext(e.Name()); {
		case e.IsDir() && (suffix == ".wants" || suffix == ".requires" || suffix == ".upholds"):
			links, err := w.disk.list(at)
			if err != nil {
				return err
			}
			for _, l := range links {
				if l.Type() == fs.ModeSymlink && means(l.Name()) {
					w.unlink(path.Join(at, l.Name()))
				}
			}
		case e.Type() == fs.ModeSymlink:
			to, _, err := w.disk.look(at)
			if err != nil {
				return err
			}
			// Aliases, and units that were linked in from elsewhere; never a mask.
			if to != devNull && (means(path.Base(to)) || e.Name() == name) {
				w.unlink(at)
			}
		}
	}
	return nil
}

// setDefault is `systemctl set-default` (systemctl(1)).
func (w *work) setDefault(name string) error {
	u, err := w.find(name)
	switch {
	case err != nil:
		return err
	case u.Name == "default.target":
		return refuse("name the target that it shall lead to", "default.target cannot lead to itself")
	case u.Type != unitname.Target:
		return refuse("", "%s is no target", name)
	case u.Path == "":
		return refuse("", "%s has no file to link to", name)
	case u.Format == unit.Native:
		return refuse("write alias = [\"default.target\"] into its [install] table", "%s is a native unit, which names its aliases itself", name)
	}
	return w.link(path.Join(w.dirs.base(), "default.target"), u.Path, false)
}

const devNull = "/dev/null"

func (w *work) mask(name string) error {
	base := w.dirs.base()
	native := path.Join(w.dirs.native[0], "services", strings.TrimSuffix(name, ".service")+".toml")
	if to, kind, err := w.disk.look(native); err == nil && kind == fs.ModeSymlink && to == devNull {
		return nil // the unit is not even loaded then
	}
	if at, ok := w.nativeFile(name); ok {
		if w.o.Runtime {
			return refuse("leave --runtime out", "%s is a native unit, which cannot be masked until the next boot only", name)
		}
		own := path.Join(w.dirs.native[0], "services", path.Base(at))
		if own == at {
			return refuse("remove it, or write start = \"ignore\" into its [service] table", "%s is defined by %s, where the mask would have to stand", name, at)
		}
		return w.link(own, devNull, false)
	}
	at := path.Join(base, name)
	if _, kind, err := w.disk.look(at); err == nil && kind != 0 && kind != fs.ModeSymlink {
		return refuse("move it to /usr/local/lib/systemd/system or remove it", "%s is defined by %s, where the mask would have to stand", name, at)
	}
	if _, err := w.tree.Find(name); err != nil {
		w.note("%s does not exist; it is masked all the same", name)
	}
	return w.link(at, devNull, false)
}

// nativeFile is the TOML file that defines a unit.
func (w *work) nativeFile(name string) (string, bool) {
	u, err := w.tree.Find(name)
	if err != nil || u.Format != unit.Native || u.Path == "" {
		return "", false
	}
	return u.Path, true
}

func (w *work) unmask(name string) error {
	places := []string{path.Join(w.dirs.runtime, name)}
	if !w.o.Runtime {
		places = append(places, path.Join(w.dirs.persistent, name))
		stem := strings.TrimSuffix(name, ".service")
		for _, d := range w.dirs.native {
			places = append(places, path.Join(d, "services", stem+".toml"))
		}
	}
	found := false
	for _, at := range places {
		to, kind, err := w.disk.look(at)
		if err != nil {
			return err
		}
		if kind == fs.ModeSymlink && to == devNull {
			w.unlink(at)
			found = true
		}
	}
	if !found {
		if _, err := w.find(name); err != nil {
			return err
		}
		w.note("%s is not masked", name)
	}
	return nil
}
