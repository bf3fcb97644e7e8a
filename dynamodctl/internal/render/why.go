package render

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"dynamod/internal/ipc"
)

// Why is the chain from a unit down to the root of the matter.
func Why(w io.Writer, r *ipc.WhyResult, o Options) {
	for i := range r.Chain {
		s := &r.Chain[i]
		indent := strings.Repeat("  ", min(i, 12))
		lead := ""
		if i > 0 {
			lead = strings.Repeat("  ", min(i, 12)-1) + o.Style.Dim("└ ")
		}
		head := lead + o.Style.Bold(Safe(s.Unit)) + " is " + o.paint(s.State)(Safe(s.State))
		if s.Since.Wall != 0 {
			head += " since " + o.clock(s.Since) + " (" + o.age(s.Since) + " ago)"
		}
		o.line(w, head)
		put := func(text string) {
			o.wrap(w, indent+"    ", len(indent)+4, text)
		}
		put(Safe(cmp.Or(s.Cause.Sentence, s.Cause.Kind, "the manager gives no reason")))
		if s.Job != nil {
			put(fmt.Sprintf("job %d: %s, %s", s.Job.ID, Safe(s.Job.Type), Safe(s.Job.State)))
		}
		if len(s.WaitsFor) > 0 {
			put("it waits for " + safeAll(s.WaitsFor, ", "))
		}
		if s.Last != nil {
			put("last exit: " + o.exit(s.Last))
		}
		if s.Decision != nil {
			put("decision: " + o.verdict(s.Decision))
			for j := range s.Decision.Checks {
				put("  " + o.check(&s.Decision.Checks[j]))
			}
		}
		if len(s.Checks) > 0 {
			put("checks before its start:")
			for j := range s.Checks {
				put("  " + o.check(&s.Checks[j]))
			}
		}
		for j := range s.Log {
			o.logLine(w, indent+"    "+o.Style.Dim("│ "), &s.Log[j], s.Unit)
		}
		if r.Omitted > 0 && i == len(r.Chain)-2 {
			o.line(w, indent+o.Style.Dim(fmt.Sprintf("  … %s between", noun(r.Omitted, "step"))))
		}
	}
	if len(r.Chain) == 0 {
		o.line(w, o.Style.Bold(Safe(r.Unit))+" is "+o.paint(r.State)(Safe(r.State))+"; the manager gives no reason")
	}
}

// Tree is the supervision tree.
func Tree(w io.Writer, rows []ipc.TreeRow, o Options) {
	depths := make([]int, len(rows))
	for i, r := range rows {
		depths[i] = r.Depth
	}
	for i, g := range guides(depths) {
		r := rows[i]
		s := o.Style.Dim(g)
		if r.Strategy != "" {
			s += o.Style.Bold(Safe(r.Name)) + " " + o.Style.Cyan(Safe(r.Strategy))
			if r.MaxRestarts > 0 {
				used := fmt.Sprintf("%d of %d restarts used", r.Restarts, r.MaxRestarts)
				if r.Restarts > 0 {
					used = o.Style.Yellow(used)
				}
				s += ", " + used
			}
			if r.State != "" && r.State != "active" && r.State != "running" {
				s += ", " + o.paint(r.State)(Safe(r.State))
			}
		} else {
			s += o.paint(r.State)(dot(r.State)) + " " + Safe(r.Name) + " " + o.paint(r.State)(Safe(r.State))
			if r.PID != 0 {
				s += o.Style.Dim(fmt.Sprintf(" pid %d", r.PID))
			}
			if r.Restarts > 0 {
				s += ", " + noun(int(r.Restarts), "restart")
			}
		}
		o.line(w, s)
	}
	if len(rows) == 0 {
		fmt.Fprintln(w, "nothing is supervised")
	}
}

// Deps is the tree of what a unit needs, or of what needs it.
func Deps(w io.Writer, unit string, rows []ipc.DepRow, reverse bool, o Options) {
	depths := make([]int, len(rows))
	least := 0
	for i, r := range rows {
		if i == 0 || r.Depth < least {
			least = r.Depth
		}
	}
	for i, r := range rows {
		depths[i] = r.Depth - least + 1
	}
	o.line(w, o.Style.Bold(Safe(unit)))
	for i, g := range guides(depths) {
		r := rows[i]
		s := o.Style.Dim(g) + o.paint(r.State)(dot(r.State)) + " " + Safe(r.Unit) + " " + o.Style.Dim(safeAll(r.Relations, " "))
		if r.Why != "" {
			s += o.Style.Dim(" (" + Safe(r.Why) + ")")
		}
		if r.Again {
			s += o.Style.Dim(" …")
		}
		o.line(w, s)
	}
	switch {
	case len(rows) > 0:
	case reverse:
		fmt.Fprintln(w, "nothing needs it")
	default:
		fmt.Fprintln(w, "it needs nothing")
	}
}
