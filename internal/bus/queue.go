package bus

import "sync"

// queue passes messages from the reader of a connection to who handles them, in their
// order. Most connections never have more than one message in it: it grows as it is used,
// which a channel with room for maxWaitingCalls does not.
type queue struct {
	mu     sync.Mutex
	filled sync.Cond
	list   []*message
	next   int // of list
	closed bool
}

func newQueue() *queue {
	q := &queue{}
	q.filled.L = &q.mu
	return q
}

// put is false when there is no room.
func (q *queue) put(m *message) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list)-q.next >= maxWaitingCalls {
		return false
	}
	if len(q.list) == cap(q.list) && q.next > len(q.list)/2 {
		// One that is never empty must not grow behind what was taken.
		n := copy(q.list, q.list[q.next:])
		clear(q.list[n:])
		q.list, q.next = q.list[:n], 0
	}
	q.list = append(q.list, m)
	q.filled.Signal()
	return true
}

// take waits for the next message; nil is the end.
func (q *queue) take() *message {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.next == len(q.list) && !q.closed {
		q.filled.Wait()
	}
	if q.next == len(q.list) {
		return nil
	}
	m := q.list[q.next]
	q.list[q.next] = nil
	if q.next++; q.next == len(q.list) {
		q.list, q.next = q.list[:0], 0
		if cap(q.list) > 16 {
			q.list = nil // a flood must not be held for ever
		}
	}
	return m
}

// close ends it after what is in it.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Broadcast()
}
