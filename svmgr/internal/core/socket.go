package core

import (
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

var (
	sockPre   = []Sub{SubStartPre, SubStartChown, SubStartPost}
	sockUp    = []Sub{SubListening, SubRunning}
	sockTerm  = []Sub{SubStopPreSigterm, SubFinalSigterm}
	sockKill  = []Sub{SubStopPreSigkill, SubFinalSigkill}
	sockAlive = []Sub{SubStartPre, SubStartChown, SubStartPost, SubListening, SubRunning, SubStopPre, SubStopPreSigterm,
		SubStopPreSigkill, SubStopPost, SubFinalSigterm, SubFinalSigkill}
)

// socketMachine is docs/states.md, "Sockets".
var socketMachine = table(machine{name: "socket", upSub: SubListening, limited: true, conditional: true, family: familySocket}, []on{
	{InStart, ActBegin, []Sub{SubDead, SubFailed}},
	{InStop, ActAbort, sockPre},
	{InStop, ActStop, sockUp},
	{InSpawnFailed, ActControlEnd, sockAlive},
	{InControlExit, ActControlEnd, sockAlive},
	{InEmpty, ActEmpty, sockAlive},
	{InListening, ActBound, []Sub{SubStartChown}},
	{InTimeout, ActStartTimeout, sockPre},
	{InTimeout, ActStopTimeout, join([]Sub{SubStopPre, SubStopPost}, sockTerm)},
	{InTimeout, ActKillTimeout, sockKill},
	{InTrigger, ActTrigger, []Sub{SubListening}},
	{InTarget, ActTarget, sockUp},
})

func (c *Core) socketAct(i graph.Index, a Act, m msg) {
	r := c.rec(i)
	switch a {
	case ActBegin:
		c.sockBegin(i, m)
	case ActAbort, ActStop:
		c.sockStop(i, m.cause)
	case ActControlEnd:
		c.sockControlEnd(i, m)
	case ActEmpty:
		r.proc.Populated = false
		c.sockSomethingEnded(i)
	case ActBound:
		c.sockBound(i, m)
	case ActStartTimeout:
		c.sockFail(i, Cause{Kind: StartTimeout})
	case ActStopTimeout:
		c.note(i, Cause{Kind: StopTimeout})
		c.sockSignal(i, nextSockSignal[r.sub])
	case ActKillTimeout:
		c.note(i, Cause{Kind: Unkillable})
		c.enter(i, Abandoned, r.sub, Cause{Kind: Unkillable})
	case ActTrigger:
		c.sockTrigger(i)
	case ActTarget:
		c.sockTarget(i)
	}
}

var nextSockSignal = map[Sub]Sub{SubStopPre: SubStopPreSigterm, SubStopPreSigterm: SubStopPreSigkill,
	SubStopPost: SubFinalSigterm, SubFinalSigterm: SubFinalSigkill}

func (c *Core) trigger(i graph.Index) *trigger {
	r := c.rec(i)
	if r.trig == nil {
		r.trig = &trigger{Target: graph.None}
	}
	r.trig.Target = c.targetOf(i)
	return r.trig
}

// targetOf is the unit that i triggers, None if there is none.
func (c *Core) targetOf(i graph.Index) graph.Index {
	for _, e := range c.g.Edges(i) {
		if e.Rel.Has(graph.Triggers) {
			return e.To
		}
	}
	return graph.None
}

func (c *Core) sockBegin(i graph.Index, m msg) {
	r := c.rec(i)
	u := c.g.Unit(i)
	t := c.trigger(i)
	if t.Target != graph.None && !unit.Accept.Of(u) && !c.rec(t.Target).down() && c.rec(t.Target).state != RestartPending {
		// systemd refuses too: the service would not get the sockets.
		c.refuse(i, JobFailed, Failed, Cause{Kind: ListenFailed, Unit: c.g.Name(t.Target), Errno: 98})
		return
	}
	r.act = u
	r.proc = &proc{}
	c.phase(i, timeoutOf(unit.SocketTimeoutSec.Of(u)))
	if len(unit.ExecStartPre.Of(u)) > 0 {
		r.proc.Stage = StageStartPre
		c.enter(i, Starting, SubStartPre, m.cause)
		c.sockNext(i)
		return
	}
	c.sockListen(i, m.cause)
}

func (c *Core) sockListen(i graph.Index, cause Cause) {
	t := c.trigger(i)
	t.Run = c.newRun(i, runListen, RoleControl, StageStart)
	c.enter(i, Starting, SubStartChown, cause)
	c.emit(Listen{Run: t.Run, Unit: c.rec(i).act})
}

func (c *Core) sockBound(i graph.Index, m msg) {
	r := c.rec(i)
	t := r.trig
	if m.run != t.Run {
		return
	}
	t.Run = 0
	if !m.ok {
		c.sockFail(i, Cause{Kind: ListenFailed, Errno: m.errno})
		return
	}
	t.Bound = true
	if len(unit.ExecStartPost.Of(r.act)) > 0 {
		r.proc.Stage, r.proc.Next = StageStartPost, 0
		c.enter(i, Starting, SubStartPost, Cause{})
		c.sockNext(i)
		return
	}
	c.sockUp(i)
}

func (c *Core) sockUp(i graph.Index) {
	c.disarm(i, dlState)
	c.enter(i, Active, SubListening, Cause{})
	c.sockTarget(i)
}

// sockTarget keeps the sub-state and the watch in step with the service.
func (c *Core) sockTarget(i graph.Index) {
	r := c.rec(i)
	if !r.up() {
		return
	}
	t := c.trigger(i)
	name := c.g.Name(i)
	accept := unit.Accept.Of(r.act)
	busy := !accept && t.Target != graph.None && !c.rec(t.Target).down() && c.rec(t.Target).state != RestartPending && c.rec(t.Target).state != Dormant
	if !accept && t.Target != graph.None {
		if tr := c.rec(t.Target); tr.state == Failed && refusesForGood(tr.cause.Kind) && r.sub == SubRunning {
			// Watching on would trigger at once again and never stop.
			c.sockFail(i, Cause{Kind: TriggerLimitHit, Unit: c.g.Name(t.Target)})
			return
		}
	}
	switch {
	case busy:
		if t.Watching {
			t.Watching = false
			c.emit(Unwatch{Unit: name, What: WatchSocket})
		}
		c.enter(i, Active, SubRunning, Cause{})
	case r.sub == SubRunning && t.Target != graph.None && c.rec(t.Target).job != nil:
		// Triggered, about to start: wait for what comes of it.
	default:
		if !t.Watching {
			t.Watching = true
			c.emit(Watch{Unit: r.act, What: WatchSocket})
		}
		c.enter(i, Active, SubListening, Cause{})
	}
}

// refusesForGood: triggering a unit that ended like this would come to nothing, and
// what triggers would do it again and again.
func refusesForGood(k CauseKind) bool {
	return k == StartLimitHit || k == BudgetExhausted || k == SupervisorGaveUp
}

// sockTrigger: traffic on a listening socket.
func (c *Core) sockTrigger(i graph.Index) {
	r := c.rec(i)
	t := c.trigger(i)
	if !t.Watching || c.shutdown != nil {
		return
	}
	t.Watching = false
	if unit.Accept.Of(r.act) || t.Target == graph.None {
		c.sockTarget(i) // the world accepts by itself: only go on watching
		return
	}
	if !t.limit.allow(c.now.Mono, c.triggerInterval(r.act), c.triggerBurst(r.act)) {
		c.sockFail(i, Cause{Kind: TriggerLimitHit, Unit: c.g.Name(t.Target)})
		return
	}
	if c.pull(t.Target, SourceSocket, Cause{Kind: BySocket, Unit: c.g.Name(i)}) {
		c.enter(i, Active, SubRunning, Cause{})
		return
	}
	c.sockFail(i, Cause{Kind: ListenFailed, Unit: c.g.Name(t.Target)})
}

// pull starts a triggered unit; its own trigger limit is the fuse.
func (c *Core) pull(i graph.Index, src Source, cause Cause) bool {
	_, err := c.ask(wish{unit: i, typ: graph.Start, mode: graph.Replace, source: src, cause: cause, trigger: cause.Unit})
	if err != nil {
		c.emit(Log{Level: LevelWarning, Unit: c.g.Name(i), Cause: cause, Note: "triggered start refused: " + err.Text})
	}
	return err == nil
}

// The defaults of TriggerLimitIntervalSec= and TriggerLimitBurst= depend on
// Accept= (systemd.socket(5)).
func (c *Core) triggerInterval(u *unit.Unit) time.Duration {
	return unit.TriggerLimitIntervalSec.Of(u)
}

func (c *Core) triggerBurst(u *unit.Unit) uint64 {
	if unit.TriggerLimitBurst.IsSet(u) {
		return uint64(unit.TriggerLimitBurst.Of(u))
	}
	if unit.Accept.Of(u) {
		return 200
	}
	return 20
}

// accepted starts one instance for one connection of an Accept=yes socket.
func (c *Core) accepted(e *Accepted) {
	i, ok := c.g.Lookup(e.Socket)
	if !ok || e.Instance == nil {
		return
	}
	r := c.rec(i)
	if !r.up() || r.act == nil || c.shutdown != nil {
		return
	}
	name := c.g.Name(i)
	t := c.trigger(i)
	if !t.limit.allow(c.now.Mono, c.triggerInterval(r.act), c.triggerBurst(r.act)) {
		c.sockFail(i, Cause{Kind: TriggerLimitHit})
		return
	}
	if limit := unit.MaxConnections.Of(r.act); limit > 0 && int64(r.conns) >= int64(limit) {
		c.emit(Log{Level: LevelWarning, Unit: name, Note: "too many connections (MaxConnections=): one refused"})
		t.Refused++
		c.emit(Withdraw{Unit: e.Instance.Name})
		return
	}
	if limit := unit.MaxConnectionsPerSource.Of(r.act); limit > 0 && e.Source != "" && int64(c.peers(i, e.Source)) >= int64(limit) {
		c.emit(Log{Level: LevelWarning, Unit: name, Note: "too many connections from " + e.Source + ": one refused"})
		t.Refused++
		c.emit(Withdraw{Unit: e.Instance.Name})
		return
	}
	n := c.addUnit(e.Instance)
	rn := c.rec(n)
	rn.ephemeral = true
	if !rn.down() || rn.job != nil || n == i {
		return
	}
	if !c.pull(n, SourceSocket, Cause{Kind: BySocket, Unit: name}) {
		c.emit(Withdraw{Unit: e.Instance.Name})
		return
	}
	rn = c.rec(n)
	rn.socket, rn.peer = i, e.Source
	c.rec(i).conns++
	c.rec(i).trig.Accepted++
}

func (c *Core) peers(sock graph.Index, source string) int {
	n := 0
	for k := range c.recs {
		if c.recs[k].socket == sock && c.recs[k].peer == source {
			n++
		}
	}
	return n
}

// leaveSocket takes a connection's instance off its socket's count.
func (c *Core) leaveSocket(r *record) {
	if r.socket == graph.None {
		return
	}
	if s := c.rec(r.socket); s.conns > 0 {
		s.conns--
	}
	r.socket, r.peer = graph.None, ""
}

// sockNext runs the next command of the present stage.
func (c *Core) sockNext(i graph.Index) {
	r := c.rec(i)
	p := r.proc
	var cmds []unit.Exec
	switch p.Stage {
	case StageStartPre:
		cmds = unit.ExecStartPre.Of(r.act)
	case StageStartPost:
		cmds = unit.ExecStartPost.Of(r.act)
	case StageStopPre:
		cmds = unit.ExecStopPre.Of(r.act)
	case StageStopPost:
		cmds = unit.ExecStopPost.Of(r.act)
	}
	if c.shutdown != nil && p.Stage <= StageStartPost {
		c.sockStop(i, Cause{Kind: ByShutdown}) // nothing is started any more
		return
	}
	if p.Next < len(cmds) {
		p.Control = c.spawn(i, RoleControl, p.Stage, cmds[p.Next])
		return
	}
	switch p.Stage {
	case StageStartPre:
		c.sockListen(i, Cause{})
	case StageStartPost:
		c.sockUp(i)
	case StageStopPre:
		c.sockSignal(i, SubStopPreSigterm)
	case StageStopPost:
		c.sockSignal(i, SubFinalSigterm)
	}
}

func (c *Core) sockControlEnd(i graph.Index, m msg) {
	r := c.rec(i)
	p := r.proc
	if m.run != p.Control {
		return
	}
	p.Control = 0
	switch r.sub {
	case SubStartPre, SubStartPost, SubStopPre, SubStopPost:
	default:
		c.sockSomethingEnded(i)
		return
	}
	ok := m.cause.Kind == MainExited && m.cause.Code == 0
	if !ok {
		var cmds []unit.Exec
		switch p.Stage {
		case StageStartPre, StageStartPost, StageStopPost:
			cmds = commands(r.act, p.Stage)
		case StageStopPre:
			cmds = unit.ExecStopPre.Of(r.act)
		}
		ok = p.Next < len(cmds) && cmds[p.Next].IgnoreFailure
	}
	if ok {
		p.Next++
		c.sockNext(i)
		return
	}
	fail := m.cause
	if fail.Kind != SpawnFailure {
		fail.Kind, fail.Detail = CommandFailed, p.Stage.String()
	}
	if r.state == Stopping {
		c.note(i, fail)
		c.sockSignal(i, nextSockSignal[r.sub])
		return
	}
	c.sockFail(i, fail)
}

func (c *Core) sockFail(i graph.Index, cause Cause) {
	c.note(i, cause)
	c.sockStop(i, cause)
}

// sockStop: stop-pre commands, close, stop-post commands.
func (c *Core) sockStop(i graph.Index, cause Cause) {
	r := c.rec(i)
	p := r.proc
	if p == nil {
		c.enter(i, Inactive, SubDead, cause)
		return
	}
	if r.state == Stopping {
		return
	}
	was := r.state
	c.phase(i, timeoutOf(unit.SocketTimeoutSec.Of(r.act)))
	p.Stage, p.Next = StageStopPre, 0
	c.enter(i, Stopping, SubStopPre, cause)
	if was == Starting || c.tooLate() {
		c.sockSignal(i, SubStopPreSigterm)
		return
	}
	c.sockNext(i)
}

func (c *Core) sockSignal(i graph.Index, sub Sub) {
	r := c.rec(i)
	p := r.proc
	if !c.somethingLeft(i) {
		c.sockAfterSignal(i, sub)
		return
	}
	mode := unit.KillMode.Of(r.act)
	if sub == SubStopPreSigkill || sub == SubFinalSigkill {
		c.sendKill(i, mode)
		c.phase(i, c.cfg.PostKill)
	} else {
		c.sendSignal(i, mode, int32(unit.KillSignal.Of(r.act)), false)
		c.phase(i, timeoutOf(unit.SocketTimeoutSec.Of(r.act)))
	}
	c.enter(i, Stopping, sub, p.Result)
}

func (c *Core) sockSomethingEnded(i graph.Index) {
	r := c.rec(i)
	switch r.sub {
	case SubStopPreSigterm, SubStopPreSigkill, SubFinalSigterm, SubFinalSigkill:
		if !c.somethingLeft(i) {
			c.sockAfterSignal(i, r.sub)
		}
	}
}

func (c *Core) sockAfterSignal(i graph.Index, sub Sub) {
	r := c.rec(i)
	p := r.proc
	name := c.g.Name(i)
	if sub == SubStopPreSigterm || sub == SubStopPreSigkill {
		t := c.trigger(i)
		if t.Run != 0 {
			c.emit(CancelProbe{Run: t.Run})
			delete(c.runs, t.Run)
			t.Run = 0
		}
		if t.Watching {
			t.Watching = false
			c.emit(Unwatch{Unit: name, What: WatchSocket})
		}
		t.Bound = false
		c.emit(Unlisten{Unit: name, Remove: unit.RemoveOnStop.Of(r.act)})
		if len(unit.ExecStopPost.Of(r.act)) > 0 && !c.tooLate() {
			p.Stage, p.Next = StageStopPost, 0
			c.phase(i, timeoutOf(unit.SocketTimeoutSec.Of(r.act)))
			c.enter(i, Stopping, SubStopPost, Cause{})
			c.sockNext(i)
			return
		}
	}
	c.disarm(i, dlState)
	result, stoppedBy := p.Result, r.cause
	if p.Ran {
		c.emit(RemoveCgroup{Unit: name, Incarnation: p.Inc})
	}
	r.proc = nil
	if result.Kind != NoCause {
		c.enter(i, Failed, SubFailed, result)
		return
	}
	c.enter(i, Inactive, SubDead, stoppedBy)
}
