package render

import (
	"fmt"
	"io"
	"time"

	"dynamod/internal/ipc"
)

// verdicts are words for the manager's.
var bootVerdicts = map[string]string{"pending": "pending", "good": "good", "bad": "failed"}

// BootHealth is how the boot stands, and what it waits for.
func BootHealth(w io.Writer, b *ipc.BootHealthResult, o Options) {
	row := func(name, text string) { o.wrap(w, label(name), labelWidth, text) }
	verdict := bootVerdicts[b.Verdict]
	switch b.Verdict {
	case "good":
		verdict = o.Style.Green(verdict)
	case "bad":
		verdict = o.Style.Red(verdict)
	default:
		verdict = o.Style.Yellow(Safe(b.Verdict))
	}
	row("verdict", verdict)
	if b.Init != "" {
		row("PID 1", Safe(b.Init))
	}
	row("kind", Safe(b.Kind))
	if b.Why != "" {
		row("because", o.Style.Red(Safe(b.Why)))
	}
	if b.Counter != "" {
		text := fmt.Sprintf("%d failed in a row before this one", b.Failed)
		if b.Attempts > 0 {
			text += fmt.Sprintf("; the ladder begins after %d", b.Attempts)
		} else {
			text += "; there is no ladder (attempts = 0)"
		}
		if b.Counted {
			text += "; this one is counted until it is good"
		}
		row("boots", text)
		row("counter", Safe(b.Counter))
	}
	text := fmt.Sprint(b.Generation)
	switch b.Good {
	case 0:
	case b.Generation:
		text += ", which booted well"
	default:
		text += fmt.Sprintf("; %d booted well last", b.Good)
	}
	row("generation", text)
	if b.StatusFile != "" {
		row("status", Safe(b.StatusFile)+": "+Safe(b.Status))
	}
	if b.Verdict != "pending" {
		return
	}
	if b.Due >= 0 {
		row("good in", (time.Duration(b.Due) * time.Microsecond).Round(time.Second).String())
	}
	for i := range b.Members {
		m := &b.Members[i]
		if !m.Up {
			row("missed", Safe(m.Unit)+" is "+o.paint(m.State)(Safe(m.State))+": dynamodctl why "+Safe(m.Unit))
		}
	}
	if len(b.Members)+b.Hidden == 0 {
		row("waits for", "the jobs of the boot: dynamodctl jobs")
	}
	if b.Hidden > 0 {
		row("hidden", fmt.Sprintf("%d more that you may not see", b.Hidden))
	}
}
