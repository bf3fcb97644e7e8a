package graph

import (
	"fmt"

	"dynamod/internal/diag"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// checkFiles looks at what files ask for, one dependency at a time.
func (g *Graph) checkFiles(deps, selves []dep) []diag.Diag {
	var ds []diag.Diag
	report := func(d *dep, sev diag.Severity, code, format string, args ...any) *diag.Diag {
		pos, _ := g.explainDep(d)
		u := g.units[d.from]
		if pos.File == "" {
			pos.File = u.Path
		}
		key := ""
		if d.key != 0 {
			key = unit.Table()[d.key-1].Name
		}
		ds = append(ds, diag.Diag{Pos: pos, Severity: sev, Code: code, Unit: u.Name, Key: key,
			Value: g.names[d.to], Message: fmt.Sprintf(format, args...)})
		return &ds[len(ds)-1]
	}
	for k := range selves {
		d := &selves[k]
		report(d, diag.Warning, "self-dependency", "%s has %s on itself; it is ignored", g.names[d.from], d.rel)
	}
	for k := range deps {
		d := &deps[k]
		if d.rule != ruleFile {
			continue
		}
		from, to := g.names[d.from], g.names[d.to]
		const hard = Requires | BindsTo | Requisite
		switch load := g.Load(d.to); {
		case d.rel.Has(hard) && load != unit.Loaded && load != unit.Merged:
			sev := diag.Warning
			if g.units[d.from].Format == unit.Native {
				sev = diag.Error
			}
			what := map[unit.LoadState]string{unit.NotFound: "does not exist", unit.Masked: "is masked",
				unit.BadSetting: "has a bad setting", unit.LoadError: "cannot be loaded"}[load]
			x := report(d, sev, "missing-requirement", "%s needs %s, which %s: it cannot start", from, to, what)
			if d.rel.Has(Requires) {
				x.Hint = "use Wants= if it can do without"
				if g.units[d.from].Format == unit.Native {
					x.Hint = "list it under wants if it can do without"
				}
			}
		case d.rel.Has(hard) && g.edge(d.from, d.to).Has(Conflicts|ConflictedBy):
			report(d, diag.Warning, "contradiction", "%s both needs %s and conflicts with it", from, to)
		case d.rel == Before && g.kinds[d.to] == unitname.Device:
			report(d, diag.Note, "moot-order", "Before= on the device %s has no effect", to).Hint =
				"devices appear when the kernel finds them"
		}
	}
	return ds
}

// checkNeverStarts follows requirements backwards from what cannot start. The
// units that name it themselves were reported by checkFiles.
func (g *Graph) checkNeverStarts() []diag.Diag {
	const up = RequiredBy | BoundBy
	why := map[Index]Index{}
	var queue []Index
	for i := range g.names {
		if u := Index(i); g.Load(u) != unit.Loaded {
			for _, e := range g.edges[u] {
				if _, seen := why[e.To]; e.Rel.Has(up) && !seen && g.Load(e.To) == unit.Loaded {
					why[e.To] = u
					queue = append(queue, e.To)
				}
			}
		}
	}
	var ds []diag.Diag
	for len(queue) > 0 {
		u := queue[0]
		queue = queue[1:]
		for _, e := range g.edges[u] {
			if _, seen := why[e.To]; !e.Rel.Has(up) || seen || g.Load(e.To) != unit.Loaded {
				continue
			}
			why[e.To] = u
			queue = append(queue, e.To)
			leaf := u
			for {
				next, more := why[leaf]
				if !more {
					break
				}
				leaf = next
			}
			ds = append(ds, diag.Diag{Pos: diag.Pos{File: g.units[e.To].Path}, Severity: diag.Note,
				Code: "never-starts", Unit: g.names[e.To], Value: g.names[leaf],
				Message: fmt.Sprintf("%s cannot start: it requires %s, and in the end %s, which is %s",
					g.names[e.To], g.names[u], g.names[leaf], g.Load(leaf))})
		}
	}
	return ds
}
