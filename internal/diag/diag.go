// Package diag holds what every checker of dynamod reports: a position, a
// severity, a message and a hint. It owns the text form of a diagnostic and the
// "did you mean" search; it knows nothing of units, files or terminals.
package diag

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says how bad a diagnostic is. Only Error makes `dynamodctl check`
// exit with 1 (with --strict a Warning does too).
type Severity uint8

const (
	// Note is information: nothing is wrong, but the reader may want to know.
	Note Severity = iota
	// Warning means the file is used, but not quite as its author may think.
	Warning
	// Error means that something the author asked for will not happen.
	Error
)

// String gives the word printed before the message.
func (s Severity) String() string {
	switch s {
	case Note:
		return "note"
	case Warning:
		return "warning"
	case Error:
		return "error"
	}
	return fmt.Sprintf("severity(%d)", uint8(s))
}

// Pos is a place in a file. Line and Col count from 1 and Col counts bytes;
// zero means "not known". File is the path as the operator would write it.
type Pos struct {
	File string `json:"file,omitempty"`
	Line int32  `json:"line,omitempty"`
	Col  int32  `json:"column,omitempty"`
}

// String gives file:line:column with the unknown parts left out.
func (p Pos) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Col == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Diag is one finding. Code is a short stable word for machines ("unknown-key",
// "cycle"); Message is one sentence without a full stop; Hint says what would
// mend it and may be empty.
type Diag struct {
	Pos      Pos      `json:"pos"`
	Severity Severity `json:"-"`
	Code     string   `json:"code"`
	Unit     string   `json:"unit,omitempty"`
	Key      string   `json:"key,omitempty"`
	Value    string   `json:"value,omitempty"`
	Message  string   `json:"message"`
	Hint     string   `json:"hint,omitempty"`
}

// maxShown bounds how much of a hostile value is echoed back, in bytes.
const maxShown = 120

// Clip shortens s for display and makes control characters and invalid UTF-8
// visible, so that a broken file cannot write to the operator's terminal.
func Clip(s string) string {
	cut := false
	if len(s) > maxShown {
		s, cut = s[:maxShown], true
	}
	q := fmt.Sprintf("%+q", s)
	if isPlain(s) {
		q = s
	}
	if cut {
		q += "…"
	}
	return q
}

func isPlain(s string) bool {
	for _, r := range s {
		if r < 0x20 || r == 0x7f || r == '�' || (r >= 0x80 && r < 0xa0) {
			return false
		}
	}
	return true
}

// String gives "file:line:col: severity: message (hint) [code]" on one line.
func (d Diag) String() string {
	var b strings.Builder
	if p := d.Pos.String(); p != "" {
		b.WriteString(p)
		b.WriteString(": ")
	} else if d.Unit != "" {
		b.WriteString(d.Unit)
		b.WriteString(": ")
	}
	fmt.Fprintf(&b, "%s: %s", d.Severity, d.Message)
	if d.Hint != "" {
		fmt.Fprintf(&b, "; %s", d.Hint)
	}
	fmt.Fprintf(&b, " [%s]", d.Code)
	return b.String()
}

// Sort orders diagnostics by file, line, column, then code and message, and
// drops exact repetitions (one file loaded for several instances).
func Sort(ds []Diag) []Diag {
	slices.SortStableFunc(ds, func(a, b Diag) int {
		return cmp.Or(
			cmp.Compare(a.Pos.File, b.Pos.File),
			cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Col, b.Pos.Col),
			cmp.Compare(a.Unit, b.Unit),
			cmp.Compare(a.Code, b.Code),
			cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(ds)
}

// Worst returns the highest severity in ds, and false when ds is empty.
func Worst(ds []Diag) (Severity, bool) {
	if len(ds) == 0 {
		return Note, false
	}
	w := Note
	for _, d := range ds {
		w = max(w, d.Severity)
	}
	return w, true
}
