package graph

import (
	"cmp"
	"fmt"
	"slices"
)

// install compares the transaction with the installed jobs and writes the plan.
// systemctl(1), "--job-mode=".
func (pl *planner) install() (*Plan, error) {
	g, mode := pl.g, pl.req.Mode
	out := &Plan{Dropped: pl.drops}
	for n := range pl.nodes {
		nd := &pl.nodes[n]
		// The newest node of a unit speaks for the unit, so that each unit
		// comes once.
		if pl.first(nd.unit) != int32(n) {
			continue
		}
		t, required, ok := pl.job(nd.unit)
		if !ok {
			continue
		}
		j := Planned{Unit: nd.unit, Type: t, Required: required, By: pl.puller(nd.unit),
			Irreversible: mode == ReplaceIrreversibly, NoOrder: mode == IgnoreDependencies}
		if in, queued := pl.p.Job(nd.unit); queued {
			if m, fits := merge(in.Type, t); fits {
				j.Merges = true
				if c, has := collapse(m, pl.p.Active(nd.unit)); has {
					j.Type = c
				}
				j.Irreversible = j.Irreversible || in.Irreversible
			} else if mode == Fail || in.Irreversible {
				return nil, pl.destructive(nd.unit, t, in)
			} else {
				j.Replaces = true
			}
		}
		out.Jobs = append(out.Jobs, j)
	}
	slices.SortFunc(out.Jobs, func(a, b Planned) int { return cmp.Compare(a.Unit, b.Unit) })
	out.Anchor = slices.IndexFunc(out.Jobs, func(j Planned) bool { return j.Unit == pl.req.Unit })
	if mode == Flush || mode == Isolate {
		k := 0
		for i := range g.names {
			if k < len(out.Jobs) && out.Jobs[k].Unit == Index(i) {
				k++
				continue
			}
			if _, queued := pl.p.Job(Index(i)); queued {
				out.Flushed = append(out.Flushed, Index(i))
			}
		}
	}
	for i := range out.Dropped {
		pl.explain(&out.Dropped[i])
	}
	return out, nil
}

// puller is who first pulled in the job of a unit.
func (pl *planner) puller(u Index) Index {
	by := None
	for n := pl.first(u); n >= 0; n = pl.nodes[n].next {
		if nd := &pl.nodes[n]; nd.state&nodeDead == 0 {
			by = nd.by // the oldest live one comes last
			if nd.state&nodeRoot != 0 {
				return None
			}
		}
	}
	return by
}

func (pl *planner) destructive(u Index, t JobType, in JobInfo) error {
	why := "has a " + in.Type.String() + " job queued"
	if in.Irreversible {
		why = "has an irreversible " + in.Type.String() + " job"
	}
	return &PlanError{Kind: TransactionIsDestructive, Unit: u, Path: []Index{u},
		Message: fmt.Sprintf("%s %s, which the request would turn into a %s",
			pl.g.names[u], why, t)}
}

func (pl *planner) explain(d *Dropped) {
	name := pl.g.names[d.Unit]
	by := ""
	if d.By != None {
		by = ", pulled in by " + pl.g.names[d.By]
	}
	switch d.Cause {
	case SoftCycle, HardCycle:
		d.Message = fmt.Sprintf("%s/%s%s is dropped to break the ordering cycle %s",
			name, d.Type, by, pl.g.pathText(d.Path))
	case Conflicting:
		d.Message = fmt.Sprintf("%s/%s%s is dropped: it contradicts a job that matters more", name, d.Type, by)
	case Unneeded:
		d.Message = fmt.Sprintf("%s/%s%s is dropped: nothing needs it any more", name, d.Type, by)
	case Unstartable:
		_, why, bad := pl.g.unaddable(d.Unit, d.Type)
		if !bad {
			why = "what it requires cannot be started"
		}
		d.Message = fmt.Sprintf("%s/%s%s is dropped: %s", name, d.Type, by, why)
	}
}
