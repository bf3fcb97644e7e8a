package graph

import (
	"fmt"
	"slices"
	"strings"
)

// wish is what the oracle knows of a job that somebody asked for.
type wish struct {
	u    Index
	t    JobType
	root bool
	dead bool
	bad  bool
	// harmless: dropped because there was nothing to do.
	harmless bool
	from     []*wishLink
	to       []*wishLink
}

type wishLink struct {
	from, to           *wish
	matters, conflicts bool
}

// oracle plans by rescanning everything after every step.
type oracle struct {
	g   *Graph
	req Request
	p   at
	all []*wish
}

func newOracle(g *Graph, req Request, p at) *oracle { return &oracle{g: g, req: req, p: p} }

func (o *oracle) find(u Index, t JobType) *wish {
	for _, w := range o.all {
		if w.u == u && w.t == t {
			return w
		}
	}
	w := &wish{u: u, t: t}
	_, _, w.bad = o.g.unaddable(u, t)
	o.all = append(o.all, w)
	return w
}

func (o *oracle) link(from *wish, u Index, t JobType, matters, conflicts bool) *wish {
	to := o.find(u, t)
	l := &wishLink{from, to, matters, conflicts}
	from.to, to.from = append(from.to, l), append(to.from, l)
	return to
}

func (o *oracle) along(from *wish, u Index, t JobType, matters bool) {
	if _, _, bad := o.g.unaddable(u, t); bad {
		return
	}
	s := o.p.Active(u)
	switch {
	case t == TryRestart && !s.DownOrGoing():
		o.link(from, u, Restart, matters, false)
	case t == TryReload && !s.DownOrGoing():
		o.link(from, u, Reload, matters, false)
	case t == Stop || t == yieldingStop:
		o.link(from, u, t, matters, false)
	}
}

// run returns the kind of the error, "" for success.
func (o *oracle) run() string {
	if err := o.g.admit(o.req, o.p); err != nil {
		return err.(*PlanError).Kind.String()
	}
	t, ok := collapse(o.req.Type, o.p.Active(o.req.Unit))
	if !ok || t == Nop || t == Reset {
		w := o.find(o.req.Unit, t)
		if !ok {
			w.t = Nop
		}
		w.root, w.bad = true, false
		return ""
	}
	anchor := o.find(o.req.Unit, t)
	anchor.root = true
	o.pullAll()
	if o.req.Mode == Triggering {
		for _, e := range o.g.Edges(o.req.Unit) {
			if e.Rel.Has(TriggeredBy) && !o.p.Active(e.To).DownOrGoing() && !o.g.traits[e.To].has(noStop) {
				o.find(e.To, Stop).root = true
			}
		}
		o.pullAll()
	}
	if o.req.Mode == Isolate {
		had := map[Index]bool{}
		for _, w := range o.all {
			had[w.u] = true
		}
		for i := range o.g.names {
			u := Index(i)
			_, queued := o.p.Job(u)
			if !had[u] && !o.g.traits[u].has(ignoresIsolate|noStop) && (!o.p.Active(u).Down() || queued) {
				o.find(u, Stop).root = true
			}
		}
		o.pullAll()
	}
	for _, w := range o.all {
		if w.bad && !w.dead {
			o.kill(w, true)
			if anchor.dead {
				kind, _, _ := o.g.unaddable(w.u, w.t)
				return kind.String()
			}
		}
	}
	if o.req.Mode == Fail {
		for _, w := range o.all {
			in, queued := o.p.Job(w.u)
			turns := false
			if queued {
				_, fits := merge(in.Type, w.t)
				turns = !fits
			}
			if !w.dead && !o.required(w) && (turns || w.t == Stop && !o.p.Active(w.u).DownOrGoing()) {
				o.kill(w, true)
			}
		}
	}
	o.dropRedundant()
	for _, free := range []bool{true, false} {
		for _, first := range o.all { // units in the order in which they came
			if o.contradicts(first.u, free) {
				return TransactionJobsConflicting.String()
			}
		}
	}
	o.dropRedundant()
	if o.req.Mode != Isolate {
		o.reachable()
	}
	for u, t := range o.jobs() {
		in, queued := o.p.Job(u)
		if _, fits := merge(in.Type, t); queued && !fits && (o.req.Mode == Fail || in.Irreversible) {
			return TransactionIsDestructive.String()
		}
	}
	return ""
}

// contradicts settles the start and the stop of a unit, if it can.
func (o *oracle) contradicts(u Index, free bool) bool {
	var starts []*wish
	var stop *wish
	for _, v := range o.all {
		switch {
		case v.u != u || v.dead || v.t == yieldingStop:
		case v.t == Stop:
			stop = v
		default:
			starts = append(starts, v)
		}
	}
	if stop == nil || len(starts) == 0 {
		return false
	}
	startRequired := slices.ContainsFunc(starts, o.required)
	evicted := slices.ContainsFunc(stop.from, func(l *wishLink) bool { return l.conflicts && !l.from.dead })
	switch {
	case free && (startRequired || o.required(stop)):
	case startRequired && o.required(stop):
		return true
	case startRequired, !o.required(stop) && !evicted:
		o.kill(stop, true)
	default:
		for _, v := range starts {
			o.kill(v, true)
		}
	}
	return false
}

func (o *oracle) pullAll() {
	if o.req.Mode == IgnoreDependencies || o.req.Mode == IgnoreRequirements {
		return
	}
	pulled := map[*wish]bool{}
	for _, w := range o.all {
		pulled[w] = len(w.to) > 0 || len(w.from) > 0
	}
	// The chain of PropagatesStopTo= from the anchor comes first.
	a := o.all[0]
	restart := a.t == Restart || o.req.Mode == RestartDependencies
	if !pulled[a] && (a.t == Stop || restart) && !o.req.NoCascade {
		o.chain(a, restart)
	}
	for k := 0; k < len(o.all); k++ {
		if w := o.all[k]; !pulled[w] && !w.bad {
			o.pull(w, k == 0)
		}
	}
}

func (o *oracle) chain(a *wish, restart bool) {
	seen := map[Index]bool{a.u: true}
	for todo := []*wish{a}; len(todo) > 0; todo = todo[1:] {
		for _, e := range o.g.Edges(todo[0].u) {
			if !e.Rel.Has(PropagatesStopTo) {
				continue
			}
			if restart {
				o.along(todo[0], e.To, yieldingStop, false)
			} else {
				o.along(todo[0], e.To, Stop, true)
			}
			for _, w := range o.all {
				if w.u == e.To && !seen[e.To] {
					seen[e.To] = true
					todo = append(todo, w)
				}
			}
		}
	}
}

func (o *oracle) pull(w *wish, anchor bool) {
	for _, e := range o.g.Edges(w.u) {
		r := e.Rel
		if w.t == Start || w.t == Restart {
			if r.Has(Requires | BindsTo) {
				o.link(w, e.To, Start, true, false)
			} else if r.Has(Wants | Upholds) {
				o.link(w, e.To, Start, false, false)
			}
			if r.Has(Requisite) {
				o.link(w, e.To, VerifyActive, true, false)
			}
			if r.Has(Conflicts) {
				o.link(w, e.To, Stop, true, true)
			} else if r.Has(ConflictedBy) {
				o.link(w, e.To, Stop, false, false)
			}
		}
		if r.Has(RequiredBy | RequisiteOf | BoundBy | ConsistsOf) {
			if w.t == Stop && !o.req.NoCascade {
				o.along(w, e.To, Stop, true)
			}
			if w.t == Restart || anchor && o.req.Mode == RestartDependencies {
				o.along(w, e.To, TryRestart, true)
			}
		}
		if w.t == Reload && r.Has(PropagatesReloadTo) {
			o.along(w, e.To, TryReload, false)
		}
	}
}

// kill takes a wish away, with those to whom it mattered (if harm), and those
// that no live wish asks for.
func (o *oracle) kill(w *wish, harm bool) {
	w.dead = true
	for again := true; again; {
		again = false
		for _, v := range o.all {
			if v.dead {
				continue
			}
			lost := harm && slices.ContainsFunc(v.to, func(l *wishLink) bool { return l.matters && l.to.dead && !l.to.harmless })
			idle := !v.root && o.req.Mode != Isolate && !slices.ContainsFunc(v.from, func(l *wishLink) bool { return !l.from.dead })
			if lost || idle {
				v.dead = true
				v.harmless = !lost
				again = true
			}
		}
	}
}

func (o *oracle) required(w *wish) bool {
	seen := map[*wish]bool{o.all[0]: true}
	for todo := []*wish{o.all[0]}; len(todo) > 0; todo = todo[1:] {
		for _, l := range todo[0].to {
			if l.matters && !seen[l.to] {
				seen[l.to] = true
				todo = append(todo, l.to)
			}
		}
	}
	return seen[w]
}

func (o *oracle) dropRedundant() {
	for again := true; again; {
		again = false
		for i := range o.g.names {
			if Index(i) != o.all[0].u {
				again = o.dropRedundantOn(Index(i)) || again
			}
		}
	}
}

func (o *oracle) dropRedundantOn(u Index) bool {
	var mine []*wish
	for _, w := range o.all {
		if w.u == u && !w.dead {
			mine = append(mine, w)
		}
	}
	if len(mine) == 0 || slices.ContainsFunc(mine, func(w *wish) bool { return !o.redundant(w) }) {
		return false
	}
	for _, w := range mine {
		if !w.dead {
			w.harmless = true
			o.kill(w, false)
		}
	}
	return true
}

func (o *oracle) redundant(w *wish) bool {
	s := o.p.Active(w.u)
	done := false
	switch w.t {
	case Start, VerifyActive:
		done = s == Active || s == Reloading || s == Refreshing
	case Stop, yieldingStop:
		done = s == Inactive || s == Failed || s == Maintenance
	}
	if in, ok := o.p.Job(w.u); ok && done {
		t := w.t
		if t == yieldingStop {
			t = Stop
		}
		_, done = merge(in.Type, t)
	}
	return done
}

func (o *oracle) reachable() {
	seen := map[*wish]bool{}
	var todo []*wish
	for _, w := range o.all {
		if w.root && !w.dead {
			seen[w] = true
			todo = append(todo, w)
		}
	}
	for ; len(todo) > 0; todo = todo[1:] {
		for _, l := range todo[0].to {
			if !l.to.dead && !seen[l.to] {
				seen[l.to] = true
				todo = append(todo, l.to)
			}
		}
	}
	for _, w := range o.all {
		w.dead = w.dead || !seen[w]
	}
}

// jobs merges the live wishes.
func (o *oracle) jobs() map[Index]JobType {
	return o.jobsOf(func(*wish) bool { return true })
}

// jobsOf merges those of the living wishes that count.
func (o *oracle) jobsOf(counts func(*wish) bool) map[Index]JobType {
	out := map[Index]JobType{}
	for _, w := range o.all {
		if w.dead || !counts(w) {
			continue
		}
		t := w.t
		if old, ok := out[w.u]; ok {
			t, _ = merge(old, t)
		}
		out[w.u] = t
	}
	for u, t := range out {
		if c, has := collapse(t, o.p.Active(u)); has {
			out[u] = c
		}
	}
	return out
}

func (o *oracle) text() string {
	var out []string
	for u, t := range o.jobs() {
		if in, ok := o.p.Job(u); ok && t != Nop && t != Reset {
			if m, fits := merge(in.Type, t); fits {
				t = m
				if c, has := collapse(m, o.p.Active(u)); has {
					t = c
				}
			}
		}
		out = append(out, fmt.Sprintf("%s/%s", o.g.Name(u), t))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// requiredCycle says whether the jobs that the anchor requires, together with
// the installed ones, wait for each other in a ring: as all wishes make them, or as they
// are once what nobody requires was dropped to break another ring.
func (o *oracle) requiredCycle() bool {
	return o.ring(o.jobs()) || o.ring(o.jobsOf(o.required))
}

func (o *oracle) ring(types map[Index]JobType) bool {
	jobs := map[Index]JobType{}
	for i := range o.g.names {
		if in, ok := o.p.Job(Index(i)); ok {
			jobs[Index(i)] = in.Type
		}
	}
	for u, t := range types {
		if slices.ContainsFunc(o.all, func(w *wish) bool { return w.u == u && !w.dead && o.required(w) }) {
			if in, ok := o.p.Job(u); ok {
				if m, fits := merge(in.Type, t); fits {
					t = m
				}
			}
			jobs[u] = t
		}
	}
	for removed := true; removed; {
		removed = false
		for u, t := range jobs {
			if !slices.ContainsFunc(o.g.Edges(u), func(e Edge) bool {
				other, has := jobs[e.To]
				return has && Waits(t, e.Rel, other)
			}) {
				delete(jobs, u)
				removed = true
			}
		}
	}
	return len(jobs) > 0
}
