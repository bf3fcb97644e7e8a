package api

import (
	"slices"
	"strings"
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/ipc"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
	"dynamod/svmgr/internal/core"
)

// stamp puts a moment on the wire.
func stamp(t core.Time) ipc.Stamp {
	return ipc.Stamp{Wall: t.Wall / 1000, Mono: int64(t.Mono / time.Microsecond)}
}

// row is one line of a list. The pid is filled in later, outside of the loop.
func row(v core.View, u *core.UnitView) ipc.Unit {
	r := ipc.Unit{Name: u.Name, Type: typeOf(u.Name), State: u.State.String(), Active: u.Active.String(), Sub: u.Sub.String(),
		Load: unit.NotFound.String(), Supervisor: u.Supervisor, Since: stamp(u.Since), Restarts: u.Restarts, Job: uint32(u.Job)}
	if d := asDefined(u); d != nil {
		r.Description = clipped(unit.Description.Of(d))
		r.Load = d.Load.String()
	}
	if u.Unit != nil {
		r.BusName = unit.BusName.Of(u.Unit)
	}
	if u.Cause.Kind != core.NoCause {
		r.Cause = u.Cause.Kind.String()
	}
	if u.Job != 0 {
		if j, ok := v.Job(u.Job); ok {
			r.JobType = j.Type.String()
		}
	}
	return r
}

// maxDescription bounds a description in rows, so that one always fits into a message,
// however much of it must be escaped.
const maxDescription = 8 << 10

func clipped(text string) string {
	if len(text) <= maxDescription {
		return text
	}
	return strings.ToValidUTF8(text[:maxDescription], "") + "…"
}

// asDefined is the unit as its files said when they were read last; a running one may
// still do what they said before. It is nil for a name without files.
func asDefined(u *core.UnitView) *unit.Unit {
	if u.Defined != nil {
		return u.Defined
	}
	return u.Unit
}

// list answers a page of units, by name.
func (c *call) list(a *ipc.ListArgs) (any, error) {
	want, err := c.known(a.Units)
	if err != nil {
		return nil, err
	}
	if err := words(a.States, "state", stateWords); err != nil {
		return nil, err
	}
	// Who names units wants to see them, at rest or not.
	all := a.All || len(a.States) > 0 || len(a.Units) > 0 && !slices.ContainsFunc(a.Units, isPattern)
	res := &ipc.ListResult{Units: []ipc.Unit{}}
	var runs []core.RunID
	size, fits := 0, 0
	// The list of everything is asked for again and again.
	const everything = "*"
	whole := a.Known != "" && a.All && a.InUse && !a.Held && len(a.Units)+len(a.States)+len(a.Types) == 0
	same := false
	err = c.query(func(v core.View) {
		c.steps = c.m.Steps()
		if whole {
			if t, ok := c.still(everything); ok && t.tag == a.Known {
				res.Tag, res.Total, same = t.tag, t.total, true
				return
			}
		}
		var inUse []bool
		if a.InUse {
			inUse = v.InUse()
		}
		page, total := c.page(v, a.After, func(i graph.Index, name string) bool {
			if len(a.Types) > 0 && !slices.Contains(a.Types, typeOf(name)) || !want.match(name) {
				return false
			}
			if len(a.States) > 0 && !slices.Contains(a.States, v.StateAt(i).String()) {
				return false
			}
			return (all || lively(v, i)) && (inUse == nil || inUse[i]) && (!a.Held || v.HeldAt(i))
		})
		res.Total = total
		for k, i := range page {
			// What does not fit would be encoded in vain; that a row has a hundred bytes
			// more than its texts is the least. A tag is of all rows.
			if a.Known == "" && fits < k {
				break
			}
			u := v.At(i)
			r := row(v, &u)
			res.Units = append(res.Units, r)
			runs = append(runs, u.Main)
			if size += 100 + len(r.Name) + len(r.Description); fits == k && k < ipc.MaxRows && size <= ipc.MaxMessage {
				fits++
			}
		}
	})
	for k, run := range runs {
		if run != 0 {
			res.Units[k].PID = c.m.PID(run)
		}
	}
	if whole {
		res.Steps = c.provable()
	}
	if a.Known != "" && !same {
		res.Tag = tagOf(res.Units)
		if whole {
			c.keep(everything, res.Tag, res.Total)
		}
		if res.Tag == a.Known {
			res.Units, fits = []ipc.Unit{}, 0
		}
	}
	if fits < len(res.Units) {
		res.Units, res.Next = res.Units[:fits], res.Units[fits-1].Name
	}
	return res, err
}

// lively: the unit does something, or did since it was loaded.
func lively(v core.View, i graph.Index) bool {
	if v.Graph().Unit(i) == nil {
		return v.StateAt(i) != core.Inactive
	}
	if v.StateAt(i) != core.Inactive {
		return true
	}
	u := v.At(i)
	return u.Job != 0 || u.InactiveExit != core.Time{}
}

// page chooses the units that come next: sorted by name, after one name; total is how
// many there are on all pages.
func (c *call) page(v core.View, after string, wanted func(graph.Index, string) bool) (page []graph.Index, total int) {
	g := v.Graph()
	for i := range graph.Index(g.Len()) {
		name := g.Name(i)
		if !v.Known(i) || !wanted(i, name) || !c.sees(name) {
			continue
		}
		total++
		if name > after {
			page = append(page, i)
		}
	}
	slices.SortFunc(page, func(a, b graph.Index) int { return strings.Compare(g.Name(a), g.Name(b)) })
	return page, total
}

var stateWords = func() (out []string) {
	for s := core.Inactive; s.String() != "state(?)"; s++ {
		out = append(out, s.String())
	}
	return out
}()

// words refuses words that do not exist: no unit will ever match them.
func words(list []string, what string, known []string) error {
	for _, w := range list {
		if !slices.Contains(known, w) {
			return ipc.Errorf("InvalidArgs", "there is no %s %q", what, clip(w)).WithHint("there are: %s", strings.Join(known, ", "))
		}
	}
	return nil
}

func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "?") + "…"
	}
	return s
}

// cause puts a cause on the wire, without the names of units that the caller may
// not see.
func (c *call) cause(k core.Cause, name string) ipc.Cause {
	if k.Unit != "" && strings.Contains(k.Unit, ".") && !c.sees(k.Unit) {
		k.Unit = ""
	}
	if k.Kind == core.ProbeFailed {
		k.Detail = c.mask(k.Detail)
	}
	return ipc.Cause{Kind: k.Kind.String(), Sentence: k.Sentence(name), Unit: k.Unit, Code: k.Code,
		Signal: k.Signal, Errno: k.Errno, Detail: k.Detail, Decision: k.Decision}
}

// statusLines is how many lines of log a status has.
const statusLines = 10

// status tells all about one unit.
func (c *call) status(*ipc.UnitArgs) (any, error) {
	s, u, err := c.stateOf(true, true)
	if ipc.KindOf(err) == "NoSuchUnit" {
		return c.atRest(err)
	}
	if err != nil {
		return nil, err
	}
	if err := c.query(func(v core.View) { s.Checks, s.Decisions = c.verdicts(v, u.Name) }); err != nil {
		return nil, err
	}
	if u.Incarnation != 0 {
		s.Processes = c.processes(u.Name, u.Main, u.Control)
	}
	s.Log = c.newest(u.Name, statusLines)
	return &s, nil
}

// stateOf is the status of a unit that the core knows, without its processes, its
// log and the decisions about it; without disk and kernel also without what is read there.
func (c *call) stateOf(disk, kernel bool) (s ipc.Status, u core.UnitView, err error) {
	err = c.look(func(v core.View, w core.UnitView) {
		u, c.steps = w, c.m.Steps()
		s = ipc.Status{Unit: row(v, &u), Why: c.cause(u.Cause, u.Name), Result: u.Result, Stable: u.Stable, Frozen: u.Frozen,
			Text: u.Status, StoredFDs: u.Stored, ActiveEnter: stamp(u.ActiveEnter), ActiveExit: stamp(u.ActiveExit),
			InactiveEnter: stamp(u.InactiveEnter), InactiveExit: stamp(u.InactiveExit)}
		if u.NextElapse != (core.Time{}) {
			next := stamp(u.NextElapse)
			s.NextElapse = &next
		}
		if u.LastElapse != (core.Time{}) {
			last := stamp(u.LastElapse)
			s.LastElapse = &last
		}
		s.Triggers, s.TriggerBy = c.related(v, u.Name, graph.Triggers), c.related(v, u.Name, graph.TriggeredBy)
	})
	if err != nil {
		return s, u, err
	}
	c.describe(&s, &u, disk)
	s.PID, s.ControlPID = c.pid(u.Main), c.pid(u.Control)
	if e, ok := c.m.LastExit(u.Name); ok {
		s.Last = &e
	}
	// Slices, and the scope that the manager is in, have groups without runs.
	if u.Incarnation != 0 || u.Unit != nil && (u.Unit.Type == unitname.Slice || u.Unit.Perpetual) {
		s.Cgroup = c.m.Cgroup(u.Name)
	}
	s.Warnings = append(s.Warnings, c.m.Warnings(u.Name)...)
	if !kernel {
		return s, u, nil
	}
	if use, ok := c.m.Usage(u.Name); ok {
		s.Resources = &use
	} else if use, ok := c.m.Spent(u.Name); ok && u.InactiveEnter != (core.Time{}) {
		s.Resources = &use
	}
	return s, u, nil
}

func (c *call) pid(run core.RunID) int32 {
	if run == 0 {
		return 0
	}
	return c.m.PID(run)
}

// atRest shows a unit that has files but was never needed; it is not loaded for
// that, since whoever may look must not fill the manager's memory.
func (c *call) atRest(unknown error) (any, error) {
	us, _, err := c.m.Load(c.unit)
	if err != nil || len(us) == 0 {
		return nil, unknown
	}
	u := us[0]
	for _, x := range us {
		if x.Name == c.unit || slices.Contains(x.Aliases, c.unit) {
			u = x
		}
	}
	if err := c.need(u.Name, c.verb.Rights()...); err != nil {
		return nil, err
	}
	s := &ipc.Status{Unit: row(core.View{}, &core.UnitView{Name: u.Name, Unit: u}), Why: c.cause(core.Cause{}, u.Name), Result: "success"}
	c.describe(s, &core.UnitView{Name: u.Name, Unit: u, Defined: u}, true)
	return s, nil
}

// describe adds what the files of a unit say.
func (c *call) describe(s *ipc.Status, u *core.UnitView, disk bool) {
	d := asDefined(u)
	if d == nil {
		return
	}
	s.Aliases = d.Aliases
	if d.Path != "" {
		s.Files = append([]string{d.Path}, d.DropIns...)
	}
	if d.Shadows != "" {
		s.Shadows = []string{d.Shadows}
	}
	for _, l := range unit.Listens.Of(d) {
		s.Listens = append(s.Listens, unit.Text(unit.Listens.Setting(), []unit.Listen{l}))
	}
	s.Enabled, s.NeedsReload = c.onDisk(u, d, disk)
	if u.Gone {
		s.Warnings = append(s.Warnings, "its file is gone: it runs until it is stopped")
	}
	s.NeedsRestart = u.Defined != nil && u.Unit != nil && u.Defined != u.Unit && unit.Canonical(u.Defined) != unit.Canonical(u.Unit)
}

// onDisk says whether a unit is enabled and whether its files have changed, as far as that
// is known without a look at the disk if read is false.
func (c *call) onDisk(u *core.UnitView, d *unit.Unit, read bool) (enabled string, needsReload bool) {
	if read {
		enabled, needsReload = c.m.FileState(d)
	}
	return filesOf(u, d, enabled, needsReload)
}

// filesOf is what is told of the files of a unit, of which the disk says enabled and changed.
func filesOf(u *core.UnitView, d *unit.Unit, enabled string, changed bool) (string, bool) {
	if u.Ephemeral && d.Path == "" {
		enabled = "transient" // systemctl(1), is-enabled
	}
	return enabled, changed || u.Gone
}

// related are the visible units to which name has a relation.
func (c *call) related(v core.View, name string, rel graph.Rel) []string {
	g := v.Graph()
	i, ok := g.Lookup(name)
	if !ok {
		return nil
	}
	var out []string
	for _, e := range g.Edges(i) {
		if e.Rel.Has(rel) && c.sees(g.Name(e.To)) {
			out = append(out, g.Name(e.To))
		}
	}
	slices.Sort(out)
	return out
}
