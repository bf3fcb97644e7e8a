package unit

import (
	"fmt"
	"strings"
)

// Texts writes a value of s in the grammar of unit files: one string per item
// of a list, one string for a scalar, nil for a value that was never set. Items
// of the collecting lists come as "PathExists=!/x", "ListenStream=/run/x".
func Texts(s *Setting, v any) []string {
	if v == nil {
		return nil
	}
	return kinds[s.Kind].text(s, v)
}

// Text is Texts on one line.
func Text(s *Setting, v any) string { return strings.Join(Texts(s, v), " ") }

// Canonical writes what the unit's files say, one "key = value" line per
// setting (per item where the items are lines), with native keys in the order
// of the table. Equal units have equal text, whatever they were written in.
func Canonical(u *Unit) string {
	var b strings.Builder
	fmt.Fprintf(&b, "unit = %s\n", u.Name)
	for _, a := range u.Aliases {
		fmt.Fprintf(&b, "alias = %s\n", a)
	}
	if u.Load != Loaded {
		fmt.Fprintf(&b, "load = %s\n", u.Load)
	}
	for _, e := range u.vals {
		s := table[e.id]
		texts := Texts(s, e.val)
		mark := ""
		if e.implied {
			mark = " # implied"
		}
		if k := s.Kind; !k.IsList() || k == UnitsKind || k == WordsKind || k == PathsKind || k == ExitSetKind || k == EnvironmentKind {
			fmt.Fprintf(&b, "%s = %s%s\n", s.Native, strings.Join(texts, " "), mark)
			continue
		}
		for i, t := range texts {
			key := s.Native
			if r := rowOf(s, e.val, i); r != nil {
				key = r.Native
				_, t, _ = strings.Cut(t, "=")
			}
			fmt.Fprintf(&b, "%s = %s%s\n", key, t, mark)
		}
	}
	return b.String()
}

// rowOf is the row that item i of a collecting list was written with.
func rowOf(s *Setting, v any, i int) *Setting {
	tag := ""
	switch list := v.(type) {
	case []Condition:
		tag = list[i].Check
	case []Listen:
		tag = list[i].Kind
	case []Monotonic:
		tag = list[i].Base
	case []PathWatch:
		tag = list[i].Kind
	case []BindMount:
		if list[i].Writable {
			tag = "rw"
		}
	default:
		return nil
	}
	return byTag[contribution{s.ID, tag}]
}
