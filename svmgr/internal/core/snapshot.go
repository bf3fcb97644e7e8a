package core

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// snapshotVersion changes whenever an old snapshot would be misread.
const snapshotVersion = 1

// image is a Core on disk: names instead of indices, nothing that the set, the
// graph and the configuration can give again.
type image struct {
	Version int
	Now     Time
	NextJob JobID
	Failed  uint64 `json:",omitempty"`
	NextRun RunID
	Rng     uint64
	// Startup and Stamps are of the manager that decided all this: with others the
	// events since would be decided otherwise.
	Startup  time.Duration    `json:",omitempty"`
	Stamps   map[string]int64 `json:",omitempty"`
	Booted   bool             `json:",omitempty"`
	Boot     BootState        `json:",omitempty"`
	Asked    bool             `json:",omitempty"`
	Degraded bool             `json:",omitempty"`
	// WatchdogsOff is WatchdogsSet.
	WatchdogsOff bool `json:",omitempty"`
	Shutdown     *shutdown
	Deadline     time.Duration `json:",omitempty"`
	Retire       time.Duration `json:",omitempty"`
	Deadlock     time.Duration `json:",omitempty"`
	Knotted      bool          `json:",omitempty"`
	// Made are the units that no generation has: loaded on demand, transient, or
	// with settings of their own.
	Made     []*unit.Unit `json:",omitempty"`
	Units    []unitImage
	Runs     []runImage
	Ended    []*job
	Sups     []supImage
	Timers   []string
	Idle     []string
	BusNames []nameImage
}

type unitImage struct {
	Name   string
	Active bool `json:",omitempty"` // an activation exists
	State  State
	Sub    Sub
	Cause  Cause
	Since  Time
	Stamps [4]Time
	Job    *job          `json:",omitempty"`
	DL     []deadlineImg `json:",omitempty"`
	Proc   *proc         `json:",omitempty"`
	Trig   *trigger      `json:",omitempty"`
	Limit  rateLimiter
	Hist   *history `json:",omitempty"`
	Auto   rateLimiter
	Probe  RunID  `json:",omitempty"`
	Flags  uint16 `json:",omitempty"`
	Bound  string `json:",omitempty"`
	Socket string `json:",omitempty"`
	Peer   string `json:",omitempty"`
	Conns  int32  `json:",omitempty"`
	Holds  int32  `json:",omitempty"`
}

type deadlineImg struct {
	Kind deadlineKind
	At   time.Duration
}

type runImage struct {
	ID   RunID
	Unit string
	What runKind
	Role Role
	Stg  Stage
}

type nameImage struct{ Name, Unit string }

type supImage struct {
	Name      string
	Times     []time.Duration `json:",omitempty"`
	Phase     groupPhase      `json:",omitempty"`
	Group     []string        `json:",omitempty"`
	Cursor    int             `json:",omitempty"`
	Asked     bool            `json:",omitempty"`
	NotBefore time.Duration   `json:",omitempty"`
	DL        time.Duration   `json:",omitempty"`
}

// flags are the marks of a record, by bit, in the order of flagsOf.
func flagsOf(r *record) []*bool {
	return []*bool{&r.kernel, &r.stable, &r.stopped, &r.held, &r.waiting, &r.gone, &r.frozen, &r.condOK, &r.ephemeral, &r.refd, &r.demand, &r.needsReload, &r.needsRestart}
}

func (c *Core) name(i graph.Index) string {
	if i < 0 {
		return ""
	}
	return c.g.Name(i)
}

func (c *Core) names(is []graph.Index) []string {
	out := make([]string, len(is))
	for k, i := range is {
		out[k] = c.name(i)
	}
	return out
}

// Snapshot writes the whole state down. Restore(set, graph, cfg, data) gives a
// core that, after a ManagerRestored event, goes on from there.
func (c *Core) Snapshot() []byte {
	im := image{Version: snapshotVersion, Now: c.now, NextJob: c.nextJob, Failed: c.failures, NextRun: c.nextRun, Rng: c.rng, Startup: c.cfg.Startup, Stamps: c.cfg.Stamps,
		Booted: c.booted, Boot: c.boot, Asked: c.bootAsked, Degraded: c.degraded, WatchdogsOff: c.watchdogsOff, Shutdown: c.shutdown,
		Deadline: c.shutdownDL, Retire: c.retireDL, Deadlock: c.deadlockDL, Knotted: c.knotted, Ended: c.ended,
		Timers: c.names(c.timers), Idle: c.names(c.idle)}
	for k := range c.recs {
		r := &c.recs[k]
		if def := c.g.Unit(graph.Index(k)); def != nil && def.Recordable() {
			im.Made = append(im.Made, def)
		}
		u := unitImage{Name: c.g.Name(graph.Index(k)), Active: r.act != nil, State: r.state, Sub: r.sub, Cause: r.cause,
			Since: r.since, Stamps: [4]Time{r.activeEnter, r.activeExit, r.inactiveEnter, r.inactiveExit},
			Job: r.job, Proc: r.proc, Trig: r.trig, Hist: r.hist, Auto: r.auto, Probe: r.probe,
			Bound: c.name(r.boundTo), Socket: c.name(r.socket), Peer: r.peer, Conns: r.conns, Holds: r.holds}
		if r.trig != nil {
			u.Limit = r.trig.limit
		}
		for b, f := range flagsOf(r) {
			if *f {
				u.Flags |= 1 << b
			}
		}
		for d, at := range r.dl {
			if at != 0 {
				u.DL = append(u.DL, deadlineImg{deadlineKind(d), at})
			}
		}
		if r.state == Inactive && r.job == nil && r.hist == nil && r.trig == nil && u.Flags == 0 &&
			len(u.DL) == 0 && r.boundTo == graph.None && r.since == (Time{}) && r.auto == (rateLimiter{}) &&
			r.cause == (Cause{}) && r.conns == 0 && r.holds == 0 {
			continue
		}
		im.Units = append(im.Units, u)
	}
	slices.SortFunc(im.Made, func(a, b *unit.Unit) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(im.Units, func(a, b unitImage) int { return cmp.Compare(a.Name, b.Name) })
	for id, r := range c.runs {
		im.Runs = append(im.Runs, runImage{id, c.name(r.Unit), r.What, r.Role, r.Stage})
	}
	slices.SortFunc(im.Runs, func(a, b runImage) int { return cmp.Compare(a.ID, b.ID) })
	for n, i := range c.busNames {
		im.BusNames = append(im.BusNames, nameImage{n, c.name(i)})
	}
	slices.SortFunc(im.BusNames, func(a, b nameImage) int { return cmp.Compare(a.Name, b.Name) })
	for k := range c.sups {
		s := &c.sups[k]
		if len(s.Times) == 0 && s.Phase == groupNone && s.dl == 0 {
			continue
		}
		im.Sups = append(im.Sups, supImage{s.Name, s.Times, s.Phase, c.names(s.Group), s.Cursor, s.Asked, s.NotBefore, s.dl})
	}
	data, err := json.Marshal(&im)
	if err != nil {
		panic(fmt.Sprintf("a snapshot holds only plain data, but: %v", err))
	}
	return data
}

// Restore reads a Snapshot. What cfg says of the start (Startup, Stamps, Mounted,
// Plugged) is the snapshot's instead. A snapshot that does not parse, or of another
// version, is an error; units that no longer have a file are kept while they run.
// A unit that runs is from now on judged by its present settings.
func Restore(set *unit.Set, g *graph.Graph, cfg Config, data []byte) (*Core, error) {
	var im image
	if err := json.Unmarshal(data, &im); err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	if im.Boot > BootBad {
		return nil, fmt.Errorf("read snapshot: there is no verdict %d on the boot", im.Boot)
	}
	if im.Version != snapshotVersion {
		return nil, fmt.Errorf("read snapshot: version %d, this manager knows %d", im.Version, snapshotVersion)
	}
	// What the machine has now is told by events, as it was then.
	cfg.Mounted, cfg.Plugged = nil, nil
	cfg.Startup, cfg.Stamps = im.Startup, im.Stamps
	c := New(set, g, cfg)
	for _, u := range im.Made {
		if u == nil {
			return nil, fmt.Errorf("read snapshot: a unit is missing")
		}
		c.addUnit(u)
	}
	for k := range im.Units {
		n := im.Units[k].Name
		if i, ok := g.Lookup(n); !ok || g.Unit(i) == nil && im.Units[k].Active {
			t, err := unitname.Parse(n)
			if err != nil {
				return nil, fmt.Errorf("read snapshot: unit %q: %w", n, err)
			}
			g.Add(withoutFile(n, t.Type))
			c.grow()
		}
	}
	find := func(n string) graph.Index {
		if i, ok := g.Lookup(n); ok && n != "" {
			return i
		}
		return graph.None
	}
	findAll := func(ns []string) []graph.Index {
		var out []graph.Index
		for _, n := range ns {
			if i := find(n); i != graph.None {
				out = append(out, i)
			}
		}
		return out
	}
	c.now, c.nextJob, c.failures, c.nextRun, c.rng = im.Now, im.NextJob, im.Failed, im.NextRun, im.Rng
	c.booted, c.boot, c.bootAsked, c.degraded, c.shutdown = im.Booted, im.Boot, im.Asked, im.Degraded, im.Shutdown
	c.shutdownDL, c.retireDL, c.deadlockDL = im.Deadline, im.Retire, im.Deadlock
	c.knotted, c.watchdogsOff = im.Knotted, im.WatchdogsOff
	c.timers, c.idle = findAll(im.Timers), findAll(im.Idle)
	for k := range im.Units {
		if err := c.restoreUnit(&im.Units[k], find); err != nil {
			return nil, err
		}
	}
	for _, r := range im.Runs {
		if i := find(r.Unit); i != graph.None {
			c.runs[r.ID] = run{Unit: i, What: r.What, Role: r.Role, Stage: r.Stg}
		}
	}
	for _, n := range im.BusNames {
		if i := find(n.Unit); i != graph.None {
			if c.busNames == nil {
				c.busNames = make(map[string]graph.Index)
			}
			c.busNames[n.Name] = i
		}
	}
	for _, j := range im.Ended {
		if j == nil {
			return nil, fmt.Errorf("read snapshot: an ended job is missing")
		}
		j.Unit = find(j.Name)
		c.remember(j)
	}
	for _, s := range im.Sups {
		for k := range c.sups {
			if c.sups[k].Name == s.Name {
				sup := &c.sups[k]
				sup.Times, sup.Phase = s.Times, s.Phase
				// A unit whose file is gone has no supervisor any more.
				sup.Group = slices.DeleteFunc(findAll(s.Group), func(m graph.Index) bool { return c.rec(m).sup < 0 })
				sup.Cursor, sup.Asked, sup.NotBefore, sup.dl = s.Cursor, s.Asked, s.NotBefore, s.DL
				if len(sup.Group) != len(s.Group) {
					sup.Cursor, sup.Asked = 0, false
					if sup.Phase == groupStopping {
						sup.Cursor = len(sup.Group) - 1
					}
				}
			}
		}
	}
	c.lookAtBoot()
	c.rebuildHeap()
	c.relink()
	c.ready, c.out = nil, nil
	return c, nil
}

// withoutFile stands for a unit of the snapshot that has no file any more. Slices and
// what the kernel makes need none; anything else cannot be started again.
func withoutFile(name string, t unitname.Type) *unit.Unit {
	u := &unit.Unit{Name: name, Type: t, Load: unit.NotFound}
	switch t {
	case unitname.Slice, unitname.Device, unitname.Mount, unitname.Swap:
		u.Load = unit.Loaded
	}
	return u
}

func (c *Core) restoreUnit(u *unitImage, find func(string) graph.Index) error {
	if u.State >= numStates || u.Sub >= numSubs || u.Cause.Kind >= numCauses {
		return fmt.Errorf("read snapshot: unit %q: state out of range", u.Name)
	}
	i := find(u.Name)
	r := c.rec(i)
	r.state, r.sub, r.cause, r.since = u.State, u.Sub, u.Cause, u.Since
	r.activeEnter, r.activeExit, r.inactiveEnter, r.inactiveExit = u.Stamps[0], u.Stamps[1], u.Stamps[2], u.Stamps[3]
	r.proc, r.trig, r.hist, r.auto, r.probe = u.Proc, u.Trig, u.Hist, u.Auto, u.Probe
	if r.trig != nil {
		r.trig.limit, r.trig.Target = u.Limit, c.targetOf(i)
	}
	r.boundTo, r.socket, r.peer, r.conns, r.holds = find(u.Bound), find(u.Socket), u.Peer, u.Conns, u.Holds
	for b, f := range flagsOf(r) {
		*f = u.Flags&(1<<b) != 0
	}
	for _, d := range u.DL {
		if d.Kind >= numDeadlines {
			return fmt.Errorf("read snapshot: unit %q: deadline out of range", u.Name)
		}
		r.dl[d.Kind] = d.At
	}
	if u.Active {
		if r.act = c.g.Unit(i); r.act == nil {
			t, err := unitname.Parse(u.Name)
			if err != nil {
				return fmt.Errorf("read snapshot: unit %q: %w", u.Name, err)
			}
			r.act = withoutFile(u.Name, t.Type)
		}
	}
	if j := u.Job; j != nil {
		j.Unit = i
		r.job = j
		c.jobs[j.ID] = j
		if j.Running {
			c.running++
		}
	}
	return nil
}

// managerRestored asks again what was being asked, tells again what had to be
// told, and lets those runs end that did so unseen.
func (c *Core) managerRestored(e *ManagerRestored) {
	alive := make(map[RunID]bool, len(e.Alive))
	for _, id := range e.Alive {
		alive[id] = true
	}
	exits := make(map[RunID]Exited, len(e.Exits))
	for _, x := range e.Exits {
		exits[x.Run] = x
	}
	populated := make(map[string]bool, len(e.Populated))
	for _, n := range e.Populated {
		populated[n] = true
	}
	c.relink()
	begun := map[RunID]bool{}
	for _, id := range e.Unborn {
		// Before the questions: a readiness pipe is made for the process.
		if r := c.runs[id]; r.What == runProcess && !alive[id] && c.beginAgain(id, r) {
			begun[id] = true
		}
	}
	for k := range c.recs {
		c.askAgain(graph.Index(k))
		r := &c.recs[k]
		if r.holds = 0; r.mayGo() { // who held it has gone with the former manager
			c.queueCheck(graph.Index(k))
		}
	}
	var ended []RunID
	for id, r := range c.runs {
		if r.What == runProcess && !alive[id] && !begun[id] {
			ended = append(ended, id)
		}
	}
	slices.Sort(ended)
	for _, id := range ended {
		r := c.runs[id]
		if x, ok := exits[id]; ok {
			c.exited(x)
			continue
		}
		in := InControlExit
		if r.Role == RoleMain {
			in = InMainExit
		}
		c.runEnded(id, Cause{Kind: ManagerLostTrack}, in)
	}
	for k := range c.recs {
		i := graph.Index(k)
		if p := c.rec(i).proc; p != nil && p.Populated && !populated[c.g.Name(i)] && c.knownEmpty(p) {
			c.input(i, InEmpty, msg{})
		}
	}
	for s := range c.sups {
		if c.sups[s].Phase != groupNone {
			c.queueSup(int32(s))
		}
	}
	c.checkAll()
}

// ProcessRuns lists the runs of processes that are under way, as far as the core
// knows, and those that wait for a process to be found.
func (c *Core) ProcessRuns() []RunID {
	var out []RunID
	for id, r := range c.runs {
		if r.What == runProcess || r.What == runAdopt {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// knownEmpty: a live run proves that the group is not empty, whatever was said.
func (c *Core) knownEmpty(p *proc) bool {
	for _, id := range [...]RunID{p.Main, p.Control, p.Health} {
		if r, ok := c.runs[id]; ok && r.What == runProcess {
			return false
		}
	}
	return true
}

// askAgain repeats the questions, watches and signals of one unit, because the
// former manager may have died before it carried them out. All are idempotent.
func (c *Core) askAgain(i graph.Index) {
	r := c.rec(i)
	u := c.def(i)
	if u == nil {
		return
	}
	if r.probe != 0 {
		if d := c.g.Unit(i); d != nil && r.job != nil {
			c.emit(c.question(i, r.job))
		}
	}
	if t := r.trig; t != nil {
		if t.Run != 0 {
			c.emit(Listen{Run: t.Run, Unit: u})
		}
		if t.Watching {
			what := WatchSocket
			if c.machineOf(i) != &socketMachine {
				what = c.watched(i)
			}
			c.emit(Watch{Unit: u, What: what})
		}
	}
	p := r.proc
	if p == nil {
		return
	}
	if p.Adopt != 0 {
		a := Adopt{Run: p.Adopt, Unit: u.Name, Incarnation: p.Inc, PID: p.AdoptPID}
		if c.machineOf(i) == &scopeMachine {
			a.Def = u
		}
		c.emit(a)
	}
	if p.Probe != 0 {
		what := ProbeReady
		switch c.readiness(i) {
		case "fd", "s6":
			what = ProbeReadyFD
		}
		c.emit(Probe{Run: p.Probe, Unit: u, What: what})
	}
	if x, ok := c.runs[p.Health]; ok && x.What == runProbe {
		c.emit(Probe{Run: p.Health, Unit: u, What: ProbeHealth})
	}
	if n := unit.BusName.Of(u); n != "" && c.busNames[n] == i {
		c.emit(Watch{Unit: u, What: WatchBusName})
	}
	if r.frozen {
		c.emit(Freeze{Unit: u.Name})
	}
	switch r.sub {
	case SubStopSigterm, SubFinalSigterm, SubStopPreSigterm:
		if !p.StopSeen {
			c.sendSignal(i, unit.KillMode.Of(u), int32(unit.KillSignal.Of(u)), false)
		}
	case SubStopSigkill, SubFinalSigkill, SubStopPreSigkill:
		c.sendKill(i, unit.KillMode.Of(u))
	}
}
