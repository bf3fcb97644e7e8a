package api

import (
	"math"
	"slices"
	"strings"

	"dynamod/internal/graph"
	"dynamod/internal/ipc"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// whole tells all about a unit to who shows it in systemd's words. It is loaded for
// that, as any unit is that somebody looks at over D-Bus; a name without files is a
// unit that was not found.
func (c *call) whole(a *ipc.ShowArgs) (any, error) {
	if res := c.filesOnly(a); res != nil {
		return res, nil
	}
	res := &ipc.UnitResult{Settings: []ipc.SettingRow{}, Relations: []ipc.Relation{}}
	var s ipc.Status
	var u core.UnitView
	var err error
	for range 2 { // one that ends is forgotten, and perhaps between the two questions
		none := c.ensure()
		if none != nil && ipc.KindOf(none) != "NoSuchUnit" {
			return nil, none
		}
		if s, u, err = c.stateOf(!a.Quick && !a.Bare, !a.Unmeasured && !a.Bare); ipc.KindOf(err) != "NoSuchUnit" || none != nil {
			break
		}
	}
	res.Unit = c.unit
	if u.Defined == nil {
		c.steps = 0 // that it has no files: no event will tell of one that comes
	}
	switch {
	case ipc.KindOf(err) == "NoSuchUnit":
		s = ipc.Status{Unit: row(core.View{}, &core.UnitView{Name: c.unit}), Result: "success"}
	case err != nil:
		return nil, err
	}
	known, still := c.still(c.unit)
	if still = still && err == nil && a.Known == known.tag; still && a.Bare && a.Steps == c.steps && a.Steps != 0 && !counts(u.Unit) {
		res.Tag, res.Steps = known.tag, c.provable()
		return res, nil
	}
	if (a.Bare || a.Unmeasured && !a.Quick) && !counts(u.Unit) {
		res.Steps = c.provable()
	}
	if a.After == "" {
		res.Facts = &ipc.Facts{Status: s, Perpetual: u.Unit != nil && u.Unit.Perpetual}
		res.Facts.Group, res.Facts.Invocation, res.Facts.MainStart = c.m.RunOf(c.unit)
		res.Facts.Commands = c.m.Commands(c.unit)
		c.further(res.Facts, &u)
	}
	if still {
		res.Tag = known.tag
		return res, nil
	}
	written := ipc.SplitSettings(directives(u.Unit))
	var near []ipc.Relation
	if err := c.query(func(v core.View) {
		near = c.relations(v)
	}); err != nil {
		return nil, err
	}
	if a.Known != "" {
		res.Tag = modelTag(&s, written, near)
		if err == nil {
			c.keep(c.unit, res.Tag, 0)
		}
		if res.Tag == a.Known {
			return res, nil
		}
	}
	from := min(a.Offset(), len(written)+len(near))
	to := min(from+ipc.MaxRows, len(written)+len(near))
	if from < len(written) {
		res.Settings = written[from:min(to, len(written))]
	}
	if to > len(written) {
		res.Relations = near[max(from-len(written), 0) : to-len(written)]
	}
	if to < len(written)+len(near) {
		res.More = nextPage(to)
	}
	return res, nil
}

// filesOnly is the answer to who knows everything but what only the disk tells; nil for all
// others.
func (c *call) filesOnly(a *ipc.ShowArgs) *ipc.UnitResult {
	if !a.Unmeasured || a.Quick || a.Bare || a.Steps == 0 {
		return nil
	}
	var u core.UnitView
	if c.look(func(_ core.View, w core.UnitView) { u, c.steps = w, c.m.Steps() }) != nil || !kept(&u) || counts(u.Unit) {
		return nil
	}
	known, still := c.still(c.unit)
	if !still || a.Known != known.tag || a.Steps != c.steps {
		return nil
	}
	res := &ipc.UnitResult{Unit: c.unit, Settings: []ipc.SettingRow{}, Relations: []ipc.Relation{}, Tag: known.tag, OnDisk: &ipc.OnDisk{}}
	d := asDefined(&u)
	enabled, changed, read, met := c.m.FileProof(d)
	res.OnDisk.Enabled, res.OnDisk.NeedsReload = filesOf(&u, d, enabled, changed)
	if a.Paths && textSize(read)+textSize(met) <= maxPaths {
		res.OnDisk.Read, res.OnDisk.Met = read, met
	}
	return res
}

// maxPaths bounds the paths of an answer, in bytes: half of a message. Whoever asked all
// about all units just now makes them more than that, for two seconds.
const maxPaths = ipc.MaxMessage / 2

// textSize is about what texts take in a message.
func textSize(list []string) int {
	n := 0
	for _, s := range list {
		n += len(s) + len(`"",`)
	}
	return n
}

// modelTag stands for all that translate.NewUnit makes a model of; what else is told of a
// unit changes all the time.
func modelTag(s *ipc.Status, settings []ipc.SettingRow, near []ipc.Relation) string {
	return tagOf([]string{s.Name, s.Load, tagOf(s.Files), tagOf(s.Aliases), tagOf(settings), tagOf(near)})
}

// counts says that traffic is among the facts of the unit: it changes by itself.
func counts(u *unit.Unit) bool { return u != nil && unit.IPAccounting.Of(u) }

// further adds what only clients of systemd ask for.
func (c *call) further(f *ipc.Facts, u *core.UnitView) {
	f.Trigger = ""
	if c.sees(u.Trigger) {
		f.Trigger = u.Trigger
	}
	f.RestartDelay = u.NextDelay.Microseconds()
	if u.NextDelay == unit.Forever {
		f.RestartDelay = math.MaxInt64
	}
	f.Connections, f.Accepted, f.Refused = u.Connections, u.Accepted, u.Refused
	f.MountFailed = c.m.MountFailed(c.unit)
	for _, m := range marks {
		if u.Marks&m.mark != 0 {
			f.Marks = append(f.Marks, m.word)
		}
	}
	if u.Pinged.Wall != 0 {
		f.Pinged = stamp(u.Pinged)
	}
	if counts(u.Unit) {
		if t, ok := c.m.Traffic(c.unit); ok {
			f.Traffic = &t
		}
	}
	f.Errno, f.BusError, f.VarlinkError, f.ReloadFailed = u.Errno, u.BusError, u.VarlinkError, u.ReloadFailed
	if f.Watchdog = u.Watchdog.Microseconds(); u.Watchdog < 0 {
		f.Watchdog = -1
	}
}

// relations are the edges of the unit to units that the caller may see and that systemd
// would have loaded while he looks at this one: no edges of files that nobody needs. The
// paths that it needs mounts for come last.
func (c *call) relations(v core.View) []ipc.Relation {
	g := v.Graph()
	i, ok := g.Lookup(c.unit)
	if !ok {
		return nil
	}
	var out []ipc.Relation
	inUse := v.InUse(i)
	for _, e := range g.Edges(i) {
		if !inUse[e.To] || !c.sees(g.Name(e.To)) {
			continue
		}
		for r := e.Rel & graph.Dependencies; r != 0; r &= r - 1 {
			out = append(out, ipc.Relation{Relation: graph.Rel(r & -r).String(), Unit: g.Name(e.To)})
		}
	}
	slices.SortFunc(out, func(a, b ipc.Relation) int {
		return strings.Compare(a.Relation+" "+a.Unit, b.Relation+" "+b.Unit)
	})
	requires, wants := g.MountsFor(i)
	for _, p := range requires {
		out = append(out, ipc.Relation{Relation: "RequiresMountsFor", Unit: p})
	}
	for _, p := range wants {
		out = append(out, ipc.Relation{Relation: "WantsMountsFor", Unit: p})
	}
	return out
}

// directives are a unit's settings as a unit file would have them, so that whoever
// builds a unit of them gets the same values. For native units that includes the
// defaults in which their format differs.
func directives(u *unit.Unit) []ipc.Setting {
	if u == nil {
		return []ipc.Setting{}
	}
	out := []ipc.Setting{}
	set := map[unit.ID]bool{}
	own := strings.ToUpper(u.Type.String()[:1]) + u.Type.String()[1:]
	// A native target may have a section [service], which says more than a unit
	// file can.
	means := func(section string) bool { return section == own || section == "Unit" || section == "Install" }
	add := func(s *unit.Setting, v any) {
		texts := unit.Texts(s, v)
		if len(texts) == 0 && s.EmptyIsValue {
			texts = []string{""}
		}
		for _, text := range texts {
			row := s
			if name, value, ok := strings.Cut(text, "="); ok {
				if r := rowOf(s, name); r != nil {
					row, text = r, value
				}
			}
			if section, key := directiveOf(u, row); key != "" && means(section) {
				out = append(out, ipc.Setting{Section: section, Key: key, Value: text})
			}
		}
	}
	for _, x := range u.Assigned() {
		set[x.Setting.ID] = true
		add(x.Setting, x.Value)
	}
	if u.Format != unit.Native {
		return out
	}
	for _, s := range unit.Table() {
		if s.NativeDefault != "" && !set[s.ID] {
			add(s, u.Value(s))
		}
	}
	return out
}
