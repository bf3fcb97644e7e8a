package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"dynamod/internal/ipc/pid1"
	"dynamod/svmgr/internal/core"
	"dynamod/svmgr/internal/keeper"
	"dynamod/svmgr/internal/world"
)

// link is who is above this manager: dynamod-init, another service manager, or
// nobody. At most one of init and above is set.
type link struct {
	log   *slog.Logger
	init  *keeper.Init
	above *keeper.Above
	// own keeps descriptors for a new program of this process; nil under init,
	// which does that.
	own *keeper.Own
	// hungUp is closed when init has closed the channel.
	hungUp chan struct{}
	// kept and ends are what it held for this manager.
	kept []world.Kept
	ends []world.Ended
	// signals came to init while the former program was replaced.
	signals []string
	// late is what follows because the boot has failed, 0 if it has not.
	late pid1.BootAction
}

// linkUp finds out who is above. It comes before the first child, so that none
// inherits what was passed. former is what the program that this one replaces has
// passed on, or nil.
func linkUp(mode mode, former *heritage, log *slog.Logger) (*link, error) {
	l := &link{log: log, hungUp: make(chan struct{})}
	text, given := os.LookupEnv(initVariable)
	switch {
	case given:
		fd, err := strconv.Atoi(text)
		if err != nil || fd < 3 {
			return nil, fmt.Errorf("%s=%.20q is no descriptor: dynamod-init sets it, and nobody else should", initVariable, text)
		}
		if err := os.Unsetenv(initVariable); err != nil {
			return nil, err
		}
		in, left, err := keeper.Dial(fd)
		if err != nil {
			return nil, err
		}
		l.init = in
		for _, k := range left.Kept {
			l.kept = append(l.kept, world.Kept(k))
		}
		for _, e := range left.Exits {
			l.ends = append(l.ends, endOf(e))
		}
		l.signals, l.late = left.Signals, left.BootLate
		if left.Lost > 0 {
			log.Warn("init could not remember how all processes ended", "lost", left.Lost)
		}
		return l, nil
	case mode == system:
		return nil, fmt.Errorf("the manager of a machine is started by dynamod-init, which sets %s; "+
			"otherwise run it with -standalone, -container or -user", initVariable)
	}
	var mine []keeper.Kept
	if former != nil {
		mine = former.Kept
	}
	above, kept, err := keeper.FromAbove(mine)
	if err != nil {
		return nil, err
	}
	kept = append(mine, kept...)
	for _, k := range kept {
		l.kept = append(l.kept, world.Kept(k))
	}
	if l.own, err = keeper.NewOwn(above, kept); err != nil {
		return nil, fmt.Errorf("keep descriptors for a new program: %w", err)
	}
	if l.above = above; above == nil && former == nil {
		log.Info("nobody keeps descriptors for this manager: if it is killed, services and their output survive, " +
			"but not stored descriptors, nor what waits in sockets that no service holds")
	}
	return l, nil
}

// initVariable names the descriptor of the channel to dynamod-init (docs/ipc.md).
const initVariable = "DYNAMOD_INIT_FD"

func endOf(e pid1.Exit) world.Ended {
	return world.Ended{PID: int(e.PID), Start: e.Start, Code: e.Code, Signal: e.Signal, Core: e.Core}
}

// keeper is whom the world leaves descriptors with.
func (l *link) keeper() world.Keeper {
	if l.init != nil {
		return l.init
	}
	return l.own
}

// listen begins to hear what init says, and sends what waits.
func (l *link) listen(m *manager, signal func(name string)) {
	if l.above != nil {
		l.above.Run(m.world.NotKept)
	}
	if l.init == nil {
		return
	}
	l.init.Run(keeper.Told{
		Exited: func(e pid1.Exit) { m.world.EndedElsewhere(endOf(e)) },
		Signal: signal,
		Refused: func(unit, name string, why pid1.Result) {
			m.world.NotKept(unit, name, fmt.Errorf("init keeps no more descriptors (%s)", why))
		},
		BootLate: func(action pid1.BootAction) {
			if m.lateCounts(action) {
				m.Take(core.BootMarked{Late: true})
			}
		},
		HungUp: func(err error) {
			l.log.Error("init has hung up: nothing is kept for the next manager any more", "err", err)
			close(l.hungUp)
		},
	})
	for _, name := range l.signals {
		signal(name)
	}
}

// heartbeat is how often init is told that the manager lives (docs/ipc.md).
const heartbeat = 5 * time.Second

// beat tells init that the loop runs: a beat goes out when the loop has answered, so
// a manager whose loop hangs falls silent. It ends with ctx or with the loop.
func (l *link) beat(ctx context.Context, m *manager) {
	if l.init == nil {
		return
	}
	t := time.NewTicker(heartbeat)
	defer t.Stop()
	for m.Query(func(*core.Core) {}) {
		if errors.Is(l.init.Beat(), keeper.ErrClosed) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// askForTheEnd is how long init may take to come to it.
const askForTheEnd = time.Minute

// handOver asks init for the end of the machine or of the container, and waits until
// it comes: stop is told of the signal that init sends to all.
func (l *link) handOver(e ending, stop <-chan os.Signal) {
	if l.init == nil {
		return
	}
	if err := l.init.Shutdown(e.kind, e.urgency, e.argument); err != nil {
		l.log.Error("cannot ask init for the end", "err", err)
		return
	}
	t := time.NewTimer(askForTheEnd)
	defer t.Stop()
	select {
	case <-stop:
	case <-l.hungUp:
	case <-t.C:
		l.log.Error("init was asked for the end and does not come to it", "after", askForTheEnd)
	}
}

// up says that requests are taken.
func (l *link) up() {
	if l.above == nil {
		return
	}
	if err := l.above.Ready(); err != nil {
		l.log.Warn("the service manager above could not be told that this one is ready", "err", err)
	}
}

func (l *link) close() {
	switch {
	case l.init != nil:
		l.init.Close()
	case l.above != nil:
		l.above.Close()
	}
}
