package cli

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dynamod/internal/diag"
	"dynamod/internal/ipc"
	"dynamod/internal/load/native"
	"dynamod/internal/load/sdunit"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// readUnit reads a file for add: the unit's name and its settings as lines of a
// unit file, which is what the manager makes transient units of. The file is
// checked first; what is wrong with it goes to stderr.
func readUnit(cmd *cobra.Command, file string) (string, []ipc.Setting, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", nil, notFound{err}
	}
	src := unit.Source{Name: path.Base(file), HasMain: true}
	var frags []unit.Fragment
	var ds []diag.Diag
	if stem, ok := strings.CutSuffix(path.Base(file), ".toml"); ok {
		frags, ds = native.Parse(file, data)
		src.Format, src.Name = unit.Native, stem
		for _, f := range frags {
			if f.Section == "service" && f.Key == "name" {
				src.Name = cmp.Or(f.Text, src.Name)
			}
		}
	} else {
		frags, ds = sdunit.Parse(file, data)
	}
	if src.Name, err = unitname.Mangle(src.Name, unitname.Service); err != nil {
		return "", nil, notFound{fmt.Errorf("%s: %s is no unit name", file, diag.Clip(src.Name))}
	}
	src.Files = []unit.File{{Path: file, Fragments: frags}}
	u, more := unit.Build(src)
	ds = append(ds, more...)
	bad := false
	for _, d := range diag.Sort(ds) {
		if d.Severity == diag.Error || d.Severity == diag.Warning {
			fmt.Fprintln(cmd.ErrOrStderr(), d)
			bad = bad || d.Severity == diag.Error
		}
	}
	if bad {
		return "", nil, notFound{fmt.Errorf("%s cannot be used", file)}
	}
	if src.Format == unit.Native {
		out, err := directives(u, file)
		return src.Name, out, err
	}
	var out []ipc.Setting
	for _, f := range frags {
		out = append(out, ipc.Setting{Section: f.Section, Key: f.Key, Value: f.Text, Source: f.Pos.String()})
	}
	return src.Name, out, nil
}

// onOneLine are the kinds of list that a unit file has on one line.
var onOneLine = []unit.Kind{unit.UnitsKind, unit.WordsKind, unit.PathsKind, unit.ExitSetKind, unit.EnvironmentKind}

// directives writes what a native file says in the words of unit files. What has
// none is refused: leaving it out would make another unit than was meant.
func directives(u *unit.Unit, file string) ([]ipc.Setting, error) {
	var out []ipc.Setting
	var without []string
	word := u.Type.String()
	own := strings.ToUpper(word[:1]) + word[1:]
	for _, a := range u.Assigned() {
		s := a.Setting
		sections := s.In.Names()
		switch {
		case a.Implied, s == unit.StartMode.Setting(), s.Native == "service.name":
			continue // both are said in the request itself
		case s.Name == "" || len(sections) == 0:
			without = append(without, s.Native)
			continue
		}
		section := sections[0]
		if slices.Contains(sections, own) {
			section = own
		}
		texts := unit.Texts(s, a.Value)
		if !s.Kind.IsList() || slices.Contains(onOneLine, s.Kind) {
			texts = []string{strings.Join(texts, " ")}
		}
		source := file
		if len(a.Origin) > 0 {
			source = a.Origin[0].String()
		}
		for _, t := range texts {
			line := ipc.Setting{Section: section, Key: s.Name, Value: t, Source: source}
			// Lists that several directives add to come as "KEY=VALUE".
			if k, v, ok := strings.Cut(t, "="); ok && s.Kind.IsList() {
				if row, known := unit.LookupDirective(section, k); known && slices.Contains(row.Into(), s) {
					line.Key, line.Value = k, v
				}
			}
			out = append(out, line)
		}
	}
	if without != nil {
		return nil, notFound{fmt.Errorf("%s: a transient unit cannot have %s, which unit files do not know\n"+
			"  hint: put the file into /etc/dynamod/services, then: dynamodctl reload", file, strings.Join(without, ", "))}
	}
	return out, nil
}
