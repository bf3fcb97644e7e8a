package core

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"dynamod/internal/graph"
)

// Plans have no cycles, but jobs of several requests can close one, as can a restart
// that becomes a start, or a reload that changes the order. When nothing runs the
// cycle is broken at once; when something else runs, which may go on for ever, the
// jobs are looked through deadlockPause after the last change that could have
// closed one: not at each change, because that would cost O(jobs) every time.
//
// What nobody requires is dropped first; then a stop goes ahead of its turn, and a
// start fails with the reason, because starting too early would break what it was
// ordered after.
const deadlockPause = 5 * time.Second

// suspectDeadlock arms the look-through.
func (c *Core) suspectDeadlock() {
	if c.deadlockDL == 0 {
		c.arm(globalDeadlock, 0, c.now.Mono+deadlockPause)
	}
}

// lookForDeadlocks breaks every cycle that there is.
func (c *Core) lookForDeadlocks() {
	c.knotted = false
	for range len(c.jobs) {
		cycle := c.stuck(c.waitingJobs())
		if cycle == nil {
			return
		}
		c.breakWaits(cycle)
	}
}

// breakDeadlock is called when jobs exist, none runs and none is ready.
func (c *Core) breakDeadlock() {
	if cycle := c.stuck(c.waitingJobs()); cycle != nil {
		c.breakWaits(cycle)
	}
}

func (c *Core) waitingJobs() []*job {
	var out []*job
	for _, j := range c.jobs {
		if !j.Running && !j.Parked {
			out = append(out, j)
		}
	}
	slices.SortFunc(out, func(a, b *job) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// breakWaits lets one job of a cycle go.
func (c *Core) breakWaits(cycle []*job) {
	victim := c.leastMissed(cycle)
	path := c.waitPath(victim, cycle)
	cause := Cause{Kind: OrderingCycle, Detail: path}
	c.emit(Log{Level: LevelErr, Unit: victim.Name, Cause: cause, Note: "jobs wait for each other: " + path})
	if victim.Type == graph.Stop || victim.Type == graph.Restart {
		victim.NoOrder, victim.Unmet = true, 0
		c.ready = append(c.ready, victim.ID)
		return
	}
	c.finish(victim, JobFailed, cause)
}

// stuck finds jobs that wait for each other and for nobody else, nil if there are
// none: a strongly connected component (Tarjan's algorithm) of more than one job. One
// that waits for others, too, is noted (knotted) and looked at again when a job has
// ended, because who is let go must not overtake those. No recursion: the graph
// is the operator's.
func (c *Core) stuck(roots []*job) []*job {
	type frame struct {
		j    *job
		edge int
	}
	index, low, on := map[JobID]int{}, map[JobID]int{}, map[JobID]bool{}
	var open []*job
	var work []frame
	for _, root := range roots {
		if index[root.ID] != 0 {
			continue
		}
		work = append(work, frame{j: root})
		for len(work) > 0 {
			f := &work[len(work)-1]
			if index[f.j.ID] == 0 {
				index[f.j.ID], low[f.j.ID], on[f.j.ID] = len(index)+1, len(index)+1, true
				open = append(open, f.j)
			}
			if next := c.nextWait(f.j, &f.edge); next != nil {
				if index[next.ID] == 0 {
					work = append(work, frame{j: next})
				} else if on[next.ID] {
					low[f.j.ID] = min(low[f.j.ID], index[next.ID])
				}
				continue
			}
			done := f.j
			work = work[:len(work)-1]
			if len(work) > 0 {
				up := work[len(work)-1].j
				low[up.ID] = min(low[up.ID], low[done.ID])
			}
			if low[done.ID] != index[done.ID] {
				continue
			}
			at := len(open) - 1
			for open[at] != done {
				at--
			}
			if len(open)-at > 1 {
				if c.closed(open[at:]) {
					return open[at:]
				}
				c.knotted = true
			}
			for _, j := range open[at:] {
				on[j.ID] = false
			}
			open = open[:at]
		}
	}
	return nil
}

// closed says that the jobs wait for each other only.
func (c *Core) closed(cycle []*job) bool {
	for _, j := range cycle {
		pos := 0
		for next := c.nextWait(j, &pos); next != nil; next = c.nextWait(j, &pos) {
			if !slices.Contains(cycle, next) {
				return false
			}
		}
	}
	return true
}

// nextWait is the next job that j waits for, from edge position *pos on. A job that
// has begun waits for nobody.
func (c *Core) nextWait(j *job, pos *int) *job {
	if j.Running || j.Parked {
		return nil
	}
	es := c.g.Edges(j.Unit)
	for ; *pos < len(es); *pos++ {
		e := es[*pos]
		if o := c.rec(e.To).job; o != nil && e.To != j.Unit && waits(j, e.Rel, o) {
			*pos++
			return o
		}
	}
	return nil
}

// leastMissed is the start that no other start requires, else the oldest job.
func (c *Core) leastMissed(cycle []*job) *job {
	var soft, oldest *job
	for _, j := range cycle {
		if oldest == nil || j.ID < oldest.ID {
			oldest = j
		}
		if j.Type == graph.Start && j.Source == SourceDependency && !c.required(j) && (soft == nil || j.ID > soft.ID) {
			soft = j
		}
	}
	if soft != nil {
		return soft
	}
	return oldest
}

func (c *Core) required(j *job) bool {
	for _, e := range c.g.Edges(j.Unit) {
		if o := c.rec(e.To).job; o != nil && o.Type != graph.Stop && e.Rel.Has(graph.RequiredBy|graph.BoundBy|graph.RequisiteOf) {
			return true
		}
	}
	return false
}

// maxCycleShown bounds the path in a log line.
const maxCycleShown = 16

// waitPath walks from a job of a component along its waits until it comes round.
func (c *Core) waitPath(from *job, cycle []*job) string {
	in := map[JobID]bool{}
	for _, j := range cycle {
		in[j.ID] = true
	}
	var b strings.Builder
	seen := map[JobID]bool{}
	for j := from; !seen[j.ID]; {
		seen[j.ID] = true
		if len(seen) > maxCycleShown {
			b.WriteString("… → ")
			break
		}
		b.WriteString(j.Name + " " + j.Type.String() + " → ")
		pos := 0
		for {
			next := c.nextWait(j, &pos)
			if next == nil {
				return b.String() + from.Name
			}
			if in[next.ID] {
				j = next
				break
			}
		}
	}
	return b.String() + from.Name
}
