package generation

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"sync"
)

// Recorder hands questions on to a file system and notes the answers. It
// implements what the loader uses: fs.FS, fs.ReadDirFS and fs.ReadLinkFS, safely
// from several goroutines.
type Recorder struct {
	fs fs.FS

	mu    sync.Mutex
	nodes map[string]*node
}

// Record makes a Recorder of fsys.
func Record(fsys fs.FS) *Recorder { return &Recorder{fs: fsys, nodes: map[string]*node{}} }

// Image is what was seen so far. The Recorder must not be used while it is made,
// and may be afterwards: the Image does not change.
func (r *Recorder) Image() *Image {
	r.mu.Lock()
	defer r.mu.Unlock()
	im := &Image{nodes: make(map[string]*node, len(r.nodes))}
	for name, n := range r.nodes {
		c := *n
		im.nodes[name] = &c
	}
	im.list()
	return im
}

// note keeps what is known of a path, and adds to what was known before. Only
// types and permissions are kept of the mode.
func (r *Recorder) note(name string, mode fs.FileMode, size int64, learn func(*node)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.nodes[name]
	if n == nil || n.mode.Type() != mode.Type() {
		n = &node{}
		r.nodes[name] = n
	}
	n.mode = mode.Type() | mode.Perm()
	if size >= 0 {
		n.size = size
	}
	if learn != nil {
		learn(n)
	}
}

// Open implements fs.FS.
func (r *Recorder) Open(name string) (fs.File, error) {
	f, err := r.fs.Open(name)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		return f, nil
	}
	return &recordedFile{File: f, r: r, name: name, info: fi}, nil
}

// recordedFile notes what is read of a file, when it is closed.
type recordedFile struct {
	fs.File
	r    *Recorder
	name string
	info fs.FileInfo
	data []byte
	bad  bool // a read failed: the content is not known
}

func (f *recordedFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	f.data = append(f.data, p[:n]...)
	if err != nil && !errors.Is(err, io.EOF) {
		f.bad = true
	}
	return n, err
}

func (f *recordedFile) Close() error {
	if !f.bad {
		f.r.note(f.name, f.info.Mode(), f.info.Size(), func(n *node) { n.data, n.known = f.data, true })
	}
	return f.File.Close()
}

// ReadDir implements fs.ReadDirFS.
func (r *Recorder) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(r.fs, name)
	if err != nil {
		return entries, err
	}
	r.note(name, fs.ModeDir|0o755, -1, func(n *node) { n.known = true })
	for _, e := range entries {
		r.entry(path.Join(name, e.Name()), e)
	}
	return entries, nil
}

// entry notes the type of a directory's entry, and where a link leads: the loader
// asks for most of them next, and those that it does not ask for cost little.
func (r *Recorder) entry(name string, e fs.DirEntry) {
	if e.Type()&fs.ModeSymlink != 0 {
		_, _ = r.ReadLink(name)
		return
	}
	r.mu.Lock()
	_, seen := r.nodes[name]
	r.mu.Unlock()
	if !seen {
		r.note(name, e.Type()|0o644, -1, nil)
	}
}

// ReadLink implements fs.ReadLinkFS.
func (r *Recorder) ReadLink(name string) (string, error) {
	target, err := fs.ReadLink(r.fs, name)
	if err == nil {
		r.note(name, fs.ModeSymlink|0o777, -1, func(n *node) { n.link = target })
	}
	return target, err
}

// Lstat implements fs.ReadLinkFS.
func (r *Recorder) Lstat(name string) (fs.FileInfo, error) {
	fi, err := fs.Lstat(r.fs, name)
	if err != nil {
		return nil, err
	}
	if fi.Mode()&fs.ModeSymlink != 0 {
		// A link whose target is not known would be a hole in the image.
		if _, err := r.ReadLink(name); err != nil {
			return nil, err
		}
		return fi, nil
	}
	r.note(name, fi.Mode(), fi.Size(), nil)
	return fi, nil
}
