package unit

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"dynamod/internal/diag"
)

// A unit that was built with Source.Keep can be written down and read back: as what
// its files said, word for word, because the values are the table's business and may
// be of another shape in the next program. What is read back is built anew.

// recordedUnit is a unit on disk.
type recordedUnit struct {
	Name       string
	Format     Format         `json:",omitzero"`
	HasMain    bool           `json:",omitzero"`
	Aliases    []string       `json:",omitempty"`
	Shadows    string         `json:",omitzero"`
	Files      []recordedFile `json:",omitempty"`
	Links      []Link         `json:",omitempty"`
	Specifiers map[string]raw `json:",omitempty"`
	// What its loader knew better than Build.
	Path      string    `json:",omitzero"`
	Load      LoadState `json:",omitzero"`
	Perpetual bool      `json:",omitzero"`
}

type recordedFile struct {
	Path      string             `json:",omitzero"`
	Fragments []recordedFragment `json:",omitempty"`
}

type recordedFragment struct {
	Section, Key raw
	Op           Op        `json:",omitzero"`
	Text         raw       `json:",omitzero"`
	Items        []raw     `json:",omitempty"`
	Kind         ValueKind `json:",omitzero"`
	// Pos is without the file where that is the one that it is in.
	Pos      diag.Pos   `json:",omitzero"`
	ItemPos  []diag.Pos `json:",omitempty"`
	ValueCol int32      `json:",omitzero"`
	Joins    []Join     `json:",omitempty"`
}

// raw is text of a file, which may be anything: what is not UTF-8 is written as bytes
// (base64, as encoding/json has them) in a list of one.
type raw string

// MarshalJSON implements json.Marshaler.
func (r raw) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(r)) {
		return json.Marshal(string(r))
	}
	return json.Marshal([1][]byte{[]byte(r)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *raw) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		var b [1][]byte
		err := json.Unmarshal(data, &b)
		*r = raw(b[0])
		return err
	}
	return json.Unmarshal(data, (*string)(r))
}

// Recordable says that MarshalJSON can write the unit down.
func (u *Unit) Recordable() bool { return u.source != nil }

var errNotKept = errors.New("the sources of the unit were not kept")

// MarshalJSON implements json.Marshaler, for a unit that was built with Source.Keep;
// any other is an error.
func (u *Unit) MarshalJSON() ([]byte, error) {
	s := u.source
	if s == nil {
		return nil, errNotKept
	}
	r := recordedUnit{Name: s.Name, Format: s.Format, HasMain: s.HasMain, Aliases: s.Aliases, Shadows: s.Shadows, Links: s.Links,
		Path: u.Path, Load: u.Load, Perpetual: u.Perpetual}
	for k, v := range s.asked {
		if r.Specifiers == nil {
			r.Specifiers = make(map[string]raw, len(s.asked))
		}
		r.Specifiers[string(rune(k))] = raw(v)
	}
	for _, f := range s.Files {
		rf := recordedFile{Path: f.Path}
		without := func(p diag.Pos) diag.Pos {
			if p.File == f.Path {
				p.File = ""
			}
			return p
		}
		for _, x := range f.Fragments {
			rx := recordedFragment{Section: raw(x.Section), Key: raw(x.Key), Op: x.Op, Text: raw(x.Text), Kind: x.Kind,
				Pos: without(x.Pos), ValueCol: x.ValueCol, Joins: x.Joins}
			for _, it := range x.Items {
				rx.Items = append(rx.Items, raw(it))
			}
			for _, p := range x.ItemPos {
				rx.ItemPos = append(rx.ItemPos, without(p))
			}
			rf.Fragments = append(rf.Fragments, rx)
		}
		r.Files = append(r.Files, rf)
	}
	return json.Marshal(r)
}

// UnmarshalJSON implements json.Unmarshaler: it builds the unit that MarshalJSON wrote
// down, on any host, as it was built then.
func (u *Unit) UnmarshalJSON(data []byte) error {
	var r recordedUnit
	if err := json.Unmarshal(data, &r); err != nil {
		return err
	}
	if r.Load > Merged {
		return fmt.Errorf("unit %q: there is no load state %d", r.Name, r.Load)
	}
	s := Source{Name: r.Name, Format: r.Format, HasMain: r.HasMain, Aliases: r.Aliases, Shadows: r.Shadows, Links: r.Links, Keep: true,
		Specifiers: func(b byte) (string, bool) {
			v, ok := r.Specifiers[string(rune(b))]
			return string(v), ok
		}}
	for _, rf := range r.Files {
		f := File{Path: rf.Path}
		with := func(p diag.Pos) diag.Pos {
			if p.File == "" {
				p.File = rf.Path
			}
			return p
		}
		for _, rx := range rf.Fragments {
			x := Fragment{Section: string(rx.Section), Key: string(rx.Key), Op: rx.Op, Text: string(rx.Text), Kind: rx.Kind,
				Pos: with(rx.Pos), ValueCol: rx.ValueCol, Joins: rx.Joins}
			for _, it := range rx.Items {
				x.Items = append(x.Items, string(it))
			}
			for _, p := range rx.ItemPos {
				x.ItemPos = append(x.ItemPos, with(p))
			}
			f.Fragments = append(f.Fragments, x)
		}
		s.Files = append(s.Files, f)
	}
	built, _ := Build(s)
	*u = *built
	u.Path, u.Load, u.Perpetual = r.Path, r.Load, r.Perpetual
	return nil
}

// keptSource is a Source in a Unit, with the host's specifiers that it has used.
type keptSource struct {
	Source
	asked map[byte]string
}

// keep puts the source into the unit, and writes down what is asked of the host.
func (b *builder) keep() {
	k := &keptSource{Source: *b.src, asked: map[byte]string{}}
	k.Files = slices.Clone(k.Files) // the caller's may be a part of more
	host := k.Specifiers
	k.Specifiers = nil
	b.u.source = k
	if host == nil {
		return
	}
	b.src.Specifiers = func(spec byte) (string, bool) {
		v, ok := host(spec)
		if ok {
			k.asked[spec] = v
		}
		return v, ok
	}
}

// With is the unit with one more file, read after all others; one of the same path is
// replaced. It needs Source.Keep.
func (u *Unit) With(f File) (*Unit, []diag.Diag, error) {
	k := u.source
	if k == nil {
		return nil, nil, errNotKept
	}
	s := k.Source
	s.Files = append(slices.DeleteFunc(slices.Clone(s.Files), func(x File) bool { return x.Path == f.Path }), f)
	s.Specifiers = func(b byte) (string, bool) {
		v, ok := k.asked[b]
		return v, ok
	}
	out, ds := Build(s)
	out.Path, out.Load = u.Path, max(u.Load, out.Load)
	return out, ds, nil
}

// OwnFiles are the files of a unit without a path, which a client has sent, and those whose
// path begins with prefix. It needs Source.Keep.
func (u *Unit) OwnFiles(prefix string) (own, later []File) {
	if u.source == nil {
		return nil, nil
	}
	for _, f := range u.source.Files {
		switch {
		case f.Path == "":
			own = append(own, f)
		case strings.HasPrefix(f.Path, prefix):
			later = append(later, f)
		}
	}
	return own, later
}
