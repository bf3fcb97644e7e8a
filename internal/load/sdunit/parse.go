package sdunit

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"dynamod/internal/diag"
	"dynamod/internal/unit"
)

// Bounds of a file. What goes past them is reported and left out.
const (
	// MaxFile is the longest file that is read in full, in bytes.
	MaxFile = 4 << 20
	// MaxLine is the longest logical line, continuations included.
	MaxLine = 1 << 20
	// MaxFragments is the largest number of assignments of one file.
	MaxFragments = 1 << 16
	// maxDiags is the number of diagnostics that one file may cause.
	maxDiags = 200
)

const blanks = " \t"

// Parse reads one file. Everything that is well formed comes back, whatever
// else is wrong; path is used for positions only.
func Parse(path string, data []byte) ([]unit.Fragment, []diag.Diag) {
	p := parser{path: path}
	if len(data) > MaxFile {
		p.add(0, 0, diag.Error, "file-too-big", "split it into drop-ins",
			"the file is longer than %d bytes; what follows is ignored", MaxFile)
		data = data[:MaxFile]
		// The last line is cut in two and would be misread.
		data = data[:bytes.LastIndexByte(data, '\n')+1]
	}
	// All texts are parts of this one string.
	p.rest = string(data)
	p.line, p.col = 0, 1
	if s, ok := strings.CutPrefix(p.rest, "\ufeff"); ok {
		p.rest, p.bom = s, 3
	}
	p.run()
	if p.dropped > 0 {
		p.diags = append(p.diags, diag.Diag{Pos: diag.Pos{File: path}, Severity: diag.Warning, Code: "too-many",
			Message: fmt.Sprintf("%d more diagnostics of this file are not shown", p.dropped)})
	}
	return p.frags, p.diags
}

type parser struct {
	path string
	rest string
	// line is the number of the physical line last read; bom is what its
	// column counts are off by.
	line, col int32
	bom       int32

	section string
	state   sectionState
	frags   []unit.Fragment
	diags   []diag.Diag
	dropped int
}

// sectionState says what becomes of assignments.
type sectionState uint8

const (
	// outside: no header has been seen.
	outside sectionState = iota
	inside
	// ignored: below an X- header, which is nobody's business.
	ignored
	// broken: below a header that could not be read.
	broken
)

func (p *parser) add(line, col int32, sev diag.Severity, code, hint, format string, args ...any) {
	if len(p.diags) >= maxDiags {
		p.dropped++
		return
	}
	p.diags = append(p.diags, diag.Diag{Pos: diag.Pos{File: p.path, Line: line, Col: col}, Severity: sev,
		Code: code, Hint: hint, Message: fmt.Sprintf(format, args...)})
}

// next cuts one physical line off the input. ok is false at the end.
func (p *parser) next() (s string, off int32, ok bool) {
	if p.rest == "" {
		return "", 0, false
	}
	off, p.bom = p.bom, 0
	p.line++
	i := strings.IndexAny(p.rest, "\n\r")
	if i < 0 {
		s, p.rest = p.rest, ""
		return s, off, true
	}
	s = p.rest[:i]
	end := i + 1
	if end < len(p.rest) && p.rest[end] != p.rest[i] && (p.rest[end] == '\n' || p.rest[end] == '\r') {
		end++
	}
	p.rest = p.rest[end:]
	return s, off, true
}

// logical is a line with its continuations joined.
type logical struct {
	text      string // outer blanks gone
	line, col int32  // of the first byte of text
	joins     []unit.Join
	tooLong   bool
}

func isComment(trimmed string) bool {
	return trimmed != "" && (trimmed[0] == '#' || trimmed[0] == ';')
}

// join reads the continuation lines of a first line that ends in a backslash.
func (p *parser) join(l *logical) {
	var b strings.Builder
	b.WriteString(l.text[:len(l.text)-1])
	for {
		if !l.tooLong {
			b.WriteByte(' ') // the backslash
		}
		s, _, ok := p.next()
		if ok && isComment(strings.TrimLeft(s, blanks)) {
			// The blank of the backslash is already written; the next
			// line joins to it.
			for ok && isComment(strings.TrimLeft(s, blanks)) {
				s, _, ok = p.next()
			}
		}
		if !ok {
			break
		}
		more := strings.HasSuffix(s, `\`)
		if more {
			s = s[:len(s)-1]
		}
		if b.Len()+len(s) > MaxLine {
			l.tooLong = true
		}
		if !l.tooLong {
			l.joins = append(l.joins, unit.Join{Off: int32(b.Len()), Line: p.line, Col: 1})
			b.WriteString(s)
		}
		if !more {
			break
		}
	}
	if l.tooLong {
		l.text, l.joins = "", nil
		return
	}
	l.text = strings.TrimRight(b.String(), blanks)
	// A first line that held nothing but the backslash does not count.
	for len(l.joins) > 0 && strings.Trim(l.text[:min(int(l.joins[0].Off), len(l.text))], blanks) == "" {
		j := l.joins[0]
		l.text = l.text[min(int(j.Off), len(l.text)):]
		l.line, l.col, l.joins = j.Line, j.Col, l.joins[1:]
		for i := range l.joins {
			l.joins[i].Off -= j.Off
		}
	}
	t := strings.TrimLeft(l.text, blanks)
	n := int32(len(l.text) - len(t))
	l.text, l.col = t, l.col+n
	for i := range l.joins {
		l.joins[i].Off -= n
	}
}

func (p *parser) run() {
	for {
		s, off, ok := p.next()
		if !ok {
			return
		}
		t := strings.TrimLeft(s, blanks)
		if t == "" || isComment(t) {
			continue
		}
		l := logical{text: t, line: p.line, col: off + int32(len(s)-len(t)) + 1}
		if len(t) > MaxLine {
			l.tooLong = true
			l.text = strings.TrimRight(t, blanks)
		} else if strings.HasSuffix(t, `\`) {
			p.join(&l)
		} else {
			l.text = strings.TrimRight(t, blanks)
		}
		if l.text != "" || l.tooLong {
			p.logical(&l)
		}
	}
}

func (p *parser) logical(l *logical) {
	if !l.tooLong && l.text[0] == '[' {
		p.header(l)
		return
	}
	if p.state == ignored || p.state == broken {
		return
	}
	switch {
	case l.tooLong:
		if strings.HasPrefix(l.text, "[") {
			p.state = broken
		}
		p.add(l.line, l.col, diag.Error, "line-too-long", "", "the line is longer than %d bytes and is ignored", MaxLine)
		return
	case strings.IndexByte(l.text, 0) >= 0:
		p.add(l.line, l.col, diag.Error, "nul-byte", "", "the line has a NUL byte and is ignored")
		return
	case !utf8.ValidString(l.text):
		p.add(l.line, l.col, diag.Warning, "not-utf8", "", "the line is not valid UTF-8 and is ignored: %s", diag.Clip(l.text))
		return
	case p.state == outside:
		p.add(l.line, l.col, diag.Warning, "outside-section", "put it below a header such as [Unit]",
			"text before the first section is ignored: %s", diag.Clip(l.text))
		return
	}
	eq := strings.IndexByte(l.text, '=')
	if eq < 0 {
		p.add(l.line, l.col, diag.Warning, "missing-equals", "write KEY=VALUE, or end the line above with a backslash",
			"the line has no \"=\" and is ignored: %s", diag.Clip(l.text))
		return
	}
	key := strings.TrimRight(l.text[:eq], blanks)
	if key == "" {
		p.add(l.line, l.col, diag.Warning, "missing-key", "", "the line has no key before \"=\" and is ignored: %s", diag.Clip(l.text))
		return
	}
	if len(p.frags) >= MaxFragments {
		if len(p.frags) == MaxFragments && p.state == inside {
			p.add(l.line, l.col, diag.Error, "too-many-lines", "", "the file has more than %d assignments; the rest is ignored", MaxFragments)
		}
		p.rest = ""
		return
	}
	p.assignment(l, key, eq+1)
}

// assignment records one key; at is the byte after "=".
func (p *parser) assignment(l *logical, key string, at int) {
	text := strings.TrimLeft(l.text[at:], blanks)
	off := len(l.text) - len(text)
	f := unit.Fragment{Section: p.section, Key: key, Text: text,
		Pos: diag.Pos{File: p.path, Line: l.line, Col: l.col}, ValueCol: l.col + int32(off)}
	if text == "" {
		f.Op = unit.Reset
	}
	for _, j := range l.joins {
		if int(j.Off) >= len(l.text) {
			break
		}
		// A value that begins on a continuation line starts its joins at
		// or before its first byte.
		j.Off -= int32(off)
		if j.Off <= 0 {
			j.Col -= j.Off
			j.Off = 0
			f.Joins, f.ValueCol = f.Joins[:0], 0
		}
		f.Joins = append(f.Joins, j)
	}
	p.frags = append(p.frags, f)
}

func (p *parser) header(l *logical) {
	name, closed := strings.CutSuffix(l.text[1:], "]")
	clean := utf8.ValidString(name) && strings.IndexByte(name, 0) < 0
	if closed && name == "" {
		p.state = ignored
		p.add(l.line, l.col, diag.Warning, "bad-section", "", "the section has no name; everything up to the next header is ignored")
		return
	}
	if !closed || !clean {
		p.state = broken
		hint := ""
		if i := strings.IndexByte(l.text, ']'); i > 1 && clean {
			hint = "nothing may follow the \"]\", not even a comment"
		}
		p.add(l.line, l.col, diag.Error, "bad-section", hint,
			"invalid section header %s; everything up to the next header is ignored", diag.Clip(l.text))
		return
	}
	p.section, p.state = name, inside
	if strings.HasPrefix(name, "X-") {
		p.state = ignored
	}
}
