package render

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"dynamod/internal/ipc"
)

// List is the table of units. total is how many there are in all, if more is
// known than was asked for.
func List(w io.Writer, units []ipc.Unit, o Options) {
	if len(units) == 0 {
		fmt.Fprintln(w, "no units match")
		return
	}
	t := table{cols: []column{
		{title: " "}, {title: "UNIT", least: 16}, {title: "STATE"}, {title: "SUB", drop: 4},
		{title: "PID", right: true, drop: 3}, {title: "SINCE", right: true, drop: 2}, {title: "DESCRIPTION", least: 12, drop: 5}}}
	failed := 0
	for i := range units {
		u := &units[i]
		if u.State == "failed" || u.State == "abandoned" {
			failed++
		}
		state := u.State
		if u.Load != "" && u.Load != "loaded" {
			state = u.Load
		}
		what := u.Description
		if u.JobType != "" {
			what = "[" + u.JobType + " job] " + what
		}
		t.add(cell{dot(u.State), o.paint(u.State)}, cell{Safe(u.Name), o.Style.Bold}, cell{Safe(state), o.paint(state)},
			text(u.Sub), number(u.PID), text(o.age(u.Since)), text(what))
	}
	t.write(w, o)
	foot := noun(len(units), "unit")
	if failed > 0 {
		foot += ", " + o.Style.Red(fmt.Sprintf("%d failed", failed))
	}
	fmt.Fprintf(w, "\n%s\n", foot)
}

// Jobs is the table of jobs.
func Jobs(w io.Writer, jobs []ipc.Job, o Options) {
	if len(jobs) == 0 {
		fmt.Fprintln(w, "no jobs")
		return
	}
	t := table{cols: []column{{title: "JOB", right: true}, {title: "UNIT", least: 16}, {title: "TYPE"}, {title: "STATE", drop: 2},
		{title: "AGE", right: true, drop: 3}, {title: "SOURCE", drop: 4}, {title: "WAITS FOR", least: 12, drop: 1}}}
	for _, j := range jobs {
		state, paint := j.State, o.Style.Yellow
		switch {
		case j.Result != "":
			state = j.Result
			paint = o.Style.Green
			if !Good(j.Result) {
				paint = o.Style.Red
			}
		case j.State == "waiting":
			paint = o.Style.Dim
		}
		t.add(cell{text: fmt.Sprint(j.ID)}, cell{Safe(j.Unit), o.Style.Bold}, text(j.Type), cell{Safe(state), paint},
			text(o.age(j.Created)), text(j.Source), cell{text: safeAll(j.WaitsFor, ", ")})
	}
	t.write(w, o)
}

// Good says whether a job that ended with this result did what was wanted.
func Good(result string) bool {
	switch result {
	case "", "done", "skipped", "merged":
		return true
	}
	return false
}

// Stats is the table of what units consume, by memory.
func Stats(w io.Writer, rows []ipc.StatsRow, o Options) {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b ipc.StatsRow) int {
		return cmp.Or(cmp.Compare(b.Memory, a.Memory), strings.Compare(a.Unit, b.Unit))
	})
	t := table{cols: []column{{title: "UNIT", least: 16}, {title: "STATE"}, {title: "PID", right: true, drop: 4},
		{title: "MEMORY", right: true}, {title: "PEAK", right: true, drop: 6}, {title: "CPU TIME", right: true},
		{title: "TASKS", right: true, drop: 5}, {title: "RESTARTS", right: true, drop: 1}, {title: "SINCE", right: true, drop: 3}}}
	for i := range rows {
		r := &rows[i]
		t.add(cell{Safe(r.Unit), o.Style.Bold}, cell{Safe(r.State), o.paint(r.State)}, number(r.PID), text(Bytes(r.Memory)),
			text(Bytes(r.MemoryPeak)), text(CPUTime(r.CPU)), text(count(r.Tasks)), text(fmt.Sprint(r.Restarts)), text(o.age(r.Since)))
	}
	t.write(w, o)
}

// Procs are the processes of each unit.
func Procs(w io.Writer, rows []ipc.ProcsRow, o Options) {
	n := 0
	for _, r := range rows {
		head := o.Style.Bold(Safe(r.Unit))
		if r.Cgroup != "" {
			head += "  " + o.Style.Dim(Safe(r.Cgroup))
		}
		o.line(w, head)
		o.processes(w, "  ", r.Processes)
		n += len(r.Processes)
	}
	fmt.Fprintf(w, "\n%s in %s\n", plural(n, "process", "processes"), noun(len(rows), "unit"))
}

// plural is a number with its word.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func (o Options) processes(w io.Writer, indent string, ps []ipc.Process) {
	depths := make([]int, len(ps))
	width := 0
	for i, p := range ps {
		depths[i] = 1
		width = max(width, len(fmt.Sprint(p.PID)))
	}
	for i, g := range guides(depths) {
		p := ps[i]
		role := ""
		if p.Role != "" && p.Role != "other" {
			role = o.Style.Cyan(" [" + Safe(p.Role) + "]")
		}
		o.line(w, fmt.Sprintf("%s%s%*d %s%s", indent, o.Style.Dim(g), width, p.PID, Safe(p.Command), role))
	}
}

// Many are the rows of start-all and its like.
func Many(w io.Writer, verb string, r *ipc.ManyResult, dry bool, o Options) {
	t := table{cols: []column{{title: "UNIT", least: 16}, {title: "JOB", right: true, drop: 1}, {title: "RESULT", least: 20}}}
	bad := 0
	for _, u := range r.Units {
		res := cell{cmp.Or(Safe(u.Result), "queued"), o.Style.Dim}
		switch {
		case u.Error != "":
			res = cell{Safe(u.Error), o.Style.Red}
			bad++
		case !Good(u.Result):
			res.paint = o.Style.Red
			bad++
		case dry:
			res.text = "would " + strings.TrimSuffix(verb, "-all")
		case u.Result == "" && u.Job == 0:
			res.text = "nothing to do"
		case u.Result != "":
			res.paint = o.Style.Green
		}
		t.add(cell{Safe(u.Unit), o.Style.Bold}, number(int32(u.Job)), res)
	}
	if len(r.Units) == 0 {
		fmt.Fprintln(w, "no units to touch")
		return
	}
	t.write(w, o)
	if r.Omitted > 0 {
		fmt.Fprintf(w, "… and %d more\n", r.Omitted)
	}
	foot := noun(len(r.Units)+r.Omitted, "unit")
	if bad > 0 {
		foot += ", " + o.Style.Red(fmt.Sprintf("%d failed", bad))
	}
	fmt.Fprintf(w, "\n%s\n", foot)
}

// CPUTime is how long processors worked.
func CPUTime(usec int64) string {
	if usec < 0 {
		return "-"
	}
	s := usec / 1e6
	switch {
	case s < 60:
		return fmt.Sprintf("%d.%02ds", s, usec/1e4%100)
	case s < 3600:
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}
