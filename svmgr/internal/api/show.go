package api

import (
	"cmp"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"dynamod/internal/graph"
	"dynamod/internal/ipc"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// cutPage gives the rows from an offset on, and what stands for the next page.
func cutPage[T any](rows []T, p ipc.Page) ([]T, ipc.More) {
	from := min(p.Offset(), len(rows))
	to := min(from+ipc.MaxRows, len(rows))
	var m ipc.More
	if to < len(rows) {
		m.Next = strconv.Itoa(to)
	}
	if from == to {
		return []T{}, m
	}
	return rows[from:to], m
}

// nextPage says where the next page begins.
func nextPage(offset int) ipc.More { return ipc.More{Next: strconv.Itoa(offset)} }

// show tells what the files of a unit set, as it stands.
func (c *call) show(a *ipc.ShowArgs) (any, error) {
	u, err := c.asWritten()
	if err != nil {
		return nil, err
	}
	res := &ipc.ShowResult{Unit: u.Name}
	res.Settings, res.More = cutPage(ipc.SplitSettings(settings(u.Unit)), a.Page)
	return res, nil
}

// asWritten is the unit as the core has it, or as its files say where nobody asked
// for it yet.
func (c *call) asWritten() (u core.UnitView, err error) {
	err = c.look(func(_ core.View, w core.UnitView) { u = w })
	if ipc.KindOf(err) == "NoSuchUnit" {
		us, _, failed := c.m.Load(c.unit)
		if failed != nil || len(us) == 0 || us[0].Name != c.unit {
			return u, err
		}
		u, err = core.UnitView{Name: us[0].Name, Unit: us[0]}, nil
	}
	return u, err
}

// settings lists what a unit's files set, in the words of its format and the order
// of the files.
func settings(u *unit.Unit) []ipc.Setting {
	if u == nil {
		return nil
	}
	type placed struct {
		ipc.Setting
		file int
		line int32
	}
	files := append([]string{u.Path}, u.DropIns...)
	var out []placed
	for _, x := range u.Assigned() {
		texts := unit.Texts(x.Setting, x.Value)
		if len(texts) == 0 {
			texts = []string{""} // an empty list that says something: CapabilityBoundingSet=
		}
		for k, text := range texts {
			p := placed{file: len(files)}
			row := x.Setting
			if name, value, ok := strings.Cut(text, "="); ok {
				if r := rowOf(x.Setting, name); r != nil {
					row, text = r, value
				}
			}
			p.Section, p.Key = keyOf(u, row)
			p.Value = text
			if x.Implied {
				p.Source = "implied"
			} else if n := len(x.Origin); n > 0 {
				at := x.Origin[min(k, n-1)]
				p.Source, p.line = at.String(), at.Line
				if f := slices.Index(files, at.File); f >= 0 {
					p.file = f
				}
			}
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b placed) int {
		return cmp.Or(a.file-b.file, int(a.line)-int(b.line))
	})
	list := make([]ipc.Setting, len(out))
	for k := range out {
		list[k] = out[k].Setting
	}
	return list
}

// rowOf is the setting with which an item of a collecting list was written: the
// item "PathExists=/x" of the conditions is ConditionPathExists=/x.
func rowOf(list *unit.Setting, tag string) *unit.Setting {
	for _, r := range unit.Table() {
		if len(r.Into()) == 0 || !slices.Contains(r.Into(), list) {
			continue
		}
		if r.Name == tag || r.Name == "Condition"+tag || r.Name == "Assert"+tag {
			return r
		}
	}
	return nil
}

// keyOf is where a setting stands in a file of the unit's format.
func keyOf(u *unit.Unit, s *unit.Setting) (section, key string) {
	if u.Format == unit.Native {
		if k := strings.LastIndexByte(s.Native, '.'); k >= 0 {
			return s.Native[:k], s.Native[k+1:]
		}
		return "", s.Native
	}
	if section, key = directiveOf(u, s); key == "" {
		key = s.Native[strings.LastIndexByte(s.Native, '.')+1:]
	}
	return section, key
}

// directiveOf is where a setting stands in a unit file, key "" for what has no
// directive.
func directiveOf(u *unit.Unit, s *unit.Setting) (section, key string) {
	names := s.In.Names()
	own := typeOf(u.Name)
	for _, n := range names {
		if strings.EqualFold(n, own) {
			section = n
		}
	}
	if section == "" && len(names) > 0 {
		section = names[0]
	}
	return section, s.Name
}

// tree lists the supervision tree; children follow their parent.
func (c *call) tree(a *ipc.TreeArgs) (any, error) {
	var rows []ipc.TreeRow
	var runs []core.RunID
	found := a.Root == ""
	err := c.query(func(v core.View) {
		sups := map[string]core.SupervisorView{}
		list := v.Supervisors(c.m.Now())
		for _, s := range list {
			sups[s.Name] = s
			found = found || s.Name == a.Root
		}
		type at struct {
			core.Member
			depth int
		}
		var stack []at
		switch {
		case !found || len(list) == 0:
			return
		case a.Root != "":
			stack = append(stack, at{core.Member{Name: a.Root, Supervisor: true}, 0})
		default:
			stack = append(stack, at{core.Member{Name: list[0].Name, Supervisor: true}, 0})
		}
		for len(stack) > 0 {
			m := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if m.Supervisor {
				s := sups[m.Name]
				rows = append(rows, ipc.TreeRow{Depth: m.depth, Name: s.Name, Strategy: s.Strategy.String(),
					Restarts: s.Restarts, MaxRestarts: s.Max})
				runs = append(runs, 0)
				for k := len(s.Members) - 1; k >= 0; k-- {
					stack = append(stack, at{s.Members[k], m.depth + 1})
				}
				continue
			}
			u, ok := v.Unit(m.Name)
			if !ok || !c.sees(m.Name) {
				continue
			}
			rows = append(rows, ipc.TreeRow{Depth: m.depth, Name: u.Name, State: u.State.String(), Restarts: u.Restarts})
			runs = append(runs, u.Main)
		}
	})
	if err == nil && !found {
		return nil, ipc.Errorf("InvalidArgs", "there is no supervisor %q", clip(a.Root)).WithHint("dynamodctl tree shows all")
	}
	for k, run := range runs {
		rows[k].PID = c.pid(run)
	}
	res := &ipc.TreeResult{}
	res.Rows, res.More = cutPage(rows, a.Page)
	return res, err
}

// inverse are the relations of those who want something of the unit.
const (
	needs   = graph.Requires | graph.Requisite | graph.Wants | graph.BindsTo | graph.Upholds
	needers = graph.RequiredBy | graph.RequisiteOf | graph.WantedBy | graph.BoundBy | graph.UpheldBy
)

// maxDeps bounds the rows that one request for dependencies can lead to.
const maxDeps = 100_000

// deps walks the dependencies of a unit, each unit's own ones once.
func (c *call) deps(a *ipc.DepsArgs) (any, error) {
	want := needs
	if a.Reverse {
		want = needers
	}
	if len(a.Relations) > 0 {
		want = 0
		for _, w := range a.Relations {
			r, err := relation(w)
			if err != nil {
				return nil, err
			}
			want |= r
		}
	}
	depth := a.Depth
	if depth == 0 {
		depth = 1
	}
	var rows []ipc.DepRow
	err := c.look(func(v core.View, u core.UnitView) {
		g := v.Graph()
		root, _ := g.Lookup(u.Name)
		rows = c.walk(v, g, root, want, depth)
	})
	if err != nil {
		return nil, err
	}
	res := &ipc.DepsResult{Unit: c.unit}
	res.Rows, res.More = cutPage(rows, a.Page)
	return res, nil
}

func (c *call) walk(v core.View, g *graph.Graph, root graph.Index, want graph.Rel, depth int) []ipc.DepRow {
	type at struct {
		i     graph.Index
		rel   graph.Rel
		depth int
		why   string
	}
	var rows []ipc.DepRow
	shown := map[graph.Index]bool{root: true}
	var stack []at
	push := func(i graph.Index, d int) {
		var near []at
		why := origins(g, i, want, d == 1)
		for _, e := range g.Edges(i) {
			if r := e.Rel & want; r != 0 && c.sees(g.Name(e.To)) {
				near = append(near, at{e.To, r, d, why[e.To]})
			}
		}
		slices.SortFunc(near, func(a, b at) int { return strings.Compare(g.Name(b.i), g.Name(a.i)) }) // the first is on top
		stack = append(stack, near...)
	}
	push(root, 1)
	for len(stack) > 0 && len(rows) < maxDeps {
		x := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		r := ipc.DepRow{Depth: x.depth, Unit: g.Name(x.i), State: v.StateAt(x.i).String(), Relations: relWords(x.rel), Why: x.why}
		more := depth < 0 || x.depth < depth
		if shown[x.i] && more {
			r.Again = hasAny(g, x.i, want)
		} else if more {
			shown[x.i] = true
			push(x.i, x.depth+1)
		}
		rows = append(rows, r)
	}
	return rows
}

func hasAny(g *graph.Graph, i graph.Index, want graph.Rel) bool {
	return slices.ContainsFunc(g.Edges(i), func(e graph.Edge) bool { return e.Rel.Has(want) })
}

// origins says where the dependencies of a unit come from. Working that out costs
// more than the walk, so only the first level has it.
func origins(g *graph.Graph, i graph.Index, want graph.Rel, wanted bool) map[graph.Index]string {
	if !wanted {
		return nil
	}
	out := map[graph.Index]string{}
	for _, d := range g.Origins(i) {
		if !d.Rel.Has(want) || out[d.Target] != "" {
			continue
		}
		if out[d.Target] = d.Origin; d.Origin == "" {
			out[d.Target] = d.Pos.String()
		}
	}
	return out
}

// relation reads a relation as people and D-Bus write it: requires, required-by,
// RequiredBy.
func relation(word string) (graph.Rel, error) {
	fold := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "-", "")) }
	for r := graph.Rel(1); r <= graph.SliceOf; r <<= 1 {
		if fold(r.String()) == fold(word) {
			return r, nil
		}
	}
	return 0, ipc.Errorf("InvalidArgs", "there is no relation %q", clip(word)).WithHint("such as requires, wants, after, required-by")
}

// relWords are the single relations of a set, in kebab-case.
func relWords(r graph.Rel) []string {
	out := make([]string, 0, bits.OnesCount32(uint32(r)))
	for ; r != 0; r &= r - 1 {
		out = append(out, kebab((r & -r).String()))
	}
	return out
}

func kebab(camel string) string {
	var b strings.Builder
	for k, x := range camel {
		if x >= 'A' && x <= 'Z' && k > 0 {
			b.WriteByte('-')
		}
		b.WriteRune(x)
	}
	return strings.ToLower(b.String())
}
