package ipc

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// wireStates are the words of the original for our states. Who knows only those
// must be able to act on them: a unit that rests is stopped, whatever the reason.
var wireStates = map[string]string{
	"inactive": "stopped", "blocked": "stopped", "completed": "stopped", "skipped": "stopped",
	"starting": "starting", "restart-pending": "starting",
	"active": "running", "reloading": "running",
	"stopping": "stopping",
	"failed":   "failed", "dormant": "failed",
	"abandoned": "abandoned",
}

func wireState(s string) string {
	if w, ok := wireStates[s]; ok {
		return w
	}
	return s
}

// wireName is a unit's name as the original would have it.
func wireName(unit string) string { return strings.TrimSuffix(unit, ".service") }

// doDM answers a request through the same Handler as JSON-RPC.
func (c *conn) doDM(ctx context.Context, q dmRequest) []byte {
	reply, err := c.askDM(ctx, q)
	if err == nil {
		return reply
	}
	e := c.asError(err)
	if e.Kind == "NoSuchUnit" && q.name != "" {
		return dmError(q.id, "unknown service: "+q.name) // the original's words
	}
	return dmError(q.id, e.Text)
}

func (c *conn) askDM(ctx context.Context, q dmRequest) ([]byte, error) {
	switch q.kind {
	case "StartService":
		return c.jobDM(ctx, q, VerbStart)
	case "StopService":
		return c.jobDM(ctx, q, VerbStop)
	case "RestartService":
		return c.jobDM(ctx, q, VerbRestart)
	case "ServiceStatus":
		s, err := ask[Status](ctx, c, VerbStatus, &UnitArgs{Unit: q.name})
		if err != nil {
			return nil, err
		}
		supervisor := s.Supervisor
		if supervisor == "" {
			supervisor = "root"
		}
		return dmServiceInfo(q.id, dmService{wireName(s.Name), wireState(s.State), s.PID}, supervisor), nil
	case "ListServices":
		return c.listDM(ctx, q)
	case "TreeStatus":
		return c.treeDM(ctx, q)
	case "Reload":
		_, err := ask[ReloadResult](ctx, c, VerbDaemonReload, &ReloadArgs{})
		return dmAck(q.id), err
	case "Shutdown":
		switch q.name {
		case "Poweroff", "Reboot", "Halt":
		default:
			return nil, Errorf("InvalidArgs", "unknown kind of shutdown: %s", clip(q.name))
		}
		_, err := ask[Done](ctx, c, VerbShutdown, &ShutdownArgs{Kind: strings.ToLower(q.name)})
		return dmAck(q.id), err
	case "GetServiceByPid":
		s, err := ask[Status](ctx, c, VerbStatus, &UnitArgs{PID: q.pid})
		switch kind := KindOf(err); {
		case err == nil:
			return dmServiceByPid(q.id, wireName(s.Name), q.pid), nil
		case kind == "NoUnitForPID", kind == "NoSuchUnit", kind == "NoSuchProcess":
			return dmServiceByPid(q.id, "", q.pid), nil
		}
		return nil, err
	}
	return nil, errUnknownCommand
}

// jobDM begins a job and waits a little for its end: where the original always
// acknowledged, we tell a failure that comes in time.
func (c *conn) jobDM(ctx context.Context, q dmRequest, v Verb) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, DMGrace)
	defer cancel()
	r, err := ask[JobResult](ctx, c, v, &JobArgs{Unit: q.name, Wait: true})
	switch {
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil:
		return dmAck(q.id), nil // it is under way
	case err != nil:
		return nil, err
	}
	switch r.Result {
	case "", "done", "skipped", "merged":
		return dmAck(q.id), nil
	}
	return dmError(q.id, fmt.Sprintf("cannot %s %s: %s", v, wireName(q.name), r.Result)), nil
}

func (c *conn) listDM(ctx context.Context, q dmRequest) ([]byte, error) {
	args := ListArgs{Types: []string{"service"}, All: true}
	if q.after != "" {
		args.After = q.after + ".service"
	}
	var list []dmService
	for {
		r, err := ask[ListResult](ctx, c, VerbList, &args)
		if err != nil {
			return nil, err
		}
		for i := range r.Units {
			u := &r.Units[i]
			list = append(list, dmService{wireName(u.Name), wireState(u.State), u.PID})
		}
		more := r.Next != "" && r.Next != args.After
		if !more || q.paged && len(list) >= MaxRows {
			return dmServiceList(q.id, list, q.paged, more), nil
		}
		args.After = r.Next
	}
}

func (c *conn) treeDM(ctx context.Context, q dmRequest) ([]byte, error) {
	var text strings.Builder
	args := TreeArgs{}
	for {
		r, err := ask[TreeResult](ctx, c, VerbTree, &args)
		if err != nil {
			return nil, err
		}
		for i := range r.Rows {
			treeLine(&text, &r.Rows[i])
		}
		// Twice of what fits is enough to say that there is more.
		if r.Next == "" || r.Next == args.After || text.Len() > 2*MaxMessage {
			return dmTree(q.id, text.String()), nil
		}
		args.After = r.Next
	}
}

// strategies are the original's words for a supervisor's strategy.
var strategies = map[string]string{"one-for-one": "OneForOne", "one-for-all": "OneForAll", "rest-for-one": "RestForOne"}

func treeLine(b *strings.Builder, r *TreeRow) {
	for range min(r.Depth, 32) {
		b.WriteString("  ")
	}
	switch {
	case r.Strategy != "":
		fmt.Fprintf(b, "[supervisor: %s] strategy=%s", r.Name, strategies[r.Strategy])
	default:
		fmt.Fprintf(b, "%s [%s]", wireName(r.Name), wireState(r.State))
		if r.PID != 0 {
			fmt.Fprintf(b, " pid=%d", r.PID)
		}
	}
	b.WriteByte('\n')
}

// ask calls the Handler and waits for what comes later.
func ask[R any](ctx context.Context, c *conn, v Verb, args any) (*R, error) {
	resp, err := c.server.handler.Handle(ctx, c.peer, Request{v, args})
	if err == nil && resp.Later != nil {
		resp.Result, err = resp.Later(ctx)
	}
	if err != nil {
		return nil, err
	}
	if resp.Result == nil {
		return new(R), nil
	}
	r, ok := resp.Result.(*R)
	if !ok {
		return nil, fmt.Errorf("the answer to %s is a %T", v, resp.Result)
	}
	return r, nil
}
