package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Loose files seem to lie in these directories of the tree. No tree has them:
// the names are not those of any search path.
const (
	looseUnits  = "/.dynamodctl/units"
	looseNative = "/.dynamodctl/native"
)

// overlay is a tree with some files of the host laid over it.
type overlay struct {
	base  fs.FS
	files map[string]string // path of io/fs → path on the host
}

func overlayOf(base fs.FS, loose []string) (*overlay, error) {
	o := &overlay{base: base, files: map[string]string{}}
	for _, host := range loose {
		info, err := os.Stat(host)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", host, unwrapPath(err))
		case info.IsDir():
			return nil, fmt.Errorf("%s: it is a directory; name a unit, a file in it, or use --root", host)
		}
		dir := looseUnits
		if filepath.Ext(host) == ".toml" {
			dir = looseNative + "/services"
			if filepath.Base(filepath.Dir(host)) == "supervisors" {
				dir = looseNative + "/supervisors"
			}
		}
		at := dir[1:] + "/" + filepath.Base(host)
		if other, taken := o.files[at]; taken && other != host {
			return nil, fmt.Errorf("%s and %s have the same name: check them one at a time", other, host)
		}
		o.files[at] = host
	}
	return o, nil
}

// display maps paths in the tree to the operator's.
func (o *overlay) display() map[string]string {
	out := map[string]string{}
	for at, host := range o.files {
		out["/"+at] = host
	}
	return out
}

// isDir says whether a path is one of the made-up directories.
func (o *overlay) isDir(name string) bool {
	for at := range o.files {
		if strings.HasPrefix(at, name+"/") {
			return true
		}
	}
	return false
}

func (o *overlay) Open(name string) (fs.File, error) {
	if host, ok := o.files[name]; ok {
		return os.Open(host)
	}
	if o.isDir(name) && name != "." {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.ErrUnsupported}
	}
	return o.base.Open(name)
}

func (o *overlay) Lstat(name string) (fs.FileInfo, error) {
	if host, ok := o.files[name]; ok {
		return os.Stat(host)
	}
	if o.isDir(name) && name != "." {
		return dirInfo(path.Base(name)), nil
	}
	return fs.Lstat(o.base, name)
}

func (o *overlay) ReadLink(name string) (string, error) { return fs.ReadLink(o.base, name) }

func (o *overlay) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == "." || !o.isDir(name) {
		return fs.ReadDir(o.base, name)
	}
	var out []fs.DirEntry
	for at, host := range o.files {
		if path.Dir(at) == name {
			info, err := os.Stat(host)
			if err != nil {
				return nil, err
			}
			out = append(out, fs.FileInfoToDirEntry(info))
		}
	}
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return out, nil
}

// dirInfo is a made-up directory of that name.
type dirInfo string

func (d dirInfo) Name() string     { return string(d) }
func (dirInfo) Size() int64        { return 0 }
func (dirInfo) Mode() fs.FileMode  { return fs.ModeDir | 0o755 }
func (dirInfo) ModTime() time.Time { return time.Time{} }
func (dirInfo) IsDir() bool        { return true }
func (dirInfo) Sys() any           { return nil }
