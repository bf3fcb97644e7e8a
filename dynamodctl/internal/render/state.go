package render

import (
	"time"

	"dynamod/internal/ipc"
)

// paint gives a state its colour: green is up, red needs somebody, yellow is on
// its way or waits.
func (o Options) paint(state string) func(string) string {
	switch state {
	case "active", "running":
		return o.Style.Green
	case "failed", "abandoned", "bad-setting", "degraded":
		return o.Style.Red
	case "starting", "stopping", "reloading", "restart-pending", "blocked", "dormant":
		return o.Style.Yellow
	}
	return o.Style.Dim
}

// dot is one sign for a state, for those who do not see colours too.
func dot(state string) string {
	switch state {
	case "active":
		return "●"
	case "failed", "abandoned":
		return "×"
	case "starting", "stopping", "reloading", "restart-pending":
		return "↻"
	case "blocked", "dormant":
		return "…"
	}
	return "○"
}

func (o Options) wall(usec int64) time.Time {
	t := time.UnixMicro(usec)
	if o.Zone != nil {
		t = t.In(o.Zone)
	}
	return t
}

// since is a moment and how long ago that is, "" if it has not come.
func (o Options) since(s ipc.Stamp) string {
	if s.Wall == 0 {
		return ""
	}
	at := o.wall(s.Wall)
	return at.Format("Mon 2006-01-02 15:04:05 MST") + "; " + whole(o.Now.Sub(at)) + " ago"
}

// age is how long ago a moment is, "-" if it has not come.
func (o Options) age(s ipc.Stamp) string {
	if s.Wall == 0 {
		return "-"
	}
	return whole(o.Now.Sub(o.wall(s.Wall)))
}

// clock is the time of day of a moment, with its date unless that is today.
func (o Options) clock(s ipc.Stamp) string {
	if s.Wall == 0 {
		return "--:--:--"
	}
	at := o.wall(s.Wall)
	now := o.Now.In(at.Location())
	if at.YearDay() == now.YearDay() && at.Year() == now.Year() {
		return at.Format("15:04:05")
	}
	return at.Format("Jan 02 15:04:05")
}

// stateWords is "active (running)"; systemd's word is left out when it says the
// same or nothing.
func stateWords(state, sub string) string {
	if sub == "" || sub == state || sub == "dead" {
		return Safe(state)
	}
	return Safe(state) + " (" + Safe(sub) + ")"
}
