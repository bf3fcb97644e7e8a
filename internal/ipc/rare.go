package ipc

import (
	"context"
	"fmt"
	"time"
)

// Rare asks a manager now and then: every call has a connection of its own, for one that
// is left idle is hung up on. Patience bounds each call.
type Rare struct {
	Path     string
	Patience time.Duration
}

// Call is Client.Call.
func (m Rare) Call(ctx context.Context, v Verb, args, result any) error {
	ctx, cancel := context.WithTimeout(ctx, m.Patience)
	defer cancel()
	c, err := Dial(ctx, m.Path)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Call(ctx, v, args, result)
}

// Job runs a job of a unit to its end; args must ask for that. A unit whose conditions do
// not hold is no error.
func (m Rare) Job(ctx context.Context, v Verb, args any, unit string) error {
	var r JobResult
	if err := m.Call(ctx, v, args, &r); err != nil {
		return err
	}
	if r.Result != "" && r.Result != "done" && r.Result != "skipped" {
		return fmt.Errorf("%s of %s: %s", v, unit, r.Result)
	}
	return nil
}
