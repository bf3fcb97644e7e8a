package world

import (
	"encoding/json"
	"time"

	"dynamod/internal/sys/pidfd"
	"dynamod/svmgr/internal/core"
)

// What the kernel tells only once must not die between the world and the core's own
// record: how a process ended, what a service notified, that a readiness pipe was
// written to. The ledger gets a line of it before it is taken from the kernel or
// posted, and forgets it when the loop has handled the event.

// endEntry is how a process ended: with a status, or in its set-up.
type endEntry struct {
	Run    core.RunID
	Status pidfd.Status
	At     time.Time
	// Stage and Errno are of a set-up that failed; its status is no news then.
	Stage string `json:",omitempty"`
	Errno int32  `json:",omitempty"`
}

// noteEntry is a notification that was taken from the socket.
type noteEntry struct {
	Seq   uint64
	Event core.Notified
}

// lastEntry is how the main process of a unit ended last.
type lastEntry struct {
	Unit string
	LastEnd
}

// unhandled is what the loop has not dealt with yet. ledger.mu guards it.
type unhandled struct {
	ends  map[core.RunID]endEntry
	notes []noteEntry
	ready map[core.RunID]bool
}

// ended writes down how a process ended, before it is reaped.
func (l *ledger) ended(w *World, p *process, st pidfd.Status) {
	if l == nil {
		return
	}
	e := endEntry{Run: p.run, Status: st, At: time.Now()}
	if p.failed {
		e.Stage, e.Errno = p.failure.Stage, p.failure.Errno
	}
	l.mu.Lock()
	if l.open.ends == nil {
		l.open.ends = map[core.RunID]endEntry{}
	}
	l.open.ends[p.run] = e
	delete(l.open.ready, p.run)
	l.mu.Unlock()
	l.append(w, entry{End: &e})
}

// ready writes down that the readiness pipe of a main process was written to.
func (l *ledger) ready(w *World, main core.RunID) {
	if l == nil {
		return
	}
	l.mu.Lock()
	if l.open.ready == nil {
		l.open.ready = map[core.RunID]bool{}
	}
	l.open.ready[main] = true
	l.mu.Unlock()
	l.append(w, entry{Ready: main})
}

// noted writes down a notification. Pings and status texts are not worth it: the
// next one comes by itself, or nothing depends on it.
func (l *ledger) noted(w *World, seq uint64, ev core.Notified) {
	n := &ev.Notification
	if l == nil || !n.Ready && !n.Reloading && !n.Stopping && !n.WatchdogTrigger && n.MainPID == 0 &&
		n.FDStore == 0 && !n.FDRemove && n.WatchdogPeriod == nil {
		return
	}
	e := noteEntry{seq, ev}
	l.mu.Lock()
	l.open.notes = append(l.open.notes, e)
	l.mu.Unlock()
	l.append(w, entry{Note: &e})
}

// handled says that the loop is done with all notifications up to seq.
func (l *ledger) handled(w *World, seq uint64) {
	if l == nil {
		return
	}
	l.mu.Lock()
	k := 0
	for k < len(l.open.notes) && l.open.notes[k].Seq <= seq {
		k++
	}
	l.open.notes = l.open.notes[k:]
	if len(l.open.notes) == 0 {
		l.open.notes = nil
	}
	l.mu.Unlock()
	if k > 0 {
		l.append(w, entry{Handled: seq})
	}
}

// forget says that the loop knows the end of a run. It needs no line: an end of a
// run that the core does not know any more is no news.
func (l *ledger) forget(run core.RunID) {
	if l == nil {
		return
	}
	l.mu.Lock()
	delete(l.open.ends, run)
	delete(l.open.ready, run)
	l.mu.Unlock()
}

// openLines encodes what is unhandled, for a rewrite. It is called with the lock.
func (l *ledger) openLines(out *json.Encoder) {
	for _, e := range l.open.ends {
		_ = out.Encode(entry{End: &e}) // into memory
	}
	for k := range l.open.notes {
		_ = out.Encode(entry{Note: &l.open.notes[k]})
	}
	for run := range l.open.ready {
		_ = out.Encode(entry{Ready: run})
	}
}

// read puts a line that was read back into its place.
func (u *unhandled) read(e *entry) {
	switch {
	case e.End != nil:
		if u.ends == nil {
			u.ends = map[core.RunID]endEntry{}
		}
		u.ends[e.End.Run] = *e.End
	case e.Note != nil:
		u.notes = append(u.notes, *e.Note)
	case e.Ready != 0:
		if u.ready == nil {
			u.ready = map[core.RunID]bool{}
		}
		u.ready[e.Ready] = true
	case e.Handled != 0:
		for len(u.notes) > 0 && u.notes[0].Seq <= e.Handled {
			u.notes = u.notes[1:]
		}
	}
}

// again is what the core must be told of these, in their order: notifications, then
// ends. Notifications of runs and incarnations that are gone fall through there.
func (u *unhandled) again(w *World, known map[core.RunID]bool) (told []core.Event) {
	for _, n := range u.notes {
		if n.Event.FDStore > 0 {
			// They were taken from the socket and not yet given to the keeper.
			w.warn(n.Event.Unit, "descriptors that it gave away as the manager was killed are lost")
			n.Event.FDStore = 0
		}
		told = append(told, n.Event)
	}
	for run, e := range u.ends {
		if known[run] {
			told = append(told, e.event())
		}
	}
	return told
}

func (e *endEntry) event() core.Event {
	if e.Stage != "" {
		return core.SpawnFailed{Run: e.Run, Stage: e.Stage, Errno: e.Errno}
	}
	return core.Exited{Run: e.Run, Code: e.Status.Code, Signal: e.Status.Signal, Core: e.Status.Core}
}

// lastEnds are how the main processes of units ended the last time.
type lastEnds struct {
	by map[string]LastEnd
}

// LastEnd is one end of a main process.
type LastEnd struct {
	pidfd.Status
	At time.Time
}

// maxEnds bounds the units that are remembered; instances may be without number.
const maxEnds = 4096

// note is called with reg.mu held.
func (l *lastEnds) note(unit string, e LastEnd) {
	if l.by == nil {
		l.by = map[string]LastEnd{}
	}
	if _, ok := l.by[unit]; !ok && len(l.by) >= maxEnds {
		oldest := ""
		for name := range l.by {
			if oldest == "" || l.by[name].At.Before(l.by[oldest].At) {
				oldest = name
			}
		}
		delete(l.by, oldest)
	}
	l.by[unit] = e
}

// forgetUnit forgets what is remembered of a unit that the core has forgotten: sessions,
// connections and transient units come and go without number, each with a name of its own.
func (w *World) forgetUnit(unit string) {
	w.reg.mu.Lock()
	w.reg.forgetWarnings(unit)
	delete(w.ineffective, unit)
	delete(w.ends.by, unit)
	delete(w.liveMounts, unit)
	w.commands.forget(unit)
	w.reg.mu.Unlock()
	w.kept.mu.Lock()
	delete(w.kept.refused, unit)
	w.kept.mu.Unlock()
	p := &w.senses.pathUnits
	p.mu.Lock()
	delete(p.existed, unit)
	p.mu.Unlock()
	if w.cfg.Gone != nil {
		w.cfg.Gone(unit)
	}
}

// LastEnd is how the unit's main process ended the last time, as far as somebody has
// seen it.
func (w *World) LastEnd(unit string) (LastEnd, bool) {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	e, ok := w.ends.by[unit]
	return e, ok
}
