package api

import (
	"io"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/bus"
	"dynamod/internal/sys/pidfd"
	"dynamod/internal/testkit"
	"dynamod/logind/internal/session"
)

func TestKeptNames(t *testing.T) {
	h := handle{"c1", session.DeviceID{Major: 226, Minor: 1}}
	if got, ok := parseKept(h.keptName()); !ok || got != h {
		t.Errorf("%s is %v, %v", h.keptName(), got, ok)
	}
	for _, bad := range []string{"", "session-", "session--device-1-2", "session-a-device-1", "session-a-device-1-2-3", "session-a-device-01-2", "x-a-device-1-2"} {
		if h, ok := parseKept(bad); ok {
			t.Errorf("%q is %v", bad, h)
		}
	}
}

// A compositor goes on over a restart of logind, if it is on the bus that it was on; what
// was kept for nobody is let go.
func TestControlIsRestored(t *testing.T) {
	r := begin(t)
	var id string
	if err := r.conn.BusObject().Call("org.freedesktop.DBus.GetId", 0).Store(&id); err != nil {
		t.Fatal(err)
	}
	r.server.Close()
	for _, busID := range []string{id, "another"} {
		kept := map[string]*os.File{}
		for _, name := range []string{"session-r1-device-226-0", "session-r1-device-13-64", "session-gone-device-13-64", "garbage"} {
			f, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			w.Close()
			kept[name] = f
			if err := r.store.Keep(name, f); err != nil {
				t.Fatal(err)
			}
		}
		hw := &fakeHardware{}
		vts := &fakeTerminals{hw: hw, front: 1}
		units := &fakeUnits{}
		s := New(units, Options{Root: r.root, PerUser: 3, Hardware: hw, Terminals: vts, Store: r.store, Kept: kept}, slog.New(slog.NewTextHandler(io.Discard, nil)))
		units.gone = s.unitGone
		leader := r.leader()
		fd, err := pidfd.Open(leader.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		// pam_systemd holds the FIFO.
		if err := unix.Mkfifo(s.fifoPath("r1"), 0o600); err != nil && err != unix.EEXIST {
			t.Fatal(err)
		}
		fifo, err := os.OpenFile(s.fifoPath("r1"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer fifo.Close()
		s.shown()
		s.bus = busID
		s.takeOver(session.Session{ID: "r1", UID: 1000, User: "ada", Leader: int32(leader.Process.Pid), Class: "user", Type: "wayland", Original: "tty",
			Seat: "seat0", VTNr: 1, Controller: r.conn.Names()[0]}, os.NewFile(uintptr(fd), "leader"))
		s.dropKept()
		// The screen is made ours again; the keyboard works as it did.
		if got, want := hw.since(0), []string{"take tty1 1000", "access seat0 -1 1000", "wake card0"}; !reflect.DeepEqual(got[:2], want[:2]) || !slices.Contains(got, "wake card0") || slices.Contains(got, "mute event0") {
			t.Errorf("%q", got)
		}
		left := r.store.take()
		if len(left) != 2 || left["session-r1-device-226-0"] == nil || left["session-r1-device-13-64"] == nil {
			t.Errorf("kept are %v", left)
		}
		joined := make(chan bool, 1)
		ended := make(chan struct{})
		go func() {
			s.Service().Join(bus.Bus{Address: r.bus.Socket, Names: []string{Name}, Heard: s.Heard, Met: s.Met, Joined: func(*bus.Client) { joined <- true }})
			close(ended)
		}()
		testkit.Receive(t, joined, "login1 joins the bus")
		if busID == id {
			// What the controller alone may do, it may.
			c := r.conn.Object(Name, sessionPath("r1"))
			if err := c.Call(ifacePrefix+"Session.ReleaseDevice", 0, uint32(13), uint32(64)).Err; err != nil {
				t.Errorf("the controller is not in control: %v", err)
			}
			if text := r.read("sessions/r1"); !strings.Contains(text, "BUS="+id+"\n") || !strings.Contains(text, "TYPE=wayland\n") {
				t.Errorf("the session's file:\n%s", text)
			}
		} else {
			s.mu.Lock()
			if c := s.core.Sessions["r1"].Controller; c != "" {
				t.Errorf("%s, a name of another bus, has control when the names are there", c)
			}
			s.mu.Unlock()
			testkit.Eventually(t, "a name of another bus controls nothing", func() bool {
				text := r.read("sessions/r1")
				return !strings.Contains(text, "CONTROLLER=") && len(r.store.take()) == 0
			})
		}
		s.Close()
		<-ended
	}
}

// Seats are known before sessions of before are taken over, and the active ones come
// first: otherwise devices of seats with no terminals would be muted, or be another's.
func TestRestoreOrder(t *testing.T) {
	r := begin(t)
	r.server.Close()
	for id, active := range map[string]string{"a": "0", "b": "1", "c": "0"} {
		if err := os.WriteFile(r.server.run("sessions", id), []byte("UID=1000\nCLASS=user\nLEADER=0\nACTIVE="+active+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	hw := &fakeHardware{}
	s := New(&fakeUnits{}, Options{Root: r.root, PerUser: 3, Hardware: hw, Terminals: &fakeTerminals{hw: hw, front: 1}, Store: r.store}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if got := s.activeFirst([]string{"a", "b", "c"}); !slices.Equal(got, []string{"b", "a", "c"}) {
		t.Errorf("taken over in the order %q", got)
	}
	there := false
	hw.follow = func() { there = r.read("sessions", "b") != "" }
	if err := s.Prepare(); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if !there {
		t.Error("sessions were looked at before devices were known")
	}
	if r.read("sessions", "b") != "" {
		t.Error("a session without a leader was left")
	}
}

// What a logind that was killed has let a user do is taken back at all seats, also when
// his session ended before the next one began.
func TestRestartTakesAccessBack(t *testing.T) {
	r := begin(t)
	r.server.Close()
	hw := &fakeHardware{}
	hw.follow = func() {
		hw.tell(session.Attached{Path: "/card1", Seat: "seat1", Master: true})
		hw.tell(session.Attached{Path: "/card2", Seat: "seat2", Master: true})
	}
	s := New(&fakeUnits{}, Options{Root: r.root, PerUser: 3, Hardware: hw, Terminals: &fakeTerminals{hw: hw, front: 1}, Store: r.store}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err := s.Prepare(); err != nil {
		t.Fatal(err)
	}
	s.Close()
	for _, seat := range []string{"seat0", "seat1", "seat2"} {
		if !slices.Contains(hw.since(0), "access "+seat+" -2 -1") {
			t.Errorf("who may use the devices of %s is what a former logind said: %q", seat, hw.since(0))
		}
	}
}
