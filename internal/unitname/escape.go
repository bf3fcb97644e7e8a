package unitname

import (
	"fmt"
	"strings"
)

// EscapeError says why a string cannot be escaped or unescaped. Offset is the
// byte at which the trouble starts.
type EscapeError struct {
	Input  string
	Offset int
	Reason string
}

func (e *EscapeError) Error() string {
	return fmt.Sprintf("escaping of %q: byte %d: %s", e.Input, e.Offset, e.Reason)
}

const hexDigits = "0123456789abcdef"

func appendHex(b *strings.Builder, c byte) {
	b.WriteString(`\x`)
	b.WriteByte(hexDigits[c>>4])
	b.WriteByte(hexDigits[c&15])
}

// Escape turns any string into one that is fit for a unit name
// (systemd.unit(5), "String escaping for inclusion in unit names"). A NUL byte
// becomes \x00, which Unescape refuses.
func Escape(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 8)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '/':
			b.WriteByte('-')
		case i == 0 && c == '.', c == '-', c == '\\', !nameByte(c):
			appendHex(&b, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// Unescape undoes Escape. Any backslash that does not start \xNN is an error,
// and so is \x00, because no string that the result is used for can hold it.
func Unescape(s string) (string, error) {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '-':
			b.WriteByte('/')
		case '\\':
			if i+3 >= len(s) || s[i+1] != 'x' {
				return "", &EscapeError{s, i, `"\" that does not start \xNN`}
			}
			hi, ok1 := unhex(s[i+2])
			lo, ok2 := unhex(s[i+3])
			if !ok1 || !ok2 {
				return "", &EscapeError{s, i, `"\x" without two hexadecimal digits`}
			}
			if hi|lo == 0 {
				return "", &EscapeError{s, i, "NUL byte"}
			}
			b.WriteByte(hi<<4 | lo)
			i += 3
		case 0:
			return "", &EscapeError{s, i, "NUL byte"}
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), nil
}

// EscapePath escapes a file system path like systemd-escape --path: leading,
// trailing and duplicate slashes and "." components vanish, "/" and "" become
// "-", and ".." is refused. Relative paths are taken as if they were absolute,
// as the tool does (with a warning); a path that is nothing but "." is refused.
func EscapePath(path string) (string, error) {
	var parts []string
	for off := 0; off < len(path); {
		if path[off] == '/' {
			off++
			continue
		}
		end := strings.IndexByte(path[off:], '/')
		if end < 0 {
			end = len(path)
		} else {
			end += off
		}
		switch part := path[off:end]; part {
		case ".":
		case "..":
			return "", &EscapeError{path, off, `".." in a path`}
		default:
			if nul := strings.IndexByte(part, 0); nul >= 0 {
				return "", &EscapeError{path, off + nul, "NUL byte"}
			}
			parts = append(parts, part)
		}
		off = end
	}
	if len(parts) == 0 {
		if path != "" && path[0] != '/' {
			return "", &EscapeError{path, 0, "relative path without a component"}
		}
		return "-", nil
	}
	return Escape(strings.Join(parts, "/")), nil
}

// UnescapePath undoes EscapePath and always yields an absolute path. What
// would not be a normalized path (empty, "." or ".." components) is refused,
// as by systemd-escape --unescape --path.
func UnescapePath(s string) (string, error) {
	switch s {
	case "":
		return "", &EscapeError{s, 0, "empty"}
	case "-":
		return "/", nil
	}
	rel, err := Unescape(s)
	if err != nil {
		return "", err
	}
	for part := range strings.SplitSeq(rel, "/") {
		switch part {
		case "":
			return "", &EscapeError{s, 0, "empty path component"}
		case ".", "..":
			return "", &EscapeError{s, 0, fmt.Sprintf("path component %q", part)}
		}
	}
	return "/" + rel, nil
}

// FromPath is the name of the unit of type t for an absolute path, for example
// "home-lennart.mount" (systemd.mount(5), systemd.device(5)).
func FromPath(path string, t Type) (string, error) {
	if !strings.HasPrefix(path, "/") {
		return "", &EscapeError{path, 0, "not an absolute path"}
	}
	p, err := EscapePath(path)
	if err != nil {
		return "", err
	}
	n := p + "." + t.String()
	if _, err := Parse(n); err != nil {
		return "", err
	}
	return n, nil
}

// ToPath is the path that a unit such as a mount, swap or device stands for.
// Templates and instances stand for none.
func ToPath(name string) (string, error) {
	n, err := Parse(name)
	if err != nil {
		return "", err
	}
	if n.Template || n.Instance != "" {
		return "", &NameError{Name: name, Offset: len(n.Prefix), Reason: "a templated name is no path"}
	}
	return UnescapePath(n.Prefix)
}
