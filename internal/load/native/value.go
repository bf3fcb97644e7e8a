package native

import (
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"dynamod/internal/diag"
	"dynamod/internal/unit"
)

func kindOf(k unstable.Kind) unit.ValueKind {
	switch k {
	case unstable.String:
		return unit.StringValue
	case unstable.Integer:
		return unit.IntValue
	case unstable.Float:
		return unit.FloatValue
	case unstable.Bool:
		return unit.BoolValue
	}
	return unit.DateValue
}

// scalar gives the text of a plain value; numbers in plain decimal.
func (r *reader) scalar(v *unstable.Node) (string, bool) {
	switch v.Kind {
	case unstable.Array, unstable.InlineTable:
		return "", false
	case unstable.String:
		if s := string(v.Data); strings.IndexByte(s, 0) < 0 {
			return s, true
		}
		r.fail(r.pos(v), "nul-byte", "the string has a NUL byte; its key is ignored")
		return "", false
	case unstable.Integer:
		s := strings.TrimPrefix(strings.ReplaceAll(string(v.Data), "_", ""), "+")
		base := 10
		if len(s) > 2 && s[0] == '0' && strings.IndexByte("xob", s[1]) >= 0 {
			base = map[byte]int{'x': 16, 'o': 8, 'b': 2}[s[1]]
			s = s[2:]
		}
		n, err := strconv.ParseInt(s, base, 64)
		if err != nil {
			r.fail(r.pos(v), "bad-toml", "%s does not fit in 64 bits; its key is ignored", diag.Clip(string(v.Data)))
			return "", false
		}
		return strconv.FormatInt(n, 10), true
	case unstable.Float:
		return strings.TrimPrefix(strings.ReplaceAll(string(v.Data), "_", ""), "+"), true
	}
	return string(v.Data), true
}

// array makes one fragment of a flat array, or one per inner array.
func (r *reader) array(f unit.Fragment, v *unstable.Node) {
	f.Kind, f.Items = unit.ArrayValue, []string{}
	nested, flat := 0, 0
	for it := v.Children(); it.Next(); {
		switch it.Node().Kind {
		case unstable.Comment:
		case unstable.Array:
			nested++
		default:
			flat++
		}
	}
	if nested > 0 && flat > 0 {
		r.fail(f.Pos, "bad-value", "%s mixes arrays with plain values and is ignored", diag.Clip(f.Key))
		return
	}
	for it := v.Children(); it.Next(); {
		n := it.Node()
		switch n.Kind {
		case unstable.Comment:
		case unstable.Array:
			if len(r.frags) >= MaxFragments {
				return
			}
			g := f
			g.Items = []string{}
			for in := n.Children(); in.Next(); {
				r.item(&g, in.Node())
			}
			r.frags = append(r.frags, g)
		default:
			r.item(&f, n)
		}
	}
	if nested == 0 {
		r.frags = append(r.frags, f)
	}
}

func (r *reader) item(f *unit.Fragment, n *unstable.Node) {
	switch n.Kind {
	case unstable.Comment:
		return
	case unstable.Array:
		r.fail(f.Pos, "too-deep", "%s: arrays nest deeper than two; the inner one is ignored", diag.Clip(f.Key))
		return
	case unstable.InlineTable:
		r.inArray, r.element, r.elemPos = len(r.frags), nil, r.pos(n)
		for it := n.Children(); it.Next(); {
			if c := it.Node(); c.Kind == unstable.KeyValue {
				r.keyValue("", c, 0)
			}
		}
		r.frags = append(r.frags, *f)
		r.closeElement()
		*f = r.frags[len(r.frags)-1]
		r.frags = r.frags[:len(r.frags)-1]
		return
	}
	if text, ok := r.scalar(n); ok {
		f.Items = append(f.Items, text)
		f.ItemPos = append(f.ItemPos, r.pos(n))
	}
}
