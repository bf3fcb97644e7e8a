package main

import (
	"context"
	"fmt"
	"time"

	"dynamod/internal/install"
	"dynamod/internal/ipc"
)

// manager is dynamod-svmgr behind its control socket, and the unit files of the tree.
type manager struct {
	*ipc.Kept
	root string
}

// patience bounds every call: it is how long a service may take to start.
const patience = 60 * time.Second

// Look loads the unit: a service that is installed need not have been loaded.
func (m *manager) Look(ctx context.Context, unit string) (exists, active bool, err error) {
	var u ipc.Unit
	err = m.Call(ctx, ipc.VerbLoad, &ipc.UnitArgs{Unit: unit}, &u)
	if ipc.KindOf(err) == "NoSuchUnit" {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	return u.Load == "loaded", u.Active != "inactive" && u.Active != "failed", nil
}

func (m *manager) Start(ctx context.Context, unit string) error {
	return m.Job(ctx, ipc.VerbStart, &ipc.JobArgs{Unit: unit, Wait: true}, unit)
}

func (m *manager) Stop(ctx context.Context, unit string) error {
	return m.Job(ctx, ipc.VerbStop, &ipc.JobArgs{Unit: unit, Wait: true}, unit)
}

func (m *manager) Enable(ctx context.Context, unit string) error {
	return m.install(ctx, install.Enable, unit)
}

func (m *manager) Disable(ctx context.Context, unit string) error {
	return m.install(ctx, install.Disable, unit)
}

func (m *manager) install(ctx context.Context, v install.Verb, unit string) error {
	r, err := install.Run(v, []string{unit}, install.Options{Root: m.root})
	if err != nil {
		return fmt.Errorf("%s %s: %w", v, unit, err)
	}
	if len(r.Changes) == 0 {
		return nil
	}
	// The manager knows what is enabled from the files.
	return m.Call(ctx, ipc.VerbDaemonReload, &ipc.ReloadArgs{}, nil)
}

func (m *manager) Restart(ctx context.Context, unit string) error {
	return m.Call(ctx, ipc.VerbRestart, &ipc.JobArgs{Unit: unit}, nil)
}

func (m *manager) SetEnvironment(ctx context.Context, set, unset []string) error {
	return m.Call(ctx, ipc.VerbSetEnviron, &ipc.EnvironmentArgs{Set: set, Unset: unset}, nil)
}
