package core

import (
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

// Mounts and swaps: a helper asks the kernel, and the kernel's table is the
// truth. Both machines have the same shape under different names.
var mountMachine = table(machine{name: "mount", upSub: SubMounted, limited: true, conditional: true, family: familyMount}, []on{
	{InStart, ActBegin, []Sub{SubDead, SubFailed}},
	{InStop, ActAbort, []Sub{SubMounting}},
	{InStop, ActStop, []Sub{SubMountingDone, SubMounted, SubRemounting, SubRemountingSigterm, SubRemountingSigkill}},
	{InReload, ActReload, []Sub{SubMounted}},
	{InSpawnFailed, ActControlEnd, mountBusy},
	{InControlExit, ActControlEnd, mountBusy},
	{InEmpty, ActEmpty, mountBusy},
	{InKernelUp, ActUp, append([]Sub{SubDead, SubFailed}, mountBusy...)},
	{InKernelDown, ActDown, append([]Sub{SubMounted}, mountBusy...)},
	{InTimeout, ActStartTimeout, []Sub{SubMounting, SubMountingDone, SubRemounting}},
	{InTimeout, ActStopTimeout, []Sub{SubUnmounting, SubUnmountingSigterm, SubRemountingSigterm}},
	{InTimeout, ActKillTimeout, []Sub{SubUnmountingSigkill, SubRemountingSigkill}},
})

var mountBusy = []Sub{SubMounting, SubMountingDone, SubRemounting, SubUnmounting, SubRemountingSigterm,
	SubRemountingSigkill, SubUnmountingSigterm, SubUnmountingSigkill}

var swapMachine = table(machine{name: "swap", upSub: SubActive, limited: true, conditional: true, family: familyMount}, []on{
	{InStart, ActBegin, []Sub{SubDead, SubFailed}},
	{InStop, ActAbort, []Sub{SubActivating}},
	{InStop, ActStop, []Sub{SubActivatingDone, SubActive}},
	{InSpawnFailed, ActControlEnd, swapBusy},
	{InControlExit, ActControlEnd, swapBusy},
	{InEmpty, ActEmpty, swapBusy},
	{InKernelUp, ActUp, append([]Sub{SubDead, SubFailed}, swapBusy...)},
	{InKernelDown, ActDown, append([]Sub{SubActive}, swapBusy...)},
	{InTimeout, ActStartTimeout, []Sub{SubActivating, SubActivatingDone}},
	{InTimeout, ActStopTimeout, []Sub{SubDeactivating, SubDeactivatingSigterm}},
	{InTimeout, ActKillTimeout, []Sub{SubDeactivatingSigkill}},
})

var swapBusy = []Sub{SubActivating, SubActivatingDone, SubDeactivating, SubDeactivatingSigterm, SubDeactivatingSigkill}

// mountSubs are the names that the common acts use for one of the two.
type mountSubs struct {
	asking, asked, up, leaving, term, kill Sub
	in, out                                Stage
}

var (
	subsOfMount = mountSubs{SubMounting, SubMountingDone, SubMounted, SubUnmounting, SubUnmountingSigterm, SubUnmountingSigkill, StageMount, StageUnmount}
	subsOfSwap  = mountSubs{SubActivating, SubActivatingDone, SubActive, SubDeactivating, SubDeactivatingSigterm, SubDeactivatingSigkill, StageSwapOn, StageSwapOff}
)

func (c *Core) mountNames(i graph.Index) *mountSubs {
	if c.machineOf(i) == &swapMachine {
		return &subsOfSwap
	}
	return &subsOfMount
}

func (c *Core) mountTimeout(i graph.Index) time.Duration {
	u := c.def(i)
	if u == nil {
		return unit.Forever
	}
	if c.machineOf(i) == &swapMachine {
		return timeoutOf(unit.SwapTimeoutSec.Of(u))
	}
	return timeoutOf(unit.MountTimeoutSec.Of(u))
}

func (c *Core) mountAct(i graph.Index, a Act, m msg) {
	r := c.rec(i)
	n := c.mountNames(i)
	switch a {
	case ActBegin:
		if r.kernel {
			c.enter(i, Active, n.up, Cause{Kind: AppearedInKernel})
			return
		}
		r.act = c.g.Unit(i)
		c.mountRun(i, Starting, n.asking, n.in, m.cause)
	case ActStop:
		if r.state == Reloading {
			c.mountSignal(i, SubRemountingSigkill)
			return
		}
		c.mountStop(i, m.cause)
	case ActAbort:
		r.cause = m.cause
		c.mountSignal(i, n.term)
	case ActReload:
		c.mountRun(i, Reloading, SubRemounting, StageRemount, m.cause)
		r.proc.ReloadFail = false
	case ActControlEnd:
		c.mountEnd(i, m)
	case ActEmpty:
		r.proc.Populated = false
		c.mountSettled(i)
	case ActUp:
		c.mountAppeared(i)
	case ActDown:
		c.mountVanished(i)
	case ActStartTimeout:
		c.note(i, Cause{Kind: StartTimeout})
		if r.sub == SubRemounting {
			c.mountSignal(i, SubRemountingSigterm)
			return
		}
		if r.proc.Control == 0 { // the helper succeeded, but nothing appeared
			c.mountRest(i)
			return
		}
		c.mountSignal(i, n.term)
	case ActStopTimeout:
		c.note(i, Cause{Kind: StopTimeout})
		switch r.sub {
		case n.leaving:
			c.mountSignal(i, n.term)
		case SubRemountingSigterm:
			c.mountSignal(i, SubRemountingSigkill)
		default:
			c.mountSignal(i, n.kill)
		}
	case ActKillTimeout:
		c.note(i, Cause{Kind: Unkillable})
		c.enter(i, Abandoned, r.sub, Cause{Kind: Unkillable})
	}
}

func (c *Core) mountStop(i graph.Index, cause Cause) {
	r := c.rec(i)
	n := c.mountNames(i)
	if !r.kernel && r.proc == nil {
		c.enter(i, Inactive, SubDead, cause)
		return
	}
	if r.act == nil {
		r.act = c.g.Unit(i)
	}
	c.mountRun(i, Stopping, n.leaving, n.out, cause)
}

// mountRun spawns the helper for one change of the kernel's table.
func (c *Core) mountRun(i graph.Index, st State, sub Sub, s Stage, cause Cause) {
	r := c.rec(i)
	if r.act == nil {
		r.act = c.g.Unit(i)
	}
	if p := r.proc; p != nil && p.Ran { // of the helper before
		c.emit(RemoveCgroup{Unit: c.g.Name(i), Incarnation: p.Inc})
	}
	r.proc = &proc{Stage: s}
	c.phase(i, c.mountTimeout(i))
	r.proc.Control = c.spawn(i, RoleControl, s, unit.Exec{})
	c.enter(i, st, sub, cause)
}

func (c *Core) mountEnd(i graph.Index, m msg) {
	r := c.rec(i)
	p := r.proc
	n := c.mountNames(i)
	if p == nil || m.run != p.Control {
		return
	}
	p.Control = 0
	if ok := m.cause.Kind == MainExited && m.cause.Code == 0; !ok {
		fail := m.cause
		if fail.Kind != SpawnFailure {
			fail.Kind, fail.Detail = CommandFailed, p.Stage.String()
		}
		switch {
		case r.sub == n.leaving && p.Next > 0 && !r.kernel:
			// A further try came too late: nothing was left to unmount.
		case r.sub == n.asking, r.sub == n.leaving:
			c.note(i, fail)
		case r.sub == SubRemounting:
			p.ReloadFail = true
			c.emit(Log{Level: LevelWarning, Unit: c.g.Name(i), Cause: fail, Note: "remount failed"})
		}
	}
	switch r.sub {
	case n.asking:
		if r.kernel || p.Result.Kind != NoCause {
			c.mountRest(i)
			return
		}
		c.enter(i, Starting, n.asked, Cause{})
	case SubRemounting, n.leaving:
		if r.sub == n.leaving && p.Result.Kind == NoCause && r.kernel {
			// The table is re-read by the world: its word comes next.
			c.phase(i, c.mountTimeout(i))
			c.enter(i, Stopping, n.term, Cause{})
			return
		}
		c.mountRest(i)
	default:
		c.mountSettled(i)
	}
}

// mountSettled goes on once a signalled helper is gone.
func (c *Core) mountSettled(i graph.Index) {
	r := c.rec(i)
	n := c.mountNames(i)
	switch r.sub {
	case n.term, n.kill, SubRemountingSigterm, SubRemountingSigkill:
		if r.proc.Control == 0 && (!r.kernel || r.proc.Result.Kind != NoCause || r.proc.Stage != n.out) {
			c.mountRest(i)
		}
	}
}

func (c *Core) mountSignal(i graph.Index, sub Sub) {
	r := c.rec(i)
	p := r.proc
	if p.Control == 0 {
		c.mountRest(i)
		return
	}
	if sub == SubUnmountingSigkill || sub == SubDeactivatingSigkill || sub == SubRemountingSigkill {
		c.sendKill(i, unit.KillMode.Of(r.act))
		c.phase(i, c.cfg.PostKill)
	} else {
		c.sendSignal(i, unit.KillMode.Of(r.act), int32(unit.KillSignal.Of(r.act)), false)
		c.phase(i, c.mountTimeout(i))
	}
	st := Stopping
	if sub == SubRemountingSigterm || sub == SubRemountingSigkill {
		st = Reloading
	}
	c.enter(i, st, sub, p.Result)
}

// mountRest lets the kernel's table decide what the unit now is.
func (c *Core) mountRest(i graph.Index) {
	r := c.rec(i)
	n := c.mountNames(i)
	p := r.proc
	c.disarm(i, dlState)
	result, why := p.Result, r.cause
	failed := p.ReloadFail
	if p.Ran {
		c.emit(RemoveCgroup{Unit: c.g.Name(i), Incarnation: p.Inc})
	}
	r.proc = nil
	switch {
	case r.kernel:
		if j := r.job; j != nil && j.Running && (j.Type == graph.Reload && (failed || result.Kind != NoCause)) {
			j.Decided, j.Result = true, JobFailed
		}
		c.enter(i, Active, n.up, result)
	case result.Kind != NoCause:
		c.enter(i, Failed, SubFailed, result)
	default:
		c.enter(i, Inactive, SubDead, why)
	}
}

func (c *Core) mountAppeared(i graph.Index) {
	r := c.rec(i)
	n := c.mountNames(i)
	switch r.sub {
	case SubDead, SubFailed:
		if u := c.g.Unit(i); u != nil {
			r.act = u
		}
		c.enter(i, Active, n.up, Cause{Kind: AppearedInKernel})
	case n.asked:
		c.mountRest(i)
	case n.term, n.kill:
		p := r.proc
		if p.Control != 0 || p.Stage != n.out || p.Result.Kind != NoCause {
			return
		}
		// The helper was content and something is still there: file systems
		// can lie on top of each other.
		switch {
		case c.tooLate(): // PID 1 unmounts what is left
			c.note(i, Cause{Kind: StopTimeout})
			c.mountRest(i)
			return
		case p.Next >= maxUnmounts:
			c.note(i, Cause{Kind: CommandFailed, Detail: n.out.String()})
			c.mountRest(i)
			return
		}
		again := p.Next + 1
		c.mountRun(i, Stopping, n.leaving, n.out, Cause{})
		r.proc.Next = again
	}
}

// maxUnmounts bounds how many file systems are unmounted from one place.
const maxUnmounts = 32

func (c *Core) mountVanished(i graph.Index) {
	r := c.rec(i)
	n := c.mountNames(i)
	switch r.sub {
	case n.up:
		r.proc = nil
		c.enter(i, Inactive, SubDead, Cause{Kind: LostByKernel})
	case n.term, n.kill, n.leaving:
		if r.proc.Control == 0 {
			c.mountRest(i)
		}
	case n.asked:
		c.note(i, Cause{Kind: LostByKernel})
		c.mountRest(i)
	}
}

// scopeMachine: processes made by somebody else, put under our care.
var scopeMachine = table(machine{name: "scope", upSub: SubRunning, family: familyScope}, []on{
	{InStart, ActBegin, []Sub{SubDead, SubFailed}},
	{InAdopted, ActAdopted, []Sub{SubStartChown}},
	{InStop, ActStop, []Sub{SubStartChown, SubRunning, SubAbandoned}},
	{InEmpty, ActEmpty, []Sub{SubStartChown, SubRunning, SubAbandoned, SubStopSigterm, SubStopSigkill}},
	{InTimeout, ActStartTimeout, []Sub{SubStartChown}},
	{InTimeout, ActStopTimeout, []Sub{SubStopSigterm}},
	{InTimeout, ActKillTimeout, []Sub{SubStopSigkill}},
	{InRuntimeMax, ActRuntimeMax, []Sub{SubRunning, SubAbandoned}},
	{InOOM, ActOOM, []Sub{SubRunning, SubAbandoned}},
})

// scopeStartLimit bounds moving the processes of a scope into its cgroup.
const scopeStartLimit = 90e9

func (c *Core) scopeAct(i graph.Index, a Act, m msg) {
	r := c.rec(i)
	p := r.proc
	switch a {
	case ActBegin:
		if u := c.g.Unit(i); u.Perpetual {
			c.enter(i, Active, SubRunning, m.cause)
			return
		}
		r.act = c.g.Unit(i)
		p = &proc{Ran: true, Populated: true}
		r.proc = p
		p.Adopt = c.newRun(i, runAdopt, RoleMain, StageStart)
		p.Inc = p.Adopt
		c.phase(i, scopeStartLimit)
		c.enter(i, Starting, SubStartChown, m.cause)
		c.emit(Adopt{Run: p.Adopt, Unit: c.g.Name(i), Incarnation: p.Inc, Def: r.act})
	case ActAdopted:
		if m.run != p.Adopt {
			return
		}
		p.Adopt = 0
		delete(c.runs, m.run)
		c.disarm(i, dlState)
		if !m.ok || !p.Populated {
			c.note(i, Cause{Kind: ProtocolError, Detail: "no process to put into the scope"})
			c.scopeSignal(i, SubStopSigkill)
			return
		}
		c.enter(i, Active, SubRunning, Cause{})
		c.armIn(i, dlRuntime, c.runtimeLimit(i))
	case ActStop:
		c.dropAdopt(p)
		r.cause = m.cause
		c.scopeSignal(i, SubStopSigterm)
	case ActRuntimeMax:
		c.note(i, Cause{Kind: RuntimeMax})
		c.scopeSignal(i, SubStopSigterm)
	case ActOOM:
		if unit.OOMPolicy.Of(r.act) != "continue" {
			c.note(i, Cause{Kind: OutOfMemory})
			c.scopeSignal(i, SubStopSigkill)
		}
	case ActStartTimeout:
		c.note(i, Cause{Kind: StartTimeout})
		c.dropAdopt(p)
		c.scopeSignal(i, SubStopSigterm)
	case ActStopTimeout:
		c.note(i, Cause{Kind: StopTimeout})
		c.scopeSignal(i, SubStopSigkill)
	case ActKillTimeout:
		c.note(i, Cause{Kind: Unkillable})
		c.enter(i, Abandoned, r.sub, Cause{Kind: Unkillable})
	case ActEmpty:
		p.Populated = false
		if r.sub != SubStartChown {
			c.scopeRest(i)
		}
	}
}

func (c *Core) scopeSignal(i graph.Index, sub Sub) {
	r := c.rec(i)
	p := r.proc
	c.disarm(i, dlRuntime)
	if !p.Populated {
		c.scopeRest(i)
		return
	}
	if r.frozen {
		r.frozen = false
		c.emit(Thaw{Unit: c.g.Name(i)})
	}
	if sub == SubStopSigkill {
		c.emit(KillCgroup{Unit: c.g.Name(i), Incarnation: p.Inc})
		c.phase(i, c.cfg.PostKill)
	} else {
		c.sendSignal(i, "control-group", int32(unit.KillSignal.Of(r.act)), unit.SendSIGHUP.Of(r.act))
		c.phase(i, c.stopTimeout(r.act))
	}
	c.enter(i, Stopping, sub, p.Result)
}

// abandon marks a scope that runs: whoever made it has gone.
func (c *Core) abandon(i graph.Index, refuse func(kind, text string), e *Request) {
	r := c.rec(i)
	switch {
	case c.machineOf(i) != &scopeMachine || c.g.Unit(i).Perpetual:
		refuse("JobTypeNotApplicable", e.Unit+" is no scope of processes that others have started")
		return
	case r.sub != SubRunning && r.sub != SubAbandoned:
		refuse("UnitInactive", e.Unit+" is not running")
		return
	case r.sub == SubRunning:
		c.enter(i, Active, SubAbandoned, r.cause)
	}
	c.emit(Reply{ID: e.ID})
}

func (c *Core) scopeRest(i graph.Index) {
	r := c.rec(i)
	p := r.proc
	c.disarm(i, dlState)
	c.disarm(i, dlRuntime)
	c.dropAdopt(p)
	c.emit(RemoveCgroup{Unit: c.g.Name(i), Incarnation: p.Inc})
	result, why := p.Result, r.cause
	r.proc = nil
	if result.Kind != NoCause {
		c.enter(i, Failed, SubFailed, result)
		return
	}
	if r.state != Stopping {
		why = Cause{Kind: CleanExit}
	}
	c.enter(i, Inactive, SubDead, why)
}
