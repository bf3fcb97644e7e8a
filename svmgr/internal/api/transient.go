package api

import (
	"context"
	"errors"
	"strings"

	"dynamod/internal/ipc"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// maxAdded bounds the units of one request, maxMoved its processes.
const (
	maxAdded = 64
	maxMoved = 512
)

// add makes a transient unit and those that come with it, all or none, and perhaps
// starts it.
func (c *call) add(a *ipc.AddArgs) (any, error) {
	mode, err := c.modeOf(a.Mode, false)
	if err != nil {
		return nil, err
	}
	scope := strings.HasSuffix(c.unit, ".scope")
	switch {
	case len(a.Aux) >= maxAdded:
		return nil, ipc.Errorf("InvalidArgs", "a request makes at most %d units", maxAdded)
	case len(a.PIDs) > maxMoved:
		return nil, ipc.Errorf("InvalidArgs", "a scope is made of at most %d processes; attach the others later", maxMoved)
	case len(a.PIDs) > 0 && !scope:
		return nil, ipc.Errorf("InvalidArgs", "pids are for a scope, which %s is not", c.unit).WithUnit(c.unit).
			WithHint("a service starts its own processes: give it ExecStart=")
	case len(a.PIDs) > 0 && !a.Start:
		return nil, ipc.Errorf("InvalidArgs", "pids need start: processes come into a scope when it starts")
	case scope && a.Start && len(a.PIDs) == 0:
		return nil, ipc.Errorf("InvalidArgs", "%s: a scope needs pids, the processes that it is made of", c.unit).WithUnit(c.unit)
	}
	for _, x := range a.Aux {
		if strings.HasSuffix(x.Unit, ".scope") {
			return nil, ipc.Errorf("InvalidArgs", "%s: a scope cannot come with another unit: nothing would start it", clip(x.Unit))
		}
	}
	made, err := c.insert(a)
	if err != nil {
		return nil, err
	}
	undo := func() {
		if scope {
			c.m.LetGo(c.unit)
		}
		for _, name := range made {
			// Also for a client that has hung up; one that came up meanwhile stays.
			_ = c.forget(context.Background(), name)
		}
	}
	if !a.Start {
		return &ipc.JobResult{}, nil
	}
	if scope {
		if err := c.m.Hold(c.unit, a.PIDs); err != nil {
			undo()
			return nil, err
		}
	}
	r, err := c.begin(mode, a.Wait, false, false)
	if wait, ok := r.(later); ok && err == nil {
		return later(func(ctx context.Context) (any, error) {
			r, err := wait(ctx)
			if refusal := (*ipc.Error)(nil); errors.As(err, &refusal) {
				undo()
			}
			return r, err
		}), nil
	}
	if err != nil {
		undo()
	}
	return r, err
}

// insert gives the core the units that a request is about, all at once, and returns
// their names.
func (c *call) insert(a *ipc.AddArgs) ([]string, error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	list := append([]ipc.AddedUnit{{Unit: c.unit, Settings: a.Settings}}, a.Aux...)
	names := make([]string, 0, len(list))
	made := make([]*unit.Unit, 0, len(list))
	seen := map[string]bool{}
	for k, x := range list {
		name := c.unit
		if k > 0 {
			var err error
			if name, err = c.canonical(x.Unit); err != nil {
				return nil, err
			}
			if err := c.need(name, c.verb.Rights()...); err != nil {
				return nil, err
			}
		}
		if seen[name] {
			return nil, ipc.Errorf("InvalidArgs", "%s is there twice in the request", name).WithUnit(name)
		}
		seen[name] = true
		if err := c.free(name); err != nil {
			return nil, err
		}
		u, ds, err := c.m.Build(name, x.Settings)
		if err := checked(name, u, ds, err); err != nil {
			return nil, err
		}
		if u.Path != "" {
			return nil, ipc.Errorf("Internal", "the transient unit %s has a file", name)
		}
		names, made = append(names, name), append(made, u)
	}
	with, err := c.withNeeded(made)
	if err != nil {
		return nil, err
	}
	if !c.m.Post(core.Loaded{Units: with}) {
		return nil, errEnded()
	}
	late := ""
	err = c.query(func(v core.View) {
		for k, name := range names {
			if w, _ := v.Unit(name); w.Defined != made[k] {
				late = name // it came up in between
			}
		}
	})
	if err == nil && late != "" {
		err = exists(late)
		for _, name := range names {
			if name != late {
				_ = c.forget(context.Background(), name)
			}
		}
	}
	return names, err
}

func exists(name string) error {
	return ipc.Errorf("Refused", "%s exists already", name).WithUnit(name).WithHint("choose another name, or remove it first")
}

// free refuses a name that a unit has: one that is known, or one that has a file.
func (c *call) free(name string) error {
	known, taken := false, false
	err := c.query(func(v core.View) {
		u, ok := v.Unit(name)
		known = ok && u.Defined != nil
		taken = known && (!u.Ephemeral || u.State.Up() || u.Job != 0)
	})
	if err == nil && !known && !strings.HasSuffix(name, ".scope") { // which has no file: systemd.scope(5)
		var us []*unit.Unit
		if us, _, err = c.m.Load(name); err == nil {
			for _, u := range us {
				// Slices need no file to be there.
				taken = taken || u.Path != ""
			}
		}
	}
	if err == nil && taken {
		err = exists(name)
	}
	return err
}

// attach moves processes into a unit that runs.
func (c *call) attach(a *ipc.AttachArgs) (any, error) {
	if len(a.PIDs) == 0 || len(a.PIDs) > maxMoved {
		return nil, ipc.Errorf("InvalidArgs", "attach takes 1 to %d processes", maxMoved)
	}
	var w core.UnitView
	if err := c.look(func(_ core.View, u core.UnitView) { w = u }); err != nil {
		return nil, err
	}
	switch t := typeOf(w.Name); {
	case t != "service" && t != "scope":
		return nil, ipc.Errorf("JobTypeNotApplicable", "%s has no processes of its own", w.Name).WithUnit(w.Name)
	case !w.State.Up():
		return nil, ipc.Errorf("UnitInactive", "%s is not running", w.Name).WithUnit(w.Name)
	}
	if _, delegated := unit.DelegatedControllers(w.Unit); a.Subgroup != "" && !delegated {
		return nil, ipc.Errorf("Refused", "%s has no Delegate=: what is below its group is not handed out", w.Name).WithUnit(w.Name)
	}
	return nil, c.m.Attach(w.Name, a.Subgroup, a.PIDs)
}

// abandon leaves the processes of a scope to themselves.
func (c *call) abandon(*ipc.UnitArgs) (any, error) {
	return nil, c.simple(core.Request{Verb: core.VerbAbandon})
}
