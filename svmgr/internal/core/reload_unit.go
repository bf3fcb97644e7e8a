package core

import (
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

// svcReload starts the reload; the unit stays up whatever comes of it.
func (c *Core) svcReload(i graph.Index) {
	r := c.rec(i)
	p := r.proc
	if p == nil {
		c.reloadVerdict(i, true)
		return
	}
	p.ReloadFail, p.ReloadSeen, p.ReloadSent = false, false, 0
	if unit.ServiceType.Of(r.act) == "notify-reload" && p.Main != 0 && len(commands(r.act, StageReload)) == 0 {
		c.enter(i, Reloading, SubReloadSignal, Cause{Kind: ByRequest})
		p.ReloadSent = c.now.Mono
		c.phase(i, reloadWindow)
		c.emit(Signal{Unit: c.g.Name(i), Incarnation: p.Inc, Run: p.Main, Signal: int32(unit.ReloadSignal.Of(r.act))})
		return
	}
	if len(commands(r.act, StageReload)) == 0 {
		c.reloadVerdict(i, true)
		return
	}
	c.phase(i, c.startTimeout(r.act))
	c.stage(i, StageReload, Cause{Kind: ByRequest})
}

// reloadWindow is how long a service has to say RELOADING=1 (statement 17).
const reloadWindow = 2 * time.Second

// reloadVerdict ends a reload that never left the up state.
func (c *Core) reloadVerdict(i graph.Index, failed bool) {
	if j := c.rec(i).job; j != nil && j.Type == graph.Reload {
		res := JobDone
		if failed {
			res = JobFailed
		}
		c.finish(j, res, Cause{})
	}
}

// svcReloading: RELOADING=1 arrived, asked for or not.
func (c *Core) svcReloading(i graph.Index, n *Notification) {
	r := c.rec(i)
	p := r.proc
	if r.sub == SubReloadSignal {
		if n != nil && n.ReloadStamp != 0 && n.ReloadStamp < p.ReloadSent {
			return // it began before our signal: not the answer to it
		}
		p.ReloadSeen = true
		c.enter(i, Reloading, SubReloadNotify, Cause{})
		c.phase(i, c.startTimeout(r.act))
		return
	}
	p.ReloadSeen, p.ReloadFail = true, false
	c.enter(i, Reloading, SubReloadNotify, Cause{Kind: ByRequest})
	c.phase(i, c.startTimeout(r.act))
}

func (c *Core) svcReloadTimeout(i graph.Index) {
	r := c.rec(i)
	name := c.g.Name(i)
	if r.sub == SubReloadSignal {
		c.emit(Log{Level: LevelWarning, Unit: name, Note: "no RELOADING=1 within 2 s of the reload signal; taken as done, unconfirmed"})
		c.svcReloadDone(i, false)
		return
	}
	c.emit(Log{Level: LevelWarning, Unit: name, Note: "the reload did not end in time"})
	c.dropControl(i)
	c.svcReloadDone(i, true)
}

func (c *Core) svcReloadDone(i graph.Index, failed bool) {
	r := c.rec(i)
	r.proc.ReloadFail = failed
	c.disarm(i, dlState)
	if r.proc.MainEnded && r.proc.Main == 0 && !r.proc.Populated {
		c.svcMainGone(i)
		return
	}
	if r.proc.Main == 0 && unit.RemainAfterExit.Of(r.act) && r.proc.MainEnded {
		c.enter(i, Completed, SubExited, Cause{Kind: CleanExit})
		return
	}
	c.enter(i, Active, SubRunning, Cause{})
}
