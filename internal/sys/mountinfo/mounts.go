package mountinfo

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// Entry is one line of mountinfo.
type Entry struct {
	ID, Parent   int
	Major, Minor uint32
	// Root is what of the file system is mounted, Point where.
	Root, Point string
	// Options are those of the mount, Super those of the file system.
	Options, Super string
	Type, Source   string
}

// maxLines bounds the table; the kernel's own limit (fs.mount-max) is 100000.
const maxLines = 200_000

// Parse reads one line without its newline.
func Parse(line []byte) (Entry, bool) {
	var e Entry
	f := bytes.Split(line, []byte(" "))
	if len(f) < 10 {
		return e, false
	}
	// Six fields, optional ones, a lone "-", three fields.
	dash := slices.IndexFunc(f[6:], func(b []byte) bool { return string(b) == "-" })
	if dash < 0 || len(f) != 6+dash+4 {
		return e, false
	}
	rest := f[6+dash+1:]
	var err1, err2, err3, err4 error
	e.ID, err1 = strconv.Atoi(string(f[0]))
	e.Parent, err2 = strconv.Atoi(string(f[1]))
	major, minor, ok := strings.Cut(string(f[2]), ":")
	var n uint64
	n, err3 = strconv.ParseUint(major, 10, 32)
	e.Major = uint32(n)
	n, err4 = strconv.ParseUint(minor, 10, 32)
	e.Minor = uint32(n)
	if !ok || err1 != nil || err2 != nil || err3 != nil || err4 != nil {
		return e, false
	}
	e.Root, e.Point = unescape(f[3]), unescape(f[4])
	e.Options = unescape(f[5])
	e.Type, e.Source, e.Super = unescape(rest[0]), unescape(rest[1]), unescape(rest[2])
	if e.Point == "" || e.Point[0] != '/' || e.ID < 0 {
		return e, false // "unreachable" mounts have no path here
	}
	return e, true
}

// unescape turns the kernel's \NNN, which stand for blanks, newlines, backslashes
// and '#', into bytes. What is no such escape stays as it is.
func unescape(b []byte) string {
	if bytes.IndexByte(b, '\\') < 0 {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+3 < len(b) && octal(b[i+1]) && b[i+1] <= '3' && octal(b[i+2]) && octal(b[i+3]) {
			out = append(out, (b[i+1]-'0')<<6|(b[i+2]-'0')<<3|(b[i+3]-'0'))
			i += 3
			continue
		}
		out = append(out, b[i])
	}
	return string(out)
}

func octal(c byte) bool { return '0' <= c && c <= '7' }

// Point is what is mounted at one place.
type Point struct {
	Path string
	// Mounted says that there is at least one file system besides autofs; Top is
	// the uppermost of them.
	Mounted bool
	Top     Entry
	// Autofs is the uppermost autofs there; Triggers says that there is one.
	Triggers bool
	Autofs   Entry
}

// Table is the mount table as it was read last. The zero value is empty.
type Table struct {
	lines  map[int]*line
	points map[string][]*line
	pass   uint64
	// Bad counts lines that could not be read, Parsed those that were looked at
	// in full because they were new.
	Bad, Parsed uint64
}

type line struct {
	raw   string
	e     Entry
	pass  uint64
	order int
}

// Update compares the file's present content with what was known, and returns the
// places where something changed, in the order of the file and then those that are
// gone, by path.
func (t *Table) Update(data []byte) []Point {
	if t.lines == nil {
		t.lines, t.points = map[int]*line{}, map[string][]*line{}
	}
	t.pass++
	var dirty []string
	seen := map[string]bool{}
	touch := func(p string) {
		if !seen[p] {
			seen[p] = true
			dirty = append(dirty, p)
		}
	}
	order := 0
	for raw := range bytes.SplitSeq(data, []byte("\n")) {
		if len(raw) == 0 {
			continue
		}
		if order++; order > maxLines {
			t.Bad++
			break
		}
		id, ok := number(raw)
		if l := t.lines[id]; ok && l != nil && l.raw == string(raw) {
			if l.pass == t.pass { // twice in one file: not the kernel's
				t.Bad++
				continue
			}
			l.pass, l.order = t.pass, order
			continue
		}
		t.Parsed++
		e, ok := Parse(raw)
		if !ok {
			t.Bad++
			continue
		}
		if l := t.lines[e.ID]; l != nil {
			if l.pass == t.pass {
				t.Bad++
				continue
			}
			t.drop(l)
			touch(l.e.Point)
		}
		l := &line{raw: string(raw), e: e, pass: t.pass, order: order}
		t.lines[e.ID] = l
		t.points[e.Point] = append(t.points[e.Point], l)
		touch(e.Point)
	}
	var gone []string
	for id, l := range t.lines {
		if l.pass != t.pass {
			t.drop(l)
			delete(t.lines, id)
			if !seen[l.e.Point] {
				seen[l.e.Point] = true
				gone = append(gone, l.e.Point)
			}
		}
	}
	slices.Sort(gone)
	out := make([]Point, 0, len(dirty)+len(gone))
	for _, p := range append(dirty, gone...) {
		out = append(out, t.At(p))
	}
	return out
}

func (t *Table) drop(l *line) {
	rest := slices.DeleteFunc(t.points[l.e.Point], func(x *line) bool { return x == l })
	if len(rest) == 0 {
		delete(t.points, l.e.Point)
		return
	}
	t.points[l.e.Point] = rest
}

// At is what is mounted at a path now.
func (t *Table) At(path string) Point {
	p := Point{Path: path}
	top, auto := -1, -1
	for _, l := range t.points[path] {
		switch {
		case l.e.Type == "autofs":
			if l.order > auto {
				auto, p.Triggers, p.Autofs = l.order, true, l.e
			}
		case l.order > top:
			top, p.Mounted, p.Top = l.order, true, l.e
		}
	}
	return p
}

// All is every place, in the order of the file.
func (t *Table) All() []Point {
	at := map[string]int{}
	paths := make([]string, 0, len(t.points))
	for p, ls := range t.points {
		paths = append(paths, p)
		at[p] = ls[0].order
		for _, l := range ls {
			at[p] = min(at[p], l.order)
		}
	}
	slices.SortFunc(paths, func(a, b string) int { return at[a] - at[b] })
	out := make([]Point, len(paths))
	for i, p := range paths {
		out[i] = t.At(p)
	}
	return out
}

// Len is the number of mounts.
func (t *Table) Len() int { return len(t.lines) }

// number reads the digits at the start of a line.
func number(b []byte) (int, bool) {
	n, i := 0, 0
	for ; i < len(b) && i < 10 && '0' <= b[i] && b[i] <= '9'; i++ {
		n = n*10 + int(b[i]-'0')
	}
	return n, i > 0 && i < len(b) && b[i] == ' '
}
