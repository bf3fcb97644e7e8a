package api

import (
	"context"
	"slices"

	"dynamod/internal/graph"
	"dynamod/internal/ipc"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// bulkTarget is one unit of a bulk command.
type bulkTarget struct {
	name string
	// def is asked whether it is enabled, if ask is set.
	def *unit.Unit
	ask bool
	// refused is why nothing is done about a unit that was named.
	refused error
}

// many starts, stops or forgets many units. What is protected is spared unless it
// is forced; what the caller has no right to is spared when it was not named.
func (c *call) many(a *ipc.ManyArgs) (any, error) {
	targets, err := c.targets(a)
	if err != nil {
		return nil, err
	}
	res := &ipc.ManyResult{Units: []ipc.ManyRow{}}
	var awaits []func(context.Context) (core.Reply, error)
	for _, t := range targets {
		row := ipc.ManyRow{Unit: t.name}
		if t.refused != nil {
			row.Error = t.refused.Error()
		}
		var await func(context.Context) (core.Reply, error)
		if t.refused == nil && !a.DryRun {
			await = c.ask(func(id core.RequestID) core.Event {
				return core.Request{ID: id, Verb: coreVerbs[c.verb], Unit: t.name, Source: core.SourceOperator, Wait: a.Wait, Force: a.Force}
			})
		}
		res.Units = append(res.Units, row)
		awaits = append(awaits, await)
	}
	finish := func(ctx context.Context) (any, error) {
		for k, await := range awaits {
			if await == nil {
				continue
			}
			reply, err := await(ctx)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			r := &res.Units[k]
			if err != nil {
				r.Error = err.Error()
				continue
			}
			r.Job = uint32(reply.Job)
			if a.Wait {
				r.Result = reply.Result.String()
			}
			if c.verb == ipc.VerbDeleteAll && (a.Wait || reply.Job == 0) {
				c.forget(ctx, r.Unit)
			}
		}
		return res, nil
	}
	if a.Wait && !a.DryRun {
		return later(finish), nil
	}
	return finish(c.ctx)
}

// targets are the units that a bulk command is about, by name.
func (c *call) targets(a *ipc.ManyArgs) ([]bulkTarget, error) {
	ps, err := newPatterns(a.Units)
	if err != nil {
		return nil, err
	}
	var out []bulkTarget
	named := map[string]bool{}
	for _, p := range ps {
		if !isPattern(p) {
			t, err := c.namedTarget(p, a.Force)
			if err != nil {
				return nil, err
			}
			if !named[t.name] {
				named[t.name] = true
				out = append(out, t)
			}
		}
	}
	var globs patterns
	for _, p := range ps {
		if isPattern(p) {
			globs = append(globs, p)
		}
	}
	if len(ps) == 0 || len(globs) > 0 {
		found, err := c.chosen(globs, a.Force)
		if err != nil {
			return nil, err
		}
		for _, t := range found {
			enabled := true
			if t.ask {
				word, _ := c.m.FileState(t.def)
				enabled = word == "enabled" || word == "enabled-runtime"
			}
			if enabled && !named[t.name] {
				out = append(out, t)
			}
		}
	}
	slices.SortFunc(out, func(a, b bulkTarget) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return out, nil
}

// namedTarget is a unit that was named: if nothing can be done about it, that is
// said.
func (c *call) namedTarget(name string, force bool) (bulkTarget, error) {
	one := *c
	var err error
	if one.unit, err = c.canonical(name); err != nil {
		return bulkTarget{}, err
	}
	t := bulkTarget{name: one.unit}
	if t.refused = one.need(one.unit, one.verb.Rights()...); t.refused != nil {
		return t, nil
	}
	if c.verb == ipc.VerbStartAll {
		t.refused = one.ensure()
		t.name = one.unit
	}
	if t.refused == nil {
		var no error
		err := one.look(func(_ core.View, u core.UnitView) {
			switch {
			case c.verb == ipc.VerbDeleteAll && !u.Ephemeral:
				no = notEphemeral(u.Name)
			case c.verb != ipc.VerbStartAll && !force && isProtected(&u):
				no = ipc.Errorf("Protected", "%s is protected; use --force if you mean it", u.Name)
			}
		})
		t.refused = firstError(err, no)
	}
	return t, nil
}

// chosen are the units that nobody named: services that match, or without patterns
// those that an operator has switched on.
func (c *call) chosen(globs patterns, force bool) (out []bulkTarget, err error) {
	err = c.query(func(v core.View) {
		g := v.Graph()
		for i := range graph.Index(g.Len()) {
			u := g.Unit(i)
			if u == nil || u.Perpetual || !globs.match(u.Name) || typeOf(u.Name) != "service" && len(globs) == 0 {
				continue
			}
			w := v.At(i)
			if isProtected(&w) && !force || !c.sees(u.Name) || !c.may(u.Name) {
				continue
			}
			t := bulkTarget{name: u.Name, def: u}
			switch c.verb {
			case ipc.VerbStartAll:
				if u.Load != unit.Loaded || !g.CanStart(i) || w.State.Up() || w.State == core.Completed {
					continue
				}
				if len(globs) == 0 {
					t.ask = u.Format != unit.Native
					if u.Format == unit.Native && unit.StartMode.Of(u) != "boot" {
						continue
					}
				}
			case ipc.VerbStopAll:
				switch w.State {
				case core.Inactive, core.Failed, core.Skipped:
					if w.Job == 0 {
						continue
					}
				}
				if !g.CanStop(i) {
					continue
				}
			case ipc.VerbDeleteAll:
				if !w.Ephemeral {
					continue
				}
			}
			out = append(out, t)
		}
	})
	return out, err
}

func notEphemeral(name string) error {
	return ipc.Errorf("Refused", "%s is not transient: it has files", name).WithUnit(name).
		WithHint("delete its files, then dynamodctl reload --evict")
}

// forget makes the core forget a transient unit that is at rest: a failed one
// stays until it is reset (systemd.unit(5), CollectMode=).
func (c *call) forget(ctx context.Context, name string) error {
	var u core.UnitView
	var ok bool
	if err := c.query(func(v core.View) { u, ok = v.Unit(name) }); err != nil || !ok || !u.Ephemeral {
		return err
	}
	_, err := c.ask(func(id core.RequestID) core.Event {
		return core.Request{ID: id, Verb: core.VerbReset, Unit: name, Source: core.SourceOperator}
	})(ctx)
	return err
}
