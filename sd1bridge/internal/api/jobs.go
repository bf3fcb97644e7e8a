package api

import (
	"strconv"
	"sync"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/bus"
	"dynamod/internal/ipc"
	"dynamod/sd1bridge/internal/translate"
)

// jobs keeps the order that clients rely on: JobNew comes before the answer to the
// call that made the job, and JobRemoved after it. Calls that make jobs hold the lock
// for reading from their request to their answer; events take it for writing.
type jobs struct {
	order sync.RWMutex

	mu sync.Mutex
	// open are the jobs that the manager is known to have, and whether the bus was told of
	// each: of those that a client asked for it is in any case, of others while somebody
	// has subscribed. At most as many as the manager has.
	open map[uint32]bool
	// idle counts the jobs that ended before they began, downwards from the top:
	// the manager makes none where there is nothing to do, and clients wait for one.
	idle uint32
}

// firstIdle is where the numbers of jobs begin that the manager does not know: it counts
// upwards, and would need centuries to come there.
const firstIdle = 1 << 31

func jobPath(id uint32) dbus.ObjectPath {
	return path(translate.JobsPath + "/" + strconv.FormatUint(uint64(id), 10))
}

// announce sends JobNew, once: to all of a job that a client asks for, else to those who
// listen. One that was there before a client asked for it too is not new.
func (s *Server) announce(id uint32, unit string, asked bool) {
	s.jobs.mu.Lock()
	told, known := s.jobs.open[id]
	s.jobs.open[id] = told || asked
	s.jobs.mu.Unlock()
	switch {
	case known:
	case asked:
		s.bus.Announce(translate.ManagerPath, prefix+"Manager", "JobNew", id, jobPath(id), unit)
	default:
		s.bus.Emit(translate.ManagerPath, prefix+"Manager", "JobNew", id, jobPath(id), unit)
	}
}

// retire sends JobRemoved, once, and for no job that is not known: to all if they were told
// of it, else to those who listen now, who may have seen it in a list.
func (s *Server) retire(id uint32, unit, result string) {
	s.jobs.mu.Lock()
	told, known := s.jobs.open[id]
	delete(s.jobs.open, id)
	s.jobs.mu.Unlock()
	switch {
	case told:
		s.bus.Announce(translate.ManagerPath, prefix+"Manager", "JobRemoved", id, jobPath(id), unit, result)
	case known:
		s.bus.Emit(translate.ManagerPath, prefix+"Manager", "JobRemoved", id, jobPath(id), unit, result)
	}
}

// begin asks for a job and answers the call with its path.
func (s *Server) begin(c *bus.Call, v ipc.Verb, unit, mode string) error {
	s.jobs.order.RLock()
	id, ended, err := s.enqueue(c, v, unit, mode)
	if err == nil {
		err = c.Reply(jobPath(id))
	}
	s.jobs.order.RUnlock()
	if ended {
		s.retire(id, unit, "done")
	}
	return err
}

// enqueue asks for a job and announces it. ended says that there was nothing to do:
// the job is one for the client's eyes, and retire is to be called when it has the
// answer.
func (s *Server) enqueue(c *bus.Call, v ipc.Verb, unit, mode string) (id uint32, ended bool, err error) {
	var r ipc.JobResult
	if err := s.ask(c, v, &ipc.JobArgs{Unit: unit, Mode: mode, Force: true}, &r); err != nil {
		return 0, false, s.asSystemd(err, v, unit)
	}
	id, ended = s.known(r.Job)
	s.announce(id, unit, true)
	return id, ended, nil
}

// known gives a job for the client's eyes a number where the manager made none.
func (s *Server) known(id uint32) (_ uint32, ended bool) {
	if id != 0 {
		return id, false
	}
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	s.jobs.idle++
	return -s.jobs.idle, true
}

// jobObject is one job; jobs that ended are no objects.
type jobObject struct {
	s   *Server
	job ipc.Job
}

func (s *Server) findJob(c *bus.Call, label string) (any, []*bus.Interface, error) {
	id, err := strconv.ParseUint(label, 10, 32)
	unknown := bus.Errorf(bus.ErrUnknownObject, "Unknown object '%s'.", translate.JobsPath+"/"+label)
	if err != nil {
		return nil, nil, unknown
	}
	j, err := s.job(c, uint32(id))
	if err != nil {
		return nil, nil, unknown
	}
	return &jobObject{s, j}, []*bus.Interface{s.tables.by["Job"]}, nil
}

func (s *Server) job(c *bus.Call, id uint32) (ipc.Job, error) {
	ctx, cancel := s.ctx(c)
	defer cancel()
	list, err := s.up.Jobs(ctx, id)
	if err != nil && ipc.KindOf(err) != "NoSuchJob" {
		return ipc.Job{}, named(err)
	}
	for _, j := range list {
		if j.ID == id && j.State != "ended" {
			return j, nil
		}
	}
	return ipc.Job{}, bus.Errorf(prefix+"NoSuchJob", "Job %d does not exist.", id)
}

var jobProperties = map[string]func(*jobObject) any{
	"Id":      func(j *jobObject) any { return j.job.ID },
	"JobType": func(j *jobObject) any { return j.job.Type },
	"State":   func(j *jobObject) any { return j.job.State },
	"Unit":    func(j *jobObject) any { return unitRef{j.job.Unit, path(translate.UnitPath(j.job.Unit))} },
}

// jobRow is (usssoo) of ListJobs.
type jobRow struct {
	ID                uint32
	Unit, Type, State string
	Path, UnitPath    dbus.ObjectPath
}

func jobRowOf(j ipc.Job) jobRow {
	return jobRow{j.ID, j.Unit, j.Type, j.State, jobPath(j.ID), path(translate.UnitPath(j.Unit))}
}

func (s *Server) jobRows(c *bus.Call, keep func(ipc.Job) bool) ([]jobRow, error) {
	ctx, cancel := s.ctx(c)
	defer cancel()
	list, err := s.up.Jobs(ctx)
	if err != nil {
		return nil, named(err)
	}
	out := []jobRow{}
	for _, j := range list {
		if keep(j) {
			out = append(out, jobRowOf(j))
		}
	}
	return out, nil
}

// around lists the jobs that a job waits for, or those that wait for it.
func (s *Server) around(c *bus.Call, id uint32, before bool) ([]jobRow, error) {
	me, err := s.job(c, id)
	if err != nil {
		return nil, err
	}
	return s.jobRows(c, func(j ipc.Job) bool {
		list, name := j.WaitsFor, me.Unit
		if before {
			list, name = me.WaitsFor, j.Unit
		}
		for _, w := range list {
			if w == name {
				return true
			}
		}
		return false
	})
}
