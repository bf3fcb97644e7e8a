package load

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"dynamod/internal/diag"
	"dynamod/internal/load/fstab"
)

// readFstab adds the units of fstab. A unit file wins over them when it stands
// in the generator's directory or above: /etc counts before fstab, fstab before
// /usr (systemd.mount(5), "FSTAB").
func (l *Loader) readFstab() {
	if l.cfg.Fstab == "" {
		return
	}
	display := path.Clean("/" + l.cfg.Fstab)
	pos := diag.Pos{File: display}
	real, fi, err := l.tree.resolve(rel(display))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err == nil && real == devNull:
		return
	case err == nil && !fi.Mode().IsRegular():
		err = errors.New("it is " + typeWord(fi.Mode()))
	}
	var data []byte
	if err == nil {
		data, err = l.tree.read(real)
	}
	if err != nil {
		l.note(pos, diag.Error, "", "unreadable", "", "cannot read this file: %s", reason(err))
		return
	}
	res, ds := fstab.Parse(display, data, fstab.Options{Resolve: l.resolveMountPoint})
	l.diags = append(l.diags, ds...)
	rank := slices.IndexFunc(l.cfg.UnitDirs, func(d string) bool { return path.Base(d) == generatorDir })
	if rank < 0 {
		rank = len(l.cfg.UnitDirs)
	}
	replaced := map[string]bool{}
	for i := range res.Units {
		src := &res.Units[i]
		if f := l.ix.files[src.Name]; f != nil && f.dir <= rank {
			replaced[src.Name] = true
			l.note(src.Files[0].Fragments[0].Pos, diag.Note, src.Name, "shadowed", "", "%s takes the place of this line", f.path)
			continue
		}
		l.ix.files[src.Name] = &found{kind: regular, dir: rank, path: display, generated: src}
	}
	// The links hold even then, as those of a generator would.
	for _, x := range res.Links {
		l.extra[x.Unit] = append(l.extra[x.Unit], x.Link)
	}
	for _, d := range res.Dropins {
		l.extraDropins[d.Unit] = append(l.extraDropins[d.Unit], d.File)
	}
}

// resolveMountPoint follows the symlinks of a mount point as far as it exists.
func (l *Loader) resolveMountPoint(where string) string {
	rest := ""
	for p := rel(where); p != "."; p = path.Dir(p) {
		if real, fi, err := l.tree.resolve(p); err == nil && fi != nil {
			return path.Clean("/" + real + rest)
		}
		rest = "/" + path.Base(p) + rest
		if strings.Count(rest, "/") > 200 {
			break // each step resolves the whole path again
		}
	}
	return where
}
