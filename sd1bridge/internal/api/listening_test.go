package api

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/bus"
	"dynamod/internal/ipc"
	"dynamod/internal/testkit"
	"dynamod/internal/testkit/testbus"
	"dynamod/sd1bridge/internal/upstream"
)

// On the bus only what a client has asked for is told while nobody has subscribed: the jobs
// of that client. From a subscription on everything is, with values of that moment, also of
// what began before. A private peer is told everything in any case.
func TestSignalsAreForWhoListens(t *testing.T) {
	daemon := testbus.NewDaemon(t, testbus.Open).Start()
	h := start(t, someUnits)
	joined := make(chan struct{}, 1)
	go h.server.Service().Join(bus.Bus{Address: daemon.Socket, Names: []string{Name}, Heard: h.server.Heard,
		Joined: func(k *bus.Client) { h.server.Joined(k); joined <- struct{}{} }, Left: h.server.Left}) // ends with the service
	testkit.Receive(t, joined, "the bridge is on the bus")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	manager, err := ipc.Dial(ctx, h.control)
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	// do is what somebody else does, who is not on the bus; all of it is over then.
	do := func(v ipc.Verb, name string) {
		t.Helper()
		if err := manager.Call(ctx, v, &ipc.JobArgs{Unit: name, Wait: true, Force: true}, nil); err != nil {
			t.Fatal(err)
		}
	}
	listen := func(c *dbus.Conn) <-chan *dbus.Signal {
		t.Helper()
		signals := make(chan *dbus.Signal, 1024)
		c.Signal(signals)
		return signals
	}
	client := daemon.Client()
	if err := client.AddMatchSignal(dbus.WithMatchSender(Name)); err != nil {
		t.Fatal(err)
	}
	onBus := listen(client)
	m := client.Object(Name, "/org/freedesktop/systemd1")
	order := func(method, unit string) (job dbus.ObjectPath) {
		t.Helper()
		if err := m.Call(prefix+"Manager."+method, 0, unit, "replace").Store(&job); err != nil {
			t.Fatal(err)
		}
		return job
	}
	// next is the next signal; those of the bus itself are none.
	next := func(signals <-chan *dbus.Signal, what string) *dbus.Signal {
		t.Helper()
		for {
			if s := testkit.Receive(t, signals, what); s.Sender != busName {
				return s
			}
		}
	}

	if h.server.bus.Listening() {
		t.Error("somebody listens before anybody is there")
	}
	do(ipc.VerbStart, "web.service")
	do(ipc.VerbStop, "web.service")
	job := order("StartUnit", "web.service")
	if s := next(onBus, "JobNew"); s.Name != prefix+"Manager.JobNew" || s.Body[1] != job {
		t.Errorf("first of all came %s %v; want the client's own JobNew", s.Name, s.Body)
	}
	if s := next(onBus, "JobRemoved"); s.Name != prefix+"Manager.JobRemoved" || s.Body[1] != job || s.Body[3] != "done" {
		t.Errorf("then came %s %v; want the client's own JobRemoved", s.Name, s.Body)
	}

	// until reads signals up to the change of a unit to a state.
	until := func(signals <-chan *dbus.Signal, state string) {
		t.Helper()
		for {
			s := next(signals, "web.service is "+state)
			if s.Name != "org.freedesktop.DBus.Properties.PropertiesChanged" || s.Path != "/org/freedesktop/systemd1/unit/web_2eservice" || s.Body[0] != prefix+"Unit" {
				continue
			}
			if v, ok := s.Body[1].(map[string]dbus.Variant)["ActiveState"]; !ok || v.Value() == state {
				return
			}
		}
	}
	if err := m.Call(prefix+"Manager.Subscribe", 0).Err; err != nil {
		t.Fatal(err)
	}
	if !h.server.bus.Listening() {
		t.Error("nobody listens to a subscriber")
	}
	do(ipc.VerbStop, "web.service")
	until(onBus, "inactive")
	if err := m.Call(prefix+"Manager.Unsubscribe", 0).Err; err != nil {
		t.Fatal(err)
	}

	// Who holds on to a unit hears of it without having subscribed: systemd-run --wait.
	do(ipc.VerbStart, "web.service")
	if err := m.Call(prefix+"Manager.RefUnit", 0, "web.service").Err; err != nil {
		t.Fatal(err)
	}
	do(ipc.VerbStop, "web.service")
	until(onBus, "inactive")
	if err := m.Call(prefix+"Manager.UnrefUnit", 0, "web.service").Err; err != nil {
		t.Fatal(err)
	}
	if h.server.bus.Listening() {
		t.Error("somebody listens who has let go")
	}

	peer, err := h.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	private := listen(peer)
	if err := peer.Object("", "/").Call("org.freedesktop.DBus.Peer.Ping", 0).Err; err != nil { // it is there
		t.Fatal(err)
	}
	do(ipc.VerbStart, "web.service")
	until(private, "active")
	peer.Close()
	testkit.Eventually(t, "nobody listens any more", func() bool { return !h.server.bus.Listening() })

	// Who subscribed and left the bus is none that listens.
	if err := m.Call(prefix+"Manager.Subscribe", 0).Err; err != nil {
		t.Fatal(err)
	}
	client.Close()
	testkit.Eventually(t, "who has left listens no more", func() bool { return !h.server.bus.Listening() })
}

// The bus of a session hears of all units, whether anybody has subscribed or not.
func TestSessionsHearAll(t *testing.T) {
	for _, user := range []bool{false, true} {
		log := slog.New(slog.DiscardHandler)
		s := New(upstream.New(filepath.Join(t.TempDir(), "none"), log), Options{User: user, Root: "/", Version: "test"}, log)
		daemon := testbus.NewDaemon(t, testbus.Open).Start()
		joined := make(chan struct{}, 1)
		go s.Service().Join(bus.Bus{Address: daemon.Socket, Names: []string{Name}, Joined: func(*bus.Client) { joined <- struct{}{} }}) // ends with the service
		testkit.Receive(t, joined, "the bridge is on the bus")
		if s.bus.Listening() != user {
			t.Errorf("user %v: somebody listens %v", user, !user)
		}
		s.Service().Close()
	}
}

// A job that was there before anybody listened is told to be over by whoever asked for it
// as well, and to those who listen then.
func TestJobsOfBefore(t *testing.T) {
	h := start(t, map[string]string{"default.target": "[Unit]\nDescription=All\n", "slow.service": "[Service]\nType=oneshot\nExecStart=/bin/sleep 1000\n"})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	manager, err := ipc.Dial(ctx, h.control)
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	var job ipc.JobResult
	if err := manager.Call(ctx, ipc.VerbStart, &ipc.JobArgs{Unit: "slow.service", Force: true}, &job); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the bridge has heard of the job", func() bool {
		h.server.jobs.mu.Lock()
		defer h.server.jobs.mu.Unlock()
		told, known := h.server.jobs.open[job.Job]
		return known && !told
	})
	c, err := h.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	signals := make(chan *dbus.Signal, 1024)
	c.Signal(signals)
	var same dbus.ObjectPath
	if err := c.Object("", "/org/freedesktop/systemd1").Call(prefix+"Manager.StartUnit", 0, "slow.service", "replace").Store(&same); err != nil || same != jobPath(job.Job) {
		t.Fatalf("%s, %v; want %s", same, err, jobPath(job.Job))
	}
	if err := manager.Call(ctx, ipc.VerbStop, &ipc.JobArgs{Unit: "slow.service", Force: true}, nil); err != nil {
		t.Fatal(err)
	}
	for {
		s := testkit.Receive(t, signals, "JobRemoved of "+string(same))
		if s.Name == prefix+"Manager.JobNew" && s.Body[1] == same {
			t.Error("a job that was there is told to be new")
		}
		if s.Name == prefix+"Manager.JobRemoved" && s.Body[1] == same {
			if s.Body[3] != "canceled" {
				t.Errorf("it ended as %v", s.Body[3])
			}
			return
		}
	}
}
