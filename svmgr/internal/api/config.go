package api

import (
	"context"
	"slices"

	"dynamod/internal/diag"
	"dynamod/internal/graph"
	"dynamod/internal/ipc"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// daemonReload loads the configuration anew, all of it or nothing.
func (c *call) daemonReload(a *ipc.ReloadArgs) (any, error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	made, err := c.made()
	if err != nil {
		return nil, err
	}
	gen, err := c.m.Read(made)
	if err != nil {
		return nil, err
	}
	res, err := c.change(gen, a.DryRun, a.Evict)
	if err == nil && !a.DryRun {
		res.Diagnostics = append(res.Diagnostics, wireDiags(c.ReloadAccess())...)
	}
	return res, err
}

// made are the units beside the generation that are not forgotten by a reload.
func (c *call) made() (m MadeUnits, err error) {
	err = c.query(func(v core.View) { m = Made(v) })
	return m, err
}

// MadeUnits are units that no generation has and that are not at rest.
type MadeUnits struct {
	// Files are the names of those that were loaded on demand and have files.
	Files []string
	// Transient were made by clients: what drop-ins say of them is read anew.
	Transient []*unit.Unit
}

// Made lists them.
func Made(v core.View) (m MadeUnits) {
	for i := range graph.Index(v.Graph().Len()) {
		u := v.Graph().Unit(i)
		if u == nil || !u.Recordable() {
			continue
		}
		if w := v.At(i); w.State == core.Inactive && w.Job == 0 {
			continue
		} else if u.Path != "" {
			m.Files = append(m.Files, u.Name)
		} else if w.Ephemeral {
			m.Transient = append(m.Transient, u)
		}
	}
	return m
}

// rollback returns to a former generation.
func (c *call) rollback(a *ipc.RollbackArgs) (any, error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	made, err := c.made()
	if err != nil {
		return nil, err
	}
	gen, err := c.m.ReadFormer(a.Generation, made)
	if err != nil {
		return nil, err
	}
	return c.change(gen, a.DryRun, false)
}

// change brings a generation into force, or says what would change.
func (c *call) change(gen *Generation, dryRun, evict bool) (*ipc.ReloadResult, error) {
	if gen.Rejected || gen.Set == nil {
		e := ipc.Errorf("ReloadRejected", "the new configuration is invalid; nothing was changed").WithHint("dynamodctl check shows what is wrong")
		e.Diags = wireDiags(gen.Diags)
		for _, d := range e.Diags {
			if d.Severity == diag.Error.String() {
				e.Text += ": " + d.Message
				break
			}
		}
		return nil, e
	}
	res, err := c.difference(gen.Set, evict)
	if err != nil {
		return nil, err
	}
	res.Diagnostics = wireDiags(gen.Diags)
	if dryRun {
		res.Generation = c.m.Info().Generation
		return res, nil
	}
	_, err = c.ask(func(id core.RequestID) core.Event {
		return core.Reloaded{Set: gen.Set, OnDemand: gen.OnDemand, Evict: evict, Request: id}
	})(context.Background()) // answered at once; not even a client that hangs up stops it half way
	if err != nil {
		return nil, err
	}
	res.Applied = true
	if res.Generation, err = c.m.Keep(gen); err != nil {
		c.log.Error("the new configuration is in force but could not be kept for rollback", "error", err)
		res.Diagnostics = append(res.Diagnostics, ipc.Diagnostic{Severity: diag.Warning.String(), Code: "not-kept",
			Message: "the configuration is in force, but it could not be kept: " + err.Error()})
	}
	c.tell(ipc.Event{Kind: ipc.EventReloaded, At: stamp(c.m.Now())})
	return res, nil
}

// difference compares a set with what the core has. Texts are compared outside of
// the loop: units do not change.
func (c *call) difference(set *unit.Set, evict bool) (*ipc.ReloadResult, error) {
	type pair struct {
		old, running *unit.Unit
		runs         bool
	}
	have := map[string]pair{}
	err := c.query(func(v core.View) {
		g := v.Graph()
		for i := range graph.Index(g.Len()) {
			if u := g.Unit(i); u != nil && v.Known(i) {
				w := v.At(i)
				have[u.Name] = pair{u, w.Unit, w.State.Up() || w.Active == graph.Active}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	res := &ipc.ReloadResult{}
	for _, u := range set.Units {
		if u.Load == unit.Merged {
			continue
		}
		old, ok := have[u.Name]
		switch {
		case !ok:
			res.Added = append(res.Added, u.Name)
		case old.old == u || unit.Canonical(old.old) == unit.Canonical(u):
		case old.runs && unit.Canonical(old.running) != unit.Canonical(u) && !inForceAtOnce(unit.Changed(old.running, u)):
			res.Restart = append(res.Restart, u.Name)
		default:
			res.Changed = append(res.Changed, u.Name)
		}
	}
	for name, old := range have {
		if _, ok := set.Find(name); ok || old.old.Path == "" {
			continue // generated and transient units have no file that could go
		}
		res.Removed = append(res.Removed, name)
		if evict && old.runs {
			res.Evicted = append(res.Evicted, name)
		}
	}
	slices.Sort(res.Removed)
	slices.Sort(res.Evicted)
	return res, nil
}

// inForceAtOnce says that a difference counts for what runs: the core sees to it.
func inForceAtOnce(changed []*unit.Setting) bool { return len(changed) > 0 && unit.OnlyLive(changed) }

func wireDiags(ds []diag.Diag) []ipc.Diagnostic {
	var out []ipc.Diagnostic
	for _, d := range ds {
		out = append(out, ipc.Diagnostic{File: d.Pos.File, Line: d.Pos.Line, Column: d.Pos.Col, Severity: d.Severity.String(),
			Code: d.Code, Unit: d.Unit, Message: d.Message, Hint: d.Hint})
	}
	return out
}

// load loads the files of a unit if that has not happened yet.
func (c *call) load(*ipc.UnitArgs) (any, error) {
	if err := c.ensure(); err != nil {
		return nil, err
	}
	if r := c.after(c.unit); r != nil {
		return r, nil
	}
	return nil, c.unknown(c.unit)
}

// checked refuses a unit with errors in it.
func checked(name string, u *unit.Unit, ds []diag.Diag, err error) error {
	if err != nil {
		return err
	}
	for _, d := range ds {
		if d.Severity == diag.Error {
			e := ipc.Errorf("BadUnitSetting", "%s: %s", name, d.Message).WithUnit(name)
			e.Hint, e.Diags = d.Hint, wireDiags(ds)
			return e
		}
	}
	if u == nil || u.Load != unit.Loaded {
		return ipc.Errorf("BadUnitSetting", "%s: its settings make no unit that can be run", name).WithUnit(name)
	}
	return nil
}

// remove stops a transient unit and forgets it.
func (c *call) remove(a *ipc.JobArgs) (any, error) {
	mode, err := c.modeOf(a.Mode, a.NoCascade)
	if err != nil {
		return nil, err
	}
	var u core.UnitView
	if err := c.look(func(_ core.View, w core.UnitView) { u = w }); err != nil {
		return nil, err
	}
	if !u.Ephemeral {
		return nil, notEphemeral(c.unit)
	}
	if a.DryRun {
		return c.dryRun(mode, a.Force)
	}
	if !u.State.Up() && u.Job == 0 {
		return &ipc.JobResult{}, c.forget(c.ctx, c.unit)
	}
	r, err := c.begin(mode, a.Wait, a.Force, false)
	if wait, ok := r.(later); ok && err == nil {
		return later(func(ctx context.Context) (any, error) {
			r, err := wait(ctx)
			if err == nil {
				err = c.forget(ctx, c.unit)
			}
			return r, err
		}), nil
	}
	return r, err
}

// setProperty changes settings of a unit. What runs goes on with its old settings
// in the core, as after a reload; limits are applied by the manager.
func (c *call) setProperty(a *ipc.SetPropertyArgs) (any, error) {
	if len(a.Settings) == 0 {
		return nil, ipc.Errorf("InvalidArgs", "set-property needs settings")
	}
	c.changing.Lock()
	defer c.changing.Unlock()
	if err := c.look(func(core.View, core.UnitView) {}); err != nil {
		return nil, err
	}
	u, ds, err := c.m.SetProperty(c.unit, a.Settings, a.Runtime)
	if err := checked(c.unit, u, ds, err); err != nil {
		return nil, err
	}
	if !c.m.Post(core.Loaded{Units: []*unit.Unit{u}}) {
		return nil, errEnded()
	}
	return nil, nil
}
