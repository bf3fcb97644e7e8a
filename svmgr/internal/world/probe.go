package world

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// performProbe answers one question of the core.
func (w *World) performProbe(a core.Probe) {
	u := a.Unit
	switch a.What {
	case core.ProbeConditions:
		w.probe(a.Run, func(ctx context.Context) { w.probeConditions(ctx, a) })
	case core.ProbeReady:
		w.probe(a.Run, func(ctx context.Context) {
			if w.awaitReady(ctx, u) {
				w.post(core.ProbeResult{Run: a.Run, OK: true})
			}
		})
	case core.ProbeReadyFD:
		w.senses.ready.watch(w, u.Name, a.Run)
	case core.ProbeHealth:
		w.probe(a.Run, func(ctx context.Context) {
			err := w.healthy(ctx, u)
			if w.senses.ctx.Err() != nil || errors.Is(ctx.Err(), context.Canceled) {
				return
			}
			r := core.ProbeResult{Run: a.Run, OK: err == nil}
			if err != nil {
				r.Detail = printable(err.Error())
			}
			w.post(r)
		})
	}
}

// probeConditions looks at the machine. A file system that hangs keeps this
// goroutine, not the manager; the core stops waiting after 10 s.
func (w *World) probeConditions(ctx context.Context, a core.Probe) {
	r := core.ProbeResult{Run: a.Run, OK: true, Held: make([]bool, len(a.Conditions))}
	for i, c := range a.Conditions {
		fact, err := w.senses.machine.fact(c)
		if err != nil {
			w.log.Warn("a condition has no answer and counts as not met", "unit", a.Unit.Name, "condition", c.Check+"="+printable(c.Arg), "why", err)
		}
		r.Held[i] = fact
		if fact == c.Negate {
			r.OK = false
			if r.Detail == "" {
				not := ""
				if c.Negate {
					not = "!"
				}
				r.Detail = c.Check + "=" + not + printable(c.Arg)
			}
		}
	}
	r.Findings = w.findings(ctx, a.Unit, a.Checks)
	if ctx.Err() == nil {
		w.post(r)
	}
}

// firstPause is how soon a look at a port or URL is repeated; pauses double up to
// readiness.interval, so that what starts fast is ready fast.
const firstPause = 10 * time.Millisecond

// oneLook bounds one try to connect or to fetch.
const oneLook = 5 * time.Second

// awaitReady returns true when the unit is ready, false when ctx ended.
func (w *World) awaitReady(ctx context.Context, u *unit.Unit) bool {
	switch kind := unit.ReadinessType.Of(u); kind {
	case "tcp-port":
		port := strconv.FormatInt(unit.ReadinessPort.Of(u), 10)
		return again(ctx, unit.ReadinessInterval.Of(u), func(ctx context.Context) bool {
			return dial(ctx, net.JoinHostPort("127.0.0.1", port)) == nil || dial(ctx, net.JoinHostPort("::1", port)) == nil
		})
	case "http":
		url := unit.ReadinessURL.Of(u)
		if _, err := parseURL(url); err != nil {
			w.log.Error("readiness cannot be checked", "unit", u.Name, "err", err)
			return false
		}
		return again(ctx, unit.ReadinessInterval.Of(u), func(ctx context.Context) bool { return fetch(ctx, url) == nil })
	case "path":
		p := unit.ReadinessPath.Of(u)
		return w.senses.paths.until(ctx, p, unix.IN_ATTRIB, func() bool {
			_, err := os.Stat(p)
			return err == nil
		})
	case "pidfile":
		_, ok := w.awaitPIDFile(ctx, u, w.currentGroup(u.Name))
		return ok
	default:
		w.log.Error("readiness of this kind is not probed", "unit", u.Name, "type", kind)
		return false
	}
}

// again repeats look with growing pauses until it holds or ctx ends.
func again(ctx context.Context, most time.Duration, look func(context.Context) bool) bool {
	pause := min(firstPause, max(most, time.Millisecond))
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return false
		}
		one, cancel := context.WithTimeout(ctx, oneLook)
		ok := look(one)
		cancel()
		if ok && ctx.Err() == nil {
			return true
		}
		timer.Reset(pause)
		pause = min(2*pause, max(most, time.Millisecond))
	}
}

func dial(ctx context.Context, addr string) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return shorter(err)
	}
	return c.Close()
}

// shorter takes the errno out of an error of package net: the address is known.
func shorter(err error) error {
	var no unix.Errno
	switch {
	case errors.As(err, &no):
		return no
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("timed out")
	}
	return err
}

// healthy makes one check of [health]; exec checks are processes and come as Spawn.
func (w *World) healthy(ctx context.Context, u *unit.Unit) error {
	ctx, cancel := context.WithTimeout(ctx, unit.HealthTimeout.Of(u))
	defer cancel()
	switch kind := unit.HealthType.Of(u); kind {
	case "tcp":
		addr := unit.HealthEndpoint.Of(u)
		if _, err := strconv.ParseUint(addr, 10, 16); err == nil {
			addr = net.JoinHostPort("127.0.0.1", addr)
		}
		if err := dial(ctx, addr); err != nil {
			return fmt.Errorf("connect %s: %w", addr, err)
		}
		return nil
	case "http":
		return fetch(ctx, unit.HealthEndpoint.Of(u))
	case "path":
		return within(ctx, func() error {
			_, err := os.Stat(unit.HealthPath.Of(u))
			return err
		})
	default:
		return fmt.Errorf("health checks of type %s are not made here", kind)
	}
}

// within gives up waiting for f when ctx ends; f itself may hang in the kernel for
// longer (a dead NFS server), and its goroutine with it.
func within(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }() // ends with f
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return shorter(ctx.Err())
	}
}
