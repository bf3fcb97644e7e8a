package main

import (
	"sync"
	"time"

	"dynamod/internal/load"
	"dynamod/internal/unit"
	"dynamod/internal/witness"
)

// lookup keeps the loader that units are loaded with one by one. Looking around in the
// search path is most of the work; it is done again when something there is not as it
// was, and the loader is let go when nobody has asked for a while.
type lookup struct {
	mu     sync.Mutex
	fs     *witness.FS
	loader *load.Loader
	timer  *time.Timer
	// states are what loader found out of the files of units: what holds for it holds for
	// them.
	states map[*unit.Unit]fileState
}

// fileState is what the disk says of a unit that is loaded.
type fileState struct {
	enabled string
	changed bool
}

// stateOf is what is known of a unit's files; ok is false if a loader has to find out.
func (l *lookup) stateOf(of *load.Loader, u *unit.Unit) (s fileState, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok = l.states[u]
	return s, ok && l.loader == of
}

// seen are the paths that all rests on what a loader found out (witness.FS); none if there is
// another one by now.
func (l *lookup) seen(of *load.Loader) (read, met []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loader != of {
		return nil, nil
	}
	return l.fs.Seen()
}

// keep keeps what a loader found out, unless there is another one by now.
func (l *lookup) keep(of *load.Loader, u *unit.Unit, s fileState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loader == of {
		l.states[u] = s
	}
}

// lookupIdle is how long a loader is kept that nobody asks: less than restAfter, when
// memory is given back.
const lookupIdle = 2 * time.Second

// loader is one that says what is on disk now.
func (c *configuration) loader() *load.Loader {
	l := &c.lookup
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loader == nil || !l.fs.Holds() {
		l.close()
		cfg := c.config()
		l.fs = witness.New(cfg.FS)
		_ = l.fs.Watch("/") // cfg.FS shows all; without it each question compares
		cfg.FS = l.fs
		l.loader, l.states = load.New(cfg), map[*unit.Unit]fileState{}
	}
	if l.timer == nil {
		l.timer = time.AfterFunc(lookupIdle, c.forgetLoader)
	} else {
		l.timer.Reset(lookupIdle)
	}
	return l.loader
}

// forgetLoader makes the next question look around anew.
func (c *configuration) forgetLoader() {
	c.lookup.mu.Lock()
	defer c.lookup.mu.Unlock()
	c.lookup.close()
}

func (l *lookup) close() {
	if l.fs != nil {
		l.fs.Close()
	}
	l.loader, l.fs, l.states = nil, nil, nil
}
