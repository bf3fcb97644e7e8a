package sim

import (
	"time"

	"dynamod/internal/graph"
	"dynamod/svmgr/internal/core"
)

// Options choose what a run does besides checking.
type Options struct {
	// Least and Most bound the number of generated units.
	Least, Most int
	// Record keeps the trace, Hash the hash of all actions.
	Record, Hash bool
	Coverage     *Coverage
	// NoKills spares the manager: no kill, no snapshot.
	NoKills bool
	// Tell gets every event and action as text.
	Tell func(string)
}

// Result is one finished history.
type Result struct {
	Scenario  *Scenario
	Entries   []Entry
	Violation *Violation
	Hash      uint64
	Steps     int
	Units     int
	Virtual   time.Duration
}

// Run plays the history of a seed. An error is a mistake of the simulator
// (a generated unit that does not build), a Violation one of the core.
func Run(seed uint64, o Options) (*Result, error) {
	sc := Generate(seed, o.Least, o.Most)
	d := newDice(seed, historyStream)
	h, err := newHistory(sc, d, wild, o.Coverage)
	if err != nil {
		return nil, err
	}
	h.record, h.hashing, h.tell, h.immortal = o.Record, o.Hash, o.Tell, o.NoKills
	err = h.play(d)
	if h.record {
		h.entries = append(h.entries, Entry{h.now, "End"})
	}
	return &Result{Scenario: sc, Entries: h.entries, Violation: h.failed(), Hash: h.sum, Steps: h.steps,
		Units: len(sc.Gens[0].Units), Virtual: h.now - bootedAt}, err
}

// phase bounds one part of a history.
type phase struct {
	until time.Duration
	steps int
	// mean is the pause between things from outside; 0 for none.
	mean time.Duration
}

func (h *history) play(d dice) error {
	defer h.guard()
	if err := h.begin(); err != nil {
		return err
	}
	c := newChaos(d, h.sc, h.world)
	c.jobs = func() []core.JobView { return h.core.View().Jobs() }
	h.restored = func() (core.ManagerRestored, time.Duration) {
		ev := h.world.restart()
		for _, id := range h.unborn() {
			if d.in(80) { // else it is not known, as when the record was torn
				ev.Unborn = append(ev.Unborn, id)
			}
		}
		return ev, d.span(5 * time.Second)
	}
	n := len(h.sc.Gens[0].Units)
	if err := h.step(input{ev: core.Request{ID: c.id(), Verb: core.VerbStart, Unit: "default.target",
		Source: core.SourceBoot, Wait: true}}); err != nil {
		return err
	}
	length := pick(d, 10*time.Second, time.Minute, 5*time.Minute)
	rate := pick(d, 20*time.Millisecond, 300*time.Millisecond, 2*time.Second)
	down := d.in(8) // a shutdown in the middle
	if err := h.pass(c, phase{h.now + length, 150 + 12*n, rate}); err != nil || h.failed() != nil {
		return err
	}
	if !h.obs.down && !down && d.in(60) {
		if err := h.quiet(15 * n); err != nil || h.failed() != nil {
			return err
		}
	}
	kind := core.ShutdownKind(d.IntN(6))
	if err := h.shutDown(kind, c.id(), d.in(5)); err != nil || h.failed() != nil {
		return err
	}
	if d.in(10) { // nobody waits for the end
		if err := h.pass(c, phase{h.now + d.span(10*time.Second), 100 + n, rate}); err != nil || h.failed() != nil {
			return err
		}
		if err := h.shutDown(kind, c.id(), true); err != nil || h.failed() != nil {
			return err
		}
	}
	if h.world.mood == wild && d.in(70) {
		if err := h.pass(c, phase{h.now + d.span(10*time.Second), 100 + n, rate}); err != nil || h.failed() != nil {
			return err
		}
	}
	return h.end()
}

// quiet calms the world and lets the core come to rest.
func (h *history) quiet(steps int) error {
	h.world.calmDown()
	until := h.now + stuckAfter + 4*time.Minute
	if err := h.pass(nil, phase{until, 1500 + steps, 0}); err != nil || h.failed() != nil {
		return err
	}
	h.obs.now = h.now
	if h.obs.handedOver {
		return nil // an emergency ended the history
	}
	h.obs.stuck()
	h.obs.agree()
	h.obs.armed()
	return nil
}

func (h *history) shutDown(kind core.ShutdownKind, id core.RequestID, now bool) error {
	return h.step(input{ev: core.ShutdownRequested{Kind: kind, Request: id, Now: now}})
}

// end lets a shutdown come to its end and checks what is owed.
func (h *history) end() error {
	limit := h.obs.shutdownAt + h.obs.shutLimit + time.Second
	for !h.obs.handedOver && h.now <= limit {
		if err := h.pass(nil, phase{h.now + 5*time.Second, 4000, 0}); err != nil || h.failed() != nil {
			return err
		}
		h.obs.now = h.now
		h.obs.overdue()
		if h.failed() != nil {
			return nil
		}
	}
	if !h.obs.handedOver {
		h.obs.now = limit
		h.obs.overdue()
	}
	h.obs.agree()
	h.obs.settled()
	return nil
}

// pass lets time go by: reports arrive, deadlines come, and c, if given, acts.
func (h *history) pass(c *chaos, p phase) error {
	next := time.Duration(never)
	if c != nil {
		next = h.now + c.pause(p.mean)
	}
	for last := h.steps + p.steps; h.steps < last && h.failed() == nil; {
		w, okW := h.world.todo.next()
		t, okT := h.tickDue()
		switch {
		case okW && w <= next && (!okT || w <= t):
			if w > p.until {
				h.now = p.until
				return nil
			}
			h.now = max(h.now, w)
			if ev := h.world.advance(); ev != nil {
				h.maybeKill(c)
				if err := h.step(input{ev: ev}); err != nil {
					return err
				}
			}
		case next != never && (!okT || next <= t):
			if next > p.until {
				h.now = p.until
				return nil
			}
			h.now = max(h.now, next)
			next = h.now + c.pause(p.mean)
			if err := h.outside(c); err != nil {
				return err
			}
		case okT:
			if t > p.until {
				h.now = p.until
				return nil
			}
			h.maybeKill(c)
			if err := h.tick(t); err != nil {
				return err
			}
		default:
			h.now = p.until
			return nil
		}
	}
	return nil
}

// maybeKill decides whether the manager dies after the coming Step.
func (h *history) maybeKill(c *chaos) {
	if c == nil || h.obs.handedOver || h.immortal {
		return
	}
	switch r := c.IntN(600); {
	case r == 0:
		h.die(allActionsDone)
	case r == 1:
		h.die(c.IntN(4))
	case r < 8 && h.twin == nil:
		if err := h.fork(5 + c.IntN(40)); err != nil {
			h.obs.violated("f-restore", "-", "%v", err)
		}
	}
}

func (h *history) die(performed int) { h.kill = performed }

// outside lets chaos act once.
func (h *history) outside(c *chaos) error {
	ev := c.event()
	in := input{ev: ev}
	switch ev := ev.(type) {
	case nil:
		return nil
	case core.Loaded:
		s := c.unload(func(s *Spec) bool { return acceptSocket(s.Name) == "" })
		c.take(s)
		c.names = append(c.names, s.Name)
		// Somebody looks at it, or starts it.
		ev.Hold = true
		in.ev, in.specs = ev, []*Spec{s}
		h.maybeKill(c)
		if err := h.step(in); err != nil {
			return err
		}
		if c.in(80) && h.failed() == nil {
			h.maybeKill(c)
			if err := h.step(input{ev: core.Request{ID: c.id(), Verb: core.VerbStart, Unit: s.Name, Mode: graph.Fail,
				Source: core.SourceDBus, Wait: c.in(50)}}); err != nil {
				return err
			}
		}
		if h.failed() != nil {
			return nil
		}
		in = input{ev: core.Released{Names: []string{s.Name}}}
	case core.Accepted:
		s := c.unload(func(s *Spec) bool {
			sock := acceptSocket(s.Name)
			return sock != "" && h.world.listening[sock]
		})
		if s == nil {
			return nil
		}
		c.take(s)
		c.names = append(c.names, s.Name)
		in.specs = []*Spec{s}
	case core.Reloaded:
		c.gen++
		in.gen = c.gen
		ev.Request = c.id()
		in.ev = ev
	case core.ClockJump:
		in.jump = pick(c.dice, time.Hour, -time.Hour, 25*time.Hour, -3*time.Second, 48*24*time.Hour, time.Millisecond)
	}
	h.maybeKill(c)
	return h.step(in)
}
