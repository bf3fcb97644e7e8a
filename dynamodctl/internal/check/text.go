package check

import (
	"fmt"
	"io"
	"strings"
	"time"

	"dynamod/dynamodctl/internal/style"
	"dynamod/internal/diag"
)

// TextOptions say how much to print.
type TextOptions struct {
	// Quiet leaves out everything that does not decide the exit status.
	Quiet, Strict bool
	// Verbose lists each use of a setting without effect, and every step of
	// a long cycle.
	Verbose bool
	Style   style.Style
}

// Text writes the report for people, one finding per paragraph.
func (r *Report) Text(w io.Writer, o TextOptions) {
	least := diag.Note
	if o.Quiet {
		least = diag.Error
		if o.Strict {
			least = diag.Warning
		}
	}
	for _, f := range r.Findings {
		if f.Severity >= least {
			f.text(w, o)
		}
	}
	if o.Quiet {
		return
	}
	r.idleText(w, o)
	r.closing(w, o.Style)
}

func (f Finding) text(w io.Writer, o TextOptions) {
	s := o.Style
	place := f.Pos.String()
	if place == "" {
		place = f.Unit
	}
	if place != "" {
		place = s.Bold(place) + ": "
	}
	fmt.Fprintf(w, "%s%s: %s %s\n", place, severity(s, f.Severity), f.Message, s.Dim("["+f.Code+"]"))
	const most = 20
	for i, step := range f.Cycle {
		if i == most && !o.Verbose {
			fmt.Fprintf(w, "    %s\n", s.Dim(fmt.Sprintf("… and %d more (-v lists all)", len(f.Cycle)-most)))
			break
		}
		fmt.Fprintf(w, "    %s\n", step.text())
	}
	if f.Hint != "" {
		fmt.Fprintf(w, "    %s\n", s.Cyan("hint: "+f.Hint))
	}
}

func severity(s style.Style, v diag.Severity) string {
	switch v {
	case diag.Error:
		return s.Red(v.String())
	case diag.Warning:
		return s.Yellow(v.String())
	}
	return s.Cyan(v.String())
}

func (r *Report) idleText(w io.Writer, o TextOptions) {
	if len(r.Idle) == 0 {
		return
	}
	if len(r.Findings) > 0 {
		fmt.Fprintln(w)
	}
	if o.Verbose {
		for _, i := range r.Idle {
			fmt.Fprintf(w, "%s, which has no effect yet: %s\n", use(i), i.Setting.Why)
			for _, u := range i.Uses {
				fmt.Fprintf(w, "    %s\n", u.Pos)
			}
		}
		return
	}
	const few = 3
	if len(r.Idle) <= few {
		for _, i := range r.Idle {
			fmt.Fprintf(w, "%s, which has no effect yet: %s\n", use(i), i.Setting.Why)
		}
		return
	}
	fmt.Fprintf(w, "%d settings have no effect yet (and how many files use them; -v lists each place):\n", len(r.Idle))
	line := " "
	for k, i := range r.Idle {
		item := fmt.Sprintf(" %s %d", strings.TrimSuffix(i.Name, "="), files(i))
		if k < len(r.Idle)-1 {
			item += ","
		}
		if len(line)+len(item) > 79 {
			fmt.Fprintln(w, o.Style.Dim(line))
			line = " "
		}
		line += item
	}
	fmt.Fprintln(w, o.Style.Dim(line))
}

// use is "3 files use PrivateTmp=".
func use(i Idle) string {
	if n := files(i); n != 1 {
		return fmt.Sprintf("%d files use %s", n, i.Name)
	}
	return "1 file uses " + i.Name
}

func (r *Report) closing(w io.Writer, s style.Style) {
	if len(r.Findings)+len(r.Idle) > 0 {
		fmt.Fprintln(w)
	}
	verdict := s.Green("ok")
	switch {
	case r.Errors > 0:
		verdict = s.Red("not ok")
	case r.Warnings > 0:
		verdict = s.Yellow("ok")
	}
	memory := ""
	if r.PeakMemory > 0 {
		memory = fmt.Sprintf(", at most %.1f MB of memory", float64(r.PeakMemory)/1e6)
	}
	limited := ""
	if r.Limited {
		limited = " in what was asked for"
	}
	fmt.Fprintf(w, "%s: %s, %s, %s%s\n", verdict, count(r.Errors, "error"), count(r.Warnings, "warning"), count(r.Notes, "note"), limited)
	fmt.Fprintf(w, "%s from %s and %s, in %s%s\n", count(r.Units, "unit"), count(r.Files, "file"), count(r.DropIns, "drop-in"),
		round(r.Took), memory)
}

func count(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case n == 0:
		return "no " + what + "s"
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// round keeps what a person can use of a duration.
func round(d time.Duration) string {
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%d µs", d.Microseconds())
}
