// Package cmdline reads a kernel command line as the kernel does: words apart by
// blanks, double quotes around blanks, - and _ the same in names
// (Documentation/admin-guide/kernel-parameters.rst of the kernel).
package cmdline

import (
	"iter"
	"strings"
)

// Line is a parsed command line.
type Line struct{ words []word }

type word struct {
	name, value string
	valued      bool
}

// Parse never fails: what is no option is a word without a value.
func Parse(text string) Line {
	var l Line
	for text = strings.TrimLeft(text, blanks); text != ""; text = strings.TrimLeft(text, blanks) {
		quoted, end, equals := false, len(text), -1
		for i := 0; i < len(text); i++ {
			c := text[i]
			switch {
			case c == '"':
				quoted = !quoted
			case c == '=' && equals < 0:
				equals = i
			case !quoted && strings.IndexByte(blanks, c) >= 0:
				end = i
			}
			if end == i {
				break
			}
		}
		w := text[:end]
		text = text[end:]
		if equals < 0 {
			l.words = append(l.words, word{name: strings.ReplaceAll(w, `"`, "")})
			continue
		}
		l.words = append(l.words, word{name: strings.ReplaceAll(w[:equals], `"`, ""), value: strings.ReplaceAll(w[equals+1:], `"`, ""), valued: true})
	}
	return l
}

const blanks = " \t\n\r\v\f"

// Value is that of the first option of this name which has one.
func (l Line) Value(name string) (value string, ok bool) {
	for _, w := range l.words {
		if w.valued && same(w.name, name) {
			return w.value, true
		}
	}
	return "", false
}

// Words are all words in their order, with nil for one without a value.
func (l Line) Words() iter.Seq2[string, *string] {
	return func(yield func(string, *string) bool) {
		for _, w := range l.words {
			value := &w.value
			if !w.valued {
				value = nil
			}
			if !yield(w.name, value) {
				return
			}
		}
	}
}

// Has says whether the name is there, with a value or without.
func (l Line) Has(name string) bool {
	for _, w := range l.words {
		if same(w.name, name) {
			return true
		}
	}
	return false
}

// Switch is an option that is on or off: a bare name is on, as are 1, yes, true and
// on; 0, no, false and off are off. bad is a value that is neither.
func (l Line) Switch(name string, deflt bool) (on bool, bad string) {
	for _, w := range l.words {
		if !same(w.name, name) {
			continue
		}
		if !w.valued {
			return true, ""
		}
		switch w.value {
		case "1", "yes", "true", "on":
			return true, ""
		case "0", "no", "false", "off":
			return false, ""
		}
		return deflt, w.value
	}
	return deflt, ""
}

// Last says which of some bare words comes last, "" if none is there. It is for pairs
// like ro and rw.
func (l Line) Last(names ...string) string {
	last := ""
	for _, w := range l.words {
		for _, n := range names {
			if !w.valued && w.name == n {
				last = n
			}
		}
	}
	return last
}

func same(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		x, y := a[i], b[i]
		if x != y && (x != '-' && x != '_' || y != '-' && y != '_') {
			return false
		}
	}
	return true
}
