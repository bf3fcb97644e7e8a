package world

import (
	"bytes"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/epoll"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// readyPipes are the descriptors on which services of readiness type fd and s6 say
// that they are ready. A pipe is made when the core asks for the main process, so
// that the Probe which follows finds it, and its write end goes along at the fork.
type readyPipes struct {
	mu     sync.Mutex
	byMain map[core.RunID]*readyPipe
	// latest is the newest main run of each unit.
	latest map[string]core.RunID
}

type readyPipe struct {
	unit string
	main core.RunID
	// s6 wants a newline; otherwise any byte will do.
	s6          bool
	read, write int
	err         error
	// said: it was ready before, and a former manager did not live to tell.
	said  bool
	probe core.RunID
	eye   eye
}

func (p *readyPipes) init() {
	p.byMain, p.latest = map[core.RunID]*readyPipe{}, map[string]core.RunID{}
}

// expect makes the pipe of a main process; the loop calls it before the spawn is
// queued.
func (p *readyPipes) expect(w *World, a core.Spawn) {
	kind := unit.ReadinessType.Of(a.Unit)
	if !isMain(a) || kind != "fd" && kind != "s6" {
		return
	}
	r := &readyPipe{unit: a.Unit.Name, main: a.Run, s6: kind == "s6", read: -1, write: -1}
	if r.read, r.write, r.err = w.outlivingPipe(); r.err == nil {
		r.err = unix.SetNonblock(r.read, true)
		w.keep(r.unit, readyName(a.Run), r.read)
	}
	p.mu.Lock()
	p.byMain[a.Run] = r
	p.latest[a.Unit.Name] = a.Run
	p.mu.Unlock()
}

// again takes over the pipe of a process that lives. Whether the former manager has
// read from it is in the ledger.
func (p *readyPipes) again(u *unit.Unit, main core.RunID, fd int, said bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byMain[main] != nil {
		unix.Close(fd)
		return
	}
	p.byMain[main] = &readyPipe{unit: u.Name, main: main, s6: unit.ReadinessType.Of(u) == "s6", read: fd, write: -1, said: said}
	p.latest[u.Name] = max(p.latest[u.Name], main)
}

// give puts the write end into the process.
func (p *readyPipes) give(a core.Spawn, out *passed) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.byMain[a.Run]
	if r == nil {
		return nil
	}
	if r.err != nil {
		return fmt.Errorf("readiness pipe: %w", r.err)
	}
	if r.write < 0 {
		return nil
	}
	f := passedFD{fd: r.write, at: -1, variable: "DYNAMOD_READY_FD"}
	if r.s6 {
		f.at, f.variable = int(unit.ReadinessFD.Of(a.Unit)), ""
	}
	out.fds = append(out.fds, f)
	r.write = -1 // the spawn closes it
	return nil
}

// watch begins to look at the pipe of the unit's newest main process.
func (p *readyPipes) watch(w *World, unit string, probe core.RunID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.byMain[p.latest[unit]]
	if r == nil || r.err != nil || r.probe != 0 || r.read < 0 {
		w.log.Warn("there is no readiness descriptor to look at", "unit", unit)
		return
	}
	if r.said {
		w.start(func() { w.post(core.Ready{Run: probe}) }) // not here: this is the loop
		return
	}
	r.probe = probe
	if err := w.open(&r.eye, r.read, epoll.In, func(uint32) { p.readable(w, r) }); err != nil {
		w.log.Error("cannot watch a readiness descriptor", "unit", unit, "err", err)
	}
}

// readable: something was written, or the last holder closed its end. Silence and
// a closed end are no readiness: the start time-out decides.
func (p *readyPipes) readable(w *World, r *readyPipe) {
	p.mu.Lock()
	if r.read < 0 {
		p.mu.Unlock()
		return
	}
	ready, end := false, false
	var buf [512]byte
	for !ready && !end {
		n, err := unix.Read(r.read, buf[:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			p.mu.Unlock()
			return
		case err != nil || n == 0:
			end = true
		default:
			ready = !r.s6 || bytes.IndexByte(buf[:n], '\n') >= 0
		}
	}
	probe, main := r.probe, r.main
	p.retire(w, r)
	p.mu.Unlock()
	if ready {
		w.ledger.ready(w, main)
		w.post(core.Ready{Run: probe})
	}
}

// retire stops looking. The read end stays open until the process has ended: a
// service that goes on writing must not die of SIGPIPE. What it writes is lost; the
// pipe holds 64 KiB, so one that writes more blocks itself.
func (p *readyPipes) retire(w *World, r *readyPipe) {
	w.shut(&r.eye)
	r.probe = 0
}

func (p *readyPipes) cancel(w *World, probe core.RunID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.byMain {
		if r.probe == probe && probe != 0 {
			p.retire(w, r)
		}
	}
}

// ended closes the pipe of a process that is over.
func (p *readyPipes) ended(w *World, run core.RunID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.byMain[run]
	if r == nil {
		return
	}
	delete(p.byMain, run)
	if p.latest[r.unit] == run {
		delete(p.latest, r.unit)
	}
	w.shut(&r.eye)
	w.dropKept(r.unit, readyName(run))
	r.close()
}

func (r *readyPipe) close() {
	for _, fd := range []*int{&r.read, &r.write} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

func (p *readyPipes) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.byMain {
		r.close()
	}
	p.init()
}
