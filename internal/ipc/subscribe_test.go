package ipc

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
)

func TestSubscriptionsFilter(t *testing.T) {
	h := newFake()
	h.visible = func(u string) bool { return u != "secret.service" }
	s, path := serve(t, h)
	all := []Event{
		{Kind: EventUnit, Unit: "a.service", State: "active"},
		{Kind: EventUnit, Unit: "a.service", State: "failed"},
		{Kind: EventUnit, Unit: "web-1.service", State: "failed"},
		{Kind: EventUnit, Unit: "a.socket", State: "failed"},
		{Kind: EventUnit, Unit: "secret.service", State: "failed"},
		{Kind: EventJobNew, Unit: "a.service", Job: 4},
		{Kind: EventStarted},
	}
	for _, c := range []struct {
		args SubscribeArgs
		want string
	}{
		{SubscribeArgs{}, "1 2 3 4 6 7"},
		{SubscribeArgs{Kinds: []string{EventUnit}}, "1 2 3 4"},
		{SubscribeArgs{Units: []string{"a"}}, "1 2 6 7"},
		{SubscribeArgs{Units: []string{"a.*", "web-*"}}, "1 2 3 4 6 7"},
		{SubscribeArgs{States: []string{"failed"}}, "2 3 4 6 7"},
		{SubscribeArgs{Kinds: []string{EventUnit}, Units: []string{"secret.service"}}, ""},
	} {
		sub, err := dial(t, path).Subscribe(t.Context(), c.args)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			s.Publish(e)
		}
		s.Publish(Event{Kind: EventServerGone}) // reaches everybody
		var got []string
		for {
			e, err := sub.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind == EventServerGone {
				break
			}
			got = append(got, fmt.Sprint(e.Seq-sub.Seq))
			if want := all[e.Seq-sub.Seq-1]; e.Unit != want.Unit || e.State != want.State || e.Job != want.Job {
				t.Errorf("event %d came as %+v; want %+v", e.Seq, e, want)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v: events %v; want %s", c.args, got, c.want)
		}
	}
}

// TestLostEventsAreTold: every event is either sent or counted, in its place.
func TestLostEventsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(newFake(), nil)
		defer s.Close()
		c := pipe(t, s, Peer{})
		c.say(`{"jsonrpc":"2.0","id":1,"method":"subscribe"}` + "\n")
		c.hear()
		total := uint64(0)
		burst := func(n int) {
			for range n {
				s.Publish(Event{Kind: EventStatus, Unit: "a.service", Text: strings.Repeat("x", 3000)})
			}
			total += uint64(n)
		}
		next, lost := uint64(1), uint64(0)
		read := func() {
			e := c.event()
			if e.Kind == EventDropped {
				lost += e.Count
				next += e.Count
				if e.Seq != next-1 {
					t.Fatalf("%d events before %d were lost, and the last one is %d", e.Count, next, e.Seq)
				}
				return
			}
			if e.Seq != next {
				t.Fatalf("event %d comes in the place of %d", e.Seq, next)
			}
			if len(e.Text) > maxEventText+8 {
				t.Fatalf("a text of %d bytes", len(e.Text))
			}
			next++
		}
		burst(10 * MaxQueued)
		for range 50 {
			read()
		}
		synctest.Wait()
		burst(10 * MaxQueued)
		for next <= total {
			read()
		}
		if lost == 0 {
			t.Error("nothing was lost, so this tests nothing")
		}
		// Filters may be changed, and after the end there is silence.
		c.say(`{"jsonrpc":"2.0","id":2,"method":"subscribe","params":{"kinds":["started"]}}` + "\n")
		c.hear()
		burst(1)
		s.Publish(Event{Kind: EventStarted})
		if e := c.event(); e.Kind != EventStarted {
			t.Errorf("with another filter: %+v", e)
		}
		c.say(`{"jsonrpc":"2.0","id":3,"method":"unsubscribe"}` + "\n")
		c.hear()
		burst(1)
		c.say(`{"jsonrpc":"2.0","id":4,"method":"subscribe"}` + "\n")
		if r := c.hear(); string(r.ID) != "4" {
			t.Errorf("heard %+v", r)
		}
		s.Publish(Event{Kind: EventStarted})
		if e := c.event(); e.Kind != EventStarted {
			t.Errorf("subscribed again: %+v", e)
		}
	})
}

// TestTheLastLossIsTold: a client that catches up hears of its losses at once, not
// with the next event.
func TestTheLastLossIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(newFake(), nil)
		defer s.Close()
		c := pipe(t, s, Peer{})
		c.say(`{"jsonrpc":"2.0","id":1,"method":"subscribe"}` + "\n")
		c.hear()
		const n = 3 * MaxQueued
		for range n {
			s.Publish(Event{Kind: EventStarted})
		}
		heard := uint64(0)
		for heard < n {
			if e := c.event(); e.Kind == EventDropped {
				heard += e.Count
			} else {
				heard++
			}
		}
	})
}

// TestMergedEvents: who asked for it gets what units are, in order and bounded, however
// much happens before it reads; and every event is sent, stood for or counted.
func TestMergedEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(newFake(), nil)
		defer s.Close()
		c := pipe(t, s, Peer{})
		c.say(`{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"merge":true}}` + "\n")
		c.hear()
		// The writer is busy with this one until it is read.
		s.Publish(Event{Kind: EventStarted})
		synctest.Wait()
		unit := func(name, from, active string) {
			s.Publish(Event{Kind: EventUnit, Unit: name, From: from, State: active, Active: active})
		}
		for _, name := range []string{"a.service", "b.service"} {
			s.Publish(Event{Kind: EventJobNew, Unit: name, Job: 1})
			unit(name, "inactive", "activating")
		}
		for range 2 * MaxMerged {
			s.Publish(Event{Kind: EventStatus, Unit: "a.service", Text: "busy"})
		}
		unit("a.service", "activating", "active")
		s.Publish(Event{Kind: EventStatus, Unit: "a.service", Text: "done"})
		s.Publish(Event{Kind: EventJobDone, Unit: "a.service", Job: 1})
		unit("b.service", "activating", "failed")
		unit("b.service", "failed", "activating") // it was at rest: that is told
		unit("b.service", "activating", "active")
		unit("c.service", "inactive", "activating")
		s.Publish(Event{Kind: EventUnitGone, Unit: "c.service"})
		unit("c.service", "inactive", "active") // another c.service
		if e := c.event(); e.Kind != EventStarted {
			t.Fatalf("first %+v", e)
		}
		last := uint64(1)
		for _, want := range []Event{
			{Kind: EventJobNew, Unit: "a.service"},
			{Kind: EventUnit, Unit: "a.service", From: "inactive", Active: "active", Count: 1},
			{Kind: EventJobNew, Unit: "b.service"},
			{Kind: EventUnit, Unit: "b.service", From: "inactive", Active: "failed", Count: 1},
			{Kind: EventStatus, Unit: "a.service", Text: "done", Count: 2 * MaxMerged},
			{Kind: EventJobDone, Unit: "a.service"},
			{Kind: EventUnit, Unit: "b.service", From: "failed", Active: "active", Count: 1},
			{Kind: EventUnit, Unit: "c.service", From: "inactive", Active: "activating"},
			{Kind: EventUnitGone, Unit: "c.service"},
			{Kind: EventUnit, Unit: "c.service", From: "inactive", Active: "active"},
		} {
			e := c.event()
			if e.Kind != want.Kind || e.Unit != want.Unit || e.From != want.From || e.Active != want.Active || e.Text != want.Text || e.Count != want.Count {
				t.Errorf("came %+v; want %+v", e, want)
			}
			if e.Seq <= last {
				t.Errorf("event %d comes after %d", e.Seq, last)
			}
			last = e.Seq
		}
		// What was read is merged with nothing, and what does not fit is counted.
		s.Publish(Event{Kind: EventStarted})
		synctest.Wait()
		for k := range MaxMerged + 10 {
			unit(fmt.Sprintf("n%d.service", k), "inactive", "active")
			unit(fmt.Sprintf("n%d.service", k), "active", "deactivating")
		}
		c.event()
		events, others, lost := 0, uint64(0), uint64(0)
		for events+int(others+lost) < 2*(MaxMerged+10) {
			if e := c.event(); e.Kind == EventDropped {
				lost += e.Count
			} else {
				events, others = events+1, others+e.Count
			}
		}
		if events > MaxMerged+1 || lost == 0 || others == 0 {
			t.Errorf("%d events for %d others, %d lost", events, others, lost)
		}
	})
}

// TestMergedOfStrangers: merging gives nobody but root and the manager's own user more of
// its memory than others have.
func TestMergedOfStrangers(t *testing.T) {
	own := uint32(os.Geteuid())
	for _, x := range []struct {
		uid  uint32
		room int
	}{{0, MaxMerged}, {own, MaxMerged}, {own + 1000, MaxQueued}} {
		synctest.Test(t, func(t *testing.T) {
			s := NewServer(newFake(), nil)
			defer s.Close()
			c := pipe(t, s, Peer{UID: x.uid})
			c.say(`{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"merge":true}}` + "\n")
			c.hear()
			s.Publish(Event{Kind: EventStarted})
			synctest.Wait() // the writer is busy with it
			for range MaxMerged + 7 {
				s.Publish(Event{Kind: EventJobNew, Unit: "a.service"})
			}
			got := 0
			for e := c.event(); e.Kind != EventDropped; e = c.event() {
				got++
			}
			if got != 1+x.room {
				t.Errorf("user %d: %d events and then a loss; want %d", x.uid, got, 1+x.room)
			}
		})
	}
}

func BenchmarkPublish(b *testing.B) {
	s := NewServer(newFake(), nil)
	e := Event{Kind: EventUnit, Unit: "a.service", From: "starting", State: "active", Cause: &Cause{Kind: "request"}}
	b.Run("nobody", func(b *testing.B) {
		for b.Loop() {
			s.Publish(e)
		}
	})
	c := newConn(s, nil, Peer{})
	c.subscribe(SubscribeArgs{}, nil)
	b.Run("one who does not read", func(b *testing.B) {
		for b.Loop() {
			s.Publish(e)
		}
	})
}
