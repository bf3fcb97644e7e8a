package main

import (
	"sync"
	"time"

	"dynamod/internal/load"
	"dynamod/svmgr/internal/witness"
)

// lookup keeps the loader that units are loaded with one by one. Looking around in the
// search path is most of the work; it is done again when something there is not as it
// was, and the loader is let go when nobody has asked for a while.
type lookup struct {
	mu     sync.Mutex
	fs     *witness.FS
	loader *load.Loader
	timer  *time.Timer
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
		l.loader = load.New(cfg)
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
	l.loader, l.fs = nil, nil
}
