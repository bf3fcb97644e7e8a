package generation

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"sort"
	"time"
)

// node is one path. What the loader did not ask for is not known of it.
type node struct {
	mode fs.FileMode
	// size is that of the file when it was looked at, which may be more than
	// was read of it.
	size int64
	// link is the target of a symbolic link, data what was read of a file.
	link string
	data []byte
	// known says that the file was read, or the directory listed.
	known bool
	// entries are the names in a listed directory, sorted.
	entries []string
}

// Image is a file system in memory that answers as another one did. It implements
// fs.FS, fs.ReadDirFS and fs.ReadLinkFS and does not change.
type Image struct{ nodes map[string]*node }

// errNotKept is the answer to a question that was not asked at the time.
var errNotKept = errors.New("this was not looked at when the generation was kept")

func (im *Image) find(op, name string) (*node, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	n := im.nodes[name]
	if n == nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return n, nil
}

// Open implements fs.FS. It does not follow symbolic links: the loader resolves
// them itself.
func (im *Image) Open(name string) (fs.File, error) {
	n, err := im.find("open", name)
	if err != nil {
		return nil, err
	}
	if n.mode.IsRegular() && !n.known || n.mode&fs.ModeSymlink != 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errNotKept}
	}
	return &imageFile{Reader: bytes.NewReader(n.data), info: info{path.Base(name), n}}, nil
}

// ReadDir implements fs.ReadDirFS.
func (im *Image) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := im.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if !n.known || !n.mode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errNotKept}
	}
	out := make([]fs.DirEntry, 0, len(n.entries))
	for _, e := range n.entries {
		if child := im.nodes[path.Join(name, e)]; child != nil {
			out = append(out, fs.FileInfoToDirEntry(info{e, child}))
		}
	}
	return out, nil
}

// ReadLink implements fs.ReadLinkFS.
func (im *Image) ReadLink(name string) (string, error) {
	n, err := im.find("readlink", name)
	if err != nil {
		return "", err
	}
	if n.mode&fs.ModeSymlink == 0 {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return n.link, nil
}

// Lstat implements fs.ReadLinkFS.
func (im *Image) Lstat(name string) (fs.FileInfo, error) {
	n, err := im.find("lstat", name)
	if err != nil {
		return nil, err
	}
	return info{path.Base(name), n}, nil
}

// names are all paths, sorted.
func (im *Image) names() []string {
	out := make([]string, 0, len(im.nodes))
	for name := range im.nodes {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

// list gives the directories that were listed their entries: all paths directly
// below them. Only an Image that was just made may be changed.
func (im *Image) list() {
	for name := range im.nodes {
		if name == "." {
			continue
		}
		if dir := im.nodes[path.Dir(name)]; dir != nil && dir.known && dir.mode.IsDir() {
			dir.entries = append(dir.entries, path.Base(name))
		}
	}
	for _, n := range im.nodes {
		slices.Sort(n.entries)
	}
}

type info struct {
	name string
	*node
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) Sys() any           { return nil }

type imageFile struct {
	io.Reader
	info info
}

func (f *imageFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *imageFile) Close() error               { return nil }

// With is the image with one more file, or another text in it, as if it had been
// there; its directories are made.
func (im *Image) With(name string, text []byte) (*Image, error) {
	if !fs.ValidPath(name) || name == "." {
		return nil, &fs.PathError{Op: "write", Path: name, Err: fs.ErrInvalid}
	}
	out := &Image{nodes: make(map[string]*node, len(im.nodes)+4)}
	for p, n := range im.nodes {
		c := *n
		c.entries = nil // list works them out
		out.nodes[p] = &c
	}
	out.nodes[name] = &node{mode: 0o644, size: int64(len(text)), data: text, known: true}
	for dir := path.Dir(name); ; dir = path.Dir(dir) {
		if n := out.nodes[dir]; n == nil {
			out.nodes[dir] = &node{mode: fs.ModeDir | 0o755, known: true}
		} else if !n.mode.IsDir() {
			return nil, &fs.PathError{Op: "write", Path: name, Err: errors.New(dir + " is no directory")}
		}
		if dir == "." {
			break
		}
	}
	out.list()
	return out, nil
}
