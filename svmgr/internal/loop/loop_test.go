package loop

import (
	"context"
	"log/slog"
	"testing"

	"dynamod/svmgr/internal/core"
)

// echo answers every Spawn with SpawnDone and every signal with the end.
type echo struct {
	l    *Loop
	runs []core.RunID
}

func (e *echo) Stale(core.Event) bool { return false }
func (e *echo) Handled(core.Event)    {}

func (e *echo) Perform(a core.Action) {
	switch a := a.(type) {
	case core.Spawn:
		e.runs = append(e.runs, a.Run)
		go e.l.Post(core.SpawnDone{Run: a.Run}) // ends at once
	case core.Signal:
		if len(e.runs) == 0 {
			return
		}
		run := e.runs[0]
		e.runs = nil
		go func() { // ends after two posts
			e.l.Post(core.Exited{Run: run, Signal: 15})
			e.l.Post(core.CgroupEmpty{Unit: a.Unit, Incarnation: a.Incarnation})
		}()
	}
}

func TestRequestsAreAnswered(t *testing.T) {
	_, fresh, _ := small(t)
	e := &echo{}
	handed := make(chan core.ShutdownKind, 1)
	l := New(Options{Core: fresh(), Actor: e, Log: slog.Default(), HandedOver: func(k core.ShutdownKind) { handed <- k }})
	e.l = l
	ended := make(chan struct{})
	go func() { l.Run(context.Background()); close(ended) }() // ends with the hand-over
	ask := func(v core.Verb, name string) core.Reply {
		return <-l.Ask(func(id core.RequestID) core.Event {
			return core.Request{ID: id, Verb: v, Unit: name, Wait: true}
		})
	}
	if r := ask(core.VerbStart, "a.service"); r.Err != nil || r.Result != core.JobDone {
		t.Fatalf("start = %+v", r)
	}
	if r := ask(core.VerbStart, "b.service"); r.Err == nil || r.Err.Kind != "NoSuchUnit" {
		t.Fatalf("start of a missing unit = %+v", r)
	}
	l.Query(func(c *core.Core) {
		if u, _ := c.View().Unit("a.service"); u.State != core.Active {
			t.Errorf("a.service is %v; want active", u.State)
		}
	})
	l.Ask(func(id core.RequestID) core.Event { return core.ShutdownRequested{Kind: core.Exit, Request: id} })
	if k := <-handed; k != core.Exit {
		t.Errorf("handed over %v; want exit", k)
	}
	<-ended
	if r := ask(core.VerbStart, "a.service"); r.Err == nil || r.Err.Kind != "ShuttingDown" {
		t.Errorf("a request after the end = %+v", r)
	}
	l.Post(core.Tick{}) // must not hang
}

func TestRunEndsWithItsContext(t *testing.T) {
	_, fresh, _ := small(t)
	l := New(Options{Core: fresh(), Actor: &echo{}, Log: slog.Default()})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { l.Run(ctx); close(ended) }() // ends with the context
	cancel()
	<-ended
}
