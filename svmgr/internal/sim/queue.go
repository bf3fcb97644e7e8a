package sim

import (
	"container/heap"
	"time"

	"dynamod/svmgr/internal/core"
)

// item is something that happens later in the fake world: a report that
// reaches the manager, or a change of the world itself.
type item struct {
	at  time.Duration
	seq uint64
	ev  core.Event
	// still, if set, says whether the report is yet true when it arrives.
	still func() bool
	do    func()
}

type items []item

func (q items) Len() int { return len(q) }
func (q items) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q items) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *items) Push(x any)   { *q = append(*q, x.(item)) }
func (q *items) Pop() any {
	old := *q
	x := old[len(old)-1]
	old[len(old)-1] = item{}
	*q = old[:len(old)-1]
	return x
}

// agenda is the world's future in order of time; equal times keep the order
// in which they were put in.
type agenda struct {
	items items
	seq   uint64
}

func (a *agenda) put(it item) {
	a.seq++
	it.seq = a.seq
	heap.Push(&a.items, it)
}

func (a *agenda) next() (time.Duration, bool) {
	if len(a.items) == 0 {
		return 0, false
	}
	return a.items[0].at, true
}

func (a *agenda) pop() item { return heap.Pop(&a.items).(item) }

// forget drops all reports on their way; changes of the world still happen.
func (a *agenda) forgetReports() (lost []core.Event) {
	kept := a.items[:0]
	for _, it := range a.items {
		if it.ev == nil {
			kept = append(kept, it)
		} else {
			lost = append(lost, it.ev)
		}
	}
	clear(a.items[len(kept):])
	a.items = kept
	heap.Init(&a.items)
	return lost
}
