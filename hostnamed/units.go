package main

import (
	"context"
	"fmt"
	"time"

	"dynamod/internal/install"
	"dynamod/internal/ipc"
)

// manager is dynamod-svmgr behind its control socket, and the unit files of the tree.
type manager struct{ path, root string }

// patience bounds every call: it is how long a service may take to start.
const patience = 60 * time.Second

func (m *manager) call(ctx context.Context, v ipc.Verb, args, result any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := ipc.Dial(ctx, m.path)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Call(ctx, v, args, result)
}

// Look loads the unit: a service that is installed need not have been loaded.
func (m *manager) Look(ctx context.Context, unit string) (exists, active bool, err error) {
	var u ipc.Unit
	err = m.call(ctx, ipc.VerbLoad, &ipc.UnitArgs{Unit: unit}, &u)
	if ipc.KindOf(err) == "NoSuchUnit" {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	return u.Load == "loaded", u.Active != "inactive" && u.Active != "failed", nil
}

func (m *manager) job(ctx context.Context, v ipc.Verb, unit string) error {
	var r ipc.JobResult
	if err := m.call(ctx, v, &ipc.JobArgs{Unit: unit, Wait: true}, &r); err != nil {
		return err
	}
	if r.Result != "" && r.Result != "done" && r.Result != "skipped" {
		return fmt.Errorf("%s of %s: %s", v, unit, r.Result)
	}
	return nil
}

func (m *manager) Start(ctx context.Context, unit string) error {
	return m.job(ctx, ipc.VerbStart, unit)
}

func (m *manager) Stop(ctx context.Context, unit string) error {
	return m.job(ctx, ipc.VerbStop, unit)
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
	return m.call(ctx, ipc.VerbDaemonReload, &ipc.ReloadArgs{}, nil)
}

func (m *manager) Restart(ctx context.Context, unit string) error {
	return m.call(ctx, ipc.VerbRestart, &ipc.JobArgs{Unit: unit}, nil)
}

func (m *manager) SetEnvironment(ctx context.Context, set, unset []string) error {
	return m.call(ctx, ipc.VerbSetEnviron, &ipc.EnvironmentArgs{Set: set, Unset: unset}, nil)
}
