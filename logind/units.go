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

// manager is dynamod-svmgr behind its control socket.
type manager struct {
	*ipc.Kept
	log *slog.Logger
}

// patience bounds every call: a login must not hang on a unit that never comes.
const patience = 90 * time.Second

// noUnit says of an error in the words of the api that there is no such unit.
func noUnit(err error) error {
	if ipc.KindOf(err) == "NoSuchUnit" {
		return fmt.Errorf("%w: %w", api.ErrNoUnit, err)
	}
	return err
}

func (m *manager) Start(ctx context.Context, unit string) error {
	return noUnit(m.Job(ctx, ipc.VerbStart, &ipc.JobArgs{Unit: unit, Wait: true}, unit))
}

func (m *manager) Stop(ctx context.Context, unit string) error {
	return noUnit(m.Job(ctx, ipc.VerbStop, &ipc.JobArgs{Unit: unit, Wait: true}, unit))
}

func (m *manager) Abandon(ctx context.Context, unit string) error {
	return noUnit(m.Call(ctx, ipc.VerbAbandon, &ipc.UnitArgs{Unit: unit}, nil))
}

func (m *manager) Kill(ctx context.Context, unit string, signal int32) error {
	return noUnit(m.Call(ctx, ipc.VerbKill, &ipc.KillArgs{Unit: unit, Signal: strconv.Itoa(int(signal))}, nil))
}

func (m *manager) Shutdown(ctx context.Context, kind string) error {
	return noUnit(m.Call(ctx, ipc.VerbShutdown, &ipc.ShutdownArgs{Kind: kind}, nil))
}

// Scope makes the scope of a session (reference: desktop-contracts, PAM). What it wants
// may have no file: there may be no user manager.
func (m *manager) Scope(ctx context.Context, s api.Scope) error {
	set := []ipc.Setting{{Section: "Unit", Key: "Description", Value: s.Description},
		{Section: "Scope", Key: "Slice", Value: s.Slice}, {Section: "Scope", Key: "SendSIGHUP", Value: "yes"}, {Section: "Scope", Key: "TasksMax", Value: "infinity"}}
	for k, v := range s.Properties {
		set = append(set, ipc.Setting{Section: "Scope", Key: k, Value: v})
	}
	for _, w := range s.Wants {
		set = append(set, ipc.Setting{Section: "Unit", Key: "Wants", Value: w}, ipc.Setting{Section: "Unit", Key: "After", Value: w})
	}
	return noUnit(m.Job(ctx, ipc.VerbAdd, &ipc.AddArgs{Unit: s.Name, Settings: set, PIDs: []int32{s.PID}, Start: true, Wait: true}, s.Name))
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
	c, err := ipc.Dial(ctx, m.Path)
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
		switch err := noUnit(m.Call(ctx, ipc.VerbStatus, &ipc.UnitArgs{Unit: unit}, &st)); {
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
