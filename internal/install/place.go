package install

import (
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"dynamod/internal/diag"
	"dynamod/internal/tree"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// RunLink makes unit files outside the search path known by links to them, and with
// enable enables them too (systemctl(1), link and enable with a path). Files that lie
// in the search path need no link.
func RunLink(files []string, enable bool, o Options) (*Result, error) {
	var loose []string
	for _, f := range files {
		if !strings.HasPrefix(f, "/") || path.Clean(f) != f {
			return nil, refuse("give a clean absolute path", "%s is no path of a unit file", diag.Clip(f))
		}
		if n, err := unitname.Parse(path.Base(f)); err != nil || n.IsInstance() {
			return nil, refuse("", "%s is no name of a unit file", diag.Clip(path.Base(f)))
		}
		if !tree.Searched(tree.Options{Root: o.Root, User: o.User}, filepath.Join("/", o.Root, f)) {
			loose = append(loose, filepath.Join("/", o.Root, f))
		}
	}
	return run(o, func(w *work) error {
		w.elsewhere = map[string]string{}
		for _, f := range files {
			name := path.Base(f)
			if slices.Contains(loose, filepath.Join("/", o.Root, f)) {
				if _, kind, err := w.disk.look(f); err != nil || kind == 0 {
					return &NoUnitError{Err: refuse("", "Unit %s does not exist", f)}
				}
				if err := w.link(path.Join(w.dirs.base(), name), f, false); err != nil {
					return err
				}
				w.elsewhere[name] = f
			}
		}
		if !enable {
			return nil
		}
		if len(loose) > 0 {
			var err error
			if w.tree, err = tree.Open(tree.Options{Root: w.o.Root, User: o.User, Loose: loose}); err != nil {
				return err
			}
		}
		for _, f := range files {
			if err := w.enable(path.Base(f)); err != nil {
				return err
			}
		}
		return nil
	})
}

// target is the file that links to a unit lead to.
func (w *work) target(u *unit.Unit) string {
	if f := w.elsewhere[path.Base(u.Path)]; f != "" {
		return f
	}
	return u.Path
}

// RunAddDependency makes target want, or require, units (systemctl(1), add-wants).
func RunAddDependency(names []string, target, kind string, o Options) (*Result, error) {
	suffix, ok := map[string]string{"Wants": ".wants", "Requires": ".requires"}[kind]
	if !ok {
		return nil, refuse("Wants or Requires", "%s is no dependency that can be added", diag.Clip(kind))
	}
	return run(o, func(w *work) error {
		usable := func(full string) (*unit.Unit, error) {
			u, err := w.find(full)
			switch {
			case err != nil:
				return nil, err
			case u.Load == unit.Masked:
				return nil, refuse("unmask it first", "Unit %s is masked", full)
			case u.Path == "":
				return nil, refuse("", "%s has no file to link to", full)
			}
			return u, nil
		}
		if err := w.each([]string{target}, func(full string) error { _, err := usable(full); return err }); err != nil {
			return err
		}
		return w.each(names, func(full string) error {
			u, err := usable(full)
			if err != nil {
				return err
			}
			return w.link(path.Join(w.dirs.base(), target+suffix, full), u.Path, true)
		})
	})
}

// RunRevert takes back what was changed on this machine: drop-ins, masks, and files
// that stand before a vendor's (systemctl(1), revert). A unit that is only here stays,
// and so do links to files elsewhere.
func RunRevert(names []string, o Options) (*Result, error) {
	return run(o, func(w *work) error { return w.each(names, w.revert) })
}

func (w *work) revert(name string) error {
	vendor := false
	for _, d := range tree.VendorDirs(tree.Options{Root: w.o.Root, User: w.o.User}) {
		if _, kind, err := w.disk.look(path.Join(d, name)); err == nil && kind != 0 {
			vendor = true
		}
	}
	for _, base := range []string{w.dirs.persistent, w.dirs.runtime, w.dirs.persistent + ".control", w.dirs.runtime + ".control"} {
		if base == "" || base == ".control" {
			continue
		}
		dir := path.Join(base, name+".d")
		entries, err := w.disk.list(dir)
		if err != nil {
			return err
		}
		others := false
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".conf") && !e.IsDir() {
				w.unlink(path.Join(dir, e.Name()))
			} else {
				others = true
			}
		}
		if len(entries) > 0 && !others {
			w.unlink(dir)
		}
		at := path.Join(base, name)
		to, kind, err := w.disk.look(at)
		switch {
		case err != nil:
			return err
		case kind == fs.ModeSymlink && to == devNull, vendor && kind == fs.ModeIrregular:
			w.unlink(at)
		}
	}
	return nil
}

// Links are the links of a unit that disabling it would remove.
func Links(name string, o Options) ([]string, error) {
	o.DryRun = true
	r, err := Run(Disable, []string{name}, o)
	if err != nil {
		return nil, err
	}
	out := []string{}
	for _, c := range r.Changes {
		out = append(out, c.Path)
	}
	return out, nil
}
