package bus

import (
	"context"
	"slices"
	"sync"
	"time"
)

// activity counts the calls that have come and are not answered.
type activity struct {
	mu    sync.Mutex
	calls int
	// made is when the service was, and since, after that, when the last call was answered:
	// one reading of one clock for each call, where time.Now reads two.
	made  time.Time
	since time.Duration
	// none is closed while there is none; nil until somebody waits for that.
	none chan struct{}
	// rest, if not nil, is to end when no call has come for so long. It runs while armed: a
	// call finds it running already, and what it has missed it makes up for when it ends.
	rest  *time.Timer
	armed bool
	long  time.Duration
}

func (a *activity) begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls++
}

func (a *activity) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls--
	a.since = time.Since(a.made)
	if a.calls > 0 {
		return
	}
	if a.none != nil {
		close(a.none)
		a.none = nil
	}
	if a.rest != nil && !a.armed {
		a.armed = true
		a.rest.Reset(a.long)
	}
}

// quiet is Service.Quiet. The caller holds mu.
func (a *activity) quiet() time.Duration {
	if a.calls > 0 {
		return 0
	}
	return time.Since(a.made) - a.since
}

// rested is whether the rest is over now that its timer has ended, which runs on if not.
func (a *activity) rested() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.armed = false
	if a.rest == nil || a.calls > 0 { // the end of the last call arms it
		return false
	}
	if left := a.long - a.quiet(); left > 0 {
		a.armed = true
		a.rest.Reset(left)
		return false
	}
	return true
}

// Resting calls f when no call has come or been under way for so long, and again after
// further calls. It is called on a goroutine of its own, once before the first call too;
// stop ends that.
func (s *Service) Resting(long time.Duration, f func()) (stop func()) {
	a := &s.activity
	a.mu.Lock()
	defer a.mu.Unlock()
	a.long, a.armed = long, true
	a.rest = time.AfterFunc(long, func() {
		if a.rested() {
			f()
		}
	})
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.rest.Stop()
		a.rest = nil
	}
}

// Quiet is for how long no call has come or been under way, at most since the service
// was made; 0 while one is.
func (s *Service) Quiet() time.Duration {
	s.activity.mu.Lock()
	defer s.activity.mu.Unlock()
	return s.activity.quiet()
}

// drained waits until no call is under way.
func (s *Service) drained(ctx context.Context) error {
	a := &s.activity
	a.mu.Lock()
	if a.calls == 0 {
		a.mu.Unlock()
		return nil
	}
	if a.none == nil {
		a.none = make(chan struct{})
	}
	none := a.none
	a.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Retire gives the names up, the first one last, and answers what was asked before: whoever asks from then
// on asks the next owner, whom the bus starts. Close the service afterwards. The order of
// messages makes it safe: calls to a name that the bus has passed on to us come before its
// answer that the name is no more ours. Names are asked for in the order in which they
// are listed: while the first one is ours, the next owner gets none of the others either,
// and never has only some of them.
func (k *Client) Retire(ctx context.Context, names ...string) error {
	for _, name := range slices.Backward(names) {
		if err := k.Call(ctx, busName, busPath, busName, "ReleaseName", []any{name}); err != nil {
			return err
		}
	}
	if err := k.c.service.drained(ctx); err != nil {
		return err
	}
	// The answers are before this question in the queue.
	return k.Call(ctx, busName, busPath, busName, "GetId", nil)
}
