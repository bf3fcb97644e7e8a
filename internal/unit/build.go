package unit

import (
	"fmt"
	"slices"
	"strings"

	"dynamod/internal/diag"
	"dynamod/internal/unitname"
)

// maxDiags bounds what one broken file can report.
const maxDiags = 500

// builder collects the values of one unit while its fragments are applied.
type builder struct {
	u         *Unit
	src       *Source
	name      unitname.Name
	types     Section // the sections that apply to the unit's type
	expands   bool
	specifier unitname.SpecifierSource
	diags     []diag.Diag
	dropped   int
	suggested int
	// fatal says that something was asked for that must not be left out.
	fatal bool
	// wrongSections are those already reported.
	wrongSections map[string]bool
	// order are the settings assigned so far; slot[id] is 1 + its index.
	order []pending
	slot  [maxSettings]uint16
}

// pending is a setting with its value so far; val nil means reset.
type pending struct {
	s   *Setting
	val any
	pos []origin
}

// typeSections are the sections that a unit of a type may have.
func typeSections(t unitname.Type) Section {
	own := [...]Section{unitname.Service: InService, unitname.Socket: InSocket, unitname.Target: 0,
		unitname.Timer: InTimer, unitname.Path: InPath, unitname.Mount: InMount,
		unitname.Automount: InAutomount, unitname.Swap: InSwap, unitname.Slice: InSlice,
		unitname.Scope: InScope, unitname.Device: 0}
	if int(t) >= len(own) {
		return InUnit | InInstall
	}
	return InUnit | InInstall | own[t]
}

// typeOf is the unit type that has the section.
func typeOf(s Section) string {
	n := s.Names()
	if len(n) == 0 {
		return ""
	}
	return "." + strings.ToLower(n[0])
}

// Build makes the unit that src describes. It reports what is wrong and uses
// the rest: a bad value leaves the former one, as in systemd. A unit that
// cannot be run as written has Load BadSetting.
func Build(src Source) (*Unit, []diag.Diag) {
	n, err := unitname.Parse(src.Name)
	u := &Unit{Name: src.Name, Aliases: src.Aliases, Type: n.Type, Format: src.Format, Shadows: src.Shadows}
	b := &builder{u: u, src: &src, name: n, types: typeSections(n.Type)}
	if src.Keep {
		b.keep()
	}
	if len(src.Files) > 0 && src.HasMain {
		u.Path = src.Files[0].Path
	}
	for i := range src.Files {
		if i > 0 || !src.HasMain {
			u.DropIns = append(u.DropIns, src.Files[i].Path)
		}
	}
	if err != nil {
		u.Load = LoadError
		b.add(diag.Diag{Pos: diag.Pos{File: u.Path}, Severity: diag.Error, Code: "bad-name", Message: err.Error()})
		return u, b.diags
	}
	if !src.HasMain && !existsWithoutFile(n.Type) {
		u.Load = NotFound
	}
	u.Perpetual = src.Name == "-.slice" || src.Name == "system.slice" || src.Name == "-.mount" || src.Name == "init.scope"
	if u.Name == "init.scope" && u.Load == NotFound {
		u.Load = Loaded
	}
	// The original's TOML has no specifiers, and "%" is common in commands;
	// in the native format only instances of templates have them.
	b.expands = src.Format == UnitFile || n.IsInstance()
	b.specifier = unitname.NameSource(n, b.hostSpecifier)
	total := 0
	for i := range src.Files {
		total += len(src.Files[i].Fragments)
	}
	b.order = make([]pending, 0, min(total+2, 64))
	for i := range src.Files {
		for j := range src.Files[i].Fragments {
			b.apply(&src.Files[i].Fragments[j])
		}
	}
	b.links()
	b.finish()
	if u.Load == Loaded {
		b.check()
		if b.fatal {
			u.Load = BadSetting
		}
	}
	if b.dropped > 0 {
		b.diags = append(b.diags, diag.Diag{Pos: diag.Pos{File: u.Path}, Severity: diag.Warning, Code: "too-many",
			Unit: u.Name, Message: fmt.Sprintf("%d more diagnostics of this unit are not shown", b.dropped)})
	}
	return u, b.diags
}

// existsWithoutFile: slices are made on demand, devices and mounts come from the
// kernel. A scope is made by a client, or it is not there (systemd.scope(5)).
func existsWithoutFile(t unitname.Type) bool {
	return t == unitname.Slice || t == unitname.Device
}

func (b *builder) add(d diag.Diag) {
	if len(b.diags) >= maxDiags {
		b.dropped++
		return
	}
	d.Unit = b.u.Name
	b.diags = append(b.diags, d)
}

// hostSpecifier asks the source for what does not follow from the name. A
// specifier that nobody can answer here stays as it is.
func (b *builder) hostSpecifier(spec byte) (string, error) {
	switch spec {
	case 'y', 'Y':
		if b.u.Path != "" {
			if spec == 'y' {
				return b.u.Path, nil
			}
			return b.u.Path[:strings.LastIndexByte(b.u.Path, '/')+1], nil
		}
	}
	if b.src.Specifiers != nil {
		if v, ok := b.src.Specifiers(spec); ok {
			return v, nil
		}
	}
	for i := range unitname.Specifiers {
		if unitname.Specifiers[i].Letter == spec {
			return "%" + string(rune(spec)), nil
		}
	}
	return "", unitname.ErrUnknownSpecifier
}

// keyName is the key as its author wrote it.
func (b *builder) keyName(f *Fragment) string {
	if b.u.Format == Native && f.Section != "" {
		return diag.Clip(f.Section + "." + f.Key)
	}
	return diag.Clip(f.Key)
}

func (b *builder) apply(f *Fragment) {
	var s *Setting
	if b.u.Format == Native {
		s = b.nativeRow(&f)
	} else {
		s = b.directiveRow(f)
	}
	if s == nil {
		return
	}
	if len(f.Text) > maxValue || !b.itemsFit(f) {
		b.add(diag.Diag{Pos: f.Pos, Severity: diag.Error, Code: "too-long", Key: b.keyName(f),
			Message: fmt.Sprintf("%s: the value is longer than 1 MiB or has more than %d items", b.keyName(f), maxItems)})
		return
	}
	c := &ctx{b: b, s: s, f: f, text: f.Text}
	if i := strings.IndexByte(f.Text, 0); i >= 0 {
		c.bad(i, "", "a NUL byte cannot be part of a value")
		return
	}
	k := &kinds[s.Kind]
	reset := f.Op == Reset
	if b.u.Format == Native && !reset {
		if !k.takes(f.Kind) {
			b.wrongType(f, k.want)
			return
		}
		if f.Items != nil {
			c.text = strings.Join(f.Items[:min(len(f.Items), 32)], " ")
		}
		reset = f.Kind == ArrayValue && len(f.Items) == 0 || f.Kind == StringValue && f.Text == ""
	} else if f.Text == "" {
		reset = true
	}
	targets := s.into
	if targets == nil {
		targets = []*Setting{s}
	}
	if reset {
		for _, t := range targets {
			b.reset(t, f)
		}
		for _, t := range s.with {
			b.reset(t, f)
		}
		return
	}
	var v any
	var ok bool
	if f.Items != nil && k.items != nil {
		v, ok = k.items(c, f.Items)
	} else {
		v, ok = k.parse(c, f.Text)
	}
	if !ok {
		if s.Kind == ExecsKind && !strings.HasPrefix(c.err, "the program's name is empty") {
			b.fatal = true // as systemd: half a list of commands is not run
		}
		return
	}
	if s, isString := v.(string); isString && s == "" {
		for _, t := range targets { // all of it was specifiers without a value
			b.reset(t, f)
		}
		return
	}
	for _, t := range targets {
		b.put(c, t, v)
	}
}

func (b *builder) itemsFit(f *Fragment) bool {
	if len(f.Items) > maxItems {
		return false
	}
	n := 0
	for _, it := range f.Items {
		n += len(it)
	}
	return n <= maxValue
}

var valueKindNames = [...]string{"text", "a string", "a whole number", "a number with a fraction",
	"a boolean", "an array", "a table", "a date"}

func (b *builder) wrongType(f *Fragment, want string) {
	b.add(diag.Diag{Pos: f.At(0), Severity: diag.Error, Code: "wrong-type", Key: b.keyName(f), Value: diag.Clip(f.Text),
		Message: fmt.Sprintf("%s is %s, which this key does not take", b.keyName(f), valueKindNames[f.Kind]),
		Hint:    "write " + want})
}

// pendingOf finds or makes the slot of s.
func (b *builder) pendingOf(s *Setting) *pending {
	i := b.slot[s.ID]
	if i == 0 {
		b.order = append(b.order, pending{s: s})
		i = uint16(len(b.order))
		b.slot[s.ID] = i
	}
	return &b.order[i-1]
}

func (b *builder) reset(s *Setting, f *Fragment) {
	p := b.pendingOf(s)
	p.val, p.pos = nil, nil
	if s.EmptyIsValue {
		p.val = []string{}
		p.pos = []origin{b.origin(f.Pos)}
	}
}

func (b *builder) put(c *ctx, t *Setting, v any) {
	k := &kinds[t.Kind]
	if k.join == nil || t.Merge == Last {
		p := b.pendingOf(t)
		p.val, p.pos = v, append(p.pos[:0], b.origin(c.f.At(0)))
		return
	}
	p := b.pendingOf(t)
	if p.val != nil && k.size(p.val)+k.size(v) > maxItems {
		c.tooMany(maxItems)
		return
	}
	if k.size(v) == 0 {
		return
	}
	if p.val == nil {
		p.val = v
		p.pos = make([]origin, 0, len(c.offs))
	} else {
		p.val = k.join(p.val, v)
	}
	for _, off := range c.offs {
		if c.f.Items != nil {
			p.pos = append(p.pos, b.origin(c.itemPos(off)))
		} else {
			p.pos = append(p.pos, b.origin(c.f.At(off)))
		}
	}
}

// origin shortens a position. A file is looked for among the last few only:
// assignments come file by file, and each of 100,000 links is its own file.
func (b *builder) origin(p diag.Pos) origin {
	files := b.u.files
	for i := len(files) - 1; i >= 0 && i >= len(files)-4; i-- {
		if files[i] == p.File {
			return origin{p.Line, p.Col, uint32(i)}
		}
	}
	b.u.files = append(files, p.File)
	return origin{p.Line, p.Col, uint32(len(files))}
}

// links adds what the .wants, .requires and .upholds directories hold.
func (b *builder) links() {
	for _, l := range b.src.Links {
		var t *Setting
		switch l.Dir {
		case "wants":
			t = Wants.s
		case "requires":
			t = Requires.s
		case "upholds":
			t = Upholds.s
		default:
			continue
		}
		if !unitname.Valid(l.Name) {
			b.add(diag.Diag{Pos: l.Pos, Severity: diag.Warning, Code: "bad-link",
				Message: fmt.Sprintf("%s is no unit name; the link is ignored", diag.Clip(l.Name))})
			continue
		}
		p := b.pendingOf(t)
		old, _ := p.val.([]string)
		if len(old) < maxItems {
			p.val = append(old, l.Name)
			p.pos = append(p.pos, b.origin(l.Pos))
		}
	}
}

// finish turns the pending values into the unit's sparse sorted list.
func (b *builder) finish() {
	if b.u.Format == Native {
		b.orderByRequirement()
	}
	n := 0
	for i := range b.order {
		p := &b.order[i]
		if p.val == nil {
			continue
		}
		if p.s.Merge == ByName || p.s.Kind == UnitsKind {
			b.unique(p)
		}
		b.order[n] = *p
		n++
	}
	b.order = b.order[:n]
	slices.SortFunc(b.order, func(x, y pending) int { return int(x.s.ID) - int(y.s.ID) })
	total := 0
	for i := range b.order {
		total += len(b.order[i].pos)
	}
	u := b.u
	u.vals = make([]entry, 0, n+2)
	u.origins = make([]origin, 0, total)
	for i := range b.order {
		p := &b.order[i]
		from := uint32(len(u.origins))
		u.origins = append(u.origins, p.pos...)
		u.vals = append(u.vals, entry{id: p.s.ID, val: p.val, from: from, to: uint32(len(u.origins))})
	}
	b.order = nil
	b.derive()
}

// unique keeps one item per name: the last of a ByName list in the place of
// the first, the first of a list of units.
func (b *builder) unique(p *pending) {
	items, ok := p.val.([]string)
	if !ok || len(items) < 2 || len(p.pos) != len(items) {
		return
	}
	name := nameOf
	if p.s.Merge != ByName {
		name = func(s string) string { return s }
	}
	at := make(map[string]int, len(items))
	kept, pos := make([]string, 0, len(items)), make([]origin, 0, len(items))
	for i, it := range items {
		if j, dup := at[name(it)]; dup {
			if p.s.Merge == ByName {
				kept[j], pos[j] = it, p.pos[i]
			}
			continue
		}
		at[name(it)] = len(kept)
		kept = append(kept, it)
		pos = append(pos, p.pos[i])
	}
	p.val, p.pos = kept, pos
}

// orderByRequirement: in the native format, whatever a unit requires or wants
// it also starts after, unless the file orders the two the other way round
// (the original's rule: "requires, wants and after all order").
func (b *builder) orderByRequirement() {
	before := map[string]bool{}
	if i := b.slot[Before.s.ID]; i > 0 {
		if v, ok := b.order[i-1].val.([]string); ok {
			for _, n := range v {
				before[n] = true
			}
		}
	}
	for _, k := range []*Setting{Requires.s, Wants.s, BindsTo.s, Requisite.s} {
		i := b.slot[k.ID]
		if i == 0 {
			continue
		}
		v, ok := b.order[i-1].val.([]string)
		if !ok {
			continue
		}
		pos := b.order[i-1].pos
		after := b.pendingOf(After.s)
		list, _ := after.val.([]string)
		for j, n := range v {
			if !before[n] {
				list = append(list, n)
				after.pos = append(after.pos, pos[j])
			}
		}
		if list != nil {
			after.val = list
		}
	}
}

// imply stores a value that follows from other settings.
func (b *builder) imply(s *Setting, v any) {
	i, ok := b.u.find(s.ID)
	if ok {
		b.u.vals[i].val, b.u.vals[i].implied = v, true
		return
	}
	b.u.vals = slices.Insert(b.u.vals, i, entry{id: s.ID, val: v, implied: true})
}
