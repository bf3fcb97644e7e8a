package unit

import (
	"fmt"
	"strings"
)

// parseExecs reads one command line of systemd.service(5), "COMMAND LINES": a
// row of commands separated by ";", each with prefixes, quoting and escapes.
// "$FOO" and "${FOO}" stay: only the world knows the environment.
func parseExecs(c *ctx, text string) (any, bool) {
	var out []Exec
	var cur []word
	var offs []int
	ok := true
	flush := func() {
		if len(cur) == 0 {
			return
		}
		if e, good := c.command(cur); good {
			out = append(out, e)
			offs = append(offs, cur[0].off)
		} else {
			ok = false
		}
		cur = nil
	}
	whole := c.splitWords(text, cEscapes, func(w word) bool {
		switch {
		case w.raw == ";":
			flush()
			return ok
		case w.raw == `\;`:
			w.text = ";"
		}
		cur = append(cur, w)
		return len(cur) < maxItems
	})
	if !whole || !ok {
		return nil, false
	}
	if flush(); !ok || len(out) == 0 {
		if ok {
			c.bad(0, "name the program to run", "the command line is empty")
		}
		return nil, false
	}
	c.offs = offs
	return out, true
}

// command makes one Exec of its words.
func (c *ctx) command(ws []word) (Exec, bool) {
	var e Exec
	first, argv0, levels := ws[0].text, false, 0
prefix:
	for first != "" {
		switch {
		case first[0] == '@' && !argv0:
			argv0 = true
		case first[0] == '-' && !e.IgnoreFailure:
			e.IgnoreFailure = true
		case first[0] == ':' && !e.NoEnvExpand:
			e.NoEnvExpand = true
		case first[0] == '|' && !e.Shell:
			e.Shell = true
		case first[0] == '+' && levels == 0:
			e.Privileged, levels = true, 1
		case strings.HasPrefix(first, "!!") && levels == 0:
			e.AmbientOnly, levels = true, 1
			first = first[1:]
		case first[0] == '!' && levels == 0:
			e.NoSetuid, levels = true, 1
		default:
			break prefix
		}
		first = first[1:]
	}
	path, ok := c.expand(first, ws[0].off)
	if !ok {
		return e, false
	}
	if path, ok = c.program(path, ws[0].off); !ok {
		return e, false
	}
	e.Path = path
	args := ws[1:]
	e.Argv = make([]string, 0, len(ws))
	if argv0 {
		if len(args) == 0 {
			c.bad(ws[0].off, "write the name for argv[0] after the program", `the prefix "@" needs a second word`)
			return e, false
		}
	} else {
		e.Argv = append(e.Argv, path)
	}
	for _, w := range args {
		a, ok := c.expand(w.text, w.off)
		if !ok {
			return e, false
		}
		e.Argv = append(e.Argv, a)
	}
	return e, true
}

// program checks what is to be executed: a path from /, or a plain name that
// the search path resolves.
func (c *ctx) program(p string, off int) (string, bool) {
	if p == "" {
		c.bad(off, "name the program to run", "the program's name is empty")
		return "", false
	}
	for i := range len(p) {
		if p[i] < ' ' || p[i] == 0x7f || p[i] == '\\' {
			c.bad(off, "", "control characters and backslashes cannot be part of a program's name")
			return "", false
		}
	}
	if strings.IndexByte(p, '/') >= 0 && p[0] != '/' && p[0] != '%' {
		c.bad(off, "write the whole path, from /, or the bare name of a program in the search path",
			"%q is a relative path", p)
		return "", false
	}
	if p[len(p)-1] == '/' || p == "." || p == ".." || strings.HasSuffix(p, "/.") {
		c.bad(off, "name the program itself", "%q is a directory", p)
		return "", false
	}
	clean, why := cleanPath(p, true)
	if why != "" {
		c.bad(off, "", "%s", why)
		return "", false
	}
	return clean, true
}

// execItems takes a TOML array as the argument vector itself, as the original
// dynamod did: no prefixes, no quoting, no variables.
func execItems(c *ctx, items []string) (any, bool) {
	if len(items) == 0 {
		return []Exec(nil), true
	}
	e := Exec{NoEnvExpand: true, Argv: make([]string, 0, len(items))}
	for i, it := range items {
		v, ok := c.expand(it, i)
		if !ok {
			return nil, false
		}
		if strings.IndexByte(v, 0) >= 0 {
			c.bad(i, "", "an argument cannot hold a NUL byte")
			return nil, false
		}
		e.Argv = append(e.Argv, v)
	}
	p, ok := c.program(e.Argv[0], 0)
	if !ok {
		return nil, false
	}
	e.Path = p
	c.offs = append(c.offs[:0], 0)
	return []Exec{e}, true
}

// String writes the command line so that parsing it gives the same Exec.
func (e Exec) String() string {
	var b strings.Builder
	mark := func(set bool, s string) {
		if set {
			b.WriteString(s)
		}
	}
	argv := e.Argv
	argv0 := len(argv) == 0 || argv[0] != e.Path || e.Path[0] == '@'
	// The levels come first: a "!" right before a program whose name starts
	// with another would read as "!!".
	mark(e.Privileged, "+")
	mark(e.NoSetuid, "!")
	mark(e.AmbientOnly, "!!")
	mark(argv0, "@")
	mark(e.IgnoreFailure, "-")
	mark(e.NoEnvExpand, ":")
	mark(e.Shell, "|")
	b.WriteString(quoteWord(e.Path))
	if !argv0 {
		argv = argv[1:]
	}
	for _, a := range argv {
		b.WriteByte(' ')
		b.WriteString(quoteWord(a))
	}
	return b.String()
}

func execText(_ *Setting, e Exec) string { return e.String() }

// GoString keeps test failures readable.
func (e Exec) GoString() string { return fmt.Sprintf("Exec(%s)", e.String()) }
