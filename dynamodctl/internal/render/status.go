package render

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"dynamod/internal/ipc"
	"dynamod/internal/unit"
)

const labelWidth = 13

// label is the left column of a page about one thing.
func label(s string) string {
	if s == "" { // one more line of the row above
		return fmt.Sprintf("%*s", labelWidth, "")
	}
	return fmt.Sprintf("%*s: ", labelWidth-2, s)
}

// Status is the page about one unit.
func Status(w io.Writer, s *ipc.Status, o Options) {
	row := func(name, text string) {
		if text != "" {
			o.wrap(w, label(name), labelWidth, text)
		}
	}
	title := o.paint(s.State)(dot(s.State)) + " " + o.Style.Bold(Safe(s.Name))
	if s.Description != "" {
		title += " - " + Safe(s.Description)
	}
	o.line(w, title)

	loaded := Safe(cmp.Or(s.Load, "loaded"))
	if len(s.Files) > 0 {
		loaded += " from " + Safe(s.Files[0])
	}
	if s.Enabled != "" {
		loaded += "; " + Safe(s.Enabled)
	}
	row("load", loaded)
	if len(s.Files) > 1 {
		row("drop-ins", safeAll(s.Files[1:], ", "))
	}
	row("shadows", safeAll(s.Shadows, ", "))
	row("aliases", safeAll(s.Aliases, ", "))
	row("following", Safe(s.Following))

	state := o.paint(s.State)(stateWords(s.State, s.Sub))
	if s.State == "active" && s.Stable {
		state += ", stable"
	}
	if s.Frozen {
		state += ", " + o.Style.Cyan("frozen")
	}
	if t := o.since(s.Since); t != "" {
		state += " since " + t
	}
	row("state", state)
	row("why", Safe(cmp.Or(s.Why.Sentence, s.Why.Kind)))
	if s.Job != 0 {
		row("job", fmt.Sprintf("%s (%d)", Safe(s.JobType), s.Job))
	}
	if n := s.NextElapse; n != nil && n.Wall != 0 {
		at := o.wall(n.Wall)
		row("next", fmt.Sprintf("%s; in %s", at.Format("Mon 2006-01-02 15:04:05 MST"), whole(at.Sub(o.Now))))
	}
	row("listens", safeAll(s.Listens, ", "))
	row("triggers", safeAll(s.Triggers, ", "))
	row("triggered by", safeAll(s.TriggerBy, ", "))
	row("says", Safe(s.Text))
	if s.PID != 0 {
		row("main pid", fmt.Sprint(s.PID))
	}
	if s.ControlPID != 0 {
		row("control pid", fmt.Sprint(s.ControlPID))
	}
	if s.Last != nil {
		row("last exit", o.exit(s.Last))
	}
	if s.State == "failed" || s.State == "abandoned" {
		row("result", unless(s.Result, "success"))
	}
	if s.Restarts > 0 {
		row("restarts", fmt.Sprint(s.Restarts))
	}
	if len(s.Decisions) > 0 {
		row("decision", o.verdict(&s.Decisions[0]))
		for i := range s.Decisions[0].Checks {
			row("", o.check(&s.Decisions[0].Checks[i]))
		}
	}
	row("supervisor", Safe(s.Supervisor))
	if n := len(s.Checks); n > 0 {
		row("checks", fmt.Sprintf("%d of %d passed before its start", n-failed(s.Checks), n))
		for i := range s.Checks {
			if !s.Checks[i].OK {
				row("", o.check(&s.Checks[i]))
			}
		}
	}
	if u := s.Resources; u != nil {
		o.usage(row, u)
	}
	if s.StoredFDs > 0 {
		row("descriptors", fmt.Sprintf("%d kept for it", s.StoredFDs))
	}
	row("cgroup", Safe(s.Cgroup))
	o.processes(w, strings.Repeat(" ", labelWidth), s.Processes)
	for _, t := range s.Warnings {
		row("warning", o.Style.Yellow(Safe(t)))
	}
	if s.NeedsReload {
		row("warning", o.Style.Yellow("its files changed since they were loaded")+": dynamodctl reload")
	}
	if s.NeedsRestart {
		row("warning", o.Style.Yellow("it runs with settings of an older generation")+": dynamodctl restart "+Safe(s.Name))
	}
	if len(s.Log) > 0 {
		fmt.Fprintln(w)
		for i := range s.Log {
			o.logLine(w, "", &s.Log[i], s.Name)
		}
	}
	if s.Cut {
		fmt.Fprintln(w, o.Style.Dim("some processes and lines of log were left out for their size"))
	}
}

func unless(s, usual string) string {
	if s == usual {
		return ""
	}
	return Safe(s)
}

// exit says how a process ended.
func (o Options) exit(e *ipc.Exit) string {
	s := fmt.Sprintf("process %d exited with %d", e.PID, e.Code)
	if e.Signal != 0 {
		s = fmt.Sprintf("process %d was killed by %s", e.PID, unit.SignalName(e.Signal))
		if e.Core {
			s += " and dumped core"
		}
	}
	if e.Code != 0 || e.Signal != 0 {
		s = o.Style.Red(s)
	}
	if e.At.Wall != 0 {
		s += ", " + o.age(e.At) + " ago"
	}
	return s
}

func (o Options) usage(row func(string, string), u *ipc.Usage) {
	if u.Memory >= 0 {
		s := Bytes(u.Memory)
		var more []string
		if u.MemoryPeak > 0 {
			more = append(more, "peak "+Bytes(u.MemoryPeak))
		}
		if u.MemoryMax > 0 {
			more = append(more, "limit "+Bytes(u.MemoryMax))
		}
		if u.Swap > 0 {
			more = append(more, "swap "+Bytes(u.Swap))
		}
		if len(more) > 0 {
			s += " (" + strings.Join(more, ", ") + ")"
		}
		row("memory", s)
	}
	if u.CPU >= 0 {
		row("cpu time", CPUTime(u.CPU))
	}
	if u.Tasks >= 0 {
		s := fmt.Sprint(u.Tasks)
		if u.TasksMax > 0 {
			s += fmt.Sprintf(" (limit %d)", u.TasksMax)
		}
		row("tasks", s)
	}
	if u.IORead > 0 || u.IOWrite > 0 {
		row("io", fmt.Sprintf("%s read, %s written", Bytes(u.IORead), Bytes(u.IOWrite)))
	}
	if u.OOMKills > 0 {
		row("oom kills", o.Style.Red(fmt.Sprint(u.OOMKills)))
	}
}

// Overview is the page about the manager as a whole.
func Overview(w io.Writer, p *ipc.PingResult, units []ipc.Unit, jobs []ipc.Job, o Options) {
	row := func(name, text string) {
		if text != "" {
			o.wrap(w, label(name), labelWidth, text)
		}
	}
	o.line(w, o.paint(p.State)("●")+" "+o.Style.Bold(Safe(p.Program))+" "+Safe(p.Version))
	row("state", o.paint(p.State)(Safe(p.State)))
	row("mode", Safe(p.Mode))
	if p.Boot != "" {
		row("boot", o.Style.Red(Safe(p.Boot)))
	}
	row("pid", fmt.Sprint(p.PID))
	row("since", o.since(p.Started))
	if p.Generation != 0 {
		row("generation", fmt.Sprint(p.Generation))
	}
	up, failed, waiting := 0, []string{}, 0
	for i := range units {
		switch units[i].State {
		case "active", "reloading":
			up++
		case "failed", "abandoned":
			failed = append(failed, Safe(units[i].Name))
		case "blocked", "restart-pending", "dormant":
			waiting++
		}
	}
	s := fmt.Sprintf("%d up", up)
	if waiting > 0 {
		s += ", " + o.Style.Yellow(fmt.Sprintf("%d waiting", waiting))
	}
	if len(failed) > 0 {
		s += ", " + o.Style.Red(fmt.Sprintf("%d failed", len(failed)))
	}
	row("units", s)
	if len(failed) > 0 {
		row("failed", strings.Join(failed, ", "))
		row("look at", "dynamodctl why "+failed[0])
	}
	if len(jobs) > 0 {
		row("jobs", fmt.Sprintf("%d under way: dynamodctl jobs", len(jobs)))
	}
}

// Ping is one line about the manager.
func Ping(w io.Writer, p *ipc.PingResult, took time.Duration, o Options) {
	fmt.Fprintf(w, "%s %s (pid %d, %s, %s) answered in %s\n", Safe(p.Program), Safe(p.Version), p.PID, Safe(p.Mode), Safe(p.State), Span(took))
}
