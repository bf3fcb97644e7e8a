package unit

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"dynamod/internal/calendar"
	"dynamod/internal/diag"
)

var boolWords = map[string]bool{
	"1": true, "yes": true, "true": true, "on": true, "y": true, "t": true,
	"0": false, "no": false, "false": false, "off": false, "n": false, "f": false,
}

func readBool(text string) (v, ok bool) {
	if len(text) > 5 {
		return false, false
	}
	v, ok = boolWords[strings.ToLower(text)]
	return v, ok
}

func parseBool(c *ctx, text string) (any, bool) {
	v, ok := readBool(text)
	if !ok {
		c.bad(0, "write yes or no", "not a boolean")
	}
	return v, ok
}

func boolText(_ *Setting, v bool) string {
	if v {
		return "yes"
	}
	return "no"
}

func parseString(c *ctx, text string) (any, bool) {
	s, ok := c.expand(text, 0)
	if ok && strings.IndexByte(s, 0) >= 0 {
		c.bad(strings.IndexByte(text, 0), "", "a NUL byte cannot be part of a value")
		return nil, false
	}
	return s, ok
}

func stringText(s *Setting, v string) string {
	if s.Raw {
		return v
	}
	return strings.ReplaceAll(v, "%", "%%")
}

// parsePath takes an absolute path. Rows that allow a "-" prefix or the words
// of their Enum ("~" for WorkingDirectory=) say so there.
func parsePath(c *ctx, text string) (any, bool) {
	s, ok := c.expand(text, 0)
	if !ok {
		return nil, false
	}
	if s != "-" && slices.Contains(c.s.Enum, s) {
		return s, true
	}
	prefix := ""
	if strings.HasPrefix(s, "-") && slices.Contains(c.s.Enum, "-") {
		prefix, s = "-", s[1:]
		if s != "-" && slices.Contains(c.s.Enum, s) {
			return prefix + s, true
		}
	}
	p, why := cleanPath(s, c.s.tag == "relative")
	if why != "" {
		c.bad(0, "write the whole path, from /", "%s", why)
		return nil, false
	}
	return prefix + p, true
}

// cleanPath drops doubled slashes, "." parts and a trailing slash; it refuses
// relative paths, ".." and control characters. A path that still holds an
// unexpanded specifier of the host counts as absolute.
func cleanPath(p string, relative bool) (clean, why string) {
	switch {
	case p == "":
		return "", "the path is empty"
	case len(p) > 4095:
		return "", "the path is longer than 4095 bytes"
	case strings.IndexByte(p, 0) >= 0:
		return "", "a path cannot hold a NUL byte"
	case p[0] != '/' && p[0] != '%' && !relative:
		return "", "not an absolute path"
	}
	if !strings.Contains(p, "//") && !strings.Contains(p, "/.") && (len(p) == 1 || p[len(p)-1] != '/') {
		return p, ""
	}
	var b strings.Builder
	for part := range strings.SplitSeq(p, "/") {
		switch part {
		case "", ".":
		case "..":
			return "", `".." in a path`
		default:
			if b.Len() > 0 || p[0] == '/' {
				b.WriteByte('/')
			}
			b.WriteString(part)
		}
	}
	if b.Len() == 0 {
		return "/", ""
	}
	return b.String(), ""
}

func readInt(text string) (int64, error) {
	digits := strings.TrimLeft(text, "+-")
	base := 10
	if len(digits) > 1 && digits[0] == '0' && strings.IndexByte("xXoObB", digits[1]) >= 0 {
		base = 0
	}
	return strconv.ParseInt(text, base, 64)
}

func parseInt(c *ctx, text string) (any, bool) {
	for i, w := range c.s.Enum { // named numbers, such as syslog levels
		if w == text {
			return int64(i) + c.s.Min, true
		}
	}
	if v, ok := c.s.EnumAliases[text]; ok {
		text = v
	}
	v, err := readInt(text)
	switch {
	case errors.Is(err, strconv.ErrRange):
		c.bad(0, "", "the number is too large")
		return nil, false
	case err != nil:
		hint := ""
		if len(c.s.Enum) > 0 {
			hint = suggestWord(text, c.s.Enum)
		}
		c.bad(0, hint, "not a whole number")
		return nil, false
	}
	if c.s.Min != 0 || c.s.Max != 0 {
		if v < c.s.Min || v > c.s.Max {
			c.bad(0, fmt.Sprintf("take a number from %d to %d", c.s.Min, c.s.Max), "out of range")
			return nil, false
		}
	}
	return v, true
}

func intText(s *Setting, v int64) string {
	if i := v - s.Min; len(s.Enum) > 0 && i >= 0 && i < int64(len(s.Enum)) {
		return s.Enum[i]
	}
	return strconv.FormatInt(v, 10)
}

func parseWeight(c *ctx, text string) (any, bool) {
	if text == "idle" && slices.Contains(c.s.Enum, "idle") {
		return int64(0), true
	}
	v, err := readInt(text)
	lo, hi := int64(1), int64(10000)
	if c.s.Max != 0 {
		lo, hi = c.s.Min, c.s.Max
	}
	if err != nil || v < lo || v > hi {
		c.bad(0, fmt.Sprintf("take a number from %d to %d", lo, hi), "not a weight")
		return nil, false
	}
	return v, true
}

func weightText(_ *Setting, v int64) string {
	if v == 0 {
		return "idle"
	}
	return strconv.FormatInt(v, 10)
}

// parseDuration takes systemd's time spans; a bare number is seconds unless
// the row says otherwise (TimerSlackNSec=). The row's EnumAliases give meaning
// to words, and zero means no limit where tag is "zero-forever".
func parseDuration(c *ctx, text string) (any, bool) {
	if v, ok := c.s.EnumAliases[text]; ok {
		text = v
	}
	base := time.Second
	if c.s.tag == "nsec" {
		// systemd.time(7) has no nanoseconds; TimerSlackNSec= alone does.
		if n, ok := strings.CutSuffix(text, "ns"); ok {
			text = n
		} else if n, ok := strings.CutSuffix(text, "nsec"); ok {
			text = n
		}
		base = time.Nanosecond
	}
	d, err := calendar.ParseSpanDefault(text, base)
	if err != nil {
		off, why := 0, err.Error()
		var pe *calendar.ParseError
		if errors.As(err, &pe) {
			off, why = pe.Offset, pe.Reason
		}
		c.bad(off, `write it like "500ms", "1min 30s" or "infinity"; a bare number is seconds`, "not a time span: %s", why)
		return nil, false
	}
	if d == 0 && c.s.tag == "zero-forever" {
		d = Forever
	}
	return d, true
}

func durationText(s *Setting, d time.Duration) string {
	if s.tag == "nsec" && d != Forever {
		return strconv.FormatInt(int64(d), 10)
	}
	return calendar.FormatSpan(d)
}

// readSize reads a number with an optional suffix to the base 1024.
func readSize(text string) (uint64, bool) {
	shift := 0
	digits := text
	if text != "" {
		last := text[len(text)-1]
		if i := strings.IndexByte("KMGTPE", last&^0x20); i >= 0 && (last >= 'a' || last <= 'Z') {
			shift = 10 * (i + 1)
			digits = strings.TrimRight(text[:len(text)-1], " \t")
		} else if last == 'B' {
			digits = text[:len(text)-1]
		}
	}
	whole, frac, dotted := strings.Cut(digits, ".")
	n, err := strconv.ParseUint(whole, 10, 64)
	if err != nil || dotted && frac == "" || whole == "" {
		return 0, false
	}
	hi, v := bits.Mul64(n, 1<<shift)
	if hi != 0 {
		return 0, false
	}
	if len(frac) > 9 {
		return 0, false
	}
	if frac != "" {
		f, err := strconv.ParseUint(frac, 10, 64)
		if err != nil {
			return 0, false
		}
		den := uint64(math.Pow10(len(frac)))
		h, l := bits.Mul64(f, 1<<shift)
		q, _ := bits.Div64(h, l, den)
		var carry uint64
		if v, carry = bits.Add64(v, q, 0); carry != 0 {
			return 0, false
		}
	}
	return v, true
}

func parseSize(c *ctx, text string) (any, bool) {
	switch {
	case text == "infinity", text == "max" && c.native():
		return Quantity{Infinite: true}, true
	case text == "max":
		c.bad(0, `unit files write "infinity"`, "not a size")
		return nil, false
	case strings.HasSuffix(text, "%"):
		n, ok := readDecimal(strings.TrimSuffix(text, "%"), 1)
		if !ok || n > 1000 {
			c.bad(0, "take 0% to 100%, with at most one digit after the point", "not a percentage")
			return nil, false
		}
		return Quantity{N: n, Permille: true}, true
	}
	n, ok := readSize(text)
	if !ok {
		c.bad(0, `write it like "512M", "2G", "50%" or "infinity"; K, M, G, T, P and E count to the base 1024`, "not a size")
		return nil, false
	}
	if c.s.Max != 0 && (n < uint64(c.s.Min) || n > uint64(c.s.Max)) {
		c.bad(0, fmt.Sprintf("take a number from %d to %d", c.s.Min, c.s.Max), "out of range")
		return nil, false
	}
	return Quantity{N: n}, true
}

func sizeText(_ *Setting, q Quantity) string {
	switch {
	case q.Infinite:
		return "infinity"
	case q.Permille:
		return decimalText(q.N, 1) + "%"
	}
	for i := 5; i >= 0; i-- {
		if sh := 10 * (i + 1); q.N != 0 && q.N&(1<<sh-1) == 0 {
			return strconv.FormatUint(q.N>>sh, 10) + "KMGTPE"[i:i+1]
		}
	}
	return strconv.FormatUint(q.N, 10)
}

// readDecimal reads a decimal with at most places digits after the point, as
// a multiple of 10^-places.
func readDecimal(text string, places int) (uint64, bool) {
	whole, frac, dotted := strings.Cut(text, ".")
	if len(frac) > places || dotted && frac == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(whole+frac+strings.Repeat("0", places-len(frac)), 10, 63)
	return n, err == nil && whole != ""
}

func decimalText(n uint64, places int) string {
	p := uint64(math.Pow10(places))
	s := strconv.FormatUint(n/p, 10)
	if r := n % p; r != 0 {
		s += "." + strings.TrimRight(fmt.Sprintf("%0*d", places, r), "0")
	}
	return s
}

func parsePercent(c *ctx, text string) (any, bool) {
	if c.native() && text == "max" {
		return int64(0), true
	}
	t, ok := strings.CutSuffix(text, "%")
	n, isNumber := readDecimal(t, 2)
	if !ok || !isNumber || n > math.MaxInt32*100 || c.s.Max != 0 && n > uint64(c.s.Max) {
		c.bad(0, `write it like "20%"`, "not a percentage")
		return nil, false
	}
	return int64(n), true
}

func percentText(_ *Setting, v int64) string { return decimalText(uint64(v), 2) + "%" }

func parseMode(c *ctx, text string) (any, bool) {
	t := strings.TrimPrefix(text, "0o")
	v, err := strconv.ParseUint(t, 8, 32)
	if err != nil || v > 0o7777 {
		c.bad(0, `write it in octal, like "0755"`, "not a file mode")
		return nil, false
	}
	return uint32(v), true
}

func modeText(_ *Setting, v uint32) string { return fmt.Sprintf("%04o", v) }

func parseEnum(c *ctx, text string) (any, bool) {
	for _, w := range c.s.Enum {
		if w == text {
			return w, true // the table's own string, not a piece of the file
		}
	}
	if w, ok := c.s.EnumAliases[text]; ok {
		return w, true
	}
	if c.s.Kind == SwitchKind {
		if v, ok := readBool(text); ok && slices.Contains(c.s.Enum, boolText(nil, v)) {
			return boolText(nil, v), true
		}
	}
	c.bad(0, suggestWord(text, c.s.Enum), "not one of the known words")
	return nil, false
}

func suggestWord(word string, known []string) string {
	if s := diag.Suggest(word, known); s != "" {
		return fmt.Sprintf("did you mean %q? It takes: %s", s, strings.Join(known, ", "))
	}
	return "it takes: " + strings.Join(known, ", ")
}

func enumText(_ *Setting, v string) string { return v }

// parseRlimit reads "LIMIT" or "SOFT:HARD" in the unit that the row's tag
// names (systemd.exec(5), "Process properties").
func parseRlimit(c *ctx, text string) (any, bool) {
	soft, hard, both := strings.Cut(text, ":")
	if !both {
		hard = soft
	}
	s, ok1 := readLimit(c.s.tag, soft)
	h, ok2 := readLimit(c.s.tag, hard)
	switch {
	case !ok1 || !ok2:
		c.bad(0, `write "LIMIT", "SOFT:HARD" or "infinity"`, "not a resource limit")
		return nil, false
	case s > h:
		c.bad(0, "write the smaller number first", "the soft limit is above the hard one")
		return nil, false
	}
	return Rlimit{s, h}, true
}

func readLimit(unit, text string) (uint64, bool) {
	if text == "infinity" {
		return math.MaxUint64, true
	}
	switch unit {
	case "sec", "usec":
		base := time.Second
		if unit == "usec" {
			base = time.Microsecond
		}
		d, err := calendar.ParseSpanDefault(text, base)
		if err != nil {
			return 0, false
		}
		if d == Forever {
			return math.MaxUint64, true
		}
		n := uint64(d / base)
		if d%base != 0 { // a CPU time below a second still means a limit
			n++
		}
		return n, true
	case "nice":
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return 0, false
		}
		if text[0] == '+' || text[0] == '-' { // a nice level: 20 - level
			n = 20 - n
		}
		return uint64(n), n >= 0 && n <= 40
	case "bytes":
		return readSize(text)
	}
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil
}

func rlimitText(s *Setting, l Rlimit) string {
	one := func(v uint64) string {
		switch {
		case v == math.MaxUint64:
			return "infinity"
		case s.tag == "bytes":
			return sizeText(s, Quantity{N: v})
		}
		return strconv.FormatUint(v, 10)
	}
	if l.Soft == l.Hard {
		return one(l.Soft)
	}
	return one(l.Soft) + ":" + one(l.Hard)
}
