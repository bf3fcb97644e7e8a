package show

import (
	"cmp"
	"fmt"
	"io"
	"path"
	"strings"
	"unicode/utf8"

	"dynamod/dynamodctl/internal/style"
	"dynamod/internal/diag"
)

// Text writes the document for people.
func (d *Document) Text(w io.Writer, s style.Style) {
	title := s.Bold(d.Name)
	if d.Description != "" {
		title += " - " + diag.Clip(d.Description)
	}
	fmt.Fprintln(w, title)
	row := func(label, text string) {
		if text != "" {
			fmt.Fprintf(w, "  %10s %s\n", label+":", text)
		}
	}
	if root := d.tree.Root(); root != "/" {
		row("root", root)
	}
	from := cmp.Or(d.Path, "no file: the manager makes this unit")
	if d.Path != "" && d.Format != "unit file" {
		from += " (" + d.Format + ")"
	}
	row(d.Load, from)
	for _, p := range d.DropIns {
		row("drop-in", p)
	}
	row("aliases", strings.Join(d.Aliases, ", "))
	row("shadows", d.Shadows)
	d.settings(w, s)
	d.relations(w, s)
}

// widest bounds the column of values, so that one long command line does not
// push every origin off the screen.
const widest = 60

func (d *Document) settings(w io.Writer, s style.Style) {
	width := 0
	values := byLine(d.Values)
	for _, v := range values {
		if n := utf8.RuneCountInString(v.line()); n <= widest {
			width = max(width, n)
		}
	}
	section := "\x00"
	for _, v := range values {
		if v.Section != section {
			section = v.Section
			if section == "" {
				fmt.Fprintln(w)
			} else {
				fmt.Fprintf(w, "\n%s\n", s.Bold("["+section+"]"))
			}
		}
		why := cmp.Or(d.place(v.Pos), v.Why)
		if v.Idle {
			why = strings.TrimPrefix(why+", no effect yet", ", ")
		}
		fmt.Fprintf(w, "%s  %s\n", pad(v.line(), width), s.Dim("# "+why))
	}
}

// byLine joins the items of a list that stand on one line again, as they were
// written there.
func byLine(values []Value) []Value {
	var out []Value
	for _, v := range values {
		if n := len(out) - 1; n >= 0 && v.Pos.Line > 0 && out[n].Section == v.Section && out[n].Key == v.Key &&
			out[n].Pos.File == v.Pos.File && out[n].Pos.Line == v.Pos.Line {
			between := " "
			if strings.HasPrefix(v.Key, "Exec") {
				between = " ; "
			}
			out[n].Text += between + v.Text
			continue
		}
		out = append(out, v)
	}
	return out
}

// place is file and line; the main file, named at the top, goes by its last
// element.
func (d *Document) place(p diag.Pos) string {
	p.Col = 0
	if p.File != "" && p.File == d.Path {
		p.File = path.Base(p.File)
	}
	return p.String()
}

// line is the assignment; a value with line breaks stays on one line.
func (v Value) line() string {
	return v.Key + "=" + strings.NewReplacer("\n", `\n`, "\x1b", `\e`).Replace(v.Text)
}

func pad(text string, width int) string {
	if n := utf8.RuneCountInString(text); n < width {
		return text + strings.Repeat(" ", width-n)
	}
	return text
}

func (d *Document) relations(w io.Writer, s style.Style) {
	if len(d.Dependencies) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", s.Bold("Dependencies"))
	rel, unit := 0, 0
	for _, x := range d.Dependencies {
		rel = max(rel, len(x.Relation))
		if n := utf8.RuneCountInString(x.Unit); n <= widest {
			unit = max(unit, n)
		}
	}
	last := ""
	for i := 0; i < len(d.Dependencies); i++ {
		x := d.Dependencies[i]
		name := x.Relation
		if name == last {
			name = ""
		}
		last = x.Relation
		missing := ""
		if x.Missing {
			missing = s.Yellow("not found") + " "
		}
		fmt.Fprintf(w, "  %s  %s  %s%s\n", pad(name, rel), pad(x.Unit, unit), missing, s.Dim("# "+d.reason(x)))
		if n := alike(d.Dependencies[i:]); n > foldAbove && !d.all {
			fmt.Fprintf(w, "  %s  %s\n", pad("", rel), s.Dim(fmt.Sprintf("… and %d more for the same reason (--all lists them)", n-1)))
			i += n - 1
		}
	}
}

// foldAbove is how many dependencies in a row may have one reason before all
// but the first are folded into a count.
const foldAbove = 4

// alike counts the dependencies at the beginning that no file asked for and
// that have one relation and reason.
func alike(list []Dependency) int {
	first := list[0]
	if first.Pos.File != "" {
		return 1
	}
	n := 1
	for n < len(list) && list[n].Relation == first.Relation && list[n].Why == first.Why && list[n].Pos.File == "" {
		n++
	}
	return n
}

// reason is the line or the rule that made a dependency.
func (d *Document) reason(x Dependency) string {
	p := d.place(x.Pos)
	if p == "" || x.Why == "" {
		return p + x.Why
	}
	return p + ", " + x.Why
}
