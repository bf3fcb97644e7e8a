package load

import (
	"runtime"
	"slices"
	"strings"
	"sync"

	"dynamod/internal/diag"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// All loads every unit of the search path; see Load.
func (l *Loader) All() (*unit.Set, []diag.Diag) {
	todo, templates := l.roots()
	for _, m := range l.boot.Named() { // instances come only if somebody asks for them
		if end := l.canonical(m.Unit); l.exists(end) && !slices.Contains(todo, end) {
			todo = append(todo, end)
		}
	}
	loaded := make(map[string]bool, len(todo))
	for _, n := range todo {
		loaded[n] = true
	}
	ds := slices.Clone(l.diags)
	reported := map[*parsed]bool{}
	report := func(b built) {
		ds = append(ds, b.diags...)
		for _, p := range b.shared {
			if !reported[p] {
				reported[p] = true
				ds = append(ds, p.diags...)
			}
		}
	}
	units := make([]*unit.Unit, 0, len(todo)+16)
	used := map[string]bool{}
	extra := 0
	for len(todo) > 0 {
		batch := l.buildAll(todo)
		todo = nil
		for _, b := range batch {
			units = append(units, b.u)
			report(b)
			if n, err := unitname.Parse(b.u.Name); err == nil && n.IsInstance() {
				used[n.TemplateName()] = true
			}
			for _, name := range l.needs(b.u) {
				if loaded[name] {
					continue
				}
				loaded[name] = true
				if extra++; extra > l.cfg.MaxInstances {
					continue
				}
				todo = append(todo, name)
			}
		}
	}
	if extra > l.cfg.MaxInstances {
		ds = append(ds, diag.Diag{Severity: diag.Error, Code: "too-many",
			Message: "more instances and slices are referred to than this load allows; the rest is missing"})
	}
	// Nobody uses these templates now, but a mistake in them should show.
	var idle []string
	for _, t := range templates {
		if !used[t] {
			idle = append(idle, t)
		}
	}
	for i, b := range l.buildAll(standIns(idle)) {
		for j := range b.diags {
			b.diags[j].Unit = idle[i]
		}
		report(b)
	}
	l.mu.Lock()
	ds = append(ds, l.late...)
	l.mu.Unlock()
	ds = append(ds, l.checkSupervision(units)...)
	set, more := unit.NewSet(units, l.sups)
	set.Boot = l.boot
	return set, diag.Sort(append(ds, more...))
}

// standIns names an instance of each template, to check it with: without one,
// "%i.mount" would not even be a name.
func standIns(templates []string) []string {
	out := make([]string, len(templates))
	for i, t := range templates {
		out[i] = t
		if s, err := instanceOf(t, "instance"); err == nil {
			out[i] = s
		}
	}
	return out
}

// roots lists the units to begin with, sorted, and the templates.
func (l *Loader) roots() (units, templates []string) {
	add := func(name string) {
		if n, err := unitname.Parse(name); err == nil {
			if n.IsTemplate() {
				templates = append(templates, name)
			} else {
				units = append(units, name)
			}
		}
	}
	for name := range l.natives {
		add(name)
	}
	for name, f := range l.ix.files {
		end := l.canonical(name)
		if l.natives[end] != nil || f.kind == alias && !l.exists(end) {
			continue
		}
		add(end)
	}
	for name := range l.extraDropins {
		add(name)
	}
	for _, name := range perpetualUnits {
		if l.cfg.Mode == System || name != "system.slice" && name != "user.slice" {
			add(name)
		}
	}
	slices.Sort(units)
	slices.Sort(templates)
	return slices.Compact(units), slices.Compact(templates)
}

// buildAll builds units on all processors; the result is in the order of the
// names. The workers belong to this call and end with it.
func (l *Loader) buildAll(names []string) []built {
	out := make([]built, len(names))
	const chunk = 64
	workers := min(runtime.GOMAXPROCS(0), 8, (len(names)+chunk-1)/chunk)
	if workers < 2 {
		for i, n := range names {
			out[i] = l.build(n, false)
		}
		return out
	}
	var wg sync.WaitGroup
	next := make(chan int, workers)
	for range workers {
		wg.Go(func() {
			for from := range next {
				for i := from; i < min(from+chunk, len(names)); i++ {
					out[i] = l.build(names[i], false)
				}
			}
		})
	}
	for from := 0; from < len(names); from += chunk {
		next <- from
	}
	close(next)
	wg.Wait()
	return out
}

// needs lists what a unit refers to that has to be made on demand: instances
// of templates, and slices.
func (l *Loader) needs(u *unit.Unit) []string {
	var out []string
	ref := func(name string) {
		instance := strings.IndexByte(name, '@') >= 0
		if !instance && !strings.HasSuffix(name, ".slice") {
			return
		}
		n, err := unitname.Parse(name)
		if err != nil || n.IsTemplate() {
			return
		}
		end := l.canonical(name)
		if n.Type == unitname.Slice {
			if !unitname.ValidSlice(end) {
				return
			}
		} else if !l.exists(end) {
			return
		}
		if !slices.Contains(out, end) {
			out = append(out, end)
		}
	}
	for _, a := range u.Assigned() {
		if a.Setting.In == unit.InInstall {
			continue
		}
		switch a.Setting.Kind {
		case unit.UnitKind:
			ref(a.Value.(string))
		case unit.UnitsKind:
			for _, n := range a.Value.([]string) {
				ref(n)
			}
		}
	}
	if u.Type == unitname.Slice {
		if p, ok := unitname.SliceParent(u.Name); ok {
			ref(p)
		}
	} else if s := l.defaultSlice(u); s != "" {
		ref(s)
	}
	return out
}

// defaultSlice is the slice of an instance that names none (systemd.unit(5),
// Slice=; systemd.special(7), app.slice): only those have drop-ins to read.
// The prefix is escaped once more, as recorded from systemd 257.
func (l *Loader) defaultSlice(u *unit.Unit) string {
	switch u.Type {
	case unitname.Service, unitname.Socket, unitname.Mount, unitname.Swap:
	default:
		return ""
	}
	n, err := unitname.Parse(u.Name)
	if err != nil || !n.IsInstance() || u.Load != unit.Loaded || unit.Slice.IsSet(u) {
		return ""
	}
	base := "system-"
	if l.cfg.Mode == User {
		base = "app-"
	}
	return base + unitname.Escape(n.Prefix) + ".slice"
}
