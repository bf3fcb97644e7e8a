package sim

import (
	"fmt"
	"hash/fnv"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"dynamod/internal/diag"
	"dynamod/internal/graph"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// wallStart is the wall clock at the begin of every history.
var wallStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()

// bootedAt is the Mono clock when the manager starts.
const bootedAt = 10 * time.Second

// Entry is one line of a trace: something that reached the core, or that was
// done to it, with all names symbolic.
type Entry struct {
	At   time.Duration
	Text string
}

// input is an event with what it needs besides its fields.
type input struct {
	ev core.Event
	// specs are the units of Loaded and Accepted, gen that of Reloaded.
	specs []*Spec
	gen   int
	jump  time.Duration
}

// history is one run of one core in one world.
type history struct {
	sc     *Scenario
	cache  buildCache
	gen    int
	loaded []*Spec
	cfg    core.Config
	core   *core.Core
	world  *world
	obs    *observer
	led    *ledger
	cov    *Coverage

	now     time.Duration
	wall    time.Duration // what jumps have added
	out     []core.Action
	steps   int
	spins   int
	current string

	// kill is how many actions of the next Step are carried out before the
	// manager dies; -1 when it lives, allActionsDone for all.
	kill     int
	immortal bool
	// mixed says that the order in which the core learned its units is not
	// known any more: the manager was killed, or units came and went.
	mixed bool
	// restored makes the event after a kill; a replay takes it from its trace.
	restored func() (core.ManagerRestored, time.Duration)
	twin     *twin

	// record keeps entries, hashing the actions; both cost time.
	record  bool
	hashing bool
	entries []Entry
	// ticked counts the Ticks at tickedAt since the last entry.
	ticked   int
	tickedAt time.Duration
	sum      uint64
	// tamper, if set, changes what the core answered: tests of the observer.
	tamper func([]core.Action) []core.Action
	// tell, if set, gets a line for each event and action.
	tell func(string)
}

const allActionsDone = 1 << 30

// twin is a core restored from a snapshot that must go on like the first one.
type twin struct {
	core  *core.Core
	steps int
}

func newHistory(sc *Scenario, d dice, m mood, cov *Coverage) (*history, error) {
	h := &history{sc: sc, cache: buildCache{}, led: newLedger(), cov: cov, now: bootedAt, kill: -1}
	h.world = newWorld(d, m)
	h.world.now = h.now
	h.world.learn(sc.Gens[0].Units)
	h.obs = newObserver(h.led, h.world)
	h.obs.late = sc.Late
	h.cfg = core.Config{User: sc.User, ShutdownTimeout: sc.ShutdownTimeout, Startup: bootedAt, Seed: 1}
	limit := sc.ShutdownTimeout
	if limit == 0 {
		limit = 90 * time.Second
	}
	h.obs.shutLimit = limit + 15*time.Second + 10*sc.Late
	set, g, err := h.present()
	if err != nil {
		return nil, err
	}
	h.core = core.New(set, g, h.cfg)
	return h, nil
}

// present builds the set and graph that a manager would load now, and gives the
// observer a graph of its own.
func (h *history) present() (*unit.Set, *graph.Graph, error) {
	set, err := h.cache.set(&h.sc.Gens[h.gen], h.loaded)
	if err != nil {
		return nil, nil, err
	}
	g, _ := graph.Build(set, graph.Config{Mode: h.sc.graphMode()})
	return set, g, nil
}

func (h *history) symbols() symbols { return symbols{h.led, h.sc} }

func (h *history) time() core.Time {
	return core.Time{Mono: h.now, Wall: wallStart + int64(h.now-bootedAt) + int64(h.wall)}
}

// begin lets the observer look at the fresh core.
func (h *history) begin() error {
	_, g, err := h.present()
	if err != nil {
		return err
	}
	h.obs.now = h.now
	h.obs.adopt(h.core, g)
	return nil
}

// failed is the first violation, nil if there is none.
func (h *history) failed() *Violation { return h.obs.fails }

// guard turns a panic of the core into a violation.
func (h *history) guard() {
	if r := recover(); r != nil {
		stack := debug.Stack()
		place := panicPlace(stack)
		text := fmt.Sprint(r)
		if place == "" {
			place, text = "sim", text+"\n"+string(stack)
		}
		h.obs.fails = &Violation{Rule: "panic", Unit: place, Text: text, At: h.now, Step: h.steps}
	}
}

// panicPlace is the first function of the core in a stack.
func panicPlace(stack []byte) string {
	for line := range strings.Lines(string(stack)) {
		for _, pkg := range [...]string{"internal/core.", "internal/graph."} {
			if i := strings.Index(line, pkg); i >= 0 && strings.Contains(line, "(") && !strings.HasPrefix(line, "\t") {
				return strings.TrimSpace(line[i+len("internal/") : strings.LastIndexByte(line, '(')])
			}
		}
	}
	return ""
}

// resolve completes events that carry units or sets.
func (h *history) resolve(in *input) error {
	switch ev := in.ev.(type) {
	case core.Loaded:
		for _, s := range in.specs {
			u, err := h.cache.unit(s)
			if err != nil {
				return err
			}
			ev.Units = append(ev.Units, u)
		}
		in.ev = ev
		h.load(in.specs)
	case core.Accepted:
		if len(in.specs) > 0 {
			u, err := h.cache.unit(in.specs[0])
			if err != nil {
				return err
			}
			ev.Socket, ev.Instance = acceptSocket(u.Name), u
		}
		in.ev = ev
		h.load(in.specs)
	case core.Reloaded:
		set, err := h.cache.set(&h.sc.Gens[in.gen], nil)
		if err != nil {
			return err
		}
		ev.Set, ev.Evict = set, h.sc.Gens[in.gen].Evict
		if h.sc.Gens[in.gen].Rejected {
			ev.Rejected = []diag.Diag{{Severity: diag.Error, Message: "broken"}}
		} else {
			h.gen = in.gen
			h.world.learn(h.sc.Gens[in.gen].Units)
		}
		in.ev = ev
	case core.ClockJump:
		h.wall += in.jump
	}
	return nil
}

func (h *history) load(specs []*Spec) {
	h.loaded = append(h.loaded, specs...)
	h.world.learn(specs)
}

// text is the event as a line of a trace.
func (h *history) text(in input) string {
	s := h.symbols().encode(in.ev)
	switch in.ev.(type) {
	case core.Reloaded:
		s += fmt.Sprintf(" Gen=%d", in.gen)
	case core.ClockJump:
		s += fmt.Sprintf(" By=%v", in.jump)
	}
	return s
}

// step gives one event to the core, checks everything and does what it says.
func (h *history) step(in input) error {
	if err := h.resolve(&in); err != nil {
		return err
	}
	if h.record || h.tell != nil {
		line := h.text(in)
		h.current = line
		if h.record {
			h.keep(in.ev, line)
		}
		if h.tell != nil {
			h.tell(fmt.Sprintf("%v  %s", h.now, line))
		}
	}
	h.steps++
	h.world.now = h.now
	if h.world.mood == passive {
		h.world.heard(in.ev)
	}
	h.obs.before(h.now, in.ev)
	t := h.time()
	h.out = h.core.Step(t, in.ev, h.out[:0])
	if h.tamper != nil {
		h.out = h.tamper(h.out)
	}
	if a, ok := in.ev.(core.Accepted); ok && len(in.specs) > 0 {
		if v, ok := h.core.View().Unit(a.Instance.Name); !ok || v.Unit == nil {
			h.loaded = h.loaded[:len(h.loaded)-1] // refused
		}
	}
	if h.collected() || graphChanges(in.ev) {
		_, g, err := h.present()
		if err != nil {
			return err
		}
		h.obs.graph = g
	}
	h.obs.after(in.ev, h.out)
	if h.cov != nil {
		h.cov.count(in.ev, h.out)
	}
	h.digest()
	if n := len(h.obs.names); n < 40 || h.steps%(n/20) == 0 || h.steps < 20 {
		if err := h.core.CheckInvariants(); err != nil {
			h.obs.violated("check", ruleWord(err), "%v", err)
		}
	}
	h.compare(t, in.ev)
	if h.failed() != nil {
		return nil
	}
	done := len(h.out)
	if h.kill >= 0 {
		done = min(done, h.kill)
	}
	for _, a := range h.out[:done] {
		h.world.perform(a)
	}
	if h.kill >= 0 {
		h.unperformed(h.out[done:])
		h.kill = -1
		return h.restart()
	}
	return nil
}

// unborn are the runs whose process was asked for by an action that died with the
// manager.
func (h *history) unborn() (out []core.RunID) {
	for _, r := range h.led.order {
		if r.kind == processRun && r.unperformed && !r.ended {
			out = append(out, r.id)
		}
	}
	return out
}

// keep writes an entry. Ticks come by themselves in a replay and are left out,
// except where their place among other events of the same moment matters, or
// where the manager dies after them.
func (h *history) keep(ev core.Event, line string) {
	_, tick := ev.(core.Tick)
	if tick && h.kill < 0 {
		if h.tickedAt != h.now {
			h.ticked = 0
		}
		h.tickedAt = h.now
		h.ticked++
		return
	}
	if h.tickedAt == h.now {
		for range h.ticked {
			h.entries = append(h.entries, Entry{h.now, "Tick"})
		}
	}
	h.ticked = 0
	if h.kill >= 0 {
		h.entries = append(h.entries, Entry{h.now, "KillManager Performed=" + itoa(h.kill)})
	}
	h.entries = append(h.entries, Entry{h.now, line})
}

// ruleWord groups the core's complaints by their last words, without names and
// numbers, so that the shrinker does not slip from one to another.
func ruleWord(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	words := slices.DeleteFunc(strings.Fields(text), func(w string) bool { return strings.ContainsAny(w, "0123456789./") })
	return strings.Join(words[:min(4, len(words))], " ")
}

// collected takes units that the core has unloaded out of what a manager would
// find again, and says whether there were any.
func (h *history) collected() bool {
	any := false
	for _, a := range h.out {
		if p, ok := a.(core.Publish); ok && p.What == core.UnitRemoved {
			h.loaded = slices.DeleteFunc(h.loaded, func(s *Spec) bool { return s.Name == p.Unit })
			any = true
		}
	}
	if any {
		h.mixed, h.twin = true, nil
	}
	return any
}

func graphChanges(ev core.Event) bool {
	switch ev := ev.(type) {
	case core.Loaded, core.Accepted:
		return true
	case core.Reloaded:
		return len(ev.Rejected) == 0
	}
	return false
}

// digest folds the actions into the history's hash and tells them.
func (h *history) digest() {
	if !h.hashing && h.tell == nil {
		return
	}
	text := h.symbols().encodeActions(h.out)
	if h.hashing {
		f := fnv.New64a()
		fmt.Fprintf(f, "%d %d %s", h.sum, h.now, text)
		h.sum = f.Sum64()
	}
	if h.tell != nil {
		for line := range strings.Lines(text) {
			h.tell("      → " + strings.TrimSuffix(line, "\n"))
		}
	}
}

// unperformed are the actions that died with the manager.
func (h *history) unperformed(out []core.Action) {
	for _, a := range out {
		switch a := a.(type) {
		case core.Spawn:
			h.led.runs[a.Run].unperformed = true
		case core.Adopt:
			h.led.runs[a.Run].unperformed = true
		case core.HandOver:
			h.obs.handedOver = false // a new manager must do it again
		}
	}
}

// restart kills the manager and starts another one from the snapshot.
func (h *history) restart() error {
	data := h.core.Snapshot()
	set, g, err := h.present()
	if err != nil {
		return err
	}
	c, err := core.Restore(set, g, h.cfg, data)
	if err != nil {
		h.obs.violated("f-restore", "-", "the snapshot cannot be restored: %v", err)
		return nil
	}
	h.core, h.twin, h.mixed = c, nil, true
	h.obs.handedOver = false // the new manager cannot know, and says it again
	h.obs.core = c
	h.obs.agree()
	ev, pause := h.restored()
	h.now += pause
	alive := map[core.RunID]bool{}
	for _, id := range ev.Alive {
		alive[id] = true
	}
	for _, r := range h.led.order {
		if !alive[r.id] && r.kind == processRun {
			r.ended = true
		}
		r.unborn = slices.Contains(ev.Unborn, r.id)
	}
	h.obs.clientsLost()
	if err := h.step(input{ev: ev}); err != nil {
		return err
	}
	if h.world.mood != passive {
		h.world.rescan()
	}
	return nil
}

// sameGraph builds the graph in the way that the running core's came about, so
// that all indices, and with them the order of actions, are the same.
func (h *history) sameGraph() (*unit.Set, *graph.Graph, error) {
	set, err := h.cache.set(&h.sc.Gens[h.gen], nil)
	if err != nil {
		return nil, nil, err
	}
	g, _ := graph.Build(set, graph.Config{Mode: h.sc.graphMode()})
	for _, s := range h.loaded {
		u, err := h.cache.unit(s)
		if err != nil {
			return nil, nil, err
		}
		g.Add(u)
	}
	return set, g, nil
}

// fork starts a lock-step comparison with a restored copy. After a reload or a
// restart the order in which units came is not known any more.
func (h *history) fork(steps int) error {
	if h.record {
		h.entries = append(h.entries, Entry{h.now, fmt.Sprintf("Twin Steps=%d", steps)})
	}
	if h.gen > 0 || h.mixed {
		return nil
	}
	set, g, err := h.sameGraph()
	if err != nil {
		return err
	}
	c, err := core.Restore(set, g, h.cfg, h.core.Snapshot())
	if err != nil {
		h.obs.violated("f-restore", "-", "the snapshot cannot be restored: %v", err)
		return nil
	}
	h.twin = &twin{c, steps}
	return nil
}

// compare is invariant f.
func (h *history) compare(t core.Time, ev core.Event) {
	if h.twin == nil {
		return
	}
	if graphChanges(ev) {
		h.twin = nil // the copy would need another graph
		return
	}
	out := h.twin.core.Step(t, ev, nil)
	if !(len(out) == 0 && len(h.out) == 0) && !reflect.DeepEqual(out, h.out) {
		h.obs.violated("f-differs", "-", "a restored core answers otherwise:\n--- first\n%s--- restored\n%s",
			h.symbols().encodeActions(h.out), h.symbols().encodeActions(out))
		return
	}
	d1, ok1 := h.core.Deadline()
	d2, ok2 := h.twin.core.Deadline()
	if d1 != d2 || ok1 != ok2 {
		h.obs.violated("f-deadline", "-", "deadlines differ: %v %v, restored %v %v", d1, ok1, d2, ok2)
	}
	if h.twin.steps--; h.twin.steps <= 0 {
		if a, b := h.core.Snapshot(), h.twin.core.Snapshot(); string(a) != string(b) {
			h.obs.violated("f-snapshot", "-", "snapshots of the core and its restored copy differ: %s", firstDifference(a, b))
		}
		h.twin = nil
	}
}

func firstDifference(a, b []byte) string {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	cut := func(s []byte) string { return string(s[max(0, min(i-60, len(s))):min(len(s), i+60)]) }
	return fmt.Sprintf("at byte %d: …%s… and …%s…", i, cut(a), cut(b))
}

// tickDue is when the next Tick comes.
func (h *history) tickDue() (time.Duration, bool) {
	d, ok := h.core.Deadline()
	if !ok {
		return 0, false
	}
	return max(d+h.sc.Late, h.now), true
}

// tick gives the core its Tick and looks for deadlines that do not go away.
func (h *history) tick(at time.Duration) error {
	if at == h.now {
		if h.spins++; h.spins > 100 {
			d, _ := h.core.Deadline()
			h.obs.violated("a-spin", "-", "100 Ticks at %v do not move the deadline %v", h.now, d)
			return nil
		}
	} else {
		h.spins = 0
	}
	h.now = at
	return h.step(input{ev: core.Tick{}})
}
