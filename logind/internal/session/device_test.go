package session

import (
	"fmt"
	"reflect"
	"testing"
)

// seatRig is a core with two running sessions of two users on one seat.
func seatRig(t *testing.T, vts bool) (*Core, func(Event) []string) {
	t.Helper()
	c := New(Limits{Sessions: 8, Inhibitors: 8, PerUser: 8, PauseDelay: 100, AutoVTs: 3, ReserveVT: 6}, vts)
	now := Now{}
	do := func(e Event) []string {
		now.Mono++
		var out []string
		for _, a := range c.Handle(now, e) {
			switch x := a.(type) {
			case Changed:
				if x.Kind != ASeat {
					continue
				}
			case Appeared, OpenUser, Open:
				continue
			}
			out = append(out, fmt.Sprintf("%T%v", a, a)[len("session."):])
		}
		return out
	}
	seat := "seat0"
	if !vts {
		seat = "seat1"
		do(Attached{Path: "/m", Seat: seat, Master: true})
	}
	for k := range uint32(2) {
		vt := k + 1
		if !vts {
			vt = 0
		}
		s := Session{UID: 1000 + k, Leader: 1, Class: "user", Type: "tty", Seat: seat, VTNr: vt}
		if !vts {
			s.Type = "unspecified"
		}
		do(Create{Session: s})
		do(UserOpened{1000 + k, true})
		do(Opened{ID: fmt.Sprint("c", k+1)})
		do(TakeControl{fmt.Sprint("c", k+1), fmt.Sprint(":1.", k+1), false})
	}
	return c, do
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A login at a virtual terminal is one of seat0, though pam_systemd names only the terminal.
func TestTerminalsSeat(t *testing.T) {
	for _, c := range []struct {
		tty, seat string
		vt        uint32
		want      string
	}{
		{"tty3", "", 0, "seat0 3"},
		{"/dev/tty3", "", 0, "seat0 3"},
		{"tty3", "seat0", 3, "seat0 3"},
		{"", "seat0", 3, "seat0 3"},
		{"tty63", "", 0, "seat0 63"},
		{"tty64", "", 0, " 0"},
		{"tty03", "", 0, " 0"},
		{"tty0", "", 0, " 0"},
		{"ttyS0", "", 0, " 0"},
		{"tty", "", 0, " 0"},
		{"pts/3", "", 0, " 0"},
		{"tty3", "seat0", 4, "Specified TTY and VT number do not match"},
		{"tty3", "seat1", 0, "TTY tty3 is virtual console but seat seat1 is not seat0"},
	} {
		k := New(Limits{Sessions: 8}, true)
		k.Handle(Now{Mono: 1}, Attached{Path: "/m", Seat: "seat1", Master: true})
		got := ""
		for _, a := range k.Handle(Now{Mono: 2}, Create{Session: Session{UID: 1000, Leader: 1, Class: "user", Type: "tty", TTY: c.tty, Seat: c.seat, VTNr: c.vt}}) {
			if r, ok := a.(Refuse); ok {
				got = r.Text
			}
		}
		for _, s := range k.Sessions {
			got = fmt.Sprint(s.Seat, " ", s.VTNr)
		}
		if got != c.want {
			t.Errorf("%q on %q, %d: %q; want %q", c.tty, c.seat, c.vt, got, c.want)
		}
	}
}

// What is muted is muted before the kernel may hide the terminal, and before anybody
// hears that another session is active.
func TestTerminalSwitch(t *testing.T) {
	c, do := seatRig(t, true)
	expect(t, do(VTShown{1}), "Access{seat0 -1 1000}", "Changed{3 seat0 [ActiveSession]}")
	expect(t, do(Shared{"seat0", "/dev/snd/timer"}), "Correct{/dev/snd/timer [] 1000}")
	expect(t, do(Shared{"seat7", "/dev/fb0"}), "Correct{/dev/fb0 [1000] -1}")
	expect(t, do(TakeDevice{1, "c1", ":1.1", DeviceID{13, 64}, Input, "seat0"}), "Took{c1 {13 64} true}", "Grant{1 c1 0 false}")
	expect(t, do(TakeDevice{2, "c2", ":1.2", DeviceID{13, 64}, Input, "seat0"}), "Took{c2 {13 64} false}", "Grant{2 c2 0 false}")
	expect(t, do(Switch{3, "c2"}), "ShowVT{3 2}")
	expect(t, do(VTLeaving{}), "Mute{c1 {13 64}}", "Paused{c1 :1.1 {13 64} force}", "LeaveVT{1}")
	expect(t, do(VTShown{2}), "Access{seat0 1000 1001}", "Resume{c2 :1.2 {13 64}}", "Changed{3 seat0 [ActiveSession]}")
	// Nobody asks about a terminal whose switches are the kernel's own.
	expect(t, do(VTShown{3}), "Mute{c2 {13 64}}", "Paused{c2 :1.2 {13 64} force}", "Access{seat0 1001 -1}", "Changed{3 seat0 [ActiveSession]}", "Prompt{3}")
	// udev had read who is there before, and wrote it after.
	expect(t, do(Shared{"seat0", "/dev/snd/timer"}), "Correct{/dev/snd/timer [1000 1001] -1}")
	expect(t, do(VTShown{5}))
	expect(t, do(VTShown{6}), "Prompt{6}")
	expect(t, do(VTShown{1}), "Access{seat0 -1 1000}", "Resume{c1 :1.1 {13 64}}", "Changed{3 seat0 [ActiveSession]}")
	expect(t, do(ClientGone{":1.1"}), "Drop{c1 {13 64}}", "GiveVT{1}")
	if got := do(TakeDevice{4, "c1", ":1.1", DeviceID{226, 0}, DRM, "seat0"}); len(got) != 1 || got[0][:6] != "Refuse" {
		t.Errorf("a device without control: %q", got)
	}
	if got := do(TakeDevice{5, "c2", ":1.2", DeviceID{226, 0}, DRM, "seat1"}); len(got) != 1 || got[0][:6] != "Refuse" {
		t.Errorf("a device of another seat: %q", got)
	}
	if len(c.Sessions["c2"].Devices()) != 1 {
		t.Error("a refused device was taken")
	}
}

// On a seat without terminals the one in front is asked, and not waited for longer than
// the delay.
func TestPolitePause(t *testing.T) {
	c, do := seatRig(t, false)
	do(TakeDevice{1, "c1", ":1.1", DeviceID{226, 0}, DRM, "seat1"})
	do(TakeDevice{2, "c1", ":1.1", DeviceID{13, 64}, Input, "seat1"})
	expect(t, do(Switch{3, "c2"}), "Grant{3 c2 0 false}", "Paused{c1 :1.1 {13 64} pause}", "Paused{c1 :1.1 {226 0} pause}")
	expect(t, do(PauseComplete{4, "c1", ":1.1", DeviceID{226, 0}}), "Grant{4 c1 0 false}", "Mute{c1 {226 0}}")
	if d := c.Deadline(); d == 0 {
		t.Fatal("nobody looks at the delay")
	}
	expect(t, do(PauseComplete{5, "c1", ":1.1", DeviceID{13, 64}}), "Grant{5 c1 0 false}", "Mute{c1 {13 64}}",
		"Access{seat1 1000 1001}", "Changed{3 seat1 [ActiveSession]}")
	expect(t, do(Switch{6, "c1"}), "Grant{6 c1 0 false}", "Access{seat1 1001 1000}", "Resume{c1 :1.1 {13 64}}", "Resume{c1 :1.1 {226 0}}",
		"Changed{3 seat1 [ActiveSession]}")
	expect(t, do(Switch{7, "c2"}), "Grant{7 c2 0 false}", "Paused{c1 :1.1 {13 64} pause}", "Paused{c1 :1.1 {226 0} pause}")
	c.Handle(Now{Mono: 1000}, Tick{})
	if c.Seats["seat1"].Active != "c2" {
		t.Error("a controller that says nothing holds the seat")
	}
	// The seat goes with its last master.
	do(Detached{Path: "/m"})
	if c.Seats["seat1"] != nil || c.Sessions["c2"].Stage != Closing {
		t.Error("the seat or its session stays without a master")
	}
}

// What was kept over a restart of logind goes on in front, and is muted elsewhere.
func TestRestoredDevices(t *testing.T) {
	c := New(Limits{Sessions: 8, AutoVTs: 6}, true)
	do := func(e Event) (out []string) {
		for _, a := range c.Handle(Now{}, e) {
			switch a := a.(type) {
			case Kept, TakeVT, Mute, Resume, Drop, GiveVT, Prompt:
				out = append(out, fmt.Sprintf("%T%v", a, a)[len("session."):])
			}
		}
		return out
	}
	expect(t, do(VTShown{1}))
	for k, id := range []string{"a", "b"} {
		got := do(Restore{Session: Session{ID: id, UID: 1000, Leader: 1, Class: "user", Type: "wayland", Original: "tty", Seat: "seat0", VTNr: uint32(k + 1), Controller: ":1." + id},
			Devices: []Device{{ID: DeviceID{13, 64}, Kind: Input}}})
		expect(t, got, fmt.Sprintf("TakeVT{%d 1000}", k+1), fmt.Sprintf("Kept{%s {13 64} %v}", id, k == 0))
	}
	if c.Sessions["a"].Type != "wayland" {
		t.Error("the type that the controller has said is lost")
	}
	expect(t, do(ClientGone{":1.b"}), "Drop{b {13 64}}", "GiveVT{2}")
	expect(t, do(VTShown{2}), "Mute{a {13 64}}")
}

// A seat whose devices are known only after its sessions were taken over has its active
// session, and that one its devices, at once.
func TestSeatAppearsAfterItsSessions(t *testing.T) {
	c := New(Limits{Sessions: 8}, false)
	c.Handle(Now{}, Restore{Session: Session{ID: "a", UID: 1000, Leader: 1, Class: "user", Type: "wayland", Original: "unspecified", Seat: "seat1", Controller: ":1.a"},
		Devices: []Device{{ID: DeviceID{13, 65}, Kind: Input}}})
	c.Handle(Now{}, Attached{Path: "/m", Seat: "seat1", Master: true})
	if got := c.Seats["seat1"].Active; got != "a" {
		t.Errorf("the active session is %q", got)
	}
	if d := c.Sessions["a"].Devices(); len(d) != 1 || !d[0].Live {
		t.Errorf("its devices are %+v", d)
	}
}
