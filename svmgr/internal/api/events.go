package api

import (
	"slices"

	"dynamod/internal/access"
	"dynamod/internal/ipc"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// PublishTo says where events go: to the server's Publish.
func (a *API) PublishTo(f func(ipc.Event)) { a.publish.Store(&f) }

// tell publishes an event. It never waits for a client.
func (a *API) tell(e ipc.Event) {
	if f := a.publish.Load(); f != nil {
		(*f)(e)
	}
}

// kinds are the events that the core's Publish actions become.
var kinds = map[core.Published]string{
	core.UnitChanged: ipc.EventUnit, core.UnitNew: ipc.EventUnitNew, core.UnitRemoved: ipc.EventUnitGone,
	core.JobNew: ipc.EventJobNew, core.JobRemoved: ipc.EventJobDone, core.StatusChanged: ipc.EventStatus,
	core.StartupFinished: ipc.EventStarted, core.Degraded: ipc.EventDegraded,
}

// Published implements loop.Listener: it turns what the core tells into events. It
// runs on the loop's goroutine, asks nobody and waits for nobody. Log actions are
// no events: they are the manager's log.
func (a *API) Published(now core.Time, act core.Action) {
	switch p := act.(type) {
	case core.Publish:
		if p.What == core.StartupFinished {
			a.finished.Store(max(int64(now.Mono), 1))
		}
		if a.publish.Load() == nil {
			return
		}
		e := ipc.Event{At: stamp(now), Kind: kinds[p.What], Unit: p.Unit, Job: uint32(p.Job), JobType: p.JobType}
		switch p.What {
		case core.UnitChanged:
			e.From, e.State, e.Sub = p.From.String(), p.To.String(), p.Sub.String()
			e.Active = core.ActiveWord(p.To, p.Sub).String()
		case core.JobNew:
			e.Source = p.Source.String()
		case core.JobRemoved:
			e.Source, e.Result = p.Source.String(), p.JobResult.String()
		}
		if p.Cause.Kind != core.NoCause {
			k := a.publicCause(p.Cause, p.Unit)
			e.Cause = &k
		}
		a.tell(e)
	case core.Watch:
		a.busNameWanted(now, unit.BusName.Of(p.Unit), p.Unit.Name, true)
	case core.Unwatch:
		a.busNameWanted(now, "", p.Unit, false)
	case core.Emergency:
		k := a.publicCause(p.Cause, p.Unit)
		a.tell(ipc.Event{At: stamp(now), Kind: ipc.EventDegraded, Unit: p.Unit, Text: p.Action, Cause: &k})
	}
}

// publicCause is a cause for all subscribers. Who may see a unit may not be allowed
// to see the other one that its cause names, so where rules hide anything, no cause
// names another unit.
func (a *API) publicCause(k core.Cause, name string) ipc.Cause {
	if k.Unit != "" {
		rules := a.live.Rules()
		if rules.Closed || slices.ContainsFunc(rules.Rules, func(r access.Rule) bool {
			return r.Deny && slices.Contains(r.Rights, access.Query)
		}) {
			k.Unit = ""
		}
	}
	return ipc.Cause{Kind: k.Kind.String(), Sentence: k.Sentence(name), Unit: k.Unit, Code: k.Code,
		Signal: k.Signal, Errno: k.Errno, Detail: k.Detail, Decision: k.Decision}
}

// ShutdownBegan tells subscribers that the ordered stop began. Requests for it do
// that by themselves; it is for signals.
func (a *API) ShutdownBegan(kind core.ShutdownKind) {
	a.tell(ipc.Event{At: stamp(a.m.Now()), Kind: ipc.EventShutdown, Text: kind.String()})
}

// busNameWanted tells the bridge that a unit wants to hear of a bus name, or of its
// name no longer.
func (a *API) busNameWanted(now core.Time, name, unit string, wanted bool) {
	text := "wanted"
	if !wanted {
		text = "no longer wanted"
	}
	a.tell(ipc.Event{At: stamp(now), Kind: ipc.EventBusName, Unit: unit, Text: name, Result: text})
}
