package api

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/testkit"
	"dynamod/logind/internal/session"
)

// signals collects what a client hears of a session, in order.
func signals(t *testing.T, c *dbus.Conn, path dbus.ObjectPath) chan *dbus.Signal {
	t.Helper()
	ch := make(chan *dbus.Signal, 64)
	c.Signal(ch)
	if err := c.AddMatchSignal(dbus.WithMatchObjectPath(path)); err != nil {
		t.Fatal(err)
	}
	return ch
}

// A device works in the session in front only; its controller hears of each change, and
// in the order that org.freedesktop.login1(5) promises (W70 and W71 of the original).
func TestDevices(t *testing.T) {
	r := begin(t)
	c, err := r.create(r.leader().Process.Pid, 1000, "user", "seat0", 1)
	if err != nil {
		t.Fatal(err)
	}
	front := func(vt uint32) { r.vts.Show(vt); r.server.shown() }
	front(1)
	one := r.bus.Client()
	object := one.Object(Name, c.Path)
	// What was told until now is past the bus when the answer comes.
	if err := object.Call("org.freedesktop.DBus.Peer.Ping", 0).Err; err != nil {
		t.Fatal(err)
	}
	heard := signals(t, one, c.Path)
	take := func(major, minor uint32) (fd dbus.UnixFD, inactive bool, err error) {
		err = object.Call(ifacePrefix+"Session.TakeDevice", 0, major, minor).Store(&fd, &inactive)
		return
	}
	if _, _, err := take(226, 0); errorName(err) != session.ErrNotInControl {
		t.Errorf("TakeDevice without control: %v", err)
	}
	if err := object.Call(ifacePrefix+"Session.TakeControl", 0, false).Err; err != nil {
		t.Fatal(err)
	}
	mark := len(r.hw.since(0))
	if _, inactive, err := take(226, 0); err != nil || inactive {
		t.Fatalf("the screen: inactive %v, %v", inactive, err)
	}
	if _, inactive, err := take(13, 64); err != nil || inactive {
		t.Fatalf("the keyboard: inactive %v, %v", inactive, err)
	}
	for _, x := range []struct {
		major, minor uint32
		want         string
	}{{226, 0, "org.freedesktop.login1.DeviceIsTaken"}, {13, 65, "System.Error.ENODEV"}, {1, 1, "System.Error.ENODEV"}, {10, 223, "System.Error.ENODEV"}, {4, 2, "System.Error.ENODEV"}} {
		if _, _, err := take(x.major, x.minor); errorName(err) != x.want {
			t.Errorf("%d:%d is %v; want %s", x.major, x.minor, err, x.want)
		}
	}
	if text := r.read("sessions", c.ID); !strings.Contains(text, `DEVICES="13:64 226:0"`) {
		t.Errorf("the session's file:\n%s", text)
	}
	// The kernel asks whether the terminal may go.
	r.server.leaving()
	front(2)
	front(1)
	want := []string{"open card0", "wake card0", "open event0", "open card0", "mute card0",
		"mute event0", "mute card0", "leave tty1", "show tty2", "access seat0 1000 -1", "show tty1", "access seat0 -1 1000", "wake event0", "open event0", "wake card0"}
	if got := r.hw.since(mark); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	var order []string
	for len(order) < 6 {
		s := testkit.Receive(t, heard, "signals of the session")
		if s.Path != c.Path {
			continue // the bus itself
		}
		name := s.Name[strings.LastIndex(s.Name, ".")+1:]
		if name == "PropertiesChanged" {
			v, ok := s.Body[1].(map[string]dbus.Variant)["Active"]
			if !ok {
				continue
			}
			name = "Active=" + v.String()
		}
		order = append(order, name)
	}
	if want := []string{"PauseDevice", "PauseDevice", "Active=false", "Active=true", "ResumeDevice", "ResumeDevice"}; !reflect.DeepEqual(order, want) {
		t.Errorf("the controller hears %q; want %q", order, want)
	}
	// A device that is unplugged is gone.
	r.hw.tell(session.Detached{Path: "/devices/kbd/event0", Node: session.DeviceID{Major: 13, Minor: 64}})
	s := testkit.Receive(t, heard, "the keyboard is gone")
	if !strings.HasSuffix(s.Name, ".PauseDevice") || s.Body[2] != "gone" {
		t.Errorf("an unplugged keyboard is told as %s %v", s.Name, s.Body)
	}
	if err := object.Call(ifacePrefix+"Session.ReleaseDevice", 0, uint32(13), uint32(64)).Err; errorName(err) != "org.freedesktop.login1.DeviceNotTaken" {
		t.Errorf("a device that is gone is released: %v", err)
	}
	// What udev lets somebody use is looked at again.
	mark = len(r.hw.since(0))
	r.hw.tell(session.Shared{Seat: "seat0", Node: "/dev/snd/seq"})
	if got := r.hw.since(mark); !reflect.DeepEqual(got, []string{"correct /dev/snd/seq [] 1000"}) {
		t.Errorf("udev has let somebody use a device, and it goes on with %q", got)
	}
	mark = len(r.hw.since(0))
	one.Close()
	testkit.Eventually(t, "everything is given back with the connection", func() bool {
		return reflect.DeepEqual(r.hw.since(mark), []string{"mute card0", "give tty1"})
	})
}

// controlled is a session in front on tty1 that a client controls, and a way to switch
// terminals.
func (r *rig) controlled() (c created, one *dbus.Conn, object dbus.BusObject, front func(vt uint32)) {
	r.t.Helper()
	c, err := r.create(r.leader().Process.Pid, 1000, "user", "seat0", 1)
	if err != nil {
		r.t.Fatal(err)
	}
	front = func(vt uint32) { r.vts.Show(vt); r.server.shown() }
	front(1)
	one = r.bus.Client()
	object = one.Object(Name, c.Path)
	if err := object.Call(ifacePrefix+"Session.TakeControl", 0, false).Err; err != nil {
		r.t.Fatal(err)
	}
	return c, one, object, front
}

// A device that cannot be woken is inactive for its controller, is not paused a second
// time, and is tried again.
func TestDeviceThatDoesNotWake(t *testing.T) {
	r := begin(t)
	c, one, object, front := r.controlled()
	heard := signals(t, one, c.Path)
	r.hw.asleep.Store(true)
	var fd dbus.UnixFD
	var inactive bool
	if err := object.Call(ifacePrefix+"Session.TakeDevice", 0, uint32(226), uint32(0)).Store(&fd, &inactive); err != nil || !inactive {
		t.Errorf("a screen that does not wake: inactive %v, %v", inactive, err)
	}
	front(2)
	front(1)
	front(2)
	r.hw.asleep.Store(false)
	front(1)
	for {
		s := testkit.Receive(t, heard, "the screen comes back")
		name := s.Name[strings.LastIndex(s.Name, ".")+1:]
		if name == "PauseDevice" {
			t.Errorf("a device that did not work is paused: %v", s.Body)
		}
		if name == "ResumeDevice" {
			break
		}
	}
}

// A device that is paused again before its resumption is told is paused for its
// controller afterwards: the other way round it would think it has the device.
func TestSwitchedTwiceAtOnce(t *testing.T) {
	r := begin(t)
	c, one, object, front := r.controlled()
	if err := object.Call(ifacePrefix+"Session.TakeDevice", 0, uint32(13), uint32(64)).Err; err != nil {
		t.Fatal(err)
	}
	front(2)
	if err := object.Call("org.freedesktop.DBus.Peer.Ping", 0).Err; err != nil {
		t.Fatal(err)
	}
	heard := signals(t, one, c.Path)
	r.server.telling.Lock()
	done := make(chan struct{}, 2)
	switchTo := func(vt uint32, act string) {
		mark := len(r.hw.since(0))
		go func() { front(vt); done <- struct{}{} }()
		testkit.Eventually(t, act, func() bool { return strings.Contains(strings.Join(r.hw.since(mark), "\n"), act) })
	}
	switchTo(1, "wake event0")
	switchTo(2, "mute event0")
	r.server.telling.Unlock()
	testkit.Receive(t, done, "a switch is over")
	testkit.Receive(t, done, "the other switch is over")
	var order []string
	for len(order) < 2 {
		s := testkit.Receive(t, heard, "the device's signals")
		if name := s.Name[strings.LastIndex(s.Name, ".")+1:]; strings.HasSuffix(name, "Device") {
			order = append(order, name)
		}
	}
	if want := []string{"ResumeDevice", "PauseDevice"}; !reflect.DeepEqual(order, want) {
		t.Errorf("the controller hears %q; want %q", order, want)
	}
}

// W66 of the original: who is not in control has no device, no matter how it is asked;
// who is not the session's user has no control.
func TestControlIsNotStolen(t *testing.T) {
	r := begin(t)
	c, err := r.create(r.leader().Process.Pid, 1000, "user", "seat0", 1)
	if err != nil {
		t.Fatal(err)
	}
	one, two := r.bus.Client().Object(Name, c.Path), r.bus.Client().Object(Name, c.Path)
	if err := one.Call(ifacePrefix+"Session.TakeControl", 0, false).Err; err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{"TakeDevice", "ReleaseDevice", "PauseDeviceComplete"} {
		if err := two.Call(ifacePrefix+"Session."+m, 0, uint32(226), uint32(0)).Err; errorName(err) != session.ErrNotInControl {
			t.Errorf("%s by somebody else: %v", m, err)
		}
	}
	if got := r.hw.since(0); strings.Contains(strings.Join(got, "\n"), "open ") {
		t.Errorf("a device was opened: %q", got)
	}
}

// A session whose terminal cannot be had is not controlled: a compositor would draw over
// a text console.
func TestTerminalFails(t *testing.T) {
	r := begin(t)
	c, err := r.create(r.leader().Process.Pid, 1000, "user", "seat0", 1)
	if err != nil {
		t.Fatal(err)
	}
	r.vts.failWith(errors.New("no such terminal"))
	if err := r.conn.Object(Name, c.Path).Call(ifacePrefix+"Session.TakeControl", 0, false).Err; errorName(err) != "org.freedesktop.DBus.Error.Failed" {
		t.Errorf("TakeControl: %v", err)
	}
	if strings.Contains(r.read("sessions", c.ID), "CONTROLLER=") {
		t.Error("the session is controlled")
	}
}

// Switching asks the terminals; seats follow udev.
func TestSeats(t *testing.T) {
	r := begin(t)
	c, err := r.create(r.leader().Process.Pid, 1000, "user", "seat0", 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.manager().Call(managerIface+".ActivateSessionOnSeat", 0, c.ID, "seat0").Err; err != nil {
		t.Fatal(err)
	}
	seat := func(id string) dbus.BusObject { return r.conn.Object(Name, seatPath(id)) }
	for _, m := range []string{"SwitchToNext", "SwitchToPrevious"} {
		if err := seat("seat0").Call(ifacePrefix+"Seat."+m, 0).Err; err != nil {
			t.Errorf("%s: %v", m, err)
		}
	}
	if err := seat("seat0").Call(ifacePrefix+"Seat.SwitchTo", 0, uint32(5)).Err; err != nil {
		t.Fatal(err)
	}
	var shows []string
	for _, call := range r.hw.since(0) {
		if strings.HasPrefix(call, "show") {
			shows = append(shows, call)
		}
	}
	if want := []string{"show tty3", "show tty3", "show tty3", "show tty5"}; !reflect.DeepEqual(shows, want) {
		t.Errorf("%q", shows)
	}
	r.server.shown()
	testkit.Eventually(t, "a login prompt on an unused terminal", func() bool { return r.units.did("start autovt@tty5.service") })
	if text := r.read("seats/seat0"); !strings.Contains(text, "CAN_GRAPHICAL=0\n") {
		t.Errorf("a screen without a screen:\n%s", text)
	}
	r.hw.tell(session.Attached{Path: "/card0", Seat: "seat0", Master: true})
	r.hw.tell(session.Attached{Path: "/card1", Seat: "seat1", Master: true})
	if a, b := r.read("seats/seat0"), r.read("seats/seat1"); !strings.Contains(a, "CAN_GRAPHICAL=1\n") || !strings.Contains(b, "IS_SEAT0=0\n") || !strings.Contains(b, "CAN_TTY=0\n") {
		t.Errorf("seats:\n%s\n%s", a, b)
	}
	d, err := r.create(r.leader().Process.Pid, 1001, "user", "seat1", 0)
	if err != nil {
		t.Fatal(err)
	}
	if text := r.read("seats/seat1"); !strings.Contains(text, "ACTIVE="+d.ID+"\n") {
		t.Errorf("the only session of a seat is not its active one:\n%s", text)
	}
	r.hw.tell(session.Detached{Path: "/card1"})
	if r.read("seats/seat1") != "" {
		t.Error("a seat without a master is left")
	}
	for _, x := range []struct{ seat, path, want string }{{"seat1", "/sys/devices/usb1", ""}, {"x", "/sys/devices/usb1", "org.freedesktop.DBus.Error.InvalidArgs"},
		{"seat1", "/sys/../etc", "org.freedesktop.DBus.Error.InvalidArgs"}, {"seat1", "/dev/x", "org.freedesktop.DBus.Error.InvalidArgs"}} {
		if err := r.manager().Call(managerIface+".AttachDevice", 0, x.seat, x.path, false).Err; errorName(err) != x.want {
			t.Errorf("AttachDevice %v: %v", x, err)
		}
	}
	if got := strings.Join(r.hw.since(0), "\n"); !strings.Contains(got, "assign /devices/usb1 seat1") || strings.Count(got, "assign") != 1 {
		t.Errorf("%s", got)
	}
}

// That the terminal of one session is not to be had is no matter of another's.
func TestTerminalFailsForOne(t *testing.T) {
	r := begin(t)
	one, err := r.create(r.leader().Process.Pid, 1000, "user", "seat0", 1)
	if err != nil {
		t.Fatal(err)
	}
	two, err := r.create(r.leader().Process.Pid, 1000, "user", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	r.vts.failWith(errors.New("no such terminal"))
	r.server.handle(session.TakeControl{ID: one.ID, Client: ":1.999"}) // as a restart gives it back
	if err := r.conn.Object(Name, two.Path).Call(ifacePrefix+"Session.TakeControl", 0, false).Err; err != nil {
		t.Errorf("TakeControl of a session without a terminal: %v", err)
	}
}
