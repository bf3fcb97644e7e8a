package api

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"dynamod/internal/graph"
	"dynamod/internal/ipc"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

const sigTERM = 15

// kill sends a signal to processes of a unit.
func (c *call) kill(a *ipc.KillArgs) (any, error) {
	sig := int32(sigTERM)
	if a.Signal != "" {
		var ok bool
		if sig, ok = unit.ReadSignal(a.Signal); !ok {
			return nil, ipc.Errorf("InvalidArgs", "there is no signal %q", clip(a.Signal)).WithHint("a name such as SIGHUP or RTMIN+3, or a number from 1 to 64")
		}
	}
	whom := core.WhomAll
	switch a.Whom {
	case "", "all":
	case "main":
		whom = core.WhomMain
	case "control":
		whom = core.WhomControl
	default:
		return nil, ipc.Errorf("InvalidArgs", "whom is all, main or control, not %q", clip(a.Whom))
	}
	r := core.Request{Verb: core.VerbKill, Signal: sig, Whom: whom}
	if a.Value != nil {
		if sig < 34 {
			return nil, ipc.Errorf("InvalidArgs", "a value comes with signals of real time only, from 34 to 64")
		}
		r.Queue, r.Value = true, *a.Value
	}
	return nil, c.simple(r)
}

// mount puts a file or directory into the mounts of a service that runs.
func (c *call) mount(a *ipc.MountArgs) (any, error) {
	m := *a
	if m.Target == "" {
		m.Target = m.Source
	}
	for what, p := range map[string]string{"Source": m.Source, "Destination": m.Target} {
		if !strings.HasPrefix(p, "/") || path.Clean(p) != p || strings.ContainsRune(p, 0) {
			return nil, ipc.Errorf("InvalidArgs", "%s path must be absolute and normalized", what)
		}
	}
	var run core.RunID
	if err := c.look(func(_ core.View, u core.UnitView) { run, m.Unit = u.Main, u.Name }); err != nil {
		return nil, err
	}
	if !strings.HasSuffix(m.Unit, ".service") {
		return nil, ipc.Errorf("NotSupported", "mount: %s is no service", m.Unit).WithUnit(m.Unit)
	}
	defer c.m.Happened() // that it has failed is a property of the unit
	return nil, c.m.LiveMount(run, m)
}

// marks are the words of what is to be done later.
var marks = []struct {
	word string
	mark core.Mark
}{{"needs-reload", core.NeedsReload}, {"needs-restart", core.NeedsRestart}}

// mark sets marks of a unit and takes others away.
func (c *call) mark(a *ipc.MarkArgs) (any, error) {
	r := core.Request{Verb: core.VerbMark}
	for _, list := range []struct {
		words []string
		to    *core.Mark
	}{{a.Add, &r.Add}, {a.Drop, &r.Drop}} {
		for _, w := range list.words {
			bit := core.Mark(0)
			for _, m := range marks {
				if m.word == w {
					bit = m.mark
				}
			}
			if bit == 0 {
				return nil, ipc.Errorf("InvalidArgs", "Unknown marker %q.", clip(w))
			}
			*list.to |= bit
		}
	}
	return nil, c.simple(r)
}

// freeze is freeze and thaw.
func (c *call) freeze(*ipc.UnitArgs) (any, error) {
	return nil, c.simple(core.Request{Verb: coreVerbs[c.verb]})
}

// leftovers are what clean can remove, in the words of systemctl(1), --what=.
var leftovers = []string{"configuration", "state", "cache", "logs", "runtime"}

// clean removes what a unit that is at rest has left behind.
func (c *call) clean(a *ipc.CleanArgs) (any, error) {
	what := a.What
	if len(what) == 0 {
		what = []string{"cache", "runtime"} // what the next start makes again
	}
	for _, w := range what {
		if !slices.Contains(leftovers, w) {
			return nil, ipc.Errorf("InvalidArgs", "clean: %q is none of %s", w, strings.Join(leftovers, ", "))
		}
	}
	if err := c.ensure(); err != nil {
		return nil, err
	}
	var u core.UnitView
	if err := c.look(func(_ core.View, w core.UnitView) { u = w }); err != nil {
		return nil, err
	}
	d := asDefined(&u)
	switch {
	case d == nil || d.Load != unit.Loaded:
		return nil, ipc.Errorf("BadUnitSetting", "%s has no files that say what to remove", c.unit).WithUnit(c.unit)
	case u.Active != graph.Inactive && u.Active != graph.Failed || u.Job != 0:
		return nil, ipc.Errorf("Busy", "%s is not at rest; stop it first", c.unit).WithUnit(c.unit)
	}
	if err := c.m.Clean(d, what); err != nil {
		return nil, ipc.Errorf("Refused", "clean %s: %v", c.unit, err).WithUnit(c.unit)
	}
	return nil, nil
}

// simple puts a request to the core that is answered at once.
func (c *call) simple(r core.Request) error {
	_, err := c.ask(func(id core.RequestID) core.Event {
		r.ID, r.Unit, r.Source = id, c.unit, core.SourceOperator
		return r
	})(c.ctx)
	if err != nil {
		return c.improve(err)
	}
	return nil
}

// measured is a unit and its runs, as copied out of the core.
type measured struct {
	name          string
	state         core.State
	since         core.Time
	restarts      uint32
	main, control core.RunID
}

// withProcesses are the units after one name that have processes, or were named.
func (c *call) withProcesses(after string, named bool, wanted func(core.View, graph.Index, string) bool) (out []measured, next string, err error) {
	err = c.query(func(v core.View) {
		page, _ := c.page(v, after, func(i graph.Index, name string) bool {
			return wanted(v, i, name) && (named || v.At(i).Incarnation != 0)
		})
		for k, i := range page {
			if k == ipc.MaxRows {
				next = out[k-1].name
				break
			}
			u := v.At(i)
			out = append(out, measured{u.Name, u.State, u.Since, u.Restarts, u.Main, u.Control})
		}
	})
	return out, next, err
}

// stats measures units.
func (c *call) stats(a *ipc.StatsArgs) (any, error) {
	want, err := c.known(a.Units)
	if err != nil {
		return nil, err
	}
	named := len(want) > 0 && !slices.ContainsFunc(want, isPattern)
	list, next, err := c.withProcesses(a.After, named, func(_ core.View, _ graph.Index, name string) bool { return want.match(name) })
	if err != nil {
		return nil, err
	}
	res := &ipc.StatsResult{At: stamp(c.m.Now()), Units: []ipc.StatsRow{}}
	res.Next = next
	for _, u := range list {
		use, ok := c.m.Usage(u.name)
		if !ok {
			use = unmeasured
		}
		res.Units = append(res.Units, ipc.StatsRow{Unit: u.name, State: u.state.String(), PID: c.pid(u.main),
			Restarts: u.restarts, Since: stamp(u.since), Usage: use})
	}
	return res, nil
}

// unmeasured is the usage of a unit that has no cgroup.
var unmeasured = ipc.Usage{Memory: -1, MemoryPeak: -1, MemoryMax: -1, Swap: -1, CPU: -1, Tasks: -1, TasksMax: -1, IORead: -1, IOWrite: -1, OOMKills: -1}

// procs lists processes by unit: of all units, of those below a supervisor, or of
// one unit.
func (c *call) procs(a *ipc.TreeArgs) (any, error) {
	full := ""
	if a.Root != "" {
		full, _ = fullName(a.Root)
	}
	found := a.Root == ""
	list, next, err := c.withProcesses(a.After, false, func(v core.View, i graph.Index, name string) bool {
		if a.Root == "" {
			return true
		}
		hit := name == full || v.At(i).Supervisor == a.Root
		found = found || hit && c.sees(name)
		return hit
	})
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, c.unknown(full)
	}
	res := &ipc.ProcsResult{Units: []ipc.ProcsRow{}}
	res.Next = next
	for _, u := range list {
		res.Units = append(res.Units, ipc.ProcsRow{Unit: u.name, Cgroup: c.m.Cgroup(u.name), Processes: c.processes(u.name, u.main, u.control)})
	}
	return res, nil
}

// processes are those of a unit, with their roles.
func (c *call) processes(name string, main, control core.RunID) []ipc.Process {
	list := c.m.Processes(name)
	mainPID, controlPID := c.pid(main), c.pid(control)
	for k := range list {
		p := &list[k]
		switch {
		case p.PID == 0:
		case p.PID == mainPID:
			p.Role = "main"
		case p.PID == controlPID:
			p.Role = "control"
		case p.Role == "":
			p.Role = "other"
		}
	}
	return list
}

// logs answers a page of log, oldest line first.
func (c *call) logs(a *ipc.LogsArgs) (any, error) {
	if _, err := newPatterns(a.Units); err != nil {
		return nil, err
	}
	if a.Lines < 0 || a.Priority < 0 || a.Priority > 7 {
		return nil, ipc.Errorf("InvalidArgs", "lines must not be negative, priority is 0 to 7")
	}
	// A unit that is gone may have left lines, so names need not be known.
	want := make(patterns, len(a.Units))
	for k, p := range a.Units {
		want[k] = p
		if !isPattern(p) {
			name, err := c.canonical(p)
			if err != nil {
				return nil, err
			}
			want[k] = name
		}
	}
	page := c.m.Lines(LogQuery{After: a.After, Newest: a.Lines, Since: a.Since, Until: a.Until, Priority: a.Priority, Max: ipc.MaxRows,
		Match: func(name string) bool { return want.match(name) && c.sees(name) }})
	res := &ipc.LogsResult{Lines: page.Lines, Lost: page.Lost}
	if page.More && len(page.Lines) > 0 {
		res.Next = page.Lines[len(page.Lines)-1].Cursor
	}
	if res.Lines == nil {
		res.Lines = []ipc.LogLine{}
	}
	return res, nil
}

// newest are the newest lines of one unit.
func (c *call) newest(name string, n int) []ipc.LogLine {
	return c.m.Lines(LogQuery{Newest: n, Max: n, Match: func(u string) bool { return u == name }}).Lines
}

// bootRow is one row of boot, with what it is sorted by.
func (c *call) boot(a *ipc.ListArgs) (any, error) {
	want, err := c.known(a.Units)
	if err != nil {
		return nil, err
	}
	info := c.m.Info()
	res := &ipc.BootResult{Manager: cmp.Or(info.Moments.Began, stamp(info.Started).Mono), Finished: c.finished.Load() / 1000, Moments: info.Moments}
	var rows []ipc.BootRow
	err = c.query(func(v core.View) {
		res.JobsEver, res.JobsFailed = v.JobsEver()
		res.ShutdownStart = stamp(v.ShutdownSince()).Mono
		g := v.Graph()
		for i := range graph.Index(g.Len()) {
			name := g.Name(i)
			if !v.Known(i) || len(a.Types) > 0 && !slices.Contains(a.Types, typeOf(name)) || !want.match(name) || !c.sees(name) {
				continue
			}
			u := v.At(i)
			if u.ActiveEnter == (core.Time{}) || u.ActiveEnter.Mono < u.InactiveExit.Mono {
				continue
			}
			rows = append(rows, ipc.BootRow{Unit: name, Activating: stamp(u.InactiveExit).Mono, Active: stamp(u.ActiveEnter).Mono, After: c.waitedFor(v, i, &u)})
		}
		if v.Booted() && res.Finished == 0 { // this process was not there when it ended
			if t, ok := v.Unit(info.BootTarget); ok {
				res.Finished = stamp(t.ActiveEnter).Mono
			}
		}
	})
	slices.SortFunc(rows, func(x, y ipc.BootRow) int {
		if d := (y.Active - y.Activating) - (x.Active - x.Activating); d != 0 {
			return int(min(max(d, -1), 1))
		}
		return strings.Compare(x.Unit, y.Unit)
	})
	res.Units, res.More = cutPage(rows, a.Page)
	return res, err
}

// waitedFor is what came up last of all that the unit is ordered after, before it
// began.
func (c *call) waitedFor(v core.View, i graph.Index, u *core.UnitView) string {
	g := v.Graph()
	name := ""
	var last core.Time
	for _, e := range g.Edges(i) {
		if !e.Rel.Has(graph.After) || e.To == i {
			continue
		}
		w := v.At(e.To)
		if w.ActiveEnter == (core.Time{}) || w.ActiveEnter.Mono > u.InactiveExit.Mono || w.ActiveEnter.Mono < last.Mono || !c.sees(w.Name) {
			continue
		}
		name, last = w.Name, w.ActiveEnter
	}
	return name
}

// ref keeps a transient unit from being forgotten, or lets go of it. Who dies lets go.
func (c *call) ref(*ipc.UnitArgs) (any, error) {
	if c.verb == ipc.VerbUnref {
		c.holders.release(c.unit)
	} else if err := c.holders.hold(c.API, c.peer, c.unit); err != nil {
		return nil, err
	}
	return nil, c.simple(core.Request{Verb: coreVerbs[c.verb]})
}
