package world

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"dynamod/internal/version"
)

// The small languages in the arguments of conditions: operators, versions, shell
// patterns, quoted words.

// operators, the longer ones first (systemd.unit(5), ConditionKernelVersion=,
// ConditionMemory=, ConditionOSRelease=).
var operators = []string{"!$=", "$=", "<=", ">=", "<>", "==", "!=", "<", ">", "="}

// cutOperator takes a leading operator off; "" when there is none.
func cutOperator(s string) (op, rest string) {
	for _, o := range operators {
		if rest, ok := strings.CutPrefix(s, o); ok {
			return o, rest
		}
	}
	return "", s
}

// cutAtOperator splits "KEY OP VALUE" at the first operator.
func cutAtOperator(s string) (key, op, value string) {
	i := strings.IndexAny(s, "!$<>=")
	if i < 0 {
		return s, "", ""
	}
	op, value = cutOperator(s[i:])
	return s[:i], op, value
}

// orderHolds applies an ordering operator to the result of a comparison.
func orderHolds(op string, cmp int) (bool, error) {
	switch op {
	case "<":
		return cmp < 0, nil
	case "<=":
		return cmp <= 0, nil
	case "=", "==", "":
		return cmp == 0, nil
	case "!=", "<>":
		return cmp != 0, nil
	case ">=":
		return cmp >= 0, nil
	case ">":
		return cmp > 0, nil
	}
	return false, fmt.Errorf("the operator %q does not compare numbers", op)
}

// textHolds applies an operator to two strings: "=" and "!=" compare strings, "$="
// and "!$=" match patterns, the others compare versions.
func textHolds(op, have, want string) (bool, error) {
	switch op {
	case "=":
		return have == want, nil
	case "!=":
		return have != want, nil
	case "$=":
		return matchGlob(want, have), nil
	case "!$=":
		return !matchGlob(want, have), nil
	case "":
		return false, fmt.Errorf("there is no operator in it")
	}
	return orderHolds(op, version.Compare(have, want))
}

// matchGlob is fnmatch(3) without flags: '*', '?', "[…]" with '!', ranges and
// backslashes; '/' and leading dots are like any other character. A pattern that is
// broken matches nothing but itself.
func matchGlob(pattern, s string) bool {
	// star and at are where to go on after the last '*', should what follows fail:
	// linear in practice, never worse than len(pattern)·len(s).
	p, i, star, at := 0, 0, -1, 0
	for i < len(s) {
		if p < len(pattern) {
			if pattern[p] == '*' {
				p++
				star, at = p, i
				continue
			}
			if n, ok := matchOne(pattern[p:], s[i]); ok {
				p += n
				i++
				continue
			}
		}
		if star < 0 {
			return false
		}
		at++
		p, i = star, at
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchOne matches the first element of a pattern and says how long that is.
func matchOne(p string, c byte) (int, bool) {
	switch p[0] {
	case '?':
		return 1, true
	case '\\':
		if len(p) > 1 {
			return 2, p[1] == c
		}
	case '[':
		if n, ok, valid := matchClass(p, c); valid {
			return n, ok
		}
	}
	return 1, p[0] == c
}

func matchClass(p string, c byte) (n int, in, valid bool) {
	i, negate := 1, false
	if i < len(p) && (p[i] == '!' || p[i] == '^') {
		negate = true
		i++
	}
	for first := true; i < len(p); first = false {
		if p[i] == ']' && !first {
			return i + 1, in != negate, true
		}
		lo := p[i]
		if lo == '\\' && i+1 < len(p) {
			i++
			lo = p[i]
		}
		i++
		hi := lo
		if i+1 < len(p) && p[i] == '-' && p[i+1] != ']' {
			hi = p[i+1]
			i += 2
			if hi == '\\' && i < len(p) {
				hi = p[i]
				i++
			}
		}
		in = in || lo <= c && c <= hi
	}
	return 0, false, false
}

// maxBraces bounds what "{a,b}{c,d}…" may expand to.
const maxBraces = 256

// expandBraces writes "a{b,c}" out as "ab" and "ac". Braces without a comma or
// without an end stay as they are.
func expandBraces(s string) []string {
	out := []string{""}
	for {
		open := strings.IndexByte(s, '{')
		if open < 0 {
			break
		}
		depth, end, from := 0, -1, open+1
		var parts []string
		for i := open; i < len(s) && end < 0; i++ {
			switch {
			case s[i] == '{':
				depth++
			case s[i] == '}':
				if depth--; depth == 0 {
					parts, end = append(parts, s[from:i]), i
				}
			case s[i] == ',' && depth == 1:
				parts, from = append(parts, s[from:i]), i+1
			}
		}
		if end < 0 {
			break
		}
		if len(parts) < 2 {
			parts = []string{s[open : end+1]}
		} else {
			var flat []string
			for _, p := range parts {
				flat = append(flat, expandBraces(p)...)
			}
			parts = flat
		}
		if len(out)*len(parts) > maxBraces {
			return nil
		}
		var next []string
		for _, head := range out {
			for _, p := range parts {
				next = append(next, head+s[:open]+p)
			}
		}
		out, s = next, s[end+1:]
	}
	for i := range out {
		out[i] += s
	}
	return out
}

// words splits at blanks; quotes keep what is between them together.
func words(s string) []string {
	var out []string
	var b strings.Builder
	in, quote := false, byte(0)
	for i := range len(s) {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
				continue
			}
			b.WriteByte(c)
		case c == '"' || c == '\'':
			quote, in = c, true
		case c == ' ' || c == '\t' || c == '\n':
			if in {
				out = append(out, b.String())
				b.Reset()
				in = false
			}
		default:
			b.WriteByte(c)
			in = true
		}
	}
	if in {
		out = append(out, b.String())
	}
	return out
}

// parseBytes reads a size with the suffixes K, M, G, T, P, E to the base 1024.
func parseBytes(s string) (uint64, error) {
	s = strings.TrimSpace(s)
	unit := strings.TrimLeft(s, "0123456789.")
	num := s[:len(s)-len(unit)]
	shift := 0
	switch unit = strings.TrimSpace(unit); unit {
	case "", "B":
	default:
		i := strings.IndexByte("KMGTPE", unit[0])
		if i < 0 || len(unit) > 1 && unit[1:] != "B" && unit[1:] != "iB" {
			return 0, fmt.Errorf("%q is no size", s)
		}
		shift = 10 * (i + 1)
	}
	if n, err := strconv.ParseUint(num, 10, 64); err == nil {
		if n > math.MaxUint64>>shift {
			return 0, fmt.Errorf("%q is too large", s)
		}
		return n << shift, nil
	}
	f, err := strconv.ParseFloat(num, 64)
	if err != nil || f*float64(uint64(1)<<shift) >= math.MaxUint64 {
		return 0, fmt.Errorf("%q is no size", s)
	}
	return uint64(f * float64(uint64(1)<<shift)), nil
}

// parsePercent reads "12.5%".
func parsePercent(s string) (float64, error) {
	num, ok := strings.CutSuffix(strings.TrimSpace(s), "%")
	f, err := strconv.ParseFloat(num, 64)
	if !ok || err != nil || !(f >= 0 && f <= 100) {
		return 0, fmt.Errorf("%q is no percentage", s)
	}
	return f, nil
}

// truth reads a boolean of systemd.syntax(7).
func truth(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "1", "yes", "y", "true", "t", "on":
		return true, true
	case "0", "no", "n", "false", "f", "off":
		return false, true
	}
	return false, false
}
