package witness

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// watch has the kernel report (inotify(7)) that something may not be as it was seen. It
// may report too much, and what is mounted over a directory it does not see.
type watch struct {
	fd   int
	root string
	// places are the watched directories and files by their watch descriptors; several
	// names may lead to one.
	places map[int32][]place
	added  map[place]uint32 // and for which events
	// awaited are the names whose coming, going or change in a directory that was not
	// listed counts.
	awaited map[string]bool
	// lost says that something is not watched any more.
	lost bool
}

// place is something that is watched. Of one that is whole every event counts, else
// those of the awaited names in it.
type place struct {
	name  string
	whole bool
}

func newWatch(root string) (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify_init: %w", err)
	}
	return &watch{fd: fd, root: root, places: map[int32][]place{}, added: map[place]uint32{}, awaited: map[string]bool{}}, nil
}

func (h *watch) close() { unix.Close(h.fd) }

const (
	inDirectory = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_ATTRIB
	ofItself    = unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ATTRIB
	ofContent   = ofItself | unix.IN_MODIFY
)

// cover watches all that was seen. An error means that something is not watched.
func (h *watch) cover(seen map[string]stamp) error {
	for name, s := range seen {
		var err error
		switch {
		case s.mode.IsDir() && s.read:
			err = h.add(place{name, true}, inDirectory|ofItself)
		case s.mode.IsDir():
			err = h.add(place{name, false}, ofItself)
		case s.inode != 0 && s.read:
			err = h.add(place{name, true}, ofContent)
		}
		if err != nil {
			return err
		}
		if err := h.await(name, seen); err != nil {
			return err
		}
	}
	return nil
}

// await watches where a name would come or go: in the nearest directory above it that
// is there.
func (h *watch) await(name string, seen map[string]stamp) error {
	for name != "." {
		dir := path.Dir(name)
		if s := seen[dir]; s.mode.IsDir() && s.read {
			return nil // which is watched whole
		}
		h.awaited[name] = true
		err := h.add(place{dir, false}, inDirectory|ofItself)
		if err != unix.ENOENT && err != unix.ENOTDIR {
			return err
		}
		name = dir
	}
	return nil
}

func (h *watch) add(p place, mask uint32) error {
	before, known := h.added[p]
	if mask&^before == 0 {
		return nil
	}
	wd, err := unix.InotifyAddWatch(h.fd, filepath.Join(h.root, p.name), mask|unix.IN_DONT_FOLLOW|unix.IN_MASK_ADD)
	if err != nil {
		return err
	}
	if !known {
		h.places[int32(wd)] = append(h.places[int32(wd)], p)
	}
	h.added[p] = before | mask
	return nil
}

// reported says whether something that counts was reported since the last time.
func (h *watch) reported() bool {
	var buf [4096]byte
	changed := false
	for {
		n, err := unix.Read(h.fd, buf[:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return changed
		case err != nil || n <= 0:
			return true
		}
		changed = h.counts(buf[:n]) || changed
	}
}

// counts looks through events as read(2) gives them: struct inotify_event and a name,
// padded with zeros.
func (h *watch) counts(b []byte) (counts bool) {
	for len(b) >= unix.SizeofInotifyEvent {
		wd, mask := int32(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint32(b[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
		if end > len(b) {
			return true
		}
		name := strings.TrimRight(string(b[unix.SizeofInotifyEvent:end]), "\x00")
		b = b[end:]
		if mask&unix.IN_IGNORED != 0 { // what was watched is gone; its name may come again
			for _, p := range h.places[wd] {
				delete(h.added, p)
			}
			delete(h.places, wd)
			h.lost = true
		}
		if name == "" || mask&(unix.IN_Q_OVERFLOW|unix.IN_IGNORED|unix.IN_UNMOUNT) != 0 {
			counts = true
		}
		for _, p := range h.places[wd] {
			counts = counts || p.whole || h.awaited[path.Join(p.name, name)]
		}
	}
	return counts
}

// Watch makes Holds cheap from its second call on: the kernel reports what changes below
// root, the directory that the file system shows, and only then, and once a second, all
// is compared again. Without watches (max_user_watches, see inotify(7)) it is compared
// each time. Close ends it.
func (w *FS) Watch(root string) error {
	h, err := newWatch(root)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closeWatch()
	w.watch, w.covered = h, false
	return nil
}

// Close ends Watch; the rest can still be used.
func (w *FS) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closeWatch()
}

func (w *FS) closeWatch() {
	if w.watch != nil {
		w.watch.close()
		w.watch = nil
	}
}

// quiet says that nothing was reported since all was compared.
func (w *FS) quiet() bool {
	if w.watch == nil {
		return false
	}
	reported := w.watch.reported()
	if reported {
		w.reports++
	}
	if w.watch.lost {
		w.covered, w.watch.lost = false, false
	}
	return !reported && w.covered && w.now().Sub(w.compared) < compareEvery
}

// cover begins to watch what is about to be compared.
func (w *FS) cover() {
	if w.watch == nil || w.covered {
		return
	}
	if w.watch.cover(w.seen) != nil {
		w.closeWatch()
		return
	}
	w.covered = true
}

var _ fs.ReadLinkFS = (*FS)(nil)
