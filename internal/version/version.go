// Package version orders versions. It knows nothing of packages or kernels.
package version

import "strings"

// Compare orders versions by the UAPI group's version format
// specification: '~' before everything, then the end, then '-', '^', '.', letters,
// numbers; numbers by value.
func Compare(a, b string) int {
	part := func(c byte) bool {
		return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("~-^.", c) >= 0
	}
	skip := func(s string) string {
		for s != "" && !part(s[0]) {
			s = s[1:]
		}
		return s
	}
	for {
		a, b = skip(a), skip(b)
		for _, mark := range []byte("~") {
			switch x, y := startsWith(a, mark), startsWith(b, mark); {
			case x && y:
			case x:
				return -1
			case y:
				return 1
			}
		}
		if startsWith(a, '~') {
			a, b = a[1:], b[1:]
			continue
		}
		if a == "" || b == "" {
			return min(1, len(a)) - min(1, len(b))
		}
		marked := false
		for _, mark := range []byte("-^.") {
			x, y := startsWith(a, mark), startsWith(b, mark)
			if x && y {
				a, b, marked = a[1:], b[1:], true
				break
			}
			if x {
				return -1
			}
			if y {
				return 1
			}
		}
		if marked {
			continue
		}
		var x, y string
		if isDigit(a[0]) || isDigit(b[0]) {
			x, a = cutWhile(a, isDigit)
			y, b = cutWhile(b, isDigit)
			// A number is larger than any word, and than nothing.
			if x == "" || y == "" {
				return min(1, len(x)) - min(1, len(y))
			}
			x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			if len(x) != len(y) {
				return sign(len(x) - len(y))
			}
		} else {
			x, a = cutWhile(a, isLetter)
			y, b = cutWhile(b, isLetter)
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
	}
}

func startsWith(s string, c byte) bool { return s != "" && s[0] == c }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func sign(n int) int { return max(-1, min(1, n)) }

func cutWhile(s string, in func(byte) bool) (head, rest string) {
	i := 0
	for i < len(s) && in(s[i]) {
		i++
	}
	return s[:i], s[i:]
}
