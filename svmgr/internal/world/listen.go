package world

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/epoll"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// socketTable are the open sockets of socket units, and the connections that wait
// for the first process of their instance.
type socketTable struct {
	mu    sync.Mutex
	units map[string]*openSocket
	conns map[string]*connection
}

// openSocket is a socket unit that listens.
type openSocket struct {
	u         *unit.Unit
	listeners []*listener
	// seen says that it was watched before: what came in since may be flushed.
	seen bool
	// watching is what the core wants.
	watching bool
	accepted uint64
}

// listener is one Listen…= line, bound.
type listener struct {
	fd   int
	spec unit.Listen
	// file is the node in the file system, "" for none; queue its message queue.
	file, queue string
	stream      bool
	eye         eye
	limit       pollLimit
}

func (t *socketTable) init() {
	t.units, t.conns = map[string]*openSocket{}, map[string]*connection{}
}

// performListen binds in the unit's strand, since file systems may be slow.
func (w *World) performListen(a core.Listen) {
	w.pool.do(a.Unit.Name, func() {
		err := w.listen(a.Unit)
		var errno unix.Errno
		if err != nil {
			w.log.Error("cannot listen", "unit", a.Unit.Name, "err", err)
			if !errors.As(err, &errno) {
				errno = unix.EIO
			}
		}
		w.post(core.Listening{Run: a.Run, Errno: int32(errno)})
	})
}

// listen opens all sockets of the unit or none.
func (w *World) listen(u *unit.Unit) (err error) {
	t := &w.senses.sockets
	s := &openSocket{u: u, accepted: w.firstConnection(u.Name)}
	defer func() {
		if err != nil {
			s.close(w, true)
		}
	}()
	t.mu.Lock()
	old := t.units[u.Name]
	t.mu.Unlock()
	if old != nil && w.tookOver && !old.seen {
		return nil // the former manager listened, and did not live to tell
	}
	if old != nil {
		return fmt.Errorf("it listens already: %w", unix.EADDRINUSE)
	}
	for _, spec := range unit.Listens.Of(u) {
		l, err := w.listener(u, spec)
		if err != nil {
			return fmt.Errorf("%s %s: %w", spec.Kind, printable(spec.Address), err)
		}
		s.listeners = append(s.listeners, l)
	}
	if len(s.listeners) == 0 {
		return fmt.Errorf("it has no Listen…= line: %w", unix.EINVAL)
	}
	// systemd.socket(5), Symlinks=: one that cannot be made is not fatal.
	for _, link := range unit.Symlinks.Of(u) {
		if err := s.symlink(link); err != nil {
			w.log.Warn("cannot make the symbolic link of a socket", "unit", u.Name, "err", err)
		}
	}
	t.mu.Lock()
	t.units[u.Name] = s
	t.mu.Unlock()
	return nil
}

// firstListenFD is where passed descriptors begin (sd_listen_fds(3)).
const firstListenFD = 3

// node is the one file that symlinks may point to.
func (s *openSocket) node() string {
	for _, l := range s.listeners {
		if l.file != "" {
			return l.file
		}
	}
	return ""
}

func (s *openSocket) symlink(link string) error {
	to := s.node()
	if to == "" {
		return fmt.Errorf("symlink %s: there is no file to point to", link)
	}
	if err := os.MkdirAll(filepath.Dir(link), os.FileMode(unit.DirectoryMode.Of(s.u))); err != nil {
		return err
	}
	if have, err := os.Readlink(link); err == nil {
		if have == to {
			return nil
		}
		if err := os.Remove(link); err != nil {
			return err
		}
	}
	return os.Symlink(to, link)
}

// close closes all, and removes what the file system has of them.
func (s *openSocket) close(w *World, remove bool) {
	for _, l := range s.listeners {
		w.shut(&l.eye)
		w.dropKept(s.u.Name, keptListener(l.spec))
		unix.Close(l.fd)
		if !remove {
			continue
		}
		if l.file != "" {
			_ = os.Remove(l.file) // gone already is as good
		}
		if l.queue != "" {
			_ = mqUnlink(l.queue)
		}
	}
	if to := s.node(); remove && to != "" {
		for _, link := range unit.Symlinks.Of(s.u) {
			if have, err := os.Readlink(link); err == nil && have == to {
				_ = os.Remove(link)
			}
		}
	}
	s.listeners = nil
}

// performUnlisten runs in the strand of the Listen it undoes.
func (w *World) performUnlisten(a core.Unlisten) {
	w.pool.do(a.Unit, func() {
		t := &w.senses.sockets
		t.mu.Lock()
		s := t.units[a.Unit]
		delete(t.units, a.Unit)
		t.mu.Unlock()
		if s != nil {
			t.mu.Lock()
			defer t.mu.Unlock()
			s.close(w, a.Remove)
		}
	})
}

// watchSocket tells of traffic, once; with Accept=yes it takes connections instead.
func (w *World) watchSocket(u *unit.Unit) {
	t := &w.senses.sockets
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.units[u.Name]
	if s == nil {
		w.log.Warn("there is no socket to watch", "unit", u.Name)
		return
	}
	if s.seen && unit.FlushPending.Of(s.u) && !unit.Accept.Of(s.u) {
		s.flush()
	}
	s.seen, s.watching = true, true
	w.openEyes(s)
}

// openEyes is called with the table locked.
func (w *World) openEyes(s *openSocket) {
	for _, l := range s.listeners {
		if l.eye.on || l.limit.paused {
			continue
		}
		events := uint32(epoll.In)
		if l.spec.Kind == "Special" {
			events |= epoll.Pri // files of /proc and /sys report changes so
		}
		if err := w.open(&l.eye, l.fd, events, func(uint32) { w.traffic(s, l) }); err != nil {
			w.log.Error("cannot watch a socket", "unit", s.u.Name, "err", err)
		}
	}
}

func (w *World) shutEyes(s *openSocket) {
	for _, l := range s.listeners {
		w.shut(&l.eye)
	}
}

func (w *World) unwatchSocket(name string) {
	t := &w.senses.sockets
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.units[name]; s != nil {
		s.watching = false
		w.shutEyes(s)
	}
}

// traffic is called by the watcher. Nobody looks again until the core or the accept
// loop says so: no busy loop, whatever the service does.
func (w *World) traffic(s *openSocket, l *listener) {
	t := &w.senses.sockets
	t.mu.Lock()
	if !s.watching || !l.eye.on {
		t.mu.Unlock()
		return
	}
	if pause := l.limit.allow(s.u, time.Now()); pause > 0 {
		w.lookAway(s, l, pause)
		t.mu.Unlock()
		return
	}
	if l.stream && unit.Accept.Of(s.u) {
		w.shut(&l.eye)
		t.mu.Unlock()
		w.pool.do(s.u.Name, func() { w.acceptAll(s, l) })
		return
	}
	s.watching = false
	w.shutEyes(s)
	t.mu.Unlock()
	w.post(core.Readable{Unit: s.u.Name})
}

// flush throws away what waits (systemd.socket(5), FlushPending=).
func (s *openSocket) flush() {
	const most = 4096
	var buf [4096]byte
	for _, l := range s.listeners {
		// A service that had it may have changed that.
		_ = unix.SetNonblock(l.fd, true)
		for range most {
			var err error
			if l.stream {
				var fd int
				if fd, _, err = unix.Accept4(l.fd, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK); err == nil {
					unix.Close(fd)
				}
			} else if l.spec.Kind == "Special" || l.queue != "" {
				break
			} else if _, _, err = unix.Recvfrom(l.fd, buf[:], unix.MSG_DONTWAIT); err == unix.ENOTSOCK {
				_, err = unix.Read(l.fd, buf[:])
			}
			if err != nil && err != unix.EINTR {
				break
			}
		}
	}
}

// serves says whether the socket unit is for the service.
func (s *openSocket) serves(u *unit.Unit) bool {
	if unit.Accept.Of(s.u) && slices.ContainsFunc(s.listeners, func(l *listener) bool { return l.stream }) {
		return false
	}
	if slices.Contains(unit.Sockets.Of(u), s.u.Name) {
		return true
	}
	target := unit.SocketService.Of(s.u)
	if target == "" {
		target = strings.TrimSuffix(s.u.Name, ".socket") + ".service"
	}
	return target == u.Name || slices.Contains(u.Aliases, target)
}

// give adds the sockets of a run: the connection of its instance, or all sockets
// of all socket units that are for it, by name of the unit.
func (t *socketTable) give(a core.Spawn, out *passed) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.conns[a.Unit.Name]; c != nil {
		return t.giveConnection(c, a, out)
	}
	var names []string
	for name, s := range t.units {
		if s.serves(a.Unit) || name == a.Unit.Name {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		s := t.units[name]
		label := name
		if n := unit.FileDescriptorName.Of(s.u); n != "" {
			label = n
		}
		for _, l := range s.listeners {
			// A copy: the unit may be stopped while the process is made.
			fd, err := unix.FcntlInt(uintptr(l.fd), unix.F_DUPFD_CLOEXEC, firstListenFD)
			if err != nil {
				return fmt.Errorf("pass a socket: %w", err)
			}
			out.fds = append(out.fds, passedFD{fd: fd, at: -1, name: label, listen: true})
		}
	}
	if len(out.fds) == 1 {
		fd := out.fds[0].fd
		out.connection = &fd
	}
	return nil
}

func (t *socketTable) closeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.units {
		for _, l := range s.listeners {
			unix.Close(l.fd)
		}
	}
	for _, c := range t.conns {
		unix.Close(c.fd)
	}
	t.init()
}
