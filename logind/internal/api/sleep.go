package api

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"

	"dynamod/logind/internal/conf"
	"dynamod/logind/internal/device"
)

// sleepConf are the settings of sleep.conf(5). systemd reads them each time that it
// sleeps, and tells logind nothing; so they are looked for whenever they matter, and read
// when a file has changed.
type sleepConf struct {
	root string
	log  *slog.Logger

	mu    sync.Mutex
	seen  string // of the files, when they were read
	read  bool
	sleep conf.Sleep
}

// get is what holds now.
func (c *sleepConf) get() *device.Sleeping {
	c.mu.Lock()
	defer c.mu.Unlock()
	files := configFiles(c.root, "sleep.conf")
	var b strings.Builder
	for _, f := range files {
		if fi, err := os.Stat(f); err == nil {
			fmt.Fprintln(&b, f, fi.Size(), fi.ModTime().UnixNano())
		}
	}
	if !c.read || b.String() != c.seen {
		var wrong []string
		c.sleep, wrong = conf.ReadSleep(readFiles(files, c.log))
		for _, w := range wrong {
			c.log.Error("a setting of sleep is not taken: " + w)
		}
		c.read, c.seen = true, b.String()
	}
	o := device.Sleeping(c.sleep)
	return &o
}

// again has them read the next time, and said what is wrong with them.
func (c *sleepConf) again() {
	c.mu.Lock()
	c.read = false
	c.mu.Unlock()
	c.get()
}

// tunable is hardware that is told how to sleep.
type tunable interface {
	Tune(settings func() *device.Sleeping)
}

func (h machine) Tune(settings func() *device.Sleeping) { h.m.Tune(settings) }
