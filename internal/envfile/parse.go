package envfile

import "strings"

// Parse reads lines of NAME=VALUE by the rules of systemd.exec(5), EnvironmentFile=:
// quotes, backslashes, comments. What is no assignment is left out.
func Parse(text string) (out []string) {
	i := 0
	for i < len(text) {
		for i < len(text) && strings.IndexByte(" \t\r\n", text[i]) >= 0 {
			i++
		}
		if i == len(text) {
			return out
		}
		if text[i] == '#' || text[i] == ';' {
			i = endOfLine(text, i, true)
			continue
		}
		eq := i
		for eq < len(text) && text[eq] != '=' && text[eq] != '\n' {
			eq++
		}
		if eq == len(text) || text[eq] == '\n' {
			i = eq
			continue
		}
		name := strings.TrimRight(text[i:eq], " \t\r")
		var value string
		value, i = environmentValue(text, eq+1)
		if ValidName(name) && strings.IndexByte(value, 0) < 0 {
			out = append(out, name+"="+value)
		}
	}
	return out
}

// endOfLine finds the next newline; a backslash continues a comment too.
func endOfLine(text string, i int, continued bool) int {
	for ; i < len(text); i++ {
		switch {
		case text[i] == '\n':
			return i + 1
		case text[i] == '\\' && continued:
			i++
		}
	}
	return i
}

// environmentValue reads a value from i and returns where the next line begins.
// Quotes may open anywhere; blanks around what is not quoted are dropped.
func environmentValue(text string, i int) (string, int) {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t') {
		i++
	}
	var b strings.Builder
	solid := 0 // what must not be trimmed
	for i < len(text) {
		switch c := text[i]; c {
		case '\n':
			return trimmed(b.String(), solid), i + 1
		case '\'', '"':
			i++
			for i < len(text) && text[i] != c {
				if c == '"' && text[i] == '\\' && i+1 < len(text) {
					i++
					switch text[i] {
					case '"', '\\', '`', '$':
						b.WriteByte(text[i])
					case '\n':
					default:
						b.WriteByte('\\')
						b.WriteByte(text[i])
					}
					i++
					continue
				}
				b.WriteByte(text[i])
				i++
			}
			i++
			solid = b.Len()
		case '\\':
			if i++; i < len(text) {
				if text[i] != '\n' {
					b.WriteByte(text[i])
					solid = b.Len()
				}
				i++
			}
		default:
			b.WriteByte(c)
			i++
		}
	}
	return trimmed(b.String(), solid), i
}

// trimmed drops blanks at the end, but none that was quoted.
func trimmed(s string, solid int) string {
	return s[:solid] + strings.TrimRight(s[solid:], " \t\r")
}

// ValidName says that n may be the name of a variable (environ(7)).
func ValidName(n string) bool {
	for i := range len(n) {
		c := n[i]
		if !(c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || i > 0 && '0' <= c && c <= '9') {
			return false
		}
	}
	return n != ""
}
