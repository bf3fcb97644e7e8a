package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"dynamod/internal/ipc"
	"dynamod/logind/internal/api"
)

// manager is dynamod-svmgr behind its control socket. Every call has a connection of
// its own: logins are rare, and a connection that is left idle is hung up on.
type manager struct {
	path string
	log  *slog.Logger
}

// patience bounds every call: a login must not hang on a unit that never comes.
const patience = 90 * time.Second

func (m *manager) call(ctx context.Context, v ipc.Verb, args, result any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := ipc.Dial(ctx, m.path)
	if err != nil {
		return err
	}
	defer c.Close()
	err = c.Call(ctx, v, args, result)
	if ipc.KindOf(err) == "NoSuchUnit" {
		return fmt.Errorf("%w: %w", api.ErrNoUnit, err)
	}
	return err
}

// job runs a job to its end.
func (m *manager) job(ctx context.Context, v ipc.Verb, args any, unit string) error {
	var r ipc.JobResult
	if err := m.call(ctx, v, args, &r); err != nil {
		return err
	}
	if r.Result != "" && r.Result != "done" && r.Result != "skipped" {
		return fmt.Errorf("%s of %s: %s", v, unit, r.Result)
	}
	return nil
}

func (m *manager) Start(ctx context.Context, unit string) error {
	return m.job(ctx, ipc.VerbStart, &ipc.JobArgs{Unit: unit, Wait: true}, unit)
}

func (m *manager) Stop(ctx context.Context, unit string) error {
	return m.job(ctx, ipc.VerbStop, &ipc.JobArgs{Unit: unit, Wait: true}, unit)
}

func (m *manager) Abandon(ctx context.Context, unit string) error {
	return m.call(ctx, ipc.VerbAbandon, &ipc.UnitArgs{Unit: unit}, nil)
}

func (m *manager) Kill(ctx context.Context, unit string, signal int32) error {
	return m.call(ctx, ipc.VerbKill, &ipc.KillArgs{Unit: unit, Signal: strconv.Itoa(int(signal))}, nil)
}

func (m *manager) Shutdown(ctx context.Context, kind string) error {
	return m.call(ctx, ipc.VerbShutdown, &ipc.ShutdownArgs{Kind: kind}, nil)
}

// Scope makes the scope of a session (reference: desktop-contracts, PAM). Units that
// have no file are left out of what it wants: there may be no user manager.
func (m *manager) Scope(ctx context.Context, s api.Scope) error {
	set := []ipc.Setting{{Section: "Unit", Key: "Description", Value: s.Description},
		{Section: "Scope", Key: "Slice", Value: s.Slice}, {Section: "Scope", Key: "SendSIGHUP", Value: "yes"}, {Section: "Scope", Key: "TasksMax", Value: "infinity"}}
	for k, v := range s.Properties {
		set = append(set, ipc.Setting{Section: "Scope", Key: k, Value: v})
	}
	for _, w := range s.Wants {
		var u ipc.Unit
		if err := m.call(ctx, ipc.VerbLoad, &ipc.UnitArgs{Unit: w}, &u); err != nil || u.Load != "loaded" {
			continue
		}
		set = append(set, ipc.Setting{Section: "Unit", Key: "Wants", Value: w}, ipc.Setting{Section: "Unit", Key: "After", Value: w})
	}
	return m.job(ctx, ipc.VerbAdd, &ipc.AddArgs{Unit: s.Name, Settings: set, PIDs: []int32{s.PID}, Start: true, Wait: true}, s.Name)
}

// retry is how long to wait before the manager is listened to again.
const retry = 500 * time.Millisecond

// Watch follows the manager's events; after a break, what is left of sessions is asked
// for, because its end may not have been heard.
func (m *manager) Watch(ctx context.Context, scopes func() []string, gone func(string)) {
	for ctx.Err() == nil {
		if err := m.watchOnce(ctx, scopes, gone); ctx.Err() == nil {
			m.log.Info("the manager is not heard", "err", err)
		}
		t := time.NewTimer(retry)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

func (m *manager) watchOnce(ctx context.Context, scopes func() []string, gone func(string)) error {
	c, err := ipc.Dial(ctx, m.path)
	if err != nil {
		return err
	}
	defer c.Close()
	s, err := c.Subscribe(ctx, ipc.SubscribeArgs{Kinds: []string{ipc.EventUnit, ipc.EventUnitGone}, Units: []string{"session-*.scope"}})
	if err != nil {
		return err
	}
	for _, unit := range scopes() { // before the question, so that newer ones are not judged by it
		var st ipc.Status
		switch err := m.call(ctx, ipc.VerbStatus, &ipc.UnitArgs{Unit: unit}, &st); {
		case errors.Is(err, api.ErrNoUnit), err == nil && (st.Active == "inactive" || st.Active == "failed"):
			gone(unit)
		case err != nil:
			return err
		}
	}
	for {
		e, err := s.Next(ctx)
		if err != nil {
			return err
		}
		switch {
		case !strings.HasSuffix(e.Unit, ".scope"):
		case e.Kind == ipc.EventUnitGone, e.Kind == ipc.EventUnit && (e.Active == "inactive" || e.Active == "failed"):
			gone(e.Unit)
		}
	}
}
