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
	// taken are descriptors of devices and whether they work, vts the terminals that
	// are drawn on, owner who has the devices of a seat.
	taken map[handle]bool
	vts   map[uint32]bool
	owner map[string]int64
	// closed says that logins are refused, begun that something began in this event.
	closed, begun bool
}

type handle struct {
	session string
	device  DeviceID
}

func (w *world) handle(e Event) {
	w.now.Mono++
	w.now.Wall++
	w.begun = false
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
		case Logins:
			if a.Open != w.closed {
				w.t.Fatalf("logins become open=%v and were closed=%v", a.Open, w.closed)
			}
			w.closed = !a.Open
		case SecureAttention:
			if w.c.Seats[a.Seat] == nil {
				w.t.Fatalf("the login manager of %q is asked for, which is no seat", a.Seat)
			}
		case LockAll:
			w.begun = true
		case Prepare:
			w.begun = w.begun || a.Begin
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
		case Took:
			h := handle{a.ID, a.Device}
			if _, there := w.taken[h]; there {
				w.t.Fatalf("%v is taken twice", h)
			}
			w.taken[h] = a.Live
		case Kept:
			h := handle{a.ID, a.Device}
			if _, there := w.taken[h]; there {
				w.t.Fatalf("%v is kept twice", h)
			}
			w.taken[h] = a.Live
		case Mute:
			w.set(handle{a.ID, a.Device}, false)
		case Resume:
			w.set(handle{a.ID, a.Device}, true)
			if a.Client == "" {
				w.t.Fatalf("%v is resumed for nobody", a)
			}
		case Drop:
			h := handle{a.ID, a.Device}
			if _, there := w.taken[h]; !there {
				w.t.Fatalf("%v is dropped and was not taken", h)
			}
			delete(w.taken, h)
		case Changed:
			if s := w.c.Sessions[a.ID]; a.Kind == ASession && slices.Contains(a.Names, "Active") && s != nil && !w.c.IsActive(s) {
				for h, live := range w.taken {
					if live && h.session == a.ID {
						w.t.Fatalf("%s is told to be in the background, and %v is live", a.ID, h.device)
					}
				}
			}
		case TakeVT:
			if w.vts[a.VT] {
				w.t.Fatalf("terminal %d is taken twice", a.VT)
			}
			w.vts[a.VT] = true
		case GiveVT:
			if !w.vts[a.VT] {
				w.t.Fatalf("terminal %d is given back and was not taken", a.VT)
			}
			delete(w.vts, a.VT)
		case LeaveVT:
			for h, live := range w.taken {
				if live && w.c.Sessions[h.session].Seat == "seat0" {
					w.t.Fatalf("the terminal goes, and %v is live", h)
				}
			}
		case Access:
			if w.ownerOf(a.Seat) != a.From || a.From == a.To {
				w.t.Fatalf("%v, but %d has the devices", a, w.ownerOf(a.Seat))
			}
			w.owner[a.Seat] = a.To
		case Correct: // the node is named as its seat is
			if w.ownerOf(a.Node) != a.To || slices.Contains(a.From, a.To) {
				w.t.Fatalf("%v, but %d has the devices", a, w.ownerOf(a.Node))
			}
		case ShowVT:
			w.answer(a.Request)
		case OpenUser, Open, CloseUser, StopScope:
			w.todo = append(w.todo, a)
		}
	}
	w.check()
}

func (w *world) set(h handle, live bool) {
	if was, there := w.taken[h]; !there || was == live {
		w.t.Fatalf("%v becomes live=%v; taken %v, live %v", h, live, there, was)
	}
	w.taken[h] = live
}

func (w *world) ownerOf(seat string) int64 {
	if uid, ok := w.owner[seat]; ok {
		return uid
	}
	return -1
}

// checkDevices: a descriptor works in the session in front only, and belongs to somebody
// in control; the devices of a seat are those of who sits there.
func (w *world) checkDevices() {
	n := 0
	for id, s := range w.c.Sessions {
		n += len(s.devices)
		if len(s.devices) > 0 && (s.Controller == "" || s.Stage == Closing) {
			w.t.Fatalf("%s has devices, stage %d, controller %q", id, s.Stage, s.Controller)
		}
		for d := range s.devices {
			live, there := w.taken[handle{id, d}]
			seat := w.c.Seats[s.Seat]
			front := seat != nil && seat.Active == id && !seat.leaving
			if !there || live && !front || !live && front && seat.next == "" {
				w.t.Fatalf("%v of %s: taken %v, live %v, in front %v", d, id, there, live, front)
			}
		}
	}
	if n != len(w.taken) {
		w.t.Fatalf("%d devices are taken, %d descriptors are there", n, len(w.taken))
	}
	for id, seat := range w.c.Seats {
		want := int64(-1)
		if s := w.c.Sessions[seat.Active]; s != nil {
			want = int64(s.UID)
		}
		if w.ownerOf(id) != want {
			w.t.Fatalf("%d has the devices of %s, %d sits there", w.ownerOf(id), id, want)
		}
		masters := 0
		for _, a := range w.c.machine {
			if a.Seat == id && a.Master {
				masters++
			}
		}
		if id != "seat0" && masters == 0 || seat.Graphical != (masters > 0) {
			w.t.Fatalf("%s has %d masters, graphical %v", id, masters, seat.Graphical)
		}
	}
	for _, s := range w.c.Sessions {
		if w.c.hasVT(s) && s.Controller != "" && !w.vts[s.VTNr] {
			w.t.Fatalf("%s is controlled and its terminal was not taken", s.ID)
		}
	}
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
	w.checkDevices()
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
	if c.Scheduled != nil && c.Scheduled.At < w.now.Wall-recheck {
		w.t.Fatalf("%v is overdue", c.Scheduled)
	}
	if w.closed && (c.Scheduled == nil || c.Scheduled.At-w.now.Wall > closing) && c.Pending == nil {
		w.t.Fatalf("logins are refused for nothing")
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
		l := Limits{Sessions: 5, Inhibitors: 4, PerUser: 2, InhibitDelay: 20, UserStopDelay: 10, PauseDelay: 5, AutoVTs: 2, ReserveVT: 3}
		w := &world{t: t, c: New(l, rapid.Bool().Draw(t, "vts")), waiting: map[uint64]bool{}, scopes: map[string]bool{},
			held: map[string]bool{}, users: map[uint32]bool{}, visible: map[string]bool{},
			taken: map[handle]bool{}, vts: map[uint32]bool{}, owner: map[string]int64{}}
		w.c.Sleeps = []string{"suspend"}
		w.c.Handling = Handling{Do: map[string]string{"HandlePowerKey": "poweroff", "HandlePowerKeyLongPress": rapid.SampledFrom([]string{"ignore", "lock"}).Draw(t, "long"),
			"HandleLidSwitch": "sleep", "HandleLidSwitchDocked": "ignore", "IdleAction": rapid.SampledFrom([]string{"ignore", "suspend"}).Draw(t, "idle action")},
			Ignore: map[string]bool{"LidSwitch": true}, Holdoff: 10, IdleAfter: 40, StopIdle: int64(rapid.IntRange(0, 1).Draw(t, "stop")) * 90, Sleep: []string{"suspend"}}
		w.c.Started(w.now)
		some := func(name string) string {
			ids := []string{"nobody"}
			for _, s := range w.c.Sorted(func(*Session) bool { return true }) {
				ids = append(ids, s.ID)
			}
			return rapid.SampledFrom(ids).Draw(t, name)
		}
		uid := func() uint32 { return uint32(rapid.IntRange(0, 3).Draw(t, "uid")) }
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 21).Draw(t, "what") {
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
			case 14:
				path := rapid.SampledFrom([]string{"/a", "/b", "/c"}).Draw(t, "path")
				switch rapid.IntRange(0, 4).Draw(t, "device-event") {
				case 0:
					w.handle(Detached{path, DeviceID{226, uint32(rapid.IntRange(0, 2).Draw(t, "lost"))}})
				case 1:
					seat := rapid.SampledFrom([]string{"seat0", "seat1", "../x"}).Draw(t, "shared")
					w.handle(Shared{seat, seat})
				default:
					w.handle(Attached{Path: path, Seat: rapid.SampledFrom([]string{"seat0", "seat1", "seat1", "../x"}).Draw(t, "at"),
						Master: rapid.Bool().Draw(t, "master"), Node: DeviceID{226, uint32(rapid.IntRange(0, 2).Draw(t, "node"))}})
				}
			case 15, 16:
				e := TakeDevice{ID: some("taker"), Client: rapid.SampledFrom([]string{":1.1", ":1.2"}).Draw(t, "client"),
					Device: DeviceID{226, uint32(rapid.IntRange(0, 2).Draw(t, "device"))}, Seat: rapid.SampledFrom([]string{"seat0", "seat1"}).Draw(t, "of")}
				w.ask(func(r uint64) Event { e.Request = r; return e })
			case 17:
				id, client, d := some("giver"), rapid.SampledFrom([]string{":1.1", ":1.2"}).Draw(t, "client"), DeviceID{226, uint32(rapid.IntRange(0, 2).Draw(t, "device"))}
				if rapid.Bool().Draw(t, "pause") {
					w.ask(func(r uint64) Event { return PauseComplete{r, id, client, d} })
				} else {
					w.ask(func(r uint64) Event { return ReleaseDevice{r, id, client, d} })
				}
			case 18:
				if rapid.Bool().Draw(t, "leave") {
					w.handle(VTLeaving{})
				} else {
					id := some("switch")
					w.ask(func(r uint64) Event { return Switch{r, id} })
				}
			case 19:
				if rapid.IntRange(0, 3).Draw(t, "cancel") == 0 {
					w.ask(func(r uint64) Event { return CancelSchedule{r} })
				} else {
					n := Scheduled{Kind: rapid.SampledFrom([]string{"poweroff", "dry-reboot", "suspend"}).Draw(t, "kind"), UID: uid(),
						At: w.now.Wall + minute*int64(rapid.IntRange(-1, 12).Draw(t, "minutes"))}
					w.ask(func(r uint64) Event { return Schedule{Request: r, Shutdown: n} })
				}
			case 20:
				low, high := false, false
				for _, i := range w.c.Inhibitors {
					low = low || i.Mode != "delay" && slices.Contains(i.What, "handle-power-key")
					high = high || i.Mode != "delay" && slices.Contains(i.What, "shutdown")
				}
				w.handle(Key{"power", rapid.Bool().Draw(t, "down")})
				w.handle(Attention{rapid.SampledFrom([]string{"seat0", "seat1", "seat9"}).Draw(t, "seat")})
				if w.begun && (low || high) {
					w.t.Fatalf("the power key acts although it is inhibited: %v %v", low, high)
				}
			case 21:
				low := false
				for _, i := range w.c.Inhibitors {
					low = low || i.Mode != "delay" && slices.Contains(i.What, "handle-lid-switch")
				}
				w.handle(Lid{Closed: rapid.Bool().Draw(t, "closed"), Docked: rapid.Bool().Draw(t, "docked"), Displays: 1})
				if w.begun && (low || w.c.Lid.Docked) {
					w.t.Fatalf("the lid acts: inhibited %v, docked %v", low, w.c.Lid.Docked)
				}
			case 13:
				switch rapid.IntRange(0, 6).Draw(t, "other") {
				case 6:
					w.handle(SetIdle{some("idles"), rapid.Bool().Draw(t, "idle")})
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
						w.handle(Restore{Session: Session{ID: id, UID: uid, Leader: 1, Class: "user", Type: "wayland", Original: "tty",
							Seat: rapid.SampledFrom([]string{"", "seat0"}).Draw(t, "restored at"), VTNr: uint32(rapid.IntRange(1, 3).Draw(t, "restored on")),
							Controller: rapid.SampledFrom([]string{"", ":1.1"}).Draw(t, "controlled")},
							Devices: []Device{{ID: DeviceID{226, 0}}, {ID: DeviceID{226, 1}, Kind: Input}}})
					}
				case 0:
					w.handle(TakeControl{some("control"), rapid.SampledFrom([]string{":1.1", ":1.2"}).Draw(t, "client"), rapid.Bool().Draw(t, "force")})
				case 1:
					w.handle(ClientGone{":1.1"})
				case 2:
					w.handle(SetLinger{UID: uid(), Linger: rapid.Bool().Draw(t, "linger")})
				case 3:
					w.tick()
				}
			}
		}
		w.finish()
	})
}

// tick lets the time pass until something is due, or a little.
func (w *world) tick() {
	wait := int64(30)
	if d := w.c.Deadline(); d > w.now.Mono {
		wait = d - w.now.Mono
	}
	w.now.Mono += wait
	w.now.Wall += wait
	w.handle(Tick{})
}

// finish lets everybody leave and everything happen.
func (w *world) finish() {
	for uid := range uint32(4) {
		w.handle(SetLinger{UID: uid})
	}
	w.ask(func(r uint64) Event { return CancelSchedule{r} })
	w.c.Handling = Handling{}
	for _, name := range []string{"power", "reboot"} {
		w.handle(Key{name, false})
	}
	for _, path := range []string{"/a", "/b", "/c"} {
		w.handle(Detached{Path: path})
	}
	for range 200 {
		if len(w.todo) > 0 {
			w.act(0, false)
			continue
		}
		if w.c.Deadline() != 0 {
			w.tick()
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
	case len(w.taken) > 0, len(w.vts) > 0:
		w.t.Fatalf("left: devices %v, terminals %v", w.taken, w.vts)
	case len(w.waiting) > 0:
		w.t.Fatalf("requests %v have no answer", w.waiting)
	case w.c.Pending != nil:
		w.t.Fatalf("%v was neither carried out nor given up", w.c.Pending)
	}
}
