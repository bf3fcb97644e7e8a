package live

import (
	"context"
	"errors"
	"slices"
	"time"

	"dynamod/internal/ipc"
)

// Request is one verb for several units, in this order.
type Request struct {
	Verb  ipc.Verb
	Units []string
	// Args are for each unit; Unit and Wait are set by Run.
	Args   ipc.JobArgs
	NoWait bool
	// Tick asks for a report of progress; nil if nobody looks.
	Tick <-chan time.Time
	// Progress gets the jobs that have not ended, nil in the end.
	Progress func([]ipc.Job)
}

// Outcome is what became of the request for one unit.
type Outcome struct {
	// Name is as the operator gave it.
	Name string
	ipc.JobResult
	// Err is the refusal.
	Err error
	// Why explains a result that is not good.
	Why *ipc.WhyResult
}

// Good says whether the unit is as was wanted.
func (o *Outcome) Good() bool {
	switch o.Result {
	case "", "done", "skipped", "merged":
		return o.Err == nil
	}
	return false
}

// Run queues one job per unit in the given order, so that a later one finds what
// an earlier one asked for, and then waits for all of them. ctx ends the waiting,
// not the jobs; the outcomes so far are returned with its error.
func Run(ctx context.Context, c *ipc.Client, t Target, r Request) ([]Outcome, error) {
	wait := !r.NoWait && !r.Args.DryRun
	out := make([]Outcome, len(r.Units))
	w := waiter{target: t, client: c, pending: map[uint32][]int{}, out: out}
	defer w.close()
	if wait {
		// Before the first job, so that no end of one is missed.
		w.subscribe(ctx)
	}
	for i, name := range r.Units {
		args := r.Args
		args.Unit = name
		// Without events the manager must hold the answer back itself.
		args.Wait = wait && w.events == nil
		out[i].Name = name
		out[i].Err = c.Call(ctx, r.Verb, &args, &out[i].JobResult)
		if out[i].Err == nil && wait && out[i].Job != 0 && out[i].Result == "" {
			w.pending[out[i].Job] = append(w.pending[out[i].Job], i)
		}
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
	}
	if err := w.wait(ctx, r.Tick, r.Progress); err != nil {
		return out, err
	}
	for i := range out {
		if out[i].Err == nil && !out[i].Good() {
			var why ipc.WhyResult
			if w.client.Call(ctx, ipc.VerbWhy, &ipc.UnitArgs{Unit: out[i].Name}, &why) == nil {
				out[i].Why = &why
			}
		}
	}
	return out, nil
}

// waiter collects the ends of jobs.
type waiter struct {
	target  Target
	client  *ipc.Client
	second  *ipc.Client // for events
	third   *ipc.Client // in place of client, after a lost connection
	events  *ipc.Subscription
	pending map[uint32][]int
	out     []Outcome
}

func (w *waiter) close() {
	if w.second != nil {
		w.second.Close()
	}
	if w.third != nil {
		w.third.Close()
	}
}

// subscribe opens a connection for events; without one, answers come late.
func (w *waiter) subscribe(ctx context.Context) {
	c, err := w.target.Dial(ctx)
	if err != nil {
		return
	}
	s, err := c.Subscribe(ctx, ipc.SubscribeArgs{Kinds: []string{ipc.EventJobDone}})
	if err != nil {
		c.Close()
		return
	}
	w.second, w.events = c, s
}

type arrival struct {
	event ipc.Event
	err   error
}

func (w *waiter) wait(ctx context.Context, tick <-chan time.Time, progress func([]ipc.Job)) error {
	if progress != nil {
		defer progress(nil)
	}
	for len(w.pending) > 0 {
		// The reader ends with its connection or with ctx, both of which end
		// when Run does.
		readCtx, stop := context.WithCancel(ctx)
		in := make(chan arrival)
		go func(s *ipc.Subscription) {
			for {
				e, err := s.Next(readCtx)
				select {
				case in <- arrival{e, err}:
				case <-readCtx.Done():
					return
				}
				if err != nil {
					return
				}
			}
		}(w.events)
		lost := w.collect(ctx, in, tick, progress)
		stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if lost == nil {
			return nil
		}
		// The manager died or was replaced. Jobs survive that, so their ends
		// can be asked for.
		if err := w.reconnect(ctx); err != nil {
			return err
		}
		if err := w.ask(ctx); err != nil {
			return err
		}
	}
	return nil
}

// collect takes events until no job is pending; an error means that no more
// will come.
func (w *waiter) collect(ctx context.Context, in <-chan arrival, tick <-chan time.Time, progress func([]ipc.Job)) error {
	for len(w.pending) > 0 {
		select {
		case a := <-in:
			switch {
			case a.err != nil:
				return a.err
			case a.event.Kind == ipc.EventJobDone:
				w.ended(a.event.Job, a.event.Result)
			case a.event.Kind == ipc.EventDropped:
				if err := w.ask(ctx); err != nil {
					return err
				}
			case a.event.Kind == ipc.EventServerGone:
				return errors.New("the manager is being replaced")
			}
		case <-tick:
			if progress == nil {
				continue
			}
			if jobs, err := w.jobs(ctx, nil); err == nil {
				progress(w.concern(jobs))
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// concern picks those jobs that are waited for; if they wait for others, those
// are in their WaitsFor.
func (w *waiter) concern(jobs []ipc.Job) []ipc.Job {
	return slices.DeleteFunc(jobs, func(j ipc.Job) bool { return w.pending[j.ID] == nil })
}

func (w *waiter) ended(id uint32, result string) {
	for _, i := range w.pending[id] {
		w.out[i].Result = result
	}
	delete(w.pending, id)
}

func (w *waiter) jobs(ctx context.Context, ids []uint32) ([]ipc.Job, error) {
	var all []ipc.Job
	args := ipc.JobsArgs{IDs: ids}
	err := ipc.Pages(ctx, w.client, ipc.VerbJobs, &args, &args.After, func(r *ipc.JobsResult) error {
		all = append(all, r.Jobs...)
		return nil
	})
	return all, err
}

// ask settles what ended while no event could come. A job that is not known any
// more ended long ago, and nobody knows how.
func (w *waiter) ask(ctx context.Context) error {
	ids := make([]uint32, 0, len(w.pending))
	for id := range w.pending {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		jobs, err := w.jobs(ctx, []uint32{id})
		switch {
		case ipc.KindOf(err) == "NoSuchJob", err == nil && len(jobs) == 0:
			w.ended(id, "lost")
		case err != nil:
			return err
		case jobs[0].Result != "":
			w.ended(id, jobs[0].Result)
		}
	}
	return nil
}

// comeback is how long a manager that was lost may take to be there again: PID 1
// starts it after half a second, and a replacement takes less.
const comeback = 10 * time.Second

func (w *waiter) reconnect(ctx context.Context) error {
	until, cancel := context.WithTimeout(ctx, comeback)
	defer cancel()
	w.close()
	pause := 50 * time.Millisecond
	for {
		c, err := w.target.Dial(until)
		if err == nil {
			w.third, w.client = c, c
			w.second, w.events = nil, nil
			if w.subscribe(until); w.events != nil {
				return nil
			}
			err = errors.New("the manager does not send events any more")
			c.Close()
			w.third = nil
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		case <-until.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
	}
}
