package load

import (
	"slices"
	"strings"
)

// UnitFile is one file that has, or masks, a unit or template.
type UnitFile struct{ Name, Path string }

// Files lists the unit files of the search path and the native ones, by name. Aliases
// are files of their own; instances that only links name are none.
func (l *Loader) Files() []UnitFile {
	out := make([]UnitFile, 0, len(l.ix.files)+len(l.natives))
	for name, f := range l.ix.files {
		if f.path != "" && l.nativeNames[name] == "" {
			out = append(out, UnitFile{name, f.path})
		}
	}
	for name, n := range l.natives {
		if n.file.Path != "" {
			out = append(out, UnitFile{name, n.file.Path})
		}
	}
	slices.SortFunc(out, func(a, b UnitFile) int { return strings.Compare(a.Name, b.Name) })
	return out
}
