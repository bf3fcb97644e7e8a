// Package dropdir reads the NAME.d directories of sysctl.d(5), modules-load.d(5)
// and their kind: which file counts when several directories have one of the same
// name, and in which order they are read. It refuses to know what is in them.
package dropdir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Bounds of what is read; what goes past them is an error of that file.
const (
	MaxFile  = 1 << 20
	MaxFiles = 1000
)

// File is one file that counts.
type File struct {
	// Path is absolute.
	Path string
	Data []byte
}

// Dirs are the directories of "NAME.d", highest priority first.
func Dirs(name string) []string {
	return []string{"/etc/" + name, "/run/" + name, "/usr/local/lib/" + name, "/usr/lib/" + name, "/lib/" + name}
}

// Read reads the files *.conf of the directories, in the order of their names. Of
// equally named ones that of the first directory counts, and a link to /dev/null
// there turns it off. Files that cannot be read are in errs; the rest is read.
func Read(tree fs.FS, dirs []string) (files []File, errs []error) {
	at := map[string]string{}
	var names []string
	for _, d := range dirs {
		entries, err := fs.ReadDir(tree, rel(d))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("list %s: %w", d, err))
		}
		for _, e := range entries {
			n := e.Name()
			if _, taken := at[n]; taken || !strings.HasSuffix(n, ".conf") || n[0] == '.' || e.IsDir() {
				continue
			}
			if len(names) >= MaxFiles {
				errs = append(errs, fmt.Errorf("list %s: more than %d files; the rest is ignored", d, MaxFiles))
				break
			}
			at[n] = path.Join("/", d, n)
			names = append(names, n)
		}
	}
	slices.Sort(names)
	for _, n := range names {
		if to, err := fs.ReadLink(tree, rel(at[n])); err == nil && to == "/dev/null" {
			continue
		}
		f, err := One(tree, at[n])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		files = append(files, f)
	}
	return files, errs
}

// One reads a single file.
func One(tree fs.FS, name string) (File, error) {
	f, err := tree.Open(rel(name))
	if err != nil {
		return File{}, fmt.Errorf("read %s: %w", name, err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return File{}, fmt.Errorf("read %s: it is no regular file", name)
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	switch {
	case err != nil:
		return File{}, fmt.Errorf("read %s: %w", name, err)
	case len(data) > MaxFile:
		return File{}, fmt.Errorf("read %s: it is longer than %d bytes and is ignored", name, MaxFile)
	}
	return File{name, data}, nil
}

// Lines calls f with each line that says something, and its number. Comments start
// with # or ;.
func (x File) Lines(f func(n int, line string)) {
	n := 0
	for line := range strings.Lines(string(x.Data)) {
		n++
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' && line[0] != ';' {
			f(n, line)
		}
	}
}

func rel(p string) string {
	if p = strings.Trim(path.Clean(p), "/"); p != "" {
		return p
	}
	return "."
}
