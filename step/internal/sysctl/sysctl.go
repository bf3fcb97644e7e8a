// Package sysctl works out the kernel settings of sysctl.d(5): which file and
// which line of it counts. It names files below /proc/sys and writes none.
package sysctl

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"dynamod/step/internal/dropdir"
)

// Setting is what one variable, or all that match a pattern, shall be.
type Setting struct {
	// Path is relative to /proc/sys: "net/ipv4/ip_forward".
	Path  string
	Value string
	// Optional: a failure to write it is no failure of the step.
	Optional bool
	// From is FILE:LINE.
	From string
}

// Glob says that Path is a pattern.
func (s *Setting) Glob() bool { return strings.ContainsAny(s.Path, "*?[") }

// Plan is what to write.
type Plan struct {
	// Settings come in the order in which their variables are first named.
	Settings []Setting
	// spared are variables that patterns leave alone.
	spared map[string]bool
}

// Read collects the settings of sysctl.d and, after them, /etc/sysctl.conf, which
// procps and BusyBox read. Bad lines are in errs; the others count.
func Read(tree fs.FS) (*Plan, []error) {
	files, errs := dropdir.Read(tree, dropdir.Dirs("sysctl.d"))
	if f, err := dropdir.One(tree, "/etc/sysctl.conf"); err == nil {
		files = append(files, f)
	} else if !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	p := &Plan{spared: map[string]bool{}}
	at := map[string]int{}
	for _, f := range files {
		f.Lines(func(n int, line string) {
			s, spare, err := parse(line)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s:%d: %w; the line is ignored", f.Path, n, err))
				return
			}
			if spare {
				p.spared[s.Path] = true
				return
			}
			s.From = fmt.Sprintf("%s:%d", f.Path, n)
			if i, ok := at[s.Path]; ok {
				p.Settings[i] = s // the last one counts
				return
			}
			at[s.Path] = len(p.Settings)
			p.Settings = append(p.Settings, s)
		})
	}
	for i := range p.Settings {
		if !p.Settings[i].Glob() {
			p.spared[p.Settings[i].Path] = true
		}
	}
	return p, errs
}

// Spares says that patterns leave a variable alone, because a line names it.
func (p *Plan) Spares(name string) bool { return p.spared[name] }

func parse(line string) (s Setting, spare bool, err error) {
	key, value, has := strings.Cut(line, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	if rest, ok := strings.CutPrefix(key, "-"); ok {
		s.Optional = true
		key = strings.TrimSpace(rest)
	}
	switch {
	case !has && !s.Optional:
		return s, false, fmt.Errorf("%q is not NAME=VALUE", clip(line))
	case strings.ContainsAny(value, "\x00"):
		return s, false, fmt.Errorf("the value of %q has a zero byte", clip(key))
	}
	s.Path, s.Value = slashes(key), value
	for part := range strings.SplitSeq(s.Path, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "\x00 \t") {
			return s, false, fmt.Errorf("%q names no kernel setting", clip(key))
		}
	}
	if s.Glob() {
		if _, err := path.Match(s.Path, ""); err != nil {
			return s, false, fmt.Errorf("%q is a bad pattern", clip(key))
		}
	}
	return s, !has, nil
}

// slashes: the first separator decides which of the two it is; the other one is
// then part of a name ("net.ipv4.conf.enp3s0/200.forwarding", sysctl.d(5)).
func slashes(key string) string {
	if i := strings.IndexAny(key, "./"); i < 0 || key[i] == '/' {
		return strings.TrimPrefix(key, "/")
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}, key)
}

func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}
