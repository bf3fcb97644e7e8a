package cli

import (
	"context"
	"sync"
	"time"

	"dynamod/dynamodctl/internal/live"
	"dynamod/dynamodctl/internal/top"
	"dynamod/internal/ipc"
)

// topSource asks the manager for top, and connects again when it was replaced.
type topSource struct {
	target live.Target
	units  []string

	mu     sync.Mutex
	client *ipc.Client
	own    bool // client was made here
}

func (t *topSource) connected(ctx context.Context) (*ipc.Client, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.client == nil {
		c, err := t.target.Dial(ctx)
		if err != nil {
			return nil, err
		}
		t.client, t.own = c, true
	}
	return t.client, nil
}

// lost forgets a connection on which something went wrong, unless the manager
// itself refused.
func (t *topSource) lost(c *ipc.Client, err error) {
	if err == nil || ipc.KindOf(err) != "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.client == c {
		c.Close()
		t.client = nil
	}
}

func (t *topSource) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.client != nil && t.own {
		t.client.Close()
	}
}

// Sample looks at the manager once.
func (t *topSource) Sample(ctx context.Context) (*top.Sample, error) {
	c, err := t.connected(ctx)
	if err != nil {
		return nil, err
	}
	s := &top.Sample{}
	if err = c.Call(ctx, ipc.VerbPing, &ipc.PingArgs{}, &s.Server); err == nil {
		if s.Stats, err = live.Stats(ctx, c, t.units); err == nil {
			s.Trouble, err = c.List(ctx, ipc.ListArgs{Units: t.units, States: troubled, All: true})
		}
	}
	t.lost(c, err)
	s.Taken = time.Now()
	return s, err
}

// Why asks for the reason of a unit's state.
func (t *topSource) Why(ctx context.Context, unit string) (*ipc.WhyResult, error) {
	c, err := t.connected(ctx)
	if err != nil {
		return nil, err
	}
	var r ipc.WhyResult
	err = c.Call(ctx, ipc.VerbWhy, &ipc.UnitArgs{Unit: unit}, &r)
	t.lost(c, err)
	return &r, err
}
