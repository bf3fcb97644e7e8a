package unit

import (
	"strings"
	"unicode/utf8"
)

// word is one item of a blank-separated list, with its quotes removed.
type word struct {
	text string
	off  int
	// raw is the word as written.
	raw string
}

type escapes uint8

const (
	// keepEscapes leaves backslashes alone: unit names are full of them.
	keepEscapes escapes = iota
	// cEscapes resolves the C-style escapes of systemd.syntax(7); those that
	// it does not list stay as they are.
	cEscapes
)

const blanks = " \t\n\r"

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// splitWords splits a right-hand side by the rules of systemd.syntax(7),
// "Quoting". Like systemd (recorded from systemd-analyze verify 252), and
// unlike the manual's wording, it honours quotes in the middle of a word too.
// It reports an open quote and yields nothing more after it.
func (c *ctx) splitWords(text string, esc escapes, yield func(w word) bool) bool {
	if i := strings.IndexByte(text, 0); i >= 0 {
		c.bad(i, "", "a NUL byte cannot be part of a value")
		return false
	}
	i := 0
	for {
		for i < len(text) && isBlank(text[i]) {
			i++
		}
		if i == len(text) {
			return true
		}
		start := i
		// The common word has neither quotes nor escapes: no copy.
		for i < len(text) && !isBlank(text[i]) && text[i] != '"' && text[i] != '\'' && text[i] != '\\' {
			i++
		}
		if i == len(text) || isBlank(text[i]) {
			if !yield(word{text[start:i], start, text[start:i]}) {
				return true
			}
			continue
		}
		var b strings.Builder
		b.WriteString(text[start:i])
		quote := byte(0)
		quoteAt := 0
	word:
		for i < len(text) {
			switch ch := text[i]; {
			case quote != 0 && ch == quote:
				quote = 0
				i++
			case quote == 0 && (ch == '"' || ch == '\''):
				quote, quoteAt = ch, i
				i++
			case quote == 0 && isBlank(ch):
				break word
			case ch == '\\' && esc == cEscapes:
				n := c.unescape(&b, text, i)
				if n == 0 {
					return false
				}
				i += n
			case ch == '\\' && i+1 < len(text):
				b.WriteString(text[i : i+2])
				i += 2
			default:
				b.WriteByte(ch)
				i++
			}
		}
		if quote != 0 {
			c.bad(quoteAt, "close it with the same character, or write it as \\"+string(quote),
				"the quote %c is never closed", quote)
			return false
		}
		if !yield(word{b.String(), start, text[start:i]}) {
			return true
		}
	}
}

// unescape writes what the escape at text[i] stands for and returns its
// length, or 0 after a complaint.
func (c *ctx) unescape(b *strings.Builder, text string, i int) int {
	if i+1 == len(text) {
		c.bad(i, `write "\\" for a backslash`, "a backslash at the end escapes nothing")
		return 0
	}
	simple := func(s string) int { b.WriteString(s); return 2 }
	number := func(skip, digits, base int) int {
		if i+skip+digits > len(text) {
			return -1
		}
		v := 0
		for _, d := range []byte(text[i+skip : i+skip+digits]) {
			if 'A' <= d && d <= 'F' {
				d |= 0x20
			}
			n := strings.IndexByte("0123456789abcdef", d)
			if n < 0 || n >= base {
				return -1
			}
			v = v*base + n
		}
		return v
	}
	literal := func(v, n int, asRune bool) int {
		switch {
		case v < 0:
			c.odd(i, `write "\\" for a backslash`, "unknown escape sequence %q is kept as it is", text[i:i+2])
			b.WriteString(text[i : i+2])
			return 2
		case v == 0:
			c.bad(i, "", "an escaped NUL byte cannot be part of a value")
			return 0
		case asRune:
			if !utf8.ValidRune(rune(v)) {
				c.bad(i, "", "%q is no Unicode character", text[i:i+n])
				return 0
			}
			b.WriteRune(rune(v))
		case v > 255:
			c.bad(i, "", "%q does not fit a byte", text[i:i+n])
			return 0
		default:
			b.WriteByte(byte(v))
		}
		return n
	}
	switch text[i+1] {
	case 'a':
		return simple("\a")
	case 'b':
		return simple("\b")
	case 'f':
		return simple("\f")
	case 'n':
		return simple("\n")
	case 'r':
		return simple("\r")
	case 't':
		return simple("\t")
	case 'v':
		return simple("\v")
	case '\\':
		return simple("\\")
	case '"':
		return simple(`"`)
	case '\'':
		return simple("'")
	case 's':
		return simple(" ")
	case ':': // BindPaths= and others protect colons themselves
		return simple(`\:`)
	case 'x':
		return literal(number(2, 2, 16), 4, false)
	case 'u':
		return literal(number(2, 4, 16), 6, true)
	case 'U':
		return literal(number(2, 8, 16), 10, true)
	case '0', '1', '2', '3', '4', '5', '6', '7':
		return literal(number(1, 3, 8), 4, false)
	}
	return literal(-1, 2, false)
}

// quoteWord writes s so that splitWords with cEscapes gives it back.
func quoteWord(s string) string {
	plain := s != ""
	for i := 0; i < len(s) && plain; i++ {
		ch := s[i]
		plain = ch > ' ' && ch < 0x7f && ch != '"' && ch != '\'' && ch != '\\' && ch != ';' && ch != '%'
	}
	if plain {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch ch := s[i]; {
		case ch == '"' || ch == '\\':
			b.WriteByte('\\')
			b.WriteByte(ch)
		case ch == '%':
			b.WriteString("%%")
		case ch == '\n':
			b.WriteString(`\n`)
		case ch == '\t':
			b.WriteString(`\t`)
		case ch < ' ' || ch == 0x7f || r == utf8.RuneError && n == 1 || r >= 0x80 && r < 0xa0:
			const hex = "0123456789abcdef"
			for _, x := range []byte(s[i : i+n]) {
				b.WriteString(`\x`)
				b.WriteByte(hex[x>>4])
				b.WriteByte(hex[x&15])
			}
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	b.WriteByte('"')
	return b.String()
}

// quoteUnit writes a unit name for a list that keeps escapes.
func quoteUnit(s string) string { return strings.ReplaceAll(s, "%", "%%") }
