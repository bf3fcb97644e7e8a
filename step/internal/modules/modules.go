// Package modules lists the kernel modules that are loaded at boot: those of
// modules-load.d(5), of the modules_load= words on the kernel command line, and
// of /etc/modules, whose lines may have parameters.
package modules

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"dynamod/step/internal/dropdir"
)

// Module is one module to load.
type Module struct {
	Name string
	// Parameters are words for modprobe(8), NAME=VALUE.
	Parameters []string
	From       string
}

// Read lists the modules in the order in which they are to be loaded, each once.
// Bad lines are in errs; the others count.
func Read(tree fs.FS, cmdline string) (out []Module, errs []error) {
	add := func(from, line string) {
		words := strings.Fields(line)
		m := Module{Name: words[0], Parameters: words[1:], From: from}
		for i, w := range words {
			// A word that begins with a dash would be an option of modprobe.
			if i == 0 && !valid(w) || i > 0 && (w[0] == '-' || !strings.Contains(w, "=")) {
				errs = append(errs, fmt.Errorf("%s: %q is no module or parameter; the line is ignored", from, w))
				return
			}
		}
		same := func(o Module) bool { return canonical(o.Name) == canonical(m.Name) }
		if i := slices.IndexFunc(out, same); i < 0 {
			out = append(out, m)
		} else if len(m.Parameters) > 0 && len(out[i].Parameters) == 0 {
			out[i].Parameters, out[i].From = m.Parameters, m.From
		}
	}
	for w := range strings.FieldsSeq(cmdline) {
		if v, ok := strings.CutPrefix(w, "modules_load="); ok {
			for name := range strings.SplitSeq(v, ",") {
				if name != "" {
					add("/proc/cmdline", name)
				}
			}
		}
	}
	files, more := dropdir.Read(tree, dropdir.Dirs("modules-load.d"))
	errs = append(errs, more...)
	if f, err := dropdir.One(tree, "/etc/modules"); err == nil {
		files = append(files, f)
	} else if !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, f := range files {
		f.Lines(func(n int, line string) {
			line, _, _ = strings.Cut(line, "#")
			if strings.TrimSpace(line) != "" {
				add(fmt.Sprintf("%s:%d", f.Path, n), line)
			}
		})
	}
	return out, errs
}

// canonical: the kernel takes - and _ in module names as one.
func canonical(name string) string { return strings.ReplaceAll(name, "-", "_") }

func valid(name string) bool {
	if name == "" || len(name) > 64 || name[0] == '-' || name[0] == '.' {
		return false
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("_-.+:", c) >= 0) {
			return false
		}
	}
	return true
}
