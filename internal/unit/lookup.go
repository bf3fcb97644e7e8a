package unit

import (
	"fmt"
	"slices"
	"strings"

	"dynamod/internal/diag"
)

// directiveRow finds the row of a unit-file assignment, or says why there is
// none.
func (b *builder) directiveRow(f *Fragment) *Setting {
	in := sectionBit(f.Section)
	if strings.HasPrefix(f.Section, "X-") || strings.HasPrefix(f.Key, "X-") {
		return nil
	}
	if in == inNone || in&(InSupervisor|InBoot) != 0 || in&b.types == 0 {
		b.wrongSection(f, in)
		return nil
	}
	if s := byDirective[directive{in, f.Key}]; s != nil {
		if s.Effect == Obsolete {
			b.add(diag.Diag{Pos: f.Pos, Severity: diag.Note, Code: "obsolete", Key: f.Key,
				Message: fmt.Sprintf("%s= is obsolete and has no effect", f.Key), Hint: s.Doc})
		}
		return s
	}
	b.unknownDirective(f, in)
	return nil
}

func (b *builder) wrongSection(f *Fragment, in Section) {
	if b.wrongSections[f.Section] {
		return
	}
	if b.wrongSections == nil {
		b.wrongSections = map[string]bool{}
	}
	b.wrongSections[f.Section] = true
	d := diag.Diag{Pos: f.Pos, Severity: diag.Warning, Code: "unknown-section", Key: diag.Clip(f.Key)}
	switch {
	case f.Section == "":
		d.Message = fmt.Sprintf("%s= stands before the first section", diag.Clip(f.Key))
		d.Hint = "write a section header such as [Unit] above it"
	case in == inNone || in&(InSupervisor|InBoot) != 0:
		d.Message = fmt.Sprintf("there is no section [%s]; what it holds is ignored", diag.Clip(f.Section))
		if s := diag.Suggest(f.Section, sectionNames[:len(sectionNames)-2]); s != "" {
			d.Hint = fmt.Sprintf("did you mean [%s]?", s)
		}
	default:
		d.Code = "wrong-section"
		d.Message = fmt.Sprintf("[%s] has no meaning in a .%s unit; what it holds is ignored", f.Section, b.u.Type)
		d.Hint = fmt.Sprintf("put it into a %s unit", typeOf(in))
	}
	b.add(d)
}

func (b *builder) unknownDirective(f *Fragment, in Section) {
	d := diag.Diag{Pos: f.Pos, Severity: diag.Warning, Code: "unknown-key", Key: diag.Clip(f.Key), Value: diag.Clip(f.Text),
		Message: fmt.Sprintf("unknown key %s in [%s]", diag.Clip(f.Key), f.Section)}
	var own, other []string
	for _, n := range sectionNames {
		bit := sectionBit(n)
		if s := byDirective[directive{bit, f.Key}]; s != nil && bit&(InSupervisor|InBoot) == 0 {
			if bit&b.types != 0 {
				own = append(own, n)
			}
			other = append(other, n)
		}
	}
	if own != nil {
		other = own
	}
	if other != nil {
		d.Code = "wrong-section"
		d.Message = fmt.Sprintf("%s= does not belong in [%s]", f.Key, f.Section)
		d.Hint = fmt.Sprintf("it belongs in [%s]", strings.Join(other, "], ["))
	} else if b.maySuggest() {
		d.Hint = b.suggestDirective(f.Section, f.Key)
	}
	b.add(d)
}

// suggestDirective looks in the section first, but not past a nearer word of another one.
func (b *builder) suggestDirective(section, key string) string {
	here, near := diag.Nearest(key, DirectiveNames(section))
	there, far := diag.Nearest(key, allDirectives(b.types))
	switch row := byNative[nativeKey{strings.ToLower(section), key}]; {
	case here != "" && near <= far:
		return fmt.Sprintf("did you mean %s=?", here)
	case row != nil && row.Name != "":
		return fmt.Sprintf("unit files spell it %s=", row.Name)
	case there != "":
		return fmt.Sprintf("did you mean %s= in [%s]?", there, strings.Join((byName(there, b.types)&b.types).Names(), "], ["))
	}
	return ""
}

// maySuggest bounds the search for "did you mean", which costs more than
// everything else about a key: a file of another format has thousands of them.
func (b *builder) maySuggest() bool {
	b.suggested++
	return b.suggested <= 20
}

func allDirectives(in Section) []string {
	var out []string
	for _, n := range in.Names() {
		out = append(out, DirectiveNames(n)...)
	}
	return out
}

// byName lists the sections among in that know the directive.
func byName(name string, in Section) (out Section) {
	for bit := InUnit; bit <= InBoot; bit <<= 1 {
		if in&bit != 0 && byDirective[directive{bit, name}] != nil {
			out |= bit
		}
	}
	return out
}

// nativeRow finds the row of a TOML assignment. A variable that the loader
// gave as a key of its own ("service.environment", "PATH") becomes an item.
func (b *builder) nativeRow(fp **Fragment) *Setting {
	f := *fp
	if strings.HasPrefix(f.Key, "x-") || strings.HasPrefix(f.Key, "X-") ||
		strings.HasPrefix(f.Section, "x-") || strings.HasPrefix(f.Section, "X-") {
		return nil
	}
	s := byNative[nativeKey{f.Section, f.Key}]
	if s == nil {
		if t := byNative[splitNative(f.Section)]; t != nil && t.Kind == EnvironmentKind && f.Section != "" {
			g := *f
			g.Items, g.ItemPos, g.Kind = []string{f.Key + "=" + f.Text}, nil, TableValue
			*fp = &g
			return t
		}
		b.unknownNative(f)
		return nil
	}
	if s.In&b.types == 0 && !slices.Contains(s.Types, b.u.Type) {
		var types []string
		for _, n := range s.In.Names() {
			types = append(types, "."+strings.ToLower(n))
		}
		b.add(diag.Diag{Pos: f.Pos, Severity: diag.Warning, Code: "wrong-section", Key: b.keyName(f),
			Message: fmt.Sprintf("%s has no meaning in a .%s unit and is ignored", b.keyName(f), b.u.Type),
			Hint:    "it applies to " + strings.Join(types, ", ") + " units"})
		return nil
	}
	return s
}

func (b *builder) unknownNative(f *Fragment) {
	full := b.keyName(f)
	d := diag.Diag{Pos: f.Pos, Severity: diag.Warning, Code: "unknown-key", Key: full, Value: diag.Clip(f.Text),
		Message: fmt.Sprintf("unknown key %s", full)}
	if b.maySuggest() {
		d.Hint = suggestNative(f.Section, f.Key)
	}
	b.add(d)
}

// suggestNative looks in the table first, but not past a nearer key of another one.
func suggestNative(table, key string) string {
	var here, keys, paths []string
	for k := range byNative {
		if k.table == table {
			here = append(here, k.key)
		}
		keys = append(keys, k.key)
		paths = append(paths, k.path())
	}
	// The map's order must not reach the hint.
	slices.Sort(here)
	slices.Sort(keys)
	slices.Sort(paths)
	path := diag.Suggest(table+"."+key, paths)
	if len(here) == 0 && path != "" { // there is no such table
		return fmt.Sprintf("did you mean %s?", path)
	}
	// snake_case is the commonest slip, and no reason to look for another word.
	if all := pathsOf(strings.ReplaceAll(strings.ToLower(key), "_", "-")); len(all) > 0 {
		return fmt.Sprintf("did you mean %s?", strings.Join(all, " or "))
	}
	for bit := InUnit; bit < InSupervisor; bit <<= 1 {
		if s := byDirective[directive{bit, key}]; s != nil && s.Native != table+"."+strings.ToLower(key) {
			return fmt.Sprintf("the native format spells it %s", s.Native)
		}
	}
	own, near := diag.Nearest(key, here)
	other, far := diag.Nearest(key, keys)
	switch {
	case own != "" && near <= far:
		return fmt.Sprintf("did you mean %s?", nativeKey{table, own}.path())
	case other != "":
		return fmt.Sprintf("did you mean %s?", strings.Join(pathsOf(other), " or "))
	case path != "":
		return fmt.Sprintf("did you mean %s?", path)
	}
	return ""
}

// pathsOf lists the native settings whose last word is key.
func pathsOf(key string) (out []string) {
	for k := range byNative {
		if k.key == key {
			out = append(out, k.path())
		}
	}
	slices.Sort(out)
	return out
}

// LookupDirective finds the row of a unit-file directive by its section
// ("Service") and name, aliases included.
func LookupDirective(section, name string) (*Setting, bool) {
	s := byDirective[directive{sectionBit(section), name}]
	return s, s != nil
}

// LookupNative finds the row of a native key such as "restart.max-restarts",
// aliases included.
func LookupNative(path string) (*Setting, bool) {
	s := byNative[splitNative(path)]
	return s, s != nil
}

// DirectiveNames lists the directives of a section in alphabetical order,
// without aliases and obsolete ones.
func DirectiveNames(section string) []string {
	bit := sectionBit(section)
	var out []string
	for _, s := range table {
		if s.Name != "" && s.In&bit != 0 && s.Effect != Obsolete {
			out = append(out, s.Name)
		}
	}
	slices.Sort(out)
	return out
}

// NativeNames lists the canonical native keys in alphabetical order.
func NativeNames() []string {
	out := make([]string, 0, len(table))
	for _, s := range table {
		out = append(out, s.Native)
	}
	slices.Sort(out)
	return out
}
