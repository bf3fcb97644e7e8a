// Package witness tells whether what was read of a file system still is so, without
// reading it again.
package witness

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"sync"
	"syscall"
	"time"
)

// FS hands questions on to a file system and remembers how all that it was asked about
// was. It implements what the loader uses: fs.FS, fs.ReadDirFS and fs.ReadLinkFS, safely
// from several goroutines. Paths must have no symlinks but in their last element.
type FS struct {
	fs  fs.FS
	now func() time.Time

	mu    sync.Mutex
	seen  map[string]stamp
	doubt bool
	// watch reports changes, nil for not. It covers all that was seen if covered is set,
	// which was compared last at compared.
	watch    *watch
	covered  bool
	compared time.Time
	reports  uint64
}

// compareEvery is how long reports alone are believed: nobody reports what is mounted
// over a directory.
const compareEvery = time.Second

// stamp is how something was; its zero value says that there was nothing.
type stamp struct {
	mode              fs.FileMode
	size              int64
	modified, changed int64 // ns since 1970
	inode, device     uint64
	read              bool // its content was asked for: of a directory, its names
}

// fresh is how long what was changed is in doubt: the kernel's time of a change is that
// of its last tick, so that the next change may have the same.
const fresh = 50 * time.Millisecond

// New makes a witness of fsys.
func New(fsys fs.FS) *FS { return &FS{fs: fsys, now: time.Now, seen: map[string]stamp{}} }

func stampOf(fi fs.FileInfo) stamp {
	s := stamp{mode: fi.Mode(), size: fi.Size(), modified: fi.ModTime().UnixNano()}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		s.inode, s.device, s.changed = st.Ino, st.Dev, st.Ctim.Nano()
	}
	return s
}

// note remembers how name is.
func (w *FS) note(name string, fi fs.FileInfo, err error, read bool) {
	var s stamp
	switch {
	case err == nil:
		s = stampOf(fi)
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
		w.mu.Lock()
		w.doubt = true
		w.mu.Unlock()
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	before, ok := w.seen[name]
	if ok {
		read = read || before.read
		if !same(before, s) {
			w.doubt = true
		}
	}
	w.covered = w.covered && ok && read == before.read
	s.read = read
	w.seen[name] = s
	if age := w.now().UnixNano() - max(s.modified, s.changed); err == nil && (s.read || !s.mode.IsDir()) && age < int64(fresh) {
		w.doubt = true
	}
}

// same compares how something was with how it is. Of a directory that nobody has listed
// only that it is the same one counts.
func same(was, is stamp) bool {
	if was.mode.IsDir() && !was.read {
		return was.mode == is.mode && was.inode == is.inode && was.device == is.device
	}
	is.read = was.read
	return was == is
}

// Holds says that every answer so far would be given again. It looks at the directories
// that were listed and the files that were read, and at others only where no listed
// directory would have changed with them.
func (w *FS) Holds() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.doubt {
		return false
	}
	if w.quiet() {
		return true
	}
	w.compared = w.now()
	w.cover() // first, so that no change falls in between
	for name, was := range w.seen {
		if !was.read && !was.mode.IsDir() && w.seen[path.Dir(name)].read {
			continue
		}
		var is stamp
		if fi, err := fs.Lstat(w.fs, name); err == nil {
			is = stampOf(fi)
		}
		if !same(was, is) {
			w.doubt = true // for good: it was another way in between
			return false
		}
	}
	return true
}

// Seen are the paths that were asked about, sorted: read are those whose content counts, of
// a directory its names, and met those that had to be there, or not, and be what they were.
// There are none while it is in doubt whether that is all.
func (w *FS) Seen() (read, met []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.doubt {
		return nil, nil
	}
	for name, s := range w.seen {
		if s.read {
			read = append(read, name)
		} else {
			met = append(met, name)
		}
	}
	slices.Sort(read)
	slices.Sort(met)
	return read, met
}

// Look asks about a path for somebody who was told that it counts (Seen).
func (w *FS) Look(name string, read bool) {
	fi, err := fs.Lstat(w.fs, name)
	w.note(name, fi, err, read)
}

// Saw says whether a path was asked about, at least so far.
func (w *FS) Saw(name string, read bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, ok := w.seen[name]
	return ok && (s.read || !read)
}

// Reports counts how often Holds found that the kernel had reported something: in between
// nothing changed, not even to change back, but for what is mounted. It is false if not all
// is watched, before the first Holds or for want of watches.
func (w *FS) Reports() (n uint64, all bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reports, w.watch != nil && w.covered
}

// Open implements fs.FS.
func (w *FS) Open(name string) (fs.File, error) {
	f, err := w.fs.Open(name)
	if err != nil {
		w.note(name, nil, err, true)
		return nil, err
	}
	fi, err := f.Stat()
	w.note(name, fi, err, true)
	return f, nil
}

// ReadDir implements fs.ReadDirFS.
func (w *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	fi, err := fs.Lstat(w.fs, name)
	w.note(name, fi, err, true)
	return fs.ReadDir(w.fs, name)
}

// ReadLink implements fs.ReadLinkFS.
func (w *FS) ReadLink(name string) (string, error) {
	fi, err := fs.Lstat(w.fs, name)
	w.note(name, fi, err, false)
	return fs.ReadLink(w.fs, name)
}

// Lstat implements fs.ReadLinkFS.
func (w *FS) Lstat(name string) (fs.FileInfo, error) {
	fi, err := fs.Lstat(w.fs, name)
	w.note(name, fi, err, false)
	return fi, err
}
