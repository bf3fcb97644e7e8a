package world

import (
	"fmt"
	"path/filepath"
	"strings"

	"dynamod/internal/sys/cgroup"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// unlimited is what the control files say when nothing was asked for
// (cgroups(7) and Documentation/admin-guide/cgroup-v2.rst of the kernel). A file
// that counts devices resets one line of it: see lift.
var unlimited = map[string]string{
	"memory.min": "0", "memory.low": "0", "memory.high": "max", "memory.max": "max",
	"memory.swap.max": "max", "memory.zswap.max": "max", "memory.zswap.writeback": "1",
	"pids.max": "max", "cpu.weight": "100", "cpu.idle": "0", "cpu.max": "max 100000",
	"cpuset.cpus": "\n", "cpuset.mems": "\n",
}

// lift is the line that takes a limit back.
func lift(l limit) (limit, error) {
	if v, ok := unlimited[l.file]; ok {
		return limit{l.controller, l.file, v}, nil
	}
	dev, what, _ := strings.Cut(l.value, " ")
	switch l.file {
	case "io.weight":
		if dev == "default" {
			return limit{l.controller, l.file, "default 100"}, nil
		}
		return limit{l.controller, l.file, dev + " default"}, nil
	case "io.max":
		word, _, _ := strings.Cut(what, "=")
		return limit{l.controller, l.file, dev + " " + word + "=max"}, nil
	case "io.latency":
		return limit{l.controller, l.file, dev + " target=0"}, nil
	}
	return limit{}, fmt.Errorf("it is not known how to take %s = %s back", l.file, l.value)
}

// subject is what a line sets, without the value: a device where there are several.
func (l limit) subject() string {
	switch l.file {
	case "io.weight", "io.latency":
		dev, _, _ := strings.Cut(l.value, " ")
		return l.file + " " + dev
	case "io.max":
		what, _, _ := strings.Cut(l.value, "=")
		return l.file + " " + what
	}
	return l.file
}

// changeOf lists the lines that lead from one unit's limits to another's. What is
// taken back comes first, so that cpu.idle and cpu.weight follow each other.
func (w *World) changeOf(from, to *unit.Unit, between bool) ([]limit, error) {
	return w.changeBetween(from, between, to, between)
}

// changeBetween leads from the limits of one unit at one time, between boot and shutdown
// or not, to those of another one at another.
func (w *World) changeBetween(from *unit.Unit, then bool, to *unit.Unit, now bool) ([]limit, error) {
	was, err := w.limitsAt(from, !then)
	if err != nil {
		was = nil // it was never in force
	}
	is, err := w.limitsAt(to, !now)
	if err != nil {
		return nil, err
	}
	var out []limit
	stays := map[string]bool{}
	for _, l := range is {
		stays[l.subject()] = true
	}
	for _, l := range was {
		if stays[l.subject()] {
			continue
		}
		back, err := lift(l)
		if err != nil {
			return nil, err
		}
		out = append(out, back)
	}
	return append(out, is...), nil
}

// Reconfigure puts the limits of a unit's new settings into force, whose old ones
// are given, and waits for it. Everything else of the new settings counts from the
// next start on. An error says what the kernel refused; then all is as before.
func (w *World) Reconfigure(from, to *unit.Unit) error {
	if w.cg.root == "" {
		return nil
	}
	done := make(chan error, 1)
	w.pool.do(to.Name, func() { done <- w.reconfigure(from, to) })
	return <-done
}

func (w *World) reconfigure(from, to *unit.Unit) error {
	dir := w.CgroupOf(to.Name)
	if to.Type == unitname.Slice {
		dir = filepath.Join(append(append([]string{w.cg.root}, w.subtree()...), slicesDownTo(to.Name)...)...)
	}
	if !cgroup.Valid(dir) {
		return nil // there is no group yet; it is made with its limits
	}
	between := w.between.Load()
	change, err := w.changeOf(from, to, between)
	if err != nil {
		return err
	}
	w.cg.mu.Lock()
	defer w.cg.mu.Unlock()
	if to.Type == unitname.Slice {
		w.noteSlice(dir, to, w.cfg.UnitOf)
	}
	w.enableDown(parentPath(dir), w.controllersFor(to, change))
	if err := w.applyLimits(dir, to.Name, change); err != nil {
		if back, e := w.changeOf(to, from, between); e == nil {
			_ = w.applyLimits(dir, to.Name, back) // as far as the kernel lets us
		}
		return err
	}
	w.reg.mu.Lock()
	if g := w.reg.current[to.Name]; g != nil && g.dir == dir {
		g.limited = to
	}
	w.reg.mu.Unlock()
	return nil
}
