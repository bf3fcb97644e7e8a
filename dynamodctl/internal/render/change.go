package render

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"dynamod/internal/ipc"
)

// Plan is what a dry run would do.
func Plan(w io.Writer, r *ipc.JobResult, o Options) {
	if len(r.Plan) == 0 {
		fmt.Fprintln(w, "nothing would be done")
	}
	width := 0
	for _, p := range r.Plan {
		width = max(width, len(Safe(p.Type)))
	}
	for _, p := range r.Plan {
		s := "would " + pad(Safe(p.Type), width, false) + " " + o.Style.Bold(Safe(p.Unit))
		if p.Because != "" {
			s += o.Style.Dim("  " + because(p))
		}
		o.line(w, s)
	}
	if r.Omitted > 0 {
		fmt.Fprintf(w, "… and %d more\n", r.Omitted)
	}
	Warnings(w, r.Warnings, o)
}

func because(p ipc.Planned) string {
	switch {
	case strings.Contains(p.Because, " "): // a sentence, not a unit
		return "because " + Safe(p.Because)
	case p.Relation == "":
		return "because of " + Safe(p.Because)
	}
	return "because of " + Safe(p.Because) + " (" + Safe(p.Relation) + ")"
}

// Warnings are lines that a request that succeeded comes back with.
func Warnings(w io.Writer, warnings []string, o Options) {
	for _, t := range warnings {
		o.wrap(w, o.Style.Yellow("warning:")+" ", 9, Safe(t))
	}
}

// Reload is the difference between two generations.
func Reload(w io.Writer, r *ipc.ReloadResult, o Options) {
	n := 0
	row := func(word string, paint func(string) string, names []string, note string) {
		for _, u := range names {
			o.line(w, paint(fmt.Sprintf("%-8s", word))+" "+Safe(u)+note)
			n++
		}
	}
	row("added", o.Style.Green, r.Added, "")
	row("removed", o.Style.Red, r.Removed, "")
	row("changed", o.Style.Yellow, r.Changed, "")
	row("changed", o.Style.Yellow, r.Restart, ", in force after its restart")
	row("stopped", o.Style.Red, r.Evicted, "")
	if r.Omitted > 0 {
		fmt.Fprintf(w, "… and %d more\n", r.Omitted)
	}
	Diagnostics(w, r.Diagnostics, o)
	if n > 0 || len(r.Diagnostics) > 0 {
		fmt.Fprintln(w)
	}
	switch {
	case n == 0 && r.Applied:
		fmt.Fprintf(w, "generation %d is in force; no unit changed\n", r.Generation)
	case n == 0:
		fmt.Fprintln(w, "nothing would change")
	case !r.Applied:
		fmt.Fprintf(w, "nothing was changed: generation %d stays in force\n", r.Generation)
	default:
		fmt.Fprintf(w, "generation %d is in force\n", r.Generation)
	}
	if len(r.Restart) > 0 && r.Applied {
		names := make([]string, 0, 4)
		for i, u := range r.Restart {
			if i == 3 {
				names = append(names, "…")
				break
			}
			names = append(names, Safe(u))
		}
		fmt.Fprintf(w, "running processes keep their old settings until: dynamodctl restart %s\n", strings.Join(names, " "))
	}
}

// Diagnostics are findings about files.
func Diagnostics(w io.Writer, ds []ipc.Diagnostic, o Options) {
	for _, d := range ds {
		at := ""
		switch {
		case d.File != "" && d.Line > 0 && d.Column > 0:
			at = fmt.Sprintf("%s:%d:%d: ", Safe(d.File), d.Line, d.Column)
		case d.File != "" && d.Line > 0:
			at = fmt.Sprintf("%s:%d: ", Safe(d.File), d.Line)
		case d.File != "":
			at = Safe(d.File) + ": "
		case d.Unit != "":
			at = Safe(d.Unit) + ": "
		}
		paint := o.Style.Cyan
		switch d.Severity {
		case "error":
			paint = o.Style.Red
		case "warning":
			paint = o.Style.Yellow
		}
		s := o.Style.Bold(at) + paint(cmp.Or(Safe(d.Severity), "note")+":") + " " + Safe(d.Message)
		if d.Code != "" {
			s += o.Style.Dim(" [" + Safe(d.Code) + "]")
		}
		fmt.Fprintln(w, s)
		if d.Hint != "" {
			fmt.Fprintln(w, "    hint: "+Safe(d.Hint))
		}
	}
}

// resultWords say in words how a job ended that did not do what was wanted.
var resultWords = map[string]string{
	"failed":     "it failed",
	"timeout":    "it was not over in time",
	"dependency": "something that it requires failed",
	"canceled":   "the job was cancelled",
	"assert":     "an assertion of it does not hold",
	"invalid":    "it cannot do that now",
	"collected":  "the unit was forgotten meanwhile",
	"once":       "it may run only once",
	"lost":       "nobody knows: the connection was lost meanwhile",
}

// Failure says why a job failed: the result in words, then what the manager has
// to say about the unit and the root of the matter.
func Failure(result string, why *ipc.WhyResult, o Options) string {
	what, ok := resultWords[result]
	if !ok {
		what = "the job ended with " + Safe(result)
	}
	if why == nil || len(why.Chain) == 0 {
		return what
	}
	if s := why.Chain[0].Cause.Sentence; s != "" {
		what += ": " + Safe(s)
	}
	root := why.Chain[len(why.Chain)-1]
	if len(why.Chain) > 1 && root.Cause.Sentence != "" {
		what += fmt.Sprintf("\n  at the root, %s is %s: %s", Safe(root.Unit), Safe(root.State), Safe(root.Cause.Sentence))
	}
	for i := range root.Log {
		if i == 0 {
			what += "\n  its last words:"
		}
		what += "\n    " + Safe(root.Log[i].Text)
	}
	return what
}

// Progress is one line about jobs that have not ended, for a terminal.
func Progress(jobs []ipc.Job, o Options) string {
	if len(jobs) == 0 {
		return ""
	}
	// The one that has waited longest is what the operator wonders about.
	first := jobs[0]
	for _, j := range jobs {
		if j.Created.Wall != 0 && j.Created.Wall < first.Created.Wall {
			first = j
		}
	}
	s := "waiting for " + Safe(first.Type) + " of " + Safe(first.Unit)
	if first.Created.Wall != 0 {
		s += " (" + o.age(first.Created) + ")"
	}
	if len(first.WaitsFor) > 0 {
		s += ", which waits for " + safeAll(first.WaitsFor, ", ")
	}
	if n := len(jobs) - 1; n > 0 {
		s += fmt.Sprintf("; %d more", n)
	}
	if o.Width > 0 {
		s = fit(s, o.Width-1)
	}
	return s
}
