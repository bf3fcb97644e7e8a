package world

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/clock"
	"dynamod/svmgr/internal/core"
)

// startClockWatch tells when the wall clock is set and when the time zone changes.
func (w *World) startClockWatch() {
	c, err := clock.WatchChanges()
	if err != nil {
		w.log.Error("calendar timers will not follow when the clock is set", "err", err)
	} else {
		w.hook.closed = append(w.hook.closed, c.Close)
		w.start(func() { // ends with Close
			for {
				again, err := c.Next()
				if err != nil {
					w.log.Error("calendar timers will not follow when the clock is set", "err", err)
				}
				if !again || err != nil {
					return
				}
				w.log.Info("the wall clock was set")
				w.post(core.ClockJump{})
			}
		})
	}
	path := w.cfg.Localtime
	if path == "" {
		return
	}
	touched := make(chan struct{}, 1)
	const mask = unix.IN_CLOSE_WRITE | unix.IN_ATTRIB | unix.IN_MOVE_SELF | unix.IN_DELETE_SELF
	spec := w.senses.paths.add(path, mask, touched)
	_, first, err := readZone(path)
	w.start(func() { // ends with the context
		defer w.senses.paths.remove(spec)
		w.watchZone(w.senses.ctx, path, touched, first, err)
	})
}

// watchZone tells of each zone other than the last one, which could perhaps not be
// read.
func (w *World) watchZone(ctx context.Context, path string, touched <-chan struct{}, last []byte, err error) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-touched:
		}
		name, data, now := readZone(path)
		switch {
		case now != nil:
			if err == nil {
				w.log.Warn("the time zone cannot be read, the old one stays", "err", now)
			}
		case !bytes.Equal(data, last):
			last = data
			w.log.Info("the time zone changed", "zone", name)
			w.post(core.ClockJump{Zone: name, ZoneData: data})
		}
		err = now
	}
}

// readZone reads the zone's file; its name is what a link says. A file that is missing
// means UTC (localtime(5)).
func readZone(path string) (name string, data []byte, err error) {
	const most = 1 << 20
	data, err = os.ReadFile(path)
	if os.IsNotExist(err) {
		return "UTC", utcZone, nil
	}
	if err != nil {
		return "", nil, err
	}
	if len(data) > most {
		return "", nil, fmt.Errorf("%s is longer than %d bytes", path, most)
	}
	name = "Local"
	if to, err := filepath.EvalSymlinks(path); err == nil {
		if _, zone, ok := strings.Cut(to, "/zoneinfo/"); ok {
			name = zone
		}
	}
	if _, err := time.LoadLocationFromTZData(name, data); err != nil {
		return "", nil, fmt.Errorf("%s: %w", path, err)
	}
	return name, data, nil
}

// utcZone is the smallest file of tzfile(5): one type, UTC, and no change.
var utcZone = []byte("TZif\x00" + strings.Repeat("\x00", 15) +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x04" +
	"\x00\x00\x00\x00\x00\x00UTC\x00")
