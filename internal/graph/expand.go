package graph

// addRoot puts in a job that nobody pulled in: the anchor, and what the mode
// adds to it.
func (pl *planner) addRoot(u Index, t JobType) int32 {
	n := pl.find(u, t)
	if n < 0 {
		n = pl.newNode(u, t, None)
	}
	if nd := &pl.nodes[n]; nd.state&nodeRoot == 0 {
		nd.state |= nodeRoot
		nd.held++
	}
	return n
}

func (pl *planner) newNode(u Index, t JobType, by Index) int32 {
	n := int32(len(pl.nodes))
	nd := node{unit: u, by: by, next: pl.first(u), in: -1, out: -1, typ: t}
	if _, _, bad := pl.g.unaddable(u, t); bad {
		nd.state |= nodeFails
	}
	pl.nodes = append(pl.nodes, nd)
	pl.mark[u], pl.slot[u] = pl.epoch, n
	return n
}

// wish makes the job of from pull in a job of another unit.
func (pl *planner) wish(from int32, u Index, t JobType, matters, conflicts bool) {
	n := pl.find(u, t)
	if n < 0 {
		n = pl.newNode(u, t, pl.nodes[from].unit)
	}
	l := int32(len(pl.links))
	pl.links = append(pl.links, link{from: from, to: n,
		nextIn: pl.nodes[n].in, nextOut: pl.nodes[from].out,
		matters: matters, conflicts: conflicts})
	pl.nodes[n].in, pl.nodes[from].out = l, l
	pl.nodes[n].held++
}

const (
	pullsHard = Requires | BindsTo
	pullsSoft = Wants | Upholds
	// goesAlong is who is stopped and restarted with a unit.
	goesAlong = RequiredBy | RequisiteOf | BoundBy | ConsistsOf
)

// expand lets every node pull in what it needs, in the order they came, until
// nothing new comes. systemd.unit(5), "[Unit] Section Options".
func (pl *planner) expand() {
	if pl.req.Mode == IgnoreDependencies || pl.req.Mode == IgnoreRequirements {
		return
	}
	pl.pass(0)
	pl.expandFrom(0)
}

// expandFrom lets the nodes from that one on pull, and those that they bring.
func (pl *planner) expandFrom(from int) {
	for n := int32(from); int(n) < len(pl.nodes); n++ {
		if pl.nodes[n].state&nodeFails == 0 {
			pl.pull(n)
		}
	}
}

// pass follows PropagatesStopTo= from the anchor, and from there on. Recorded:
// unlike the other relations, it is not followed from units that are stopped
// or restarted for another reason.
func (pl *planner) pass(n int32) {
	t := pl.nodes[n].typ
	restart := t == Restart || pl.req.Mode == RestartDependencies
	if t != Stop && !restart || pl.req.NoCascade {
		return
	}
	queue := []int32{n}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		for _, e := range pl.g.edges[pl.nodes[n].unit] {
			if !e.Rel.Has(PropagatesStopTo) {
				continue
			}
			before := len(pl.nodes)
			if restart {
				pl.wishAlong(n, e.To, yieldingStop, false)
			} else {
				pl.wishAlong(n, e.To, Stop, true)
			}
			if len(pl.nodes) > before {
				queue = append(queue, int32(before))
			}
		}
	}
}

func (pl *planner) pull(n int32) {
	t, u := pl.nodes[n].typ, pl.nodes[n].unit
	starts := t == Start || t == Restart
	var along JobType
	propagates := false
	switch {
	case t == Stop:
		along, propagates = Stop, !pl.req.NoCascade
	case t == Restart, n == 0 && pl.req.Mode == RestartDependencies:
		along, propagates = TryRestart, true
	}
	for _, e := range pl.g.edges[u] {
		if starts {
			switch {
			case e.Rel.Has(pullsHard):
				pl.wish(n, e.To, Start, true, false)
			case e.Rel.Has(pullsSoft):
				pl.wish(n, e.To, Start, false, false)
			}
			if e.Rel.Has(Requisite) {
				pl.wish(n, e.To, VerifyActive, true, false)
			}
			switch {
			case e.Rel.Has(Conflicts):
				pl.wish(n, e.To, Stop, true, true)
			case e.Rel.Has(ConflictedBy):
				pl.wish(n, e.To, Stop, false, false)
			}
		}
		if propagates && e.Rel.Has(goesAlong) {
			pl.wishAlong(n, e.To, along, true)
		}
		if t == Reload && e.Rel.Has(PropagatesReloadTo) {
			pl.wishAlong(n, e.To, TryReload, false)
		}
	}
}

// wishAlong is wish for what spreads to units that run: it passes over units
// that have no such job, for whom it would be nothing.
func (pl *planner) wishAlong(n int32, u Index, t JobType, matters bool) {
	if _, _, bad := pl.g.unaddable(u, t); bad {
		return
	}
	if t == yieldingStop {
		pl.wish(n, u, t, matters, false)
	} else if c, has := collapse(t, pl.p.Active(u)); has {
		pl.wish(n, u, c, matters, false)
	}
}

// addTriggering stops the running units that would start the anchor again.
func (pl *planner) addTriggering() {
	from := len(pl.nodes)
	for _, e := range pl.g.edges[pl.req.Unit] {
		if e.Rel.Has(TriggeredBy) && !pl.p.Active(e.To).DownOrGoing() && !pl.g.traits[e.To].has(noStop) {
			pl.addRoot(e.To, Stop)
		}
	}
	pl.expandFrom(from)
}

// addIsolated stops every unit that runs and that nothing in the transaction
// mentions (systemctl(1), "isolate"; systemd.unit(5), "IgnoreOnIsolate=").
func (pl *planner) addIsolated() {
	from := len(pl.nodes)
	for i := range pl.g.names {
		u := Index(i)
		if pl.first(u) >= 0 || pl.g.traits[u].has(ignoresIsolate|noStop) {
			continue
		}
		if pl.p.Active(u).Down() {
			if _, queued := pl.p.Job(u); !queued {
				continue
			}
		}
		pl.addRoot(u, Stop)
	}
	pl.expandFrom(from)
}
