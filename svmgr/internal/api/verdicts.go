package api

import (
	"strings"

	"dynamod/internal/ipc"
	"dynamod/svmgr/internal/core"
)

// verdicts are the checks before a unit's last start and the decisions about its
// restarts, the newest first.
func (c *call) verdicts(v core.View, name string) ([]ipc.Check, []ipc.Decision) {
	ds, fs, _ := v.Verdicts(name)
	var out []ipc.Decision
	for k := len(ds) - 1; k >= 0; k-- {
		d := &ds[k]
		out = append(out, ipc.Decision{At: stamp(d.At), Verdict: d.Verdict.String(), Delay: d.Delay.Microseconds(), Number: d.Number,
			Cause: c.cause(d.Cause, name), Checks: c.checks(d.Findings)})
	}
	return c.checks(fs), out
}

func (c *call) checks(fs []core.Finding) []ipc.Check {
	var out []ipc.Check
	for _, f := range fs {
		out = append(out, ipc.Check{Name: f.Name, OK: f.OK, Text: c.mask(f.Text)})
	}
	return out
}

// mask takes the names of units that the caller may not see out of what a check
// found.
func (c *call) mask(text string) string {
	words := strings.Fields(text)
	for k, w := range words {
		if name := strings.TrimRight(w, ":;,"); typeOf(name) != "" && !strings.Contains(name, "/") && !c.sees(name) {
			words[k] = "another-unit"
		}
	}
	return strings.Join(words, " ")
}
