package ipc

import (
	"encoding/json"
	"path"
	"slices"
	"sync"
)

// subscribers are the connections that want events.
type subscribers struct {
	mu  sync.Mutex
	seq uint64
	set map[*subscription]struct{}
}

// subscription is what one connection wants, and its queue. All fields but queue
// and stop belong to subscribers.mu.
type subscription struct {
	args    SubscribeArgs
	visible func(string) bool
	// queue is bounded; what does not fit is counted and told.
	queue chan queued
	// stop is closed when no more events are wanted; the writer then writes
	// what is queued and ends.
	stop    chan struct{}
	stopped bool
	// lost counts events since the last one that fitted; lostSeq is the
	// newest of them.
	lost, lostSeq uint64
}

// queued is a line for a subscriber, and how many events were lost before it.
type queued struct {
	line          []byte
	lost, lostSeq uint64
}

// maxEventText bounds what a service says about itself within an event.
const maxEventText = 2048

// Publish sends an event to all who want it and may see it. It never waits for a
// client: those that do not read lose events and are told how many.
func (s *Server) Publish(e Event) {
	e.Text = shorten(e.Text, maxEventText)
	s.subs.mu.Lock()
	defer s.subs.mu.Unlock()
	s.subs.seq++
	e.Seq = s.subs.seq
	var line []byte
	for sub := range s.subs.set {
		if !sub.wants(&e) {
			continue
		}
		if line == nil {
			line = encodeEvent(&e)
		}
		select {
		case sub.queue <- queued{line, sub.lost, sub.lostSeq}:
			sub.lost = 0
		default:
			sub.lost++
			sub.lostSeq = e.Seq
		}
	}
}

func (s *subscription) wants(e *Event) bool {
	if e.Kind == EventServerGone {
		return true
	}
	if len(s.args.Kinds) > 0 && !slices.Contains(s.args.Kinds, e.Kind) {
		return false
	}
	if e.Kind == EventUnit && len(s.args.States) > 0 && !slices.Contains(s.args.States, e.State) {
		return false
	}
	if e.Unit == "" {
		return true
	}
	if len(s.args.Units) > 0 && !slices.ContainsFunc(s.args.Units, func(p string) bool { return matches(p, e.Unit) }) {
		return false
	}
	return s.visible == nil || s.visible(e.Unit)
}

// matches says whether a shell pattern, or a name with or without ".service",
// means the unit.
func matches(pattern, unit string) bool {
	if ok, _ := path.Match(pattern, unit); ok {
		return true
	}
	ok, _ := path.Match(pattern+".service", unit)
	return ok
}

func checkSubscription(a *SubscribeArgs) *Error {
	for _, k := range a.Kinds {
		if !slices.Contains(EventKinds, k) {
			return Errorf("InvalidArgs", "there is no event of the kind %q", clip(k)).WithHint("see `rpc.discover` and docs/ipc.md")
		}
	}
	for _, p := range a.Units {
		if _, err := path.Match(p, ""); err != nil {
			return Errorf("InvalidArgs", "%q is no pattern", clip(p))
		}
	}
	return nil
}

// subscribe begins or changes the connection's subscription, and returns the
// sequence number after which its events come.
func (c *conn) subscribe(a SubscribeArgs, visible func(string) bool) (seq uint64) {
	s := &c.server.subs
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.sub != nil && !c.sub.stopped {
		c.sub.args, c.sub.visible = a, visible
		return s.seq
	}
	c.sub = &subscription{args: a, visible: visible, queue: make(chan queued, MaxQueued),
		stop: make(chan struct{})}
	if s.set == nil {
		s.set = map[*subscription]struct{}{}
	}
	s.set[c.sub] = struct{}{}
	return s.seq
}

// unsubscribe ends the subscription if there is one; its writer then ends too.
func (c *conn) unsubscribe() {
	s := &c.server.subs
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.sub != nil && !c.sub.stopped {
		c.sub.stopped = true
		delete(s.set, c.sub)
		close(c.sub.stop)
	}
}

// batch bounds how many bytes of events go into one write.
const batch = 16 << 10

// writeEvents writes a subscription's events until it is stopped or the client is
// gone. It belongs to the connection.
func (c *conn) writeEvents(sub *subscription) {
	defer c.tasks.Done()
	var buf []byte
	add := func(q queued) {
		if q.lost > 0 {
			buf = append(buf, encodeEvent(&Event{Seq: q.lostSeq, Kind: EventDropped, Count: q.lost})...)
		}
		buf = append(buf, q.line...)
	}
	for stopped := false; ; {
		for len(buf) < batch {
			select {
			case q := <-sub.queue:
				add(q)
				continue
			default:
			}
			// All is read: what was lost after the last event is told now, for
			// the next one may be long in coming.
			c.server.subs.mu.Lock()
			if len(sub.queue) == 0 {
				add(queued{lost: sub.lost, lostSeq: sub.lostSeq})
				sub.lost = 0
			}
			c.server.subs.mu.Unlock()
			break
		}
		switch {
		case len(buf) > 0:
			if c.send(buf) != nil {
				c.unsubscribe()
				return
			}
			buf = buf[:0]
			continue // there may be more, or a loss to tell
		case stopped:
			return
		}
		select {
		case q := <-sub.queue:
			add(q)
		case <-sub.stop:
			stopped = true
		}
	}
}

// encodeEvent gives an event as a line.
func encodeEvent(e *Event) []byte {
	line, err := json.Marshal(struct {
		JSONRPC string `json:"jsonrpc"`
		Method  string `json:"method"`
		Params  *Event `json:"params"`
	}{"2.0", eventMethod, e})
	if err != nil {
		panic("ipc: an event that is not JSON: " + err.Error()) // it has only plain fields
	}
	return append(line, '\n')
}
