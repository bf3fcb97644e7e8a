package bus

import (
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/testkit"
	"dynamod/internal/testkit/testbus"
)

// A service that retires answers what it was asked before, also what takes long; a call
// of afterwards finds nobody.
func TestRetire(t *testing.T) {
	d := testbus.NewDaemon(t, testbus.Open).Start()
	begun, release := make(chan bool), make(chan bool)
	slow := &Interface{Name: "x.Y", Methods: []Method{{Name: "Slow", Out: []Arg{{"a", "s"}}, Do: func(c *Call) error {
		return Later(func() error {
			begun <- true
			<-release
			return c.Reply("done")
		})
	}}}}
	s := NewService(NewTree(&Node{Path: "/x", Find: One(nil, slow)}), slog.New(slog.NewTextHandler(io.Discard, nil)))
	joined := make(chan *Client, 1)
	ended := make(chan bool)
	go func() {
		s.Join(Bus{Address: d.Socket, Names: []string{"x.y"}, Joined: func(k *Client) { joined <- k }})
		close(ended)
	}()
	k := testkit.Receive(t, joined, "the service joins")
	c := d.Client()
	call := c.Object("x.y", "/x").Go("x.Y.Slow", 0, make(chan *dbus.Call, 1))
	testkit.Receive(t, begun, "the call begins")
	if q := s.Quiet(); q != 0 {
		t.Errorf("quiet for %v while a call is under way", q)
	}
	retired := make(chan error, 1)
	go func() { retired <- k.Retire(t.Context(), "x.y") }()
	testkit.Eventually(t, "the name is given up", func() bool {
		var has bool
		return c.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, "x.y").Store(&has) == nil && !has
	})
	select {
	case err := <-retired:
		t.Fatalf("retired while a call is under way: %v", err)
	default:
	}
	release <- true
	if err := testkit.Receive(t, retired, "the service retires"); err != nil {
		t.Error(err)
	}
	s.Close()
	testkit.Receive(t, ended, "the service ends")
	var answer string
	if err := testkit.Receive(t, call.Done, "the answer").Store(&answer); err != nil || answer != "done" {
		t.Errorf("answer %q, %v", answer, err)
	}
	if err := c.Object("x.y", "/x").Call("x.Y.Slow", 0).Err; NameOf(err) != ErrServiceUnknown {
		t.Errorf("after it: %v", err)
	}
	if q := s.Quiet(); q <= 0 || q > time.Since(time.Time{}) {
		t.Errorf("quiet for %v after the last call", q)
	}
}

// A service that rests is told so: before the first call, and after each pause that
// follows one.
func TestResting(t *testing.T) {
	s, _ := newService(t)
	rests := make(chan bool, 16)
	stop := s.Resting(time.Millisecond, func() { rests <- true })
	testkit.Receive(t, rests, "the rest before the first call")
	c := peer(t, private(t, s, everybody))
	for range 2 {
		if err := c.Object("", "/").Call(ifacePeer+".Ping", 0).Err; err != nil {
			t.Fatal(err)
		}
		testkit.Receive(t, rests, "the rest after a call")
	}
	stop()
	if err := c.Object("", "/").Call(ifacePeer+".Ping", 0).Err; err != nil {
		t.Fatal(err)
	}
	select {
	case <-rests:
		t.Error("a rest after the end of it")
	default:
	}
}

// A timer that was running when a call came runs on for what is missing; one that ends
// while a call is under way is for the end of that call to begin anew.
func TestRested(t *testing.T) {
	a := &activity{made: time.Now(), long: time.Hour, armed: true}
	a.rest = time.AfterFunc(time.Hour, func() {})
	defer a.rest.Stop()
	for _, step := range []struct {
		what         string
		do           func()
		rests, armed bool
	}{
		{"a call has just ended", func() { a.begin(); a.end() }, false, true},
		{"a call is under way", a.begin, false, false},
		{"it has ended, an hour ago", func() { a.end(); a.made = a.made.Add(-time.Hour) }, true, false},
	} {
		step.do()
		if rests := a.rested(); rests != step.rests || a.armed != step.armed {
			t.Errorf("%s: rests %v, armed %v", step.what, rests, a.armed)
		}
	}
	if a.begin(); a.armed {
		t.Error("armed by the beginning of a call")
	}
	if a.end(); !a.armed {
		t.Error("not armed by its end")
	}
	if !a.rest.Stop() {
		t.Error("the timer does not run")
	}
}

// Who ends the service by a call gets the answer: what ends a machine ends this service
// too, and its client must not take that for a failure.
func TestCloseAnswers(t *testing.T) {
	text := strings.Repeat("x", 4<<20) // more than waits in a socket
	var s *Service
	ended := make(chan bool)
	end := &Interface{Name: "x.Y", Methods: []Method{{Name: "End", Out: []Arg{{"a", "s"}}, Do: func(c *Call) error {
		go func() { s.Close(); close(ended) }()
		return Later(func() error { return c.Reply(text) })
	}}}}
	s = NewService(NewTree(&Node{Path: "/x", Find: One(nil, end)}), slog.New(slog.NewTextHandler(io.Discard, nil)))
	c := peer(t, private(t, s, everybody))
	var answer string
	if err := c.Object("", "/x").Call("x.Y.End", 0).Store(&answer); err != nil || answer != text {
		t.Errorf("answer of %d bytes, %v", len(answer), err)
	}
	testkit.Receive(t, ended, "the service ends")
}
