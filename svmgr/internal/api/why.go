package api

import (
	"fmt"
	"slices"
	"strings"

	"dynamod/internal/ipc"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// maxWhy bounds the chain of an explanation; whyLines is how much log its last
// step has.
const (
	maxWhy   = 64
	whyLines = 5
)

// why explains the state of a unit, from one unit to the next, down to the one
// whose cause lies in itself.
func (c *call) why(*ipc.UnitArgs) (any, error) {
	res := &ipc.WhyResult{}
	var last core.UnitView
	err := c.look(func(v core.View, u core.UnitView) {
		res.Unit, res.State = u.Name, u.State.String()
		seen := map[string]bool{}
		for {
			seen[u.Name] = true
			step, next := c.step(v, &u)
			res.Chain = append(res.Chain, step)
			last = u
			if next == "" || seen[next] || len(res.Chain) == maxWhy || !c.sees(next) {
				return
			}
			w, ok := v.Unit(next)
			if !ok || seen[w.Name] {
				return
			}
			u = w
		}
	})
	if err != nil {
		return nil, err
	}
	root := &res.Chain[len(res.Chain)-1]
	if e, ok := c.m.LastExit(last.Name); ok {
		root.Last = &e
	}
	switch last.State {
	case core.Failed, core.RestartPending, core.Dormant, core.Abandoned, core.Starting:
		root.Log = c.newest(last.Name, whyLines)
	}
	return res, nil
}

// step explains one unit and names the one where the explanation goes on: what its
// job waits for comes before what brought it where it is.
func (c *call) step(v core.View, u *core.UnitView) (ipc.WhyStep, string) {
	s := ipc.WhyStep{Unit: u.Name, State: u.State.String(), Since: stamp(u.Since), Cause: c.cause(u.Cause, u.Name)}
	checks, decisions := c.verdicts(v, u.Name)
	if s.Checks = checks; len(decisions) > 0 {
		s.Decision = &decisions[0]
	}
	next := u.Cause.Unit
	if !strings.Contains(next, ".") {
		next = "" // a supervisor
	}
	if u.Unit == nil && u.Job == 0 {
		s.Cause.Kind, s.Cause.Sentence = "not-found", "no file defines it"
		return s, next
	}
	j, ok := v.Job(u.Job)
	if u.Job == 0 || !ok || j.Ended {
		if u.Cause.Kind == core.NoCause {
			s.Cause.Sentence = c.withoutCause(v, u)
		}
		return s, next
	}
	w := c.wireJob(&j)
	s.Job = &w
	s.WaitsFor = w.WaitsFor
	before := ""
	if u.Cause.Kind >= core.MainExited { // the kinds before only say who wanted it
		before = ". Before that: " + s.Cause.Sentence
	}
	what := fmt.Sprintf("its %s job (%s)", j.Type, c.because(&j))
	switch {
	case len(j.WaitsFor) > 0:
		s.Cause.Kind = "job-waiting"
		s.Cause.Sentence = fmt.Sprintf("%s waits for %s", what, c.waitsFor(v, j.WaitsFor)) + before
		return s, c.obstacle(v, j.WaitsFor)
	case j.Running:
		s.Cause.Kind = "job-running"
		s.Cause.Sentence = what + " is being carried out: " + progress(u) + before
		return s, ""
	}
	s.Cause.Kind = "job-waiting"
	s.Cause.Sentence = what + " is about to begin" + before
	return s, ""
}

// withoutCause explains a unit of which nothing is recorded: it came where it is in
// the ordinary way.
func (c *call) withoutCause(v core.View, u *core.UnitView) string {
	g := v.Graph()
	i, _ := g.Lookup(u.Name)
	switch {
	case u.State == core.Inactive && v.LeftOut(u.Name):
		return "left out in safe mode: boot.safe-mode = true in its file, or its name in safe-mode of boot.toml, would bring it along; dynamodctl start starts it now"
	case u.State == core.Inactive && u.InactiveExit == (core.Time{}):
		return "nothing has asked for it since the manager knows it"
	case u.State == core.Inactive:
		return "it was up, and was stopped or ended in the ordinary way"
	case u.State == core.Skipped, u.State == core.Completed:
		return "it has done what it was asked for"
	}
	var users []string
	for _, e := range g.Edges(i) {
		if w := g.Name(e.To); e.Rel.Has(needers) && (v.StateAt(e.To).Up() || v.StateAt(e.To) == core.Completed) && c.sees(w) {
			users = append(users, w)
		}
	}
	slices.Sort(users)
	switch n := len(users); {
	case n == 0:
		return "it was asked for; nothing that is up needs it"
	case n > 3:
		return fmt.Sprintf("%s and %d more need it", strings.Join(users[:3], ", "), n-3)
	case n == 1:
		return users[0] + " needs it"
	default:
		return strings.Join(users, ", ") + " need it"
	}
}

// progress says how far a unit is on its way.
func progress(u *core.UnitView) string {
	kind := ""
	if u.Unit != nil && typeOf(u.Name) == "service" {
		kind = unit.ServiceType.Of(u.Unit)
	}
	switch u.Sub {
	case core.SubCondition, core.SubStartPre:
		return "commands that come before its start are running"
	case core.SubStart:
		switch kind {
		case "notify", "notify-reload":
			return "its process runs but has not reported that it is ready"
		case "oneshot":
			return "its command has not ended yet"
		case "forking":
			return "its first process has not ended yet"
		case "dbus":
			return "its bus name has no owner yet"
		}
		if kind != "" && unit.ReadinessType.Of(u.Unit) != "none" {
			return fmt.Sprintf("its process runs but is not ready yet (%s)", unit.ReadinessType.Of(u.Unit))
		}
	case core.SubStartPost:
		return "commands that come after its start are running"
	case core.SubStop:
		return "its stop commands are running"
	case core.SubStopSigterm, core.SubFinalSigterm:
		return "it was sent its stop signal and has not ended yet"
	case core.SubStopSigkill, core.SubFinalSigkill:
		return "it was sent SIGKILL and has not ended yet"
	case core.SubStopPost:
		return "commands that come after its stop are running"
	}
	return fmt.Sprintf("it is %s (%s)", u.State, u.Sub)
}

// because says who wanted a job.
func (c *call) because(j *core.JobView) string {
	switch j.Source {
	case core.SourceOperator:
		return "asked for by an operator"
	case core.SourceDBus:
		return "asked for over D-Bus"
	case core.SourceDependency:
		if j.Cause.Unit != "" && c.sees(j.Cause.Unit) {
			return "for " + j.Cause.Unit
		}
	}
	return "from " + j.Source.String()
}

// waitsFor names the jobs that have to end first.
func (c *call) waitsFor(v core.View, units []string) string {
	var parts []string
	hidden := 0
	for _, name := range units {
		switch {
		case !c.sees(name):
			hidden++
		case len(parts) < 5:
			what := name
			if u, ok := v.Unit(name); ok && u.Job != 0 {
				if j, ok := v.Job(u.Job); ok {
					what = fmt.Sprintf("the %s job of %s", j.Type, name)
				}
			}
			parts = append(parts, what)
		default:
			hidden++
		}
	}
	if hidden > 0 {
		parts = append(parts, fmt.Sprintf("%d more", hidden))
	}
	if n := len(parts); n > 1 {
		return strings.Join(parts[:n-1], ", ") + " and " + parts[n-1]
	}
	return strings.Join(parts, "")
}

// obstacle chooses what to explain next: a job that runs is what all others wait
// for in the end.
func (c *call) obstacle(v core.View, units []string) string {
	first := ""
	for _, name := range units {
		if !c.sees(name) {
			continue
		}
		if first == "" {
			first = name
		}
		if u, ok := v.Unit(name); ok && u.Job != 0 {
			if j, ok := v.Job(u.Job); ok && j.Running {
				return name
			}
		}
	}
	return first
}

// wireJob puts a job on the wire; of what it waits for the caller learns what it
// may see.
func (c *call) wireJob(j *core.JobView) ipc.Job {
	w := ipc.Job{ID: uint32(j.ID), Unit: j.Unit, Type: j.Type.String(), Mode: j.Mode.String(), Source: j.Source.String(), State: "waiting"}
	switch {
	case j.Ended:
		w.State, w.Result = "ended", j.Result.String()
	case j.Running:
		w.State = "running"
	}
	for _, name := range j.WaitsFor {
		if c.sees(name) {
			w.WaitsFor = append(w.WaitsFor, name)
		}
	}
	slices.Sort(w.WaitsFor)
	now := c.m.Now()
	w.Created = stamp(core.Time{Mono: j.Begin, Wall: now.Wall - int64(now.Mono-j.Begin)})
	return w
}
