package loop

import (
	"context"
	"log/slog"
	"time"

	"dynamod/internal/sys/clock"
	"dynamod/svmgr/internal/core"
)

// Actor is what the loop needs of the world.
type Actor interface {
	// Perform carries out one action without blocking.
	Perform(core.Action)
	// Stale says that an event which waited in the queue is no longer true.
	Stale(core.Event) bool
	// Handled says that an event and all that came of it has been dealt with.
	Handled(core.Event)
}

// Listener hears what the core tells everybody. It is called on the loop's
// goroutine and must not block.
type Listener interface {
	// Published gets Publish, Log and Emergency actions, and the wish to hear of a
	// name on the bus (Watch and Unwatch of WatchBusName), which the bridge fulfils.
	Published(now core.Time, a core.Action)
}

// maxQueue bounds events that wait for the loop; a sender blocks when it is full,
// which slows the world's readers down and never the core.
const maxQueue = 1024

// batch is how many events are taken before the timer is looked at again.
const batch = 64

// Loop owns a Core.
type Loop struct {
	core   *core.Core
	actor  Actor
	listen Listener
	record *Record
	log    *slog.Logger

	events  chan core.Event
	queries chan func(*core.Core)
	replies map[core.RequestID]chan<- core.Reply
	nextID  core.RequestID
	out     []core.Action
	done    chan struct{}
	over    bool // HandOver was seen
	alarm   *clock.Alarm
	// sleepless: the machine cannot be woken; that was said.
	sleepless bool
	onEnd     func(core.ShutdownKind)
	happens   func()
}

// Options are what a Loop is made of. Record may be nil: then a killed manager
// forgets everything.
type Options struct {
	Core     *core.Core
	Actor    Actor
	Listener Listener
	Record   *Record
	Log      *slog.Logger
	// Alarm tells of deadlines right after a suspend too, and wakes the machine for
	// timers with WakeSystem=. nil does with a timer that stands still meanwhile.
	Alarm *clock.Alarm
	// HandedOver is called once, on the loop's goroutine, when a shutdown has
	// stopped everything; Run returns after it.
	HandedOver func(core.ShutdownKind)
	// Happens is called before each event is carried out, nil for nobody: before anything
	// that it changes can be seen from outside.
	Happens func()
}

// New makes a loop; nothing happens before Run.
func New(o Options) *Loop {
	if o.Happens == nil {
		o.Happens = func() {}
	}
	return &Loop{core: o.Core, happens: o.Happens, actor: o.Actor, listen: o.Listener, record: o.Record, log: o.Log, onEnd: o.HandedOver, alarm: o.Alarm,
		events: make(chan core.Event, maxQueue), queries: make(chan func(*core.Core)),
		replies: make(map[core.RequestID]chan<- core.Reply), done: make(chan struct{}),
		// Ids of a former life must not come again: their replies are gone.
		nextID: core.RequestID(time.Now().UnixNano())}
}

// Post hands an event to the loop. It blocks while the queue is full, and drops the
// event once the loop has ended. It must not be called on the loop's goroutine.
func (l *Loop) Post(ev core.Event) {
	select {
	case l.events <- ev:
	case <-l.done:
	}
}

// Take hands over an event and returns when the core has taken it and its actions
// are under way; false means that the loop has ended.
func (l *Loop) Take(ev core.Event) bool {
	return l.Query(func(*core.Core) { l.step(ev) })
}

// Begin carries out events before Run begins.
func (l *Loop) Begin(events ...core.Event) {
	for _, ev := range events {
		l.step(ev)
	}
}

// Query runs f on the loop's goroutine, between two events, and waits for it. It
// returns false when the loop has ended.
func (l *Loop) Query(f func(*core.Core)) bool {
	ran := make(chan struct{})
	select {
	case l.queries <- func(c *core.Core) { f(c); close(ran) }:
		<-ran
		return true
	case <-l.done:
		return false
	}
}

// Ask puts a request to the core and returns the channel on which its one Reply
// comes; make fills the id into the event.
func (l *Loop) Ask(make_ func(id core.RequestID) core.Event) <-chan core.Reply {
	ch := make(chan core.Reply, 1)
	ok := l.Query(func(*core.Core) {
		l.nextID++
		l.replies[l.nextID] = ch
		l.step(make_(l.nextID))
	})
	if !ok {
		ch <- core.Reply{Err: &core.RequestError{Kind: "ShuttingDown", Text: "the manager has ended"}}
	}
	return ch
}

// Now reads the clocks.
func Now() core.Time {
	return core.Time{Mono: clock.Boottime(), Wall: time.Now().UnixNano()}
}

// Run works until the context ends or a shutdown has handed over.
func (l *Loop) Run(ctx context.Context) {
	defer close(l.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		l.arm(timer)
		select {
		case <-ctx.Done():
			l.record.close()
			return
		case ev := <-l.events:
			l.step(ev)
			for range batch {
				if l.over {
					break
				}
				select {
				case ev := <-l.events:
					l.step(ev)
					continue
				default:
				}
				break
			}
		case f := <-l.queries:
			f(l.core)
		case <-timer.C:
			l.step(core.Tick{})
		case <-l.alarm.Rings():
			l.step(core.Tick{})
		}
		if l.over {
			l.record.close()
			return
		}
	}
}

// arm sets the one timer. Go's timers stand still during suspend, CLOCK_BOOTTIME
// does not: a deadline that passed asleep fires at the next event or within the
// longest wait.
func (l *Loop) arm(t *time.Timer) {
	const longest = time.Hour
	wait := longest
	at, ok := l.core.Deadline()
	if l.alarm != nil {
		l.setAlarm(at, ok)
	} else if ok {
		wait = min(max(at-Now().Mono, 0), longest)
	}
	t.Reset(wait)
}

// setAlarm sets both hands of the alarm.
func (l *Loop) setAlarm(at time.Duration, ok bool) {
	if !ok {
		at = 0
	}
	if err := l.alarm.Set(at); err != nil {
		l.log.Error("deadlines may be late by an hour", "err", err)
	}
	wake, _ := l.core.WakeDeadline()
	if err := l.alarm.SetWake(wake); err != nil && !l.sleepless {
		l.sleepless = true
		l.log.Warn("timers with WakeSystem= will not wake this machine from suspend, but elapse when it is awake again", "err", err)
	}
}

// step is the whole life of an event: decide, write down, act. It is written down
// before it is acted on, so that a manager killed in between knows at its next
// start what it had decided.
func (l *Loop) step(ev core.Event) {
	if l.actor.Stale(ev) {
		return
	}
	l.happens()
	now := Now()
	l.out = l.core.Step(now, ev, l.out[:0])
	if l.record != nil {
		l.record.note(now, ev, l.core, l.log)
	}
	for _, a := range l.out {
		switch a := a.(type) {
		case core.Reply:
			if ch, ok := l.replies[a.ID]; ok {
				delete(l.replies, a.ID)
				ch <- a
			}
		case core.Publish:
			if l.listen != nil {
				l.listen.Published(now, a)
			}
			l.actor.Perform(a) // what lives as long as a state does ends with it
		case core.Log, core.Emergency:
			if l.listen != nil {
				l.listen.Published(now, a)
			}
		case core.Watch:
			l.watch(now, a, a.What)
		case core.Unwatch:
			l.watch(now, a, a.What)
		case core.HandOver:
			l.over = true
			if l.onEnd != nil {
				l.onEnd(a.Kind)
			}
		default:
			l.actor.Perform(a)
		}
	}
	l.actor.Handled(ev)
}

// watch passes the wish for an event on to who can fulfil it.
func (l *Loop) watch(now core.Time, a core.Action, what core.Watched) {
	if what != core.WatchBusName {
		l.actor.Perform(a)
	} else if l.listen != nil {
		l.listen.Published(now, a)
	}
}
