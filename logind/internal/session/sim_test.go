package session

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// world is a shell that has no machine: it remembers what it was told to do, and does
// it when the simulation chooses.
type world struct {
	t       *rapid.T
	c       *Core
	now     Now
	request uint64
	// waiting are requests without an answer; todo is what was ordered.
	waiting  map[uint64]bool
	todo     []Action
	scopes   map[string]bool // scopes with processes
	held     map[string]bool // leader and FIFO of a session
	users    map[uint32]bool // units of a user are up
	visible  map[string]bool // appeared and not vanished
	prepared string
	delay    int64 // when the transition began
}

func (w *world) handle(e Event) {
	w.now.Mono++
	w.now.Wall++
	for _, a := range w.c.Handle(w.now, e) {
		switch a := a.(type) {
		case Refuse:
			w.answer(a.Request)
		case Grant:
			w.answer(a.Request)
		case Forget:
			if !w.held[a.ID] {
				w.t.Fatalf("session %s is forgotten twice", a.ID)
			}
			delete(w.held, a.ID)
		case Appeared:
			key := fmt.Sprint(a.Kind, a.ID)
			if w.visible[key] {
				w.t.Fatalf("%s appears twice", key)
			}
			w.visible[key] = true
			if a.Kind == ASession {
				w.held[a.ID] = true
			}
		case Vanished:
			key := fmt.Sprint(a.Kind, a.ID)
			if !w.visible[key] {
				w.t.Fatalf("%s vanishes without having been", key)
			}
			delete(w.visible, key)
		case Prepare:
			if a.Begin == (w.prepared != "") {
				w.t.Fatalf("Prepare %v while %q is prepared", a.Begin, w.prepared)
			}
			w.prepared = ""
			if a.Begin {
				w.prepared, w.delay = a.Transition.Verb, w.now.Mono
			}
		case Execute:
			for _, i := range w.c.Inhibitors {
				if i.Mode == "delay" && slices.Contains(i.What, a.Transition.What()) && w.now.Mono < w.delay+w.c.Limits.InhibitDelay {
					w.t.Fatalf("%s although %s delays it", a.Transition.Verb, i.Who)
				}
			}
			w.todo = append(w.todo, a)
		case OpenUser, Open, CloseUser, StopScope:
			w.todo = append(w.todo, a)
		}
	}
	w.check()
}

func (w *world) answer(r uint64) {
	if !w.waiting[r] {
		w.t.Fatalf("request %d is answered twice", r)
	}
	delete(w.waiting, r)
}

// act carries out the k-th thing to do.
func (w *world) act(k int, fail bool) {
	a := w.todo[k]
	w.todo = slices.Delete(w.todo, k, k+1)
	switch a := a.(type) {
	case OpenUser:
		w.users[a.UID] = true
		w.handle(UserOpened(a))
	case CloseUser:
		delete(w.users, a.UID)
		w.handle(UserClosed(a))
	case Open:
		text := ""
		if fail {
			text = "the scope failed"
		} else if a.Scope != "" {
			w.scopes[a.ID] = true
		}
		w.handle(Opened{a.ID, text})
	case StopScope:
		delete(w.scopes, a.ID)
		w.handle(Emptied(a))
	case Execute:
		w.handle(PowerDone{})
	}
}

func (w *world) check() {
	c := w.c
	for id, seat := range c.Seats {
		if s := c.Sessions[seat.Active]; seat.Active != "" && (s == nil || s.Seat != id || s.Stage == Closing) {
			w.t.Fatalf("the active session %q of %s is none of its own", seat.Active, id)
		}
		active := 0
		for _, s := range c.OnSeat(id) {
			if c.IsActive(s) {
				active++
				if seat.VTs && s.VTNr != seat.VT {
					w.t.Fatalf("%s on terminal %d is active, %d is in front", s.ID, s.VTNr, seat.VT)
				}
			}
		}
		if active > 1 {
			w.t.Fatalf("%d sessions are active on %s", active, id)
		}
	}
	for id, s := range c.Sessions {
		if s.Stage != Closing && !w.held[id] || s.Stage == Closing && w.held[id] {
			w.t.Fatalf("session %s in stage %d, leader and FIFO held: %v", id, s.Stage, w.held[id])
		}
		if c.Users[s.UID] == nil {
			w.t.Fatalf("session %s belongs to nobody", id)
		}
		if s.Controller == "" && s.Stage != Closing && s.Type != s.Original {
			w.t.Fatalf("session %s has type %s and no controller; it was made with %s", id, s.Type, s.Original)
		}
		if s.Stage == Closing && s.Controller != "" {
			w.t.Fatalf("session %s is over and controlled", id)
		}
		if s.Stage == Running && s.WantsManager() && s.pins() && c.Users[s.UID].StopAt != 0 {
			w.t.Fatalf("user %d is about to be stopped with session %s", s.UID, id)
		}
	}
	if len(c.Sessions) > c.Limits.Sessions || len(c.Inhibitors) > c.Limits.Inhibitors {
		w.t.Fatalf("%d sessions, %d inhibitors", len(c.Sessions), len(c.Inhibitors))
	}
	if (c.Pending != nil) != (w.prepared != "") {
		w.t.Fatalf("pending %v, prepared %q", c.Pending, w.prepared)
	}
}

func (w *world) ask(make func(uint64) Event) {
	w.request++
	w.waiting[w.request] = true
	w.handle(make(w.request))
}

// What clients and the machine do in any order leaves every promise of the package
// kept, and once everybody has left, nothing is left.
func TestHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Limits{Sessions: 5, Inhibitors: 4, PerUser: 2, InhibitDelay: 20, UserStopDelay: 10}
		w := &world{t: t, c: New(l, rapid.Bool().Draw(t, "vts")), waiting: map[uint64]bool{}, scopes: map[string]bool{},
			held: map[string]bool{}, users: map[uint32]bool{}, visible: map[string]bool{}}
		some := func(name string) string {
			ids := []string{"nobody"}
			for _, s := range w.c.Sorted(func(*Session) bool { return true }) {
				ids = append(ids, s.ID)
			}
			return rapid.SampledFrom(ids).Draw(t, name)
		}
		uid := func() uint32 { return uint32(rapid.IntRange(0, 3).Draw(t, "uid")) }
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 13).Draw(t, "what") {
			case 0, 1, 2:
				s := Session{UID: uid(), Leader: int32(rapid.IntRange(0, 9).Draw(t, "leader")), Audit: uint32(rapid.IntRange(0, 3).Draw(t, "audit")),
					Class: rapid.SampledFrom(append(classes, "", "other")).Draw(t, "class"), Type: rapid.SampledFrom(types).Draw(t, "type"),
					Seat: rapid.SampledFrom([]string{"", "seat0", "seat1"}).Draw(t, "seat"), VTNr: uint32(rapid.IntRange(0, 3).Draw(t, "vt"))}
				w.ask(func(r uint64) Event { return Create{Request: r, Session: s} })
			case 3, 4, 5, 6:
				if len(w.todo) > 0 {
					w.act(rapid.IntRange(0, len(w.todo)-1).Draw(t, "todo"), rapid.IntRange(0, 4).Draw(t, "fail") == 0)
				}
			case 7:
				w.handle(Ended{some("ended")})
			case 8:
				id := some("emptied")
				if s := w.c.Sessions[id]; s != nil && s.Stage == Closing && w.scopes[id] {
					delete(w.scopes, id)
					w.handle(Emptied{id})
				}
			case 9:
				w.handle(VTShown{uint32(rapid.IntRange(0, 3).Draw(t, "front"))})
			case 10:
				i := Inhibitor{Mode: rapid.SampledFrom(append(modes, "other")).Draw(t, "mode"), What: []string{rapid.SampledFrom(whats).Draw(t, "inhibits")}, UID: uid()}
				w.ask(func(r uint64) Event { return Inhibit{r, i} })
			case 11:
				w.handle(InhibitorGone{uint64(rapid.IntRange(0, 6).Draw(t, "gone"))})
			case 12:
				tr := Transition{Verb: rapid.SampledFrom([]string{"poweroff", "suspend"}).Draw(t, "verb"), UID: uid(), Ignore: rapid.Bool().Draw(t, "ignore")}
				w.ask(func(r uint64) Event { return Power{r, tr} })
			case 13:
				switch rapid.IntRange(0, 5).Draw(t, "other") {
				case 4:
					w.handle(SetType{some("typed"), ":1.1", rapid.SampledFrom(append(types, "tv")).Draw(t, "new type")})
				case 5:
					id := fmt.Sprint("r", rapid.IntRange(0, 2).Draw(t, "restored"))
					if len(w.c.Sessions) < l.Sessions && !w.scopes[id] && w.c.Sessions[id] == nil {
						uid := uid()
						w.scopes[id] = true
						if w.c.Users[uid] == nil {
							w.users[uid] = true
						}
						w.handle(Restore{Session: Session{ID: id, UID: uid, Leader: 1, Class: "user", Type: "tty"}})
					}
				case 0:
					w.handle(TakeControl{some("control"), rapid.SampledFrom([]string{":1.1", ":1.2"}).Draw(t, "client"), rapid.Bool().Draw(t, "force")})
				case 1:
					w.handle(ClientGone{":1.1"})
				case 2:
					w.handle(SetLinger{UID: uid(), Linger: rapid.Bool().Draw(t, "linger")})
				case 3:
					w.now.Mono += 30
					w.handle(Tick{})
				}
			}
		}
		w.finish()
	})
}

// finish lets everybody leave and everything happen.
func (w *world) finish() {
	for uid := range uint32(4) {
		w.handle(SetLinger{UID: uid})
	}
	for range 200 {
		if len(w.todo) > 0 {
			w.act(0, false)
			continue
		}
		if d := w.c.Deadline(); d != 0 {
			w.now.Mono = max(w.now.Mono, d)
			w.handle(Tick{})
			continue
		}
		if all := w.c.Sorted(func(*Session) bool { return true }); len(all) > 0 {
			w.handle(Terminate{all[0].ID})
			continue
		}
		break
	}
	switch {
	case len(w.c.Sessions) > 0, len(w.c.Users) > 0, len(w.scopes) > 0, len(w.users) > 0, len(w.held) > 0, len(w.visible) > 0:
		w.t.Fatalf("left: sessions %v, users %v, scopes %v, units of users %v, descriptors %v, visible %v",
			w.c.Sessions, w.c.Users, w.scopes, w.users, w.held, w.visible)
	case len(w.waiting) > 0:
		w.t.Fatalf("requests %v have no answer", w.waiting)
	case w.c.Pending != nil:
		w.t.Fatalf("%v was neither carried out nor given up", w.c.Pending)
	}
}
