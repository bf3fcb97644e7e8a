package bus

import (
	"testing"

	"pgregory.net/rapid"
)

// What is put in comes out in its order, as much as there is room for, whatever the pace;
// what was taken is not held, nor is there more room than twice what waits at most.
func TestQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newQueue()
		var want []*message
		most := 0
		for range rapid.IntRange(1, 50).Draw(t, "rounds") {
			for range rapid.IntRange(0, 1000).Draw(t, "put") {
				m := &message{}
				if ok := q.put(m); ok != (len(want) < maxWaitingCalls) {
					t.Fatalf("with %d in it put says %v", len(want), ok)
				} else if ok {
					want = append(want, m)
				}
			}
			most = max(most, len(want))
			for range min(len(want), rapid.IntRange(0, 1000).Draw(t, "take")) {
				if q.take() != want[0] {
					t.Fatal("another message, or none, came out")
				}
				want = want[1:]
			}
			if cap(q.list) > 16+4*most {
				t.Fatalf("room for %d, and at most %d waited", cap(q.list), most)
			}
		}
		q.close()
		for _, m := range want {
			if q.take() != m {
				t.Fatal("what was in it when it was closed is lost")
			}
		}
		if q.take() != nil {
			t.Fatal("there is no end")
		}
	})
}

// A queue that is never empty does not grow.
func TestQueueUnderFlood(t *testing.T) {
	q := newQueue()
	q.put(&message{})
	for range 100_000 {
		q.put(&message{})
		q.take()
	}
	if cap(q.list) > 16 {
		t.Errorf("room for %d, and two waited at most", cap(q.list))
	}
}

// Who waits hears of the end.
func TestQueueEndsForWhoWaits(t *testing.T) {
	q := newQueue()
	taken := make(chan *message)
	go func() { taken <- q.take() }()
	q.close()
	if m := <-taken; m != nil {
		t.Errorf("%v came out", m)
	}
}
