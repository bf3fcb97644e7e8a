package generators

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Kind is what a directory of generators is for.
type Kind uint8

const (
	Units Kind = iota
	Environment
)

// Directories lists where generators are, the highest priority first: /run comes before
// /etc here (systemd.generator(7)).
func Directories(k Kind, user bool) []string {
	name := "system"
	if user {
		name = "user"
	}
	if k == Environment {
		name += "-environment"
	}
	name += "-generators"
	var out []string
	for _, d := range []string{"/run", "/etc", "/usr/local/lib", "/usr/lib", "/lib"} {
		out = append(out, d+"/systemd/"+name)
	}
	return out
}

// Find lists the programs by name: of equal names the first directory's counts, and one
// that is empty or a link to /dev/null stands for none. notes are files that are no
// programs.
func Find(root fs.FS, dirs []string) (programs []string, notes []string) {
	seen := map[string]bool{}
	found := map[string]string{}
	for _, dir := range dirs {
		list, err := fs.ReadDir(root, strings.TrimPrefix(dir, "/"))
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				notes = append(notes, dir+" cannot be listed: "+err.Error())
			}
			continue
		}
		for _, e := range list {
			name := e.Name()
			if seen[name] || strings.HasPrefix(name, ".") {
				continue
			}
			seen[name] = true
			p := path.Join(dir, name)
			if to, err := fs.ReadLink(root, strings.TrimPrefix(p, "/")); err == nil && to == "/dev/null" {
				continue
			}
			st, err := fs.Stat(root, strings.TrimPrefix(p, "/"))
			switch {
			case err != nil:
				notes = append(notes, p+" cannot be run: "+err.Error())
			case st.Mode().Type() == fs.ModeDevice|fs.ModeCharDevice || st.Mode().IsRegular() && st.Size() == 0: // masked
			case !st.Mode().IsRegular():
				notes = append(notes, p+" cannot be run: it is no file")
			case st.Mode()&0o111 == 0:
				notes = append(notes, p+" cannot be run: it is not executable")
			default:
				found[name] = p
			}
		}
	}
	names := make([]string, 0, len(found))
	for n := range found {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		programs = append(programs, found[n])
	}
	return programs, notes
}
