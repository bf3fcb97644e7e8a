package sim

import (
	"slices"
	"time"

	"dynamod/svmgr/internal/core"
)

// world is the fake machine. It turns actions into later events. It has three
// moods: wild (seeded dice decide), calm (everything is obeyed at once, no
// dice), and passive (a replay: it only remembers what is under way, because
// the trace holds the events).
type world struct {
	dice  dice
	mood  mood
	now   time.Duration
	todo  agenda
	specs map[string]*Spec

	procs   map[core.RunID]*proc
	order   []*proc
	groups  map[groupKey]*group
	glist   []*group
	probes  map[core.RunID]core.Probe
	listens map[core.RunID]core.Listen
	adopts  map[core.RunID]core.Adopt
	// answers are the runs of probes, listens and adopts in order, for
	// everything that must not depend on the order of maps.
	answers []core.RunID

	mounted, plugged, frozen, listening map[string]bool
	watching                            map[watchKey]int
	watchSeq                            int
	characters                          map[string]*character
	handedOver                          int
	// told are recent reports, to be sent again as stale ones.
	told []core.Event
}

type mood uint8

const (
	wild mood = iota
	calm
	passive
)

type groupKey struct {
	unit string
	inc  core.RunID
}

type watchKey struct {
	unit string
	what core.Watched
}

// proc is one process with a RunID.
type proc struct {
	id         core.RunID
	group      *group
	unit       string
	role       core.Role
	stage      core.Stage
	alive      bool
	told       bool // its end was reported (replays only)
	execed     bool
	deaf       bool          // ignores all but SIGKILL
	hangsUntil time.Duration // in D state: not even SIGKILL
	signals    []int32       // got while passive or frozen
	dying      bool
	ready      bool
	owns       string // bus name
}

// group is one cgroup incarnation; kids are processes that nobody named.
type group struct {
	groupKey
	procs     []*proc
	kids      int
	kidsDeaf  bool
	kidsUntil time.Duration // D state of the kids
	removed   bool
	signalled bool
	dead      bool // nothing in it can fork any more
}

func (g *group) empty() bool {
	if g.kids > 0 {
		return false
	}
	return !slices.ContainsFunc(g.procs, func(p *proc) bool { return p.alive })
}

func newWorld(d dice, m mood) *world {
	return &world{dice: d, mood: m, specs: map[string]*Spec{}, procs: map[core.RunID]*proc{},
		groups: map[groupKey]*group{}, probes: map[core.RunID]core.Probe{}, listens: map[core.RunID]core.Listen{},
		adopts: map[core.RunID]core.Adopt{}, mounted: map[string]bool{}, plugged: map[string]bool{},
		frozen: map[string]bool{}, listening: map[string]bool{}, watching: map[watchKey]int{},
		characters: map[string]*character{}}
}

// learn takes over the texts of a generation, so that processes know what
// their unit is like.
func (w *world) learn(specs []*Spec) {
	for _, s := range specs {
		w.specs[s.Name] = s
	}
}

func (w *world) spec(unit string) *Spec {
	if s := w.specs[unit]; s != nil {
		return s
	}
	return &Spec{Name: unit}
}

// delay is how long a report takes. Most are quick, but they overtake each other.
func (w *world) delay() time.Duration {
	if w.mood != wild {
		return time.Millisecond
	}
	switch r := w.dice.IntN(100); {
	case r < 15:
		return 0
	case r < 90:
		return time.Duration(w.dice.IntN(8000)) * time.Microsecond
	default:
		return w.dice.span(2 * time.Second)
	}
}

// later makes something happen in the world.
func (w *world) later(d time.Duration, f func()) {
	if w.mood == passive {
		return
	}
	w.todo.put(item{at: w.now + d, do: f})
}

// report sends an event to the manager, now and then twice.
func (w *world) report(ev core.Event, still func() bool) {
	if w.mood == passive {
		return
	}
	w.todo.put(item{at: w.now + w.delay(), ev: ev, still: still})
	if w.mood == wild && w.dice.in(4) {
		w.todo.put(item{at: w.now + w.delay() + w.delay(), ev: ev, still: still})
	}
}

// advance runs the world up to the time of its next item and returns the
// report that it holds, nil if the item was no report.
func (w *world) advance() core.Event {
	it := w.todo.pop()
	w.now = max(w.now, it.at)
	if it.do != nil {
		it.do()
		return nil
	}
	if it.still != nil && !it.still() {
		return nil
	}
	if w.mood == wild {
		if len(w.told) >= 64 {
			w.told = w.told[:copy(w.told, w.told[32:])]
		}
		w.told = append(w.told, it.ev)
	}
	return it.ev
}

// perform carries out one action.
func (w *world) perform(a core.Action) {
	switch a := a.(type) {
	case core.Spawn:
		w.spawn(a)
	case core.Signal:
		w.signal(a)
	case core.KillCgroup:
		if g := w.groups[groupKey{a.Unit, a.Incarnation}]; g != nil {
			w.signalGroup(g, sigKILL)
			w.tellEmpty(g) // who kills an empty cgroup is told that it is
		}
	case core.RemoveCgroup:
		if g := w.groups[groupKey{a.Unit, a.Incarnation}]; g != nil {
			g.removed = true
		}
	case core.Freeze:
		w.frozen[a.Unit] = true
	case core.Thaw:
		w.thaw(a.Unit)
	case core.Adopt:
		w.groupOf(a.Unit, a.Incarnation)
		w.adopts[a.Run] = a
		w.answers = append(w.answers, a.Run)
		if w.mood != passive {
			w.later(w.delay(), func() { w.adopt(a) })
		}
	case core.Listen:
		w.listens[a.Run] = a
		w.answers = append(w.answers, a.Run)
		if w.mood != passive {
			w.answerListen(a)
		}
	case core.Unlisten:
		delete(w.listening, a.Unit)
	case core.Watch:
		w.watch(a)
	case core.Unwatch:
		delete(w.watching, watchKey{a.Unit, a.What})
	case core.Probe:
		w.probes[a.Run] = a
		w.answers = append(w.answers, a.Run)
		if w.mood != passive {
			w.answerProbe(a)
		}
	case core.CancelProbe:
		delete(w.probes, a.Run)
		delete(w.adopts, a.Run)
		delete(w.listens, a.Run)
	case core.HandOver:
		w.handedOver++
	case core.Emergency:
		if w.mood == wild && w.dice.in(60) {
			w.report(core.ShutdownRequested{Kind: core.Reboot}, nil)
		}
	}
}

func (w *world) groupOf(unit string, inc core.RunID) *group {
	k := groupKey{unit, inc}
	g := w.groups[k]
	if g == nil {
		g = &group{groupKey: k}
		w.groups[k] = g
		w.glist = append(w.glist, g)
	}
	return g
}

// tellEmpty reports an empty cgroup; the report is dropped when a process has
// been put there before it arrives, as the world looks again before it tells.
func (w *world) tellEmpty(g *group) {
	if !g.empty() || g.removed {
		return
	}
	w.report(core.CgroupEmpty{Unit: g.unit, Incarnation: g.inc}, g.empty)
}

// calmDown ends the wild part: from now on everything is honest and prompt.
// What hangs goes on hanging until it is killed.
func (w *world) calmDown() {
	w.mood = calm
	w.told = nil
	for _, s := range w.sortedSpecs() {
		if s.suffix() == "device" && !w.plugged[s.Name] {
			w.plugged[s.Name] = true
			w.report(core.DeviceAppeared{Unit: s.Name}, nil)
		}
	}
	for _, u := range sortedKeys(w.frozen) {
		w.thaw(u)
	}
}

// resume turns a passive world calm: what the trace left open is answered.
func (w *world) resume() {
	w.mood = calm
	for _, p := range w.order {
		if !p.alive {
			if !p.told {
				w.report(core.Exited{Run: p.id}, nil)
			}
			continue
		}
		if !p.execed {
			p.execed = true
			w.report(core.SpawnDone{Run: p.id}, nil)
		}
		w.program(p)
		for _, s := range p.signals {
			w.react(p, s)
		}
		p.signals = nil
	}
	for _, id := range w.answers {
		if a, ok := w.adopts[id]; ok {
			w.later(time.Millisecond, func() { w.adopt(a) })
		}
		if a, ok := w.listens[id]; ok {
			w.answerListen(a)
		}
		if a, ok := w.probes[id]; ok {
			w.answerProbe(a)
		}
	}
	for _, g := range w.glist {
		w.tellEmpty(g)
	}
	w.calmDown()
}

func (w *world) sortedSpecs() []*Spec {
	var out []*Spec
	for _, n := range sortedKeys(w.specs) {
		out = append(out, w.specs[n])
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
