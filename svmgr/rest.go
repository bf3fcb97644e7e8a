package main

import (
	"log/slog"
	"sync/atomic"
	"time"

	"dynamod/internal/sys/memory"
)

// rest gives memory back when much has happened and nothing more does: after the boot,
// a reload, or a start of many units. It is not for every small change, because pages
// that are in use have to be fetched again.
type rest struct {
	log *slog.Logger
	// before is called with what comes then, which it calls when it is done.
	before  func(then func())
	timer   *time.Timer
	changes atomic.Int64
}

const (
	// restAfter is how long nothing must have changed.
	restAfter = 5 * time.Second
	// restChanges is how many changes of units are much.
	restChanges = 32
)

func newRest(log *slog.Logger, before func(then func())) *rest {
	r := &rest{log: log, before: before}
	r.timer = time.AfterFunc(restAfter, r.giveBack) // what the start needed; it ends with the process
	return r
}

// changed counts a change of a unit.
func (r *rest) changed() {
	if r.changes.Add(1) >= restChanges {
		r.timer.Reset(restAfter)
	}
}

func (r *rest) giveBack() {
	r.changes.Store(0)
	r.before(func() {
		if _, err := memory.GiveBack(); err != nil {
			r.log.Warn("memory that is not needed any more is kept", "err", err)
		}
	})
}
