package core

import (
	"strconv"
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

func itoa(n int32) string { return strconv.FormatInt(int64(n), 10) }

// exitCause turns an exit into a cause; success is NoCause.
func exitCause(u *unit.Unit, x Cause) Cause {
	ok := unit.SuccessExitStatus.Of(u)
	switch x.Kind {
	case MainExited:
		if x.Code == 0 || ok.HasCode(int(x.Code)) {
			return Cause{}
		}
	case MainKilled, MainDumped:
		// HUP, INT, TERM and PIPE are a clean end of a daemon
		// (systemd.service(5), SuccessExitStatus=); not of a oneshot.
		if ok.HasSignal(int(x.Signal)) {
			return Cause{}
		}
		if unit.ServiceType.Of(u) != "oneshot" {
			switch x.Signal {
			case sigHUP, sigINT, sigTERM, sigPIPE:
				return Cause{}
			}
		}
	}
	return x
}

// svcMainEnd: the main process (or one command of a oneshot) has ended.
func (c *Core) svcMainEnd(i graph.Index, m msg) {
	r := c.rec(i)
	p := r.proc
	if m.run != p.Main {
		return
	}
	p.Main, p.MainEnded, p.MainCause = 0, true, m.cause
	c.disarm(i, dlWatchdog)
	if p.Adopt != 0 && (r.up() || r.state == Starting) {
		return // MAINPID= named a successor that is being verified
	}
	c.mainIsGone(i)
}

// mainIsGone draws the conclusion from the end of the main process, once it is
// known that no successor takes its place.
func (c *Core) mainIsGone(i graph.Index) {
	r := c.rec(i)
	p := r.proc
	c.dropProbe(p)
	fail := exitCause(r.act, p.MainCause)
	oneshot := unit.ServiceType.Of(r.act) == "oneshot"
	if oneshot && p.Next < len(commands(r.act, StageStart)) && commands(r.act, StageStart)[p.Next].IgnoreFailure {
		fail = Cause{}
	} else if cmds := commands(r.act, StageStart); !oneshot && len(cmds) > 0 && cmds[0].IgnoreFailure {
		fail = Cause{}
	}
	if fail.Kind != NoCause && p.Result.Kind == NoCause && r.state != Stopping {
		p.Result = fail
	}
	switch r.sub {
	case SubStart:
		switch {
		case fail.Kind != NoCause:
			c.svcFail(i, fail, SubStopSigterm)
		case oneshot && c.shutdown != nil:
			c.svcAbort(i, Cause{Kind: ByShutdown})
		case oneshot:
			p.Next++
			c.svcMain(i)
		case c.readiness(i) == "none":
			// The exec report may still be on its way: an end proves it.
			c.svcReady(i)
		default:
			c.svcFail(i, Cause{Kind: ProtocolError, Code: p.MainCause.Code, Signal: p.MainCause.Signal}, SubStopSigterm)
		}
	case SubStartPost:
		if fail.Kind != NoCause {
			c.svcFail(i, fail, SubStopSigterm)
		}
	case SubRunning:
		c.svcMainGone(i)
	case SubReload, SubReloadSignal, SubReloadNotify:
		p.ReloadFail = true
		c.dropControl(i)
		c.svcMainGone(i)
	default:
		c.svcSomethingEnded(i)
	}
}

// dropControl gives up a control command that nobody waits for any more.
func (c *Core) dropControl(i graph.Index) {
	p := c.rec(i).proc
	if p.Control != 0 {
		c.emit(Signal{Unit: c.g.Name(i), Incarnation: p.Inc, Run: p.Control, Signal: sigKILL})
	}
}

// svcControlEnd: a hook, a forking start, a reload, stop or check command ended.
func (c *Core) svcControlEnd(i graph.Index, m msg) {
	r := c.rec(i)
	p := r.proc
	if m.run == p.Health && p.Health != 0 {
		p.Health = 0
		c.healthEnded(i, m)
		return
	}
	if m.run != p.Control {
		return
	}
	p.Control = 0
	x := m.cause
	ok := x.Kind == MainExited && x.Code == 0
	if stageSubs[p.Stage] != r.sub && !(p.Stage == StageReload && r.state == Reloading) {
		c.svcSomethingEnded(i)
		return
	}
	if p.Stage == StageCondition && x.Kind == MainExited && unit.SuccessExitStatus.Of(r.act).HasCode(int(x.Code)) {
		ok = true
	}
	if p.Stage == StageCondition && !ok && x.Kind == MainExited && x.Code > 0 && x.Code < 255 {
		// systemd.service(5), ExecCondition=: 1 to 254 skip, 255 fails.
		p.Skip = true
		c.svcSignal(i, SubStopSigterm)
		return
	}
	if !ok && !m.ok {
		cmds := commands(r.act, p.Stage)
		ok = p.Next < len(cmds) && cmds[p.Next].IgnoreFailure
	}
	if p.Stage == StageStart && ok { // forking
		p.Adopt, p.AdoptPID = c.newRun(i, runAdopt, RoleMain, StageStart), 0
		c.emit(Adopt{Run: p.Adopt, Unit: c.g.Name(i), Incarnation: p.Inc})
		return
	}
	if ok {
		p.Next++
		c.nextCommand(i)
		return
	}
	fail := Cause{Kind: CommandFailed, Code: x.Code, Signal: x.Signal, Detail: p.Stage.String(), Errno: x.Errno}
	if x.Kind == SpawnFailure {
		fail = x
	}
	switch p.Stage {
	case StageReload:
		c.emit(Log{Level: LevelWarning, Unit: c.g.Name(i), Cause: fail, Note: "reload failed"})
		c.svcReloadDone(i, true)
	case StageStop:
		// A failing stop command is a failure of the unit, and the rest of
		// the commands is not run; signals follow all the same.
		c.note(i, fail)
		c.svcSignal(i, SubStopSigterm)
	case StageStopPost:
		c.note(i, fail)
		c.svcSignal(i, SubFinalSigterm)
	case StageLastChance:
		p.LastChance = chanceRefused
		c.svcSignal(i, SubFinalSigterm)
	default:
		c.svcFail(i, fail, SubStopSigterm)
	}
}

// note keeps the first failure of an activation: it is the reason.
func (c *Core) note(i graph.Index, cause Cause) {
	if p := c.rec(i).proc; p.Result.Kind == NoCause {
		p.Result = cause
	}
}

// svcSpawnFailed: a process never executed its program.
func (c *Core) svcSpawnFailed(i graph.Index, m msg) {
	p := c.rec(i).proc
	switch m.run {
	case p.Main:
		p.Executed = true
		c.svcMainEnd(i, m)
	default:
		c.svcControlEnd(i, m)
	}
}

// svcAdopted: the world has found the main process of a forking service, or
// checked the one that MAINPID= named.
func (c *Core) svcAdopted(i graph.Index, m msg) {
	r := c.rec(i)
	p := r.proc
	if m.run != p.Adopt {
		return
	}
	p.Adopt, p.AdoptPID = 0, 0
	end := p.AdoptEnd
	p.AdoptEnd = nil
	if m.ok {
		old := p.Main
		p.Main, p.Executed, p.MainEnded = m.run, true, false
		c.runs[m.run] = run{Unit: i, What: runProcess, Role: RoleMain, Stage: StageStart}
		if old != 0 {
			delete(c.runs, old)
		}
		c.emit(Publish{What: StatusChanged, Unit: c.g.Name(i)})
	} else {
		delete(c.runs, m.run)
	}
	if r.sub == SubStart && c.readiness(i) == "forking" {
		switch {
		case m.ok || unit.PIDFile.Of(r.act) == "" && p.Populated:
			c.svcReady(i)
		default:
			c.svcFail(i, Cause{Kind: ProtocolError, Detail: "no main process"}, SubStopSigterm)
		}
	} else if !m.ok && p.Main == 0 && p.MainEnded && (r.up() || r.state == Starting) {
		c.mainIsGone(i)
	}
	if m.ok && end != nil {
		delete(c.runs, m.run)
		c.input(i, InMainExit, msg{run: m.run, cause: *end})
	}
}

// svcFail notes a failure and begins to end the processes. A service that was
// never up gets no stop commands (systemd.service(5), ExecStop=).
func (c *Core) svcFail(i graph.Index, cause Cause, sub Sub) {
	c.note(i, cause)
	c.svcQuiet(i)
	c.disarm(i, dlState)
	c.svcSignal(i, sub)
}

// svcAbort: a stop during the start; no stop commands, only signals.
func (c *Core) svcAbort(i graph.Index, cause Cause) {
	r := c.rec(i)
	c.svcQuiet(i)
	c.disarm(i, dlState)
	r.cause = cause
	c.svcSignal(i, SubStopSigterm)
}

// svcStop begins the ordered end of a service that was up.
func (c *Core) svcStop(i graph.Index, cause Cause) {
	r := c.rec(i)
	c.svcQuiet(i)
	c.disarm(i, dlState)
	if r.proc == nil { // completed earlier, restored without an activation
		c.enter(i, Inactive, SubDead, cause)
		return
	}
	if cause.Kind == ProtocolError {
		c.note(i, cause)
	}
	if c.tooLate() {
		r.cause = cause
		c.svcSignal(i, SubStopSigkill)
		return
	}
	if len(commands(r.act, StageStop)) > 0 {
		if r.proc.Control != 0 { // a reload under way is given up
			c.dropControl(i)
			r.proc.Control = 0
		}
		c.stage(i, StageStop, cause)
		return
	}
	r.cause = cause
	c.svcSignal(i, SubStopSigterm)
}

func (c *Core) stopTimeout(u *unit.Unit) time.Duration { return timeoutOf(unit.TimeoutStopSec.Of(u)) }

// phase arms the state deadline and remembers it for EXTEND_TIMEOUT_USEC.
func (c *Core) phase(i graph.Index, limit time.Duration) {
	p := c.rec(i).proc
	p.PhaseStart, p.PhaseLimit = c.now.Mono, limit
	c.armIn(i, dlState, limit)
}

// svcSignal sends the signal of a phase and waits for the processes to end, or
// goes on at once if there are none.
func (c *Core) svcSignal(i graph.Index, sub Sub) {
	r := c.rec(i)
	p := r.proc
	if !c.somethingLeft(i) {
		c.afterSignal(i, sub)
		return
	}
	sub = c.mixedKill(i, sub)
	p.Killed = false
	if r.frozen { // a frozen process can neither obey nor die
		r.frozen = false
		c.emit(Thaw{Unit: c.g.Name(i)})
	}
	mode := unit.KillMode.Of(r.act)
	if mode == "none" && sub != SubStopSigkill && sub != SubFinalSigkill {
		c.afterSignal(i, sub)
		return
	}
	cause := p.Result
	if cause.Kind == NoCause {
		cause = r.cause
	}
	switch sub {
	case SubStopSigkill, SubFinalSigkill:
		if sig := int32(unit.FinalKillSignal.Of(r.act)); sig != sigKILL && !c.tooLate() {
			// Whoever outlives that too is killed after another timeout.
			if mode != "process" && mode != "none" {
				mode = "control-group"
			}
			c.sendSignal(i, mode, sig, false)
			c.phase(i, c.stopTimeout(r.act))
			break
		}
		c.sendKill(i, mode)
		c.phase(i, c.cfg.PostKill)
	case SubStopWatchdog:
		c.sendSignal(i, mode, int32(unit.WatchdogSignal.Of(r.act)), false)
		c.phase(i, c.abortTimeout(r.act))
	default:
		sig := int32(unit.KillSignal.Of(r.act))
		if j := r.job; j != nil && j.Type == graph.Restart {
			if s := int32(unit.RestartKillSignal.Of(r.act)); s != 0 {
				sig = s
			}
		}
		if !p.StopSeen || sub == SubFinalSigterm {
			c.sendSignal(i, mode, sig, unit.SendSIGHUP.Of(r.act))
		}
		c.phase(i, c.stopTimeout(r.act))
	}
	c.enter(i, Stopping, sub, cause)
}

// mixedKill: with KillMode=mixed only the main process is asked; what is left when
// it is gone is killed (systemd.kill(5)).
func (c *Core) mixedKill(i graph.Index, sub Sub) Sub {
	r := c.rec(i)
	if unit.KillMode.Of(r.act) != "mixed" || r.proc.Main != 0 || r.proc.Control != 0 || !unit.SendSIGKILL.Of(r.act) {
		return sub
	}
	switch sub {
	case SubStopSigterm, SubStopWatchdog:
		return SubStopSigkill
	case SubFinalSigterm:
		return SubFinalSigkill
	}
	return sub
}

func (c *Core) abortTimeout(u *unit.Unit) time.Duration {
	if unit.TimeoutAbortSec.IsSet(u) {
		return timeoutOf(unit.TimeoutAbortSec.Of(u))
	}
	return c.stopTimeout(u)
}

// somethingLeft says whether a phase has anybody to wait for.
func (c *Core) somethingLeft(i graph.Index) bool {
	r := c.rec(i)
	p := r.proc
	if p.Main != 0 || p.Control != 0 || p.Health != 0 {
		return true
	}
	switch unit.KillMode.Of(r.act) {
	case "process", "none":
		return false
	}
	return p.Populated
}

// sendSignal: SIGCONT follows, so that a stopped process can obey
// (systemd.kill(5)).
func (c *Core) sendSignal(i graph.Index, mode string, sig int32, hup bool) {
	p := c.rec(i).proc
	s := Signal{Unit: c.g.Name(i), Incarnation: p.Inc}
	targets := []RunID{0}
	if mode != "control-group" {
		targets = targets[:0]
		for _, id := range [...]RunID{p.Main, p.Control} {
			if id != 0 {
				targets = append(targets, id)
			}
		}
		if len(targets) == 0 && mode == "mixed" {
			targets = append(targets, 0)
		}
	}
	for _, id := range targets {
		s.Run = id
		s.Signal = sig
		c.emit(s)
		if hup && sig != sigHUP {
			s.Signal = sigHUP
			c.emit(s)
		}
		if sig != sigKILL && sig != sigCONT {
			s.Signal = sigCONT
			c.emit(s)
		}
	}
}

func (c *Core) sendKill(i graph.Index, mode string) {
	p := c.rec(i).proc
	p.Killed = true
	name := c.g.Name(i)
	if mode == "process" || mode == "none" {
		for _, id := range [...]RunID{p.Main, p.Control} {
			if id != 0 {
				c.emit(Signal{Unit: name, Incarnation: p.Inc, Run: id, Signal: sigKILL})
			}
		}
		return
	}
	c.emit(KillCgroup{Unit: name, Incarnation: p.Inc})
}

// svcSomethingEnded goes on with a stop when nobody is left to wait for, and
// ends a running service whose last process has gone.
func (c *Core) svcSomethingEnded(i graph.Index) {
	r := c.rec(i)
	p := r.proc
	switch r.sub {
	case SubStopWatchdog, SubStopSigterm, SubStopSigkill, SubFinalSigterm, SubFinalSigkill:
		if !c.somethingLeft(i) {
			c.afterSignal(i, r.sub)
		} else if sub := c.mixedKill(i, r.sub); sub != r.sub {
			c.svcSignal(i, sub)
		}
	case SubAbandoned:
		if !c.somethingLeft(i) {
			c.svcRest(i)
		}
	case SubRunning:
		// Without a main process the cgroup is the service.
		if p.Main == 0 && !p.Populated {
			c.svcMainGone(i)
		}
	case SubStart:
		if p.Main == 0 && p.Control == 0 && p.Adopt != 0 && !p.Populated {
			c.svcFail(i, Cause{Kind: ProtocolError, Detail: "no main process"}, SubStopSigterm)
		}
	}
}

// afterSignal is where each signal phase leads to once all are gone.
func (c *Core) afterSignal(i graph.Index, sub Sub) {
	r := c.rec(i)
	switch sub {
	case SubStopWatchdog, SubStopSigterm, SubStopSigkill:
		if len(commands(r.act, StageStopPost)) > 0 && !c.tooLate() {
			c.stage(i, StageStopPost, Cause{})
			return
		}
	}
	c.svcRest(i)
}

// svcStartTimeout: TimeoutStartFailureMode= says how to end it.
func (c *Core) svcStartTimeout(i graph.Index) {
	r := c.rec(i)
	cause := Cause{Kind: StartTimeout}
	if k := c.readiness(i); r.sub == SubStart && k != "none" && k != "oneshot" {
		cause = Cause{Kind: ReadinessTimeout, Detail: k}
	}
	sub := SubStopSigterm
	switch unit.TimeoutStartFailureMode.Of(r.act) {
	case "abort":
		sub = SubStopWatchdog
	case "kill":
		sub = SubStopSigkill
	}
	c.svcFail(i, cause, sub)
}

// svcStopTimeout escalates: commands to signals, signals to the kill.
func (c *Core) svcStopTimeout(i graph.Index) {
	r := c.rec(i)
	p := r.proc
	c.note(i, Cause{Kind: StopTimeout})
	c.emit(Log{Level: LevelWarning, Unit: c.g.Name(i), Cause: Cause{Kind: StopTimeout}, Note: "stop timed out in " + r.sub.String()})
	switch r.sub {
	case SubStop:
		c.svcSignal(i, c.stopFailureSub(i, SubStopSigterm))
	case SubStopPost:
		c.svcSignal(i, SubFinalSigterm)
	case SubStopWatchdog, SubStopSigterm:
		if !unit.SendSIGKILL.Of(r.act) {
			p.Populated = false
			c.giveUpOn(i)
			return
		}
		if r.sub == SubStopSigterm && unit.TimeoutStopFailureMode.Of(r.act) == "abort" {
			c.svcSignal(i, SubStopWatchdog)
			return
		}
		c.svcSignal(i, SubStopSigkill)
	case SubFinalSigterm:
		if !unit.SendSIGKILL.Of(r.act) {
			c.giveUpOn(i)
			return
		}
		c.svcSignal(i, SubFinalSigkill)
	}
}

func (c *Core) stopFailureSub(i graph.Index, def Sub) Sub {
	switch unit.TimeoutStopFailureMode.Of(c.rec(i).act) {
	case "abort":
		return SubStopWatchdog
	case "kill":
		return SubStopSigkill
	}
	return def
}

// giveUpOn leaves processes behind that SendSIGKILL=no protects.
func (c *Core) giveUpOn(i graph.Index) {
	c.forgetRuns(i)
	c.svcRest(i)
}

// forgetRuns makes later reports about the activation no-ops.
func (c *Core) forgetRuns(i graph.Index) {
	p := c.rec(i).proc
	for _, id := range [...]RunID{p.Main, p.Control, p.Health} {
		delete(c.runs, id)
	}
	p.Main, p.Control, p.Health = 0, 0, 0
}

// svcKillTimeout: SIGKILL did not empty the group in time: unkillable. If it was another
// signal so far (FinalKillSignal=), SIGKILL comes now.
func (c *Core) svcKillTimeout(i graph.Index) {
	if r := c.rec(i); !r.proc.Killed {
		c.sendKill(i, unit.KillMode.Of(r.act))
		c.phase(i, c.cfg.PostKill)
		return
	}
	c.rec(i).proc.Unkillable = true
	c.note(i, Cause{Kind: Unkillable})
	c.enter(i, Abandoned, SubAbandoned, Cause{Kind: Unkillable})
}

// svcRest: everything is over; what remains is the verdict.
func (c *Core) svcRest(i graph.Index) {
	r := c.rec(i)
	p := r.proc
	c.svcQuiet(i)
	c.disarm(i, dlState)
	name := c.g.Name(i)
	if n := unit.BusName.Of(r.act); n != "" && c.busNames[n] == i && c.readiness(i) == "dbus" {
		delete(c.busNames, n)
		c.emit(Unwatch{Unit: name, What: WatchBusName})
	}
	if c.lastChanceDue(i) {
		p.LastChance = chanceAsked
		c.stage(i, StageLastChance, Cause{})
		return
	}
	c.forgetRuns(i) // with KillMode=none or process they may live on
	if p.Ran {
		c.emit(RemoveCgroup{Unit: name, Incarnation: p.Inc})
	}
	c.verdict(i)
}
