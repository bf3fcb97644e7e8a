package unit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dynamod/internal/calendar"
	"dynamod/internal/unitname"
)

// eachWord is the parse function of a list whose items are words.
func eachWord[E any](esc escapes, one func(c *ctx, w string, off int) (E, bool)) func(*ctx, string) (any, bool) {
	return func(c *ctx, text string) (any, bool) {
		out := make([]E, 0, 1+strings.Count(text, " "))
		c.offs = c.offs[:0]
		whole := c.splitWords(text, esc, func(w word) bool {
			s, ok := c.expand(w.text, w.off)
			if !ok {
				return true
			}
			if e, ok := one(c, s, w.off); ok {
				out = append(out, e)
				c.offs = append(c.offs, w.off)
			}
			return !c.tooMany(len(out))
		})
		return slices.Clip(out), whole || len(out) > 0
	}
}

// eachLine is the parse function of a list with one item per assignment.
func eachLine[E any](one func(c *ctx, text string, off int) (E, bool)) func(*ctx, string) (any, bool) {
	return func(c *ctx, text string) (any, bool) {
		s, ok := c.expand(text, 0)
		if !ok {
			return nil, false
		}
		e, ok := one(c, s, 0)
		c.offs = append(c.offs[:0], 0)
		return []E{e}, ok
	}
}

// eachItem is the items function of a list: no quoting, one item each.
func eachItem[E any](one func(c *ctx, text string, off int) (E, bool)) func(*ctx, []string) (any, bool) {
	return func(c *ctx, items []string) (any, bool) {
		out := make([]E, 0, min(len(items), maxItems))
		c.offs = c.offs[:0]
		for i, it := range items {
			s, ok := c.expand(it, i)
			if !ok {
				continue
			}
			if e, ok := one(c, s, i); ok {
				out = append(out, e)
				c.offs = append(c.offs, i)
			}
			if c.tooMany(len(out)) {
				break
			}
		}
		return out, true
	}
}

// oneUnit checks the name of another unit. In the native format a bare name
// is a service.
func oneUnit(c *ctx, s string, off int) (string, bool) {
	n, err := unitname.Parse(s)
	if err != nil && c.native() && !strings.HasPrefix(s, ".") {
		if m, err2 := unitname.Parse(s + ".service"); err2 == nil {
			n, err, s = m, nil, s+".service"
		}
	}
	if err != nil {
		if c.b != nil && strings.IndexByte(s, '%') >= 0 {
			// A specifier of the host that is not known here: what is
			// around it must still be fit for a name.
			if rest := strings.NewReplacer("%", "x", "@", "x").Replace(s) + ".service"; unitname.Valid(rest) {
				return s, true
			}
		}
		hint := "write the whole name with its suffix, such as foo.service"
		if unitname.Valid(s + ".service") {
			hint = fmt.Sprintf("did you mean %q?", s+".service")
		}
		c.bad(off, hint, "%v", err)
		return "", false
	}
	if n.IsTemplate() && c.s.In&InInstall == 0 {
		if c.b != nil && c.b.name.IsInstance() {
			// A template among the dependencies of an instance means the
			// instance of the same name.
			if m, err := n.WithInstance(c.b.name.Instance); err == nil {
				return m.String(), true
			}
		}
		c.note(off, fmt.Sprintf("name an instance, such as %s@NAME.%s", n.Prefix, n.Type),
			"%q is a template, which is never active itself", s)
	}
	return s, true
}

func parseUnit(c *ctx, text string) (any, bool) {
	s, ok := c.expand(text, 0)
	if !ok {
		return nil, false
	}
	s, ok = oneUnit(c, s, 0)
	return s, ok
}

func unitText(_ *Setting, s string) string { return quoteUnit(s) }

func oneWord(c *ctx, s string, off int) (string, bool) {
	if c.s.Enum != nil {
		if w, ok := c.s.EnumAliases[s]; ok {
			return w, true
		}
		if i := slices.Index(c.s.Enum, s); i >= 0 {
			return c.s.Enum[i], true
		}
		c.odd(off, suggestWord(s, c.s.Enum), "%q is not one of the known words and is left out", s)
		return "", false
	}
	if strings.IndexByte(s, 0) >= 0 {
		c.bad(off, "", "a NUL byte cannot be part of a value")
		return "", false
	}
	if c.s.inverted {
		if len(c.offs) == 0 {
			c.inverting = strings.HasPrefix(s, "~")
		} else if c.inverting && !strings.HasPrefix(s, "~") {
			s = "~" + s
		}
	}
	return s, true
}

func wordText(_ *Setting, s string) string { return quoteWord(s) }

func oneLine(c *ctx, s string, off int) (string, bool) {
	if s == "" { // all of it was specifiers without a value
		return "", false
	}
	return oneWord(c, s, off)
}

// onePath takes a path with the marks that path lists know: "-" (may be
// missing), "+" (below the unit's own root), and ":…" options after it.
func onePath(c *ctx, s string, off int) (string, bool) {
	p := s
	for p != "" && (p[0] == '-' || p[0] == '+') {
		p = p[1:]
	}
	path, options, has := strings.Cut(p, ":")
	clean, why := cleanPath(path, c.s.tag == "relative")
	if why != "" {
		c.bad(off, "write the whole path, from /", "%q: %s", s, why)
		return "", false
	}
	if has {
		clean += ":" + options
	}
	return s[:len(s)-len(p)] + clean, true
}

func validEnvName(n string) bool {
	for i := range len(n) {
		ch := n[i]
		if !(ch == '_' || 'a' <= ch && ch <= 'z' || 'A' <= ch && ch <= 'Z' || i > 0 && '0' <= ch && ch <= '9') {
			return false
		}
	}
	return n != ""
}

func oneVariable(c *ctx, s string, off int) (string, bool) {
	n, v, ok := strings.Cut(s, "=")
	switch {
	case !ok:
		c.bad(off, `write NAME=VALUE, in quotes when the value has blanks: "NAME=a b"`, "%q has no \"=\"", s)
	case !validEnvName(n):
		c.bad(off, "use letters, digits and _ only, and no digit first", "%q is not the name of a variable", n)
	case strings.IndexByte(v, 0) >= 0:
		c.bad(off, "", "a NUL byte cannot be part of a value")
	default:
		return s, true
	}
	return "", false
}

// nameOf is what Merge ByName compares: the text before "=" or ":", or the first word of
// a line ("DEVICE LIMIT"). The path of a device may have both signs in it.
func nameOf(item string) string {
	ends := "= \t:"
	if strings.HasPrefix(item, "/") {
		ends = blanks
	}
	if i := strings.IndexAny(item, ends); i >= 0 {
		return item[:i]
	}
	return item
}

func oneCondition(c *ctx, s string, off int) (Condition, bool) {
	cond := Condition{Check: c.s.tag}
	s = strings.TrimLeft(s, blanks)
	s, cond.Trigger = strings.CutPrefix(s, "|")
	s = strings.TrimLeft(s, blanks)
	s, cond.Negate = strings.CutPrefix(s, "!")
	cond.Arg = strings.TrimLeft(s, blanks)
	switch {
	case cond.Arg == "":
		c.bad(off, "", "the condition has no parameter")
		return cond, false
	case strings.HasPrefix(cond.Check, "Path") || strings.HasPrefix(cond.Check, "File") || cond.Check == "DirectoryNotEmpty":
		clean, why := cleanPath(cond.Arg, false)
		if why != "" {
			c.bad(off, "write the whole path, from /", "%s", why)
			return cond, false
		}
		cond.Arg = clean
	case cond.Check == "FirstBoot" || cond.Check == "ACPower":
		v, ok := readBool(cond.Arg)
		if !ok {
			c.bad(off, "write yes or no", "not a boolean")
			return cond, false
		}
		cond.Arg = boolText(nil, v)
	}
	return cond, true
}

func conditionItem(_ *Setting, v Condition) string {
	s := ""
	if v.Trigger {
		s += "|"
	}
	if v.Negate {
		s += "!"
	}
	return v.Check + "=" + s + strings.ReplaceAll(v.Arg, "%", "%%")
}

func oneListen(c *ctx, s string, off int) (Listen, bool) {
	l := Listen{Kind: c.s.tag, Address: s}
	bad := func(hint, msg string) (Listen, bool) {
		c.bad(off, hint, "%s", msg)
		return l, false
	}
	switch l.Kind {
	case "FIFO", "Special", "USBFunction", "MessageQueue":
		clean, why := cleanPath(s, false)
		if why != "" {
			return bad("write the whole path, from /", why)
		}
		l.Address = clean
	case "Netlink":
		if s == "" || len(strings.Fields(s)) > 2 {
			return bad(`write a family and perhaps a group, like "kobject-uevent 1"`, "not a netlink address")
		}
	default:
		if why := badSocketAddress(s); why != "" {
			return bad(`write a path, "@name", a port, "ADDRESS:PORT", "[IPV6]:PORT" or "vsock:CID:PORT"`, why)
		}
		if s[0] == '/' {
			l.Address, _ = cleanPath(s, false)
		}
	}
	return l, true
}

// badSocketAddress says why s is not an address of systemd.socket(5).
func badSocketAddress(s string) string {
	const maxUnix = 107 // sun_path less its NUL
	switch {
	case s == "":
		return "the address is empty"
	case s[0] == '/':
		clean, why := cleanPath(s, false)
		if why == "" && len(clean) > maxUnix {
			why = "the path is longer than a socket address can hold (107 bytes)"
		}
		return why
	case s[0] == '@':
		if len(s) > maxUnix+1 || len(s) == 1 {
			return "an abstract name has 1 to 107 bytes"
		}
		return ""
	case strings.HasPrefix(s, "vsock"):
		if strings.Count(s, ":") == 2 {
			return ""
		}
		return "a vsock address has a CID and a port"
	case strings.IndexByte(s, '%') >= 0:
		return ""
	}
	port := s
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		host := s[:i]
		port = s[i+1:]
		if host == "" || strings.HasPrefix(host, "[") != strings.HasSuffix(host, "]") {
			return "the host part is broken"
		}
		if host[0] != '[' && strings.Trim(host, "0123456789.") != "" {
			return "the host must be an IPv4 address, or an IPv6 address in brackets"
		}
	}
	port, _, _ = strings.Cut(port, "%")
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "the port must be a number from 1 to 65535"
	}
	return ""
}

func listenItem(_ *Setting, v Listen) string {
	return "Listen" + v.Kind + "=" + strings.ReplaceAll(v.Address, "%", "%%")
}

func oneCalendar(c *ctx, s string, off int) (Calendar, bool) {
	spec, err := calendar.Parse(s)
	if err != nil {
		c.bad(off, `write it like "daily", "Mon *-*-* 09:00" or "*:0/15"`, "%v", err)
		return Calendar{}, false
	}
	return Calendar{Text: s, Spec: spec}, true
}

func calendarItem(_ *Setting, v Calendar) string { return v.Text }

func oneMonotonic(c *ctx, s string, off int) (Monotonic, bool) {
	v, ok := parseDuration(c, s)
	if !ok {
		return Monotonic{}, false
	}
	return Monotonic{Base: c.s.tag, Span: asDuration(v)}, true
}

func monotonicItem(_ *Setting, v Monotonic) string {
	return v.Base + "=" + calendar.FormatSpan(v.Span)
}

func oneWatch(c *ctx, s string, off int) (PathWatch, bool) {
	clean, why := cleanPath(s, false)
	if why != "" {
		c.bad(off, "write the whole path, from /", "%s", why)
		return PathWatch{}, false
	}
	return PathWatch{Kind: c.s.tag, Path: clean}, true
}

func watchItem(_ *Setting, v PathWatch) string {
	return v.Kind + "=" + strings.ReplaceAll(v.Path, "%", "%%")
}

// oneBind takes "[-]SOURCE[:TARGET[:rbind|norbind]]" (systemd.exec(5),
// BindPaths=), or "source=S;target=T;writable=true" of a TOML table.
func oneBind(c *ctx, s string, off int) (BindMount, bool) {
	m := BindMount{Recursive: true, Writable: c.s.tag == "rw"}
	if c.native() && (strings.HasPrefix(s, "source=") || strings.Contains(s, ";source=")) {
		m.Writable = false
		for field := range strings.SplitSeq(s, ";") {
			k, v, _ := strings.Cut(field, "=")
			switch k {
			case "source":
				m.Source = v
			case "target":
				m.Target = v
			case "writable", "ignore-missing", "recursive":
				b, ok := readBool(v)
				if !ok {
					c.bad(off, "write true or false", "%q is not a boolean", v)
					return m, false
				}
				switch k {
				case "writable":
					m.Writable = b
				case "ignore-missing":
					m.IgnoreMissing = b
				default:
					m.Recursive = b
				}
			default:
				c.bad(off, "a bind mount has source, target, writable, ignore-missing and recursive", "unknown field %q", k)
				return m, false
			}
		}
	} else {
		s, m.IgnoreMissing = strings.CutPrefix(s, "-")
		parts := splitColons(s)
		m.Source = parts[0]
		if len(parts) > 1 {
			m.Target = parts[1]
		}
		if len(parts) > 2 {
			switch parts[2] {
			case "rbind", "":
			case "norbind":
				m.Recursive = false
			default:
				c.bad(off, "the options are rbind and norbind", "unknown option %q", parts[2])
				return m, false
			}
		}
		if len(parts) > 3 {
			c.bad(off, "write SOURCE:TARGET:OPTION", "too many colons in %q", s)
			return m, false
		}
	}
	if m.Target == "" {
		m.Target = m.Source
	}
	for _, p := range []*string{&m.Source, &m.Target} {
		clean, why := cleanPath(*p, false)
		if why != "" {
			c.bad(off, "write the whole path, from /", "%q: %s", *p, why)
			return m, false
		}
		*p = clean
	}
	return m, true
}

// splitColons splits at colons that no backslash protects.
func splitColons(s string) []string {
	var out []string
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == ':' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		case s[i] == ':':
			out = append(out, b.String())
			b.Reset()
		default:
			b.WriteByte(s[i])
		}
	}
	return append(out, b.String())
}

var colonEscaper = strings.NewReplacer(`\`, `\\`, ":", `\:`)

func bindItem(_ *Setting, m BindMount) string {
	s := "BindReadOnlyPaths="
	if m.Writable {
		s = "BindPaths="
	}
	w := ""
	if m.IgnoreMissing {
		w = "-"
	}
	w += colonEscaper.Replace(m.Source) + ":" + colonEscaper.Replace(m.Target)
	if !m.Recursive {
		w += ":norbind"
	}
	return s + quoteWord(w)
}
