package core

import (
	"fmt"
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
)

// notified applies one sd_notify message if its sender may send it.
func (c *Core) notified(ev *Notified) {
	i, ok := c.g.Lookup(ev.Unit)
	if !ok {
		return
	}
	r := c.rec(i)
	p := r.proc
	name := c.g.Name(i)
	if p == nil || ev.Incarnation != p.Inc {
		c.emit(Log{Level: LevelWarning, Unit: name, Note: "notification of a former incarnation dropped"})
		return
	}
	if why := c.mayNotify(i, ev.Run); why != "" {
		c.emit(Log{Level: LevelWarning, Unit: name, Note: "notification dropped: " + why})
		return
	}
	n := &ev.Notification
	if n.Status != "" && n.Status != p.Status {
		p.Status = n.Status
		c.emit(Publish{What: StatusChanged, Unit: name})
	}
	if n.Errno != 0 || n.BusError != "" || n.VarlinkError != "" {
		p.Errno, p.BusError, p.VarlinkError = n.Errno, n.BusError, n.VarlinkError
		c.emit(Publish{What: StatusChanged, Unit: name})
	}
	c.storeFDs(i, n)
	if n.MainPID != 0 && p.Adopt == 0 {
		p.Adopt, p.AdoptPID = c.newRun(i, runAdopt, RoleMain, StageStart), n.MainPID
		c.emit(Adopt{Run: p.Adopt, Unit: name, Incarnation: p.Inc, PID: n.MainPID})
	}
	if n.WatchdogPeriod != nil {
		p.Watchdog = *n.WatchdogPeriod
		if p.Watchdog == 0 {
			p.Watchdog = -1
		}
		c.armWatchdog(i)
	}
	if n.ExtendTimeout > 0 {
		c.extend(i, n.ExtendTimeout)
	}
	if n.Watchdog {
		c.input(i, InPing, msg{})
	}
	if n.WatchdogTrigger {
		c.input(i, InWatchdog, msg{})
	}
	if n.Stopping {
		c.input(i, InStopping, msg{})
	}
	if n.Reloading {
		c.input(i, InReloading, msg{n: n})
	}
	if n.Ready && r.proc == p {
		if c.readiness(i) == "notify" || unit.ReadinessType.Of(c.def(i)) == "notify" || r.state == Reloading {
			c.input(i, InReady, msg{})
		}
	}
}

// NotifyAccessOf is NotifyAccess= with its default: "main" for a service that must
// notify, has a watchdog or stores descriptors, and for native ones; else "none". A
// service with "none" is not told where to notify: with systemd 257 neither is it.
func NotifyAccessOf(u *unit.Unit) string {
	switch access := unit.NotifyAccess.Of(u); {
	case access != "" && access != "none":
		return access
	case unit.NotifyAccess.IsSet(u):
		return "none"
	case readinessOf(u) == "notify", unit.WatchdogSec.Of(u) != 0, unit.FileDescriptorStoreMax.Of(u) != 0, u.Format == unit.Native:
		return "main"
	}
	return "none"
}

// mayNotify applies NotifyAccess= (systemd.service(5)); "" is yes. A service that
// must notify or has a watchdog gets access "main" when nothing was set.
func (c *Core) mayNotify(i graph.Index, sender RunID) string {
	p := c.rec(i).proc
	u := c.def(i)
	access := NotifyAccessOf(u)
	switch access {
	case "none":
		if unit.NotifyAccess.IsSet(u) {
			return "NotifyAccess= is none"
		}
		return "it has no NotifyAccess="
	case "all":
		return ""
	case "exec":
		if sender != 0 && (sender == p.Main || sender == p.Control) {
			return ""
		}
		return "the sender is no process that the manager started (NotifyAccess=exec)"
	}
	if sender != 0 && sender == p.Main {
		return ""
	}
	return "the sender is not the main process (NotifyAccess=main)"
}

// storeFDs accepts descriptors up to FileDescriptorStoreMax=; the world closes
// those for which no Deposit comes.
func (c *Core) storeFDs(i graph.Index, n *Notification) {
	p := c.rec(i).proc
	name := c.g.Name(i)
	if n.FDRemove {
		keep := p.FDs[:0]
		for _, f := range p.FDs {
			if f != n.FDName {
				keep = append(keep, f)
			}
		}
		if len(keep) != len(p.FDs) {
			p.FDs = keep
			c.emit(Withdraw{Unit: name, Name: n.FDName})
		}
		return
	}
	if n.FDStore <= 0 {
		return
	}
	label := n.FDName
	if label == "" {
		label = "stored" // sd_notify(3), FDNAME=
	}
	room := int(unit.FileDescriptorStoreMax.Of(c.def(i))) - len(p.FDs)
	take := max(0, min(room, n.FDStore))
	for range take {
		p.FDs = append(p.FDs, label)
	}
	if take > 0 {
		c.emit(Deposit{Unit: name, Name: label, N: take})
	}
	if take < n.FDStore {
		c.emit(Log{Level: LevelWarning, Unit: name,
			Note: fmt.Sprintf("its descriptor store is full: %d of %d descriptors refused", n.FDStore-take, n.FDStore)})
	}
}

// maxExtension is how far EXTEND_TIMEOUT_USEC can stretch a phase in all.
const maxExtension = 4

// extend replaces the deadline of a transition, at most to four times its
// timeout and, in a shutdown, to the end of that (statement 18).
func (c *Core) extend(i graph.Index, by time.Duration) {
	r := c.rec(i)
	p := r.proc
	switch r.state {
	case Starting, Stopping, Reloading:
	case Active:
		if c.armed(i, dlRuntime) {
			c.arm(i, dlRuntime, max(r.dl[dlRuntime], c.now.Mono+by))
		}
		return
	default:
		return
	}
	if r.dl[dlState] == 0 || r.sub == SubStopSigkill || r.sub == SubFinalSigkill {
		return
	}
	if by > unit.Forever-c.now.Mono {
		by = unit.Forever - c.now.Mono
	}
	at := c.now.Mono + by
	if p.PhaseLimit < unit.Forever/maxExtension {
		at = min(at, p.PhaseStart+maxExtension*p.PhaseLimit)
	}
	if c.shutdown != nil {
		at = min(at, c.shutdownDL)
	}
	c.arm(i, dlState, max(at, c.now.Mono))
}

// armWatchdog sets the next moment at which a ping is missed. The period comes
// from the unit until WATCHDOG_USEC= replaces it; it does not outlive a restart.
// It begins when the start-up is complete (systemd.service(5), WatchdogSec=).
func (c *Core) armWatchdog(i graph.Index) {
	r := c.rec(i)
	p := r.proc
	d := p.Watchdog
	if d == 0 {
		d = unit.WatchdogSec.Of(r.act)
	}
	if d <= 0 || p.Main == 0 || !r.up() {
		c.disarm(i, dlWatchdog)
		return
	}
	p.Pinged = c.now
	c.armIn(i, dlWatchdog, d)
}

func (c *Core) svcPing(i graph.Index) {
	c.armWatchdog(i)
}

func (c *Core) svcOOM(i graph.Index) {
	r := c.rec(i)
	switch unit.OOMPolicy.Of(r.act) {
	case "continue":
		c.emit(Log{Level: LevelWarning, Unit: c.g.Name(i), Cause: Cause{Kind: OutOfMemory}, Note: "a process of it was killed for lack of memory; it goes on (OOMPolicy=continue)"})
	case "kill":
		c.svcFail(i, Cause{Kind: OutOfMemory}, SubStopSigkill)
	default:
		c.note(i, Cause{Kind: OutOfMemory})
		if r.state == Starting {
			c.svcFail(i, Cause{Kind: OutOfMemory}, SubStopSigterm)
			return
		}
		c.svcStop(i, Cause{Kind: OutOfMemory})
	}
}
