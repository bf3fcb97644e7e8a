package render

import (
	"cmp"
	"fmt"
	"time"

	"dynamod/internal/ipc"
)

// verdict says what was decided about a restart.
func (o Options) verdict(d *ipc.Decision) string {
	delay := Span(time.Duration(d.Delay) * time.Microsecond)
	s := Safe(d.Verdict)
	switch d.Verdict {
	case "stay":
		s = "no restart is wanted"
	case "restart":
		s = fmt.Sprintf("restart %d, after %s", d.Number, delay)
	case "group-restart":
		s = fmt.Sprintf("restart %d, with its group, after %s", d.Number, delay)
	case "sleep":
		s = o.Style.Yellow("it sleeps for " + delay + ", then it is tried again")
	case "escalate":
		s = o.Style.Yellow("the failure goes up to the supervisor")
	case "reboot":
		s = o.Style.Red("the system reboots")
	case "give-up":
		s = o.Style.Red("it is given up")
	}
	return s + fmt.Sprintf(" (%s ago, for: %s)", o.age(d.At), Safe(d.Cause.Kind))
}

// check is one line about a check, with a mark for those who see no colours.
func (o Options) check(c *ipc.Check) string {
	mark := o.Style.Green("ok")
	if !c.OK {
		mark = o.Style.Red("no")
	}
	return mark + " " + Safe(c.Name) + ": " + Safe(cmp.Or(c.Text, "-"))
}

// failed are the checks that did not pass.
func failed(checks []ipc.Check) (n int) {
	for i := range checks {
		if !checks[i].OK {
			n++
		}
	}
	return n
}
