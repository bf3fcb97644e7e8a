package load

import (
	"slices"
	"strconv"
	"strings"

	"dynamod/internal/unit"
)

// isControl says that a drop-in or its directory lies where set-property writes.
func (l *Loader) isControl(p string) bool {
	return slices.ContainsFunc(l.cfg.ControlDirs, func(d string) bool { return strings.HasPrefix(p, d+"/") })
}

// controlDropins are the drop-ins of a native unit that set-property wrote.
func (l *Loader) controlDropins(name string, aliases []string) []*parsed {
	if !slices.ContainsFunc(append([]string{name}, aliases...), func(n string) bool {
		return slices.ContainsFunc(l.ix.subs[n+".d"], func(s subdir) bool { return l.isControl(s.path) })
	}) {
		return nil
	}
	files, _ := l.dropins(name, aliases) // what is wrong with the others is no matter here
	return slices.DeleteFunc(files, func(p *parsed) bool { return !l.isControl(p.file.Path) })
}

// inNativeWords says a drop-in in the words of native files, so that it can be
// built together with one. Lines that have none stay as they are and are reported.
func inNativeWords(f unit.File) unit.File {
	out := unit.File{Path: f.Path, Fragments: slices.Clone(f.Fragments)}
	for k := range out.Fragments {
		x := &out.Fragments[k]
		s, ok := unit.LookupDirective(x.Section, x.Key)
		if !ok {
			continue
		}
		dot := strings.LastIndexByte(s.Native, '.')
		x.Section, x.Key = s.Native[:max(dot, 0)], s.Native[dot+1:]
		if x.Op != unit.Assign {
			continue
		}
		_, notWhole := strconv.ParseInt(x.Text, 10, 64)
		switch {
		case s.Kind == unit.WordsKind:
			x.Kind, x.Items = unit.ArrayValue, strings.Fields(x.Text)
		case s.Kind.IsList():
			x.Kind, x.Items = unit.ArrayValue, []string{x.Text}
		case s.Kind == unit.BoolKind:
			x.Kind = unit.BoolValue
		case notWhole == nil:
			x.Kind = unit.IntValue
		default:
			x.Kind = unit.StringValue
		}
	}
	return out
}
