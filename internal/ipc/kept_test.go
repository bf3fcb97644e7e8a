package ipc

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// conns are the connections over which a verb came, in order.
func (f *fake) conns(v Verb) (list []uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, q := range f.calls {
		if q.Verb == v {
			list = append(list, f.peers[i].Conn)
		}
	}
	return list
}

func kept(t *testing.T, path string) *Kept {
	k := &Kept{Path: path, Patience: 20 * time.Second}
	t.Cleanup(k.Close)
	return k
}

func (k *Kept) start(t *testing.T, unit string) {
	t.Helper()
	if err := k.Job(t.Context(), VerbStart, &JobArgs{Unit: unit, Wait: true}, unit); err != nil {
		t.Fatal(err)
	}
}

// One connection serves call after call; one that the manager has ended, or that was
// silent for long, is made anew before anything is asked over it.
func TestKeptOneConnection(t *testing.T) {
	f := newFake("a")
	s, path := serve(t, f)
	k := kept(t, path)
	k.start(t, "a")
	k.start(t, "a")
	s.mu.Lock()
	for c := range s.conns { // as a manager that replaces itself
		c.drain()
	}
	s.mu.Unlock()
	first := k.client
	<-first.done
	k.start(t, "a")
	k.mu.Lock()
	k.used = time.Now().Add(-2 * stale)
	k.mu.Unlock()
	k.start(t, "a")
	got := f.conns(VerbStart)
	if len(got) != 4 || got[0] != got[1] || got[1] == got[2] || got[2] == got[3] {
		t.Errorf("the calls came over the connections %v; want one, the same, another, another", got)
	}
}

// A connection with a call under way is not idle, however long that takes; calls beyond
// what one connection may have under way do not wait for those.
func TestKeptManyAtOnce(t *testing.T) {
	f := newFake("slow", "a")
	release := make(chan struct{})
	f.jobs = func(ctx context.Context, unit string) (string, error) {
		if unit == "slow.service" {
			select {
			case <-release:
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
		return "done", nil
	}
	_, path := serve(t, f)
	k := kept(t, path)
	k.start(t, "a")
	var all sync.WaitGroup
	for range MaxWaiting {
		all.Go(func() {
			if err := k.Job(t.Context(), VerbStart, &JobArgs{Unit: "slow", Wait: true}, "slow"); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "all to wait", func() bool { return f.count(VerbStart) == 1+MaxWaiting })
	k.mu.Lock()
	k.used = time.Now().Add(-2 * stale)
	k.mu.Unlock()
	k.start(t, "a")
	close(release)
	all.Wait()
	got := f.conns(VerbStart)
	for _, c := range got[1 : 1+MaxWaiting] {
		if c != got[0] {
			t.Errorf("the calls came over the connections %v; want one for all but the last", got)
			break
		}
	}
	if got[1+MaxWaiting] == got[0] {
		t.Error("a call beyond what a connection may have under way came over it")
	}
	if k.start(t, "a"); f.conns(VerbStart)[2+MaxWaiting] != got[0] {
		t.Error("the connection was not kept")
	}
}

// Where the manager takes no further connection, what is more than one may have under way
// waits for its turn on that: nobody is refused whom one connection serves.
func TestKeptNoFurtherConnection(t *testing.T) {
	f := newFake("slow", "a")
	release := make(chan struct{})
	f.jobs = func(ctx context.Context, unit string) (string, error) {
		if unit == "slow.service" {
			select {
			case <-release:
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
		return "done", nil
	}
	_, path := serve(t, f)
	k := kept(t, path)
	k.start(t, "a")
	for range MaxPerUser - 1 {
		c, err := Dial(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	job := func(unit string) error {
		return k.Job(t.Context(), VerbStart, &JobArgs{Unit: unit, Wait: true}, unit)
	}
	var all sync.WaitGroup
	for range MaxWaiting {
		all.Go(func() {
			if err := job("slow"); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "all to wait", func() bool { return f.count(VerbStart) == 1+MaxWaiting })
	for range 3 {
		all.Go(func() {
			if err := job("a"); err != nil {
				t.Errorf("one more: %v", err)
			}
		})
	}
	eventually(t, "the others to wait", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return t.Failed() || k.pending == MaxWaiting+3
	})
	close(release)
	all.Wait()
	if k.pending != 0 {
		t.Errorf("%d calls are under way after all have ended", k.pending)
	}
}

// When the connection breaks under a call, that is made again if it only reads: another
// one may have been carried out.
func TestKeptBreaks(t *testing.T) {
	var mu sync.Mutex
	var s *Server
	asked := map[Verb]int{}
	h := HandlerFunc(func(ctx context.Context, p Peer, q Request) (Response, error) {
		mu.Lock()
		defer mu.Unlock()
		if q.Verb == VerbPing {
			return Response{Result: &PingResult{Program: "fake"}}, nil
		}
		if asked[q.Verb]++; asked[q.Verb] == 1 {
			s.mu.Lock()
			for c := range s.conns {
				c.nc.Close()
			}
			s.mu.Unlock()
		}
		return Response{}, nil
	})
	mu.Lock()
	s, path := serve(t, h)
	mu.Unlock()
	times := func(v Verb) int { mu.Lock(); defer mu.Unlock(); return asked[v] }
	k := kept(t, path)
	if err := k.Call(t.Context(), VerbStatus, &UnitArgs{Unit: "a"}, nil); err != nil || times(VerbStatus) != 2 {
		t.Errorf("a question whose connection broke = %v, asked %d times; want an answer at the second", err, times(VerbStatus))
	}
	var refused *Error
	if err := k.Call(t.Context(), VerbStart, &JobArgs{Unit: "a"}, nil); err == nil || errors.As(err, &refused) || times(VerbStart) != 1 {
		t.Errorf("a job whose connection broke = %v, asked for %d times; want an error after the first", err, times(VerbStart))
	}
	if err := k.Call(t.Context(), VerbStart, &JobArgs{Unit: "a"}, nil); err != nil {
		t.Errorf("the next one = %v", err)
	}
}

// Who waits is bounded by Patience, and nobody waits for a connection that another call
// cannot make.
func TestKeptPatience(t *testing.T) {
	f := newFake("a")
	f.jobs = func(ctx context.Context, unit string) (string, error) { <-ctx.Done(); return "", ctx.Err() }
	_, path := serve(t, f)
	k := kept(t, path)
	k.Patience = time.Nanosecond
	if err := k.Job(t.Context(), VerbStart, &JobArgs{Unit: "a", Wait: true}, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v; want the end of patience", err)
	}
	nobody := kept(t, path+".none")
	if err := nobody.Call(t.Context(), VerbStatus, &UnitArgs{Unit: "a"}, nil); err == nil {
		t.Error("a manager that is not there answers")
	}
}
