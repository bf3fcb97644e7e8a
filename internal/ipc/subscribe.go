package ipc

import (
	"encoding/json"
	"os"
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

// subscription is what one connection wants, and its queue. All fields but wake and stop
// belong to subscribers.mu.
type subscription struct {
	args    SubscribeArgs
	visible func(string) bool
	// room is how many events may wait.
	room int
	// queue is bounded; what does not fit is counted and told. taken is how many were
	// taken from its front.
	queue []queued
	taken int
	// waiting is where the newest event of a unit stands that a later one may be merged
	// with, counted from the first event that there ever was.
	waiting map[topic]int
	// wake receives when there is something to write.
	wake chan struct{}
	// stop is closed when no more events are wanted; the writer then writes
	// what is queued and ends.
	stop    chan struct{}
	stopped bool
	// lost counts events since the last one that fitted; lostSeq is the
	// newest of them.
	lost, lostSeq uint64
}

// topic is what events are merged by.
type topic struct{ kind, unit string }

// queued is an event for a subscriber, and how many were lost before it. One without a
// kind is only for those.
type queued struct {
	event         Event
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
	for sub := range s.subs.set {
		if sub.wants(&e) {
			sub.put(e)
		}
	}
}

// put queues an event, or merges it with one that waits.
func (s *subscription) put(e Event) {
	if s.args.Merge && s.merged(&e) {
		return
	}
	if len(s.queue) >= s.room {
		s.lost++
		s.lostSeq = e.Seq
		delete(s.waiting, topic{e.Kind, e.Unit}) // what comes next is told in its place
		return
	}
	s.queue = append(s.queue, queued{e, s.lost, s.lostSeq})
	s.lost = 0
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// merged makes one event of e and the one that waits for the same unit, if there is one;
// else it notes where e will stand.
func (s *subscription) merged(e *Event) bool {
	at := topic{e.Kind, e.Unit}
	switch e.Kind {
	case EventUnit, EventStatus:
	case EventUnitNew, EventUnitGone: // what comes later is of another life
		delete(s.waiting, topic{EventUnit, e.Unit})
		delete(s.waiting, topic{EventStatus, e.Unit})
		return false
	default:
		return false
	}
	if k, ok := s.waiting[at]; ok {
		if q := &s.queue[k-s.taken].event; q.Active != "inactive" && q.Active != "failed" {
			seq, from, count := q.Seq, q.From, q.Count+1
			*q = *e
			q.Seq, q.From, q.Count = seq, from, count
			return true
		}
	}
	if s.waiting == nil {
		s.waiting = map[topic]int{}
	}
	s.waiting[at] = s.taken + len(s.queue)
	return false
}

// next takes an event from a subscription's queue. When all is read, what was lost after
// the last one is told, for the next one may be long in coming.
func (s *subscribers) next(sub *subscription) (q queued, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(sub.queue) == 0 {
		q = queued{lost: sub.lost, lostSeq: sub.lostSeq}
		sub.lost = 0
		return q, q.lost > 0
	}
	q = sub.queue[0]
	if at := (topic{q.event.Kind, q.event.Unit}); sub.waiting[at] == sub.taken {
		delete(sub.waiting, at)
	}
	sub.queue[0] = queued{}
	sub.taken++
	if sub.queue = sub.queue[1:]; len(sub.queue) == 0 {
		sub.queue, sub.waiting = nil, nil // a burst must not be paid for ever
	}
	return q, true
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
	room := MaxQueued
	// Strangers may have many connections and leave all unread: they get no more memory.
	if a.Merge && (c.peer.UID == 0 || c.peer.UID == uint32(os.Geteuid())) {
		room = MaxMerged
	}
	s := &c.server.subs
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.sub != nil && !c.sub.stopped {
		c.sub.args, c.sub.visible, c.sub.room = a, visible, room
		return s.seq
	}
	c.sub = &subscription{args: a, visible: visible, room: room, wake: make(chan struct{}, 1), stop: make(chan struct{})}
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
	for stopped := false; ; {
		for len(buf) < batch {
			q, ok := c.server.subs.next(sub)
			if !ok {
				break
			}
			if q.lost > 0 {
				buf = append(buf, encodeEvent(&Event{Seq: q.lostSeq, Kind: EventDropped, Count: q.lost})...)
			}
			if q.event.Kind != "" {
				buf = append(buf, encodeEvent(&q.event)...)
			}
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
		case <-sub.wake:
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
