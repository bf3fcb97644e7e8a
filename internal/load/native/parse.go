package native

import (
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"dynamod/internal/diag"
	"dynamod/internal/unit"
)

// Bounds of a file. What goes past them is reported and left out.
const (
	// MaxFile is the longest file that is read at all.
	MaxFile = 4 << 20
	// MaxFragments is the largest number of assignments of one file.
	MaxFragments = 1 << 16
	// maxPath is the longest dotted key, tables included.
	maxPath = 512
	// maxDepth is how deep inline tables may nest.
	maxDepth = 8
	maxDiags = 200
)

// Parse reads one file; path is used for positions only.
func Parse(path string, data []byte) ([]unit.Fragment, []diag.Diag) {
	r := reader{path: path, seen: map[key]diag.Pos{}, headers: map[string]diag.Pos{}, arrays: map[key]int{}, inArray: -1}
	if len(data) > MaxFile {
		r.fail(diag.Pos{File: path}, "file-too-big", "the file is longer than %d bytes and is ignored", MaxFile)
		return nil, r.diags
	}
	if len(data) >= 3 && string(data[:3]) == "\ufeff" {
		data, r.bom = data[3:], 3
	}
	r.lines = append(r.lines, 0)
	for i, c := range data {
		if c == '\n' {
			r.lines = append(r.lines, i+1)
		}
	}
	r.p.Reset(data)
	for len(r.frags) < MaxFragments && r.p.NextExpression() {
		r.expression(r.p.Expression())
	}
	r.closeElement()
	if len(r.frags) >= MaxFragments {
		r.frags = r.frags[:MaxFragments]
		r.fail(diag.Pos{File: path}, "too-many-lines", "the file has more than %d assignments; the rest is ignored", MaxFragments)
	} else if err := r.p.Error(); err != nil {
		r.syntax(err, len(data))
	}
	if r.dropped > 0 {
		r.diags = append(r.diags, diag.Diag{Pos: diag.Pos{File: path}, Severity: diag.Warning, Code: "too-many",
			Message: fmt.Sprintf("%d more diagnostics of this file are not shown", r.dropped)})
	}
	return r.frags, r.diags
}

type key struct{ table, key string }

type reader struct {
	path  string
	p     unstable.Parser
	lines []int // offset of each line
	bom   int

	table   string // of the last header
	skip    bool   // its keys are not used
	seen    map[key]diag.Pos
	headers map[string]diag.Pos
	// arrays are the fragments of arrays of tables; inArray is the one that
	// is being filled, -1 for none, with its element so far.
	arrays  map[key]int
	inArray int
	element []string
	elemPos diag.Pos

	frags   []unit.Fragment
	diags   []diag.Diag
	dropped int
}

func (r *reader) fail(pos diag.Pos, code, format string, args ...any) {
	if len(r.diags) >= maxDiags {
		r.dropped++
		return
	}
	r.diags = append(r.diags, diag.Diag{Pos: pos, Severity: diag.Error, Code: code, Message: fmt.Sprintf(format, args...)})
}

// at is the position of a byte of the document.
func (r *reader) at(off int) diag.Pos {
	l := sort.SearchInts(r.lines, off+1) - 1
	col := off - r.lines[l] + 1
	if l == 0 {
		col += r.bom
	}
	return diag.Pos{File: r.path, Line: int32(l + 1), Col: int32(col)}
}

func (r *reader) pos(n *unstable.Node) diag.Pos { return r.at(int(n.Raw.Offset)) }

func (r *reader) syntax(err error, size int) {
	pos := r.at(max(0, size-1))
	var pe *unstable.ParserError
	if errors.As(err, &pe) {
		if off := cap(r.p.Data()) - cap(pe.Highlight); pe.Highlight != nil && off >= 0 && off <= size {
			pos = r.at(off)
		}
	}
	r.fail(pos, "bad-toml", "not TOML from here on: %s", diag.Clip(err.Error()))
}

// name joins the parts of a dotted key; ok is false when it is too long.
func (r *reader) name(it unstable.Iterator) (table, last string, pos diag.Pos, ok bool) {
	var parts []string
	n := 0
	for it.Next() {
		k := it.Node()
		if len(parts) == 0 {
			pos = r.pos(k)
		}
		if n += len(k.Data) + 1; n > maxPath {
			r.fail(pos, "key-too-long", "the key is longer than %d bytes and is ignored", maxPath)
			return "", "", pos, false
		}
		parts = append(parts, string(k.Data))
	}
	return strings.Join(parts[:len(parts)-1], "."), parts[len(parts)-1], pos, true
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "." + b
}

func (r *reader) expression(n *unstable.Node) {
	switch n.Kind {
	case unstable.Table, unstable.ArrayTable:
		r.header(n)
	case unstable.KeyValue:
		if !r.skip {
			r.keyValue(r.table, n, 0)
		}
	}
}

func (r *reader) header(n *unstable.Node) {
	r.closeElement()
	outer, last, pos, ok := r.name(n.Key())
	r.skip = !ok
	if !ok {
		return
	}
	r.table = join(outer, last)
	for k := range r.arrays {
		if a := join(k.table, k.key); strings.HasPrefix(r.table, a+".") {
			r.fail(pos, "too-deep", "a table below the array of tables %s is not supported; its keys are ignored", diag.Clip(a))
			r.skip = true
			return
		}
	}
	if n.Kind == unstable.Table {
		if first, dup := r.headers[r.table]; dup {
			r.fail(pos, "duplicate-table", "table [%s] is already at line %d", diag.Clip(r.table), first.Line)
		}
		r.headers[r.table] = pos
		return
	}
	k := key{outer, last}
	i, ok := r.arrays[k]
	if !ok {
		if _, dup := r.seen[k]; dup || r.headers[r.table].Line > 0 {
			r.fail(pos, "duplicate-key", "%s is already something else than an array of tables", diag.Clip(r.table))
			r.skip = true
			return
		}
		i = len(r.frags)
		r.arrays[k], r.seen[k] = i, pos
		r.frags = append(r.frags, unit.Fragment{Section: outer, Key: last, Kind: unit.ArrayValue, Items: []string{}, Pos: pos})
	}
	r.inArray, r.elemPos, r.element = i, pos, nil
}

// closeElement ends the element of an array of tables.
func (r *reader) closeElement() {
	if r.inArray < 0 {
		return
	}
	sort.Strings(r.element)
	f := &r.frags[r.inArray]
	f.Items = append(f.Items, strings.Join(r.element, ";"))
	f.ItemPos = append(f.ItemPos, r.elemPos)
	r.inArray = -1
}

func (r *reader) keyValue(table string, n *unstable.Node, depth int) {
	inner, last, pos, ok := r.name(n.Key())
	if !ok {
		return
	}
	k := key{join(table, inner), last}
	v := n.Value()
	if len(k.table)+len(k.key) > maxPath {
		r.fail(pos, "key-too-long", "the key is longer than %d bytes and is ignored", maxPath)
		return
	}
	if r.inArray >= 0 {
		if text, ok := r.scalar(v); ok && inner == "" {
			r.field(pos, last, text)
		} else if ok || v.Kind == unstable.Array || v.Kind == unstable.InlineTable {
			r.fail(pos, "too-deep", "%s: only plain values can stand in an array of tables", diag.Clip(last))
		}
		return
	}
	if v.Kind == unstable.InlineTable {
		if depth >= maxDepth {
			r.fail(pos, "too-deep", "inline tables nest deeper than %d; %s is ignored", maxDepth, diag.Clip(last))
			return
		}
		if !r.claim(k, pos) {
			return
		}
		for it := v.Children(); it.Next(); {
			if c := it.Node(); c.Kind == unstable.KeyValue {
				r.keyValue(join(k.table, k.key), c, depth+1)
			}
		}
		return
	}
	if r.claim(k, pos) {
		r.value(k, pos, v)
	}
}

// claim says that k is assigned, and reports a second time.
func (r *reader) claim(k key, pos diag.Pos) bool {
	if first, dup := r.seen[k]; dup {
		r.fail(pos, "duplicate-key", "%s is already set at line %d; this one is ignored", diag.Clip(join(k.table, k.key)), first.Line)
		return false
	}
	r.seen[k] = pos
	return true
}

func (r *reader) field(pos diag.Pos, name, text string) {
	if strings.ContainsAny(text, ";\x00") || strings.ContainsAny(name, ";=") {
		r.fail(pos, "bad-value", "%s: a value in an array of tables must not contain \";\"", diag.Clip(name))
		return
	}
	for _, e := range r.element {
		if strings.HasPrefix(e, name+"=") {
			r.fail(pos, "duplicate-key", "%s is already set in this table; this one is ignored", diag.Clip(name))
			return
		}
	}
	if len(r.element) >= 64 {
		r.fail(pos, "too-many-lines", "a table in an array has more than 64 keys")
		return
	}
	r.element = append(r.element, name+"="+text)
}

func (r *reader) value(k key, pos diag.Pos, v *unstable.Node) {
	f := unit.Fragment{Section: k.table, Key: k.key, Pos: pos}
	if v.Kind == unstable.Array {
		r.array(f, v)
		return
	}
	text, ok := r.scalar(v)
	if !ok {
		return
	}
	f.Text, f.Kind = text, kindOf(v.Kind)
	// Text and source agree byte for byte unless the string is escaped or
	// spans lines; only then does the column hold.
	if p := r.pos(v); p.Line == pos.Line {
		raw := r.p.Raw(v.Raw)
		switch {
		case string(raw) == text:
			f.ValueCol = p.Col
		case len(raw) == len(text)+2 && len(text) > 0 && string(raw[1:len(raw)-1]) == text:
			f.ValueCol = p.Col + 1
		}
	}
	r.frags = append(r.frags, f)
}
