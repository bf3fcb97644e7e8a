package sim

import (
	"slices"
	"strings"
	"time"

	"dynamod/svmgr/internal/core"
)

const (
	sigHUP  = 1
	sigABRT = 6
	sigKILL = 9
	sigSEGV = 11
	sigTERM = 15
	sigCONT = 18
)

// character is what a unit's processes are like; it is drawn once.
type character struct {
	failSpawn int // percent
	deaf      int // percent: ignores SIGTERM
	hangs     int // percent: goes into D state when killed
	lingers   int // percent: leaves children
	crashes   bool
	lifetime  time.Duration // upper bound for those that end
	mortal    int           // percent: ends by itself
	silent    int           // percent: does not get ready
	codes     []int32       // exit codes and, negative, signals
	pings     int
	triggers  int
}

func (w *world) character(unit string) *character {
	c := w.characters[unit]
	if c != nil {
		return c
	}
	c = &character{lifetime: time.Hour, codes: []int32{0}}
	if w.mood == wild {
		d := w.dice
		c.lifetime = pick(d, 100*time.Millisecond, 2*time.Second, 20*time.Second, 90*time.Second)
		c.codes = pick(d, []int32{0}, []int32{0, 1}, []int32{1, 2}, []int32{-11, 0, 3}, []int32{-6}, []int32{-9, -15, 1})
		c.triggers = pick(d, 0, 1, 2, 5, 12)
		c.pings = d.IntN(6)
		if d.in(60) {
			c.failSpawn, c.deaf, c.hangs = pick(d, 0, 0, 5, 50), pick(d, 0, 5, 60), pick(d, 0, 0, 4, 30)
			c.lingers, c.silent = pick(d, 0, 10, 80), pick(d, 0, 5, 50)
			c.mortal = pick(d, 0, 30, 90)
		}
		c.crashes = d.in(12)
		if c.crashes {
			c.mortal, c.lifetime = 100, 300*time.Millisecond
		}
	}
	w.characters[unit] = c
	return c
}

func (w *world) spawn(a core.Spawn) {
	g := w.groupOf(a.Unit.Name, a.Incarnation)
	p := &proc{id: a.Run, group: g, unit: a.Unit.Name, role: a.Role, stage: a.Stage, alive: true}
	w.procs[a.Run] = p
	w.order = append(w.order, p)
	g.procs = append(g.procs, p)
	if w.mood == passive {
		return
	}
	c := w.character(p.unit)
	if w.mood == wild && w.dice.in(c.failSpawn) {
		w.later(w.delay(), func() {
			if p.alive {
				p.alive = false
				w.report(core.SpawnFailed{Run: p.id, Stage: pick(w.dice, "exec", "cgroup", "user", "fork"),
					Errno: pick[int32](w.dice, 2, 13, 12, 11)}, nil)
				w.tellEmpty(g)
			}
		})
		return
	}
	if w.mood == wild {
		p.deaf = w.dice.in(c.deaf)
		if w.dice.in(c.hangs) {
			p.hangsUntil = w.now + w.dice.span(time.Minute)
		}
	}
	w.later(w.delay(), func() {
		if p.alive {
			p.execed = true
			w.report(core.SpawnDone{Run: p.id}, nil)
			w.program(p)
		}
	})
}

// program is what the process does of its own accord.
func (w *world) program(p *proc) {
	spec := w.spec(p.unit)
	switch {
	case p.stage == core.StageStart && p.role == core.RoleMain && spec.suffix() == "service":
		w.mainProgram(p, spec)
	default:
		w.command(p)
	}
}

// after lets the process act later, if it still lives then.
func (w *world) after(p *proc, d time.Duration, f func()) {
	w.later(d, func() {
		if p.alive {
			f()
		}
	})
}

// command is a program that is expected to end by itself.
func (w *world) command(p *proc) {
	if w.mood != wild {
		w.after(p, time.Millisecond, func() { w.finish(p, 0) })
		return
	}
	switch r := w.dice.IntN(100); {
	case r < 4: // hangs
	case r < 12:
		code := pick[int32](w.dice, 1, 1, 2, 255, -sigSEGV)
		w.after(p, w.dice.span(3*time.Second), func() { w.finish(p, code) })
	default:
		d := w.delay()
		if w.dice.in(15) {
			d = w.dice.span(8 * time.Second)
		}
		w.after(p, d, func() { w.finish(p, 0) })
	}
}

func (w *world) mainProgram(p *proc, spec *Spec) {
	typ := spec.Get("Type")
	if spec.Native {
		typ = spec.Get("type")
		if r := spec.readiness(); typ != "oneshot" && (r == "notify" || r == "fd") {
			typ = r
		}
	}
	c := w.character(p.unit)
	honest := w.mood != wild || !w.dice.in(c.silent)
	if w.mood == wild && w.dice.in(c.lingers) && !p.group.dead {
		p.group.kids += 1 + w.dice.IntN(3)
		p.group.kidsDeaf = w.dice.in(c.deaf)
		if w.dice.in(c.hangs) {
			p.group.kidsUntil = w.now + w.dice.span(time.Minute)
		}
		if w.dice.in(40) {
			g := p.group
			w.later(w.dice.span(30*time.Second), func() { w.endKids(g) })
		}
	}
	switch typ {
	case "oneshot":
		w.command(p)
		return
	case "forking":
		if honest && !p.group.dead {
			p.group.kids++
		}
		w.after(p, w.delay(), func() { w.finish(p, 0) })
		return
	case "notify", "notify-reload":
		if honest {
			w.after(p, w.patience(), func() { w.becomeReady(p) })
		}
	case "fd":
		if honest {
			w.after(p, w.patience(), func() { w.report(core.Ready{Run: p.id}, nil) })
		}
	case "dbus":
		if honest {
			w.after(p, w.patience(), func() {
				p.owns = spec.Get("BusName")
				w.report(core.BusNameAcquired{Name: p.owns, Unit: p.unit}, nil)
			})
		}
	}
	w.live(p, c)
}

// readiness is the native [readiness] type.
func (s *Spec) readiness() string {
	for _, l := range s.Lines {
		if l.Section == "readiness" && l.Key == "type" {
			return strings.Trim(l.Value, `"`)
		}
	}
	return ""
}

func (w *world) patience() time.Duration {
	if w.mood == wild && w.dice.in(30) {
		return w.dice.span(5 * time.Second)
	}
	return w.delay()
}

// live is the rest of a daemon's life: notifications, crashes, an end.
func (w *world) live(p *proc, c *character) {
	if w.mood != wild {
		return
	}
	w.chatter(p, c)
	if w.dice.in(c.mortal) {
		code := c.codes[w.dice.IntN(len(c.codes))]
		w.after(p, w.dice.span(c.lifetime), func() {
			if w.mood == wild {
				w.finish(p, code)
			}
		})
	}
	if w.dice.in(2) {
		g := p.group
		w.after(p, w.dice.span(10*time.Second), func() {
			if w.mood != wild {
				return
			}
			w.report(core.OOMKilled{Unit: p.unit, Incarnation: g.inc}, nil)
			w.finish(p, -sigKILL)
		})
	}
}

// finish ends a process by itself; a negative code is a signal. A frozen or
// hanging process ends when it can.
func (w *world) finish(p *proc, code int32) {
	if !p.alive || p.dying {
		return
	}
	if w.frozen[p.unit] && code != -sigKILL {
		p.signals = append(p.signals, sigTERM)
		return
	}
	if p.hangsUntil > w.now {
		p.dying = true
		w.later(p.hangsUntil-w.now, func() {
			p.dying = false
			w.finish(p, code)
		})
		return
	}
	p.alive = false
	ex := core.Exited{Run: p.id, Code: code}
	if code < 0 {
		ex = core.Exited{Run: p.id, Signal: -code, Core: code == -sigABRT || code == -sigSEGV}
	}
	w.report(ex, nil)
	if p.owns != "" {
		w.report(core.BusNameLost{Name: p.owns, Unit: p.unit}, nil)
		p.owns = ""
	}
	if code == 0 {
		w.mountEffect(p)
	}
	w.tellEmpty(p.group)
}

// mountEffect is what a finished mount, umount, swapon or swapoff has done.
func (w *world) mountEffect(p *proc) {
	var to bool
	switch p.stage {
	case core.StageMount, core.StageSwapOn:
		to = true
	case core.StageUnmount, core.StageSwapOff:
	default:
		return
	}
	w.setMounted(p.unit, to)
}

func (w *world) setMounted(unit string, to bool) {
	if w.mounted[unit] == to {
		return
	}
	w.mounted[unit] = to
	w.report(core.MountChanged{Unit: unit, Mounted: to}, func() bool { return w.mounted[unit] == to })
}

func (w *world) endKids(g *group) {
	if g.kids == 0 {
		return
	}
	if w.frozen[g.unit] {
		return
	}
	g.kids = 0
	w.tellEmpty(g)
}

func (w *world) signal(a core.Signal) {
	if a.Run != 0 {
		if p := w.procs[a.Run]; p != nil && p.alive {
			w.react(p, a.Signal)
		}
		return
	}
	if g := w.groups[groupKey{a.Unit, a.Incarnation}]; g != nil {
		w.signalGroup(g, a.Signal)
	}
}

func (w *world) signalGroup(g *group, sig int32) {
	g.signalled = true
	g.dead = g.dead || sig == sigKILL
	for _, p := range slices.Clone(g.procs) {
		if p.alive {
			w.react(p, sig)
		}
	}
	if g.kids == 0 || sig == sigCONT || sig != sigKILL && (g.kidsDeaf || w.frozen[g.unit]) {
		return
	}
	wait := w.delay()
	if g.kidsUntil > w.now {
		wait = g.kidsUntil - w.now
	}
	w.later(wait, func() {
		if g.kids > 0 {
			g.kids = 0
			w.tellEmpty(g)
		}
	})
}

// react is what a signal does to a process.
func (w *world) react(p *proc, sig int32) {
	switch {
	case w.mood == passive || w.frozen[p.unit] && sig != sigKILL:
		p.signals = append(p.signals, sig)
		return
	case sig == sigCONT:
		return
	case sig == sigKILL:
		w.after(p, w.delay(), func() { w.finish(p, -sigKILL) })
		return
	case p.deaf:
		return
	case sig == sigHUP && w.reloads(p):
		return
	}
	if w.mood == wild && w.dice.in(10) {
		w.notify(p, core.Notification{Stopping: true})
	}
	d := w.delay()
	if w.mood == wild && w.dice.in(20) {
		d = w.dice.span(6 * time.Second)
		if w.dice.in(30) {
			w.notify(p, core.Notification{ExtendTimeout: w.dice.span(20 * time.Second)})
		}
	}
	code := -sig
	if sig == sigTERM && w.mood == wild && w.dice.in(60) {
		code = 0
	}
	w.after(p, d, func() { w.finish(p, code) })
}

func (w *world) thaw(unit string) {
	if !w.frozen[unit] {
		return
	}
	delete(w.frozen, unit)
	for _, p := range w.order {
		if p.unit != unit || !p.alive || len(p.signals) == 0 {
			continue
		}
		sigs := p.signals
		p.signals = nil
		for _, s := range sigs {
			w.react(p, s)
		}
	}
}
