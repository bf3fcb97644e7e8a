package world

import "sync"

// pool carries out work in strands: the work of one name in order, different
// names side by side, by at most maxWorkers goroutines. A worker ends when nothing
// is left to do, so that an idle manager has none.
type pool struct {
	mu      sync.Mutex
	strands map[string]*strand
	ready   []*strand
	workers int
	closed  bool
	idle    sync.WaitGroup
	// did is called after each piece of work; nil for nobody.
	did func()
}

type strand struct {
	name string
	todo []func()
	busy bool
}

// maxWorkers bounds what works at the same time. It is more than the processors,
// because a worker may hang in a slow file system.
const maxWorkers = 16

// do queues f on the strand. It never blocks; what is queued is bounded by what
// the core asks for.
func (p *pool) do(name string, f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	if p.strands == nil {
		p.strands = map[string]*strand{}
	}
	s := p.strands[name]
	if s == nil {
		s = &strand{name: name}
		p.strands[name] = s
	}
	s.todo = append(s.todo, f)
	if s.busy {
		return
	}
	s.busy = true
	p.ready = append(p.ready, s)
	if p.workers < maxWorkers {
		p.workers++
		p.idle.Add(1)
		go p.work() // ends when nothing is ready
	}
}

func (p *pool) work() {
	defer p.idle.Done()
	p.mu.Lock()
	for len(p.ready) > 0 {
		s := p.ready[0]
		p.ready = p.ready[1:]
		f := s.todo[0]
		s.todo[0] = nil
		s.todo = s.todo[1:]
		p.mu.Unlock()
		f()
		if p.did != nil {
			p.did()
		}
		p.mu.Lock()
		if len(s.todo) > 0 {
			p.ready = append(p.ready, s) // at the end: fair to the others
		} else {
			s.busy = false
			delete(p.strands, s.name)
		}
	}
	p.workers--
	p.mu.Unlock()
}

// close lets the work under way end and forgets the rest.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	for _, s := range p.ready {
		s.todo = nil
		delete(p.strands, s.name)
	}
	for _, s := range p.strands {
		s.todo = nil
	}
	p.ready = nil
	p.mu.Unlock()
	p.idle.Wait()
}
