package world

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// pathWatcher tells of changes below paths that may not exist yet, by one inotify
// descriptor. For each path it watches every directory that leads to it, so that
// nothing is lost when a part of the way is made, renamed or removed; a watch is
// always in place before the next part is looked at. inotify(7).
type pathWatcher struct {
	w    *World
	file *os.File
	fd   int

	mu sync.Mutex
	// specs are all that wait, users those that use a watch descriptor.
	specs map[*pathSpec]struct{}
	users map[int32]map[*pathSpec]struct{}
}

// pathSpec is one path that somebody waits for.
type pathSpec struct {
	parts []string
	// mask are the events of the path itself that count.
	mask uint32
	// touched gets a token when the path, or what leads to it, may have changed.
	touched chan struct{}
	// hit says that an event of mask came, or that the path came or went.
	hit bool
	// roles say what the watch descriptors are for: the number of path parts
	// that lead to the directory.
	roles map[int32][]int
}

// wayMask are the events of a directory on the way: all that can make the next
// part appear, vanish or become accessible.
const wayMask = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_ATTRIB | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF

// maxWatches bounds the watches of one pattern.
const maxWatches = 1024

func newPathWatcher(w *World) (*pathWatcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	return &pathWatcher{w: w, fd: fd, file: os.NewFile(uintptr(fd), "inotify"), specs: map[*pathSpec]struct{}{}, users: map[int32]map[*pathSpec]struct{}{}}, nil
}

// close ends loop.
func (p *pathWatcher) close() { p.file.Close() }

// loop reads events until close.
func (p *pathWatcher) loop() {
	buf := make([]byte, 16<<10)
	for {
		n, err := p.file.Read(buf)
		if err != nil {
			if !errors.Is(err, os.ErrClosed) {
				p.w.log.Error("paths are not watched any more", "err", err)
			}
			return
		}
		p.mu.Lock()
		for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
			size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
			name := strings.TrimRight(string(b[unix.SizeofInotifyEvent:size]), "\x00")
			p.event(int32(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint32(b[4:]), name)
			b = b[size:]
		}
		p.mu.Unlock()
	}
}

// event is called with the lock held.
func (p *pathWatcher) event(wd int32, mask uint32, name string) {
	if mask&unix.IN_Q_OVERFLOW != 0 {
		// Anything may have happened.
		for s := range p.specs {
			p.arm(s)
			s.touch(true)
		}
		return
	}
	for s := range p.users[wd] {
		for _, at := range s.roles[wd] {
			p.judge(s, at, mask, name)
		}
	}
	if mask&unix.IN_IGNORED != 0 {
		delete(p.users, wd)
	}
}

// judge applies one event to a spec; at is how many parts lead to the directory.
func (p *pathWatcher) judge(s *pathSpec, at int, mask uint32, name string) {
	gone := mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF|unix.IN_IGNORED|unix.IN_UNMOUNT) != 0
	if at == len(s.parts) { // the path itself
		if name != "" && name[0] == '.' {
			return // systemd.path(5): hidden files are ignored
		}
		if hit := mask&s.mask != 0; hit || gone {
			if gone {
				p.arm(s)
			}
			s.touch(hit)
		}
		return
	}
	next := name != "" && (name == s.parts[at] || isPattern(s.parts[at]) && matchName(s.parts[at], name))
	if !next && !gone && name != "" {
		return
	}
	// The path came or went; a change of access is none.
	hit := next && at == len(s.parts)-1 && mask&unix.IN_ATTRIB == 0
	p.arm(s)
	s.touch(hit)
}

func (s *pathSpec) touch(hit bool) {
	s.hit = s.hit || hit
	select {
	case s.touched <- struct{}{}:
	default: // one token says it all
	}
}

func isPattern(part string) bool { return strings.ContainsAny(part, `*?[\`) }

// arm puts the watches of a spec in place anew, the way first.
func (p *pathWatcher) arm(s *pathSpec) {
	old := s.roles
	s.roles = map[int32][]int{}
	budget := maxWatches
	p.walk(s, "/", 0, &budget)
	for wd := range old {
		if s.roles[wd] == nil {
			p.unuse(s, wd)
		}
	}
}

func (p *pathWatcher) walk(s *pathSpec, dir string, at int, budget *int) {
	mask := uint32(wayMask)
	if at == len(s.parts) {
		mask = s.mask | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF
	}
	if *budget--; *budget < 0 {
		if *budget == -1 {
			p.w.log.Warn("a pattern needs too many watches: some changes will not be seen", "path", "/"+path.Join(s.parts...))
		}
		return
	}
	wd, err := unix.InotifyAddWatch(p.fd, dir, mask|unix.IN_MASK_ADD)
	if err != nil {
		switch err {
		case unix.ENOENT, unix.ENOTDIR, unix.EACCES, unix.ELOOP:
			// The directory before it tells when this changes.
		default:
			p.w.log.Error("a path cannot be watched", "path", dir, "err", err)
		}
		return
	}
	s.roles[int32(wd)] = append(s.roles[int32(wd)], at)
	if p.users[int32(wd)] == nil {
		p.users[int32(wd)] = map[*pathSpec]struct{}{}
	}
	p.users[int32(wd)][s] = struct{}{}
	if at == len(s.parts) {
		return
	}
	if !isPattern(s.parts[at]) {
		p.walk(s, path.Join(dir, s.parts[at]), at+1, budget)
		return
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range list {
		if matchName(s.parts[at], e.Name()) {
			p.walk(s, path.Join(dir, e.Name()), at+1, budget)
		}
	}
}

func (p *pathWatcher) unuse(s *pathSpec, wd int32) {
	delete(p.users[wd], s)
	if len(p.users[wd]) == 0 {
		if _, ok := p.users[wd]; ok {
			delete(p.users, wd)
			_, _ = unix.InotifyRmWatch(p.fd, uint32(wd)) // gone with its directory, perhaps
		}
	}
}

// add begins to watch; touched may be shared by several specs.
func (p *pathWatcher) add(pathname string, mask uint32, touched chan struct{}) *pathSpec {
	s := &pathSpec{mask: mask, touched: touched}
	for part := range strings.SplitSeq(pathname, "/") {
		if part != "" {
			s.parts = append(s.parts, part)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.w.senses.ctx.Err() != nil {
		return s // closed
	}
	p.specs[s] = struct{}{}
	p.arm(s)
	return s
}

func (p *pathWatcher) remove(s *pathSpec) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.specs, s)
	if p.w.senses.ctx.Err() != nil {
		return
	}
	for wd := range s.roles {
		p.unuse(s, wd)
	}
	s.roles = nil
}

// takeHit says whether something happened to the path since the last call.
func (p *pathWatcher) takeHit(s *pathSpec) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	hit := s.hit
	s.hit = false
	return hit
}

// until returns true once holds does, which it asks at first and after each change
// of the path; false when ctx ends.
func (p *pathWatcher) until(ctx context.Context, pathname string, mask uint32, holds func() bool) bool {
	touched := make(chan struct{}, 1)
	s := p.add(pathname, mask, touched)
	defer p.remove(s)
	for {
		if ctx.Err() != nil {
			return false
		}
		if holds() {
			return true
		}
		select {
		case <-touched:
		case <-ctx.Done():
			return false
		}
	}
}
