package fstab

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
	MaxFile  = 1 << 20
	MaxLine  = 64 << 10
	MaxLines = 10_000
	maxDiags = 200
)

// Result is what one file asks for.
type Result struct {
	// Units are the mounts, swaps and automounts, in the order of the file.
	Units []unit.Source
	// Links go into the .wants and .requires of other units.
	Links []Link
	// Dropins are settings for device units.
	Dropins []Dropin
}

// Link is one dependency of Unit.
type Link struct {
	Unit string
	unit.Link
}

// Dropin is a piece of another unit, as a .d directory would hold it.
type Dropin struct {
	Unit string
	File unit.File
}

// Options are what the text alone does not tell.
type Options struct {
	// Resolve follows the symlinks of a mount point as far as they exist;
	// nil leaves mount points as they are.
	Resolve func(string) string
}

// Parse reads one file; path is used for positions only.
func Parse(path string, data []byte, o Options) (Result, []diag.Diag) {
	p := parser{path: path, opts: o, taken: map[string]int32{}}
	if len(data) > MaxFile {
		p.add(0, diag.Error, "file-too-big", "", "the file is longer than %d bytes; what follows is ignored", MaxFile)
		data = data[:MaxFile]
		data = data[:bytes.LastIndexByte(data, '\n')+1]
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		if p.line++; p.line > MaxLines {
			p.add(1, diag.Error, "too-many-lines", "", "the file has more than %d lines; the rest is ignored", MaxLines)
			break
		}
		p.row(line)
	}
	if p.dropped > 0 {
		p.diags = append(p.diags, diag.Diag{Pos: diag.Pos{File: path}, Severity: diag.Warning, Code: "too-many",
			Message: fmt.Sprintf("%d more diagnostics of this file are not shown", p.dropped)})
	}
	return p.res, p.diags
}

type parser struct {
	path  string
	opts  Options
	line  int32
	taken map[string]int32 // unit name → line
	// remounts: something asks for systemd-remount-fs.service.
	remounts bool
	res      Result
	diags    []diag.Diag
	dropped  int
}

func (p *parser) at(col int32) diag.Pos {
	if p.line == 0 {
		return diag.Pos{File: p.path}
	}
	return diag.Pos{File: p.path, Line: p.line, Col: col}
}

func (p *parser) add(col int32, sev diag.Severity, code, hint, format string, args ...any) {
	if len(p.diags) >= maxDiags {
		p.dropped++
		return
	}
	p.diags = append(p.diags, diag.Diag{Pos: p.at(col), Severity: sev, Code: code, Hint: hint, Message: fmt.Sprintf(format, args...)})
}

// field is one column of a line.
type field struct {
	text string
	col  int32
}

func (p *parser) row(line []byte) {
	line = bytes.TrimSuffix(line, []byte("\r"))
	s := strings.TrimLeft(string(line), " \t")
	if s == "" || s[0] == '#' {
		return
	}
	first := int32(len(line)-len(s)) + 1
	switch {
	case len(line) > MaxLine:
		p.add(first, diag.Error, "line-too-long", "", "the line is longer than %d bytes and is ignored", MaxLine)
		return
	case !utf8.Valid(line) || bytes.IndexByte(line, 0) >= 0:
		p.add(first, diag.Error, "not-utf8", "", "the line is not plain text and is ignored")
		return
	}
	fields := split(string(line))
	if len(fields) < 3 {
		p.add(first, diag.Error, "bad-fstab", "write: what where type options dump passno", "the line has %d of at least 3 fields and is ignored", len(fields))
		return
	}
	for i := range fields {
		t, off := unescape(fields[i].text)
		if off >= 0 {
			p.add(fields[i].col+int32(off), diag.Error, "bad-escape", `a blank is \040`, "bad escape; the line is ignored")
			return
		}
		fields[i].text = t
	}
	for len(fields) < 6 {
		text := "0"
		if len(fields) == 3 {
			text = "defaults"
		}
		fields = append(fields, field{text, 0})
	}
	if len(fields) > 6 && !strings.HasPrefix(fields[6].text, "#") {
		p.add(fields[6].col, diag.Warning, "bad-fstab", "", "there is text after the sixth field; it is ignored")
	}
	e := entry{what: fields[0], where: fields[1], fstype: fields[2], opts: fields[3]}
	for _, c := range fields[5].text {
		if c < '0' || c > '9' {
			p.add(fields[5].col, diag.Warning, "bad-fstab", "write 0, 1 or 2", "passno %s is not a number; the file system is not checked", diag.Clip(fields[5].text))
			fields[5].text = "0"
			break
		}
	}
	e.check = strings.Trim(fields[5].text, "0") != ""
	e.passCol = fields[5].col
	p.entry(&e)
}

func split(s string) []field {
	var out []field
	for i := 0; i < len(s); {
		if s[i] == ' ' || s[i] == '\t' {
			i++
			continue
		}
		j := i
		for j < len(s) && s[j] != ' ' && s[j] != '\t' {
			j++
		}
		out = append(out, field{s[i:j], int32(i) + 1})
		if len(out) == 7 {
			break
		}
		i = j
	}
	return out
}

// unescape replaces \ooo (fstab(5)); other backslashes stand for themselves.
// off is where an escape is no character of a string, else -1.
func unescape(s string) (text string, off int) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, -1
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && octal(s[i+1]) && octal(s[i+2]) && octal(s[i+3]) {
			n := int(s[i+1]-'0')<<6 | int(s[i+2]-'0')<<3 | int(s[i+3]-'0')
			if n == 0 || n > 255 {
				return "", i
			}
			b.WriteByte(byte(n))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	if t := b.String(); utf8.ValidString(t) && !strings.Contains(t, "\n") {
		return t, -1
	}
	return "", 0
}

func octal(c byte) bool { return '0' <= c && c <= '7' }
