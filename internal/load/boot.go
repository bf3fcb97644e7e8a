package load

import (
	"errors"
	"io/fs"

	"dynamod/internal/diag"
	nativesyntax "dynamod/internal/load/native"
	"dynamod/internal/unit"
)

// bootFile is about the boot of the machine. The first of the search path counts; one that
// is empty or a link to /dev/null takes the place of a packaged one.
const bootFile = "boot.toml"

func (l *Loader) readBoot() {
	for _, d := range l.cfg.NativeDirs {
		p := d + "/" + bootFile
		pos := diag.Pos{File: p}
		at, fi, err := l.tree.resolve(rel(p))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			l.note(pos, diag.Error, "", "unreadable", "", "cannot read this file: %s", reason(err))
			return
		case at == devNull:
			return
		case !fi.Mode().IsRegular():
			l.note(pos, diag.Error, "", "not-a-file", "", "it is %s and cannot be read", typeWord(fi.Mode()))
			return
		}
		data, err := l.tree.read(at)
		if err != nil {
			l.note(pos, diag.Error, "", "unreadable", "", "cannot read this file: %s", reason(err))
			return
		}
		frags, ds := nativesyntax.Parse(p, data)
		l.diags = append(l.diags, ds...)
		l.boot, ds = unit.BuildBoot(unit.Source{Name: bootFile, Format: unit.Native, HasMain: true,
			Files: []unit.File{{Path: p, Fragments: frags}}, Specifiers: l.cfg.Specifiers})
		l.diags = append(l.diags, ds...)
		return
	}
}
