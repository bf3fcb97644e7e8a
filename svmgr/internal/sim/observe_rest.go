package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dynamod/svmgr/internal/core"
)

// stuckAfter is how long something may be unfinished without any sign of life:
// longer than every single timeout of the generated units and four times the
// longest that EXTEND_TIMEOUT_USEC can stretch.
const stuckAfter = 8 * time.Minute

// stuck is invariant a at the end of a calm time: whatever is not at rest has
// shown life lately, has a live run, or waits for something that has.
func (o *observer) stuck() {
	v := o.core.View()
	live := map[string]bool{}
	v.Runs(func(_ core.RunID, unit string, _ core.Role, _ core.Stage, _ bool) bool {
		live[unit] = true
		return true
	})
	for _, r := range o.led.order {
		if r.holds() {
			live[r.unit] = true
		}
	}
	waits := map[string][]string{}
	jobs := map[string]core.JobView{}
	for _, j := range v.Jobs() {
		waits[j.Unit] = j.WaitsFor
		jobs[j.Unit] = j
	}
	alive := func(name string) bool {
		s := o.units[name]
		return live[name] || suffixOf(name) == "device" || s != nil && o.now-s.active < stuckAfter
	}
	// A supervisor restarts its group one by one, so its members may wait for
	// one that takes its time.
	busy := slices.ContainsFunc(o.names, func(n string) bool {
		if !o.world.spec(n).Native {
			return false
		}
		if _, has := jobs[n]; has && reaches(waits, n, alive) {
			return true // a member's start may itself wait for a unit that hangs
		}
		st := o.units[n].state
		return (st == core.Starting || st == core.Stopping || st == core.RestartPending) && alive(n)
	})
	for _, name := range slices.Sorted(slices.Values(o.names)) {
		s := o.units[name]
		_, hasJob := jobs[name]
		if _, pending := o.core.Deadline(); s.state == core.Dormant && pending {
			continue // it may sleep for an hour
		}
		if busy && s.state == core.RestartPending && o.world.spec(name).Native {
			continue
		}
		resting := s.state.AtRest() && !hasJob
		if resting || alive(name) || reaches(waits, name, alive) {
			continue
		}
		what := fmt.Sprintf("it is %v/%v", s.state, s.sub)
		if j, ok := jobs[name]; ok {
			what += fmt.Sprintf(" with a %v job (running: %v, waits for %s)", j.Type, j.Running, strings.Join(j.WaitsFor, " "))
		}
		d, pending := o.core.Deadline()
		o.violated("a-stuck", name, "%s for %v, and nothing will end that (next deadline %v %v)", what, o.now-s.active, d, pending)
		return
	}
}

// reaches follows the waiting jobs to something that lives.
func reaches(waits map[string][]string, from string, alive func(string) bool) bool {
	done := map[string]bool{from: true}
	todo := slices.Clone(waits[from])
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if done[n] {
			continue
		}
		done[n] = true
		if alive(n) {
			return true
		}
		todo = append(todo, waits[n]...)
	}
	return false
}

// agree checks that what was published adds up to the core's View.
func (o *observer) agree() {
	o.core.View().Units(func(v core.UnitView) bool {
		s := o.unit(v.Name)
		if s.state != v.State || s.sub != v.Sub {
			o.violated("publish", v.Name, "View says %v/%v, but published was %v/%v", v.State, v.Sub, s.state, s.sub)
			return false
		}
		switch {
		case v.Job != 0 && (s.job == nil || s.job.id != v.Job):
			o.violated("d-job", v.Name, "View has job %d that was not published", v.Job)
		case v.Job == 0 && s.job != nil:
			o.violated("d-job", v.Name, "job %d was never removed, but View has none", s.job.id)
		}
		for _, id := range [...]core.RunID{v.Main, v.Control} {
			if id == 0 {
				continue
			}
			if r := o.led.runs[id]; r == nil || r.ended {
				o.violated("b-view", v.Name, "View has run %d as live, which is not", id)
			}
		}
		return o.fails == nil
	})
}

// armed checks that every trigger which says that it waits is really watched.
func (o *observer) armed() {
	o.core.View().Units(func(v core.UnitView) bool {
		o.watched(v)
		return o.fails == nil
	})
}

func (o *observer) watched(v core.UnitView) {
	var what core.Watched
	switch {
	case v.Sub == core.SubListening:
		what = core.WatchSocket
	case v.Sub == core.SubWaiting && suffixOf(v.Name) == "path":
		what = core.WatchPaths
	case v.Sub == core.SubWaiting && suffixOf(v.Name) == "automount":
		what = core.WatchAutomount
	case v.Sub == core.SubWaiting && suffixOf(v.Name) == "timer":
		if v.NextElapse == (core.Time{}) {
			o.violated("w-timer", v.Name, "the timer waits, but has no next elapse")
		}
		return
	default:
		return
	}
	if o.world.watching[watchKey{v.Name, what}] == 0 {
		o.violated("w-watch", v.Name, "it says %v, but nothing is watched", v.Sub)
	}
}

// reloadCheck is what is remembered over one Reloaded event.
type reloadCheck struct {
	rejected bool
	due      bool
	before   []core.UnitView
	same     map[string]bool
}

func (o *observer) beginReload(ev core.Reloaded) *reloadCheck {
	c := &reloadCheck{rejected: len(ev.Rejected) > 0, same: map[string]bool{}}
	if d, ok := o.core.Deadline(); ok && d <= o.now {
		c.due = true
	}
	o.core.View().Units(func(v core.UnitView) bool {
		c.before = append(c.before, v)
		if ev.Set != nil && v.Unit != nil {
			if u, ok := ev.Set.Find(v.Name); ok && u == v.Unit {
				c.same[v.Name] = true
			}
		}
		return true
	})
	return c
}

// endReload is invariant i.
func (o *observer) endReload(out []core.Action) {
	c := o.reload
	if c.due {
		return // a deadline came in the same Step
	}
	if c.rejected {
		for _, a := range out {
			switch a.(type) {
			case core.Reply, core.Log:
			default:
				o.violated("i-rejected", "-", "a rejected reload led to %T", a)
			}
		}
		n := 0
		o.core.View().Units(func(v core.UnitView) bool {
			if n >= len(c.before) || v != c.before[n] {
				o.violated("i-rejected", v.Name, "a rejected reload changed its view")
				return false
			}
			n++
			return true
		})
		return
	}
	jobs := map[string]bool{}
	had := map[string]bool{}
	for _, v := range c.before {
		had[v.Name] = v.Job != 0 || !v.State.AtRest()
	}
	for _, a := range out {
		name := ""
		switch a := a.(type) {
		case core.Publish:
			if a.What == core.JobNew {
				jobs[a.Unit] = true
			}
		case core.Spawn:
			name = a.Unit.Name
		case core.Signal:
			name = a.Unit
		case core.KillCgroup:
			name = a.Unit
		}
		if name != "" && c.same[name] && !jobs[name] && !had[name] {
			o.violated("i-disturbed", name, "a reload that did not change it led to %T", a)
		}
	}
}
