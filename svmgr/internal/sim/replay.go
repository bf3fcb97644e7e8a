package sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"dynamod/svmgr/internal/core"
)

// Replay plays a trace: its entries at their times, Ticks whenever a deadline
// comes, and after the last entry a calm world that answers what was left open,
// a time of rest, and a shutdown. Entries that make no sense any more — about
// runs that do not exist because something before was left out — are skipped.
func Replay(t *Trace, o Options) (*Result, error) {
	h, err := newHistory(t.Scenario, dice{}, passive, o.Coverage)
	if err != nil {
		return nil, err
	}
	h.record, h.hashing, h.tell = o.Record, o.Hash, o.Tell
	err = h.replay(t.Entries)
	return &Result{Scenario: t.Scenario, Entries: h.entries, Violation: h.failed(), Hash: h.sum, Steps: h.steps,
		Units: len(t.Scenario.Gens[0].Units), Virtual: h.now - bootedAt}, err
}

func (h *history) replay(entries []Entry) error {
	defer h.guard()
	if err := h.begin(); err != nil {
		return err
	}
	var last core.RequestID
	for k := 0; k < len(entries); k++ {
		e := entries[k]
		if err := h.ticksUntil(e.At); err != nil || h.failed() != nil {
			return err
		}
		h.now = max(h.now, e.At)
		if e.Text == "End" { // the Ticks of this very moment belong to it
			if err := h.ticksUntil(e.At + 1); err != nil || h.failed() != nil {
				return err
			}
			continue
		}
		in, ok, err := h.parse(e.Text)
		if err != nil {
			return fmt.Errorf("entry %q: %w", e.Text, err)
		}
		if !ok {
			continue
		}
		if r, isReq := in.ev.(core.Request); isReq {
			last = max(last, r.ID)
		}
		if _, again := in.ev.(core.ManagerRestored); again {
			continue // without its kill it means nothing
		}
		h.restored = func() (core.ManagerRestored, time.Duration) {
			if k+1 < len(entries) && strings.HasPrefix(entries[k+1].Text, "ManagerRestored") {
				k++
				return h.restoredFrom(entries[k])
			}
			return h.survivors(nil), 0
		}
		if err := h.step(in); err != nil || h.failed() != nil {
			return err
		}
	}
	return h.conclude(last)
}

// conclude is the calm end of every replay.
func (h *history) conclude(last core.RequestID) error {
	h.world.now = h.now
	h.world.resume()
	if !h.obs.down {
		if err := h.quiet(len(h.sc.Gens[0].Units) * 15); err != nil || h.failed() != nil {
			return err
		}
		if err := h.shutDown(core.Poweroff, last+1000, false); err != nil || h.failed() != nil {
			return err
		}
	}
	return h.end()
}

// ticksUntil gives all Ticks that are due before at.
func (h *history) ticksUntil(at time.Duration) error {
	for h.failed() == nil {
		t, ok := h.tickDue()
		if !ok || t >= at {
			return nil
		}
		if err := h.tick(t); err != nil {
			return err
		}
	}
	return nil
}

// parse reads one entry. Kills and twins take effect at once; ok says whether
// there is an event to give to the core.
func (h *history) parse(text string) (in input, ok bool, err error) {
	words, err := splitWords(text)
	if err != nil || len(words) == 0 {
		return in, false, fmt.Errorf("bad words: %v", err)
	}
	kept := words[:1]
	for _, w := range words[1:] {
		key, val, _ := strings.Cut(w, "=")
		switch key {
		case "Gen":
			in.gen, err = strconv.Atoi(val)
			if err == nil && (in.gen < 0 || in.gen >= len(h.sc.Gens)) {
				return in, false, nil
			}
		case "By":
			in.jump, err = time.ParseDuration(val)
		case "Performed":
			h.kill, err = strconv.Atoi(val)
			return in, false, err
		case "Steps":
			n, err := strconv.Atoi(val)
			if err == nil && words[0] == "Twin" {
				err = h.fork(n)
			}
			return in, false, err
		case "Units", "Instance":
			for _, name := range strings.Split(val, ",") {
				s := h.sc.extra(name)
				if s == nil {
					return in, false, nil
				}
				in.specs = append(in.specs, s)
			}
		default:
			kept = append(kept, w)
		}
		if err != nil {
			return in, false, err
		}
	}
	in.ev, err = h.symbols().decode(strings.Join(kept, " "))
	return in, err == nil && h.possible(in), err
}

// possible leaves out what no world would say: reports about runs that were
// never asked for.
func (h *history) possible(in input) bool {
	switch ev := in.ev.(type) {
	case core.SpawnDone:
		return ev.Run != unknownRun
	case core.SpawnFailed:
		return ev.Run != unknownRun
	case core.Exited:
		return ev.Run != unknownRun
	case core.Notified:
		return ev.Incarnation != unknownRun && ev.Run != unknownRun
	case core.Ready:
		return ev.Run != unknownRun
	case core.MainPID:
		return ev.Run != unknownRun
	case core.CgroupEmpty:
		return ev.Incarnation != unknownRun && h.world.groups[groupKey{ev.Unit, ev.Incarnation}] != nil
	case core.OOMKilled:
		return ev.Incarnation != unknownRun
	case core.Listening:
		return ev.Run != unknownRun
	case core.ProbeResult:
		return ev.Run != unknownRun
	case core.Accepted:
		return len(in.specs) > 0
	case core.Loaded:
		return len(in.specs) > 0
	}
	return true
}

func (h *history) restoredFrom(e Entry) (core.ManagerRestored, time.Duration) {
	ev, err := h.symbols().decode(e.Text)
	r, ok := ev.(core.ManagerRestored)
	if err != nil || !ok {
		return h.survivors(nil), 0
	}
	return h.survivors(&r), max(0, e.At-h.now)
}

// survivors is what a new manager is told: as the trace says, as far as it is
// possible in this world; or that all live.
func (h *history) survivors(said *core.ManagerRestored) core.ManagerRestored {
	w := h.world
	var ev core.ManagerRestored
	lives := func(id core.RunID) bool { return said == nil }
	if said != nil {
		named := map[core.RunID]bool{}
		for _, id := range said.Alive {
			named[id] = true
		}
		lives = func(id core.RunID) bool { return named[id] }
		for _, id := range said.Unborn {
			if id != unknownRun {
				ev.Unborn = append(ev.Unborn, id)
			}
		}
		for _, x := range said.Exits {
			if x.Run != unknownRun {
				ev.Exits = append(ev.Exits, x)
			}
		}
	}
	populated := map[string]bool{}
	for _, p := range w.order {
		if !p.alive {
			continue
		}
		if p.alive = lives(p.id); !p.alive {
			p.told = true
		} else {
			ev.Alive = append(ev.Alive, p.id)
			populated[p.unit] = populated[p.unit] || !p.group.removed
		}
	}
	if said != nil {
		for _, u := range said.Populated {
			populated[u] = true
		}
	}
	for _, u := range sortedKeys(populated) {
		if populated[u] {
			ev.Populated = append(ev.Populated, u)
		}
	}
	clear(w.watching)
	clear(w.probes)
	clear(w.listens)
	clear(w.adopts)
	return ev
}
