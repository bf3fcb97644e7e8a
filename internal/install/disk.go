package install

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"dynamod/internal/tree"
)

// Dirs are the directories that links are made in.
type Dirs struct {
	persistent, runtime string
	useRuntime          bool
	native              []string
}

func dirsOf(o Options) Dirs {
	d := Dirs{persistent: "/etc/systemd/system", runtime: "/run/systemd/system", useRuntime: o.Runtime}
	d.persistent, d.runtime, d.native = tree.InstallDirs(tree.Options{Root: o.Root, User: o.User})
	return d
}

func (d Dirs) base() string {
	if d.useRuntime {
		return d.runtime
	}
	return d.persistent
}

// disk is the tree as it is changed. Outside of this machine's own tree no link
// leads out of it, so that a foreign tree cannot make us write to ours.
type disk struct {
	root *os.Root
	own  bool
}

func openDisk(root string) (*disk, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	clean, err := filepath.Abs(root)
	return &disk{root: r, own: err == nil && clean == "/"}, err
}

func (d *disk) close() { d.root.Close() }

// rel is a path of the tree as os.Root wants it. On this machine directories
// that are absolute links are followed first, which os.Root would refuse.
func (d *disk) rel(p string) string {
	if d.own {
		dir, rest := path.Dir(p), path.Base(p)
		for {
			if real, err := filepath.EvalSymlinks(dir); err == nil {
				p = path.Join(real, rest)
				break
			}
			if dir == "/" {
				break
			}
			dir, rest = path.Dir(dir), path.Join(path.Base(dir), rest)
		}
	}
	return strings.TrimPrefix(path.Clean("/"+p), "/")
}

// look says what stands at a place: 0 for nothing, and where a link leads.
func (d *disk) look(p string) (target string, kind fs.FileMode, err error) {
	info, err := d.root.Lstat(d.rel(p))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", 0, nil
	case err != nil:
		return "", 0, fmt.Errorf("look at %s: %w", p, cause(err))
	case info.Mode().Type() == fs.ModeSymlink:
		target, err = d.root.Readlink(d.rel(p))
		if err != nil {
			return "", 0, fmt.Errorf("read the link %s: %w", p, cause(err))
		}
		return target, fs.ModeSymlink, nil
	case info.Mode().IsRegular():
		return "", fs.ModeIrregular, nil // anything but 0 and a link
	}
	return "", info.Mode().Type(), nil
}

func (d *disk) list(p string) ([]fs.DirEntry, error) {
	f, err := d.root.Open(d.rel(p))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", p, cause(err))
	}
	defer f.Close()
	out, err := f.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", p, cause(err))
	}
	return out, nil
}

// apply makes the changes. It stops at the first that fails; asking again goes
// on from there, because what is done already is no change any more.
func (d *disk) apply(changes []Change) error {
	for _, c := range changes {
		at := d.rel(c.Path)
		switch c.Op {
		case "link":
			if err := d.root.MkdirAll(path.Dir(at), 0o755); err != nil {
				return fmt.Errorf("make the directory of %s: %w", c.Path, cause(err))
			}
			// Beside it, then renamed: at no moment is there nothing.
			temp := path.Join(path.Dir(at), fmt.Sprintf(".#%s.%d", path.Base(at), os.Getpid()))
			if err := d.root.Symlink(c.Target, temp); err != nil {
				return fmt.Errorf("make the link %s: %w", c.Path, cause(err))
			}
			if err := d.root.Rename(temp, at); err != nil {
				d.root.Remove(temp)
				return fmt.Errorf("make the link %s: %w", c.Path, cause(err))
			}
		case "unlink":
			if err := d.root.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove the link %s: %w", c.Path, cause(err))
			}
			switch dir := path.Dir(at); path.Ext(dir) {
			case ".wants", ".requires", ".upholds":
				d.root.Remove(dir) // succeeds only if nothing is left in it
			}
		}
	}
	return nil
}

// cause leaves the path out of an error that gets a better one.
func cause(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &l):
		return l.Err
	}
	return err
}
