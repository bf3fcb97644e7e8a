package unit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

var effectTexts = [...]string{
	NotYet:   "none yet: parsed and shown, but nothing acts on it so far",
	ByLoader: "acts while files are loaded",
	ByGraph:  "becomes a dependency or a place in a tree",
	ByCore:   "the manager decides with it",
	ByWorld:  "acts on processes, cgroups, sockets or mounts",
	Shown:    "shown to people and clients",
	Obsolete: "none: systemd itself ignores it",
}

var effectWords = [...]string{NotYet: "not yet", ByLoader: "loader", ByGraph: "graph", ByCore: "core",
	ByWorld: "world", Shown: "shown", Obsolete: "obsolete"}

// String is one word for tables.
func (e Effect) String() string { return effectWords[e] }

// Explain describes a setting in a few lines. The key may be a native key
// ("restart.delay"), a directive ("RestartSec", "RestartSec=") or a directive
// with its section ("Service.RestartSec", "[Service] RestartSec"); all rows of
// that name are described.
func Explain(key string) (text string, ok bool) {
	var rows []*Setting
	add := func(s *Setting) {
		if s != nil && !slices.Contains(rows, s) {
			rows = append(rows, s)
		}
	}
	key = strings.TrimSuffix(strings.TrimSpace(key), "=")
	add(byNative[splitNative(key)])
	section, name := "", key
	if rest, bracket := strings.CutPrefix(key, "["); bracket {
		section, name, _ = strings.Cut(rest, "]")
		name = strings.TrimSpace(name)
	} else if sec, n, dotted := strings.Cut(key, "."); dotted {
		section, name = sec, n
	}
	for i, n := range sectionNames {
		if section == "" || section == n {
			add(byDirective[directive{1 << i, name}])
		}
	}
	var b strings.Builder
	for i, s := range rows {
		if i > 0 {
			b.WriteByte('\n')
		}
		s.explain(&b)
	}
	return b.String(), len(rows) > 0
}

func (s *Setting) explain(b *strings.Builder) {
	if s.Name != "" {
		fmt.Fprintf(b, "%s=  in [%s]\n", s.Name, strings.Join(s.In.Names(), "], ["))
	}
	fmt.Fprintf(b, "%s  in the native format\n", s.Native)
	fmt.Fprintf(b, "  %s\n", s.Doc)
	line := func(label, text string) {
		if text != "" {
			fmt.Fprintf(b, "  %-9s %s\n", label+":", text)
		}
	}
	line("Type", s.typeText())
	line("Default", s.defaultText())
	line("Also", strings.Join(append(slices.Clone(s.Aliases), s.NativeAliases...), ", "))
	if s.into != nil {
		var sets []string
		for _, t := range s.into {
			sets = append(sets, t.Native)
		}
		line("Sets", strings.Join(sets, ", "))
	}
	if s.DBus != "" {
		line("D-Bus", s.DBus+" ("+s.Signature+")")
	}
	line("Since", s.sinceText())
	line("Source", s.Source)
	line("Effect", effectTexts[s.Effect])
	line("Because", s.Why)
}

func (s *Setting) typeText() string {
	t := s.Kind.String()
	switch {
	case s.Kind == IntKind && len(s.Enum) > 0:
		t += " or one of " + strings.Join(s.Enum, ", ")
	case len(s.Enum) > 0:
		t += ": " + strings.Join(s.Enum, ", ")
	case s.Kind == IntKind && (s.Min != 0 || s.Max != 0):
		t += fmt.Sprintf(" from %d to %d", s.Min, s.Max)
	}
	if s.Kind.IsList() && s.Merge != Last {
		t += " (adds up; empty clears)"
	}
	return t
}

func (s *Setting) defaultText() string {
	d, n := s.Default, s.NativeDefault
	switch {
	case d == "" && s.Kind == BoolKind:
		d = "no"
	case n != "" && d == "":
		d = "none"
	}
	if n != "" {
		d += " (native: " + n + ")"
	}
	return d
}

func (s *Setting) sinceText() string {
	switch s.Since {
	case "":
		return "systemd before 183"
	case "dynamod":
		return "dynamod"
	}
	return "systemd " + s.Since
}

// SettingsMarkdown is docs/settings.md, made from the table alone.
func SettingsMarkdown() string {
	groups := map[string][]*Setting{}
	var names []string
	var notYet []string
	for _, s := range table {
		if s.internal {
			continue
		}
		g, _, _ := strings.Cut(s.Native, ".")
		if groups[g] == nil {
			names = append(names, g)
		}
		groups[g] = append(groups[g], s)
		if s.Effect == NotYet {
			notYet = append(notYet, s.Native)
		}
	}
	slices.Sort(names)
	slices.Sort(notYet)
	var b strings.Builder
	b.WriteString(`# Settings

This page is generated from the settings table in internal/unit
(` + "`go test ./internal/unit -run Markdown -update`" + `); do not edit it.
` + "`dynamodctl explain KEY`" + ` says the same about one key.

- **key** is the key in native TOML files: ` + "`restart.delay`" + ` is ` + "`delay`" + ` in the table ` + "`[restart]`" + `.
- **directive** is the name in systemd unit files, with its sections.
- **default** holds where nothing is written; two values are those of unit files and of native files.
- **effect** names who acts on it: loader, graph, core, world; *shown* is information only; *not yet* is
  parsed, checked and shown, but nothing acts on it so far; *obsolete* is ignored by systemd too.

`)
	for _, g := range names {
		rows := groups[g]
		slices.SortStableFunc(rows, func(x, y *Setting) int { return cmp.Compare(x.Native, y.Native) })
		fmt.Fprintf(&b, "## %s\n\n| key | directive | type | default | effect | since | what it does |\n|---|---|---|---|---|---|---|\n", g)
		for _, s := range rows {
			dir := ""
			if s.Name != "" {
				dir = "`" + s.Name + "=` " + strings.Join(s.In.Names(), ", ")
			}
			def := s.defaultText()
			if def != "" {
				def = "`" + def + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", s.Native, dir, s.Kind, def, s.Effect,
				strings.TrimPrefix(s.sinceText(), "systemd "), strings.ReplaceAll(s.Doc, "|", `\|`))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "## Settings without effect yet\n\n%d settings are parsed, checked and shown, but nothing acts on them so far:\n\n", len(notYet))
	for _, n := range notYet {
		s, _ := LookupNative(n)
		fmt.Fprintf(&b, "- `%s`", n)
		if s.Name != "" {
			fmt.Fprintf(&b, " (`%s=`)", s.Name)
		}
		fmt.Fprintf(&b, ": %s\n", s.Why)
	}
	b.WriteString("\n## Other spellings\n\n| key or directive | is |\n|---|---|\n")
	var others []string
	for _, s := range table {
		for _, a := range append(slices.Clone(s.NativeAliases), s.Aliases...) {
			others = append(others, fmt.Sprintf("| `%s` | `%s` |\n", a, s.Native))
		}
	}
	slices.Sort(others)
	b.WriteString(strings.Join(others, ""))
	return b.String()
}
