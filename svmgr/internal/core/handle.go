package core

import (
	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

// handle turns an event into inputs. Reports about runs that are not known any
// more (late, repeated, of a former manager) fall through here.
func (c *Core) handle(ev Event) {
	if c.shutdown != nil && c.shutdown.Done {
		c.afterHandOver(ev)
		return
	}
	switch e := ev.(type) {
	case SpawnDone:
		if r, ok := c.runs[e.Run]; ok && r.What == runProcess {
			c.input(r.Unit, InSpawned, msg{run: e.Run})
		}
	case SpawnFailed:
		c.runEnded(e.Run, Cause{Kind: SpawnFailure, Detail: e.Stage, Errno: e.Errno}, InSpawnFailed)
	case Exited:
		c.exited(e)
	case Notified:
		c.notified(&e)
	case Ready:
		if r, ok := c.runs[e.Run]; ok && r.What == runProbe && c.isProbe(r.Unit, e.Run) {
			delete(c.runs, e.Run)
			c.rec(r.Unit).proc.Probe = 0
			c.input(r.Unit, InReady, msg{run: e.Run})
		}
	case MainPID:
		if r, ok := c.runs[e.Run]; ok && r.What == runAdopt {
			if !e.Found {
				delete(c.runs, e.Run)
			}
			c.input(r.Unit, InAdopted, msg{run: e.Run, ok: e.Found})
		}
	case CgroupEmpty:
		if i, ok := c.incarnation(e.Unit, e.Incarnation); ok {
			c.input(i, InEmpty, msg{})
		}
	case OOMKilled:
		if i, ok := c.incarnation(e.Unit, e.Incarnation); ok {
			c.input(i, InOOM, msg{})
		}
	case Listening:
		if r, ok := c.runs[e.Run]; ok && r.What == runListen {
			delete(c.runs, e.Run)
			c.input(r.Unit, InListening, msg{run: e.Run, ok: e.Errno == 0, errno: e.Errno})
		}
	case Readable:
		c.inputByName(e.Unit, InTrigger, msg{})
	case Accepted:
		c.accepted(&e)
	case PathChanged:
		c.inputByName(e.Unit, InTrigger, msg{watch: e.Watch})
	case AutomountRequested:
		c.inputByName(e.Unit, InTrigger, msg{})
	case DeviceAppeared:
		c.deviceSays(&e)
	case MountChanged:
		c.kernelSays(e.Unit, e.Mounted, func() *unit.Unit { return foreign(&e) })
	case BusNameAcquired:
		if i, ok := c.busUnit(e.Name, e.Unit); ok {
			c.input(i, InNameUp, msg{})
		}
	case BusNameLost:
		if i, ok := c.busUnit(e.Name, e.Unit); ok {
			c.input(i, InNameLost, msg{})
		}
	case ProbeResult:
		c.probed(e)
	case WatchdogsSet:
		c.watchdogsOff = e.Off
	case BootMarked:
		c.bootMarked(e)
	case ClockJump:
		c.clockJumped(&e)
	case ManagerRestored:
		c.managerRestored(&e)
	case Loaded:
		c.loadedOnDemand(&e)
	case Released:
		c.released(e.Names)
	case Reloaded:
		c.reloaded(&e)
	case Request:
		c.request(&e)
	case ShutdownRequested:
		c.beginShutdown(&e)
	case Tick:
	}
}

func (c *Core) inputByName(name string, in Input, m msg) {
	if i, ok := c.g.Lookup(name); ok {
		c.input(i, in, m)
	}
}

func (c *Core) exited(e Exited) {
	cause := Cause{Kind: MainExited, Code: e.Code}
	if e.Signal != 0 {
		cause = Cause{Kind: MainKilled, Signal: e.Signal}
		if e.Core {
			cause.Kind = MainDumped
		}
	}
	if e.Unseen {
		cause = Cause{Kind: ManagerLostTrack}
	}
	in := InControlExit
	if r, ok := c.runs[e.Run]; ok && r.Role == RoleMain {
		in = InMainExit
	}
	c.runEnded(e.Run, cause, in)
}

// runEnded is the end of a run, whatever kind of end.
func (c *Core) runEnded(id RunID, cause Cause, in Input) {
	r, ok := c.runs[id]
	if ok && r.What == runAdopt {
		// The end of a process that is still being verified: keep it.
		if p := c.rec(r.Unit).proc; p != nil && p.Adopt == id {
			p.AdoptEnd = &cause
		}
		return
	}
	if !ok || r.What != runProcess {
		return
	}
	delete(c.runs, id)
	c.input(r.Unit, in, msg{run: id, cause: cause})
}

func (c *Core) isProbe(i graph.Index, id RunID) bool {
	p := c.rec(i).proc
	return p != nil && p.Probe == id
}

// incarnation finds the unit if this is still its activation.
func (c *Core) incarnation(name string, inc RunID) (graph.Index, bool) {
	i, ok := c.g.Lookup(name)
	if !ok {
		return 0, false
	}
	p := c.rec(i).proc
	return i, p != nil && p.Inc == inc
}

func (c *Core) busUnit(name, u string) (graph.Index, bool) {
	if i, ok := c.busNames[name]; ok {
		return i, true
	}
	i, ok := c.g.Lookup(u)
	if !ok {
		return 0, false
	}
	d := c.def(i)
	return i, d != nil && unit.BusName.Of(d) == name
}

func (c *Core) probed(e ProbeResult) {
	r, ok := c.runs[e.Run]
	if !ok || r.What != runProbe {
		return
	}
	rec := c.rec(r.Unit)
	switch {
	case rec.probe == e.Run:
		c.conditionsKnown(r.Unit, e.Held, e.Findings)
	case rec.proc != nil && rec.proc.Probe == e.Run:
		if e.OK {
			delete(c.runs, e.Run)
			rec.proc.Probe = 0
			c.input(r.Unit, InReady, msg{run: e.Run})
		}
	case rec.proc != nil && rec.proc.Health == e.Run:
		delete(c.runs, e.Run)
		c.input(r.Unit, InHealthResult, msg{run: e.Run, ok: e.OK, cause: Cause{Detail: e.Detail}})
	default:
		delete(c.runs, e.Run)
	}
}

// request answers exactly once: at once with the job, or at the job's end.
func (c *Core) request(e *Request) {
	refuse := func(kind, text string) {
		c.emit(Reply{ID: e.ID, Err: &RequestError{Kind: kind, Unit: e.Unit, Text: text}})
	}
	if e.Verb == VerbCancel {
		j := c.jobs[e.Job]
		if j == nil {
			refuse("NoSuchJob", "there is no such job")
			return
		}
		if c.shutdown != nil {
			refuse("ShuttingDown", "the system is going down: its stop jobs cannot be cancelled")
			return
		}
		c.finish(j, JobCanceled, Cause{Kind: ByRequest})
		c.emit(Reply{ID: e.ID})
		return
	}
	i, ok := c.g.Lookup(e.Unit)
	if !ok {
		refuse("NoSuchUnit", "unit "+e.Unit+" is not known; check its name, or load it with dynamodctl reload")
		return
	}
	switch e.Verb {
	case VerbReset:
		c.reset(i, refuse, e)
		return
	case VerbKill:
		c.kill(i, refuse, e)
		return
	case VerbRef, VerbUnref:
		r := c.rec(i)
		r.refd = e.Verb == VerbRef
		if !r.refd {
			c.queueCheck(i)
		}
		c.emit(Reply{ID: e.ID})
		return
	case VerbMark:
		c.mark(i, e)
		c.emit(Reply{ID: e.ID})
		return
	case VerbFreeze, VerbThaw:
		c.freeze(i, refuse, e)
		return
	case VerbAbandon:
		c.abandon(i, refuse, e)
		return
	}
	u := c.g.Unit(i)
	stops := e.Verb == VerbStop || e.Verb == VerbRestart || e.Verb == VerbTryRestart
	if stops && !e.Force && u != nil && unit.Protected.Of(u) && c.rec(i).state.Up() {
		refuse("Protected", e.Unit+" is protected")
		return
	}
	if e.Source == SourceBoot {
		c.bootAsked = true
	}
	if e.Source == SourceOperator || e.Source == SourceDBus {
		c.rec(i).auto = rateLimiter{}
	}
	first := c.nextJob + 1
	j, err := c.ask(wish{unit: i, typ: verbJobs[e.Verb], mode: e.Mode, source: e.Source,
		manual: e.Source == SourceOperator || e.Source == SourceDBus})
	switch {
	case err != nil:
		c.emit(Reply{ID: e.ID, Err: err})
	case j == nil:
		c.emit(Reply{ID: e.ID})
	case e.Wait:
		j.Requests = append(j.Requests, e.ID)
	default:
		c.emit(Reply{ID: e.ID, Job: j.ID, First: first, Last: c.nextJob})
	}
}

var verbJobs = [...]graph.JobType{VerbStart: graph.Start, VerbStop: graph.Stop, VerbRestart: graph.Restart,
	VerbTryRestart: graph.TryRestart, VerbReload: graph.Reload, VerbReloadOrStart: graph.ReloadOrStart,
	VerbVerifyActive: graph.VerifyActive}

func (c *Core) mark(i graph.Index, e *Request) {
	r := c.rec(i)
	r.needsReload = r.needsReload && e.Drop&NeedsReload == 0 || e.Add&NeedsReload != 0
	r.needsRestart = r.needsRestart && e.Drop&NeedsRestart == 0 || e.Add&NeedsRestart != 0
}

// unmark takes away the marks that a change of state makes good.
func (c *Core) unmark(r *record, to State) {
	switch to {
	case Reloading:
		r.needsReload = false
	case Starting, Stopping, Inactive, Failed:
		r.needsReload, r.needsRestart = false, false
	}
}

// reset forgets failures and counters; a busy unit refuses.
func (c *Core) reset(i graph.Index, refuse func(kind, text string), e *Request) {
	r := c.rec(i)
	if r.job != nil || r.state == Starting || r.state == Stopping || r.state == Reloading {
		refuse("Busy", e.Unit+" is busy ("+r.state.String()+"); wait for it or stop it first")
		return
	}
	c.dropFDs(i)
	if h := r.hist; h != nil { // what was decided and found stays for whoever asks why
		r.hist = &history{FDs: h.FDs, Decisions: h.Decisions, Findings: h.Findings, Checked: h.Checked}
		if len(h.FDs) == 0 && len(h.Decisions) == 0 && len(h.Findings) == 0 {
			r.hist = nil
		}
	}
	r.auto = rateLimiter{}
	if r.trig != nil {
		r.trig.limit = rateLimiter{}
	}
	switch r.state {
	case Failed, Blocked, Skipped, Dormant, RestartPending:
		c.disarm(i, dlRestart)
		r.waiting = false
		c.enter(i, Inactive, SubDead, Cause{Kind: ByRequest})
	case Completed:
		if r.sub != SubExited {
			c.enter(i, Inactive, SubDead, Cause{Kind: ByRequest})
		}
	}
	c.queueCheck(i)
	c.emit(Reply{ID: e.ID})
}

func (c *Core) kill(i graph.Index, refuse func(kind, text string), e *Request) {
	p := c.rec(i).proc
	if p == nil {
		refuse("NoSuchProcess", e.Unit+" has no processes")
		return
	}
	if e.Signal < 1 || e.Signal > 64 {
		refuse("InvalidArgs", "signals go from 1 to 64")
		return
	}
	s := Signal{Unit: c.g.Name(i), Incarnation: p.Inc, Signal: e.Signal, Queue: e.Queue, Value: e.Value}
	switch e.Whom {
	case WhomMain:
		s.Run = p.Main
	case WhomControl:
		s.Run = p.Control
	}
	if e.Whom != WhomAll && s.Run == 0 {
		refuse("NoSuchProcess", e.Unit+" has no such process")
		return
	}
	c.emit(s)
	c.emit(Reply{ID: e.ID})
}

func (c *Core) freeze(i graph.Index, refuse func(kind, text string), e *Request) {
	r := c.rec(i)
	if r.proc == nil || !r.up() {
		refuse("UnitInactive", e.Unit+" is not running")
		return
	}
	r.frozen = e.Verb == VerbFreeze
	if r.frozen {
		c.emit(Freeze{Unit: c.g.Name(i)})
	} else {
		c.emit(Thaw{Unit: c.g.Name(i)})
	}
	c.emit(Reply{ID: e.ID})
}
