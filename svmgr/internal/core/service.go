package core

import (
	"slices"
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// serviceAct carries out one act of the service machine.
func (c *Core) serviceAct(i graph.Index, a Act, m msg) {
	switch a {
	case ActBegin:
		c.svcBegin(i, m)
	case ActStop:
		c.svcStop(i, m.cause)
	case ActAbort:
		c.svcAbort(i, m.cause)
	case ActReload:
		c.svcReload(i)
	case ActSpawned:
		c.svcSpawned(i, m.run)
	case ActSpawnFailed:
		c.svcSpawnFailed(i, m)
	case ActMainEnd:
		c.svcMainEnd(i, m)
	case ActControlEnd:
		c.svcControlEnd(i, m)
	case ActEmpty:
		c.rec(i).proc.Populated = false
		c.svcSomethingEnded(i)
	case ActReady:
		c.svcReady(i)
	case ActReloading:
		c.svcReloading(i, m.n)
	case ActStopping:
		c.rec(i).proc.StopSeen = true
	case ActPing:
		c.svcPing(i)
	case ActAdopted:
		c.svcAdopted(i, m)
	case ActStartTimeout:
		c.svcStartTimeout(i)
	case ActReloadTimeout:
		c.svcReloadTimeout(i)
	case ActStopTimeout:
		c.svcStopTimeout(i)
	case ActKillTimeout:
		c.svcKillTimeout(i)
	case ActReadyTimer:
		c.svcReadyTimer(i)
	case ActWatchdog:
		if c.watchdogsOff {
			c.emit(Log{Level: LevelWarning, Unit: c.g.Name(i), Cause: Cause{Kind: WatchdogTimeout}, Note: "it missed its watchdog; watchdogs are switched off"})
			return
		}
		c.svcFail(i, Cause{Kind: WatchdogTimeout}, SubStopWatchdog)
	case ActRuntimeMax:
		c.svcFail(i, Cause{Kind: RuntimeMax}, SubStopSigterm)
	case ActHealthTimer:
		c.healthDue(i)
	case ActHealthResult:
		c.healthKnown(i, m)
	case ActStable:
		c.rec(i).stable = true
		c.emit(Publish{What: StatusChanged, Unit: c.g.Name(i)})
	case ActOOM:
		c.svcOOM(i)
	case ActNameUp:
		c.svcReady(i)
	case ActNameLost:
		if c.readiness(i) == "dbus" {
			c.svcStop(i, Cause{Kind: ProtocolError, Detail: "bus name lost"})
		}
	}
}

// svcBegin starts an activation: one start timeout covers everything up to
// readiness (statement 8), and the first command makes the cgroup.
func (c *Core) svcBegin(i graph.Index, m msg) {
	r := c.rec(i)
	u := c.g.Unit(i)
	r.act = u
	r.proc = &proc{Trigger: m.trigger, FDs: slices.Clone(r.storedFDs())}
	c.cancelBudgetReset(i)
	limit := c.startTimeout(u)
	r.proc.PhaseStart, r.proc.PhaseLimit = c.now.Mono, limit
	c.armIn(i, dlState, limit)
	c.stage(i, StageCondition, m.cause)
}

// startTimeout: oneshots may take for ever unless told otherwise
// (systemd.service(5), TimeoutStartSec=), because a file system check does.
func (c *Core) startTimeout(u *unit.Unit) time.Duration {
	if unit.ServiceType.Of(u) == "oneshot" && !unit.TimeoutStartSec.IsSet(u) {
		return unit.Forever
	}
	return timeoutOf(unit.TimeoutStartSec.Of(u))
}

var stageSubs = [...]Sub{StageCondition: SubCondition, StageStartPre: SubStartPre, StageStart: SubStart,
	StageStartPost: SubStartPost, StageReload: SubReload, StageStop: SubStop, StageStopPost: SubStopPost,
	StageLastChance: SubStopPost}

// stopping says that a stage is run while the unit goes down.
func stopping(s Stage) bool { return s == StageStop || s == StageStopPost || s == StageLastChance }

// commands are the command lines of a stage.
func commands(u *unit.Unit, s Stage) []unit.Exec {
	switch s {
	case StageCondition:
		return unit.ExecCondition.Of(u)
	case StageStartPre:
		return unit.ExecStartPre.Of(u)
	case StageStart:
		return unit.ExecStart.Of(u)
	case StageStartPost:
		return unit.ExecStartPost.Of(u)
	case StageReload:
		return unit.ExecReload.Of(u)
	case StageStop:
		return unit.ExecStop.Of(u)
	case StageStopPost:
		return unit.ExecStopPost.Of(u)
	case StageLastChance:
		return unit.LastChanceExec.Of(u)
	}
	return nil
}

// stage goes to the next stage that has commands, starting with s.
func (c *Core) stage(i graph.Index, s Stage, cause Cause) {
	r := c.rec(i)
	p := r.proc
	for s < StageStart && len(commands(r.act, s)) == 0 {
		s++
	}
	p.Stage, p.Next = s, 0
	switch s {
	case StageStart:
		c.enter(i, Starting, SubStart, cause)
		c.svcMain(i)
	case StageStop, StageStopPost, StageLastChance:
		c.enter(i, Stopping, stageSubs[s], cause)
		c.nextCommand(i)
	case StageReload:
		c.enter(i, Reloading, SubReload, cause)
		c.nextCommand(i)
	default:
		c.enter(i, Starting, stageSubs[s], cause)
		c.nextCommand(i)
	}
}

// nextCommand runs the stage's next control command, or ends the stage.
func (c *Core) nextCommand(i graph.Index) {
	p := c.rec(i).proc
	cmds := commands(c.rec(i).act, p.Stage)
	if c.shutdown != nil && p.Stage <= StageStartPost {
		c.svcAbort(i, Cause{Kind: ByShutdown}) // nothing is started any more
		return
	}
	if p.Next >= len(cmds) {
		c.stageDone(i)
		return
	}
	if stopping(p.Stage) {
		// systemd.service(5), TimeoutStopSec=: for each command.
		c.phase(i, c.stopTimeout(c.rec(i).act))
	}
	p.Control = c.spawn(i, RoleControl, p.Stage, cmds[p.Next])
}

// spawn emits one Spawn. The cgroup counts as populated until the world says
// that it is empty.
func (c *Core) spawn(i graph.Index, role Role, s Stage, x unit.Exec) RunID {
	r := c.rec(i)
	p := r.proc
	id := c.newRun(i, runProcess, role, s)
	if !p.Ran {
		p.Inc = id
	}
	p.Ran, p.Populated = true, true
	c.emitSpawn(i, id, role, s, x)
	return id
}

// emitSpawn asks for the process of a run. The first one of an incarnation has the
// incarnation's own number.
func (c *Core) emitSpawn(i graph.Index, id RunID, role Role, s Stage, x unit.Exec) {
	r := c.rec(i)
	p := r.proc
	fresh := p.Inc == id
	sp := Spawn{Run: id, Unit: r.act, Incarnation: p.Inc, Role: role, Stage: s, Exec: x, Fresh: fresh,
		PassFDs: role == RoleMain || r.act.Type == unitname.Socket && s != StageStartPre && unit.PassFileDescriptorsToExec.Of(r.act), Trigger: p.Trigger}
	if stopping(s) {
		sp.Result, sp.ExitCode, sp.ExitStatus = resultWords(p)
	}
	c.emit(sp)
}

// beginAgain asks anew for the process of a run that never got one. False means that
// it is of no use any more, and counts as ended.
func (c *Core) beginAgain(id RunID, x run) bool {
	r := c.rec(x.Unit)
	p := r.proc
	if p == nil || r.act == nil || c.shutdown != nil {
		return false
	}
	m := c.machineOf(x.Unit)
	switch {
	case p.Control == id && m.family == familyMount:
		c.emitSpawn(x.Unit, id, x.Role, x.Stage, unit.Exec{})
		return true
	case m != &serviceMachine:
		return false
	case p.Main == id && r.state == Starting && p.Next < len(commands(r.act, StageStart)):
		c.emitSpawn(x.Unit, id, x.Role, x.Stage, commands(r.act, StageStart)[p.Next])
		return true
	case p.Control == id && x.Stage == p.Stage && p.Next < len(commands(r.act, p.Stage)) &&
		(r.state != Stopping || stopping(p.Stage)):
		c.emitSpawn(x.Unit, id, x.Role, x.Stage, commands(r.act, p.Stage)[p.Next])
		return true
	}
	return false
}

// resultWords are $SERVICE_RESULT, $EXIT_CODE and $EXIT_STATUS (systemd.exec(5)).
func resultWords(p *proc) (result, code, status string) {
	result = resultWord(p.Result)
	if !p.MainEnded {
		return result, "", ""
	}
	switch p.MainCause.Kind {
	case MainKilled:
		return result, "killed", signalName(p.MainCause.Signal)[3:]
	case MainDumped:
		return result, "dumped", signalName(p.MainCause.Signal)[3:]
	}
	if p.MainCause.Signal != 0 {
		return result, "killed", signalName(p.MainCause.Signal)[3:]
	}
	return result, "exited", itoa(p.MainCause.Code)
}

// readiness is how the service tells that it is up: none, notify, dbus, forking,
// oneshot, or one of the native kinds.
func (c *Core) readiness(i graph.Index) string { return readinessOf(c.def(i)) }

func readinessOf(u *unit.Unit) string {
	t := unit.ServiceType.Of(u)
	if t == "oneshot" {
		return t
	}
	if k := unit.ReadinessType.Of(u); k != "" && k != "none" {
		return k
	}
	switch t {
	case "notify", "notify-reload":
		return "notify"
	case "dbus", "forking":
		return t
	}
	return "none"
}

// oneshotGate: the commands of a oneshot are done; if it has a readiness kind as
// well, that must hold too before dependents go on.
func (c *Core) oneshotGate(i graph.Index) {
	r := c.rec(i)
	switch k := unit.ReadinessType.Of(r.act); k {
	case "tcp-port", "http", "path", "pidfile":
		c.probeReady(i)
	case "exec":
		c.checkExec(i)
	case "stable":
		c.armIn(i, dlReady, unit.StableAfter.Of(r.act))
	case "notify", "fd", "s6", "dbus":
		if !r.proc.ReadySeen {
			c.svcFail(i, Cause{Kind: ProtocolError, Detail: k}, SubStopSigterm)
			return
		}
		c.svcReady(i)
	default:
		c.svcReady(i)
	}
}

// probeReady asks the world to watch for readiness from outside.
func (c *Core) probeReady(i graph.Index) {
	r := c.rec(i)
	r.proc.Probe = c.newRun(i, runProbe, RoleMain, StageReady)
	c.emit(Probe{Run: r.proc.Probe, Unit: r.act, What: ProbeReady})
}

// svcMain starts the main process (or the first command of a oneshot).
func (c *Core) svcMain(i graph.Index) {
	r := c.rec(i)
	p := r.proc
	cmds := commands(r.act, StageStart)
	if p.Next >= len(cmds) { // a oneshot may have no ExecStart= at all
		c.oneshotGate(i)
		return
	}
	switch c.readiness(i) {
	case "forking":
		c.nextCommand(i)
		return
	case "dbus":
		c.emit(Watch{Unit: r.act, What: WatchBusName})
		if n := unit.BusName.Of(r.act); n != "" {
			if c.busNames == nil {
				c.busNames = make(map[string]graph.Index)
			}
			c.busNames[n] = i
		}
	}
	if unit.ServiceType.Of(r.act) == "idle" && p.Next == 0 && c.othersRun(i) {
		// systemd.service(5): idle waits for the job queue, at most 5 s.
		c.idle = append(c.idle, i)
		c.armIn(i, dlReady, 5*time.Second)
		return
	}
	c.spawnMain(i)
}

func (c *Core) spawnMain(i graph.Index) {
	r := c.rec(i)
	p := r.proc
	cmds := commands(r.act, StageStart)
	if c.shutdown != nil {
		c.svcAbort(i, Cause{Kind: ByShutdown})
		return
	}
	if p.Next >= len(cmds) { // its file went away while the manager did
		c.svcFail(i, Cause{Kind: NotLoadable, Detail: "it has no command any more"}, SubStopSigterm)
		return
	}
	p.Executed, p.MainEnded = false, false
	p.Main = c.spawn(i, RoleMain, StageStart, cmds[p.Next])
	switch unit.ReadinessType.Of(r.act) {
	case "fd", "s6":
		p.Probe = c.newRun(i, runProbe, RoleMain, StageReady)
		c.emit(Probe{Run: p.Probe, Unit: r.act, What: ProbeReadyFD})
	}
}

func (c *Core) othersRun(i graph.Index) bool {
	own := 0
	if c.rec(i).job != nil {
		own = 1
	}
	return len(c.jobs) > own
}

// releaseIdle starts the idle services whose wait is over.
func (c *Core) releaseIdle() {
	if len(c.idle) == 0 {
		return
	}
	waiting := c.idle[:0]
	idleJobs := 0
	for _, i := range c.idle {
		if j := c.rec(i).job; j != nil && j.Running {
			idleJobs++
		}
	}
	for _, i := range c.idle {
		r := c.rec(i)
		if r.sub != SubStart || r.proc == nil || r.proc.Main != 0 {
			continue
		}
		if c.running <= idleJobs {
			c.disarm(i, dlReady)
			c.spawnMain(i)
			continue
		}
		waiting = append(waiting, i)
	}
	c.idle = waiting
}

// svcReadyTimer: the 5 s of an idle service, the next try of check-exec, or the
// end of the time that readiness "stable" asks for.
func (c *Core) svcReadyTimer(i graph.Index) {
	r := c.rec(i)
	switch {
	case slices.Contains(c.idle, i):
		c.idle = slices.DeleteFunc(c.idle, func(k graph.Index) bool { return k == i })
		c.spawnMain(i)
	case unit.ReadinessType.Of(r.act) == "stable":
		c.svcReady(i)
	case unit.ReadinessType.Of(r.act) == "exec":
		c.checkExec(i)
	}
}

// svcSpawned: the process has passed its exec.
func (c *Core) svcSpawned(i graph.Index, id RunID) {
	r := c.rec(i)
	p := r.proc
	if id != p.Main || p.Executed {
		return
	}
	p.Executed = true
	if r.sub != SubStart {
		return
	}
	switch c.readiness(i) {
	case "none":
		c.svcReady(i)
	case "tcp-port", "http", "path", "pidfile":
		c.probeReady(i)
	case "exec":
		c.checkExec(i)
	case "stable":
		c.armIn(i, dlReady, unit.StableAfter.Of(r.act))
	}
}

// checkExec runs readiness.check-exec once; a failure is tried again in 1 s.
func (c *Core) checkExec(i graph.Index) {
	r := c.rec(i)
	if r.proc.Health != 0 || c.shutdown != nil {
		return
	}
	cmds := unit.ReadinessExec.Of(r.act)
	if len(cmds) == 0 {
		return
	}
	r.proc.Health = c.spawn(i, RoleHealth, StageReady, cmds[0])
}

// svcReady: the start proper is over; what remains is ExecStartPost=.
func (c *Core) svcReady(i graph.Index) {
	r := c.rec(i)
	p := r.proc
	if r.sub == SubReloadSignal || r.sub == SubReloadNotify {
		if p.ReloadSeen {
			c.svcReloadDone(i, false)
		}
		return
	}
	if r.sub != SubStart || p.Ready {
		return
	}
	if c.readiness(i) == "oneshot" && p.Next < len(commands(r.act, StageStart)) {
		p.ReadySeen = true // counts once the commands are done
		return
	}
	p.Ready = true
	c.disarm(i, dlReady)
	c.dropProbe(p)
	c.dropHealth(i, p)
	if len(commands(r.act, StageStartPost)) > 0 {
		c.stage(i, StageStartPost, Cause{})
		return
	}
	c.svcUp(i)
}

// dropProbe forgets a readiness question that needs no answer any more.
func (c *Core) dropProbe(p *proc) {
	if p.Probe != 0 {
		c.emit(CancelProbe{Run: p.Probe})
		delete(c.runs, p.Probe)
		p.Probe = 0
	}
}

// dropAdopt gives up the search for a main process.
func (c *Core) dropAdopt(p *proc) {
	if p.Adopt != 0 {
		c.emit(CancelProbe{Run: p.Adopt})
		delete(c.runs, p.Adopt)
		p.Adopt, p.AdoptPID = 0, 0
	}
}

// stageDone goes on when the last command of a stage has succeeded.
func (c *Core) stageDone(i graph.Index) {
	p := c.rec(i).proc
	switch p.Stage {
	case StageCondition, StageStartPre:
		c.stage(i, p.Stage+1, Cause{})
	case StageStartPost:
		c.svcUp(i)
	case StageReload:
		c.svcReloadDone(i, false)
	case StageStop:
		c.svcSignal(i, SubStopSigterm)
	case StageStopPost:
		c.svcSignal(i, SubFinalSigterm)
	case StageLastChance:
		p.LastChance = chanceGranted
		c.svcSignal(i, SubFinalSigterm)
	}
}

// svcUp: the service runs, has done its work, or is already gone again.
func (c *Core) svcUp(i graph.Index) {
	r := c.rec(i)
	p := r.proc
	p.Up = true
	c.disarm(i, dlState)
	if unit.ServiceType.Of(r.act) == "oneshot" || p.MainEnded && p.Main == 0 {
		c.svcMainGone(i)
		return
	}
	c.enter(i, Active, SubRunning, Cause{})
	if r.state != Active || r.proc != p {
		return
	}
	c.armWatchdog(i)
	c.armIn(i, dlRuntime, c.runtimeLimit(i))
	c.armHealth(i, true)
	if s := unit.StableAfter.Of(r.act); s > 0 {
		c.armIn(i, dlStable, s)
	}
	c.armBudgetReset(i)
	if p.Main == 0 && !p.Populated {
		c.svcMainGone(i)
	}
}

func (c *Core) runtimeLimit(i graph.Index) time.Duration {
	d := timeoutOf(unit.RuntimeMaxSec.Of(c.rec(i).act))
	if x := unit.RuntimeRandomizedExtraSec.Of(c.rec(i).act); d != unit.Forever && x > 0 {
		d += c.random(x)
	}
	return d
}

// svcMainGone: the main process ended while the service was up.
func (c *Core) svcMainGone(i graph.Index) {
	r := c.rec(i)
	p := r.proc
	c.svcQuiet(i)
	if p.Result.Kind == NoCause && unit.RemainAfterExit.Of(r.act) {
		c.enter(i, Completed, SubExited, Cause{Kind: CleanExit})
		return
	}
	if p.Result.Kind == NoCause && unit.ExitType.Of(r.act) == "cgroup" && p.Populated {
		c.enter(i, Active, SubRunning, Cause{})
		return
	}
	cause := p.Result
	if cause.Kind == NoCause {
		cause = Cause{Kind: CleanExit}
	}
	c.svcStop(i, cause)
}

// svcQuiet disarms everything that watches a running service.
func (c *Core) svcQuiet(i graph.Index) {
	for _, k := range [...]deadlineKind{dlWatchdog, dlRuntime, dlHealth, dlStable, dlReady} {
		c.disarm(i, k)
	}
	p := c.rec(i).proc
	c.dropProbe(p)
	c.dropAdopt(p)
	c.dropHealth(i, p)
}

// random is a number in [0, span) from the core's own generator (xorshift64*),
// so that a run can be replayed.
func (c *Core) random(span time.Duration) time.Duration {
	if span <= 0 {
		return 0
	}
	c.rng ^= c.rng >> 12
	c.rng ^= c.rng << 25
	c.rng ^= c.rng >> 27
	return time.Duration(c.rng * 2685821657736338717 >> 1 % uint64(span))
}
