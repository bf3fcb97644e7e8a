package render

import (
	"fmt"
	"io"
	"strings"

	"dynamod/internal/ipc"
)

// Log writes lines of log.
func Log(w io.Writer, lines []ipc.LogLine, o Options) {
	for i := range lines {
		o.logLine(w, "", &lines[i], "")
	}
}

// Lost says that older lines are gone, "" if none are.
func Lost(n uint64, o Options) string {
	if n == 0 {
		return ""
	}
	return o.Style.Yellow(fmt.Sprintf("-- %s not kept: the buffer is bounded --", plural(int(n), "older line was", "older lines were")))
}

// logLine writes one line. The unit is left out if it is the one that the reader
// asked for; SyslogIdentifier= takes its place.
func (o Options) logLine(w io.Writer, lead string, l *ipc.LogLine, of string) {
	who := ""
	if l.Unit != of {
		who = strings.TrimSuffix(Safe(l.Unit), ".service")
	}
	if l.Identifier != "" {
		who = Safe(l.Identifier)
	}
	if l.PID != 0 {
		who += fmt.Sprintf("[%d]", l.PID)
	}
	if who != "" {
		who = o.Style.Bold(who) + ": "
	}
	text := Safe(l.Text)
	switch {
	case l.Priority > 0 && l.Priority <= 3:
		text = o.Style.Red(text)
	case l.Priority == 4:
		text = o.Style.Yellow(text)
	case l.Priority == 7:
		text = o.Style.Dim(text)
	}
	fmt.Fprintln(w, lead+o.Style.Dim(o.clock(l.At))+" "+who+text)
}

// Event is one line about something that happened.
func Event(w io.Writer, e *ipc.Event, o Options) {
	s := o.Style.Dim(o.clock(e.At)) + " "
	unit := o.Style.Bold(Safe(e.Unit))
	switch e.Kind {
	case ipc.EventUnit:
		s += unit + " "
		if e.From != "" {
			s += Safe(e.From) + " → "
		}
		s += o.paint(e.State)(stateWords(e.State, e.Sub))
		if e.Cause != nil {
			if why := Safe(e.Cause.Sentence); why != "" {
				s += ": " + why
			} else if e.Cause.Kind != "" {
				s += ": " + Safe(e.Cause.Kind)
			}
		}
	case ipc.EventUnitNew:
		s += unit + " was loaded"
	case ipc.EventUnitGone:
		s += unit + " was forgotten"
	case ipc.EventStatus:
		s += unit
		if e.PID != 0 {
			s += fmt.Sprintf(" has main process %d", e.PID)
		}
		if e.Text != "" {
			s += " says: " + Safe(e.Text)
		}
	case ipc.EventJobNew:
		s += fmt.Sprintf("job %d: %s %s", e.Job, Safe(e.JobType), unit)
		if e.Source != "" {
			s += " for " + Safe(e.Source)
		}
	case ipc.EventJobDone:
		paint := o.Style.Green
		if !Good(e.Result) {
			paint = o.Style.Red
		}
		s += fmt.Sprintf("job %d: %s %s %s", e.Job, Safe(e.JobType), unit, paint(Safe(e.Result)))
	case ipc.EventReloaded:
		s += "a new configuration is in force"
	case ipc.EventStarted:
		s += o.Style.Green("the boot has finished")
	case ipc.EventDegraded:
		s += o.Style.Red("the root supervisor gave something up")
	case ipc.EventShutdown:
		s += o.Style.Yellow("the system is going down")
	case ipc.EventDropped:
		s += o.Style.Yellow(fmt.Sprintf("%d events were lost: this program reads too slowly", e.Count))
	case ipc.EventServerGone:
		s += o.Style.Yellow("the manager ends or is replaced")
	default:
		s += strings.TrimSpace(Safe(e.Kind) + " " + unit)
	}
	if e.Text != "" && e.Kind != ipc.EventStatus {
		s += " (" + Safe(e.Text) + ")"
	}
	fmt.Fprintln(w, s)
}
