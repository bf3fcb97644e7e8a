package unit

import (
	"errors"
	"fmt"
	"strings"

	"dynamod/internal/diag"
	"dynamod/internal/unitname"
)

// Bounds on what one assignment and one list may hold. A file that passes them
// is broken or hostile; the rest of the unit is still loaded.
const (
	maxValue = 1 << 20
	maxItems = 100_000
)

// ctx is the place of one value while it is parsed: where to report, how to
// expand specifiers, and which bytes the items came from.
type ctx struct {
	b    *builder // nil while defaults are parsed
	s    *Setting // the row as written
	f    *Fragment
	text string
	// offs are the offsets of the items of the last parsed list.
	offs []int
	// inverting says that the first word of this assignment begins with "~".
	inverting bool
	// err is the first complaint, for callers without a builder.
	err string
}

// native says whether the value comes from a TOML file.
func (c *ctx) native() bool { return c.b != nil && c.b.u.Format == Native }

// bad reports a value that is not used.
func (c *ctx) bad(off int, hint, format string, args ...any) {
	c.report(diag.Error, "bad-value", off, hint, fmt.Sprintf(format, args...))
}

// odd reports a value that is used, though not as its author may think.
func (c *ctx) odd(off int, hint, format string, args ...any) {
	c.report(diag.Warning, "odd-value", off, hint, fmt.Sprintf(format, args...))
}

// note reports what is harmless, though its author may have meant more.
func (c *ctx) note(off int, hint, format string, args ...any) {
	c.report(diag.Note, "odd-value", off, hint, fmt.Sprintf(format, args...))
}

func (c *ctx) report(sev diag.Severity, code string, off int, hint, msg string) {
	if sev == diag.Error && c.err == "" {
		c.err = msg
	}
	if c.b == nil {
		return
	}
	pos := c.f.At(off)
	if c.f.Items != nil {
		pos = c.itemPos(off)
	}
	c.b.add(diag.Diag{Pos: pos, Severity: sev, Code: code, Key: c.b.keyName(c.f),
		Value: diag.Clip(c.text), Hint: hint,
		Message: fmt.Sprintf("%s=%s: %s", c.b.keyName(c.f), diag.Clip(c.text), msg)})
}

// itemPos is the place of a TOML array's item; "offsets" of items are their
// indices.
func (c *ctx) itemPos(i int) diag.Pos {
	if i < len(c.f.ItemPos) {
		return c.f.ItemPos[i]
	}
	return c.f.Pos
}

// expand replaces the specifiers of s, which begins at byte off of the value.
func (c *ctx) expand(s string, off int) (string, bool) {
	if c.b == nil || !c.b.expands || c.s.Raw || strings.IndexByte(s, '%') < 0 {
		return s, true
	}
	v, err := unitname.Expand(s, c.b.specifier)
	if err == nil {
		if len(v) > maxValue {
			c.bad(off, "", "longer than %d bytes with its specifiers expanded", maxValue)
			return "", false
		}
		return v, true
	}
	var se *unitname.SpecifierError
	if errors.As(err, &se) {
		if errors.Is(err, unitname.ErrUnknownSpecifier) {
			c.bad(off+se.Offset, `write "%%" for a plain percent sign; systemd.unit(5) lists the specifiers`,
				"there is no specifier %q", "%"+string(rune(se.Spec)))
		} else {
			c.bad(off+se.Offset, "", "specifier %q: %v", "%"+string(rune(se.Spec)), se.Err)
		}
		return "", false
	}
	c.bad(off, "", "%v", err)
	return "", false
}

// tooMany reports a list that has grown past its bound.
func (c *ctx) tooMany(n int) bool {
	if n < maxItems {
		return false
	}
	c.bad(0, "", "more than %d items", maxItems)
	return true
}
