package api

import (
	"path"
	"slices"
	"strings"

	"dynamod/internal/diag"
	"dynamod/internal/graph"
	"dynamod/internal/ipc"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
	"dynamod/svmgr/internal/core"
)

// fullName is what a person means: "web" is web.service, "/home" is home.mount,
// "mount:/home" (the original's form) too.
func fullName(name string) (string, error) {
	if len(name) > 4096 {
		return "", ipc.Errorf("InvalidArgs", "the name is too long")
	}
	full, err := unitname.Mangle(strings.TrimPrefix(name, "mount:"), unitname.Service)
	if err != nil {
		return "", ipc.Errorf("InvalidArgs", "%q is no name of a unit: %v", diag.Clip(name), err)
	}
	return full, nil
}

// canonical is the name under which the core knows the unit, or the full name if
// it does not know it.
func (c *call) canonical(name string) (string, error) {
	full, err := fullName(name)
	if err != nil {
		return "", err
	}
	err = c.query(func(v core.View) {
		if i, ok := v.Graph().Lookup(full); ok {
			full = v.Graph().Name(i)
		}
	})
	return full, err
}

// look calls f with the unit of the request, on the loop's goroutine.
func (c *call) look(f func(core.View, core.UnitView)) error {
	found := false
	err := c.query(func(v core.View) {
		var u core.UnitView
		if u, found = v.Unit(c.unit); found {
			f(v, u)
		}
	})
	if err == nil && !found {
		return c.unknown(c.unit)
	}
	return err
}

// unknown says that there is no such unit, and what may have been meant.
func (c *call) unknown(name string) error {
	e := ipc.Errorf("NoSuchUnit", "there is no unit %s", diag.Clip(name)).WithUnit(name)
	var names []string
	if c.query(func(v core.View) { names = loadedNames(v) }) != nil {
		return e
	}
	bare, typ := splitType(name)
	var same, bares []string // of the same type, and their names without it
	for _, n := range names {
		b, t := splitType(n)
		switch {
		case !c.sees(n):
		case t == typ:
			same, bares = append(same, n), append(bares, b)
		case b == bare: // "default" is default.target
			return e.WithHint("did you mean %s?", n)
		}
	}
	if s := diag.Suggest(bare, bares); s != "" {
		return e.WithHint("did you mean %s?", same[slices.Index(bares, s)])
	}
	return e.WithHint("dynamodctl list --all shows all units; after adding a file: dynamodctl reload")
}

// loadedNames are the names of all units that have something behind them.
func loadedNames(v core.View) []string {
	g := v.Graph()
	var out []string
	for i := range graph.Index(g.Len()) {
		if g.Unit(i) != nil && v.Known(i) {
			out = append(out, g.Name(i))
		}
	}
	return out
}

// maxLoaded bounds how many units clients may have loaded that the boot did not
// need: instances of a template are as many as there are words.
const maxLoaded = 4096

// kept says that a unit was read from its files and is kept as it is, and not read anew for
// each who looks at it.
func kept(u *core.UnitView) bool {
	return u.Defined != nil && !(u.OnDemand && u.State == core.Inactive && u.Job == 0)
}

// ensure loads the unit of the request if the core does not know it yet, and holds it
// until the request has been answered: what nobody needs is forgotten then.
func (c *call) ensure() error {
	known, loaded := false, 0
	err := c.query(func(v core.View) {
		u, ok := v.Unit(c.unit)
		known = ok && kept(&u)
		loaded = v.OnDemand()
	})
	if err != nil || known {
		return err
	}
	us, err := c.read(c.unit)
	if err != nil {
		return err
	}
	if us, err = c.withNeeded(us); err != nil {
		return err
	}
	// Who may rule the system is not bounded: others must not be able to use it up
	// for them.
	if loaded+len(us) > maxLoaded && !c.decide("", ipc.RightSystem).Allowed {
		return ipc.Errorf("Refused", "%d units were loaded on demand already", maxLoaded).
			WithUnit(c.unit).WithHint("stop those that are not needed")
	}
	if !c.m.Post(core.Loaded{Units: us, Hold: true}) {
		return errEnded()
	}
	for _, u := range us {
		*c.held = append(*c.held, u.Name)
	}
	asked := c.unit
	if c.unit, err = c.canonical(asked); err == nil && c.unit != asked {
		err = c.need(c.unit, c.verb.Rights()...) // it was an alias: the gate saw another name
	}
	return err
}

// withNeeded adds the instances and slices that units refer to and that the core does not
// know yet: Requires=helper@%i.service of an instance means one that nobody has named
// before.
func (c *call) withNeeded(us []*unit.Unit) ([]*unit.Unit, error) {
	known := map[string]bool{}
	for _, u := range us {
		known[u.Name] = true
	}
	err := c.query(func(v core.View) {
		for i := range graph.Index(v.Graph().Len()) {
			if u := v.Graph().Unit(i); u != nil {
				known[u.Name] = true
				for _, a := range u.Aliases {
					known[a] = true
				}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	for _, u := range us {
		for _, n := range c.m.Needed(u, func(name string) bool { return known[name] }) {
			known[n.Name] = true
			us = append(us, n)
		}
	}
	return us, nil
}

// read has the files of a unit read; it returns at least that unit.
func (c *call) read(name string) ([]*unit.Unit, error) {
	us, ds, err := c.m.Load(name)
	switch {
	case err != nil:
		return nil, err
	case len(us) == 0:
		return nil, c.unknown(name)
	}
	for _, d := range ds {
		if d.Severity == diag.Error {
			c.log.Warn("a unit was loaded with errors", "unit", name, "error", d.String())
		}
	}
	return us, nil
}

// patterns choose units: names, aliases are not looked at, or shell patterns, with
// or without ".service". None choose all.
type patterns []string

func newPatterns(list []string) (patterns, error) {
	for _, p := range list {
		if _, err := path.Match(p, ""); err != nil || len(p) > 4096 {
			return nil, ipc.Errorf("InvalidArgs", "%q is no pattern", diag.Clip(p))
		}
	}
	return list, nil
}

// isPattern: a backslash alone is part of an escaped name (systemd.unit(5)).
func isPattern(s string) bool { return strings.ContainsAny(s, "*?[") }

func (ps patterns) match(name string) bool {
	if len(ps) == 0 {
		return true
	}
	for _, p := range ps {
		if !isPattern(p) {
			if full, err := fullName(p); err == nil && full == name {
				return true
			}
			continue
		}
		if ok, _ := path.Match(p, name); ok {
			return true
		}
		if ok, _ := path.Match(p+".service", name); ok {
			return true
		}
	}
	return false
}

// known refuses names (not patterns) that no unit has, so that a typing error is
// not taken for an empty list. Aliases become names.
func (c *call) known(list []string) (patterns, error) {
	ps, err := newPatterns(list)
	if err != nil {
		return nil, err
	}
	out := make(patterns, len(ps))
	missing := ""
	var bad error
	err = c.query(func(v core.View) {
		for k, p := range ps {
			out[k] = p
			if isPattern(p) {
				continue
			}
			full, err := fullName(p)
			if err != nil {
				bad = err
				return
			}
			i, ok := v.Graph().Lookup(full)
			if !ok || !c.sees(v.Graph().Name(i)) {
				missing = full
				return
			}
			out[k] = v.Graph().Name(i)
		}
	})
	switch {
	case err != nil || bad != nil:
		return nil, firstError(err, bad)
	case missing != "":
		return nil, c.unknown(missing)
	}
	return out, nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// splitType takes a unit's full name apart.
func splitType(name string) (bare, typ string) {
	k := strings.LastIndexByte(name, '.')
	return name[:max(k, 0)], name[k+1:]
}

func typeOf(name string) string {
	_, t := splitType(name)
	return t
}
