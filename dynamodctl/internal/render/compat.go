package render

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"dynamod/internal/ipc"
)

// The output of the original dynamodctl, byte for byte, for --compat. The words
// for states are those that the manager's DM frames use (internal/ipc): who knows
// only those must be able to act on them.
var compatStates = map[string]string{
	"inactive": "stopped", "blocked": "stopped", "completed": "stopped", "skipped": "stopped",
	"starting": "starting", "restart-pending": "starting",
	"active": "running", "reloading": "running",
	"stopping": "stopping",
	"failed":   "failed", "dormant": "failed",
	"abandoned": "abandoned",
}

func compatState(s string) string { return cmp.Or(compatStates[s], Safe(s)) }

// compatName is a unit's name as the original would have it.
func compatName(unit string) string { return Safe(strings.TrimSuffix(unit, ".service")) }

// CompatList is the list of services.
func CompatList(w io.Writer, units []ipc.Unit) {
	if len(units) == 0 {
		fmt.Fprintln(w, "No services configured.")
		return
	}
	units = slices.Clone(units)
	slices.SortFunc(units, func(a, b ipc.Unit) int { return strings.Compare(compatName(a.Name), compatName(b.Name)) })
	fmt.Fprintf(w, "%-30s %-15s %-10s\n%s\n", "SERVICE", "STATUS", "PID", strings.Repeat("-", 55))
	for i := range units {
		pid := "-"
		if units[i].PID != 0 {
			pid = fmt.Sprint(units[i].PID)
		}
		fmt.Fprintf(w, "%-30s %-15s %-10s\n", compatName(units[i].Name), compatState(units[i].State), pid)
	}
	fmt.Fprintf(w, "\n%d service(s) total\n", len(units))
}

// CompatStatus is the page about one service.
func CompatStatus(w io.Writer, s *ipc.Status) {
	fmt.Fprintf(w, "Service: %s\n  Status:     %s\n", compatName(s.Name), compatState(s.State))
	if s.PID != 0 {
		fmt.Fprintf(w, "  PID:        %d\n", s.PID)
	}
	fmt.Fprintf(w, "  Supervisor: %s\n", cmp.Or(Safe(s.Supervisor), "root"))
}

var compatStrategies = map[string]string{"one-for-one": "OneForOne", "one-for-all": "OneForAll", "rest-for-one": "RestForOne"}

// CompatTree is the supervision tree.
func CompatTree(w io.Writer, rows []ipc.TreeRow) {
	for _, r := range rows {
		indent := strings.Repeat("  ", max(r.Depth, 0))
		if r.Strategy != "" {
			fmt.Fprintf(w, "%s[supervisor: %s] strategy=%s\n", indent, Safe(r.Name), cmp.Or(compatStrategies[r.Strategy], Safe(r.Strategy)))
			continue
		}
		pid := ""
		if r.PID != 0 {
			pid = fmt.Sprintf(" pid=%d", r.PID)
		}
		fmt.Fprintf(w, "%s%s [%s]%s\n", indent, compatName(r.Name), compatState(r.State), pid)
	}
}
