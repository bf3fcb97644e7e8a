package render

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"dynamod/internal/ipc"
)

// SecurityList has a line for each service: its score, and what would lower it most.
func SecurityList(w io.Writer, list []ipc.SecurityResult, o Options) {
	t := table{cols: []column{{title: "UNIT", least: 16}, {title: "SCORE", right: true}, {title: "IS"}, {title: "LOWERED MOST BY", least: 20, drop: 1}}}
	for _, r := range list {
		var by []string
		for _, f := range r.Findings {
			if f.Open == 0 || len(by) == 3 {
				break
			}
			if name := strings.TrimSuffix(f.Setting, "="); !slices.Contains(by, name) {
				by = append(by, name)
			}
		}
		t.add(text(r.Unit), cell{text: fmt.Sprintf("%.1f", r.Score)}, cell{text: Safe(r.Word), paint: exposure(r.Word, o)}, text(strings.Join(by, ", ")))
	}
	t.write(w, o)
}

// Security lists what services leave open, and with all what they close.
func Security(w io.Writer, list []ipc.SecurityResult, all bool, o Options) {
	for i, r := range list {
		if i > 0 {
			fmt.Fprintln(w)
		}
		closed := 0
		t := table{cols: []column{{title: "ADDS", right: true}, {title: "SETTING", least: 12}, {title: "LEAVES OPEN", least: 20}, {title: "CLOSED BY", least: 20}}}
		for _, f := range r.Findings {
			if f.Open == 0 {
				closed++
				if all {
					t.add(cell{text: "-"}, text(f.Setting), cell{text: Safe("closed: " + f.Leaves), paint: o.Style.Dim}, cell{})
				}
				continue
			}
			t.add(cell{text: fmt.Sprintf("%.2f", f.Points)}, text(f.Setting), text(f.Leaves), text(f.Mend))
		}
		paint := exposure(r.Word, o)
		o.line(w, fmt.Sprintf("%s  %s", o.Style.Bold(Safe(r.Unit)), paint(fmt.Sprintf("%.1f of 10: %s", r.Score, Safe(r.Word)))))
		if len(t.rows) > 0 {
			t.write(w, o)
		}
		if closed > 0 && !all {
			o.line(w, o.Style.Dim(fmt.Sprintf("%d more are closed (--all lists them)", closed)))
		}
	}
}

func exposure(word string, o Options) func(string) string {
	switch word {
	case "tight":
		return o.Style.Green
	case "guarded":
		return func(s string) string { return s }
	case "loose":
		return o.Style.Yellow
	}
	return o.Style.Red
}
