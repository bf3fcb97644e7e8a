package api

import (
	"context"
	"strings"
	"time"

	"dynamod/internal/ipc"
	"dynamod/internal/unitname"
	"dynamod/sd1bridge/internal/translate"
)

// settle is how long changes of properties are gathered before they are told: a unit
// that starts goes through several states at once. Where telling takes long, on a slow or
// busy machine, they are gathered for four times as long as that took, up to settleMost: what
// nobody waits for must not hold up the manager's own work there.
const (
	settle     = 10 * time.Millisecond
	settleMost = 200 * time.Millisecond
)

// gather is how long to gather after telling took that long.
func gather(took time.Duration) time.Duration { return min(max(settle, 4*took), settleMost) }

// Run turns the manager's events into signals until ctx ends.
func (s *Server) Run(ctx context.Context) {
	flush := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() { // ends with ctx
		defer close(done)
		t := time.NewTimer(0)
		<-t.C
		took := time.Duration(0)
		for {
			select {
			case <-flush:
				t.Reset(gather(took))
				select {
				case <-t.C:
				case <-ctx.Done():
					return
				}
				began := time.Now()
				s.bus.Flush()
				took = time.Since(began)
				s.atRest()
			case <-ctx.Done():
				return
			}
		}
	}()
	soon := func() {
		if !s.bus.Listening() {
			return
		}
		select {
		case flush <- struct{}{}:
		default:
		}
	}
	s.up.Listen(ctx, func() { s.caughtUp(); soon() }, func(e ipc.Event) { s.heard(e); soon() })
	<-done
}

// caughtUp finds out what happened while the manager was not heard: jobs that are
// gone, names of the bus that services wait for.
func (s *Server) caughtUp() {
	s.ping()
	former := true
	s.first.Do(func() { s.forgetFormer(); former = false })
	if former {
		s.holdAgain()
		if s.bus.Listening() {
			s.allChanged()
		}
	}
	s.wantedNames()
	s.knownJobs()
}

// knownJobs finds out which jobs there are, and how those ended that are not there any more.
func (s *Server) knownJobs() {
	s.jobs.order.Lock() // a client may be asking for one
	defer s.jobs.order.Unlock()
	ctx, cancel := s.ctx(nil)
	defer cancel()
	list, err := s.up.Jobs(ctx)
	if err != nil {
		s.log.Warn("jobs could not be listed: that some are gone is not told", "err", err)
		return
	}
	there := map[uint32]bool{}
	for _, j := range list {
		there[j.ID] = true
		s.announce(j.ID, j.Unit, false)
	}
	s.jobs.mu.Lock()
	over := map[uint32]bool{}
	for id, told := range s.jobs.open {
		if !there[id] && id < firstIdle {
			over[id] = told
		}
	}
	s.jobs.mu.Unlock()
	listening := s.bus.Listening()
	for id, told := range over {
		unit, result := "", "canceled"
		if told || listening { // else nobody is told how it ended
			list, err := s.up.Jobs(ctx, id)
			if err != nil && ipc.KindOf(err) != "NoSuchJob" {
				s.log.Warn("a job's end could not be asked for", "job", id, "err", err)
				continue
			}
			for _, j := range list {
				unit, result = j.Unit, jobResult(j.Result)
			}
		}
		s.retire(id, unit, result)
	}
}

// wantedNames looks for services that take a name on the bus: the manager tells of
// such wishes only when they change.
func (s *Server) wantedNames() {
	ctx, cancel := s.ctx(nil)
	defer cancel()
	list, err := s.up.List(ctx, ipc.ListArgs{Types: []string{"service"}})
	if err != nil {
		s.log.Warn("services could not be listed", "err", err)
	}
	for _, row := range list {
		if row.BusName != "" && row.Active != "inactive" && row.Active != "failed" {
			s.want(row.BusName, row.Name)
		}
	}
}

// jobResult is systemd's word for how a job ended; the manager's own are the same.
func jobResult(r string) string { return word(r, "done") }

func (s *Server) heard(e ipc.Event) {
	manager := prefix + "Manager"
	if ended(e) {
		s.stdio.release(e.Unit)
	}
	switch e.Kind {
	case ipc.EventUnit, ipc.EventStatus:
		if e.Kind == ipc.EventUnit {
			s.shown.moved(s, e.Unit, e.Active)
		}
		s.changed(e.Unit)
		if strings.HasPrefix(e.Unit, "dbus") { // dbus.socket, dbus.service, dbus-broker.service
			s.wake()
		}
	case ipc.EventUnitNew:
		s.shown.forget(e.Unit)
		s.bus.Emit(translate.ManagerPath, manager, "UnitNew", e.Unit, path(translate.UnitPath(e.Unit)))
	case ipc.EventUnitGone:
		if s.shown.forget(e.Unit) {
			break // that was told already
		}
		s.bus.Emit(translate.ManagerPath, manager, "UnitRemoved", e.Unit, path(translate.UnitPath(e.Unit)))
	case ipc.EventJobNew:
		s.jobs.order.Lock()
		s.announce(e.Job, e.Unit, false)
		s.jobs.order.Unlock()
		s.bus.Changed(translate.UnitPath(e.Unit), prefix+"Unit", "Job")
	case ipc.EventJobDone:
		s.jobs.order.Lock()
		s.retire(e.Job, e.Unit, jobResult(e.Result))
		s.jobs.order.Unlock()
		s.bus.Changed(translate.UnitPath(e.Unit), prefix+"Unit", "Job")
	case ipc.EventReloaded:
		s.bus.Announce(translate.ManagerPath, manager, "UnitFilesChanged")
	case ipc.EventStarted:
		f := s.boot()
		before, began, finished := beforeKernel(s.opts.Root), translate.Micro(userspace(&f)), translate.Micro(f.Finished)
		s.bus.Announce(translate.ManagerPath, manager, "StartupFinished", before[0]-before[1], before[1], began, uint64(0), finished-began, before[0]+finished)
	case ipc.EventBusName:
		if e.Result == "wanted" {
			s.want(e.Text, e.Unit)
		} else {
			s.unwant(e.Unit)
		}
	case ipc.EventDropped:
		s.log.Warn("events of the manager were lost: signals may be missing", "count", e.Count)
		s.caughtUp()
	}
}

// Wake receives when the message bus may have come: whoever waits to join it need not
// wait longer.
func (s *Server) Wake() <-chan struct{} { return s.busComes }

func (s *Server) wake() {
	select {
	case s.busComes <- struct{}{}:
	default: // one is enough
	}
}

// allChanged notes that any unit may have changed while nobody listened.
func (s *Server) allChanged() {
	ctx, cancel := s.ctx(nil)
	defer cancel()
	list, err := s.up.List(ctx, ipc.ListArgs{})
	if err != nil {
		s.log.Warn("units could not be listed: clients may have old values", "err", err)
	}
	for _, u := range list {
		s.changed(u.Name)
	}
}

// changed notes that a unit has changed, for both of its interfaces.
func (s *Server) changed(name string) {
	n, err := unitname.Parse(name)
	if err != nil {
		return
	}
	p := translate.UnitPath(name)
	s.bus.Changed(p, prefix+"Unit")
	own := n.Type.String()
	if i := s.tables.by[string(own[0]-'a'+'A')+own[1:]]; i != nil {
		s.bus.Changed(p, i.Name)
	}
}
