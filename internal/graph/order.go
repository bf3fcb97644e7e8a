package graph

import (
	"fmt"
	"slices"
	"strings"

	"dynamod/internal/unitname"
)

// ordJob is a job as far as waiting goes: a planned one or an installed one.
// A dropped one has no unit.
type ordJob struct {
	unit      Index
	typ       JobType
	installed bool
}

// orderScratch is kept between plans: id is valid where mark has the current
// epoch.
type orderScratch struct {
	mark   []uint32
	id     []int32 // position in jobs, -1: the unit has no job
	epoch  uint32
	jobs   []ordJob
	tarjan tarjan
}

// breakCycles makes the waiting of the jobs acyclic. It drops jobs that the
// anchor does not require; a cycle of required jobs refuses the request, or
// costs its members when the request must not be refused (C-13).
func (pl *planner) breakCycles() error {
	if pl.req.Mode == IgnoreDependencies {
		return nil
	}
	o := &pl.order
	for again := true; again; {
		again = false
		pl.sweep()
		pl.loadOrder()
		all := make([]int32, len(o.jobs))
		for i := range all {
			all[i] = int32(i)
		}
		o.tarjan.reset(len(o.jobs))
		todo := o.tarjan.components(all, 0, pl.waitsFor)
		for len(todo) > 0 {
			c := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			label := o.tarjan.nodes[c[0]].label
			// Breaking another component may have dropped jobs of this one.
			if live := o.live(c); len(live) < len(c) {
				todo = append(todo, o.tarjan.components(live, label, pl.waitsFor)...)
				continue
			}
			dropped, err := pl.breakSome(c)
			if err != nil {
				return err
			}
			// A dropped job can change what others merge to, and with
			// that the order: look again when all is broken.
			again = again || dropped
			todo = append(todo, o.tarjan.components(o.live(c), label, pl.waitsFor)...)
		}
	}
	return nil
}

// live are the jobs of a component that were not dropped.
func (o *orderScratch) live(c []int32) []int32 {
	var rest []int32
	for _, j := range c {
		if o.jobs[j].unit != None {
			rest = append(rest, j)
		}
	}
	return rest
}

// loadOrder lists the planned jobs; installed ones join as they are met.
func (pl *planner) loadOrder() {
	o := &pl.order
	if n := len(pl.g.names); len(o.mark) < n {
		o.mark = slices.Grow(o.mark, n-len(o.mark))[:n]
		o.id = slices.Grow(o.id, n-len(o.id))[:n]
	}
	o.epoch++
	if o.epoch == 0 {
		clear(o.mark)
		o.epoch = 1
	}
	o.jobs = o.jobs[:0]
	for n := range pl.nodes {
		u := pl.nodes[n].unit
		if pl.first(u) != int32(n) {
			continue
		}
		t, _, ok := pl.job(u)
		if !ok {
			continue
		}
		if in, queued := pl.p.Job(u); queued {
			if m, fits := merge(in.Type, t); fits {
				t = m
			}
		}
		o.mark[u], o.id[u] = o.epoch, int32(len(o.jobs))
		o.jobs = append(o.jobs, ordJob{unit: u, typ: t})
	}
}

// jobOn is the position of the unit's job, -1 when it has none. Installed jobs
// count: a new job that waits for one that waits for it would never run.
func (pl *planner) jobOn(u Index) int32 {
	o := &pl.order
	if o.mark[u] != o.epoch {
		o.mark[u], o.id[u] = o.epoch, -1
		if in, queued := pl.p.Job(u); queued && pl.req.Mode != Flush && pl.req.Mode != Isolate {
			o.id[u] = int32(len(o.jobs))
			o.jobs = append(o.jobs, ordJob{unit: u, typ: in.Type, installed: true})
		}
	}
	return o.id[u]
}

// waitsFor returns the next job that j waits for, from edge position pos on.
func (pl *planner) waitsFor(j, pos int32) (k, next int32) {
	o := &pl.order
	jb := o.jobs[j]
	if jb.unit == None {
		return -1, pos
	}
	edges := pl.g.edges[jb.unit]
	for ; int(pos) < len(edges); pos++ {
		e := edges[pos]
		if !e.Rel.Has(Before | After) {
			continue
		}
		k := pl.jobOn(e.To)
		if k >= 0 && o.jobs[k].unit != None && Waits(jb.typ, e.Rel, o.jobs[k].typ) {
			return k, pos + 1
		}
	}
	return -1, pos
}

// breakSome breaks cycles of one component, one after the other, as long as
// looking for them costs no more than looking at the whole component again.
func (pl *planner) breakSome(c []int32) (dropped bool, err error) {
	o := &pl.order
	cost := 0
	for k, j := range c {
		if o.jobs[j].unit == None {
			continue
		}
		cycle := o.tarjan.shortest(j, pl.waitsFor, &cost)
		if cycle != nil {
			d, err := pl.breakOne(cycle)
			if err != nil {
				return false, err
			}
			dropped = dropped || d
		} else if k == 0 {
			panic(fmt.Sprintf("graph: no cycle in a component of %d jobs", len(c)))
		}
		if cost > 4*len(c) {
			break
		}
	}
	return dropped, nil
}

// breakOne drops a job of a cycle, or says why none may go.
func (pl *planner) breakOne(cycle []int32) (dropped bool, err error) {
	o := &pl.order
	path := make([]Index, len(cycle))
	for i, j := range cycle {
		path[i] = o.jobs[j].unit
	}
	victim, best := int32(-1), -1
	for _, j := range cycle {
		if o.jobs[j].installed {
			continue
		}
		if _, required, _ := pl.job(o.jobs[j].unit); required {
			continue
		}
		if w := pl.expendable(o.jobs[j].unit); w > best {
			victim, best = j, w
		}
	}
	if victim >= 0 {
		pl.dropJobs([]int32{victim}, SoftCycle, path)
		return true, nil
	}
	if pl.req.NeverRefuse {
		var lost []int32
		for _, j := range cycle {
			if !o.jobs[j].installed && o.jobs[j].unit != pl.req.Unit {
				lost = append(lost, j)
			}
		}
		if lost != nil {
			pl.dropJobs(lost, HardCycle, path)
			return true, nil
		}
	}
	for _, j := range cycle {
		if !o.jobs[j].installed {
			return false, pl.cyclic(cycle, path)
		}
	}
	o.jobs[cycle[0]].unit = None // a cycle among installed jobs is not ours
	return false, nil
}

// expendable ranks what may be dropped: the later a job was pulled in, the
// further it is from the anchor; targets, mounts and sockets carry others and
// go last.
func (pl *planner) expendable(u Index) int {
	w := int(pl.first(u))
	switch pl.g.kinds[u] {
	case unitname.Target, unitname.Mount, unitname.Socket, unitname.Slice, unitname.Device:
	default:
		w += len(pl.nodes)
	}
	return w
}

// dropJobs kills all wishes on the units of jobs and notes the cycle.
func (pl *planner) dropJobs(jobs []int32, cause DropCause, path []Index) {
	o := &pl.order
	from := len(pl.drops)
	var dead []int32
	for _, j := range jobs {
		u := o.jobs[j].unit
		t, _, _ := pl.job(u)
		pl.drops = append(pl.drops, Dropped{Unit: u, Type: t, Cause: cause, By: pl.puller(u), Path: path})
		for n := pl.first(u); n >= 0; n = pl.nodes[n].next {
			if pl.live(n) {
				pl.nodes[n].state |= nodeDead
				dead = append(dead, n)
			}
		}
	}
	for _, n := range dead {
		pl.stack = append(pl.stack[:0], n)
		pl.release(cause, cause != HardCycle)
	}
	for i := from; i < len(pl.drops); i++ {
		d := &pl.drops[i]
		if d.Cause == cause {
			d.Path = path
		}
		if _, _, ok := pl.job(d.Unit); !ok && o.mark[d.Unit] == o.epoch && o.id[d.Unit] >= 0 {
			o.jobs[o.id[d.Unit]].unit = None
		}
	}
}

func (pl *planner) cyclic(cycle []int32, path []Index) error {
	var parts []string
	for i, j := range cycle {
		jb := pl.order.jobs[j]
		text := pl.g.names[jb.unit] + "/" + jb.typ.String()
		if i == 0 {
			text += " waits for"
		} else {
			text = text + ", which waits for"
		}
		parts = append(parts, text)
	}
	return &PlanError{Kind: TransactionOrderIsCyclic, Unit: path[0], Path: path,
		Message: "ordering cycle of required jobs: " + strings.Join(parts, " ") + " " + pl.g.names[path[0]]}
}

// pathText writes a cycle as "a → b → a".
func (g *Graph) pathText(path []Index) string {
	var b strings.Builder
	for _, i := range path {
		b.WriteString(g.names[i])
		b.WriteString(" → ")
	}
	if len(path) > 0 {
		b.WriteString(g.names[path[0]])
	}
	return b.String()
}
