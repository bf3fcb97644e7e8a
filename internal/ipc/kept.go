package ipc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Kept asks the manager at Path over one connection, which it makes when it is asked
// first and keeps. Several goroutines may ask at once; what is more than a connection may
// have under way (MaxWaiting) gets a connection for itself, or, where the manager takes no
// more, waits for its turn on the kept one.
type Kept struct {
	Path string
	// Patience bounds each call; 0 leaves that to its context.
	Patience time.Duration

	mu     sync.Mutex
	client *Client
	// number is how many connections were kept so far.
	number uint64
	// pending is how many calls are under way over client, used when the last one began
	// or ended.
	pending int
	used    time.Time
}

// stale is after how long of silence a connection is made anew: the manager hangs up
// on idle ones (IdleTimeout), and a request that meets that is lost.
const stale = IdleTimeout / 2

// reads are the verbs that may be asked twice.
var reads = map[Verb]bool{VerbPing: true, VerbList: true, VerbStatus: true, VerbUnit: true, VerbShow: true,
	VerbDeps: true, VerbJobs: true, VerbProcs: true, VerbStats: true, VerbBoot: true, VerbEnvironment: true, VerbManager: true,
	VerbDynamicUsers: true, VerbStored: true, VerbLoad: true, VerbDebugState: true}

// Call is Client.Call. What only reads is asked again on a new connection when the old
// one breaks, as it does when the manager replaces itself.
func (k *Kept) Call(ctx context.Context, v Verb, args, result any) error {
	if k.Patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, k.Patience)
		defer cancel()
	}
	for try := 0; ; try++ {
		c, done, err := k.connection(ctx)
		if err != nil {
			return err
		}
		err = c.Call(ctx, v, args, result)
		done()
		var refused *Error
		if err == nil || errors.As(err, &refused) && refused.Kind != "Idle" || ctx.Err() != nil || try > 0 || !reads[v] {
			return err
		}
	}
}

// connection is one that is believed to be good, and what to call when the answer is there.
func (k *Kept) connection(ctx context.Context) (*Client, func(), error) {
	if c := k.take(nil); c != nil {
		return c, func() { k.give(c) }, nil
	}
	// Without the lock: a manager that does not answer holds up nobody longer than
	// they want to wait.
	c, err := Dial(ctx, k.Path)
	if err != nil {
		var refused *Error
		if errors.As(err, &refused) && refused.Kind == "TooManyConnections" {
			if c := k.queue(); c != nil {
				return c, func() { k.give(c) }, nil
			}
		}
		return nil, nil, err
	}
	got := k.take(c)
	if got == nil {
		return c, func() { c.Close() }, nil
	}
	if got != c { // another call was faster
		c.Close()
	}
	return got, func() { k.give(got) }, nil
}

// take is the kept connection if it will do; fresh is kept if there is none.
func (k *Kept) take(fresh *Client) *Client {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c := k.client; c != nil && (c.ended() || k.pending == 0 && time.Since(k.used) > stale) {
		c.Close()
		k.client = nil
	}
	if k.client == nil && fresh != nil {
		k.client, k.pending = fresh, 0
		k.number++
	}
	if k.client == nil || k.pending >= MaxWaiting {
		return nil
	}
	k.pending++
	k.used = time.Now()
	return k.client
}

// queue is the kept connection, however much is under way over it: Client.Call waits.
func (k *Kept) queue() *Client {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.client == nil || k.client.ended() {
		return nil
	}
	k.pending++
	return k.client
}

func (k *Kept) give(c *Client) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.client == c {
		k.pending--
		k.used = time.Now()
	}
}

// Connection numbers the connection that is kept now; 0 if there is none, or if it has
// ended: then the manager may be another one.
func (k *Kept) Connection() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.client == nil || k.client.ended() {
		return 0
	}
	return k.number
}

// ended says that the connection has.
func (c *Client) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// Close ends the connection; a call makes a new one.
func (k *Kept) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.client != nil {
		k.client.Close()
		k.client = nil
	}
}

// Job runs a job of a unit to its end; args must ask for that. A unit whose conditions do
// not hold is no error.
func (k *Kept) Job(ctx context.Context, v Verb, args any, unit string) error {
	var r JobResult
	if err := k.Call(ctx, v, args, &r); err != nil {
		return err
	}
	if r.Result != "" && r.Result != "done" && r.Result != "skipped" {
		return fmt.Errorf("%s of %s: %s", v, unit, r.Result)
	}
	return nil
}
