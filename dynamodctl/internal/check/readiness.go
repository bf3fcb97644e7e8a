package check

import (
	"fmt"
	"slices"
	"strings"

	"dynamod/internal/diag"
	"dynamod/internal/graph"
	"dynamod/internal/tree"
	"dynamod/internal/unit"
)

// readiness finds services that others wait for although they never tell, or
// cannot tell, when they are ready.
func readiness(t *tree.Tree) []diag.Diag {
	var out []diag.Diag
	for i := range t.Graph.Len() {
		u := t.Graph.Unit(graph.Index(i))
		if !isService(u) {
			continue
		}
		note := func(s *unit.Setting, code, hint, format string, args ...any) {
			pos := diag.Pos{File: u.Path}
			if o := u.Origin(s); len(o) > 0 {
				pos = o[len(o)-1]
			}
			out = append(out, diag.Diag{Pos: pos, Severity: diag.Note, Code: code, Unit: u.Name,
				Key: strings.TrimSuffix(settingName(s, u.Format), "="), Message: fmt.Sprintf(format, args...), Hint: hint})
		}
		kind := unit.ServiceType.Of(u)
		if o := u.Origin(unit.NotifyAccess.Setting()); len(o) > 0 && strings.HasPrefix(kind, "notify") && impliedNotify(u) {
			note(unit.NotifyAccess.Setting(), "readiness", "remove it, or say main, exec or all",
				"NotifyAccess=none would keep READY=1 from the manager; main is used, as Type=%s needs it", kind)
		}
		who := waiters(t.Graph, graph.Index(i))
		if len(who) == 0 {
			continue
		}
		switch {
		case u.Format == unit.Native && unit.ReadinessType.Of(u) == "none" && (kind == "simple" || kind == "exec"):
			note(unit.ReadinessType.Setting(), "readiness", `set readiness.type, for example "notify", "tcp-port" or "path"`,
				"%s for %s, which has no readiness: it counts as ready as soon as its process runs", wait(who), u.Name)
		case kind == "forking" && unit.PIDFile.Of(u) == "" && !unit.GuessMainPID.Of(u):
			note(unit.ServiceType.Setting(), "readiness", "set PIDFile=, or remove GuessMainPID=no",
				"%s for %s, whose main process nobody knows: its crash will not be noticed while another process of it runs", wait(who), u.Name)
		case strings.HasPrefix(kind, "notify") && unit.TimeoutStartSec.Of(u) == unit.Forever:
			note(unit.TimeoutStartSec.Setting(), "readiness", "set a limit in TimeoutStartSec=",
				"%s for READY=1 of %s without any time limit", wait(who), u.Name)
		}
	}
	return out
}

// impliedNotify says whether NotifyAccess= was assigned and then overruled.
func impliedNotify(u *unit.Unit) bool {
	return slices.ContainsFunc(u.Assigned(), func(a unit.Assigned) bool {
		return a.Setting == unit.NotifyAccess.Setting() && a.Implied
	})
}

// waiters are the units that need this one and start after it because a file
// says so; those of default dependencies do not care about readiness.
func waiters(g *graph.Graph, i graph.Index) []string {
	const needs = graph.RequiredBy | graph.BoundBy | graph.WantedBy | graph.RequisiteOf | graph.UpheldBy
	var out []string
	for _, e := range g.Edges(i) {
		if e.Rel.Has(needs) && e.Rel.Has(graph.Before) && isService(g.Unit(e.To)) {
			out = append(out, g.Name(e.To))
		}
	}
	slices.Sort(out)
	return out
}

// wait is "a.service, b.service and 3 more wait".
func wait(who []string) string {
	const shown = 3
	switch n := len(who); {
	case n == 1:
		return who[0] + " waits"
	case n <= shown:
		return strings.Join(who[:n-1], ", ") + " and " + who[n-1] + " wait"
	}
	return fmt.Sprintf("%s and %d more wait", strings.Join(who[:shown], ", "), len(who)-shown)
}
